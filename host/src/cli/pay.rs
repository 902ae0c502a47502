//! `coinslot pay`: one request, paid if it has to be. At most one signature in a run.
//!
//! Exit codes: 0 answered (paid or free), 1 any other failure, 2 wrong usage, 3 the price is above
//! the limit, 4 the payment was refused, 5 the outcome is unknown: the signed payment is kept in a
//! file, and `--resume FILE` sends that same payment again, which cannot pay twice.

mod http;
mod show;
pub(in crate::cli) mod state;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use url::Url;

use super::Failure;
use crate::wallet::{Challenge, Declined, Entry, Policy, sign};
use coinslot_evm::Key;
use coinslot_x402::price::Decimal;
use coinslot_x402::{Network, UnixTime, header};
use http::{Call, Client};
use show::{Bought, Show};
use state::{Saved, State};

/// The environment variable with the payer's key, unless another is named.
const KEY_ENV: &str = "COINSLOT_PAYER_KEY";

const TOO_DEAR: u8 = 3;
const REFUSED: u8 = 4;
const UNKNOWN: u8 = 5;

/// Request a URL, and pay for it if it costs something.
///
/// The answer goes to stdout, the receipt to stderr. The key comes from --key-file, --key-env, the
/// dev.json of a running `coinslot dev` that serves the URL (--dev-json, or .coinslot/dev.json), or
/// COINSLOT_PAYER_KEY.
///
/// Ends with 0 when it has the answer, 1 when something failed, 2 for wrong usage, 3 when the price is
/// above --max, 4 when the payment was refused, 5 when the outcome is unknown (use --resume).
#[derive(Args, Clone, Debug)]
pub struct PayArgs {
    /// What to request.
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    pub url: Option<Url>,
    /// The method; POST with a body, GET without.
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    pub method: Option<String>,
    /// The body: text, @FILE, or - for stdin.
    #[arg(short = 'd', long = "data", value_name = "BODY")]
    pub data: Option<String>,
    /// A header, `name: value`; repeatable.
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub header: Vec<String>,
    /// The most to pay, in US dollars.
    #[arg(long, value_name = "AMOUNT", default_value = "0.10")]
    pub max: String,
    /// The environment variable with the private key.
    #[arg(long, value_name = "NAME", conflicts_with = "key_file")]
    pub key_env: Option<String>,
    /// A file with the private key.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// The dev.json of the `coinslot dev` that serves the URL: its first payer pays.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key_file", "key_env"])]
    pub dev_json: Option<PathBuf>,
    /// Pay only on this network: a CAIP-2 identifier, or a name such as `base`.
    #[arg(long)]
    pub network: Option<String>,
    /// One JSON object on stdout: status, headers, body or bodyBase64, receipt.
    #[arg(long)]
    pub json: bool,
    /// Say what it costs, and do not pay.
    #[arg(long)]
    pub dry_run: bool,
    /// How long each request may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub timeout: u64,
    /// Send the payment in this file again, with its request.
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
    /// Where signed payments are kept until their outcome is known.
    #[arg(long, value_name = "DIR", env = "COINSLOT_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
}

/// Requests, pays, shows.
pub async fn run(args: PayArgs) -> Result<(), Failure> {
    let show = Show { json: args.json };
    let client = Client::new(Duration::from_secs(args.timeout.max(1)))?;
    if let Some(path) = &args.resume {
        let saved = Saved::load(path)?;
        return finish(&client, show, saved, path).await;
    }
    let call = Call::of(&args)?;
    let policy = policy(&args)?;

    let answered = client.send(&call, None).await.map_err(|lost| lost.failure())?;
    if answered.status != 402 {
        let status = answered.status;
        show.answer(answered, None).await?;
        return match status < 400 {
            true => Ok(()),
            false => Err(Failure::new(format!("the server answered {status}; nothing was paid"))),
        };
    }
    let required = answered.header(header::PAYMENT_REQUIRED).map(<[u8]>::to_vec);
    let body = answered.body().await?;
    let challenge = Challenge::read(required.as_deref(), &body).map_err(|error| Failure::new(error.to_string()))?;
    let entry = policy.choose(&challenge).map_err(declined)?;
    if args.dry_run {
        return show.dry_run(entry);
    }
    let key = key(&args, &call.url)?;
    let state = State::open(args.state_dir.as_deref())?;
    let payment = sign(&key, &challenge, entry, now()).map_err(|error| Failure::new(error.to_string()))?;
    if call.url.scheme() == "http" && !call.is_local() {
        eprintln!("warning: {} is not encrypted: anybody on the way may change it", call.url);
    }
    let saved = Saved::new(call, &payment, bought(&challenge, entry, &payment));
    let path = state.save(&saved)?;
    finish(&client, show, saved, &path).await
}

/// Sends the one payment, and tells how it ended. The file goes when that is known.
async fn finish(client: &Client, show: Show, saved: Saved, path: &Path) -> Result<(), Failure> {
    let answered = match client.send(&saved.call, Some(&saved.payment)).await {
        Ok(answered) => answered,
        Err(lost) if !lost.sent => {
            return Err(Failure::new(format!(
                "{}; the payment was not sent and is kept: coinslot pay --resume {}",
                lost.message,
                path.display()
            )));
        }
        Err(lost) => return Err(unknown(&lost.message, path)),
    };
    let status = answered.status;
    let receipt = answered.receipt();
    let reason = receipt.as_ref().and_then(|r| r.error_reason.clone());
    let paid = receipt.as_ref().is_some_and(|receipt| receipt.success);
    let open =
        reason.as_deref() == Some("settlement_pending") || (!paid && (status >= 500 || status == 409 || status == 429));
    let why = match status {
        402 => reason.or_else(|| answered.challenge_error()),
        _ => reason,
    };
    let bought = saved.bought.clone().settled(receipt.as_ref());
    if open {
        // Nothing is final: the body is shown, the payment stays.
        show.answer(answered, None).await?;
        return Err(unknown(&format!("the server answered {status}"), path));
    }
    if let Err(mut failure) = show.answer(answered, paid.then_some(&bought)).await {
        // Nobody pays twice for an answer that breaks off: the server still owes it, or keeps it.
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
        state::discard(path);
        return Err(Failure {
            code: REFUSED,
            message: format!("the payment was refused: {}", why.unwrap_or_else(|| "without a reason".to_owned())),
        });
    }
    state::discard(path);
    match (paid, status < 400) {
        (true, true) => Ok(()),
        (true, false) => Err(Failure::new(format!("paid, but the server answered {status}"))),
        (false, true) => {
            eprintln!("answered without a receipt: {}", bought.offer_line());
            Ok(())
        }
        (false, false) => Err(Failure::new(format!(
            "the server answered {status} and gave no receipt: nothing was paid, as far as it says"
        ))),
    }
}

fn unknown(message: &str, path: &Path) -> Failure {
    Failure {
        code: UNKNOWN,
        message: format!(
            "{message}: whether the payment was made is unknown. Do not pay again; send the same payment again:\n  coinslot pay --resume {}",
            path.display()
        ),
    }
}

fn declined(declined: Declined) -> Failure {
    match &declined {
        Declined::TooDear { price, .. } => {
            Failure { code: TOO_DEAR, message: format!("{declined}; to pay it, add --max {price}") }
        }
        Declined::NothingUsable(_) => Failure::new(declined.to_string()),
    }
}

fn policy(args: &PayArgs) -> Result<Policy, Failure> {
    let network = match &args.network {
        None => None,
        Some(text) => Some(Network::parse_v1(text).map_err(|error| Failure::usage(error.to_string()))?),
    };
    let max = Decimal::parse(&args.max).map_err(|error| Failure::usage(format!("--max: {error}")))?;
    Ok(Policy { max, network })
}

fn key(args: &PayArgs, url: &Url) -> Result<Key, Failure> {
    if let Some(file) = &args.dev_json {
        let shown = file.display();
        let key = state::dev_key(file, url)
            .ok_or_else(|| Failure::new(format!("{shown} is not of a host that serves {url}")))?;
        return key.map_err(|error| Failure::new(error.to_string()));
    }
    let named = match (&args.key_file, &args.key_env) {
        (Some(path), _) => Some(Key::from_file(path)),
        (None, Some(name)) => Some(Key::from_env(name)),
        (None, None) => state::dev_key(Path::new(state::DEV_FILE), url),
    };
    named.unwrap_or_else(|| Key::from_env(KEY_ENV)).map_err(|error| Failure::new(error.to_string()))
}

fn bought(challenge: &Challenge, entry: &Entry, payment: &crate::wallet::SignedPayment) -> Bought {
    Bought::new(challenge.version, entry, payment.payer)
}

fn now() -> UnixTime {
    SystemTime::now().into()
}
