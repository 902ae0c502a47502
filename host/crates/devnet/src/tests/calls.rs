//! Simulation, estimates, fees, and reads of state.

use super::*;

#[tokio::test]
async fn an_estimate_is_enough_and_close() {
    let world = World::start().await;
    let payment = world.authorization(5).await;
    let signature = sign(&payment, &world.payer);
    let token = world.token();
    let call = token.transferWithAuthorization_0(
        payment.from,
        payment.to,
        payment.value,
        payment.validAfter,
        payment.validBefore,
        payment.nonce,
        signature,
    );
    let estimate = call.estimate_gas().await.unwrap();
    let receipt = call.gas(estimate).send().await.unwrap().get_receipt().await.unwrap();
    assert!(receipt.status());
    assert!(estimate <= receipt.gas_used * 102 / 100, "{estimate} for {}", receipt.gas_used);
    let plain = json!([{ "from": world.relayer.address(), "to": world.seller, "value": "0x1" }]);
    assert_eq!(world.ask("eth_estimateGas", plain).await, "0x5208");
    let poor = json!([{ "from": world.seller, "to": USDC, "value": "0xffffffffffffffffff" }]);
    let refused = world.raw("eth_estimateGas", poor).await;
    assert!(refused["error"]["message"].as_str().unwrap().starts_with("insufficient funds for gas * price + value"));
}

#[tokio::test]
async fn a_revert_has_code_3_and_its_output_as_data() {
    let world = World::start().await;
    let input = "0xa9059cbb00000000000000000000000000000000000000000000000000000000000000050000000000000000000000000000000000000000000000000000000000000001";
    for method in ["eth_call", "eth_estimateGas"] {
        for field in ["data", "input"] {
            let answer = world.raw(method, json!([{ "to": USDC, field: input }, "latest"])).await;
            assert_eq!(answer["error"]["code"], 3, "{answer}");
            assert_eq!(answer["error"]["message"], "execution reverted: ERC20: transfer from the zero address");
            assert!(answer["error"]["data"].as_str().unwrap().starts_with("0x08c379a0"));
        }
    }
}

#[tokio::test]
async fn a_call_needs_no_ether_and_may_come_from_a_contract() {
    let world = World::start().await;
    let call = world.token().balanceOf(world.payer.address()).from(USDC).call().await.unwrap();
    assert_eq!(call, U256::from(10_000_000));
    // With a price the sender must have it, as for a transaction.
    let call = json!([{ "from": world.payer.address(), "to": USDC, "gasPrice": "0x3b9aca00", "gas": "0x30000" }]);
    let answer = world.raw("eth_call", call).await;
    assert_eq!(answer["error"]["code"], -32000, "{answer}");
    // Creation code is run too: this one returns 32 zero bytes.
    assert_eq!(world.ask("eth_call", json!([{ "data": "0x60206000f3" }])).await, json!(B256::ZERO));
    // A call that would never end runs out of gas.
    let answer = world.raw("eth_call", json!([{ "data": "0x5b600056" }])).await;
    assert_eq!(answer["error"]["message"], "out of gas");
}

#[tokio::test]
async fn fees_are_as_clients_compute_with_them() {
    let world = World::start().await;
    let payment = world.authorization(5).await;
    world.submit(&payment, sign(&payment, &world.payer)).await;
    let fees = world.rpc.estimate_eip1559_fees().await.unwrap();
    assert!(fees.max_fee_per_gas >= 5_000_000 && fees.max_priority_fee_per_gas > 0);
    assert_eq!(world.rpc.get_gas_price().await.unwrap(), 6_000_000);
    let history = world.rpc.get_fee_history(10, Default::default(), &[0.0, 50.0, 100.0]).await.unwrap();
    assert_eq!(history.oldest_block, 0);
    assert_eq!(history.base_fee_per_gas, [5_000_000; 3]);
    assert_eq!(history.gas_used_ratio.len(), 2);
    assert!(history.gas_used_ratio[1] > 0.0);
    let rewards = history.reward.unwrap();
    assert_eq!(rewards[0], [0; 3]);
    assert!(rewards[1].iter().all(|tip| *tip > 0));
    let falling = world.raw("eth_feeHistory", json!(["0x1", "latest", [50, 10]])).await;
    assert_eq!(falling["error"]["code"], -32602);
}

#[tokio::test]
async fn state_is_read_and_edited_by_name() {
    let world = World::start().await;
    assert_eq!(world.rpc.get_storage_at(USDC, U256::ONE).await.unwrap(), U256::from(10_000_000));
    assert_eq!(
        world.ask("eth_getStorageAt", json!([USDC, "0x1", "latest"])).await,
        json!(B256::from(U256::from(10_000_000)))
    );
    world.ask("anvil_setBalance", json!([world.seller, "0xde0b6b3a7640000"])).await;
    world.ask("anvil_setNonce", json!([world.seller, "0x5"])).await;
    world.ask("anvil_setCode", json!([world.seller, "0x60015f5260205ff3"])).await;
    assert_eq!(world.rpc.get_balance(world.seller).await.unwrap(), U256::from(ETHER));
    assert_eq!(world.rpc.get_transaction_count(world.seller).await.unwrap(), 5);
    let one = world.rpc.call(TransactionRequest::default().with_to(world.seller)).await.unwrap();
    assert_eq!(one, Bytes::from(B256::with_last_byte(1)));
}
