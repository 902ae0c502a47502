//! Checks payments whose settlement had no answer: the evidence decides whether they are served, refused or left open,
//! and they count as unsettled meanwhile.

use std::time::{Duration, Instant};

use coinslot_tests::{FacilitatorMode, ServeHost, TestChain, Wallet, guest};

const USED: FacilitatorMode = FacilitatorMode::RefuseAs("invalid_exact_evm_nonce_already_used");
const FAILED: FacilitatorMode = FacilitatorMode::RefuseAs("invalid_exact_evm_transaction_failed");
const TOO_LATE: FacilitatorMode = FacilitatorMode::RefuseAs("invalid_exact_evm_payload_authorization_valid_before");
/// A refusal that decides nothing and is no failure of the facilitator.
const UNCLEAR: FacilitatorMode = FacilitatorMode::RefuseAs("a_word_of_its_own");

/// Pays for `/echo` and hangs up before the end is known. Returns the payment.
async fn pay_and_leave(host: &ServeHost, payer: &Wallet) -> String {
    let client = reqwest::Client::new();
    let challenge = client.post(host.url("/echo")).body("mine").send().await.expect("a challenge");
    assert_eq!(challenge.status(), 402, "{}", host.log());
    let payment = payer.pay(&challenge).header();
    repeat(host, &payment, Duration::from_secs(3)).await;
    payment
}

/// Sends a payment, and hangs up after this time. Returns the status of the answer, if one came.
async fn repeat(host: &ServeHost, payment: &str, patience: Duration) -> Option<u16> {
    let request = reqwest::Client::new().post(host.url("/echo")).body("mine").timeout(patience);
    let reply = request.header("PAYMENT-SIGNATURE", payment).send().await;
    reply.ok().map(|reply| reply.status().as_u16())
}

/// Kills the host, lets the authorisations of its ledger end long ago, and starts it again.
async fn restart_when_all_are_over(host: &mut ServeHost) {
    host.signal("KILL");
    host.wait_for_exit().await;
    let ledger = rusqlite::Connection::open(host.path(".coinslot/ledger.db")).expect("the ledger");
    ledger.execute("UPDATE claim SET valid_before = 1000000000", []).expect("changed");
    drop(ledger);
    host.restart(&[]).await;
}

async fn wait_for(what: &str, host: &ServeHost, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}: {:?}\n{}", host.ledger(), host.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A payer can use its own authorisations for transfers to itself while a facilitator is slow, for many payments at
/// once. Where no node is configured, that they are used is no proof that they paid.
#[tokio::test]
async fn an_authorization_that_is_used_buys_nothing_without_a_node_and_is_not_called_refused() {
    for first in [FAILED, USED, UNCLEAR, FacilitatorMode::ErrorBefore, FacilitatorMode::DropBefore] {
        let chain = TestChain::start().await;
        let facilitator = chain.facilitator(0).await;
        let mut host = chain.serve_through(&guest("echo"), &[&facilitator]).await;
        facilitator.next_settle(first);
        facilitator.on_settle(USED);
        let payment = pay_and_leave(&host, chain.payer(0)).await;
        wait_for("asked again", &host, async || facilitator.settles().len() >= 2).await;
        facilitator.on_settle(TOO_LATE);
        restart_when_all_are_over(&mut host).await;
        host.wait_for_log("nobody who can be asked knows", 1).await;
        // A client waits for the end, which does not come; a challenge would be there at once.
        assert_eq!(repeat(&host, &payment, Duration::from_secs(2)).await, None, "{first:?}");
        assert_eq!((host.count("unknown"), host.runs()), (1, 1), "{first:?}");
        // A facilitator that says something else later opens nothing.
        facilitator.on_settle(USED);
        host.restart(&[]).await;
        host.wait_for_log("nobody who can be asked knows", 2).await;
        assert_eq!(host.count("unknown"), 1, "{first:?}");
    }
}

/// An authorisation that had ended made every lost settlement "refused: nothing was charged".
#[tokio::test]
async fn a_lost_settlement_is_not_refused_because_it_is_too_late_and_a_node_decides_it() {
    let chain = TestChain::start().await;
    let (facilitator, node) = (chain.facilitator(0).await, chain.node().await);
    let mut host = chain.serve_through(&guest("echo"), &[&facilitator]).await;
    facilitator.next_settle(FacilitatorMode::DropAfter);
    facilitator.on_settle(UNCLEAR);
    let payment = pay_and_leave(&host, chain.payer(0)).await;
    wait_for("sent", &host, async || !facilitator.settles().is_empty()).await;
    facilitator.on_settle(TOO_LATE);
    restart_when_all_are_over(&mut host).await;
    host.wait_for_log("nobody who can be asked knows", 1).await;
    let asked = facilitator.settles().len();
    assert_eq!(repeat(&host, &payment, Duration::from_secs(40)).await, Some(503));
    assert_eq!((facilitator.settles().len(), host.count("unknown")), (asked, 1), "nobody is asked in vain");

    let with_node = format!("{}rpc = \"{}\"\n", host.configuration(), node.url());
    host.write_configuration(&with_node);
    host.restart(&[]).await;
    wait_for("settled", &host, async || host.count("unknown") == 0).await;
    assert_eq!(repeat(&host, &payment, Duration::from_secs(40)).await, Some(200));
    assert_eq!((chain.payments_received().await, host.runs()), (1, 1));
}

/// A payer whose settlements all stayed unknown ran the plugin without limit.
#[tokio::test]
async fn unknown_settlements_count_as_unsettled_until_their_end_and_over_a_restart() {
    let chain = TestChain::start().await;
    let facilitator = chain.facilitator(0).await;
    let mut host = chain.serve_through(&guest("echo"), &[&facilitator]).await;
    // An answer costs 0.01: two payments do not fit.
    let limited = host.configuration().replacen("[[accept]]\n", "[[accept]]\nmax_unsettled = 0.015\n", 1);
    host.write_configuration(&limited);
    host.restart(&[]).await;
    facilitator.on_settle(UNCLEAR);
    pay_and_leave(&host, chain.payer(0)).await;
    assert_eq!((host.runs(), host.count("unknown")), (1, 1));
    pay_and_leave(&host, chain.payer(1)).await;
    assert_eq!((host.runs(), host.count("unknown")), (1, 2), "the second is settled before it runs");
    host.restart(&[]).await;
    pay_and_leave(&host, chain.payer(2)).await;
    assert_eq!((host.runs(), host.count("unknown")), (1, 3), "so is one after a restart");

    // The end of the first makes room for another one.
    facilitator.on_settle(FacilitatorMode::Honest);
    wait_for("settled", &host, async || host.count("settled") == 1).await;
    facilitator.on_settle(UNCLEAR);
    pay_and_leave(&host, chain.payer(3)).await;
    assert_eq!(host.runs(), 2);
}

/// A refusal that recovery found was held against nobody, and each start held an old one against its payer for another
/// day.
#[tokio::test]
async fn a_refusal_that_recovery_finds_counts_in_the_payers_history_from_its_own_time() {
    let chain = TestChain::start().await;
    let (facilitator, node) = (chain.facilitator(0).await, chain.node().await);
    let mut host = chain.serve_watching_node(&guest("echo"), &facilitator, &node).await;
    facilitator.on_settle(FacilitatorMode::DropBefore);
    pay_and_leave(&host, chain.payer(0)).await;
    assert_eq!((host.runs(), host.count("unknown")), (1, 1));
    restart_when_all_are_over(&mut host).await;
    wait_for("refused", &host, async || host.count("refused") == 1).await;

    // Refused before it runs, where another payer's payment is refused after it ran.
    facilitator.on_settle(FacilitatorMode::Refuse);
    pay_and_leave(&host, chain.payer(0)).await;
    assert_eq!((host.runs(), host.count("refused")), (1, 2));
    pay_and_leave(&host, chain.payer(1)).await;
    assert_eq!((host.runs(), host.count("refused")), (2, 3));

    // All of it was a day ago.
    host.signal("KILL");
    host.wait_for_exit().await;
    let ledger = rusqlite::Connection::open(host.path(".coinslot/ledger.db")).expect("the ledger");
    ledger.execute("UPDATE progress SET updated_at = updated_at - 86395", []).expect("changed");
    drop(ledger);
    host.restart(&[]).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    pay_and_leave(&host, chain.payer(0)).await;
    assert_eq!(host.runs(), 3, "the start does not lengthen the time");
}

/// Each repetition of an unknown payment had the facilitator asked once more, twenty times a second.
#[tokio::test]
async fn a_client_that_repeats_an_unknown_payment_has_the_facilitator_asked_now_and_then() {
    let chain = TestChain::start().await;
    let facilitator = chain.facilitator(0).await;
    let host = chain.serve_through(&guest("echo"), &[&facilitator]).await;
    facilitator.on_settle(UNCLEAR);
    let payment = pay_and_leave(&host, chain.payer(0)).await;
    let (host, payment) = (&host, &payment);
    let until = Instant::now() + Duration::from_secs(12);
    let repetitions = || async move {
        let mut repeated = 0;
        while Instant::now() < until {
            repeat(host, payment, Duration::from_millis(50)).await;
            repeated += 1;
        }
        repeated
    };
    let (one, other, third) = tokio::join!(repetitions(), repetitions(), repetitions());
    let repeated = one + other + third;
    let asked = facilitator.settles().len();
    assert!(repeated > 100, "{repeated}");
    // The payment itself, then after one second, two, and then every four.
    assert!((3..=8).contains(&asked), "{asked} times for {repeated} repetitions");
}
