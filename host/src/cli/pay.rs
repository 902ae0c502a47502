//! `coinslot pay`: sends one request, and pays for it if it has to. Signs at most one payment in a run. Where the server
//! lets accounts sign in, it does that first: what is served by a pass, or free, is not paid.
//!
//! Exit codes: 0 answered (paid or free), 1 any other failure, 2 wrong usage, 3 the price is above the limit, 4 the
//! payment was refused, 5 the outcome is unknown: the signed payment is kept in a file, and `--resume FILE` sends that
//! same payment again, which cannot pay twice.

#![expect(clippy::disallowed_methods, reason = "a payment is signed for a window of time")]

mod args;
mod http;
mod key;
mod outcome;
mod purchase;
mod returning;
mod saved;
mod show;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::path::Path;
use std::time::{Duration, SystemTime};

use coinslot_base::text::excerpt;
use coinslot_x402::UnixTime;

use super::{Failure, dev_hosts};
use crate::logging;
use crate::wallet::{Declined, PaymentOption, sign};
pub(super) use args::{DEFAULT_MAX, policy, request_of};
pub use args::{PayArgs, PayerArgs};
use http::{PayClient, SellerAnswer, Unanswered};
pub(super) use http::{client, describe};
pub(super) use key::{PayerKey, key, key_if_any};
pub(super) use outcome::{ChargedWord, Outcome, precedes_settlement};
pub(super) use purchase::{PurchaseSummary, RequestSpec};
use returning::SignedInAnswer;
pub(super) use saved::{PaymentStore, SavedPayment, discard, state_folder};
use show::{AnswerGrounds, PayOutput};

const TOO_DEAR: u8 = 3;
const REFUSED: u8 = 4;
const UNKNOWN: u8 = 5;

/// Sends the request, pays if the answer is 402, and prints the result.
pub async fn run(args: PayArgs) -> Result<(), Failure> {
    let output = PayOutput { json: args.json };
    let client = PayClient::new(Duration::from_secs(args.timeout.max(1)), args.ca.as_deref())?;
    if let Some(path) = &args.resume {
        return resume(&client, output, &args, path).await;
    }
    let request = request_of(&args)?;
    let policy = policy(&args)?;

    let answer = client.send(&request, None).await.map_err(Unanswered::unpaid)?;
    if answer.status != 402 {
        return unpaid(output, answer, AnswerGrounds::Nothing).await;
    }
    let mut challenge = answer.challenge().await?;
    let payer = self::key(&args.payer, &request.url);
    if let Ok(payer) = &payer
        && !args.dry_run
    {
        warn_of_clear_text(&request);
        if !args.no_pass
            && let Some(option) = policy.to_sign_in(&challenge).cloned()
        {
            match returning::sign_in(&client, &request, (&challenge, &option), &payer.key).await? {
                SignedInAnswer::NotAsked => {}
                SignedInAnswer::Given(answer) => {
                    return unpaid(output, answer, AnswerGrounds::SignIn(payer.key.address())).await;
                }
                SignedInAnswer::StillToPay(newer) => {
                    let asked = policy.choose(&newer).map_err(declined)?;
                    if !asked.is_at_most(&option) {
                        return Err(dearer(&option, asked));
                    }
                    challenge = newer;
                }
            }
        }
    }
    let option = policy.choose(&challenge).map_err(declined)?;
    if args.dry_run {
        return output.dry_run(option);
    }
    let PayerKey { key, of_dev } = payer?;
    let store = PaymentStore::open(args.state_dir.as_deref())?;
    let dev_chain = dev_hosts::chain_run(args.payer.dev_json.as_deref(), &request.url);
    if let Some(kept) = store.kept_for(&request, dev_chain.as_deref()) {
        logging::say(&format!(
            "warning: a payment for this request is kept, and this one pays anew: coinslot pay --resume {} sends that one",
            kept.display()
        ));
    }
    let payment = sign(&key, &challenge, option, now()).map_err(|error| Failure::new(error.to_string()))?;
    let summary = PurchaseSummary::new(challenge.version, option, payment.payer);
    let saved = SavedPayment::new(request, &payment, summary, dev_chain);
    let path = store.save(&saved)?;
    let attempt = if of_dev { PaymentAttempt::InDevelopment } else { PaymentAttempt::First };
    finish(&client, output, saved, &path, attempt).await
}

/// Sends the payment in a file again, with its request.
async fn resume(client: &PayClient, output: PayOutput, args: &PayArgs, path: &Path) -> Result<(), Failure> {
    let saved = SavedPayment::load(path)?;
    if saved.has_lost_its_chain(dev_hosts::chain_run(args.payer.dev_json.as_deref(), &saved.request.url).as_deref()) {
        discard(path);
        return Err(Failure::new(format!(
            "{} is removed: it was a payment on the chain of a `coinslot dev` that has ended, and no host can answer \
             it. Nothing there was money: send the request anew",
            path.display()
        )));
    }
    finish(client, output, saved, path, PaymentAttempt::Again).await
}

fn warn_of_clear_text(request: &RequestSpec) {
    if request.url.scheme() == "http" && !request.is_local() {
        logging::say(&format!("warning: {} is not encrypted: every network on the way may change it", request.url));
    }
}

/// Prints an answer that asks for no payment. Fails if it is not the one that was asked for.
async fn unpaid(output: PayOutput, answer: SellerAnswer, grounds: AnswerGrounds<'_>) -> Result<(), Failure> {
    let (status, is_redirect, methods) = (answer.status, answer.redirect().is_some(), answer.methods());
    let said = answer.said();
    output.answer(answer, grounds).await?;
    match methods {
        _ if is_redirect => {
            Err(Failure::new(format!("{said}; nothing was paid: a payment is for one server, so ask there yourself")))
        }
        _ if status < 400 => Ok(()),
        Some(methods) => {
            Err(Failure::new(format!("{said}: the path is served with {methods} (see -X); nothing was paid")))
        }
        None => Err(Failure::new(format!("{said}; nothing was paid"))),
    }
}

/// A payment is sent right after it was signed, or again because its outcome is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PaymentAttempt {
    First,
    /// The first to a `coinslot dev`: what is paid there is no money, and another payment costs nothing.
    InDevelopment,
    Again,
}

/// Sends the payment and reports its outcome. Its file is deleted once nothing is left that the same payment could
/// fetch: the file is the only way to what was paid for.
async fn finish(
    client: &PayClient,
    output: PayOutput,
    saved: SavedPayment,
    path: &Path,
    attempt: PaymentAttempt,
) -> Result<(), Failure> {
    let mut answer = match client.send(&saved.request, Some(&saved.payment)).await {
        Ok(answer) => answer,
        Err(unanswered) if !unanswered.sent => {
            return Err(Failure::new(format!(
                "{}; the payment was not sent and is kept: coinslot pay --resume {}",
                unanswered.message,
                path.display()
            )));
        }
        Err(unanswered) => return Err(unknown(&unanswered.message, path.display())),
    };
    let outcome = match (outcome_of(&mut answer).await, attempt) {
        (Outcome::TryAgain, PaymentAttempt::InDevelopment) => Outcome::NotServed,
        (outcome, PaymentAttempt::Again) => outcome.of_repetition(),
        (outcome, PaymentAttempt::First | PaymentAttempt::InDevelopment) => outcome,
    };
    let (said, redirect) = (answer.said(), answer.redirect());
    let receipt = answer.receipt();
    let is_over = attempt == PaymentAttempt::Again && saved.is_over(now());
    let purchase = saved.purchase.settled(receipt.as_ref());
    let why = purchase.explain(answer.reason(), answer.message());
    let paid = receipt.is_some_and(|receipt| receipt.success);
    let grounds = if paid { AnswerGrounds::Payment(&purchase) } else { AnswerGrounds::Nothing };
    let shown = output.answer(answer, grounds).await;
    if let (Err(mut failure), Outcome::Answered | Outcome::Gone) = (shown, outcome) {
        // An answer that breaks off is not paid twice: the server still owes it, or keeps it.
        failure.message = format!("{}; the payment is kept: coinslot pay --resume {}", failure.message, path.display());
        return Err(failure);
    }
    // Only a receipt or the server's word closes what is open: a proxy or a login page may have answered.
    let is_open = attempt == PaymentAttempt::Again && outcome == Outcome::Answered && !paid;
    if is_open {
        return Err(unknown(&format!("{said} without a receipt"), path.display()));
    }
    if !outcome.leaves_something() {
        discard(path);
    }
    match outcome {
        Outcome::Answered => {
            if !paid {
                logging::say(&format!("answered without a receipt: {}", purchase.offer_line()));
            }
            if let Some(target) = redirect {
                logging::say(&format!("the answer is a redirect to {target}, which was not followed"));
            }
            Ok(())
        }
        Outcome::Unknown if is_over => Err(over(&said, why, &purchase, path)),
        failed => Err(failed.failure(&said, why, path)),
    }
}

/// Reads a server's answer to a payment.
async fn outcome_of(answer: &mut SellerAnswer) -> Outcome {
    answer.read_error().await;
    Outcome::by_receipt(answer.status, answer.receipt().as_ref())
        .unwrap_or_else(|| Outcome::by_word(answer.status, answer.charged(), || answer.precedes_settlement()))
}

impl Outcome {
    /// The failure of a payment that did not buy its answer, or not yet. `said` is [`SellerAnswer::said`].
    fn failure(self, said: &str, why: Option<String>, path: &Path) -> Failure {
        let path = path.display();
        match self {
            Self::Answered | Self::Gone => Failure::new(format!("paid, but {said}")),
            Self::Owed => Failure::new(format!(
                "paid, but {said}: it owes the answer. Send the same payment again:\n  coinslot pay --resume {path}"
            )),
            Self::Refused => Failure {
                code: REFUSED,
                message: format!("the payment was refused: {}", why.unwrap_or_else(|| "without a reason".to_owned())),
            },
            Self::NotServed => Failure::new(format!("{said}, and says that nothing was charged")),
            Self::TryAgain => Failure::new(format!(
                "{said}, and says that nothing was charged. To try again with the same payment:\n  coinslot pay --resume {path}"
            )),
            Self::Unknown => match why {
                Some(why) => unknown(&format!("{said} ({why})"), path),
                None => unknown(said, path),
            },
        }
    }
}

/// The failure of a payment whose outcome is unknown.
fn unknown(message: &str, path: impl Display) -> Failure {
    Failure {
        code: UNKNOWN,
        message: format!(
            "{message}: whether the payment was made is unknown. Do not pay again; send the same payment again:\n  coinslot pay --resume {path}"
        ),
    }
}

/// The failure of a payment that was sent before, whose outcome is unknown, and that nobody can take any more. Sending it
/// again shows nothing about it unless the server still has its answer.
fn over(said: &str, why: Option<String>, purchase: &PurchaseSummary, path: &Path) -> Failure {
    let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
    let (transfer, file) = (purchase.transfer_line(), path.display());
    Failure {
        code: UNKNOWN,
        message: format!(
            "{said}{why}: the payment was sent before, and whether it was made then is unknown. Its time is over, and it \
             can be made no more. Look on the chain for {transfer}. If it is there, the seller owes you the answer: show \
             it to them, or send the payment again with `coinslot pay --resume {file}`. If it is not, nothing was \
             charged: remove {file}, and send the request anew"
        ),
    }
}

/// The failure of a challenge that is not paid.
/// The server asks an account that has signed in for more than it asked anybody before.
fn dearer(before: &PaymentOption, now: &PaymentOption) -> Failure {
    let text = |option: &PaymentOption| {
        format!("{} {}", option.amount.decimal(option.asset.decimals), excerpt(&option.asset.symbol, 20))
    };
    let message = format!(
        "the price was {} before the account signed in, and is {} now; nothing was paid: look at it with --dry-run, and \
         pay it with --no-pass",
        text(before),
        text(now)
    );
    Failure { code: TOO_DEAR, message }
}

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
