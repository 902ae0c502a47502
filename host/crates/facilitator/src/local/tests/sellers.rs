//! Two sellers with one receiver: the payment that one of them took buys nothing of the other.

use std::sync::Arc;

use coinslot_evm::{Key, SenderKind, SenderTag};
use coinslot_x402::Reason;
use serde_json::{Value, json};

use super::settle::{all_at_once, refusal, transaction};
use crate::local::{Local, LocalConfig};
use crate::testing::{PRICE, SELLER, World};
use crate::{Facilitator, Seller, Settlement};

/// Another seller with the same receiver, on the same chain, with a gas key of its own.
async fn another(world: &World, kind: SenderKind, change: impl FnOnce(&mut LocalConfig)) -> Local {
    let key = Key::random();
    world.rpc("anvil_setBalance", json!([key.address(), "0xde0b6b3a7640000"])).await;
    let mut config = world.config_for_many();
    config.keys = vec![key];
    config.seller = Seller::random(kind);
    change(&mut config);
    Local::connect(config).await.expect("connected")
}

/// The seller of this world, who knows that others sell for its receiver.
async fn sharing(world: &World) -> Local {
    let mut config = world.config_for_many();
    config.seller.shares_receiver = true;
    Local::connect(config).await.expect("connected")
}

fn elsewhere(settlement: Settlement) -> String {
    match settlement {
        Settlement::SettledElsewhere { transaction } => transaction,
        other => panic!("not settled elsewhere: {other:?}"),
    }
}

async fn tag_of(world: &World, hash: &str) -> Option<SenderTag> {
    world.chain.sender_tag(hash.parse().expect("a hash")).await.expect("a transaction")
}

/// Both found the payment valid, one transaction landed, and both called it settled: one payment bought two answers.
#[tokio::test]
async fn of_two_sellers_that_settle_one_payment_at_once_one_is_paid() {
    let world = World::start().await;
    let one = sharing(&world).await;
    let other = another(&world, SenderKind::Host, |config| config.seller.shares_receiver = true).await;
    for round in 1..=20 {
        let payment = world.payment();
        let (first, second) = tokio::join!(one.settle(&payment), other.settle(&payment));
        let (paid, lost) = match first {
            Settlement::Settled { .. } => (first, second),
            _ => (second, first),
        };
        assert_eq!(transaction(paid), elsewhere(lost), "the other one is told the transaction");
        assert_eq!(world.usdc(SELLER).await, round * PRICE);
    }
}

/// A seller that died after it had sent the transaction knows it again by its tag, alone or among others.
#[tokio::test]
async fn a_seller_knows_its_own_transactions_after_a_restart_and_no_other_seller_takes_them() {
    let world = World::start().await;
    let one = Arc::new(sharing(&world).await);
    let payments: Vec<_> = (0..8).map(|_| world.payment()).collect();
    transaction(one.settle(&payments[0]).await);
    let hashes: Vec<String> = all_at_once(&one, payments.clone()).await.into_iter().map(transaction).collect();
    let shared = hashes.iter().any(|hash| hashes.iter().filter(|other| *other == hash).count() > 1);
    assert!(shared && hashes.iter().any(|hash| *hash != hashes[0]), "some alone, and some together: {hashes:?}");
    drop(one);
    let restarted = sharing(&world).await;
    let other = another(&world, SenderKind::Host, |config| config.seller.shares_receiver = true).await;
    for (payment, hash) in payments.iter().zip(&hashes) {
        assert_eq!(tag_of(&world, hash).await, Some(world.seller.tag));
        assert_eq!(transaction(restarted.settle(payment).await), *hash);
        assert_eq!(elsewhere(other.settle(payment).await), *hash);
    }
}

/// A transaction without a tag, or with any tag but one's own, may be a stranger's, who has seen the signature. Where
/// nobody else sells, the money that it moved is for us.
#[tokio::test]
async fn a_transaction_of_another_sender_counts_unless_the_receiver_is_shared() {
    let world = World::start().await;
    let alone = another(&world, SenderKind::Host, |_| {}).await;
    let sharing = another(&world, SenderKind::Host, |config| config.seller.shares_receiver = true).await;
    let authorization = world.authorization();
    let untagged = (world.payment_of(&authorization), world.submit(&authorization).await.to_string());
    assert_eq!(tag_of(&world, &untagged.1).await, None);
    let foreign = world.payment();
    let hash = transaction(world.local().await.settle(&foreign).await);
    assert_ne!(tag_of(&world, &hash).await, None);
    for (payment, hash) in [untagged, (foreign, hash)] {
        assert_eq!(elsewhere(sharing.settle(&payment).await), hash);
        assert_eq!(transaction(alone.settle(&payment).await), hash);
    }
    // What it sends itself counts in any case.
    transaction(sharing.settle(&world.payment()).await);
}

/// The node shows the log of the payment and not its transaction: nothing is known of its sender.
#[tokio::test]
async fn a_transaction_that_the_node_does_not_show_decides_nothing() {
    fn without_transactions(method: &str, answer: &mut Value) {
        if method == "eth_getTransactionByHash" {
            *answer = Value::Null;
        }
    }
    let world = World::start().await;
    let (one, other) =
        (world.local().await, another(&world, SenderKind::Host, |config| config.seller.shares_receiver = true).await);
    let payment = world.payment();
    let hash = transaction(one.settle(&payment).await);
    world.proxy.rewrite(without_transactions);
    let settlement = other.settle(&payment).await;
    assert!(
        matches!(&settlement, Settlement::Unknown { transaction: Some(shown), .. } if *shown == hash),
        "{settlement:?}"
    );
}

/// Two facilitators verified the payment for two servers. Each server was told of a success.
#[tokio::test]
async fn of_two_facilitators_that_settle_one_payment_at_once_one_reports_a_success() {
    let world = World::start().await;
    let one = another(&world, SenderKind::Facilitator, |config| config.seller.shares_receiver = true).await;
    let other = another(&world, SenderKind::Facilitator, |config| config.seller.shares_receiver = true).await;
    for _ in 0..10 {
        let payment = world.payment();
        drop(tokio::join!(one.verify(&payment), other.verify(&payment)));
        let (first, second) = tokio::join!(one.settle_once(&payment), other.settle_once(&payment));
        let (paid, lost) = match first {
            Settlement::Settled { .. } => (first, second),
            _ => (second, first),
        };
        assert_eq!(refusal(lost), (Reason::DuplicateSettlement.as_str().to_owned(), transaction(paid)));
    }
}
