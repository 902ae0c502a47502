//! Reads payments from the chain's logs, receipts and balances, and signed authorisations from its transactions, as
//! everybody can. Measures the gas of a payment that has a transaction of its own.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use alloy::primitives::{Address, U256, keccak256};
use alloy::sol;
use alloy::sol_types::SolCall;
use coinslot_tests::{ChainClient, Wallet};
use serde_json::{Value, json};

sol! {
    function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter,
        uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
}

/// The key of a payment in ledger and chain: payer and nonce, in lower case.
pub(crate) type Spend = (String, String);

/// The chain that anvil.mjs started.
pub(crate) struct Anvil {
    chain: ChainClient,
    chain_json: Value,
    pay_to: Address,
    gas: Address,
}

/// The newest block, and the receiver's balance there.
pub(crate) struct ChainState {
    block: u64,
    balance: U256,
}

/// Payments and transactions since a [`ChainState`].
#[derive(Debug, Default)]
pub(crate) struct ChainRecords {
    /// Transfers to the receiver by authorisation: amount and transaction.
    pub(crate) payments: HashMap<Spend, (u128, String)>,
    /// All transfers to the receiver, also without an authorisation: their number and their sum.
    pub(crate) transfers: u64,
    pub(crate) transferred: u128,
    /// The increase of the receiver's balance.
    pub(crate) received: u128,
    /// Transactions of the host's key in blocks; `in_vain` counts those that settled no payment.
    pub(crate) transactions: u64,
    pub(crate) in_vain: u64,
    pub(crate) gas: u64,
    /// The number of payments and the gas of each transaction that settled payments.
    pub(crate) batches: Vec<(u64, u64)>,
}

impl Anvil {
    /// Reads the file of anvil.mjs: the chain, and the funded wallets.
    pub(crate) fn read(file: &Path) -> (Self, Vec<Wallet>) {
        let text = std::fs::read_to_string(file).expect("the file of anvil.mjs");
        let chain_json: Value = serde_json::from_str(&text).expect("JSON");
        let of = |name: &str| chain_json[name].as_str().expect("a string").to_owned();
        let chain = ChainClient::at(&of("rpc"), of("asset").parse().expect("an address"));
        let keys = chain_json["payers"].as_array().expect("payers").iter();
        let wallets = keys.map(|payer| Wallet::from_key(payer["privateKey"].as_str().expect("a key"))).collect();
        let pay_to = of("payTo").parse().expect("an address");
        let gas = Wallet::from_key(&of("gasKey")).address();
        (Self { chain, chain_json, pay_to, gas }, wallets)
    }

    pub(crate) async fn now(&self) -> ChainState {
        ChainState { block: self.newest().await, balance: self.chain.balance(self.pay_to).await }
    }

    /// The average gas of a transfer that has a transaction of its own: one by each of these wallets, to a receiver
    /// that is not the host's. The first is not counted, because it creates the receiver's balance.
    pub(crate) async fn settle_singly(&self, wallets: &[Wallet]) -> u64 {
        let (sender, receiver) = (Wallet::poor().address(), Wallet::poor().address());
        let ether = U256::from(10).pow(U256::from(20));
        self.chain.call("anvil_setBalance", json!([sender, ether])).await;
        self.chain.call("anvil_impersonateAccount", json!([sender])).await;
        let mut sent = Vec::new();
        for wallet in wallets {
            let entry = json!({
                "network": self.chain_json["network"], "asset": self.chain_json["asset"], "payTo": receiver, "amount": "10000",
                "maxTimeoutSeconds": 300, "extra": { "name": "USDC", "version": "2" },
            });
            let data = transfer(&wallet.pay_entry(&entry).document["payload"]);
            let transaction = json!({ "from": sender, "to": self.chain_json["asset"], "data": data, "gas": "0x30d40" });
            sent.push(self.chain.call("eth_sendTransaction", json!([transaction])).await);
        }
        let mut gas = Vec::new();
        for hash in &sent {
            let receipt = loop {
                let receipt = self.chain.receipt(hash.as_str().expect("a hash")).await;
                if !receipt.is_null() {
                    break receipt;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            };
            assert_eq!(receipt["status"], "0x1", "a transfer by authorisation succeeds");
            gas.push(number(&receipt["gasUsed"]));
        }
        gas[1..].iter().sum::<u64>() / (gas.len() as u64 - 1)
    }

    /// Reads payments and transactions since `before`.
    pub(crate) async fn since(&self, before: &ChainState) -> ChainRecords {
        let mut seen = ChainRecords::default();
        let (to, newest) = (topic(self.pay_to), self.newest().await);
        let mut holding: HashMap<String, u64> = HashMap::new();
        for block in before.block + 1..=newest {
            let at = format!("{block:#x}");
            let logs = json!([{ "fromBlock": at, "toBlock": at, "address": self.chain_json["asset"] }]);
            let logs = self.chain.call("eth_getLogs", logs).await;
            let logs = logs.as_array().expect("logs");
            for (index, log) in logs.iter().enumerate().filter(|(_, log)| is_transfer(log) && log["topics"][2] == to) {
                let amount = u128::from_str_radix(&text(&log["data"])[2..], 16).expect("an amount");
                seen.transfers += 1;
                seen.transferred += amount;
                let by = index.checked_sub(1).map(|before| &logs[before]).filter(|by| authorises(by, log));
                if let Some(by) = by {
                    let spend = (format!("0x{}", &text(&by["topics"][1])[26..]), text(&by["topics"][2]));
                    let transaction = text(&log["transactionHash"]);
                    *holding.entry(transaction.clone()).or_default() += 1;
                    let twice = seen.payments.insert(spend, (amount, transaction));
                    assert!(twice.is_none(), "a nonce is used once");
                }
            }
            let receipts = self.chain.call("eth_getBlockReceipts", json!([at])).await;
            for receipt in receipts.as_array().expect("receipts") {
                if text(&receipt["from"]).parse() == Ok(self.gas) {
                    let gas = number(&receipt["gasUsed"]);
                    seen.transactions += 1;
                    seen.gas += gas;
                    match holding.get(&text(&receipt["transactionHash"])) {
                        Some(payments) => seen.batches.push((*payments, gas)),
                        None => seen.in_vain += 1,
                    }
                }
            }
        }
        seen.received = (self.chain.balance(self.pay_to).await - before.balance).to();
        seen
    }

    /// The signed payloads of the payments in a block, from the call data of its transactions: what a facilitator sends
    /// is public, whether it is a call of the token or a part of a batch.
    pub(crate) async fn signed_payloads(&self, block: u64) -> Vec<Value> {
        let block = self.chain.call("eth_getBlockByNumber", json!([format!("{block:#x}"), true])).await;
        let mut payloads = Vec::new();
        for transaction in block["transactions"].as_array().into_iter().flatten() {
            let data = hex::decode(&text(&transaction["input"])[2..]).expect("hex");
            let length = 4 + 9 * 32;
            let calls = data.windows(length).filter(|call| call.starts_with(&transferWithAuthorizationCall::SELECTOR));
            payloads.extend(calls.filter_map(|call| transferWithAuthorizationCall::abi_decode(call).ok()).map(payload));
        }
        payloads
    }

    /// Makes no block for this long, and then one each second as before.
    pub(crate) async fn pause_blocks(&self, time: Duration) {
        self.chain.call("evm_setIntervalMining", json!([0])).await;
        tokio::time::sleep(time).await;
        self.chain.call("evm_setIntervalMining", json!([1])).await;
    }

    pub(crate) async fn newest(&self) -> u64 {
        number(&self.chain.call("eth_blockNumber", json!([])).await)
    }
}

impl ChainRecords {
    pub(crate) fn spends(&self) -> HashSet<&Spend> {
        self.payments.keys().collect()
    }
}

/// The call data that settles this payload.
fn transfer(payload: &Value) -> String {
    let signed = |name: &str| text(&payload["authorization"][name]);
    let signature = hex::decode(&text(&payload["signature"])[2..]).expect("hex");
    let call = transferWithAuthorizationCall {
        from: signed("from").parse().expect("an address"),
        to: signed("to").parse().expect("an address"),
        value: signed("value").parse().expect("a number"),
        validAfter: signed("validAfter").parse().expect("a number"),
        validBefore: signed("validBefore").parse().expect("a number"),
        nonce: signed("nonce").parse().expect("a word"),
        v: signature[64],
        r: alloy::primitives::B256::from_slice(&signature[..32]),
        s: alloy::primitives::B256::from_slice(&signature[32..64]),
    };
    alloy::primitives::hex::encode_prefixed(call.abi_encode())
}

/// The payload whose call data this is.
fn payload(call: transferWithAuthorizationCall) -> Value {
    let signature = [call.r.as_slice(), call.s.as_slice(), &[call.v]].concat();
    json!({
        "signature": alloy::primitives::hex::encode_prefixed(signature),
        "authorization": {
            "from": call.from, "to": call.to, "value": call.value.to_string(), "nonce": call.nonce,
            "validAfter": call.validAfter.to_string(), "validBefore": call.validBefore.to_string(),
        },
    })
}

fn is_transfer(log: &Value) -> bool {
    log["topics"][0] == event("Transfer(address,address,uint256)")
}

/// Whether this log is the authorisation of that transfer: of the same transaction and payer. The caller passes the log
/// right before the transfer.
fn authorises(by: &Value, transfer: &Value) -> bool {
    by["topics"][0] == event("AuthorizationUsed(address,bytes32)")
        && by["topics"][1] == transfer["topics"][1]
        && by["transactionHash"] == transfer["transactionHash"]
}

fn event(signature: &str) -> String {
    keccak256(signature).to_string()
}

fn topic(address: Address) -> String {
    address.into_word().to_string()
}

/// A string in lower case, so that hashes and addresses compare equal.
fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_lowercase()
}

fn number(value: &Value) -> u64 {
    u64::from_str_radix(&text(value)[2..], 16).expect("a number")
}
