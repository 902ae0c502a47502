//! Looks at webhooks on the dashboard: their page, the form that tells one again, and the deliveries of a payment.

use coinslot_tests::{Receiver, ReceiverMode, ServeHost, TestChain, look_at, look_at_opened};
use reqwest::redirect::Policy;

use super::{LIMIT, host, text, until, webhook};
use crate::admin::{ask, becomes};

async fn page(host: &ServeHost, path: &str) -> String {
    let answer = reqwest::get(format!("{}{path}", host.admin())).await.expect("an answer");
    assert_eq!(answer.status(), 200, "{path}");
    answer.text().await.expect("a page")
}

/// Sends the form of the page from this origin.
async fn press(host: &ServeHost, proof: &str, url: &str, after: &str, origin: &str) -> reqwest::Response {
    let client = reqwest::Client::builder().redirect(Policy::none()).build().expect("a client");
    let fields = [("proof", proof), ("url", url), ("after", after)];
    let form = reqwest::Url::parse_with_params("http://form", fields).expect("a form");
    let post = client.post(format!("{}/webhooks/resend", host.admin())).header("origin", origin);
    let post = post.header("content-type", "application/x-www-form-urlencoded");
    post.body(form.query().unwrap_or_default().to_owned()).send().await.expect("an answer")
}

#[tokio::test]
async fn a_webhook_is_told_again_from_its_page_by_an_operator_who_was_shown_the_page() {
    let chain = TestChain::start().await;
    let receiver = Receiver::start().await;
    let host = host(&chain, &["status"], &receiver, "events = [\"paid\", \"owed\"]\n").await;
    assert!(page(&host, "/webhooks").await.contains("It was told nothing yet"));
    receiver.set(ReceiverMode::Refuse(500));
    host.buy(chain.payer(0), "/status", LIMIT).await;
    becomes(&host, "/api/v1/webhooks", |found| !found[0]["nextTry"].is_null()).await;
    let shown = page(&host, "/webhooks").await;
    for part in ["failing", "in a row failed", "paid, owed", "1 message waits", "payment.paid", "with 500"] {
        assert!(shown.contains(part), "{part} is missing from\n{shown}");
    }
    receiver.set(ReceiverMode::Accept);
    until("it is told", &host, || receiver.accepted().len() == 1).await;
    becomes(&host, "/api/v1/webhooks", |found| found[0]["waiting"] == 0).await;
    let shown = page(&host, "/webhooks").await;
    assert!(shown.contains("up to date") && shown.contains("with 200"), "{shown}");
    assert!(!shown.contains("/hook"), "the path may be a secret: {shown}");

    // The payment's page says who was told, when, and how that went.
    let name = text(&webhook(&host).await, "/url");
    becomes(&host, "/api/v1/webhooks/attempts", |found| found[0]["status"] == 200).await;
    let payment = text(&ask(&host, "/api/v1/payments").await, "/0/paymentId");
    let story = page(&host, &format!("/payments/{payment}")).await;
    for part in ["Who was told", &name, "payment.paid", "with 200", "with 500"] {
        assert!(story.contains(part), "{part} is missing from\n{story}");
    }

    let admin = host.admin();
    let (_, proof) = shown.split_once("name=\"proof\" value=\"").expect("a proof");
    let proof = proof.split('"').next().expect("a value").to_owned();
    assert_eq!(press(&host, "0", &name, "0", &admin).await.status(), 403, "a form of no page");
    assert_eq!(press(&host, &proof, &name, "0", "https://evil.example").await.status(), 403, "of another origin");
    assert_eq!(press(&host, &proof, "http://nowhere.example/", "0", &admin).await.status(), 404);
    for after in ["", "often", "-1", "7"] {
        assert_eq!(press(&host, &proof, &name, after, &admin).await.status(), 400, "{after:?}");
    }
    assert_eq!(receiver.accepted().len(), 1);
    let pressed = press(&host, &proof, &name, "0", &admin).await;
    assert_eq!((pressed.status().as_u16(), &pressed.headers()["location"]), (303, &"/webhooks".parse().expect("it")));
    until("it is told again", &host, || receiver.accepted().len() == 2).await;
    let changes = becomes(&host, "/api/v1/audit?kind=webhook_resent", |found| !found[0].is_null()).await;
    assert_eq!(changes[0]["who"], "operator without a token from 127.0.0.1");
}

/// Needs Chromium, as the other pictures do.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_webhooks_fits_every_window_empty_and_in_trouble() {
    let chain = TestChain::start().await;
    let receiver = Receiver::start().await;
    let empty = chain.serve(&["status"], "[admin]\nlisten = \"127.0.0.1:0\"\n").await;
    let other = "[[webhook]]\nurl = \"https://a-receiver-with-a-long-name.operations.example.com/hook?key=secret\"\n\
                 secret_file = \"key\"\nevents = [\"alert\"]\n";
    let host = host(&chain, &["status", "unruly"], &receiver, other).await;
    host.buy(chain.payer(0), "/status", LIMIT).await;
    host.buy(chain.payer(0), "/unruly?recurse", LIMIT).await;
    until("it is told", &host, || receiver.accepted().len() == 2).await;
    receiver.set(ReceiverMode::Refuse(503));
    host.buy(chain.payer(1), "/status", LIMIT).await;
    host.install("broken.wasm", b"no component");
    let both =
        |found: &serde_json::Value| found[0]["failures"].as_u64() > Some(0) && found[1]["failures"].as_u64() > Some(0);
    becomes(&host, "/api/v1/webhooks", both).await;
    let payment = text(&ask(&host, "/api/v1/payments").await, "/0/paymentId");
    becomes(&host, &format!("/api/v1/webhooks/attempts?payment={payment}"), |found| !found[0].is_null()).await;
    let pages = [
        ("webhooks-none".to_owned(), format!("{}/webhooks", empty.admin())),
        ("webhooks".to_owned(), format!("{}/webhooks", host.admin())),
        ("webhooks-payment".to_owned(), format!("{}/payments/{payment}", host.admin())),
    ];
    let mut seen = look_at(&pages, None);
    let opened = [("webhooks-opened".to_owned(), format!("{}/webhooks", host.admin()))];
    seen.extend(look_at_opened(&opened, "details.confirm[id=resend-0]"));
    let text = |name: &str| -> &str {
        &seen.iter().find(|page| page.name == format!("{name}-1440-light")).expect("a page").text
    };
    assert!(text("webhooks-none").contains("No address is told what happens"), "{}", text("webhooks-none"));
    for part in ["failing", "with 503", "alert.raised", "Tell again"] {
        assert!(text("webhooks").contains(part), "{part} is missing:\n{}", text("webhooks"));
    }
    assert!(text("webhooks-payment").contains("Who was told"), "{}", text("webhooks-payment"));
    let faults: Vec<_> = seen.iter().filter(|page| page.status != 200 || !page.faults.is_empty()).collect();
    assert!(faults.is_empty(), "{faults:?}");
}
