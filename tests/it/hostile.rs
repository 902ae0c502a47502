//! Facilitators and nodes that lose, delay and lie. Whatever they do, in the end chain, ledger and client
//! agree: as many charges as answers, one run of the guest per payment, and nobody is asked to pay again
//! for a payment whose end was unknown.

use std::time::Duration;

use alloy::primitives::U256;
use coinslot_tests::{Fault, HostileChain, HostileFacilitator, Market, Mode, Purchase, Shop, Wallet, decode, guest};
use serde_json::{Value, json};

/// How long a client goes on sending the same payment.
const PATIENCE: Duration = Duration::from_secs(60);

/// Chain and ledger say the same as the clients.
async fn agree(market: &Market, shop: &Shop, purchases: &[&Purchase]) {
    let answers = purchases.iter().filter(|purchase| purchase.answer.is_some()).count();
    assert_eq!(market.charges().await, answers, "charges and answers: {purchases:?}");
    let rows = shop.ledger();
    let with = |states: &[&str]| rows.iter().filter(|row| states.contains(&row.state.as_str())).count();
    assert_eq!(with(&["settled", "delivered"]), answers, "the ledger: {rows:?}");
    assert_eq!(with(&["settling", "unknown"]), 0, "the ledger: {rows:?}");
}

/// A purchase that has to end with the answer.
async fn buy(shop: &Shop, payer: &Wallet) -> Purchase {
    let purchase = shop.sell(payer, "/echo", PATIENCE).await;
    assert!(!purchase.statuses.contains(&402), "never asked to pay again: {:?}", purchase.statuses);
    assert!(purchase.answer.is_some(), "it is served in the end: {:?}", purchase.statuses);
    purchase
}

// === A facilitator whose /settle goes wrong once. ===

/// One payment whose first settlement goes wrong in this way, and one after it.
async fn settled_after(mode: Mode) {
    let market = Market::open().await;
    let facilitator = market.facilitator(0).await;
    let shop = market.shop_through(&guest("echo"), &[&facilitator]).await;
    facilitator.next_settle(mode);
    let first = buy(&shop, market.payer(0)).await;
    let second = buy(&shop, market.payer(1)).await;
    agree(&market, &shop, &[&first, &second]).await;
    assert_eq!(shop.runs(), 2, "a run per payment");
    // The same payment is settled in the same bytes.
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
    a_slow_settlement_is_waited_for: Mode::Slow(Duration::from_millis(800));
    a_settlement_that_hangs_is_asked_for_again: Mode::Hang;
    a_settlement_whose_answer_is_lost_is_served_in_the_end: Mode::DropAfter;
    a_settlement_that_was_lost_on_the_way_is_served_in_the_end: Mode::DropBefore;
    a_settlement_behind_a_500_is_served_in_the_end: Mode::ErrorAfter;
    a_500_before_a_settlement_is_tried_again: Mode::ErrorBefore;
    a_success_without_a_transaction_is_not_believed_at_once: Mode::NoTransaction;
    a_success_of_another_payer_is_not_believed_at_once: Mode::OtherPayer;
    a_success_on_another_network_is_not_believed_at_once: Mode::OtherNetwork;
    half_an_answer_is_no_answer: Mode::Truncated;
    a_502_in_html_is_no_refusal: Mode::Html;
    a_pending_settlement_is_served_in_the_end: Mode::Pending;
}

#[tokio::test]
async fn a_refused_settlement_releases_no_answer_and_a_new_payment_is_served() {
    let market = Market::open().await;
    let facilitator = market.facilitator(0).await;
    let shop = market.shop_through(&guest("echo"), &[&facilitator]).await;
    facilitator.next_settle(Mode::Refuse);
    let refused = shop.sell(market.payer(0), "/echo", PATIENCE).await;
    assert!(refused.answer.is_none());
    assert_eq!(refused.statuses.last(), Some(&402), "{:?}", refused.statuses);
    let served = buy(&shop, market.payer(0)).await;
    agree(&market, &shop, &[&refused, &served]).await;
}

/// Who settles and says that he has not costs the payer an answer, unless somebody looks on the chain.
#[tokio::test]
async fn a_settlement_that_is_called_refused_is_served_all_the_same() {
    let market = Market::open().await;
    let (facilitator, node) = (market.facilitator(0).await, market.node().await);
    let shop = market.shop_through_and_watching(&guest("echo"), &facilitator, &node).await;
    facilitator.next_settle(Mode::RefuseAfter);
    let purchase = buy(&shop, market.payer(0)).await;
    agree(&market, &shop, &[&purchase]).await;
    assert_eq!(shop.runs(), 1);
}

#[tokio::test]
async fn one_transaction_is_not_taken_for_two_payments() {
    let market = Market::open().await;
    let facilitator = market.facilitator(0).await;
    let shop = market.shop_through(&guest("echo"), &[&facilitator]).await;
    let first = buy(&shop, market.payer(0)).await;
    facilitator.on_settle(Mode::SameTransaction);
    let cheated = shop.sell(market.payer(1), "/echo", Duration::from_secs(4)).await;
    assert!(cheated.answer.is_none(), "nobody paid for it");
    assert!(cheated.statuses.iter().all(|status| matches!(status, 503 | 409)), "{:?}", cheated.statuses);
    assert_eq!(market.charges().await, 1);
    let rows = shop.ledger();
    let paid = rows.iter().filter(|row| matches!(row.state.as_str(), "settled" | "delivered")).count();
    assert_eq!(paid, 1, "{rows:?}");
    assert!(first.answer.is_some());
}

// === A facilitator whose /verify goes wrong. ===

#[tokio::test]
async fn a_verification_that_nobody_can_believe_runs_nothing_and_is_tried_again() {
    for mode in [Mode::Hang, Mode::DropBefore, Mode::ErrorBefore, Mode::Html, Mode::Truncated, Mode::OtherPayer] {
        let market = Market::open().await;
        let facilitator = market.facilitator(0).await;
        let shop = market.shop_through(&guest("echo"), &[&facilitator]).await;
        facilitator.next_verify(mode);
        facilitator.next_verify(mode);
        let purchase = buy(&shop, market.payer(0)).await;
        assert_eq!(purchase.statuses, [503, 200], "{mode:?}");
        assert_eq!((facilitator.verifies().len(), facilitator.settles().len()), (3, 1), "{mode:?}");
        assert_eq!(shop.runs(), 1, "{mode:?}");
        agree(&market, &shop, &[&purchase]).await;
    }
}

#[tokio::test]
async fn a_facilitator_that_refuses_everything_costs_nobody_anything() {
    let market = Market::open().await;
    let facilitator = market.facilitator(0).await;
    let shop = market.shop_through(&guest("echo"), &[&facilitator]).await;
    facilitator.on_verify(Mode::Refuse);
    let purchase = shop.sell(market.payer(0), "/echo", PATIENCE).await;
    assert_eq!(purchase.statuses, [402]);
    assert_eq!((shop.runs(), facilitator.settles().len()), (0, 0));
    assert!(shop.ledger().is_empty(), "the claim is given up: {:?}", shop.ledger());
    agree(&market, &shop, &[&purchase]).await;
}

#[tokio::test]
async fn a_facilitator_that_finds_everything_valid_gives_nothing_away() {
    let market = Market::open().await;
    let facilitator = market.facilitator(0).await;
    let shop = market.shop_through(&guest("echo"), &[&facilitator]).await;
    facilitator.on_verify(Mode::Valid);
    let poor = shop.sell(&Wallet::poor(), "/echo", PATIENCE).await;
    assert!(poor.answer.is_none(), "{:?}", poor.statuses);
    let rich = buy(&shop, market.payer(0)).await;
    agree(&market, &shop, &[&poor, &rich]).await;
}

#[tokio::test]
async fn what_is_wrong_by_itself_costs_no_call() {
    let market = Market::open().await;
    let facilitator = market.facilitator(0).await;
    let shop = market.shop_through(&guest("echo"), &[&facilitator]).await;
    let client = reqwest::Client::new();
    let challenge = client.post(shop.url("/echo")).send().await.expect("a challenge");
    let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
    let entry = &required["accepts"][0];
    let (honest, other) = (market.payer(0), market.payer(1));
    for round in 0..20 {
        let bent = match round % 4 {
            // Signed by somebody else than it says.
            0 => honest.pay_entry(entry).with("/payload/authorization/from", json!(other.address())),
            1 => honest.pay_with(entry, |a| a.value -= U256::from(1)),
            2 => honest.pay_with(entry, |a| a.validBefore = U256::from(1)),
            _ => honest.pay_entry(entry).with("/payload/signature", json!(format!("0x{}", "11".repeat(65)))),
        };
        let reply = client.post(shop.url("/echo")).header("PAYMENT-SIGNATURE", bent.header()).send().await;
        assert_eq!(reply.expect("an answer").status(), 402, "{round}");
    }
    assert_eq!((facilitator.verifies().len(), facilitator.settles().len()), (0, 0));
    assert_eq!(shop.runs(), 0);
}

#[tokio::test]
async fn the_query_of_a_request_stays_between_client_and_host() {
    let market = Market::open().await;
    let facilitator = market.facilitator(0).await;
    let shop = market.shop_through(&guest("echo"), &[&facilitator]).await;
    let client = reqwest::Client::new();
    let url = shop.url("/echo?email=someone@example.com");
    let challenge = client.post(&url).body("mine").send().await.expect("a challenge");
    let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
    let mut payment = market.payer(0).pay(&challenge);
    payment.document["resource"] = required["resource"].clone();
    let reply = client.post(&url).body("mine").header("PAYMENT-SIGNATURE", payment.header()).send().await;
    assert_eq!(reply.expect("an answer").status(), 200);
    let challenge = client.post(&url).body("mine").send().await.expect("a challenge");
    let body: Value = challenge.json().await.expect("JSON");
    let payment = market.payer(0).pay_v1(&body["accepts"][0]);
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

async fn two() -> (Market, HostileFacilitator, HostileFacilitator, Shop) {
    let market = Market::open().await;
    let (first, second) = (market.facilitator(0).await, market.facilitator(1).await);
    let shop = market.shop_through(&guest("echo"), &[&first, &second]).await;
    (market, first, second, shop)
}

#[tokio::test]
async fn another_facilitator_stands_in_for_one_that_is_gone() {
    let (market, first, second, shop) = two().await;
    let before = buy(&shop, market.payer(0)).await;
    assert_eq!((second.verifies().len(), second.settles().len()), (0, 0), "the preferred is enough");
    drop(first);
    let after = buy(&shop, market.payer(0)).await;
    assert_eq!(after.statuses, [200], "nobody notices");
    assert_eq!((second.verifies().len(), second.settles().len()), (1, 1));
    agree(&market, &shop, &[&before, &after]).await;
    assert_eq!(shop.runs(), 2);
}

#[tokio::test]
async fn another_facilitator_settles_what_was_never_sent_to_the_first() {
    let (market, first, second, shop) = two().await;
    first.next_verify(Mode::GoneAfter);
    let purchase = buy(&shop, market.payer(0)).await;
    assert_eq!(purchase.statuses, [200]);
    assert_eq!((first.verifies().len(), first.settles().len()), (1, 0));
    assert_eq!((second.verifies().len(), second.settles().len()), (0, 1));
    agree(&market, &shop, &[&purchase]).await;
    assert_eq!(shop.runs(), 1);
}

#[tokio::test]
async fn a_settlement_that_may_have_arrived_stays_with_its_facilitator() {
    let (market, first, second, shop) = two().await;
    first.next_settle(Mode::DropAfter);
    first.next_settle(Mode::ErrorBefore);
    let purchase = buy(&shop, market.payer(0)).await;
    assert!(second.settles().is_empty(), "two would settle one payment");
    let settles = first.settles();
    assert!(settles.len() >= 3 && settles.iter().all(|body| *body == settles[0]), "in the same bytes");
    agree(&market, &shop, &[&purchase]).await;
    assert_eq!(shop.runs(), 1);
}

#[tokio::test]
async fn a_facilitator_that_hangs_is_left_alone_for_a_while() {
    let (market, first, second, shop) = two().await;
    first.on_verify(Mode::Hang);
    let mut purchases = Vec::new();
    for number in 0..6 {
        purchases.push(buy(&shop, market.payer(number % 4)).await);
    }
    // Three failures and a pause, in which a trial or two may fall.
    assert!((3..6).contains(&first.verifies().len()), "{}", first.verifies().len());
    assert_eq!(second.settles().len(), 6);
    agree(&market, &shop, &purchases.iter().collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_host_starts_while_one_of_two_facilitators_is_down() {
    let market = Market::open().await;
    let (first, second) = (market.facilitator(0).await, market.facilitator(1).await);
    first.close().await;
    let shop = market.shop_through(&guest("echo"), &[&first, &second]).await;
    assert!(shop.log().contains("another stands in for it"), "{}", shop.log());
    let purchase = buy(&shop, market.payer(0)).await;
    agree(&market, &shop, &[&purchase]).await;
}

// === A node that goes wrong, under a host that settles by itself. ===

async fn node() -> (Market, HostileChain, Shop) {
    let market = Market::open().await;
    let node = market.node().await;
    let shop = market.shop_on(&guest("echo"), &node).await;
    (market, node, shop)
}

/// A payment while the node does this, and one after it.
async fn served_despite(faults: &[(&'static str, Fault, usize)]) {
    let (market, node, shop) = node().await;
    for (method, fault, times) in faults {
        node.next(method, *fault, *times);
    }
    let first = buy(&shop, market.payer(0)).await;
    node.heal();
    let second = buy(&shop, market.payer(1)).await;
    agree(&market, &shop, &[&first, &second]).await;
    assert_eq!(shop.runs(), 2, "a run per payment");
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
    a_slow_node_is_waited_for: [("*", Fault::Slow(Duration::from_millis(150)), usize::MAX)];
    a_node_that_loses_the_reply_to_a_transaction_has_it_all_the_same: [(SEND, Fault::LoseReply, 1)];
    a_node_that_hangs_with_a_transaction_is_given_it_again: [(SEND, Fault::Hang, 1)];
    a_nonce_that_was_too_low_is_replaced: [(SEND, Fault::Refuse("nonce too low"), 1)];
    a_transaction_that_is_known_already_is_waited_for: [(SEND, Fault::RefuseAfter("already known"), 1)];
    an_underpriced_replacement_is_sent_anew: [(SEND, Fault::Refuse("replacement transaction underpriced"), 1)];
    a_node_that_is_too_busy_for_a_transaction_is_given_it_again: [(SEND, Fault::Status(429), 1)];
    a_node_that_fails_with_a_transaction_is_given_it_again: [(SEND, Fault::Status(500), 1)];
    garbage_for_a_transaction_is_no_answer: [(SEND, Fault::Garbage, 1)];
    a_node_that_cannot_be_read_runs_nothing: [("eth_call", Fault::Status(429), 2), ("eth_getCode", Fault::Garbage, 1)];
    a_receipt_that_comes_late_is_waited_for: [("eth_getTransactionReceipt", Fault::Null, 4)];
    receipts_that_cannot_be_read_for_a_while_are_read_later: [("eth_getTransactionReceipt", Fault::Status(500), 3)];
}

#[tokio::test]
async fn a_transaction_that_waits_in_the_pool_is_waited_for() {
    let (market, node, shop) = node().await;
    node.keep();
    let (first, second, ()) = tokio::join!(buy(&shop, market.payer(0)), buy(&shop, market.payer(1)), async {
        tokio::time::sleep(Duration::from_secs(8)).await;
        assert_eq!(market.charges().await, 0);
        node.release().await;
    });
    agree(&market, &shop, &[&first, &second]).await;
    assert_eq!(shop.runs(), 2);
}

#[tokio::test]
async fn a_node_that_forgets_its_pool_is_given_the_transactions_again() {
    let (market, node, shop) = node().await;
    node.keep();
    let buys = async { tokio::join!(buy(&shop, market.payer(0)), buy(&shop, market.payer(1))) };
    let restart = async {
        while node.calls(SEND) < 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // From here on the next nonce of the host is ahead of what the node knows.
        node.forget();
        buy(&shop, market.payer(2)).await
    };
    let ((first, second), third) = tokio::join!(buys, restart);
    agree(&market, &shop, &[&first, &second, &third]).await;
    assert_eq!(shop.runs(), 3);
}

#[tokio::test]
async fn whoever_is_faster_with_the_authorisation_pays_the_gas_and_nothing_else() {
    let (market, node, shop) = node().await;
    node.front_run();
    let first = buy(&shop, market.payer(0)).await;
    node.heal();
    let second = buy(&shop, market.payer(0)).await;
    agree(&market, &shop, &[&first, &second]).await;
    assert_eq!(shop.runs(), 2);
}

#[tokio::test]
async fn a_block_that_is_replaced_before_its_receipt_is_read_changes_nothing() {
    let (market, node, shop) = node().await;
    node.reorg();
    let first = buy(&shop, market.payer(0)).await;
    node.heal();
    let second = buy(&shop, market.payer(1)).await;
    agree(&market, &shop, &[&first, &second]).await;
    assert_eq!(shop.runs(), 2);
}
