//! Reads a development chain and its USDC stand-in over JSON-RPC.

use std::time::{Duration, SystemTime};

use alloy::primitives::{Address, B256, U256};
use serde_json::{Value, json};

/// A JSON-RPC client of a development chain.
#[derive(Clone, Debug)]
pub struct ChainClient {
    rpc: String,
    asset: Address,
    client: reqwest::Client,
}

impl ChainClient {
    /// A client of the node at this URL, for the balances of this token.
    pub fn at(rpc: &str, asset: Address) -> Self {
        Self { rpc: rpc.to_owned(), asset, client: reqwest::Client::new() }
    }

    /// Makes one JSON-RPC call and returns its result.
    pub async fn call(&self, method: &str, params: Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer: Value =
            self.client.post(&self.rpc).json(&request).send().await.expect("the chain").json().await.expect("JSON");
        assert!(answer.get("error").is_none_or(Value::is_null), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Makes a block whenever none was made for a while, until the chain is gone. A host takes no payments on a chain of
    /// Base Sepolia's id that stands still for 90 seconds, and some stories begin after a longer time.
    pub(crate) async fn keep_moving(self) {
        const LONGEST: u64 = 45;
        let ask = async |method: &str, params: Value| -> Option<Value> {
            let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
            self.client.post(&self.rpc).json(&request).send().await.ok()?.json::<Value>().await.ok()
        };
        loop {
            tokio::time::sleep(Duration::from_secs(10)).await;
            let Some(newest) = ask("eth_getBlockByNumber", json!(["latest", false])).await else { return };
            let made = newest["result"]["timestamp"].as_str().and_then(|time| time.parse::<U256>().ok());
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970").as_secs();
            if made.is_some_and(|made| made + U256::from(LONGEST) < U256::from(now)) {
                ask("evm_mine", json!([])).await;
            }
        }
    }

    /// Waits until a block has just been made, so that the next one is a whole block time away.
    pub async fn next_block(&self) {
        let block = async || self.call("eth_blockNumber", json!([])).await;
        let before = block().await;
        while block().await == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The token balance of an account, in atomic units.
    pub async fn balance(&self, account: Address) -> U256 {
        // `balanceOf(address)`
        let data = format!("0x70a08231{:0>64}", hex::encode(account));
        let result = self.call("eth_call", json!([{ "to": self.asset, "data": data }, "latest"])).await;
        result.as_str().expect("a word").parse().expect("a number")
    }

    /// The receipt of a transaction, or `null`.
    pub async fn receipt(&self, transaction: &str) -> Value {
        let _: B256 = transaction.parse().expect("a transaction hash");
        self.call("eth_getTransactionReceipt", json!([transaction])).await
    }
}
