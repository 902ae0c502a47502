//! Settles through facilitators and nodes that lose, delay and forge. In the end chain, ledger and client agree: as
//! many charges as answers, one run of the guest per payment, and no new challenge for a payment whose end is unknown.

use std::time::{Duration, Instant};

use alloy::primitives::U256;
use coinslot_tests::{
    FacilitatorMode, FaultyFacilitator, FaultyNode, LedgerRow, NodeFault, PurchaseOutcome, ServeHost, TestChain,
    Wallet, decode, guest,
};
use serde_json::{Value, json};

/// The time for which a client repeats a payment.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Asserts that chain and ledger agree with the clients.
async fn assert_agreement(chain: &TestChain, host: &ServeHost, purchases: &[&PurchaseOutcome]) {
    let answers = purchases.iter().filter(|purchase| purchase.answer.is_some()).count();
    assert_eq!(chain.payments_received().await, answers, "charges and answers: {purchases:?}");
    // What recovery can find out on the chain is written a moment after the answer has left.
    let agrees = |rows: &[LedgerRow]| {
        let with = |states: &[&str]| rows.iter().filter(|row| states.contains(&row.state.as_str())).count();
        with(&["settled", "delivered"]) == answers && with(&["settling", "unknown"]) == 0
    };
    for _ in 0..200 {
        if agrees(&host.ledger()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{answers} answers, and the ledger: {:?}", host.ledger());
}

/// Buys an answer and asserts that it is served in the end, without a second challenge.
async fn buy(host: &ServeHost, payer: &Wallet) -> PurchaseOutcome {
    let purchase = host.buy(payer, "/echo", TIME_LIMIT).await;
    assert!(!purchase.statuses.contains(&402), "a second challenge: {:?}", purchase.statuses);
    assert!(purchase.answer.is_some(), "not served in the end: {:?}", purchase.statuses);
    purchase
}

// === One faulty /settle of a facilitator. ===

/// Buys an answer whose first settlement meets this fault, and another one after it.
async fn settled_after(mode: FacilitatorMode) {
    let chain = TestChain::start().await;
    let facilitator = chain.facilitator(0).await;
    let host = chain.serve_through(&guest("echo"), &[&facilitator]).await;
    facilitator.next_settle(mode);
    let first = buy(&host, chain.payer(0)).await;
    let second = buy(&host, chain.payer(1)).await;
    assert_agreement(&chain, &host, &[&first, &second]).await;
    assert_eq!(host.runs(), 2, "a run per payment");
    // Repetitions of a settlement have the same bytes.
    let mut settles = facilitator.settles();
    settles.dedup();
    assert_eq!(settles.len(), 2, "two payments, two bodies");
}

macro_rules! settled_after {
    ($($name:ident: $mode:expr;)*) => {
        $(#[tokio::test]
        async fn $name() {
            settled_after($mode).await;
        })*
    };
}

settled_after! {
    a_slow_settlement_is_awaited: FacilitatorMode::Slow(Duration::from_millis(800));
    a_settlement_that_hangs_is_retried: FacilitatorMode::Hang;
    a_settlement_whose_answer_is_lost_is_found_and_served: FacilitatorMode::DropAfter;
    a_settlement_request_that_is_lost_is_retried_and_served: FacilitatorMode::DropBefore;
    a_settlement_answered_with_500_is_found_and_served: FacilitatorMode::ErrorAfter;
    a_500_without_a_settlement_is_retried: FacilitatorMode::ErrorBefore;
    a_success_without_a_transaction_is_checked_first: FacilitatorMode::NoTransaction;
    a_success_for_another_payer_is_checked_first: FacilitatorMode::OtherPayer;
    a_success_on_another_network_is_checked_first: FacilitatorMode::OtherNetwork;
    a_truncated_settlement_answer_decides_nothing: FacilitatorMode::Truncated;
    a_502_with_html_is_not_a_refusal: FacilitatorMode::Html;
    a_pending_settlement_is_awaited_and_served: FacilitatorMode::Pending;
}

#[tokio::test]
async fn a_refused_settlement_releases_no_answer_and_a_new_payment_is_served() {
    let chain = TestChain::start().await;
    let facilitator = chain.facilitator(0).await;
    let host = chain.serve_through(&guest("echo"), &[&facilitator]).await;
    facilitator.next_settle(FacilitatorMode::Refuse);
    let refused = host.buy(chain.payer(0), "/echo", TIME_LIMIT).await;
    assert!(refused.answer.is_none());
    assert_eq!(refused.statuses.last(), Some(&402), "{:?}", refused.statuses);
    let served = buy(&host, chain.payer(0)).await;
    assert_agreement(&chain, &host, &[&refused, &served]).await;
}

/// Only the chain can show that a facilitator settled a payment which it calls refused.
#[tokio::test]
async fn a_settlement_that_the_facilitator_wrongly_refuses_is_found_on_chain() {
    let chain = TestChain::start().await;
    let (facilitator, node) = (chain.facilitator(0).await, chain.node().await);
    let host = chain.serve_watching_node(&guest("echo"), &facilitator, &node).await;
    facilitator.next_settle(FacilitatorMode::RefuseAfter);
    let purchase = buy(&host, chain.payer(0)).await;
    assert_agreement(&chain, &host, &[&purchase]).await;
    assert_eq!(host.runs(), 1);
}

/// A refusal whose reason may follow a transaction was believed at once: "nothing was charged", and two seconds later
/// the money arrived. The client is asked to wait instead, and served when the chain shows the payment.
#[tokio::test]
async fn a_payment_that_is_called_refused_and_then_lands_is_served() {
    let chain = TestChain::start().await;
    let (facilitator, node) = (chain.facilitator(0).await, chain.node().await);
    let host = chain.serve_watching_node(&guest("echo"), &facilitator, &node).await;
    facilitator.next_settle(FacilitatorMode::RefuseBefore(Duration::from_secs(2)));
    let purchase = buy(&host, chain.payer(0)).await;
    assert_agreement(&chain, &host, &[&purchase]).await;
    assert_eq!(host.runs(), 1);
}

/// A node behind a balancer is a block behind the other one, or does not have a receipt yet. One such answer turned a
/// paid payment into "refused", and its answer was thrown away.
#[tokio::test]
async fn a_lagging_node_turns_no_paid_payment_into_a_refused_one() {
    let chain = TestChain::start().await;
    let (facilitator, node) = (chain.facilitator(0).await, chain.node().await);
    let host = chain.serve_watching_node(&guest("echo"), &facilitator, &node).await;
    for method in ["eth_getTransactionReceipt", "eth_getLogs", "eth_getBlockByNumber"] {
        facilitator.next_settle(FacilitatorMode::DropAfter);
        node.next(method, NodeFault::Null, 2);
        let purchase = buy(&host, chain.payer(0)).await;
        assert!(purchase.answer.is_some(), "{method}");
    }
    assert_eq!((chain.payments_received().await, host.runs()), (3, 3));
}

/// With the only facilitator gone, unpaid requests were still asked for money that nobody could settle, and the host
/// said that it was ready.
#[tokio::test]
async fn a_host_whose_only_facilitator_is_gone_asks_for_no_money() {
    let chain = TestChain::start().await;
    let facilitator = chain.facilitator(0).await;
    let host = chain.serve_through(&guest("echo"), &[&facilitator]).await;
    let client = reqwest::Client::new();
    let ask = || client.post(host.url("/echo")).body("mine").send();
    assert_eq!(ask().await.expect("an answer").status(), 402);
    drop(facilitator); // with every connection that the host keeps
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let (unpaid, ready) = (ask().await, client.get(host.url("/.well-known/coinslot/ready")).send().await);
        let (unpaid, ready) = (unpaid.expect("an answer").status(), ready.expect("an answer").status());
        if (unpaid.as_u16(), ready.as_u16()) == (503, 503) {
            return;
        }
        assert!(Instant::now() < deadline, "{unpaid} {ready}\n{}", host.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A client waited for as long as a facilitator took, beyond what proxies allow, and the same payment sent again got
/// 503 although the money had arrived. It is answered within 25 seconds, and a repetition waits for the end.
#[tokio::test]
async fn a_settlement_that_hangs_is_answered_in_time_and_a_repetition_waits_for_its_end() {
    let chain = TestChain::start().await;
    let (facilitator, node) = (chain.facilitator(0).await, chain.node().await);
    let host = chain.serve_watching_node(&guest("echo"), &facilitator, &node).await;
    host.write_configuration(&host.configuration().replace("settle_timeout = \"1500ms\"", "settle_timeout = \"30s\""));
    let mut host = host;
    host.restart(&[]).await;
    facilitator.next_settle(FacilitatorMode::Hang);
    let client = reqwest::Client::new();
    let ask = || client.post(host.url("/echo")).body("mine");
    let payment = chain.payer(0).pay(&ask().send().await.expect("a challenge")).header();
    let (first, mut statuses) =
        (ask().header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer"), Vec::new());
    assert_eq!(first.status(), 503);
    assert!(first.headers().contains_key("retry-after"));
    // The hanging settlement is given up after its lease, and the payment is settled for the client that waits.
    for _ in 0..4 {
        let reply = ask().header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
        statuses.push(reply.status().as_u16());
        if reply.status() == 200 {
            break;
        }
    }
    assert_eq!(statuses.last(), Some(&200), "{statuses:?}\n{}", host.log());
    assert_eq!((chain.payments_received().await, host.runs()), (1, 1));
}

#[tokio::test]
async fn one_transaction_settles_only_one_payment() {
    let chain = TestChain::start().await;
    let facilitator = chain.facilitator(0).await;
    let host = chain.serve_through(&guest("echo"), &[&facilitator]).await;
    let first = buy(&host, chain.payer(0)).await;
    facilitator.on_settle(FacilitatorMode::SameTransaction);
    let cheated = host.buy(chain.payer(1), "/echo", Duration::from_secs(4)).await;
    assert!(cheated.answer.is_none(), "no payment moved for it");
    assert!(cheated.statuses.iter().all(|status| matches!(status, 503 | 409)), "{:?}", cheated.statuses);
    assert_eq!(chain.payments_received().await, 1);
    let rows = host.ledger();
    let paid = rows.iter().filter(|row| matches!(row.state.as_str(), "settled" | "delivered")).count();
    assert_eq!(paid, 1, "{rows:?}");
    assert!(first.answer.is_some());
}

// === A faulty /verify of a facilitator. ===

#[tokio::test]
async fn an_unreliable_verification_runs_nothing_and_is_retried() {
    for mode in [
        FacilitatorMode::Hang,
        FacilitatorMode::DropBefore,
        FacilitatorMode::ErrorBefore,
        FacilitatorMode::Html,
        FacilitatorMode::Truncated,
        FacilitatorMode::OtherPayer,
    ] {
        let chain = TestChain::start().await;
        let facilitator = chain.facilitator(0).await;
        let host = chain.serve_through(&guest("echo"), &[&facilitator]).await;
        facilitator.next_verify(mode);
        facilitator.next_verify(mode);
        let purchase = buy(&host, chain.payer(0)).await;
        assert_eq!(purchase.statuses, [503, 200], "{mode:?}");
        assert_eq!((facilitator.verifies().len(), facilitator.settles().len()), (3, 1), "{mode:?}");
        assert_eq!(host.runs(), 1, "{mode:?}");
        assert_agreement(&chain, &host, &[&purchase]).await;
    }
}

#[tokio::test]
async fn a_refused_verification_runs_and_charges_nothing() {
    let chain = TestChain::start().await;
    let facilitator = chain.facilitator(0).await;
    let host = chain.serve_through(&guest("echo"), &[&facilitator]).await;
    facilitator.on_verify(FacilitatorMode::Refuse);
    let purchase = host.buy(chain.payer(0), "/echo", TIME_LIMIT).await;
    assert_eq!(purchase.statuses, [402]);
    assert_eq!((host.runs(), facilitator.settles().len()), (0, 0));
    assert!(host.ledger().is_empty(), "the claim is released: {:?}", host.ledger());
    assert_agreement(&chain, &host, &[&purchase]).await;
}

#[tokio::test]
async fn a_facilitator_that_calls_every_payment_valid_gives_no_answer_away() {
    let chain = TestChain::start().await;
    let facilitator = chain.facilitator(0).await;
    let host = chain.serve_through(&guest("echo"), &[&facilitator]).await;
    facilitator.on_verify(FacilitatorMode::Valid);
    let poor = host.buy(&Wallet::poor(), "/echo", TIME_LIMIT).await;
    assert!(poor.answer.is_none(), "{:?}", poor.statuses);
    let rich = buy(&host, chain.payer(0)).await;
    assert_agreement(&chain, &host, &[&poor, &rich]).await;
}

#[tokio::test]
async fn a_payment_that_is_invalid_by_itself_causes_no_facilitator_call() {
    let chain = TestChain::start().await;
    let facilitator = chain.facilitator(0).await;
    let host = chain.serve_through(&guest("echo"), &[&facilitator]).await;
    let client = reqwest::Client::new();
    let challenge = client.post(host.url("/echo")).send().await.expect("a challenge");
    let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
    let entry = &required["accepts"][0];
    let (honest, other) = (chain.payer(0), chain.payer(1));
    for round in 0..20 {
        let invalid = match round % 4 {
            // The payer that is named is not the signer.
            0 => honest.pay_entry(entry).with("/payload/authorization/from", json!(other.address())),
            1 => honest.pay_with(entry, |a| a.value -= U256::from(1)),
            2 => honest.pay_with(entry, |a| a.validBefore = U256::from(1)),
            _ => honest.pay_entry(entry).with("/payload/signature", json!(format!("0x{}", "11".repeat(65)))),
        };
        let reply = client.post(host.url("/echo")).header("PAYMENT-SIGNATURE", invalid.header()).send().await;
        assert_eq!(reply.expect("an answer").status(), 402, "{round}");
    }
    assert_eq!((facilitator.verifies().len(), facilitator.settles().len()), (0, 0));
    assert_eq!(host.runs(), 0);
}

#[tokio::test]
async fn the_query_of_a_request_is_not_sent_to_the_facilitator() {
    let chain = TestChain::start().await;
    let facilitator = chain.facilitator(0).await;
    let host = chain.serve_through(&guest("echo"), &[&facilitator]).await;
    let client = reqwest::Client::new();
    let url = host.url("/echo?email=someone@example.com");
    let challenge = client.post(&url).body("mine").send().await.expect("a challenge");
    let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
    let mut payment = chain.payer(0).pay(&challenge);
    payment.document["resource"] = required["resource"].clone();
    let reply = client.post(&url).body("mine").header("PAYMENT-SIGNATURE", payment.header()).send().await;
    assert_eq!(reply.expect("an answer").status(), 200);
    let challenge = client.post(&url).body("mine").send().await.expect("a challenge");
    let body: Value = challenge.json().await.expect("JSON");
    let payment = chain.payer(0).pay_v1(&body["accepts"][0]);
    let reply = client.post(&url).body("mine").header("X-PAYMENT", payment.header()).send().await;
    assert_eq!(reply.expect("an answer").status(), 200);
    let heard = [facilitator.verifies(), facilitator.settles()].concat();
    assert_eq!(heard.len(), 4);
    for body in heard {
        let body = String::from_utf8(body.to_vec()).expect("JSON");
        assert!(body.contains("/echo") && !body.contains("email"), "{body}");
    }
}

// === Two facilitators. ===

async fn two() -> (TestChain, FaultyFacilitator, FaultyFacilitator, ServeHost) {
    let chain = TestChain::start().await;
    let (first, second) = (chain.facilitator(0).await, chain.facilitator(1).await);
    let host = chain.serve_through(&guest("echo"), &[&first, &second]).await;
    (chain, first, second, host)
}

#[tokio::test]
async fn a_second_facilitator_replaces_one_that_is_down() {
    let (chain, first, second, host) = two().await;
    let before = buy(&host, chain.payer(0)).await;
    assert_eq!((second.verifies().len(), second.settles().len()), (0, 0), "the preferred facilitator is enough");
    drop(first);
    let after = buy(&host, chain.payer(0)).await;
    assert_eq!(after.statuses, [200], "the client sees no failure");
    assert_eq!((second.verifies().len(), second.settles().len()), (1, 1));
    assert_agreement(&chain, &host, &[&before, &after]).await;
    assert_eq!(host.runs(), 2);
}

#[tokio::test]
async fn a_second_facilitator_settles_a_payment_that_the_first_never_received() {
    let (chain, first, second, host) = two().await;
    first.next_verify(FacilitatorMode::GoneAfter);
    let purchase = buy(&host, chain.payer(0)).await;
    assert_eq!(purchase.statuses, [200]);
    assert_eq!((first.verifies().len(), first.settles().len()), (1, 0));
    assert_eq!((second.verifies().len(), second.settles().len()), (0, 1));
    assert_agreement(&chain, &host, &[&purchase]).await;
    assert_eq!(host.runs(), 1);
}

#[tokio::test]
async fn a_settlement_that_may_have_arrived_stays_with_its_facilitator() {
    let (chain, first, second, host) = two().await;
    first.next_settle(FacilitatorMode::DropAfter);
    first.next_settle(FacilitatorMode::ErrorBefore);
    let purchase = buy(&host, chain.payer(0)).await;
    assert!(second.settles().is_empty(), "two facilitators would settle one payment");
    let settles = first.settles();
    assert!(settles.len() >= 3 && settles.iter().all(|body| *body == settles[0]), "in the same bytes");
    assert_agreement(&chain, &host, &[&purchase]).await;
    assert_eq!(host.runs(), 1);
}

#[tokio::test]
async fn a_facilitator_that_hangs_is_skipped_while_its_circuit_is_open() {
    let (chain, first, second, host) = two().await;
    first.on_verify(FacilitatorMode::Hang);
    let mut purchases = Vec::new();
    for number in 0..6 {
        purchases.push(buy(&host, chain.payer(number % 4)).await);
    }
    // Three failures open the circuit; one or two trial requests may follow.
    assert!((3..6).contains(&first.verifies().len()), "{}", first.verifies().len());
    assert_eq!(second.settles().len(), 6);
    assert_agreement(&chain, &host, &purchases.iter().collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_host_starts_while_one_of_two_facilitators_is_down() {
    let chain = TestChain::start().await;
    let (first, second) = (chain.facilitator(0).await, chain.facilitator(1).await);
    first.close().await;
    let host = chain.serve_through(&guest("echo"), &[&first, &second]).await;
    assert!(host.log().contains("another one takes its place"), "{}", host.log());
    let purchase = buy(&host, chain.payer(0)).await;
    assert_agreement(&chain, &host, &[&purchase]).await;
}

// === A faulty node of a host that settles by itself. ===

async fn node() -> (TestChain, FaultyNode, ServeHost) {
    let chain = TestChain::start().await;
    let node = chain.node().await;
    let host = chain.serve_on(&guest("echo"), &node).await;
    (chain, node, host)
}

/// Buys an answer while the node has these faults, and another one after it.
async fn served_despite(faults: &[(&'static str, NodeFault, usize)]) {
    let (chain, node, host) = node().await;
    for (method, fault, times) in faults {
        node.next(method, *fault, *times);
    }
    let first = buy(&host, chain.payer(0)).await;
    node.heal();
    let second = buy(&host, chain.payer(1)).await;
    assert_agreement(&chain, &host, &[&first, &second]).await;
    assert_eq!(host.runs(), 2, "a run per payment");
}

macro_rules! served_despite {
    ($($name:ident: $faults:expr;)*) => {
        $(#[tokio::test]
        async fn $name() {
            served_despite(&$faults).await;
        })*
    };
}

const SEND: &str = "eth_sendRawTransaction";

served_despite! {
    a_slow_node_is_awaited: [("*", NodeFault::Slow(Duration::from_millis(150)), usize::MAX)];
    a_lost_reply_to_a_transaction_loses_no_payment: [(SEND, NodeFault::LoseReply, 1)];
    a_transaction_that_hangs_is_sent_again: [(SEND, NodeFault::Hang, 1)];
    a_nonce_that_is_too_low_is_replaced: [(SEND, NodeFault::Refuse("nonce too low"), 1)];
    a_transaction_that_is_already_known_is_awaited: [(SEND, NodeFault::RefuseAfter("already known"), 1)];
    an_underpriced_replacement_is_sent_again: [(SEND, NodeFault::Refuse("replacement transaction underpriced"), 1)];
    a_transaction_refused_with_429_is_sent_again: [(SEND, NodeFault::Status(429), 1)];
    a_transaction_refused_with_500_is_sent_again: [(SEND, NodeFault::Status(500), 1)];
    an_unreadable_reply_to_a_transaction_decides_nothing: [(SEND, NodeFault::Garbage, 1)];
    a_payment_that_cannot_be_verified_at_the_node_runs_nothing: [("eth_call", NodeFault::Status(429), 2), ("eth_getCode", NodeFault::Garbage, 1)];
    a_late_receipt_is_awaited: [("eth_getTransactionReceipt", NodeFault::Null, 4)];
    receipts_that_fail_for_a_while_are_read_later: [("eth_getTransactionReceipt", NodeFault::Status(500), 3)];
    an_answer_without_an_end_decides_nothing: [(SEND, NodeFault::Huge, 1), ("eth_getTransactionReceipt", NodeFault::Huge, 2)];
    a_node_without_a_history_of_fees_settles_by_its_gas_price: [("eth_feeHistory", NodeFault::Refuse("the method eth_feeHistory does not exist"), usize::MAX)];
}

/// Whoever answers in the place of a node could fill the memory of the host: an answer was read to its end.
#[tokio::test]
async fn no_more_of_an_answer_of_a_node_is_read_than_any_question_needs() {
    let (_chain, node, mut host) = node().await;
    node.always("eth_chainId", NodeFault::Huge);
    host.fails_to_start("the answer has more than 16777216 bytes").await;
}

#[tokio::test]
async fn a_transaction_that_stays_in_the_pool_is_awaited() {
    let (chain, node, host) = node().await;
    node.withhold();
    let (first, second, ()) = tokio::join!(buy(&host, chain.payer(0)), buy(&host, chain.payer(1)), async {
        tokio::time::sleep(Duration::from_secs(8)).await;
        assert_eq!(chain.payments_received().await, 0);
        node.release().await;
    });
    assert_agreement(&chain, &host, &[&first, &second]).await;
    assert_eq!(host.runs(), 2);
}

#[tokio::test]
async fn transactions_are_sent_again_to_a_node_that_lost_its_pool() {
    let (chain, node, host) = node().await;
    node.withhold();
    let buys = async { tokio::join!(buy(&host, chain.payer(0)), buy(&host, chain.payer(1))) };
    let restart = async {
        while node.calls(SEND) < 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // The host's next nonce is now ahead of the node's.
        node.forget();
        buy(&host, chain.payer(2)).await
    };
    let ((first, second), third) = tokio::join!(buys, restart);
    assert_agreement(&chain, &host, &[&first, &second, &third]).await;
    assert_eq!(host.runs(), 3);
}

#[tokio::test]
async fn a_front_run_authorisation_settles_the_payment() {
    let (chain, node, host) = node().await;
    node.front_run();
    let first = buy(&host, chain.payer(0)).await;
    node.heal();
    let second = buy(&host, chain.payer(0)).await;
    assert_agreement(&chain, &host, &[&first, &second]).await;
    assert_eq!(host.runs(), 2);
}

#[tokio::test]
async fn a_reorganised_block_loses_no_payment() {
    let (chain, node, host) = node().await;
    node.reorg();
    let first = buy(&host, chain.payer(0)).await;
    node.heal();
    let second = buy(&host, chain.payer(1)).await;
    assert_agreement(&chain, &host, &[&first, &second]).await;
    assert_eq!(host.runs(), 2);
}
