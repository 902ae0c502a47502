//! Follows payments and requests through the books: every step of a payment has its time, and whoever has the id of a
//! request, a payer or a payment finds what became of it, on pages, in the API and by commands.

use std::time::{Duration, Instant};

use coinslot_tests::{FacilitatorMode, Receiver, ServeHost, TestChain, Wallet, guest, run};
use reqwest::{Client, Response};
use serde_json::Value;

use crate::admin::ask;

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

const LIMIT: Duration = Duration::from_secs(60);

fn header(answer: &Response, name: &str) -> String {
    answer.headers().get(name).map(|value| value.to_str().expect("ASCII").to_owned()).unwrap_or_default()
}

/// A payment for this path, which may be sent again.
struct Purchase {
    path: &'static str,
    payment: String,
}

impl Purchase {
    async fn of(host: &ServeHost, payer: &Wallet, path: &'static str) -> Self {
        let challenge = Client::new().post(host.url(path)).send().await.expect("a challenge");
        assert_eq!(challenge.status(), 402, "{}", host.log());
        Self { path, payment: payer.pay(&challenge).header() }
    }

    /// Sends it. Returns the status, the id of the request and that of the payment.
    async fn send(&self, host: &ServeHost, fields: &[(&str, &str)]) -> (u16, String, String) {
        let mut request = Client::new().post(host.url(self.path)).header("PAYMENT-SIGNATURE", &self.payment);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.expect("an answer");
        let (status, request) = (answer.status().as_u16(), header(&answer, "x-request-id"));
        let payment = header(&answer, "x-coinslot-payment-id");
        answer.bytes().await.expect("a body");
        (status, request, payment)
    }
}

async fn page(host: &ServeHost, path: &str) -> String {
    let answer = reqwest::get(format!("{}{path}", host.admin())).await.expect("an answer");
    assert_eq!(answer.status(), 200, "{path}");
    answer.text().await.expect("a page")
}

/// Runs a command against the host. Returns its output and what it said.
fn command(host: &ServeHost, arguments: &[&str]) -> (String, String) {
    let url = host.admin();
    let words: Vec<&str> = arguments.iter().copied().chain(["--url", &url]).collect();
    let output = run(&host.path("."), &words);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

/// The records of a list once there are so many: what no answer waits for is written a moment later.
async fn records(host: &ServeHost, path: &str, number: usize) -> Vec<Value> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let found = ask(host, path).await.as_array().expect("a list").clone();
        if found.len() == number {
            return found;
        }
        assert!(Instant::now() < deadline, "not {number} of {path}: {found:?}\n{}", host.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The story of a payment once it has this step.
async fn story_with(host: &ServeHost, payment: &str, step: &str) -> Value {
    let deadline = Instant::now() + LIMIT;
    loop {
        let story = ask(host, &format!("/api/v1/payments/{payment}/story")).await;
        if steps(&story).contains(&step) {
            return story;
        }
        assert!(Instant::now() < deadline, "no {step}: {story}\n{}", host.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn steps(story: &Value) -> Vec<&str> {
    story["steps"].as_array().expect("steps").iter().map(|step| step["step"].as_str().expect("a name")).collect()
}

fn step<'s>(story: &'s Value, name: &str) -> &'s Value {
    let steps = story["steps"].as_array().expect("steps");
    steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("no {name}: {story}"))
}

/// A request id that was typed into the search led to a page that did not exist.
#[tokio::test]
async fn whatever_a_request_was_it_is_found_by_its_id() {
    let chain = TestChain::start().await;
    let free = "[[allow]]\nplugin = \"echo\"\nrequests = 1\nper = \"everyone\"\nevery = \"forever\"\n";
    let host = chain.serve(&["status", "unruly", "echo"], &format!("{ADMIN}{free}")).await;
    let given = Client::new().post(host.url("/echo")).body("mine").send().await.expect("an answer");
    assert_eq!(given.status(), 200, "{}", host.log());
    let given = header(&given, "x-request-id");
    let (status, paid, payment) = Purchase::of(&host, chain.payer(0), "/status").await.send(&host, &[]).await;
    assert_eq!(status, 200);
    let (status, failed, _) = Purchase::of(&host, chain.payer(0), "/unruly?recurse").await.send(&host, &[]).await;
    assert_eq!(status, 500);

    let found = records(&host, &format!("/api/v1/payments?request={paid}"), 1).await;
    assert_eq!(found[0]["paymentId"], payment.as_str());
    let found = records(&host, &format!("/api/v1/failed?request={failed}"), 1).await;
    let given_back = found[0]["paymentId"].as_str().expect("an id").to_owned();
    assert_eq!((&found[0]["requestId"], &found[0]["plugin"]), (&failed.clone().into(), &"unruly".into()));
    let found = records(&host, &format!("/api/v1/free?request={given}"), 1).await;
    assert_eq!((&found[0]["requestId"], &found[0]["outcome"]), (&given.clone().into(), &"served".into()));
    for list in ["payments", "failed", "free"] {
        let matches = [&paid, &failed, &given].map(|id| format!("/api/v1/{list}?request={id}"));
        let mut numbers = Vec::new();
        for path in &matches {
            numbers.push(ask(&host, path).await.as_array().expect("a list").len());
        }
        assert_eq!(numbers.iter().sum::<usize>(), 1, "{list} has one of the three: {numbers:?}");
    }

    let search = async |q: &str| page(&host, &format!("/payments?q={q}")).await;
    assert!(search(&paid).await.contains(&format!("/payments/{payment}")));
    let shown = search(&failed).await;
    assert!(shown.contains("Failed calls") && shown.contains(&format!("/payments/{given_back}")), "{shown}");
    let shown = search(&given).await;
    assert!(shown.contains("Free requests") && shown.contains("POST /echo") && shown.contains(&given), "{shown}");
    assert!(search(&payment.to_ascii_uppercase()).await.contains("Its story"), "a payment's own id");
    let shown = search("00000000000000000000000000000000").await;
    assert!(shown.contains("No payment, failed call or free request has this id"), "{shown}");

    let (json, said) = command(&host, &["payments", "--request", &paid]);
    assert!(json.contains(&payment) && said.is_empty(), "{json}{said}");
    let (json, said) = command(&host, &["payments", "--request", &failed]);
    assert!(json.is_empty() && said.contains(&format!("`coinslot failed --request {failed}` shows it")), "{said}");
    assert!(command(&host, &["failed", "--request", &failed]).0.contains(&given_back));
    assert!(command(&host, &["payments", "--request", &given]).1.contains("it is a free request: POST /echo"));
    let (json, said) = command(&host, &["payments", "--request", "never-was"]);
    assert!(json.is_empty() && said.contains("of others only the log tells"), "{said}");
    let ledger = |arguments: &[&str]| {
        let output = run(&host.path(""), &[&["ledger"], arguments].concat());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(ledger(&["payments", "--request", &paid]).contains(&payment));
    assert!(ledger(&["failed", "--request", &failed]).contains(&given_back));
    assert!(ledger(&["free", "--request", &given]).contains("\"outcome\":\"served\""));
    assert!(ledger(&["free", "--request", &paid]).is_empty());
}

/// Another request than the first is what a client whose connection broke has in its hand.
#[tokio::test]
async fn a_request_that_fetches_an_answer_again_is_found_and_so_is_one_that_a_proxy_has_named() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["status"], &format!("[server]\ntrusted_proxies = [\"127.0.0.1\"]\n{ADMIN}")).await;
    let purchase = Purchase::of(&host, chain.payer(0), "/status").await;
    let (status, first, payment) = purchase.send(&host, &[("x-request-id", "order-4711")]).await;
    assert_eq!((status, first.as_str()), (200, "order-4711"));
    let (status, again, same) = purchase.send(&host, &[]).await;
    assert_eq!((status, &same), (200, &payment), "{}", host.log());
    let story = story_with(&host, &payment, "asked_again").await;
    assert_eq!(step(&story, "asked_again")["requestId"], again.as_str());
    for request in ["order-4711", &again] {
        let found = records(&host, &format!("/api/v1/payments?request={request}"), 1).await;
        assert_eq!(found[0]["paymentId"], payment.as_str(), "{request}");
        let shown = page(&host, &format!("/payments?q={request}")).await;
        assert!(shown.contains(&format!("/payments/{payment}")), "{shown}");
    }
    let shown = page(&host, &format!("/payments/{payment}")).await;
    assert!(shown.contains("Asked for again") && shown.contains(&again), "{shown}");
}

#[tokio::test]
async fn a_payer_is_found_with_its_failed_calls_and_its_free_requests() {
    let chain = TestChain::start().await;
    let free = "[[allow]]\nplugin = \"status\"\nrequests = 1\nper = \"payer\"\nevery = \"1d\"\n";
    let host = chain.serve(&["status", "unruly", "echo"], &format!("{ADMIN}{free}")).await;
    let (payer, other) = (chain.payer(0), chain.payer(1));
    let challenge = Client::new().post(host.url("/status")).send().await.expect("a challenge");
    let signed = Client::new().post(host.url("/status")).header("SIGN-IN-WITH-X", payer.sign_in(&challenge));
    assert_eq!(signed.send().await.expect("an answer").status(), 200, "{}", host.log());
    for who in [payer, other] {
        assert_eq!(host.buy(who, "/unruly?recurse", LIMIT).await.statuses, [500]);
    }
    host.buy(payer, "/echo", LIMIT).await;
    records(&host, "/api/v1/failed", 2).await;
    let of = payer.address().to_string();
    let failed = records(&host, &format!("/api/v1/failed?payer={}", of.to_lowercase()), 1).await;
    assert_eq!(failed[0]["payer"].as_str().expect("a payer").to_lowercase(), of.to_lowercase());
    let id = failed[0]["paymentId"].as_str().expect("an id").to_owned();
    assert_eq!(records(&host, &format!("/api/v1/free?who={of}"), 1).await[0]["kind"], "payer");

    let shown = page(&host, &format!("/payments?q={of}")).await;
    for part in ["Failed calls", &id, "Free requests", "POST /echo", "POST /status"] {
        assert!(shown.contains(part), "{part} is missing:\n{shown}");
    }
    let others = page(&host, &format!("/payments?q={}", other.address())).await;
    assert!(others.contains("Failed calls") && !others.contains("Free requests") && !others.contains(&id), "{others}");
    let list = page(&host, &format!("/failed?payer={of}")).await;
    assert!(list.contains(&id) && list.matches("href=\"/payments/").count() == 1, "{list}");
    let nobody = page(&host, "/failed?payer=0x0000000000000000000000000000000000000001").await;
    assert!(nobody.contains("No plugin has failed for a payment of this payer"), "{nobody}");
    let (json, _) = command(&host, &["failed", "--payer", &of]);
    assert!(json.lines().count() == 1 && json.contains(&id), "{json}");
}

/// Steps had lengths and no times, and a payment that was given back had neither its payer nor its request.
#[tokio::test]
async fn the_story_of_a_payment_has_every_step_with_its_time() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["status", "unruly"], ADMIN).await;
    let (_, request, payment) = Purchase::of(&host, chain.payer(0), "/status").await.send(&host, &[]).await;
    let story = story_with(&host, &payment, "delivered").await;
    assert_eq!(steps(&story), ["claimed", "verified", "started", "answered", "sent", "paid", "delivered"]);
    assert_eq!((&story["state"], &story["requestId"]), (&"delivered".into(), &request.clone().into()));
    for (index, told) in story["steps"].as_array().expect("steps").iter().enumerate() {
        assert!(told["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{told}");
        assert_eq!(told["secondsAfter"].is_u64(), index > 0, "{told}");
    }
    for measured in ["verified", "answered", "paid"] {
        assert!(step(&story, measured)["tookMicroseconds"].as_u64().is_some_and(|took| took > 0), "{story}");
    }
    let paid = step(&story, "paid");
    let transaction = paid["transaction"].as_str().expect("a transaction");
    let block = chain.client().receipt(transaction).await["blockNumber"].as_str().expect("hex").to_owned();
    assert_eq!(format!("{:#x}", paid["block"].as_u64().expect("a number")), block, "{paid}");
    let shown = page(&host, &format!("/payments/{payment}")).await;
    let in_block = format!(" in block {}", paid["block"]);
    for part in ["Claimed", "Verified", "Started", "Answered", "Settlement", "Paid", "Delivered", &in_block, &request] {
        assert!(shown.contains(part), "{part} is missing:\n{shown}");
    }
    assert!(shown.contains("<span class=\"after\">+ "), "{shown}");
    let (table, _) = command(&host, &["payments", &payment, "--story", "--format", "table"]);
    assert!(table.contains("delivered: 0.01 USDC on") && table.contains("verified"), "{table}");
    let (json, _) = command(&host, &["payments", &payment, "--story"]);
    assert_eq!(json.lines().count(), 7, "a line for each step: {json}");

    let (status, request, _) = Purchase::of(&host, chain.payer(1), "/unruly?recurse").await.send(&host, &[]).await;
    assert_eq!(status, 500);
    let given_back = records(&host, "/api/v1/failed", 1).await[0]["paymentId"].as_str().expect("an id").to_owned();
    let story = story_with(&host, &given_back, "given_back").await;
    assert_eq!(steps(&story), ["claimed", "started", "given_back"]);
    let payer = chain.payer(1).address().to_string();
    assert_eq!((&story["requestId"], &story["state"]), (&request.clone().into(), &"given_back".into()));
    assert_eq!(story["payer"].as_str().map(str::to_lowercase), Some(payer.to_lowercase()));
    let shown = page(&host, &format!("/payments/{given_back}")).await;
    let story_payer = story["payer"].as_str().expect("a payer");
    for part in ["nothing was charged", story_payer, &request, "Claimed", "Given back"] {
        assert!(shown.contains(part), "{part} is missing:\n{shown}");
    }
    let unknown = reqwest::get(format!("{}/api/v1/payments/{}/story", host.admin(), "0".repeat(32))).await;
    assert_eq!(unknown.expect("an answer").status(), 404);
}

#[tokio::test]
async fn a_refusal_says_whether_the_plugin_had_worked_for_it() {
    let (chain, receiver) = (TestChain::start().await, Receiver::start().await);
    let facilitator = chain.facilitator(0).await;
    let mut host = chain.serve_through(&guest("echo"), &[&facilitator]).await;
    std::fs::write(host.path("key"), "a secret of sixteen bytes and more").expect("a key file");
    let hook =
        format!("{ADMIN}[[webhook]]\nurl = \"{}\"\nsecret_file = \"key\"\nevents = [\"refused\"]\n", receiver.url());
    host.write_configuration(&format!("{}{hook}", host.configuration()));
    host.restart(&[]).await;
    // A payer with a refused settlement pays upfront afterwards.
    for number in 1..=2 {
        facilitator.next_settle(FacilitatorMode::Refuse);
        let refused = host.buy(chain.payer(0), "/echo", LIMIT).await;
        assert_eq!(refused.statuses.last(), Some(&402), "{refused:?}");
        let deadline = Instant::now() + LIMIT;
        while receiver.accepted().len() < number {
            assert!(Instant::now() < deadline, "not told: {}", host.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let told: Vec<Value> = receiver.accepted().iter().map(|message| message.json()).collect();
    let after_work: Vec<&Value> = told.iter().map(|message| &message["data"]["afterWork"]).collect();
    assert_eq!(after_work, [&Value::Bool(true), &Value::Bool(false)], "{told:?}\n{}", host.log());
    let first = told[0]["data"]["paymentId"].as_str().expect("an id");
    let shown = page(&host, &format!("/payments/{first}")).await;
    assert!(shown.contains("the plugin had worked for it"), "{shown}");
}
