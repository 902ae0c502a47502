//! The command against a seller over a real socket, who settles on the embedded chain.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use clap::Parser;
use http::Response;
use http_body_util::Full;
use serde_json::json;

use super::{PayArgs, run};
use crate::cli::Failure;
use coinslot_facilitator::local::Local;
use coinslot_facilitator::testing::{PRICE, SELLER, World, serve};
use coinslot_facilitator::{Facilitator, Settlement};
use coinslot_x402::facilitator::PaymentRequest;
use coinslot_x402::header::{self, PaymentPayload};
use coinslot_x402::price::Price;
use coinslot_x402::sign_in::SIGN_IN_WITH_X;
use coinslot_x402::{Reason, SettlementResponse};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    pay: PayArgs,
}

/// How the seller treats a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Honest,
    /// Settles, and answers 503 all the same.
    Loses,
    /// Says no, for a reason that comes before any settlement.
    Refuses,
    /// Says that the payment comes too late, as a server that has forgotten what it settled.
    ForgetsIt,
    /// Says that the payer has too little.
    FindsNothing,
    /// Says that the settlement failed, as a middleware does whose facilitator's answer was lost.
    FailsToSettle,
    /// Answers 402 and nothing else.
    FailsSilently,
    /// Answers 200 without a receipt, and takes nothing.
    Gives,
    /// Fails, and says that nothing was charged.
    Fails,
    /// Does not know the endpoint any more, nor whether it has charged for it.
    Away,
    /// Says that the request is wrong, and that nothing was charged.
    Declines,
    /// Has a proxy before it that refuses everybody.
    Fenced,
    /// Sends clients elsewhere.
    Redirects,
    /// Has a cache before it that answers 304.
    NotModified,
    /// Lets accounts sign in, and answers 401 to each that does.
    KnowsNobody,
    /// Lets accounts sign in, and asks each that does for more.
    AsksForMore,
}

/// A seller, and what it was sent.
struct Seller {
    url: String,
    mood: Arc<Mutex<Mood>>,
    requests: Arc<AtomicUsize>,
    payments: Arc<Mutex<Vec<Vec<u8>>>>,
}

#[derive(Clone)]
struct Shop {
    local: Arc<Local>,
    price: Price,
    legacy: bool,
    mood: Arc<Mutex<Mood>>,
    payments: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Seller {
    async fn start(world: &World, legacy: bool) -> Self {
        let shop = Shop {
            local: Arc::new(world.local().await),
            price: world.price(),
            legacy,
            mood: Arc::new(Mutex::new(Mood::Honest)),
            payments: Arc::default(),
        };
        let requests = Arc::new(AtomicUsize::new(0));
        let (mood, payments, count) = (shop.mood.clone(), shop.payments.clone(), requests.clone());
        let address = serve(move |request| {
            let shop = shop.clone();
            count.fetch_add(1, Ordering::SeqCst);
            async move {
                if request.uri().path() == "/free" {
                    return Response::new(Full::new("free".into()));
                }
                let value = |name| request.headers().get(name).map(|v| v.as_bytes().to_vec());
                let sent = value(header::PAYMENT_SIGNATURE).or(value(header::X_PAYMENT));
                let signs_in = value(SIGN_IN_WITH_X).is_some();
                match sent {
                    None if shop.takes_accounts() => shop.greet(&value("host").expect("a host"), signs_in),
                    None => shop.challenge("pay"),
                    Some(sent) => shop.sell(&sent).await,
                }
            }
        })
        .await;
        Self { url: format!("http://{address}/buy"), mood, requests, payments }
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().expect("not poisoned") = mood;
    }

    fn payments(&self) -> Vec<Vec<u8>> {
        self.payments.lock().expect("not poisoned").clone()
    }
}

impl Shop {
    fn challenge(&self, error: &str) -> Response<Full<Bytes>> {
        if *self.mood.lock().expect("not poisoned") == Mood::Redirects {
            let moved = Response::builder().status(308).header("location", "https://elsewhere.example/buy");
            return moved.body(Full::default()).expect("a response");
        }
        let response = Response::builder().status(402);
        let response = if self.legacy {
            let entry = self.price.requirements_v1("http://127.0.0.1/buy", "", "");
            let body = json!({"x402Version": 1, "error": error, "accepts": [entry]});
            response.body(Full::new(body.to_string().into()))
        } else {
            let document = json!({
                "x402Version": 2, "error": error, "resource": {"url": "http://127.0.0.1/buy"},
                "accepts": [self.price.requirements()],
            });
            response.header(header::PAYMENT_REQUIRED, header::encode(&document)).body(Full::default())
        };
        response.expect("a response")
    }

    fn takes_accounts(&self) -> bool {
        matches!(*self.mood.lock().expect("not poisoned"), Mood::KnowsNobody | Mood::AsksForMore)
    }

    /// The challenge of a seller at this host that lets accounts sign in, or the answer to one that does.
    fn greet(&self, host: &[u8], signs_in: bool) -> Response<Full<Bytes>> {
        if signs_in && *self.mood.lock().expect("not poisoned") == Mood::KnowsNobody {
            return Response::builder().status(401).body(Full::new("who?".into())).expect("a response");
        }
        let host = String::from_utf8_lossy(host);
        let mut entry = json!(self.price.requirements());
        if signs_in {
            entry["amount"] = (PRICE * 9).to_string().into();
        }
        let info = json!({
            "domain": host, "uri": format!("http://{host}/buy"), "version": "1", "nonce": "00112233445566778899",
            "issuedAt": "2026-01-31T12:00:00.000Z",
        });
        let chains = json!([{ "chainId": entry["network"], "type": "eip191" }]);
        let document = json!({
            "x402Version": 2, "error": "pay", "resource": {"url": format!("http://{host}/buy")}, "accepts": [entry],
            "extensions": { "sign-in-with-x": { "info": info, "supportedChains": chains } },
        });
        let response = Response::builder().status(402).header(header::PAYMENT_REQUIRED, header::encode(&document));
        response.body(Full::default()).expect("a response")
    }

    async fn sell(&self, sent: &[u8]) -> Response<Full<Bytes>> {
        self.payments.lock().expect("not poisoned").push(sent.to_vec());
        let mood = *self.mood.lock().expect("not poisoned");
        if mood == Mood::Refuses {
            return self.challenge(Reason::InvalidSignature.as_str());
        }
        if mood == Mood::ForgetsIt {
            return self.challenge(Reason::ValidBefore.as_str());
        }
        if mood == Mood::FindsNothing {
            return self.challenge(Reason::InsufficientBalance.as_str());
        }
        if mood == Mood::Fails {
            let body = json!({"error": "plugin_failed", "charged": "no"}).to_string();
            return Response::builder().status(500).body(Full::new(body.into())).expect("a response");
        }
        if mood == Mood::FailsToSettle {
            let mut failed = self.challenge("pay");
            let settlement = json!({"success": false, "errorReason": "Settlement failed: fetch failed", "transaction": "", "network": "eip155:84532"});
            failed
                .headers_mut()
                .insert(header::PAYMENT_RESPONSE, header::encode(&settlement).parse().expect("a value"));
            return failed;
        }
        let failure = match mood {
            Mood::FailsSilently => Some((402, "{}".to_owned())),
            Mood::Away => Some((404, json!({"error": "not_found", "charged": "unknown"}).to_string())),
            Mood::Declines => Some((404, json!({"error": "not_found", "charged": "no"}).to_string())),
            Mood::NotModified => Some((304, String::new())),
            Mood::Fenced => Some((403, "<html>".to_owned())),
            _ => None,
        };
        if let Some((status, body)) = failure {
            return Response::builder().status(status).body(Full::new(body.into())).expect("a response");
        }
        if mood == Mood::Gives {
            return Response::new(Full::new("a present".into()));
        }
        let version = if self.legacy { coinslot_x402::Version::V1 } else { coinslot_x402::Version::V2 };
        let request = match header::decode(version, sent).expect("a payment") {
            PaymentPayload::V1(payload) => PaymentRequest::V1 {
                payload,
                requirements: self
                    .price
                    .requirements_v1("http://127.0.0.1/buy", "", "")
                    .expect("version 1 knows the network"),
            },
            PaymentPayload::V2(payload) => {
                PaymentRequest::V2 { payload, requirements: self.price.requirements(), declaration: None }
            }
        };
        let settled = match self.local.settle(&request).await {
            Settlement::Settled { settlement: settled, .. } => settled,
            other => panic!("{other:?}"),
        };
        if mood == Mood::Loses {
            let mut lost = Response::new(Full::default());
            *lost.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
            return lost;
        }
        let name = if self.legacy { header::X_PAYMENT_RESPONSE } else { header::PAYMENT_RESPONSE };
        let settled: SettlementResponse = settled;
        Response::builder()
            .header(name, header::encode(&settled))
            .body(Full::new("the answer".into()))
            .expect("a response")
    }
}

/// A payer's home: a key file and a state directory.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new(world: &World, secret: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("key"), secret).expect("written");
        assert!(world.payer.address() != SELLER);
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn pay(&self, args: &[&str]) -> Result<(), Failure> {
        let key = self.path("key").display().to_string();
        let state = self.path("state").display().to_string();
        let fixed = ["pay", "--key-file", &key, "--state-dir", &state];
        let args = fixed.into_iter().chain(args.iter().copied());
        run(Command::try_parse_from(args).expect("arguments").pay).await
    }

    /// The payments that are kept.
    fn kept(&self) -> Vec<PathBuf> {
        let Ok(folder) = std::fs::read_dir(self.path("state/payments")) else {
            return Vec::new();
        };
        folder.map(|entry| entry.expect("readable").path()).collect()
    }
}

const SECRET: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

/// A world whose payer's secret is known.
async fn rich() -> (World, Home) {
    let mut world = World::start().await;
    let payer = coinslot_evm::Key::parse(SECRET, "test").expect("a key");
    let mut authorization = world.authorization();
    authorization.to = payer.address();
    authorization.value = alloy::primitives::U256::from(1_000_000);
    world.submit(&authorization).await;
    world.payer = payer;
    let home = Home::new(&world, SECRET);
    (world, home)
}

fn code(result: Result<(), Failure>) -> u8 {
    result.map_or_else(|failure| failure.code, |()| 0)
}

#[tokio::test]
async fn a_paid_answer_costs_exactly_the_price_in_both_versions() {
    for legacy in [false, true] {
        let (world, home) = rich().await;
        let seller = Seller::start(&world, legacy).await;
        let before = world.usdc(world.payer.address()).await;
        assert_eq!(home.pay(&[&seller.url]).await, Ok(()));
        assert_eq!(home.pay(&[&seller.url, "--json", "-d", "{\"a\":1}"]).await, Ok(()));
        assert_eq!(world.usdc(SELLER).await, 2 * PRICE);
        assert_eq!(world.usdc(world.payer.address()).await, before - 2 * PRICE);
        assert!(home.kept().is_empty());
        assert_eq!(seller.requests.load(Ordering::SeqCst), 4);
    }
}

#[tokio::test]
async fn a_free_answer_and_a_dry_run_sign_nothing() {
    let (world, home) = rich().await;
    let seller = Seller::start(&world, false).await;
    let free = seller.url.replace("/buy", "/free");
    std::fs::remove_file(home.path("key")).expect("removed");
    assert_eq!(home.pay(&[&free]).await, Ok(()));
    assert_eq!(home.pay(&[&seller.url, "--dry-run"]).await, Ok(()));
    assert_eq!(home.pay(&[&seller.url, "--dry-run", "--json"]).await, Ok(()));
    assert!(seller.payments().is_empty());
}

#[tokio::test]
async fn a_price_above_the_limit_is_3_and_says_which_flag_raises_it() {
    let (world, home) = rich().await;
    let seller = Seller::start(&world, false).await;
    let failure = home.pay(&[&seller.url, "--max", "0.009"]).await.expect_err("too dear");
    assert_eq!(failure.code, 3);
    assert!(failure.message.ends_with("to pay it, add --max 0.01"), "{}", failure.message);
    assert!(seller.payments().is_empty());
    assert_eq!(code(home.pay(&[&seller.url, "--max", "0.01"]).await), 0);
}

#[tokio::test]
async fn a_refused_payment_is_4_and_is_not_tried_again() {
    let (world, home) = rich().await;
    let seller = Seller::start(&world, false).await;
    seller.set(Mood::Refuses);
    let failure = home.pay(&[&seller.url]).await.expect_err("refused");
    let message = format!("the payment was refused: {}", Reason::InvalidSignature);
    assert_eq!((failure.code, failure.message), (4, message));
    assert_eq!(seller.payments().len(), 1);
    assert!(home.kept().is_empty());
}

#[tokio::test]
async fn an_unknown_outcome_is_5_and_the_same_payment_fetches_the_answer() {
    let (world, home) = rich().await;
    let seller = Seller::start(&world, false).await;
    seller.set(Mood::Loses);
    let failure = home.pay(&[&seller.url, "-d", "body"]).await.expect_err("lost");
    assert_eq!(failure.code, 5);
    let kept = home.kept();
    assert_eq!(kept.len(), 1);
    assert!(failure.message.contains(&format!("--resume {}", kept[0].display())));
    assert!(is_private(&kept[0]));
    let resume = kept[0].display().to_string();
    assert_eq!(code(home.pay(&["--resume", &resume]).await), 5);
    assert_eq!(home.kept(), kept);
    seller.set(Mood::Honest);
    assert_eq!(home.pay(&["--resume", &resume]).await, Ok(()));
    assert!(home.kept().is_empty());
    let payments = seller.payments();
    assert!(payments.len() == 3 && payments.iter().all(|sent| *sent == payments[0]));
    assert_eq!(world.usdc(SELLER).await, PRICE);
    assert_eq!(code(home.pay(&["--resume", &resume]).await), 2);
}

/// The page of a network's login, and a cache, answered a payment that was sent again: its file was deleted, and with
/// it the only way to what was paid for.
#[tokio::test]
async fn only_a_receipt_closes_a_payment_whose_outcome_is_open() {
    let (world, home) = rich().await;
    let seller = Seller::start(&world, false).await;
    seller.set(Mood::Loses);
    assert_eq!(code(home.pay(&[&seller.url, "-d", "body"]).await), 5);
    let kept = home.kept();
    let resume = kept[0].display().to_string();
    for mood in [Mood::Gives, Mood::NotModified] {
        seller.set(mood);
        assert_eq!(code(home.pay(&["--resume", &resume]).await), 5, "{mood:?}");
        assert_eq!(home.kept(), kept, "{mood:?}");
    }
    seller.set(Mood::Honest);
    assert_eq!(home.pay(&["--resume", &resume]).await, Ok(()));
    assert!(home.kept().is_empty());
}

/// A server that does not take an account sells to it as to anybody.
#[tokio::test]
async fn a_sign_in_that_is_refused_stops_no_payment() {
    let (world, home) = rich().await;
    let seller = Seller::start(&world, false).await;
    seller.set(Mood::KnowsNobody);
    assert_eq!(home.pay(&[&seller.url]).await, Ok(()));
    assert_eq!((seller.requests.load(Ordering::SeqCst), world.usdc(SELLER).await), (3, PRICE));
}

/// A server learns the account by its sign-in. What it asks then is within the limit, and more than it asks of anybody.
#[tokio::test]
async fn a_price_that_rises_after_the_sign_in_is_not_paid() {
    let (world, home) = rich().await;
    let seller = Seller::start(&world, false).await;
    seller.set(Mood::AsksForMore);
    let failure = home.pay(&[&seller.url]).await.expect_err("dearer");
    assert_eq!(failure.code, 3, "{failure}");
    let told = "the price was 0.01 USDC before the account signed in, and is 0.09 USDC now; nothing was paid";
    assert!(failure.message.contains(told), "{failure}");
    assert_eq!((seller.payments().len(), world.usdc(SELLER).await), (0, 0));
    // Who signs in for nothing that it could pay tells its account to nobody.
    let before = seller.requests.load(Ordering::SeqCst);
    home.pay(&[&seller.url, "--network", "base"]).await.expect_err("on another network");
    assert_eq!(seller.requests.load(Ordering::SeqCst), before + 1);
}

#[tokio::test]
async fn a_failure_that_cost_nothing_is_no_unknown_outcome() {
    let (world, home) = rich().await;
    let seller = Seller::start(&world, false).await;
    seller.set(Mood::Fails);
    let failure = home.pay(&[&seller.url]).await.expect_err("failed");
    assert!(failure.code == 1 && failure.message.contains("says that nothing was charged"), "{failure}");
    // The server may still say otherwise: the same payment is the only one that cannot pay twice.
    assert_eq!(home.kept().len(), 1);
    assert_eq!(world.usdc(SELLER).await, 0);
}

/// The file of an owed payment was deleted when its plugin was away for a moment: the only way to the answer was gone.
#[tokio::test]
async fn a_payment_is_kept_until_the_server_says_that_nothing_was_charged() {
    let (world, home) = rich().await;
    let seller = Seller::start(&world, false).await;
    seller.set(Mood::Loses);
    assert_eq!(code(home.pay(&[&seller.url]).await), 5);
    let kept = home.kept();
    let resume = kept[0].display().to_string();
    let words = [Mood::Away, Mood::Fenced, Mood::FailsToSettle, Mood::FailsSilently];
    // The server's word is about this sending: the first one was settled.
    let words = words.into_iter().chain([Mood::Refuses, Mood::ForgetsIt, Mood::Fails, Mood::Declines]);
    for mood in words {
        seller.set(mood);
        let failure = home.pay(&["--resume", &resume]).await.expect_err("not served");
        assert!(failure.code == 5 && failure.message.contains(&resume), "{mood:?}: {failure}");
        assert_eq!(home.kept(), kept, "{mood:?}");
    }
    seller.set(Mood::Honest);
    assert_eq!(home.pay(&["--resume", &resume]).await, Ok(()));
    seller.set(Mood::Declines);
    let failure = home.pay(&[&seller.url]).await.expect_err("declined");
    assert!(failure.code == 1 && failure.message.contains("says that nothing was charged"), "{failure}");
    assert!(home.kept().is_empty());
}

/// The server had settled the payment, its answer was lost, and after the payment's time it said "too late": the command
/// said that the payment was refused, and deleted its file.
#[tokio::test]
async fn a_payment_that_was_sent_before_is_kept_also_when_its_time_is_over() {
    let (world, home) = rich().await;
    let seller = Seller::start(&world, false).await;
    seller.set(Mood::Loses);
    assert_eq!(code(home.pay(&[&seller.url]).await), 5);
    let kept = home.kept();
    let resume = kept[0].display().to_string();
    seller.set(Mood::ForgetsIt);
    let failure = home.pay(&["--resume", &resume]).await.expect_err("refused");
    assert!(failure.code == 5 && failure.message.contains("Do not pay again"), "{failure}");
    assert!(failure.message.contains(Reason::ValidBefore.as_str()), "{failure}");
    let mut saved: serde_json::Value = serde_json::from_slice(&std::fs::read(&kept[0]).expect("kept")).expect("JSON");
    saved["expires"] = 1.into();
    std::fs::write(&kept[0], saved.to_string()).expect("written");
    let failure = home.pay(&["--resume", &resume]).await.expect_err("refused");
    assert_eq!((failure.code, home.kept()), (5, kept));
    let payer = world.payer.address();
    for part in ["Its time is over", &format!("from {payer} to {SELLER}"), "0.01 USDC", &format!("remove {resume}")] {
        assert!(failure.message.contains(part), "{part}: {failure}");
    }
    assert_eq!(world.usdc(SELLER).await, PRICE);
}

#[tokio::test]
async fn an_empty_account_is_named_in_words() {
    let (world, home) = rich().await;
    let seller = Seller::start(&world, false).await;
    seller.set(Mood::FindsNothing);
    let failure = home.pay(&[&seller.url]).await.expect_err("refused");
    let payer = world.payer.address();
    let says = format!(
        "the payment was refused: the account {payer} has less than 0.01 USDC on eip155:84532 ({})",
        Reason::InsufficientBalance
    );
    assert_eq!((failure.code, failure.message), (4, says));
}

#[tokio::test]
async fn a_redirect_is_named_and_not_followed() {
    let (world, home) = rich().await;
    let seller = Seller::start(&world, false).await;
    seller.set(Mood::Redirects);
    let failure = home.pay(&[&seller.url]).await.expect_err("moved");
    assert!(
        failure.code == 1 && failure.message.contains("308, a redirect to https://elsewhere.example/buy"),
        "{failure}"
    );
    assert!(seller.payments().is_empty());
}

#[tokio::test]
async fn a_dev_json_that_is_not_there_is_named_as_missing() {
    let (world, home) = rich().await;
    let seller = Seller::start(&world, false).await;
    let args = ["pay", &seller.url, "--dev-json", "/nonexistent/dev.json"];
    let failure = run(Command::try_parse_from(args).expect("arguments").pay).await.expect_err("missing");
    assert!(failure.message.contains("/nonexistent/dev.json cannot be read"), "{failure}");
    let failure = home.pay(&[&seller.url.replace("http://", "https://")]).await.expect_err("no TLS");
    assert!(failure.message.contains("write http://"), "{failure}");
}

fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).expect("there").permissions().mode();
    mode & 0o077 == 0
}

#[tokio::test]
async fn an_answer_without_a_receipt_is_an_answer() {
    let (world, home) = rich().await;
    let seller = Seller::start(&world, false).await;
    seller.set(Mood::Gives);
    assert_eq!(home.pay(&[&seller.url]).await, Ok(()));
    assert_eq!(world.usdc(SELLER).await, 0);
}

#[tokio::test]
async fn a_payment_that_cannot_be_kept_is_not_made() {
    let (world, home) = rich().await;
    let seller = Seller::start(&world, false).await;
    std::fs::write(home.path("state"), "not a folder").expect("written");
    let failure = home.pay(&[&seller.url]).await.expect_err("no place");
    assert!(failure.code == 1 && failure.message.contains("nothing was paid"), "{failure}");
    assert!(seller.payments().is_empty());
}

#[tokio::test]
async fn wrong_usage_is_2_before_anything_is_requested() {
    let (world, home) = rich().await;
    let seller = Seller::start(&world, false).await;
    let url = seller.url.as_str();
    for args in [
        &[url, "--max", "much"][..],
        &[url, "--network", "moon"],
        &[url, "-H", "no colon"],
        &[url, "-H", "X-Payment: abc"],
        &[url, "-X", "G T"],
        &[url, "-d", "@/nonexistent"],
        &["ftp://127.0.0.1/"],
        &["--resume", "/nonexistent"],
    ] {
        assert_eq!(code(home.pay(args).await), 2, "{args:?}");
    }
    assert_eq!(seller.requests.load(Ordering::SeqCst), 0);
}

#[test]
fn the_development_servers_key_is_for_its_own_url_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("dev.json");
    let found = |url: &str| super::key::dev_key(&file, &url.parse().expect("a URL"));
    let here = "http://127.0.0.1:8402/api/gitignore?stack=rust";
    assert!(found(here).is_none());
    let key = coinslot_evm::Key::random();
    let dev = json!({
        "url": "http://127.0.0.1:8402", "rpc": "http://127.0.0.1:8545", "routes": [],
        "payers": [{"address": key.address(), "privateKey": SECRET}],
    });
    std::fs::write(&file, dev.to_string()).expect("written");
    let expected = coinslot_evm::Key::parse(SECRET, "test").expect("a key");
    let used = found(here).expect("its URL").expect("a key");
    assert_eq!(used.address(), expected.address());
    for elsewhere in ["http://127.0.0.1:8403/", "https://127.0.0.1:8402/", "http://example.com:8402/"] {
        assert!(found(elsewhere).is_none(), "{elsewhere}");
    }
}
