//! Transactions that are pooled, rejected and mined.

use alloy::eips::eip2930::AccessList;

use super::*;

impl World {
    async fn send(&self, raw: Bytes) -> Value {
        self.raw("eth_sendRawTransaction", json!([raw])).await
    }

    async fn send_ok(&self, raw: Bytes) -> B256 {
        let answer = self.send(raw).await;
        serde_json::from_value(answer["result"].clone()).unwrap_or_else(|_| panic!("{answer}"))
    }

    #[track_caller]
    fn refused(&self, answer: &Value, start: &str) {
        assert_eq!(answer["error"]["code"], -32000, "{answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(start), "{message:?} does not start with {start:?}");
    }

    async fn count(&self, tag: &str) -> Value {
        self.ask("eth_getTransactionCount", json!([self.relayer.address(), tag])).await
    }
}

#[tokio::test]
async fn a_transaction_of_each_kind_is_mined_in_a_block_of_its_own() {
    let world = World::start().await;
    let legacy = |request: TransactionRequest| TransactionRequest {
        max_fee_per_gas: None,
        max_priority_fee_per_gas: None,
        ..request.with_gas_price(1_000_000_000)
    };
    let hashes = [
        world.send_ok(world.raw_transfer(0, legacy).await).await,
        world
            .send_ok(world.raw_transfer(1, |request| legacy(request).with_access_list(AccessList::default())).await)
            .await,
        world.send_ok(world.raw_transfer(2, |request| request).await).await,
    ];
    for (kind, hash) in (0..).zip(hashes) {
        let receipt = world.rpc.get_transaction_receipt(hash).await.unwrap().unwrap();
        assert_eq!(receipt.inner.tx_type() as u8, kind);
        assert_eq!((receipt.block_number, receipt.gas_used), (Some(u64::from(kind) + 1), 21_000));
        let transaction = world.rpc.get_transaction_by_hash(hash).await.unwrap().unwrap();
        assert_eq!(transaction.inner.signer(), world.relayer.address());
        assert_eq!(transaction.block_hash, receipt.block_hash);
    }
    assert_eq!(world.rpc.get_balance(world.seller).await.unwrap(), U256::from(3));
}

#[tokio::test]
async fn a_future_nonce_waits_until_the_gap_is_filled() {
    let world = World::start().await;
    let later = [
        world.send_ok(world.raw_transfer(2, |request| request).await).await,
        world.send_ok(world.raw_transfer(1, |request| request).await).await,
    ];
    assert_eq!(world.rpc.get_block_number().await.unwrap(), 0);
    assert_eq!(world.count("pending").await, "0x0");
    assert!(world.rpc.get_transaction_receipt(later[0]).await.unwrap().is_none());
    let waiting = world.ask("eth_getTransactionByHash", json!([later[0]])).await;
    assert_eq!(waiting["blockHash"], Value::Null);
    world.send_ok(world.raw_transfer(0, |request| request).await).await;
    assert_eq!(world.rpc.get_block_number().await.unwrap(), 3);
    assert_eq!(world.rpc.get_transaction_receipt(later[0]).await.unwrap().unwrap().block_number, Some(3));
    assert_eq!(world.count("latest").await, "0x3");
}

#[tokio::test]
async fn a_rejected_transaction_is_refused_in_the_words_of_go_ethereum() {
    let world = World::start().await;
    let mined = world.raw_transfer(0, |request| request).await;
    world.send_ok(mined.clone()).await;
    world.refused(&world.send(mined).await, "already known");
    let stale = world.raw_transfer(0, |request| request.with_value(U256::from(2))).await;
    world.refused(&world.send(stale).await, "nonce too low: next nonce 1, tx nonce 0");
    let dear = world.raw_transfer(1, |request| request.with_value(U256::from(2 * ETHER))).await;
    world.refused(&world.send(dear).await, "insufficient funds for gas * price + value");
    let foreign = world.raw_transfer(1, |request| request.with_chain_id(8453)).await;
    world.refused(&world.send(foreign).await, "invalid chain id for signer: have 8453 want 84532");
    let short = world.raw_transfer(1, |request| request.with_gas_limit(20_999)).await;
    world.refused(&world.send(short).await, "intrinsic gas too low: gas 20999, minimum needed 21000");
    let greedy = world.raw_transfer(1, |request| request.with_gas_limit(60_000_001)).await;
    world.refused(&world.send(greedy).await, "exceeds block gas limit");
    let cheap = world.raw_transfer(1, |request| request.with_max_fee_per_gas(1).with_max_priority_fee_per_gas(1)).await;
    world.refused(&world.send(cheap).await, "max fee per gas less than block base fee");
    let tip = world.raw_transfer(1, |request| request.with_max_priority_fee_per_gas(2_000_000_000)).await;
    world.refused(&world.send(tip).await, "max priority fee per gas higher than max fee per gas");
    let far = world.raw_transfer(5_000, |request| request).await;
    world.refused(&world.send(far).await, "nonce too high");
    let data = Bytes::from(vec![1; 131_072]);
    let huge = world.raw_transfer(1, |request| request.with_input(data).with_gas_limit(50_000_000)).await;
    world.refused(&world.send(huge).await, "oversized data");
    let floor =
        world.raw_transfer(1, |request| request.with_input(vec![1; 1_000]).with_gas_limit(21_000 + 20_000)).await;
    world.refused(&world.send(floor).await, "insufficient gas for floor data gas cost");
    assert_eq!(world.rpc.get_block_number().await.unwrap(), 1);
}

#[tokio::test]
async fn a_replacement_pays_a_tenth_more() {
    let world = World::start().await;
    let first = world.send_ok(world.raw_transfer(1, |request| request).await).await;
    world.refused(&world.send(world.raw_transfer(1, |request| request).await).await, "already known");
    let at = |cap: u128, tip: u128| {
        move |request: TransactionRequest| request.with_max_fee_per_gas(cap).with_max_priority_fee_per_gas(tip)
    };
    for (cap, tip) in [(1_099_999_999, 1_100_000), (1_100_000_000, 1_099_999)] {
        let under = world.raw_transfer(1, at(cap, tip)).await;
        world.refused(&world.send(under).await, "replacement transaction underpriced");
    }
    let second = world.send_ok(world.raw_transfer(1, at(1_100_000_000, 1_100_000)).await).await;
    world.send_ok(world.raw_transfer(0, |request| request).await).await;
    assert!(world.rpc.get_transaction_by_hash(first).await.unwrap().is_none());
    assert_eq!(world.rpc.get_transaction_receipt(second).await.unwrap().unwrap().block_number, Some(2));
}

#[tokio::test]
async fn malformed_transactions_are_refused_and_the_chain_still_mines() {
    let world = World::start().await;
    let good = world.raw_transfer(0, |request| request).await;
    for raw in ["", "00", "80", "c0", "f8", "ff", "02", "02c0", "03c0", "04c0", "7fdeadbeef", "02f8ffffffffffffffff"] {
        let answer = world.raw("eth_sendRawTransaction", json!([format!("0x{raw}")])).await;
        assert_eq!(answer["error"]["code"], -32000, "{raw}: {answer}");
    }
    let trailing = [&good[..], &[0]].concat();
    world.refused(&world.send(trailing.into()).await, "failed to decode signed transaction");
    // Every cut, and every byte changed: the transaction is refused, or, where the change is in the signature, has
    // another sender.
    for at in 0..good.len() {
        let mut changed = good.to_vec();
        changed[at] ^= 0x55;
        for raw in [good.slice(..at), changed.into()] {
            let answer = world.send(raw).await;
            assert_eq!(answer["error"]["code"], -32000, "at {at}: {answer}");
        }
    }
    // No chain id (a signature from before EIP-155) and a blob transaction's type.
    let unprotected = world
        .raw_transfer(0, |request| TransactionRequest {
            chain_id: None,
            max_fee_per_gas: None,
            max_priority_fee_per_gas: None,
            ..request.with_gas_price(1_000_000_000)
        })
        .await;
    world.refused(&world.send(unprotected).await, "only replay-protected");
    world.send_ok(good).await;
    assert_eq!(world.rpc.get_block_number().await.unwrap(), 1);
}

#[tokio::test]
async fn at_an_interval_a_block_takes_all_pooled_transactions() {
    let world = World::start_with(Some(Duration::from_millis(400))).await;
    world.ask("evm_mine", json!([])).await;
    let sent = [
        world.send_ok(world.raw_transfer(0, |request| request).await).await,
        world.send_ok(world.raw_transfer(1, |request| request).await).await,
    ];
    assert_eq!(world.count("pending").await, "0x2");
    let mined = async {
        loop {
            if let Some(receipt) = world.rpc.get_transaction_receipt(sent[1]).await.unwrap() {
                return receipt;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let second = tokio::time::timeout(Duration::from_secs(10), mined).await.unwrap();
    let first = world.rpc.get_transaction_receipt(sent[0]).await.unwrap().unwrap();
    assert!(first.block_number <= second.block_number);
    // Blocks are mined even if the pool is empty, and time passes between them.
    let (number, before) = (second.block_number.unwrap(), world.now().await);
    let later = async {
        while world.rpc.get_block_number().await.unwrap() < number + 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), later).await.unwrap();
    assert!(world.now().await > before);
}

#[tokio::test]
async fn with_automine_off_the_pending_block_has_the_pooled_transactions() {
    let world = World::start().await;
    world.ask("evm_setAutomine", json!([false])).await;
    let first = world.send_ok(world.raw_transfer(0, |request| request).await).await;
    world.send_ok(world.raw_transfer(1, |request| request).await).await;
    world.send_ok(world.raw_transfer(3, |request| request).await).await;
    assert_eq!((world.count("pending").await, world.count("latest").await), (json!("0x2"), json!("0x0")));
    let pending = world.ask("eth_getBlockByNumber", json!(["pending", false])).await;
    assert_eq!((&pending["number"], &pending["hash"]), (&json!("0x1"), &Value::Null));
    assert_eq!(pending["transactions"].as_array().unwrap().len(), 2);
    assert_eq!(pending["transactions"][0], json!(first));
    assert_eq!(world.rpc.get_block_number().await.unwrap(), 0);
    world.ask("evm_mine", json!([])).await;
    let block = world.rpc.get_block_by_number(1.into()).full().await.unwrap().unwrap();
    assert_eq!(block.transactions.len(), 2);
    assert_eq!(block.header.gas_used, 42_000);
    let last = &world.rpc.get_block_receipts(1.into()).await.unwrap().unwrap()[1];
    assert_eq!((last.transaction_index, last.inner.cumulative_gas_used()), (Some(1), 42_000));
    // With automine on again, the transactions without a gap are mined.
    world.ask("evm_setAutomine", json!([true])).await;
    world.send_ok(world.raw_transfer(2, |request| request).await).await;
    assert_eq!(world.count("latest").await, "0x4");
}

#[tokio::test]
async fn a_transaction_that_lost_its_funds_is_dropped_not_mined() {
    let world = World::start().await;
    world.ask("evm_setAutomine", json!([false])).await;
    let half = U256::from(ETHER / 10 * 6);
    world.send_ok(world.raw_transfer(0, |request| request.with_value(half)).await).await;
    let second = world.send_ok(world.raw_transfer(1, |request| request.with_value(half)).await).await;
    world.ask("evm_mine", json!([])).await;
    assert_eq!(world.count("pending").await, "0x1");
    assert!(world.rpc.get_transaction_by_hash(second).await.unwrap().is_none());
    assert_eq!(world.rpc.get_balance(world.seller).await.unwrap(), half);
}

#[tokio::test]
async fn fifty_payments_sent_at_once_are_all_mined() {
    let world = World::start().await;
    let mut sending = tokio::task::JoinSet::new();
    for nonce in 0..50 {
        let (raw, http, url) =
            (world.raw_transfer(nonce, |request| request).await, world.http.clone(), world.devnet.rpc_url());
        sending.spawn(async move {
            let call = json!({ "jsonrpc": "2.0", "id": nonce, "method": "eth_sendRawTransaction", "params": [raw] });
            http.post(url).body(call.to_string()).send().await.unwrap().text().await.unwrap()
        });
    }
    for answer in sending.join_all().await {
        assert!(answer.contains("result"), "{answer}");
    }
    assert_eq!(world.rpc.get_balance(world.seller).await.unwrap(), U256::from(50));
    assert_eq!(world.rpc.get_block_number().await.unwrap(), 50);
}
