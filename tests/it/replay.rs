//! Checks that one payment buys one answer, however often and for whatever request it is sent.

use alloy::primitives::U256;
use coinslot_tests::{DevHost, TransferWithAuthorization, decode, guest};

#[tokio::test]
async fn fifty_copies_at_once_run_once_and_settle_once() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).arguments(&["--block-time", "0.5"]).start().await;
    let challenge = host.client().post(host.url("/echo")).body("x").send().await.expect("an answer");
    let payment = host.payer(0).pay(&challenge).header();
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(50));
    let copies: Vec<_> = (0..50)
        .map(|_| {
            let (barrier, client, url, payment) =
                (barrier.clone(), host.client().clone(), host.url("/echo"), payment.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                let reply =
                    client.post(url).header("PAYMENT-SIGNATURE", payment).body("x").send().await.expect("an answer");
                reply.status().as_u16()
            })
        })
        .collect();
    let mut statuses = Vec::new();
    for copy in copies {
        statuses.push(copy.await.expect("a copy"));
    }
    assert!(statuses.contains(&200), "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 409 | 503)), "{statuses:?}");
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(10_000));
    host.wait_for_ledger(&["delivered"]).await;
    assert_eq!(host.log().matches("echo got").count(), 1, "the guest ran once");
}

#[tokio::test]
async fn a_lost_answer_is_fetched_again_with_the_same_payment() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let ask = || host.client().post(host.url("/echo")).body("mine");
    let challenge = ask().send().await.expect("an answer");
    let payment = host.payer(0).pay(&challenge).header();
    let first = ask().header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
    assert_eq!(first.status(), 200);
    let receipt = first.headers()["payment-response"].clone();
    let body = first.text().await.expect("a body");
    let again = ask().header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
    assert_eq!(again.status(), 200);
    assert_eq!(again.headers()["payment-response"], receipt);
    assert_eq!(again.text().await.expect("a body"), body);
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(10_000));
    assert_eq!(host.log().matches("echo got").count(), 1, "the guest ran once");
}

#[tokio::test]
async fn a_payment_cannot_be_used_for_another_request() {
    let host =
        DevHost::builder().plugin("echo.wasm", &guest("echo")).plugin("status.wasm", &guest("status")).start().await;
    let challenge = host.client().post(host.url("/echo")).body("mine").send().await.expect("an answer");
    let payment = host.payer(0).pay(&challenge).header();
    let first = host.client().post(host.url("/echo")).body("mine");
    assert_eq!(first.header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer").status(), 200);
    for (path, body) in [("/echo", "other"), ("/echo?more", "mine"), ("/status", "mine")] {
        let reply = host.client().post(host.url(path)).body(body);
        let reply = reply.header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
        assert_eq!(reply.status(), 409, "{path} {body}");
        assert!(!reply.headers().contains_key("payment-required"), "no second challenge");
    }
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(10_000));
}

#[tokio::test]
async fn a_client_that_hangs_up_finds_its_answer_later() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).arguments(&["--block-time", "2"]).start().await;
    let ask = || host.client().post(host.url("/echo")).body("mine");
    let challenge = ask().send().await.expect("an answer");
    let payment = host.payer(0).pay(&challenge).header();
    host.chain().next_block().await;
    let impatient = ask().header("PAYMENT-SIGNATURE", &payment).timeout(std::time::Duration::from_millis(150));
    assert!(impatient.send().await.is_err(), "it hangs up before the block");
    let mut status = 0;
    for _ in 0..100 {
        let reply = ask().header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
        status = reply.status().as_u16();
        assert!(matches!(status, 200 | 409 | 503), "{status}");
        if status == 200 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(status, 200);
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(10_000));
    assert_eq!(host.log().matches("echo got").count(), 1, "the guest ran once");
}

/// This failed as follows: a payment was checked against time window and price before the ledger was asked. A client
/// that repeated a settled payment after its window had passed, or after the price had changed, got a new challenge
/// instead of its answer, and paid twice.
#[tokio::test]
async fn a_late_repetition_gets_the_stored_answer_and_no_challenge() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let ask = || host.client().post(host.url("/echo")).body("mine");
    let challenge = ask().send().await.expect("an answer");
    let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
    // Hardly longer than the shortest window that the host accepts, the plugin's time to answer.
    let soon = |a: &mut TransferWithAuthorization| a.validBefore -= U256::from(254);
    let payment = host.payer(0).pay_with(&required["accepts"][0], soon).header();
    let first = ask().header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
    assert_eq!(first.status(), 200);
    let body = first.text().await.expect("a body");
    // A new payment with this window would be refused: less than the plugin's time to answer is left.
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    let late = ask().header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
    assert_eq!(late.status(), 200);
    assert_eq!(late.text().await.expect("a body"), body);
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(10_000));
}
