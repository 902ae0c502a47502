//! Verification against the embedded chain.

mod order;
mod settle;
mod together;
mod trouble;

use alloy::primitives::{Address, U256};
use coinslot_evm::abi::ERC6492_SUFFIX;
use coinslot_evm::{ChainError, Key};
use coinslot_x402::facilitator::PaymentRequest;
use coinslot_x402::price::{Amount, Eip712};
use coinslot_x402::{Network, Reason};
use serde_json::{Value, json};

use super::{Local, SetupError};
use crate::testing::{PRICE, ProxyFault, SELLER, World};
use crate::{Facilitator, PayerKind, Settlement, Verification};

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
        (Reason::InvalidPaymentRequirements, set("/paymentRequirements/asset", json!(SELLER))),
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
            Settlement::Refused { reason, transaction, .. } => {
                assert_eq!(reason, expected.as_str(), "case {index}");
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
    assert!(matches!(local.settle(&by_owner).await, Settlement::Settled(_)));
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
            assert!(matches!(settled, Settlement::Unknown { transaction: None, .. }), "{call} {fault:?}: {settled:?}");
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
    let signers = json!([world.gas.address().to_string()]);
    assert_eq!(supported.signers["eip155:*"], signers);
    assert_eq!(Amount(U256::from(PRICE)).to_string(), "10000");
    let debug = format!("{local:?} {:?}", world.config());
    assert!(debug.contains("Key(..)"));
}
