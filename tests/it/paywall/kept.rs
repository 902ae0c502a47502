//! Loses the answer to a signed payment in every way, and gets it all the same: the payment is kept, and never signed
//! twice.

use coinslot_tests::{TestChain, altered, run};
use serde_json::json;

use super::{PAY, STATE, Shop, browser};

/// The button of a kept payment.
const GET: &str = "#kept-list button";

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_settlement_takes_long_is_asked_for_again_after_a_reload_of_the_page() {
    let (mut shop, node) = Shop::with_kept_payment(&["answers"]).await;
    shop.page.reload();
    shop.page.sees("#kept", "You signed a payment of 0.01 USDC on Base Sepolia");
    let faults = shop.page.look("paywall-kept");
    assert!(faults.is_empty(), "{faults:#?}");
    node.release().await;
    shop.page.click(GET);
    shop.page.sees(STATE, "Paid 0.01 USDC on Base Sepolia. The answer is below.");
    shop.page.sees("#answer-body pre", "a text");
    assert_eq!((shop.kept(), shop.payments_of(0).await), (0, 1));
    assert_eq!(shop.page.calls(0, "eth_signTypedData_v4"), 1);
    assert_eq!(shop.host.runs_of("answers"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_lost_after_the_signature_costs_no_second_one() {
    let mut shop = Shop::open(&[json!({ "name": "One", "cutsOff": true })]).await;
    shop.go("/answers/json");
    shop.page.click(PAY);
    shop.page.sees(STATE, "The connection was lost, and it is not known whether the payment was taken.");
    assert_eq!(shop.kept(), 1);
    shop.page.set_offline(false);
    shop.page.sees(STATE, "The answer is below.");
    assert_eq!((shop.kept(), shop.payments_of(0).await), (0, 1));
    assert_eq!(shop.page.calls(0, "eth_signTypedData_v4"), 1);
}

/// A network that wants a login, or a proxy at maintenance, answers in place of the host, which has settled the payment.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_receipt_is_not_taken_for_the_one_that_was_paid_for() {
    let mut shop = Shop::open(&[json!({ "name": "One" })]).await;
    shop.go("/answers/text");
    shop.page.run(
        "(() => { const real = globalThis.fetch; let isFirst = true; globalThis.fetch = async (url, options) => { \
         const reply = await real(url, options); \
         if (!isFirst || !options?.headers?.['PAYMENT-SIGNATURE']) return reply; \
         isFirst = false; \
         return new Response('Log in first', { headers: { 'content-type': 'text/plain' } }); }; return null; })()",
    );
    shop.page.click(PAY);
    shop.page.sees(STATE, "came without a receipt");
    shop.page.sees("#answer-body pre", "Log in first");
    assert_eq!((shop.kept(), shop.payments_of(0).await), (1, 1));
    shop.page.sees("#kept", "Forget this payment");
    shop.page.click(GET);
    shop.page.sees(STATE, "Paid 0.01 USDC on Base Sepolia. The answer is below.");
    shop.page.sees("#answer-body pre", "a text");
    assert_eq!((shop.kept(), shop.payments_of(0).await), (0, 1));
    assert_eq!(shop.page.calls(0, "eth_signTypedData_v4"), 1);
}

/// The button that pays finds the payment of the same request, too.
#[tokio::test(flavor = "multi_thread")]
async fn to_pay_for_the_same_request_again_sends_the_payment_that_is_kept() {
    let mut shop = Shop::open(&[json!({ "name": "One", "cutsOff": true })]).await;
    shop.go("/answers/json");
    shop.page.click(PAY);
    shop.page.sees(STATE, "The connection was lost");
    // The person leaves while the connection is gone, and comes back later.
    shop.page.go("about:blank");
    shop.page.set_offline(false);
    shop.page.tell_wallet(0, &json!({ "cutsOff": false }));
    shop.go("/answers/json");
    shop.page.click(PAY);
    shop.page.sees(STATE, "The answer is below.");
    assert_eq!((shop.kept(), shop.payments_of(0).await), (0, 1));
    assert_eq!(shop.page.calls(0, "eth_signTypedData_v4"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owed_answer_is_fetched_once_the_endpoint_is_repaired() {
    let mut shop = Shop::open(&[json!({ "name": "One" })]).await;
    shop.go("/answers/owed");
    shop.page.click(PAY);
    shop.page.sees(STATE, "You have paid, and the answer is owed to you.");
    assert_eq!((shop.kept(), shop.payments_of(0).await), (1, 1));
    shop.host.install("answers.wasm", &altered("answers", "owed:fails", "owed:gives"));
    shop.page.sees(STATE, "The answer is below.");
    shop.page.sees("#answer-body pre", "\"owed\": \"given\"");
    assert_eq!((shop.kept(), shop.payments_of(0).await), (0, 1));
    assert_eq!(shop.page.calls(0, "eth_signTypedData_v4"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_endpoint_is_paused_nothing_is_signed() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["answers"], "[admin]\nlisten = \"127.0.0.1:0\"\n").await;
    let page = browser(&chain, &[json!({ "name": "One" })]);
    let mut shop = Shop { chain, host, page };
    shop.go("/answers/text");
    let admin = shop.host.admin();
    let paused = run(&shop.host.path(""), &["plugins", "pause", "answers", "--url", &admin]);
    assert!(paused.status.success(), "{paused:?}");
    shop.page.click(PAY);
    shop.page.sees(STATE, "Nothing was paid.");
    shop.page.sees(STATE, "Try again");
    assert_eq!((shop.page.calls(0, "eth_signTypedData_v4"), shop.kept()), (0, 0));
}

/// A page that cannot keep a payment has none signed.
#[tokio::test(flavor = "multi_thread")]
async fn without_room_to_keep_a_payment_nothing_is_signed() {
    let mut shop = Shop::open(&[json!({ "name": "One" })]).await;
    shop.go("/answers/text");
    shop.page.run(
        "(() => { let text = 'x'.repeat(1 << 22); while (text) { \
         try { localStorage.setItem('full' + localStorage.length, text); } \
         catch { text = text.slice(text.length / 2 + 1); } } return null; })()",
    );
    shop.page.click(PAY);
    shop.page.sees(STATE, "Nothing was paid: this browser cannot keep the payment");
    assert_eq!(shop.page.calls(0, "eth_signTypedData_v4"), 0);
    assert_eq!(shop.payments_of(0).await, 0);
}
