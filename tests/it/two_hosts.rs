//! Presents one payment to two hosts with one receiver, each with a ledger of its own: it buys one answer.

use std::time::{Duration, Instant};

use coinslot_tests::{FacilitatorMode, FaultyNode, ServeHost, TestChain, guest};
use serde_json::Value;

/// The line in the configuration of each of several hosts with one receiver.
const SHARED: &str = "receiver_shared = true\n";

/// The last answer of a host to a payment: its status, its body, and the header that says what it cost.
struct Answer {
    status: u16,
    body: String,
    charged: Option<String>,
}

/// Sends a payment as a patient client does: again while the host answers 503 or 409 with `Retry-After`.
async fn spend(host: &ServeHost, payment: &str) -> Answer {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(40)).build().expect("a client");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let request = client.post(host.url("/echo")).body("mine").header("PAYMENT-SIGNATURE", payment);
        let reply = request.send().await.expect("an answer");
        let status = reply.status().as_u16();
        let header = |name: &str| reply.headers().get(name).map(|value| value.to_str().expect("ASCII").to_owned());
        let (again, charged) = (header("retry-after").is_some(), header("x-coinslot-charged"));
        if matches!(status, 503 | 409) && again && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        }
        return Answer { status, body: reply.text().await.expect("a body"), charged };
    }
}

/// A payment for the challenge of this host.
async fn sign(chain: &TestChain, payer: usize, host: &ServeHost) -> String {
    let challenge = reqwest::Client::new().post(host.url("/echo")).body("mine").send().await.expect("a challenge");
    chain.payer(payer).pay(&challenge).header()
}

fn assert_settled_elsewhere(answer: &Answer) {
    let error: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!((answer.status, &error["error"]), (409, &"payment_settled_elsewhere".into()), "{error}");
    assert_eq!((answer.charged.as_deref(), &error["charged"]), (Some("yes"), &"yes".into()), "{error}");
}

/// Presents payments to both hosts at once, and asserts that each buys one answer.
///
/// The host that loses hears so from its facilitator or from the chain, or refuses the payment before it is settled:
/// the authorisation is used already.
async fn assert_one_answer_each(chain: &TestChain, hosts: [&ServeHost; 2], rounds: usize) {
    let mut lost_at_settlement = 0;
    for round in 1..=rounds {
        let payment = sign(chain, round % 4, hosts[round % 2]).await;
        let (one, other) = tokio::join!(spend(hosts[0], &payment), spend(hosts[1], &payment));
        let (paid, lost) = if one.status == 200 { (one, other) } else { (other, one) };
        assert_eq!(paid.status, 200, "round {round}: {} and {}", paid.body, lost.body);
        assert_ne!(lost.status, 200, "round {round}: one payment bought two answers");
        assert_eq!(chain.payments_received().await, round, "round {round}");
        if lost.status == 409 {
            assert_settled_elsewhere(&lost);
            lost_at_settlement += 1;
        } else {
            let error: Value = serde_json::from_str(&lost.body).expect("JSON");
            assert_eq!(
                (lost.status, &error["error"]),
                (402, &"invalid_exact_evm_nonce_already_used".into()),
                "{error}"
            );
        }
        // It stays so when the same payment comes again.
        let again = [spend(hosts[0], &payment).await.status, spend(hosts[1], &payment).await.status];
        assert_eq!(again.iter().filter(|status| **status == 200).count(), 1, "round {round}: {again:?}");
    }
    assert!(lost_at_settlement > 0, "no payment reached both settlements");
    let delivered = hosts.map(|host| host.count("delivered") + host.count("settled"));
    assert_eq!(delivered[0] + delivered[1], rounds, "{delivered:?}");
}

/// Both hosts saw on the chain that their receiver was paid, and both served.
#[tokio::test]
async fn one_payment_at_two_hosts_that_settle_by_themselves_buys_one_answer() {
    let chain = TestChain::start().await;
    let (node, component) = (chain.node().await, guest("echo"));
    let one = chain.serve_seller(&component, &node, 0, SHARED).await;
    let other = chain.serve_seller(&component, &node, 1, SHARED).await;
    assert_one_answer_each(&chain, [&one, &other], 40).await;
}

/// One facilitator settles for both, and each reads the chain, which shows that the payment was made.
#[tokio::test]
async fn one_payment_at_two_hosts_of_one_facilitator_buys_one_answer() {
    let chain = TestChain::start().await;
    let (facilitator, node, component) = (chain.our_facilitator(0).await, chain.node().await, guest("echo"));
    let one = chain.serve_behind(&component, &facilitator, Some(&node), SHARED).await;
    let other = chain.serve_behind(&component, &facilitator, Some(&node), SHARED).await;
    assert_one_answer_each(&chain, [&one, &other], 20).await;
}

/// Each host has a facilitator of its own, and both facilitators found the payment unused.
#[tokio::test]
async fn one_payment_at_two_hosts_of_two_facilitators_buys_one_answer() {
    let chain = TestChain::start().await;
    let (node, component) = (chain.node().await, guest("echo"));
    let (first, second) = (chain.our_facilitator(0).await, chain.our_facilitator(1).await);
    let one = chain.serve_behind(&component, &first, Some(&node), SHARED).await;
    let other = chain.serve_behind(&component, &second, Some(&node), SHARED).await;
    assert_one_answer_each(&chain, [&one, &other], 20).await;
}

/// A host that died before it wrote its settlement down knows its transaction by the tag, and the other host does not
/// serve the payment meanwhile.
#[tokio::test]
async fn a_host_that_died_after_its_settlement_serves_the_payment_and_the_other_host_does_not() {
    let chain = TestChain::start().await;
    let (node, component) = (chain.node().await, guest("echo"));
    for round in 0..2 {
        let mut one = chain.serve_seller(&component, &node, 0, SHARED).await;
        let other = chain.serve_seller(&component, &node, 1, SHARED).await;
        one.restart(&[("COINSLOT_CRASH_AT", "after:settlement")]).await;
        let payment = sign(&chain, round, &one).await;
        let client = reqwest::Client::new();
        let request = client.post(one.url("/echo")).body("mine").header("PAYMENT-SIGNATURE", &payment);
        if let Ok(reply) = request.send().await {
            panic!("it answers {}: {:?}", reply.status(), reply.text().await);
        }
        one.wait_for_exit().await;
        assert_ne!(spend(&other, &payment).await.status, 200);
        one.restart(&[]).await;
        let answer = spend(&one, &payment).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!((chain.payments_received().await, one.runs()), (round + 1, 1));
    }
}

/// A stranger who sees a signature before its block may send it first, under any tag. It counts for the only seller,
/// and for none of several.
#[tokio::test]
async fn a_payment_that_a_stranger_sends_first_counts_where_the_receiver_is_not_shared() {
    let chain = TestChain::start().await;
    let (node, component) = (chain.node().await, guest("echo"));
    let alone = chain.serve_seller(&component, &node, 0, "").await;
    let sharing = chain.serve_seller(&component, &node, 1, SHARED).await;
    for front_run in [FaultyNode::front_run_untagged, FaultyNode::front_run_with_another_tag] {
        front_run(&node);
        let payment = sign(&chain, 0, &alone).await;
        assert_eq!(spend(&alone, &payment).await.status, 200);
        let payment = sign(&chain, 1, &sharing).await;
        for _ in 0..2 {
            assert_settled_elsewhere(&spend(&sharing, &payment).await);
        }
    }
    assert_eq!(chain.payments_received().await, 4);
    // One that copies the tag, too, pays for the sale that the tag names.
    node.front_run();
    let payment = sign(&chain, 2, &sharing).await;
    assert_eq!(spend(&sharing, &payment).await.status, 200);
}

/// The answer of a facilitator is lost after it has settled. Whether it was for this host is not known: it counts
/// unless the receiver is shared.
#[tokio::test]
async fn a_lost_success_of_a_facilitator_counts_where_the_receiver_is_not_shared() {
    let chain = TestChain::start().await;
    let (facilitator, node, component) = (chain.facilitator(0).await, chain.node().await, guest("echo"));
    let mut host = chain.serve_watching_node(&component, &facilitator, &node).await;
    facilitator.next_settle(FacilitatorMode::DropAfter);
    let payment = sign(&chain, 0, &host).await;
    assert_eq!(spend(&host, &payment).await.status, 200);
    host.write_configuration(&format!("{SHARED}{}", host.configuration()));
    host.restart(&[]).await;
    facilitator.next_settle(FacilitatorMode::DropAfter);
    let payment = sign(&chain, 1, &host).await;
    assert_settled_elsewhere(&spend(&host, &payment).await);
    // A success that arrives counts in any case.
    let payment = sign(&chain, 2, &host).await;
    assert_eq!(spend(&host, &payment).await.status, 200);
}
