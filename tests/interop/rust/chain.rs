//! Reads balances and transfers of the chain over JSON-RPC.

use alloy_primitives::{Address, B256, Bytes, U256, b256, hex};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::orders::{Problem, check};

const BALANCE_OF: [u8; 4] = hex!("70a08231");
/// `Transfer(address,address,uint256)`
const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

pub(crate) struct Chain {
    http: reqwest::Client,
    rpc: String,
    asset: Address,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Transfer {
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) value: U256,
}

#[derive(Deserialize)]
struct Receipt {
    status: U256,
    logs: Vec<Log>,
}

#[derive(Deserialize)]
struct Log {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
}

impl Chain {
    pub(crate) fn new(rpc: &str, asset: Address) -> Self {
        Self { http: reqwest::Client::new(), rpc: rpc.to_owned(), asset }
    }

    pub(crate) async fn balance_of(&self, holder: Address) -> Result<U256, Problem> {
        let data = Bytes::from([&BALANCE_OF[..], holder.into_word().as_slice()].concat());
        self.call("eth_call", json!([{ "to": self.asset, "data": data }, "latest"])).await
    }

    /// The asset's transfers in one transaction, which must have succeeded.
    pub(crate) async fn transfers(&self, transaction: B256) -> Result<Vec<Transfer>, Problem> {
        let receipt: Option<Receipt> = self.call("eth_getTransactionReceipt", json!([transaction])).await?;
        let receipt = receipt.ok_or_else(|| format!("the chain does not know {transaction}"))?;
        check(receipt.status == U256::ONE, || format!("{transaction} has reverted"))?;
        Ok(receipt
            .logs
            .into_iter()
            .filter(|log| log.address == self.asset)
            .filter_map(|log| match log.topics[..] {
                [TRANSFER, from, to] => Some(Transfer {
                    from: Address::from_word(from),
                    to: Address::from_word(to),
                    value: U256::try_from_be_slice(&log.data)?,
                }),
                _ => None,
            })
            .collect())
    }

    async fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, Problem> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut reply: Value = self.http.post(&self.rpc).json(&request).send().await?.json().await?;
        let result = reply.get_mut("result").map(Value::take).ok_or_else(|| format!("{method}: {reply}"))?;
        Ok(serde_json::from_value(result)?)
    }
}
