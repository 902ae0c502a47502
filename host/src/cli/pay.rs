//! `coinslot pay`: one request, paid if it has to be. At most one signature in a run.
//!
//! Exit codes: 0 answered (paid or free), 1 any other failure, 2 wrong usage, 3 the price is above the limit, 4 the
//! payment was refused, 5 the outcome is unknown: the signed payment is kept in a file, and `--resume FILE` sends that
//! same payment again, which cannot pay twice.

#![expect(clippy::disallowed_methods, reason = "a payment is signed for a window of time")]

mod args;
mod http;
pub(in crate::cli) mod key;
mod purchase;
mod saved;
mod show;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::{Duration, SystemTime};

use coinslot_x402::{UnixTime, header};

use super::Failure;
use crate::wallet::{Declined, ReceivedChallenge, sign};
pub use args::PayArgs;
use http::{PayClient, Unanswered};
use purchase::PurchaseSummary;
use saved::{PaymentStore, SavedPayment};
use show::PayOutput;

const TOO_DEAR: u8 = 3;
const REFUSED: u8 = 4;
const UNKNOWN: u8 = 5;

/// Sends the request, pays if the answer is 402, and prints the result.
pub async fn run(args: PayArgs) -> Result<(), Failure> {
    let output = PayOutput { json: args.json };
    let client = PayClient::new(Duration::from_secs(args.timeout.max(1)))?;
    if let Some(path) = &args.resume {
        let saved = SavedPayment::load(path)?;
        return finish(&client, output, saved, path).await;
    }
    let request = args::request_of(&args)?;
    let policy = args::policy(&args)?;

    let answer = client.send(&request, None).await.map_err(Unanswered::failure)?;
    if answer.status != 402 {
        let (status, redirect) = (answer.status, answer.redirect());
        output.answer(answer, None).await?;
        return match (redirect, status < 400) {
            (Some(target), _) => Err(Failure::new(format!(
                "the server answered {status}, a redirect to {target}; nothing was paid: a payment is for one server, so ask there"
            ))),
            (None, true) => Ok(()),
            (None, false) => Err(Failure::new(format!("the server answered {status}; nothing was paid"))),
        };
    }
    let required = answer.header(header::PAYMENT_REQUIRED).map(<[u8]>::to_vec);
    let body = answer.body().await?;
    let challenge =
        ReceivedChallenge::read(required.as_deref(), &body).map_err(|error| Failure::new(error.to_string()))?;
    let option = policy.choose(&challenge).map_err(declined)?;
    if args.dry_run {
        return output.dry_run(option);
    }
    let key = key::key(&args, &request.url)?;
    let store = PaymentStore::open(args.state_dir.as_deref())?;
    let payment = sign(&key, &challenge, option, now()).map_err(|error| Failure::new(error.to_string()))?;
    if request.url.scheme() == "http" && !request.is_local() {
        eprintln!("warning: {} is not encrypted: every network on the way may change it", request.url);
    }
    let summary = PurchaseSummary::new(challenge.version, option, payment.payer);
    let saved = SavedPayment::new(request, &payment, summary);
    let path = store.save(&saved)?;
    finish(&client, output, saved, &path).await
}

/// Sends the payment and reports its outcome. Its file is deleted once nothing is left that the same payment could
/// fetch.
async fn finish(client: &PayClient, output: PayOutput, saved: SavedPayment, path: &Path) -> Result<(), Failure> {
    let mut answer = match client.send(&saved.request, Some(&saved.payment)).await {
        Ok(answer) => answer,
        Err(unanswered) if !unanswered.sent => {
            return Err(Failure::new(format!(
                "{}; the payment was not sent and is kept: coinslot pay --resume {}",
                unanswered.message,
                path.display()
            )));
        }
        Err(unanswered) => return Err(unknown(&unanswered.message, path)),
    };
    let status = answer.status;
    let receipt = answer.receipt();
    let reason = receipt.as_ref().and_then(|r| r.error_reason.clone());
    let paid = receipt.as_ref().is_some_and(|receipt| receipt.success);
    let open =
        reason.as_deref() == Some("settlement_pending") || (!paid && (status >= 500 || status == 409 || status == 429));
    let why = match status {
        402 => reason.or_else(|| answer.challenge_error()),
        _ => reason,
    };
    let purchase = saved.purchase.settled(receipt.as_ref());
    if open {
        // Nothing is final: the body is shown, and the file stays.
        let uncharged = answer.says_uncharged().await;
        output.answer(answer, None).await?;
        if uncharged {
            return Err(Failure::new(format!(
                "the server answered {status}, and says that nothing was charged. To try again with the same payment:\n  coinslot pay --resume {}",
                path.display()
            )));
        }
        return Err(unknown(&format!("the server answered {status}"), path));
    }
    if let Err(mut failure) = output.answer(answer, paid.then_some(&purchase)).await {
        // An answer that breaks off is not paid twice: the server still owes it, or keeps it.
        failure.message = format!("{}; the payment is kept: coinslot pay --resume {}", failure.message, path.display());
        return Err(failure);
    }
    if paid && status >= 400 && status != 410 {
        return Err(Failure::new(format!(
            "paid, but the server answered {status}: it owes the answer. Send the same payment again:\n  coinslot pay --resume {}",
            path.display()
        )));
    }
    if status == 402 && !paid {
        saved::discard(path);
        return Err(Failure {
            code: REFUSED,
            message: format!("the payment was refused: {}", why.unwrap_or_else(|| "without a reason".to_owned())),
        });
    }
    saved::discard(path);
    match (paid, status < 400) {
        (true, true) => Ok(()),
        (true, false) => Err(Failure::new(format!("paid, but the server answered {status}"))),
        (false, true) => {
            eprintln!("answered without a receipt: {}", purchase.offer_line());
            Ok(())
        }
        (false, false) => Err(Failure::new(format!(
            "the server answered {status} and gave no receipt: nothing was paid, as far as it says"
        ))),
    }
}

/// The failure of a payment whose outcome is unknown.
fn unknown(message: &str, path: &Path) -> Failure {
    Failure {
        code: UNKNOWN,
        message: format!(
            "{message}: whether the payment was made is unknown. Do not pay again; send the same payment again:\n  coinslot pay --resume {}",
            path.display()
        ),
    }
}

/// The failure of a challenge that is not paid.
fn declined(declined: Declined) -> Failure {
    match &declined {
        Declined::TooDear { price, .. } => {
            Failure { code: TOO_DEAR, message: format!("{declined}; to pay it, add --max {price}") }
        }
        Declined::NothingUsable(_) => Failure::new(declined.to_string()),
    }
}

fn now() -> UnixTime {
    SystemTime::now().into()
}
