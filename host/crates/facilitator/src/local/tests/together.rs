//! Settles many payments at once against the embedded chain: they share transactions, and none decides another's end.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, U256};
use coinslot_devnet::MULTICALL3;
use coinslot_evm::Key;
use coinslot_x402::Reason;
use coinslot_x402::facilitator::PaymentRequest;
use serde_json::json;

use super::settle::{all_at_once, open, refusal, transaction};
use crate::local::Local;
use crate::testing::{PRICE, ProxyFault, SELLER, World};
use crate::{Facilitator, PayerKind, Settlement, Verification};

async fn local_for_many(world: &World) -> Local {
    Local::connect(world.config_for_many()).await.expect("connected")
}

async fn payments_of_as_many_payers(world: &World, count: usize) -> Vec<PaymentRequest> {
    let mut payments = Vec::new();
    for _ in 0..count {
        payments.push(world.payment_by(&world.another_payer(2 * PRICE).await));
    }
    payments
}

#[tokio::test]
async fn a_hundred_at_once_share_few_transactions_and_most_of_the_gas() {
    let world = World::start().await;
    let local = Arc::new(local_for_many(&world).await);
    // The first payment also pays for the seller's new storage slot; the second takes what a payment takes by itself.
    transaction(local.settle(&payments_of_as_many_payers(&world, 1).await[0]).await);
    let alone = transaction(local.settle(&payments_of_as_many_payers(&world, 1).await[0]).await);
    let alone = world.gas_used(&alone).await;
    let payments = payments_of_as_many_payers(&world, 100).await;
    let ratio = ratio_together(&world, &local, payments, alone).await;
    assert!(ratio <= 0.69, "every payer is new to the transaction: {ratio}");
    let mut regulars = Vec::new();
    for _ in 0..10 {
        let payer = world.another_payer(11 * PRICE).await;
        regulars.extend((0..10).map(|_| world.payment_by(&payer)));
    }
    let ratio = ratio_together(&world, &local, regulars, alone).await;
    assert!(ratio <= 0.65, "every payer comes ten times: {ratio}");
    assert_eq!(world.usdc(SELLER).await, 202 * PRICE);
}

/// Settles a hundred payments at once; returns their gas as a part of what they take one by one.
async fn ratio_together(world: &World, local: &Arc<Local>, payments: Vec<PaymentRequest>, alone: u64) -> f64 {
    let count = payments.len();
    let wallet = world.gas.address();
    let (calls, sent) = (world.proxy.calls("*"), world.sent(wallet).await);
    let hashes: HashSet<_> = all_at_once(local, payments).await.into_iter().map(transaction).collect();
    let calls = world.proxy.calls("*") - calls;
    assert_eq!(world.sent(wallet).await - sent, hashes.len() as u64, "a nonce for each, and no gap");
    assert!(hashes.len() <= count / 8, "{} transactions", hashes.len());
    assert!(calls < count, "{calls} calls");
    let mut gas = 0;
    for hash in &hashes {
        gas += world.gas_used(hash).await;
    }
    let each = gas / count as u64;
    println!("{count} payments: {} transactions, gas {each} of {alone} each, {calls} RPC calls", hashes.len());
    #[expect(clippy::cast_precision_loss, reason = "gas is far below 2^52")]
    let ratio = each as f64 / alone as f64;
    ratio
}

#[tokio::test]
async fn a_lone_payment_is_a_plain_transfer_and_does_not_wait() {
    let world = World::start().await;
    let mut config = world.config_for_many();
    config.sequencer.batch_delay = Duration::from_secs(20);
    let local = Local::connect(config).await.expect("connected");
    let hash = transaction(local.settle(&world.payment()).await);
    let sent = world.rpc("eth_getTransactionByHash", json!([hash])).await;
    assert_eq!(sent["to"].as_str().map(str::to_lowercase), Some(world.token().to_string().to_lowercase()));
}

#[tokio::test]
async fn payments_that_trickle_in_between_two_blocks_share_transactions() {
    let world = World::start().await;
    let local = Arc::new(local_for_many(&world).await);
    let payments = payments_of_as_many_payers(&world, 25).await;
    // No block comes.
    world.proxy.set(&[("eth_sendRawTransaction", ProxyFault::Swallow)]);
    let sent = world.proxy.calls("eth_sendRawTransaction");
    let mut settling = tokio::task::JoinSet::new();
    for payment in payments {
        let local = Arc::clone(&local);
        settling.spawn(async move { local.settle(&payment).await });
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let sent = world.proxy.calls("eth_sendRawTransaction") - sent;
    assert!((2..=9).contains(&sent), "{sent} transactions in 750 ms");
}

#[tokio::test]
async fn one_that_reverts_among_many_is_refused_alone_and_never_sent() {
    let world = World::start().await;
    let local = Arc::new(local_for_many(&world).await);
    // Enough for one of the two, each of which passes every check by itself.
    let poor = world.another_payer(PRICE + 1).await;
    let mut payments = payments_of_as_many_payers(&world, 20).await;
    payments.push(world.payment_by(&poor));
    payments.push(world.payment_by(&poor));
    let mut hashes = HashSet::new();
    let mut refused = Vec::new();
    for settlement in all_at_once(&local, payments).await {
        match settlement {
            Settlement::Settled { settlement: settled, .. } => drop(hashes.insert(settled.transaction)),
            other => refused.push(refusal(other)),
        }
    }
    assert_eq!(refused, [(Reason::InsufficientBalance.as_str().to_owned(), String::new())]);
    assert_eq!(world.usdc(SELLER).await, 21 * PRICE);
    assert_eq!(world.sent(world.gas.address()).await, hashes.len() as u64);
}

#[tokio::test]
async fn a_payment_overtaken_inside_a_shared_transaction_counts_and_the_others_do_too() {
    let world = World::start().await;
    let mut config = world.config();
    config.receipt_timeout = Duration::from_secs(4);
    config.chain.request_timeout = Duration::from_secs(30);
    let local = Arc::new(Local::connect(config).await.expect("connected"));
    // The node loses what it is given, until another account was faster with two of the payments:
    // one as it is, and one whose payer has spent the money elsewhere.
    world.proxy.set(&[("eth_sendRawTransaction", ProxyFault::Swallow)]);
    let authorization = world.authorization();
    let overtaken = world.payment_of(&authorization);
    let broke = world.another_payer(PRICE).await;
    let mut payments = vec![overtaken.clone(), world.payment_by(&broke)];
    payments.extend(payments_of_as_many_payers(&world, 10).await);
    let first = world.payment_by(&world.another_payer(PRICE).await);
    payments.insert(0, first);
    for settlement in all_at_once(&local, payments.clone()).await {
        open(settlement);
    }
    let theirs = world.submit(&authorization).await.to_string();
    world.endow(broke.address(), 0).await;
    world.proxy.set(&[]);
    let mut settlements = all_at_once(&local, payments.clone()).await;
    assert_eq!(transaction(settlements.remove(1)), theirs);
    // Which reason it is depends on whether it went first, and therefore alone.
    let (reason, _) = refusal(settlements.remove(1));
    let reasons = [Reason::InsufficientBalance.as_str(), Reason::TransactionFailed.as_str()];
    assert!(reasons.contains(&reason.as_str()), "{reason}");
    let hashes: HashSet<_> = settlements.into_iter().map(transaction).collect();
    assert!(!hashes.contains(&theirs));
    assert_eq!(world.usdc(SELLER).await, 12 * PRICE);
    // A later call finds the same transaction.
    assert_eq!(transaction(local.settle(&overtaken).await), theirs);
}

#[tokio::test]
async fn a_contract_wallet_gets_a_transaction_of_its_own() {
    let world = World::start().await;
    let local = Arc::new(local_for_many(&world).await);
    let owner = Key::random();
    let authorization = world.authorization();
    world.wallet(owner.address(), world.payer.address()).await;
    let by_wallet = world.payment_with(&authorization, &world.signature(&owner, &authorization));
    let mut payments = payments_of_as_many_payers(&world, 20).await;
    payments.insert(10, by_wallet);
    let hashes: Vec<_> = all_at_once(&local, payments).await.into_iter().map(transaction).collect();
    assert_eq!(hashes.iter().filter(|hash| **hash == hashes[10]).count(), 1);
    assert_eq!(world.usdc(SELLER).await, 21 * PRICE);
}

#[tokio::test]
async fn several_keys_share_the_work() {
    let world = World::start().await;
    let second = Key::random();
    world.rpc("anvil_setBalance", json!([second.address(), "0xde0b6b3a7640000"])).await;
    let empty = Key::random();
    let mut config = world.config_for_many();
    config.keys.extend([second.clone(), empty.clone()]);
    config.sequencer.max_batch = 8;
    let local = Arc::new(Local::connect(config).await.expect("connected"));
    let payments = payments_of_as_many_payers(&world, 64).await;
    let hashes: HashSet<_> = all_at_once(&local, payments).await.into_iter().map(transaction).collect();
    let (one, two) = (world.sent(world.gas.address()).await, world.sent(second.address()).await);
    assert!(one > 0 && two > 0, "{one} and {two}");
    assert_eq!(one + two, hashes.len() as u64);
    assert_eq!(world.sent(empty.address()).await, 0);
    assert_eq!(world.usdc(SELLER).await, 64 * PRICE);
    let supported = local.supported().await.expect("always known");
    assert_eq!(supported.signers["eip155:*"].as_array().map(Vec::len), Some(3));
    local.ready().expect("two wallets have money");
}

#[tokio::test]
async fn without_multicall_each_payment_has_its_own_transaction() {
    let world = World::start().await;
    world.rpc("anvil_setCode", json!([MULTICALL3, "0x"])).await;
    let local = Arc::new(local_for_many(&world).await);
    let payments = payments_of_as_many_payers(&world, 20).await;
    let hashes: HashSet<_> = all_at_once(&local, payments).await.into_iter().map(transaction).collect();
    assert_eq!(hashes.len(), 20);
    assert_eq!(world.sent(world.gas.address()).await, 20);
}

#[tokio::test]
async fn many_verifications_are_read_together_and_judged_apart() {
    let world = World::start().await;
    let local = Arc::new(local_for_many(&world).await);
    let authorization = world.authorization();
    world.submit(&authorization).await;
    let used = world.payment_of(&authorization);
    let poor = world.payment_by(&world.another_payer(PRICE - 1).await);
    // The payer has enough for each of the two and not for both, and neither was settled yet.
    let both = world.another_payer(PRICE).await;
    let owner = Key::random();
    let by_wallet = {
        let wallet = Address::repeat_byte(0x77);
        world.wallet(owner.address(), wallet).await;
        world.endow(wallet, PRICE).await;
        let mut authorization = world.authorization();
        authorization.from = wallet;
        world.payment_with(&authorization, &world.signature(&owner, &authorization))
    };
    let mut payments = payments_of_as_many_payers(&world, 60).await;
    let good = payments.len();
    payments.extend([world.payment_by(&both), world.payment_by(&both), by_wallet, used, poor]);
    let calls = world.proxy.calls("*");
    let tasks: Vec<_> = payments
        .into_iter()
        .map(|payment| {
            let local = local.clone();
            tokio::spawn(async move { local.verify(&payment).await })
        })
        .collect();
    let mut verifications = Vec::new();
    for task in tasks {
        verifications.push(task.await.expect("no panic"));
    }
    let calls = world.proxy.calls("*") - calls;
    let kind = |verification: &Verification| match verification {
        Verification::Valid { kind, .. } => Ok(*kind),
        Verification::Invalid { reason, .. } => Err(reason.clone()),
        Verification::Unavailable(error) => Err(error.message.clone()),
    };
    let kinds: Vec<_> = verifications.iter().map(kind).collect();
    assert!(kinds[..good + 2].iter().all(|kind| *kind == Ok(PayerKind::Account)), "{kinds:?}");
    assert_eq!(kinds[good + 2], Ok(PayerKind::Contract));
    assert_eq!(kinds[good + 3], Err(Reason::NonceAlreadyUsed.as_str().to_owned()));
    assert_eq!(kinds[good + 4], Err(Reason::InsufficientBalance.as_str().to_owned()));
    assert!(calls < 40, "{calls} calls");
    assert_eq!(world.usdc(SELLER).await, PRICE);
    assert_eq!(U256::from(PRICE), authorization.value);
}
