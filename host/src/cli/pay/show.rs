//! What `coinslot pay` prints: the answer to stdout, the receipt to stderr, or all of it as JSON.

use std::io::Write;

use alloy::primitives::Address;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::http::Answered;
use crate::cli::Failure;
use crate::wallet::Entry;
use coinslot_x402::{SettlementResponse, Version};

/// What is paid, and once it is, by which transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bought {
    x402_version: u8,
    /// Decimal units.
    amount: String,
    symbol: String,
    /// Atomic units.
    atomic_amount: String,
    asset: String,
    network: String,
    pay_to: String,
    payer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transaction: Option<String>,
}

impl Bought {
    pub(super) fn new(version: Version, entry: &Entry, payer: Address) -> Self {
        Self {
            x402_version: match version {
                Version::V1 => 1,
                Version::V2 => 2,
            },
            amount: entry.amount.decimal(entry.asset.decimals),
            symbol: entry.asset.symbol.clone(),
            atomic_amount: entry.amount.to_string(),
            asset: entry.asset.address.clone(),
            network: entry.asset.network.to_string(),
            pay_to: entry.pay_to.to_string(),
            payer: payer.to_string(),
            transaction: None,
        }
    }

    pub(super) fn settled(mut self, receipt: Option<&SettlementResponse>) -> Self {
        self.transaction = receipt.map(|receipt| receipt.transaction.clone());
        self
    }

    pub(super) fn offer_line(&self) -> String {
        format!("{} {} on {} to {}", self.amount, self.symbol, self.network, self.pay_to)
    }

    fn receipt_line(&self) -> String {
        let transaction = self.transaction.as_deref().unwrap_or("unknown");
        format!("paid {}, transaction {transaction}", self.offer_line())
    }
}

/// How to print.
#[derive(Clone, Copy, Debug)]
pub(super) struct Show {
    pub(super) json: bool,
}

impl Show {
    /// The body as it comes, or everything at once.
    pub(super) async fn answer(self, mut answered: Answered, bought: Option<&Bought>) -> Result<(), Failure> {
        if !self.json {
            // The receipt first: it counts even if the answer breaks off.
            if let Some(bought) = bought {
                eprintln!("{}", bought.receipt_line());
            }
            let mut last = b'\n';
            while let Some(chunk) = chunk(&mut answered).await? {
                last = chunk.last().copied().unwrap_or(last);
                print(&chunk)?;
            }
            let terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
            if last != b'\n' && terminal {
                print(b"\n")?;
            }
            return Ok(());
        }
        let mut object = json!({
            "status": answered.status,
            "headers": answered.headers(),
        });
        let mut body = Vec::new();
        let mut broken = None;
        loop {
            match chunk(&mut answered).await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(failure) => {
                    broken = Some(failure);
                    break;
                }
            }
        }
        match String::from_utf8(body) {
            Ok(text) => object["body"] = Value::String(text),
            Err(error) => object["bodyBase64"] = STANDARD.encode(error.as_bytes()).into(),
        }
        object["receipt"] = json!(bought);
        print(format!("{object}\n").as_bytes())?;
        broken.map_or(Ok(()), Err)
    }

    pub(super) fn dry_run(self, entry: &Entry) -> Result<(), Failure> {
        let price = entry.amount.decimal(entry.asset.decimals);
        let (asset, pay_to) = (&entry.asset, entry.pay_to);
        let text = if self.json {
            let object = json!({
                "dryRun": true,
                "amount": price,
                "symbol": asset.symbol,
                "atomicAmount": entry.amount.to_string(),
                "asset": asset.address,
                "network": asset.network,
                "payTo": pay_to.to_string(),
            });
            format!("{object}\n")
        } else {
            let (symbol, network) = (&asset.symbol, &asset.network);
            format!("it costs {price} {symbol} on {network}, to {pay_to}; nothing was paid\n")
        };
        print(text.as_bytes())
    }
}

async fn chunk(answered: &mut Answered) -> Result<Option<bytes::Bytes>, Failure> {
    let chunk = answered.response.chunk().await;
    chunk.map_err(|error| Failure::new(format!("the answer broke off: {error}")))
}

fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::new(format!("cannot write to stdout: {error}")))
}
