//! Blocks, logs, history, snapshots and time.

use alloy::rpc::types::Filter;
use alloy::sol_types::SolEvent as _;

use super::*;

#[tokio::test]
async fn blocks_chain_and_their_hashes_are_those_of_their_headers() {
    let world = World::start().await;
    let payment = world.authorization(1).await;
    world.submit(&payment, sign(&payment, &world.payer)).await;
    world.ask("evm_mine", json!([])).await;
    let mut parent = B256::ZERO;
    for number in 0..=2 {
        let block = world.rpc.get_block_by_number(number.into()).full().await.unwrap().unwrap();
        assert_eq!(block.header.number, number);
        assert_eq!(block.header.parent_hash, parent);
        assert_eq!(block.header.inner.hash_slow(), block.header.hash);
        let bare = block.clone().map_transactions(|tx| tx.into_inner());
        assert_eq!(bare.calculate_transactions_root(), Some(block.header.transactions_root));
        let by_hash = world.rpc.get_block_by_hash(block.header.hash).full().await.unwrap().unwrap();
        assert_eq!(by_hash, block);
        parent = block.header.hash;
    }
    for tag in ["latest", "safe", "finalized"] {
        assert_eq!(world.ask("eth_getBlockByNumber", json!([tag, false])).await["number"], "0x2");
    }
    assert_eq!(world.ask("eth_getBlockByNumber", json!(["earliest", false])).await["number"], "0x0");
    assert_eq!(world.ask("eth_getBlockByNumber", json!(["0x3", false])).await, Value::Null);
    assert_eq!(world.ask("eth_getBlockByHash", json!([B256::repeat_byte(1), false])).await, Value::Null);
    assert_eq!(world.ask("eth_getBlockReceipts", json!(["0x9"])).await, Value::Null);
}

#[tokio::test]
async fn logs_are_found_by_address_topic_range_and_block() {
    let world = World::start().await;
    let mut receipts = Vec::new();
    for value in [1, 2, 3] {
        let payment = world.authorization(value).await;
        receipts.push(world.submit(&payment, sign(&payment, &world.payer)).await);
    }
    let values = async |filter: Filter| -> Vec<u64> {
        let logs = world.rpc.get_logs(&filter).await.unwrap();
        logs.iter().filter_map(|log| log.log_decode::<Token::Transfer>().ok()).map(|log| log.inner.value.to()).collect()
    };
    let transfers = || Filter::new().address(USDC).event_signature(Token::Transfer::SIGNATURE_HASH);
    assert_eq!(values(transfers().from_block(0)).await, [1, 2, 3]);
    assert_eq!(values(transfers().from_block(2).to_block(2)).await, [2]);
    // Without a range, the newest block.
    assert_eq!(values(transfers()).await, [3]);
    assert_eq!(values(transfers().at_block_hash(receipts[0].block_hash.unwrap())).await, [1]);
    assert_eq!(values(transfers().from_block(0).topic2(world.seller.into_word())).await, [1, 2, 3]);
    assert!(values(transfers().from_block(0).topic2(USDC.into_word())).await.is_empty());
    assert!(values(Filter::new().from_block(0).address(world.seller)).await.is_empty());
    assert_eq!(world.rpc.get_logs(&Filter::new().from_block(0)).await.unwrap().len(), 6);
    // A receipt has the same logs as the filter finds.
    let found = world.rpc.get_logs(&transfers().at_block_hash(receipts[1].block_hash.unwrap())).await.unwrap();
    assert_eq!(found[0], receipts[1].logs()[1]);
    assert_eq!(found[0].log_index, Some(1));

    let unknown = world.raw("eth_getLogs", json!([{ "blockHash": B256::repeat_byte(9) }])).await;
    assert_eq!(unknown["error"]["code"], -32000);
    let inverted = world.raw("eth_getLogs", json!([{ "fromBlock": "0x2", "toBlock": "0x1" }])).await;
    assert_eq!(inverted["error"]["code"], -32000);
}

#[tokio::test]
async fn older_states_can_still_be_read() {
    let world = World::start().await;
    for value in [5, 6] {
        let payment = world.authorization(value).await;
        world.submit(&payment, sign(&payment, &world.payer)).await;
    }
    for (block, balance) in [(0, 0), (1, 5), (2, 11)] {
        let at = world.token().balanceOf(world.seller).block(block.into()).call().await.unwrap();
        assert_eq!(at, U256::from(balance));
        let nonce = world.rpc.get_transaction_count(world.relayer.address()).block_id(block.into()).await.unwrap();
        assert_eq!(nonce, block);
    }
    let future = world.raw("eth_getBalance", json!([world.seller, "0x9"])).await;
    assert_eq!(future["error"]["message"], "header not found");
}

#[tokio::test]
async fn a_snapshot_brings_everything_back_once() {
    let world = World::start().await;
    let payment = world.authorization(5).await;
    let signature = sign(&payment, &world.payer);
    let before = world.ask("eth_getBlockByNumber", json!(["latest", false])).await;
    let snapshot = world.ask("evm_snapshot", json!([])).await;
    world.ask("anvil_setBalance", json!([world.seller, "0x99"])).await;
    world.ask("evm_increaseTime", json!([5_000])).await;
    world.ask("evm_mine", json!([])).await;
    world.ask("evm_increaseTime", json!([0])).await;
    assert_eq!(world.refusal(&payment, signature.clone()).await, "FiatTokenV2: authorization is expired");
    assert_eq!(world.rpc.get_balance(world.seller).await.unwrap(), U256::from(0x99));

    assert_eq!(world.ask("evm_revert", json!([snapshot])).await, true);
    assert_eq!(world.ask("eth_getBlockByNumber", json!(["latest", false])).await, before);
    assert_eq!(world.rpc.get_balance(world.seller).await.unwrap(), U256::ZERO);
    let receipt = world.submit(&payment, signature).await;
    assert!(receipt.status());
    assert_eq!(receipt.block_number, Some(1));
    assert_eq!(world.ask("evm_revert", json!([snapshot])).await, false);
    assert_eq!(world.usdc(world.seller).await, U256::from(5));
}

#[tokio::test]
async fn time_follows_the_wall_clock_and_the_dev_methods() {
    let world = World::start().await;
    let wall = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let genesis = world.now().await;
    assert!((wall() - 30..=wall()).contains(&genesis));
    for _ in 0..5 {
        world.ask("evm_mine", json!([])).await;
    }
    // Many blocks within a second do not run ahead of it.
    assert!((genesis..=wall()).contains(&world.now().await));
    world.ask("evm_mine", json!([genesis + 1_000])).await;
    assert_eq!(world.now().await, genesis + 1_000);
    world.ask("evm_mine", json!([])).await;
    assert!((genesis + 1_000..genesis + 1_030).contains(&world.now().await));
    let back = world.raw("evm_setNextBlockTimestamp", json!([genesis])).await;
    assert_eq!(back["error"]["code"], -32000);
    world.ask("anvil_mine", json!(["0x3", "0x3c"])).await;
    assert!((genesis + 1_120..genesis + 1_170).contains(&world.now().await));
}

#[tokio::test]
async fn blocks_beyond_the_kept_ones_are_forgotten_with_their_state() {
    let world = World::start().await;
    let payment = world.authorization(5).await;
    let receipt = world.submit(&payment, sign(&payment, &world.payer)).await;
    let snapshot = world.ask("evm_snapshot", json!([])).await;
    for _ in 0..2 {
        world.ask("anvil_mine", json!([crate::KEPT_BLOCKS / 2])).await;
    }
    assert_eq!(world.ask("eth_getBlockByNumber", json!(["0x0", false])).await, Value::Null);
    let gone = world.raw("eth_getBalance", json!([world.seller, "0x0"])).await;
    assert_eq!(gone["error"]["message"], "header not found");
    assert!(world.rpc.get_transaction_receipt(receipt.transaction_hash).await.unwrap().is_none());
    assert_eq!(world.ask("evm_revert", json!([snapshot])).await, false);
    let logs = world.raw("eth_getLogs", json!([{ "fromBlock": "0x0" }])).await;
    assert_eq!(logs["error"]["code"], 4444);
    assert_eq!(world.ask("eth_getLogs", json!([{ "fromBlock": "0x10" }])).await, json!([]));
    // The newest state is complete although old blocks are forgotten.
    assert_eq!(world.usdc(world.seller).await, U256::from(5));
    assert!(world.token().authorizationState(payment.from, payment.nonce).call().await.unwrap());
}
