//! Verification against the embedded chain.

mod lagging;
mod order;
mod sellers;
mod settle;
mod together;
mod trouble;
mod wallets;

use std::time::Duration;

use alloy::primitives::{Address, U256};
use coinslot_devnet::MULTICALL3;
use coinslot_evm::abi::ERC6492_SUFFIX;
use coinslot_evm::{ChainError, Key};
use coinslot_x402::facilitator::{PaymentRequest, SupportedKind};
use coinslot_x402::price::{Amount, Eip712};
use coinslot_x402::{Network, Reason};
use serde_json::{Value, json};

use super::{Local, LocalConfig, SetupError, check_token};
use crate::testing::{PRICE, ProxyFault, SELLER, World};
use crate::{Facilitator, Finality, PayerKind, Readiness, Settlement, Verification};

fn reason(verification: Verification) -> String {
    match verification {
        Verification::Invalid { reason, .. } => reason,
        other => panic!("not refused: {other:?}"),
    }
}

/// The same request with a change to its JSON.
fn changed(payment: &PaymentRequest, change: impl FnOnce(&mut Value)) -> PaymentRequest {
    let mut value = serde_json::to_value(payment).expect("JSON");
    change(&mut value);
    serde_json::from_value(value).expect("still a request")
}

#[tokio::test]
async fn a_good_payment_verifies_in_both_versions_and_moves_nothing() {
    let world = World::start().await;
    let local = world.local().await;
    let authorization = world.authorization();
    for payment in [world.payment(), world.payment_v1(&authorization)] {
        let valid = Verification::Valid { payer: world.payer.address().to_string(), kind: PayerKind::Account };
        assert_eq!(local.verify(&payment).await, valid);
    }
    assert_eq!(world.usdc(SELLER).await, 0);
    assert_eq!(world.sent(world.gas.address()).await, 0);
}

#[tokio::test]
async fn every_defect_is_refused_with_its_own_reason_and_settles_nothing() {
    let world = World::start().await;
    let local = world.local().await;
    let good = world.payment();
    let with = |change: &dyn Fn(&mut coinslot_x402::exact::Authorization)| {
        let mut authorization = world.authorization();
        change(&mut authorization);
        authorization
    };
    let now = world.authorization().valid_before - U256::from(60);
    let mut wrapped = world.signature(&world.payer, &world.authorization()).to_vec();
    wrapped.extend_from_slice(&ERC6492_SUFFIX);
    let poor = Key::random();
    let poor_authorization = with(&|a| a.from = poor.address());
    let set = |pointer: &'static str, value: Value| {
        changed(&good, move |json| {
            *json.pointer_mut(pointer).expect(pointer) = value;
        })
    };
    let cases = [
        (
            Reason::InvalidSignature,
            world.payment_with(&world.authorization(), &world.signature(&world.payer, &world.authorization())),
        ),
        (Reason::InvalidSignature, world.payment_with(&world.authorization(), &vec![7; 3].into())),
        (Reason::RecipientMismatch, world.payment_of(&with(&|a| a.to = Address::repeat_byte(7)))),
        (Reason::ValidBefore, world.payment_of(&with(&|a| a.valid_before = now + U256::from(3)))),
        (Reason::ValidBefore, world.payment_of(&with(&|a| a.valid_before = now + U256::from(100_000)))),
        (Reason::ValidAfter, world.payment_of(&with(&|a| a.valid_after = now + U256::from(1_000)))),
        // Within the skew here, but not by the chain's clock.
        (Reason::ValidAfter, world.payment_of(&with(&|a| a.valid_after = now + U256::from(30)))),
        (Reason::ValueMismatch, world.payment_of(&with(&|a| a.value = U256::from(PRICE - 1)))),
        (Reason::ValueMismatch, world.payment_of(&with(&|a| a.value = U256::from(PRICE + 1)))),
        (Reason::Value, world.payment_v1(&with(&|a| a.value = U256::from(PRICE + 1)))),
        (
            Reason::InsufficientBalance,
            world.payment_with(&poor_authorization, &world.signature(&poor, &poor_authorization)),
        ),
        (Reason::FactoryNotAllowed, world.payment_with(&world.authorization(), &wrapped.into())),
        (Reason::InvalidScheme, set("/paymentRequirements/scheme", json!("upto"))),
        (Reason::InvalidScheme, set("/paymentPayload/accepted/scheme", json!("upto"))),
        (Reason::MissingEip712Domain, set("/paymentRequirements/extra", json!({"name": "USDC"}))),
        (Reason::NetworkMismatch, set("/paymentPayload/accepted/network", json!("eip155:8453"))),
        (Reason::InvalidPaymentRequirements, set("/paymentRequirements/asset", json!(MULTICALL3))),
        (Reason::AssetNotDeployed, set("/paymentRequirements/asset", json!(SELLER))),
        (Reason::InvalidPaymentRequirements, set("/paymentRequirements/amount", json!("0"))),
        (Reason::TokenNameMismatch, set("/paymentRequirements/extra/name", json!("USD Coin"))),
        (Reason::TokenVersionMismatch, set("/paymentRequirements/extra/version", json!("1"))),
        (Reason::InvalidPayload, set("/paymentPayload/payload/authorization/value", json!("1e4"))),
        (
            Reason::InvalidNetwork,
            changed(&good, |json| {
                json["paymentPayload"]["accepted"]["network"] = json!("eip155:8453");
                json["paymentRequirements"]["network"] = json!("eip155:8453");
            }),
        ),
    ];
    for (index, (expected, payment)) in cases.into_iter().enumerate() {
        let verified = local.verify(&payment).await;
        assert_eq!(reason(verified), expected.as_str(), "case {index}");
        match local.settle(&payment).await {
            Settlement::Refused { reason, transaction, finality, .. } => {
                assert_eq!(reason, expected.as_str(), "case {index}");
                assert_eq!(finality, Finality::Final, "case {index}");
                assert_eq!(transaction, "", "case {index}");
            }
            other => panic!("case {index}: {other:?}"),
        }
    }
    assert_eq!(world.usdc(SELLER).await, 0);
    assert_eq!(world.sent(world.gas.address()).await, 0);
}

#[tokio::test]
async fn a_used_nonce_does_not_verify() {
    let world = World::start().await;
    let local = world.local().await;
    let authorization = world.authorization();
    world.submit(&authorization).await;
    let verified = local.verify(&world.payment_of(&authorization)).await;
    assert_eq!(reason(verified), Reason::NonceAlreadyUsed.as_str());
}

#[tokio::test]
async fn code_at_the_payer_decides_alone_whether_its_signature_counts() {
    let world = World::start().await;
    let local = world.local().await;
    // The payer's own address becomes a wallet that another key owns: the ECDSA signature of the
    // address is worth nothing from then on, the owner's is.
    let owner = Key::random();
    let authorization = world.authorization();
    let by_key = world.payment_of(&authorization);
    assert!(matches!(local.verify(&by_key).await, Verification::Valid { .. }));
    world.wallet(owner.address(), world.payer.address()).await;
    let refused = local.verify(&by_key).await;
    assert_eq!(reason(refused), Reason::InvalidSignature.as_str());

    let by_owner = world.payment_with(&authorization, &world.signature(&owner, &authorization));
    let valid = Verification::Valid { payer: world.payer.address().to_string(), kind: PayerKind::Contract };
    assert_eq!(local.verify(&by_owner).await, valid);
    assert!(matches!(local.settle(&by_owner).await, Settlement::Settled { .. }));
    assert_eq!(world.usdc(SELLER).await, PRICE);
}

#[tokio::test]
async fn a_wallet_that_burns_gas_is_a_bad_signature_and_not_our_problem() {
    let world = World::start().await;
    let local = world.local().await;
    let authorization = world.authorization();
    // JUMPDEST PUSH0 JUMP: for ever.
    let spin = json!([world.payer.address(), "0x5b5f56"]);
    world.rpc("anvil_setCode", spin).await;
    let verified = local.verify(&world.payment_of(&authorization)).await;
    assert_eq!(reason(verified), Reason::InvalidSignature.as_str());
}

#[tokio::test]
async fn a_chain_that_stands_still_or_does_not_answer_takes_no_payments() {
    let world = World::start().await;
    let mut config = world.config();
    config.chain.max_head_age = Some(Duration::from_millis(300));
    let local = Local::connect(config).await.expect("connected");
    world.rpc("evm_mine", json!([])).await;
    drop(local.look().await);
    world.rpc("evm_mine", json!([])).await;
    local.look().await.expect("a new block");
    assert_eq!(local.readiness(), Readiness::Ready);
    tokio::time::sleep(Duration::from_millis(400)).await;
    local.look().await.expect_err("no new block");
    assert_eq!(local.readiness(), Readiness::Down);
    world.rpc("evm_mine", json!([])).await;
    local.look().await.expect("a new block");
    assert_eq!(local.readiness(), Readiness::Ready);

    let local = world.local().await;
    world.proxy.set(&[("*", ProxyFault::Request)]);
    while local.readiness() != Readiness::Down {
        local.look().await.expect_err("no answer");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.proxy.set(&[]);
    local.look().await.expect("an answer");
    assert_eq!(local.readiness(), Readiness::Ready);
}

#[tokio::test]
async fn a_transaction_that_waits_too_long_for_a_block_takes_no_more_payments() {
    let world = World::start().await;
    let mut config = world.config();
    config.sequencer.stuck_after = Duration::from_millis(100);
    let local = Local::connect(config).await.expect("connected");
    world.rpc("evm_setAutomine", json!([false])).await;
    let payment = world.payment();
    drop(local.settle(&payment).await);
    assert_eq!(local.readiness(), Readiness::Down);
    world.rpc("evm_setAutomine", json!([true])).await;
    world.rpc("evm_mine", json!([])).await;
    settle::transaction(settle::eventually(&local, &payment).await);
    assert_eq!(local.readiness(), Readiness::Ready);
}

#[tokio::test]
async fn a_token_of_another_process_can_be_checked_too() {
    let world = World::start().await;
    assert_eq!(check_token(&world.chain, &world.asset).await, Ok(()));
    let mut asset = world.asset.clone();
    asset.eip712 = Some(Eip712 { name: "USD Coin".to_owned(), version: "2".to_owned() });
    assert!(check_token(&world.chain, &asset).await.expect_err("another domain").contains("EIP-712 domain"));
    asset.address = SELLER.to_string();
    assert!(check_token(&world.chain, &asset).await.expect_err("no code").contains("no contract"));
}

#[test]
fn a_chain_that_reorganises_is_given_more_confirmations() {
    let of = |chain_id| {
        let url = "http://127.0.0.1:1".parse().expect("a URL");
        LocalConfig::new(url, Network::eip155(chain_id), Vec::new(), Vec::new()).sequencer.confirmations
    };
    assert_eq!((of(137), of(84_532)), (16, 1));
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_never_the_payers_fault() {
    let world = World::start().await;
    let local = world.local().await;
    let calls = ["eth_getCode", "eth_call", "*"];
    for call in calls {
        for fault in [ProxyFault::Request, ProxyFault::Reply] {
            world.proxy.set(&[(call, fault)]);
            let verified = local.verify(&world.payment()).await;
            assert!(matches!(verified, Verification::Unavailable(_)), "{call} {fault:?}: {verified:?}");
            let settled = local.settle(&world.payment()).await;
            assert!(matches!(settled, Settlement::NotSent { .. }), "{call} {fault:?}: {settled:?}");
        }
    }
    assert_eq!(world.usdc(SELLER).await, 0);
}

#[tokio::test]
async fn a_token_that_is_not_what_is_configured_stops_the_start() {
    let world = World::start().await;
    let problem = |error: SetupError| error.to_string();

    let mut config = world.config();
    config.assets[0].eip712 = Some(Eip712 { name: "USD Coin".to_owned(), version: "2".to_owned() });
    let text = problem(Local::connect(config).await.expect_err("another domain"));
    assert!(text.contains("name `USD Coin`") && text.contains("name is `USDC`"), "{text}");

    let mut config = world.config();
    config.assets[0].address = SELLER.to_string();
    let text = problem(Local::connect(config).await.expect_err("no contract"));
    assert!(text.contains("no contract at this address"), "{text}");

    let mut config = world.config();
    config.network = Network::eip155(8453);
    let error = Local::connect(config).await.expect_err("another chain");
    assert!(matches!(error, SetupError::Chain(ChainError::WrongChain { expected: 8453, found: 84532, .. })));

    let mut config = world.config();
    config.assets.clear();
    let error = Local::connect(config).await.expect_err("no asset");
    assert!(matches!(error, SetupError::NoAsset(_)));
}

#[tokio::test]
async fn gas_is_spent_only_for_the_receivers_that_are_named() {
    let world = World::start().await;
    let mut config = world.config();
    config.receivers = Some(vec![Address::repeat_byte(9)]);
    let local = Local::connect(config).await.expect("connected");
    let verified = local.verify(&world.payment()).await;
    assert_eq!(reason(verified), Reason::InvalidPaymentRequirements.as_str());
}

#[tokio::test]
async fn what_is_supported_names_both_versions_and_the_signer() {
    let world = World::start().await;
    let local = world.local().await;
    let supported = local.supported().await.expect("always known");
    let network = Network::eip155(84532);
    assert!(supported.has(coinslot_x402::Version::V1, "exact", &network));
    assert!(supported.has(coinslot_x402::Version::V2, "exact", &network));
    assert!(supported.kinds.iter().all(SupportedKind::shares_transactions), "as it does by default");
    let mut config = world.config();
    config.sequencer.max_batch = 1;
    let one_by_one = Local::connect(config).await.expect("connected").supported().await.expect("always known");
    assert!(!one_by_one.kinds.iter().any(SupportedKind::shares_transactions));
    let signers = json!([world.gas.address().to_string()]);
    assert_eq!(supported.signers["eip155:*"], signers);
    assert_eq!(Amount(U256::from(PRICE)).to_string(), "10000");
    let debug = format!("{local:?} {:?}", world.config());
    assert!(debug.contains("Key(..)"));
}
