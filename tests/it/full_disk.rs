//! Fills the disk of the ledger while clients pay, and frees it again, without a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coinslot_tests::{ServeHost, SmallDisk, TestChain, Wallet, decode};
use serde_json::Value;

/// One endpoint of each flow.
const PATHS: [&str; 2] = ["/echo", "/upfront"];

/// Buys until `over` is set. Each payment is repeated until it has its answer, or is told that its run was interrupted
/// and cost nothing: then the next one is signed. Returns the number of receipts.
async fn buy_repeatedly(client: reqwest::Client, url: String, payer: Wallet, over: Arc<AtomicBool>) -> usize {
    let mut receipts = 0;
    while !over.load(Ordering::Relaxed) {
        let challenge = client.post(&url).body("mine").send().await.expect("an answer");
        if challenge.status() == 503 {
            assert!(!challenge.headers().contains_key("payment-required"), "asks for money and cannot take it");
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        assert_eq!(challenge.status(), 402);
        let payment = payer.pay(&challenge).header();
        let begun = Instant::now();
        loop {
            let request = client.post(&url).body("mine").header("PAYMENT-SIGNATURE", &payment);
            let reply = request.send().await.expect("an answer");
            let (status, receipt) = (reply.status().as_u16(), reply.headers().get("payment-response").cloned());
            let body = reply.text().await.expect("a body");
            if status == 200 {
                let receipt = decode(receipt.expect("a receipt").to_str().expect("ASCII"));
                assert!(receipt["success"] == true && receipt["transaction"].is_string(), "{receipt}");
                receipts += 1;
                break;
            }
            if status == 402 {
                assert!(body.contains("\"interrupted\"") && body.contains("\"charged\":\"no\""), "{body}");
                break;
            }
            assert!(matches!(status, 503 | 409), "{status} {body}");
            assert!(begun.elapsed() < Duration::from_secs(120), "no answer, at last {status} {body}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    receipts
}

/// Waits until the readiness page reports this.
async fn becomes_ready(host: &ServeHost, ready: bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let reply = reqwest::get(host.url("/.well-known/coinslot/ready")).await.expect("an answer");
        let body: Value = reply.json().await.expect("JSON");
        if body["ready"] == ready {
            let named = body["obstacles"].to_string().contains("the ledger cannot be written");
            assert_eq!(named, !ready, "{body}");
            return;
        }
        assert!(Instant::now() < deadline, "{body}\n{}", host.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_disk_that_fills_under_load_costs_nobody_money_and_needs_no_restart() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["echo", "upfront"], "").await;
    let disk = SmallDisk::of(&host.path(".coinslot"));
    let variables = disk.variables();
    host.restart(&variables.each_ref().map(|(name, value)| (*name, value.as_str()))).await;
    let process = host.process();

    let (over, client) = (Arc::new(AtomicBool::new(false)), reqwest::Client::new());
    let mut buying = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (url, payer) = (host.url(PATHS[number % 2]), chain.payer(number % 4).clone());
        buying.spawn(buy_repeatedly(client.clone(), url, payer, Arc::clone(&over)));
    }
    while host.ledger().len() < 16 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Signed in time, and sent too late.
    let challenge = client.post(host.url("/echo")).body("mine").send().await.expect("a challenge");
    let late = chain.payer(0).pay(&challenge).header();
    let send_late = || client.post(host.url("/echo")).body("mine").header("PAYMENT-SIGNATURE", &late).send();
    disk.fill();
    becomes_ready(&host, false).await;
    let refused = send_late().await.expect("an answer");
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after") && !refused.headers().contains_key("payment-response"));
    let (runs, received) = (host.runs() + host.runs_of("upfront"), chain.payments_received().await);
    for path in PATHS {
        let unpaid = client.post(host.url(path)).body("mine").send().await.expect("an answer");
        assert_eq!(unpaid.status(), 503, "{path}");
        assert!(unpaid.headers().contains_key("retry-after") && !unpaid.headers().contains_key("payment-required"));
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (later, more) = (host.runs() + host.runs_of("upfront"), chain.payments_received().await);
    // What was under way at that moment may end, and nothing begins.
    assert!(later <= runs + 8 && more <= received + 8, "{runs} and {later} runs, {received} and {more} payments");
    becomes_ready(&host, false).await;

    disk.free();
    becomes_ready(&host, true).await;
    let (known, deadline) = (host.ledger().len(), Instant::now() + Duration::from_secs(60));
    while host.ledger().len() < known + 16 {
        assert!(Instant::now() < deadline, "nothing is sold any more:\n{}", host.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    over.store(true, Ordering::Relaxed);
    assert_eq!(send_late().await.expect("an answer").status(), 200, "{}", host.log());
    let receipts: usize = 1 + buying.join_all().await.into_iter().sum::<usize>();
    // An answer whose row could not be written is owed on paper until its payer fetches it again.
    let received = || host.count("settled") + host.count("delivered") + host.count("owed");
    // The last rows are written when their leases have ended.
    let deadline = Instant::now() + Duration::from_secs(90);
    while host.ledger().len() != received() + host.count("refused") {
        assert!(Instant::now() < deadline, "{:?}", host.ledger());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((receipts, receipts), (received(), chain.payments_received().await), "receipts, ledger and chain");
    assert_eq!(host.process(), process, "it runs on");
}
