//! Prints the result of `coinslot pay`: the answer to stdout and the receipt to stderr, or both as JSON.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::http::SellerAnswer;
use super::purchase::PurchaseSummary;
use crate::cli::Failure;
use crate::logging;
use crate::wallet::PaymentOption;

/// The output of the command.
#[derive(Clone, Copy, Debug)]
pub(super) struct PayOutput {
    pub(super) json: bool,
}

impl PayOutput {
    /// Prints the answer: its body as it comes, or as JSON everything at once.
    pub(super) async fn answer(self, answer: SellerAnswer, purchase: Option<&PurchaseSummary>) -> Result<(), Failure> {
        if self.json { answer_json(answer, purchase).await } else { answer_text(answer, purchase).await }
    }

    /// Prints the price of an option that is not paid.
    pub(super) fn dry_run(self, option: &PaymentOption) -> Result<(), Failure> {
        let price = option.amount.decimal(option.asset.decimals);
        let (asset, pay_to) = (&option.asset, option.pay_to);
        let text = if self.json {
            let object = json!({
                "dryRun": true,
                "amount": price,
                "symbol": asset.symbol,
                "atomicAmount": option.amount.to_string(),
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

/// Prints the receipt, and then the body as it comes.
async fn answer_text(mut answer: SellerAnswer, purchase: Option<&PurchaseSummary>) -> Result<(), Failure> {
    // The receipt comes first: it is valid even if the answer breaks off.
    if let Some(purchase) = purchase {
        logging::say(&purchase.receipt_line());
    }
    let mut last = b'\n';
    while let Some(chunk) = chunk(&mut answer).await? {
        last = chunk.last().copied().unwrap_or(last);
        print(&chunk)?;
    }
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
    if last != b'\n' && terminal {
        print(b"\n")?;
    }
    Ok(())
}

/// Prints one JSON object. A body that breaks off is printed as far as it came, and is an error.
async fn answer_json(mut answer: SellerAnswer, purchase: Option<&PurchaseSummary>) -> Result<(), Failure> {
    let mut object = json!({
        "status": answer.status,
        "headers": answer.headers(),
    });
    let mut body = Vec::new();
    let mut broken = None;
    loop {
        match chunk(&mut answer).await {
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
    object["receipt"] = json!(purchase);
    print(format!("{object}\n").as_bytes())?;
    broken.map_or(Ok(()), Err)
}

/// Reads the next piece of the body.
async fn chunk(answer: &mut SellerAnswer) -> Result<Option<bytes::Bytes>, Failure> {
    let chunk = answer.chunk().await;
    chunk.map_err(|error| Failure::new(format!("the answer broke off: {error}")))
}

fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::new(format!("cannot write to stdout: {error}")))
}
