//! The stand-in behaves as FiatToken 2.2 does, as far as a caller can see.

use super::*;
use crate::{wallet1271_creation_code, wallet1271_runtime_code};

#[tokio::test]
async fn a_relayer_submits_a_signed_payment_and_the_balances_move() {
    let world = World::start().await;
    let payment = world.authorization(1_230_000).await;
    let signature = sign(&payment, &world.payer);
    let (v, r, s) = split(&signature);
    let receipt = world
        .token()
        .transferWithAuthorization_1(
            payment.from,
            payment.to,
            payment.value,
            payment.validAfter,
            payment.validBefore,
            payment.nonce,
            v,
            r,
            s,
        )
        .send()
        .await
        .unwrap()
        .get_receipt()
        .await
        .unwrap();
    assert!(receipt.status());
    assert_eq!(receipt.from, world.relayer.address());
    assert_eq!(world.usdc(world.payer.address()).await, U256::from(10_000_000 - 1_230_000));
    assert_eq!(world.usdc(world.seller).await, U256::from(1_230_000));
    let used = receipt.logs()[0].log_decode_validate::<Token::AuthorizationUsed>().unwrap();
    assert_eq!((used.inner.authorizer, used.inner.nonce), (payment.from, payment.nonce));
    let moved = receipt.logs()[1].log_decode_validate::<Token::Transfer>().unwrap();
    assert_eq!((moved.inner.from, moved.inner.to, moved.inner.value), (payment.from, payment.to, payment.value));
    assert_eq!(moved.inner.address, USDC);
    assert!(world.token().authorizationState(payment.from, payment.nonce).call().await.unwrap());
}

#[tokio::test]
async fn one_authorization_pays_once() {
    let world = World::start().await;
    let payment = world.authorization(10_000).await;
    let signature = sign(&payment, &world.payer);
    assert!(world.submit(&payment, signature.clone()).await.status());

    let reason = "FiatTokenV2: authorization is used or canceled";
    assert_eq!(world.refusal(&payment, signature.clone()).await, reason);
    let token = world.token();
    let (v, r, s) = split(&signature);
    let again = token.transferWithAuthorization_1(
        payment.from,
        payment.to,
        payment.value,
        payment.validAfter,
        payment.validBefore,
        payment.nonce,
        v,
        r,
        s,
    );
    assert_eq!(revert_reason(again.estimate_gas().await.map(|_| ())), reason);
    // Sent in spite of that, it is mined as failed, moves nothing and logs nothing.
    let receipt = again.gas(200_000).send().await.unwrap().get_receipt().await.unwrap();
    assert!(!receipt.status());
    assert!(receipt.logs().is_empty());
    assert_eq!(world.usdc(world.seller).await, U256::from(10_000));
}

#[tokio::test]
async fn the_window_excludes_both_ends() {
    let world = World::start().await;
    let now = world.now().await;
    let mut payment = world.authorization(10_000).await;
    (payment.validAfter, payment.validBefore) = (U256::from(now + 100), U256::from(now + 110));
    let signature = sign(&payment, &world.payer);
    for (timestamp, reason) in [
        (now + 100, "FiatTokenV2: authorization is not yet valid"),
        (now + 101, ""),
        (now + 109, ""),
        (now + 110, "FiatTokenV2: authorization is expired"),
    ] {
        world.ask("evm_setNextBlockTimestamp", json!([timestamp])).await;
        assert_eq!(world.refusal(&payment, signature.clone()).await, reason, "at {}", timestamp - now);
    }
    world.ask("evm_setNextBlockTimestamp", json!([now + 109])).await;
    assert!(world.submit(&payment, signature).await.status());
    assert_eq!(world.now().await, now + 109);
}

#[tokio::test]
async fn a_payment_needs_the_payers_own_canonical_signature_and_balance() {
    let world = World::start().await;
    let payment = world.authorization(10_000).await;
    let good = sign(&payment, &world.payer);
    let changed = |at: usize, to: &[u8]| {
        let mut bytes = good.to_vec();
        bytes.splice(at..at + to.len(), to.iter().copied());
        Bytes::from(bytes)
    };
    let high_s = {
        let order =
            U256::from_str_radix("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16).unwrap();
        let s = order - U256::from_be_slice(&good[32..64]);
        [&good[..32], &s.to_be_bytes::<32>(), &[55 - good[64]]].concat()
    };
    for (signature, reason) in [
        (sign(&payment, &world.relayer), "FiatTokenV2: invalid signature"),
        (good.slice(..64), "ECRecover: invalid signature length"),
        (Bytes::from(high_s), "ECRecover: invalid signature 's' value"),
        (changed(64, &[good[64] - 27]), "ECRecover: invalid signature 'v' value"),
        (changed(0, &[0; 32]), "ECRecover: invalid signature"),
        (good.clone(), ""),
    ] {
        assert_eq!(world.refusal(&payment, signature).await, reason);
    }
    let beyond = world.authorization(10_000_001).await;
    let signature = sign(&beyond, &world.payer);
    assert_eq!(world.refusal(&beyond, signature).await, "ERC20: transfer amount exceeds balance");
}

#[tokio::test]
async fn only_the_payee_receives_with_authorization() {
    let world = World::start().await;
    let now = world.now().await;
    let to = world.relayer.address();
    let message = ReceiveWithAuthorization {
        from: world.payer.address(),
        to,
        value: U256::from(5),
        validAfter: U256::ZERO,
        validBefore: U256::from(now + 60),
        nonce: nonce(),
    };
    let signature = sign(&message, &world.payer);
    let token = world.token();
    let call = || {
        let ReceiveWithAuthorization { from, to, value, validAfter, validBefore, nonce } = message.clone();
        token.receiveWithAuthorization_0(from, to, value, validAfter, validBefore, nonce, signature.clone())
    };
    let by_another = call().from(Address::repeat_byte(1)).call().await.map(|_| ());
    assert_eq!(revert_reason(by_another), "FiatTokenV2: caller must be the payee");
    assert!(call().send().await.unwrap().get_receipt().await.unwrap().status());
    assert_eq!(world.usdc(to).await, U256::from(5));
    let (v, r, s) = split(&signature);
    let again = token.receiveWithAuthorization_1(
        message.from,
        message.to,
        message.value,
        message.validAfter,
        message.validBefore,
        message.nonce,
        v,
        r,
        s,
    );
    assert_eq!(revert_reason(again.call().await.map(|_| ())), "FiatTokenV2: authorization is used or canceled");
}

#[tokio::test]
async fn a_smart_wallet_decides_which_signatures_are_valid() {
    let world = World::start().await;
    let owner = PrivateKeySigner::random();
    let deployment = TransactionRequest::default().with_deploy_code(wallet1271_creation_code(owner.address()));
    let receipt = world.rpc.send_transaction(deployment).await.unwrap().get_receipt().await.unwrap();
    let wallet = receipt.contract_address.unwrap();
    assert!(!world.rpc.get_code_at(wallet).await.unwrap().is_empty());
    let payment = world.authorization(4_000_000).await;
    assert!(world.submit(&payment, sign(&payment, &world.payer)).await.status());

    // The wallet is funded by the payer, and pays the seller on.
    let mut funding = world.authorization(3_000_000).await;
    funding.to = wallet;
    assert!(world.submit(&funding, sign(&funding, &world.payer)).await.status());
    let mut payment = world.authorization(1_000_000).await;
    payment.from = wallet;
    let wrong = sign(&payment, &world.payer);
    assert_eq!(world.refusal(&payment, wrong).await, "FiatTokenV2: invalid signature");
    assert_eq!(world.refusal(&payment, Bytes::new()).await, "FiatTokenV2: invalid signature");
    let receipt = world.submit(&payment, sign(&payment, &owner)).await;
    assert!(receipt.status());
    assert_eq!(world.usdc(wallet).await, U256::from(2_000_000));
    assert_eq!(world.usdc(world.seller).await, U256::from(5_000_000));

    // The key of an account that has become a wallet signs for it no more: only ERC-1271 counts.
    let mut payment = world.authorization(1).await;
    payment.to = wallet;
    let by_key = sign(&payment, &world.payer);
    assert_eq!(world.refusal(&payment, by_key.clone()).await, "");
    world.ask("anvil_setCode", json!([world.payer.address(), wallet1271_runtime_code()])).await;
    world
        .ask(
            "anvil_setStorageAt",
            json!([world.payer.address(), "0x0", B256::left_padding_from(owner.address().as_slice())]),
        )
        .await;
    assert_eq!(world.refusal(&payment, by_key).await, "FiatTokenV2: invalid signature");
    assert_eq!(world.refusal(&payment, sign(&payment, &owner)).await, "");
}

#[tokio::test]
async fn a_cancelled_authorization_never_pays() {
    let world = World::start().await;
    let token = world.token();
    let payment = world.authorization(10_000).await;
    let message = CancelAuthorization { authorizer: payment.from, nonce: payment.nonce };
    let by_stranger = token.cancelAuthorization_0(payment.from, payment.nonce, sign(&message, &world.relayer));
    assert_eq!(revert_reason(by_stranger.call().await.map(|_| ())), "FiatTokenV2: invalid signature");
    let (v, r, s) = split(&sign(&message, &world.payer));
    let cancel = token.cancelAuthorization_1(payment.from, payment.nonce, v, r, s);
    let receipt = cancel.send().await.unwrap().get_receipt().await.unwrap();
    let cancelled = receipt.logs()[0].log_decode_validate::<Token::AuthorizationCanceled>().unwrap();
    assert_eq!(cancelled.inner.nonce, payment.nonce);
    let reason = "FiatTokenV2: authorization is used or canceled";
    assert_eq!(world.refusal(&payment, sign(&payment, &world.payer)).await, reason);
    let again = token.cancelAuthorization_0(payment.from, payment.nonce, sign(&message, &world.payer));
    assert_eq!(revert_reason(again.call().await.map(|_| ())), reason);
}

#[tokio::test]
async fn a_permit_allows_once_and_until_its_deadline() {
    let world = World::start().await;
    let token = world.token();
    let (owner, spender) = (world.payer.address(), world.relayer.address());
    let deadline = U256::from(world.now().await + 50);
    let message = Permit { owner, spender, value: U256::from(700), nonce: U256::ZERO, deadline };
    let (v, r, s) = split(&sign(&message, &world.payer));
    let permit = || token.permit_1(owner, spender, U256::from(700), deadline, v, r, s);
    world.ask("evm_setNextBlockTimestamp", json!([deadline.to::<u64>() + 1])).await;
    assert_eq!(revert_reason(permit().call().await.map(|_| ())), "FiatTokenV2: permit is expired");
    world.ask("evm_setNextBlockTimestamp", json!([deadline.to::<u64>()])).await;
    assert!(permit().send().await.unwrap().get_receipt().await.unwrap().status());
    assert_eq!(token.allowance(owner, spender).call().await.unwrap(), U256::from(700));
    assert_eq!(token.nonces(owner).call().await.unwrap(), U256::ONE);

    world.ask("evm_setNextBlockTimestamp", json!([deadline.to::<u64>()])).await;
    assert_eq!(revert_reason(permit().call().await.map(|_| ())), "EIP2612: invalid signature");
    let forever = Permit { nonce: U256::ONE, deadline: U256::MAX, ..message };
    let call = token.permit_0(owner, spender, forever.value, forever.deadline, sign(&forever, &world.payer));
    assert!(call.send().await.unwrap().get_receipt().await.unwrap().status());

    let spend = token.transferFrom(owner, world.seller, U256::from(600));
    assert!(spend.send().await.unwrap().get_receipt().await.unwrap().status());
    assert_eq!(token.allowance(owner, spender).call().await.unwrap(), U256::from(100));
    let beyond = token.transferFrom(owner, world.seller, U256::from(101));
    assert_eq!(revert_reason(beyond.call().await.map(|_| ())), "ERC20: transfer amount exceeds allowance");
}

#[tokio::test]
async fn the_token_describes_itself_as_base_sepolias() {
    let world = World::start().await;
    let token = world.token();
    assert_eq!(token.name().call().await.unwrap(), "USDC");
    assert_eq!(token.symbol().call().await.unwrap(), "USDC");
    assert_eq!(token.version().call().await.unwrap(), "2");
    assert_eq!(token.decimals().call().await.unwrap(), 6);
    assert_eq!(token.totalSupply().call().await.unwrap(), U256::from(10_000_000));
    // The type hashes of EIP-3009 and EIP-2612.
    for (got, want) in [
        (
            token.TRANSFER_WITH_AUTHORIZATION_TYPEHASH().call().await.unwrap(),
            b256!("0x7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267"),
        ),
        (
            token.RECEIVE_WITH_AUTHORIZATION_TYPEHASH().call().await.unwrap(),
            b256!("0xd099cc98ef71107a616c4f0f941f04c322d8e254fe26b3c6668db87aae413de8"),
        ),
        (
            token.CANCEL_AUTHORIZATION_TYPEHASH().call().await.unwrap(),
            b256!("0x158b0a9edf7a828aad02f63cd515c68ef2f50ba807396f6d12842833a1597429"),
        ),
        (
            token.PERMIT_TYPEHASH().call().await.unwrap(),
            b256!("0x6e71edae12b1b97f4d1f60370fef10105fa2faae0126114a169c64845d6126c9"),
        ),
    ] {
        assert_eq!(got, want);
    }
}

#[tokio::test]
async fn plain_transfers_and_allowances_work() {
    let world = World::start().await;
    let token = world.token();
    let me = world.relayer.address();
    let mut funding = world.authorization(1_000).await;
    funding.to = me;
    world.submit(&funding, sign(&funding, &world.payer)).await;
    let receipt = token.transfer(world.seller, U256::from(400)).send().await.unwrap().get_receipt().await.unwrap();
    assert!(receipt.status());
    assert_eq!(world.usdc(world.seller).await, U256::from(400));
    let beyond = token.transfer(world.seller, U256::from(601)).call().await.map(|_| ());
    assert_eq!(revert_reason(beyond), "ERC20: transfer amount exceeds balance");
    let nowhere = token.transfer(Address::ZERO, U256::ONE).call().await.map(|_| ());
    assert_eq!(revert_reason(nowhere), "ERC20: transfer to the zero address");

    token.approve(world.seller, U256::from(10)).send().await.unwrap().get_receipt().await.unwrap();
    token.increaseAllowance(world.seller, U256::from(5)).send().await.unwrap().get_receipt().await.unwrap();
    let receipt =
        token.decreaseAllowance(world.seller, U256::from(3)).send().await.unwrap().get_receipt().await.unwrap();
    let approval = receipt.logs()[0].log_decode_validate::<Token::Approval>().unwrap();
    assert_eq!((approval.inner.owner, approval.inner.value), (me, U256::from(12)));
    let below = token.decreaseAllowance(world.seller, U256::from(13)).call().await.map(|_| ());
    assert_eq!(revert_reason(below), "ERC20: decreased allowance below zero");
}
