//! Tests contract wallets: they judge their own signatures, and the gas that they can cost is bounded.

use std::time::Duration;

use alloy::primitives::Address;
use coinslot_evm::Key;
use coinslot_x402::Reason;
use serde_json::json;

use super::settle::{open, refusal, transaction};
use crate::testing::{PRICE, ProxyFault, SELLER, World};
use crate::{Facilitator, SignatureVerdict, Verification};

/// Says yes to every signature, but only while gas is free:
/// `GASPRICE ISZERO PUSH1 12 JUMPI PUSH0 PUSH0 MSTORE PUSH1 32 PUSH0 RETURN`, and the magic value at 12.
const YES_IF_FREE: &str = "0x3a15600c575f5f5260205ff35b631626ba7e60e01b5f5260205ff3";

/// Says no to every signature.
const NO: &str = "0x5f5f5260205ff3";

/// Fifty payments of such a wallet were fifty reverted transactions that the host paid for.
#[tokio::test]
async fn a_wallet_that_says_yes_only_while_gas_is_free_is_refused_before_anything_is_sent() {
    let world = World::start().await;
    let local = world.local().await;
    world.rpc("anvil_setCode", json!([world.payer.address(), YES_IF_FREE])).await;
    for _ in 0..3 {
        let payment = world.payment();
        let verified = local.verify(&payment).await;
        assert!(
            matches!(&verified, Verification::Invalid { reason, .. } if reason == Reason::InvalidSignature.as_str())
        );
        refusal(local.settle(&payment).await);
    }
    assert_eq!(world.sent(world.gas.address()).await, 0);
}

#[tokio::test]
async fn a_wallet_whose_transaction_was_reverted_is_refused_for_a_while() {
    let world = World::start().await;
    let local = world.local().await;
    let (owner, wallet) = (Key::random(), world.payer.address());
    world.wallet(owner.address(), wallet).await;
    let code = world.rpc("eth_getCode", json!([wallet, "latest"])).await;
    let payment = || {
        let authorization = world.authorization();
        world.payment_with(&authorization, &world.signature(&owner, &authorization))
    };
    transaction(local.settle(&payment()).await);
    world.rpc("evm_setAutomine", json!([false])).await;
    let changes_its_mind = payment();
    open(local.settle(&changes_its_mind).await);
    world.rpc("anvil_setCode", json!([wallet, NO])).await;
    world.rpc("evm_mine", json!([])).await;
    let (reason, hash) = refusal(local.settle(&changes_its_mind).await);
    assert_eq!(reason, Reason::TransactionFailed.as_str());
    assert!(world.gas_used(&hash).await <= 500_000);
    world.rpc("evm_setAutomine", json!([true])).await;
    world.rpc("anvil_setCode", json!([wallet, code])).await;
    let sent = world.sent(world.gas.address()).await;
    for _ in 0..3 {
        let (reason, _) = refusal(local.settle(&payment()).await);
        assert_eq!(reason, Reason::SimulationFailed.as_str());
    }
    assert_eq!(world.sent(world.gas.address()).await, sent, "and nothing is sent for it");
    assert_eq!(world.usdc(SELLER).await, PRICE);
}

#[tokio::test]
async fn a_signature_that_is_not_the_keys_is_judged_by_the_contract_or_refused_without_asking_again() {
    let world = World::start().await;
    let local = world.local().await;
    let (owner, stranger, wallet) = (Key::random(), Key::random(), Address::repeat_byte(0x77));
    world.wallet(owner.address(), wallet).await;
    let mut authorization = world.authorization();
    authorization.from = wallet;
    let by = |key: &Key| world.payment_with(&authorization, &world.signature(key, &authorization));
    assert_eq!(local.check_contract_signature(&by(&owner)).await, SignatureVerdict::Valid);
    let verdict = local.check_contract_signature(&by(&stranger)).await;
    assert!(matches!(verdict, SignatureVerdict::Invalid { .. }), "{verdict:?}");

    // No contract: one read, and none for what comes later.
    let plain = world.authorization();
    let forged = world.payment_with(&plain, &world.signature(&stranger, &plain));
    let first = local.check_contract_signature(&forged).await;
    assert!(matches!(first, SignatureVerdict::Invalid { .. }), "{first:?}");
    let calls = world.proxy.calls("*");
    for _ in 0..20 {
        assert_eq!(local.check_contract_signature(&forged).await, first);
    }
    assert_eq!(world.proxy.calls("*"), calls);

    world.proxy.set(&[("*", ProxyFault::Request)]);
    let verdict = local.check_contract_signature(&by(&owner)).await;
    assert!(matches!(verdict, SignatureVerdict::Unavailable(_)), "{verdict:?}");
}

#[tokio::test]
async fn a_wallet_that_takes_too_much_gas_hears_so_and_the_limit_can_be_set() {
    let world = World::start().await;
    let mut config = world.config();
    config.wallet_gas = 60_000;
    let local = crate::local::Local::connect(config).await.expect("connected");
    // Burns some 100,000 gas: counts down from 0x1000 and says yes.
    let burns = "0x6110005b6001900380600357631626ba7e60e01b5f5260205ff3";
    world.rpc("anvil_setCode", json!([world.payer.address(), burns])).await;
    let Verification::Invalid { message: Some(message), .. } = local.verify(&world.payment()).await else {
        panic!("the limit is lower")
    };
    assert!(message.contains("takes more than 60000 gas"), "{message}");
    let local = tokio::time::timeout(Duration::from_secs(30), world.local()).await.expect("in time");
    let verified = local.verify(&world.payment()).await;
    assert!(matches!(verified, Verification::Valid { .. }), "{verified:?}");
}
