//! Tokens that write their two logs of a payment in either order, end to end: what a receipt proves here, the chain
//! proves to a process that remembers nothing, and to a probe.

use std::sync::Arc;

use alloy::sol_types::SolEvent;
use coinslot_evm::abi::IEip3009::{AuthorizationUsed, Transfer};
use serde_json::{Value, json};

use super::settle::{all_at_once, transaction};
use crate::local::Local;
use crate::testing::{PRICE, SELLER, World};
use crate::{Facilitator, OnChain};

fn topic0(log: &Value) -> Option<&str> {
    log["topics"][0].as_str()
}

/// Answers as a node would if the token wrote each `Transfer` right before its `AuthorizationUsed`.
fn transfers_first(method: &str, result: &mut Value) {
    let used = AuthorizationUsed::SIGNATURE_HASH.to_string();
    let moved = Transfer::SIGNATURE_HASH.to_string();
    match method {
        "eth_getTransactionReceipt" => {
            let Some(logs) = result["logs"].as_array_mut() else { return };
            for at in 1..logs.len() {
                if topic0(&logs[at - 1]) == Some(&used) && topic0(&logs[at]) == Some(&moved) {
                    logs.swap(at - 1, at);
                    let (index, next) = (logs[at]["logIndex"].take(), logs[at - 1]["logIndex"].take());
                    logs[at - 1]["logIndex"] = index;
                    logs[at]["logIndex"] = next;
                }
            }
        }
        "eth_getLogs" => {
            for log in result.as_array_mut().into_iter().flatten().filter(|log| topic0(log) == Some(&used)) {
                let index = u64::from_str_radix(&log["logIndex"].as_str().expect("a number")[2..], 16).expect("hex");
                log["logIndex"] = json!(format!("{:#x}", index + 1));
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn a_payment_is_proven_alike_by_receipt_search_and_probe_in_either_order_of_the_logs() {
    for rewrite in [None, Some(transfers_first as fn(&str, &mut Value))] {
        let world = World::start().await;
        if let Some(rewrite) = rewrite {
            world.proxy.rewrite(rewrite);
        }
        let local = Arc::new(Local::connect(world.config_for_many()).await.expect("connected"));
        // One payer, one price: some alone in their transaction, most together.
        let payments: Vec<_> = (0..12).map(|_| world.payment()).collect();
        let settlements = all_at_once(&local, payments.clone()).await;
        let hashes: Vec<String> = settlements.into_iter().map(transaction).collect();
        assert!(hashes.iter().any(|hash| hashes.iter().filter(|other| *other == hash).count() > 1), "none share one");
        assert_eq!(world.usdc(SELLER).await, 12 * PRICE);
        let restarted = world.local().await;
        for (payment, hash) in payments.iter().zip(&hashes) {
            assert_eq!(transaction(restarted.settle(payment).await), *hash);
            let found = local.probe().look_up(payment, None).await;
            let OnChain::Paid { settlement: settled, .. } = found else { panic!("{found:?}") };
            assert_eq!(settled.transaction, *hash);
        }
    }
}
