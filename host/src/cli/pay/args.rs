//! Reads the arguments of `coinslot pay`: the request and the limits that they describe.

use std::io::Read;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use coinslot_x402::price::Decimal;
use coinslot_x402::{Network, header};
use reqwest::header::CONTENT_TYPE;
use url::Url;

use super::purchase::RequestSpec;
use crate::cli::{Failure, dev_hosts};
use crate::wallet::SpendingPolicy;

/// The most that is paid unasked, in US dollars.
pub(in crate::cli) const DEFAULT_MAX: &str = "0.10";

/// Request a URL, and pay for it if it costs something.
///
/// The answer goes to stdout, the receipt to stderr. Where the server lets accounts sign in (sign-in-with-x), that is
/// tried first: what is served by a pass of an earlier payment, or is free for the account, is not paid. The key comes from --key-file, --key-env, a running
/// `coinslot dev` of yours that serves the URL (--dev-json, or found by itself), or COINSLOT_PAYER_KEY.
///
/// Ends with 0 when it has the answer, 1 when something failed, 2 for wrong usage, 3 when the price is
/// above --max, 4 when the payment was refused, 5 when the outcome is unknown (use --resume).
#[derive(Args, Clone, Debug)]
pub struct PayArgs {
    /// The URL to request; or a path, such as /hello, of the `coinslot dev` that runs in this folder, in one above it,
    /// or alone.
    #[arg(required_unless_present = "resume", conflicts_with = "resume", value_name = "URL|PATH")]
    pub url: Option<String>,
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
    #[arg(long, value_name = "AMOUNT", default_value = DEFAULT_MAX)]
    pub max: String,
    #[command(flatten)]
    pub payer: PayerArgs,
    /// The authority that has signed the server's certificate, in PEM, beside those that the machine trusts.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Pay only on this network: a CAIP-2 identifier, or a name such as `base`.
    #[arg(long)]
    pub network: Option<String>,
    /// One JSON object on stdout: status, headers, body or bodyBase64, receipt, signedInAs.
    #[arg(long)]
    pub json: bool,
    /// Say what it costs, and pay nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Pay without signing in first: leave a pass of this account, and its free requests, unused.
    #[arg(long)]
    pub no_pass: bool,
    /// The longest time for each request, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub timeout: u64,
    /// Send the payment in this file again, with its request.
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
    /// The directory in which signed payments are kept until their outcome is known.
    #[arg(long, value_name = "DIR", env = "COINSLOT_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
}

// The place of the key of a payer. No doc comment: clap would give it to the commands that have these arguments.
#[derive(Args, Clone, Debug)]
pub struct PayerArgs {
    /// The environment variable with the private key.
    #[arg(long, value_name = "NAME", conflicts_with = "key_file")]
    pub key_env: Option<String>,
    /// A file with the private key.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// The dev.json of the `coinslot dev` that serves the URL: its first payer pays.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key_file", "key_env"])]
    pub dev_json: Option<PathBuf>,
}

/// The request that the arguments describe. A body without a content type is called JSON or text, as it is.
pub(in crate::cli) fn request_of(args: &PayArgs) -> Result<RequestSpec, Failure> {
    let url = url_of(args)?;
    let body = args.data.as_deref().map(body).transpose()?;
    let method = match (&args.method, &body) {
        (Some(method), _) => method.to_ascii_uppercase(),
        (None, Some(_)) => "POST".to_owned(),
        (None, None) => "GET".to_owned(),
    };
    let mut headers = Vec::new();
    for line in &args.header {
        let (name, value) =
            line.split_once(':').ok_or_else(|| Failure::usage(format!("-H `{line}`: write `name: value`")))?;
        let name = name.trim().to_ascii_lowercase();
        if [header::PAYMENT_SIGNATURE, header::X_PAYMENT].contains(&name.as_str()) {
            return Err(Failure::usage(
                "the payment header is what this command makes: to send a payment again, use --resume",
            ));
        }
        headers.push((name, value.trim().to_owned()));
    }
    if let Some(body) = &body
        && !headers.iter().any(|(name, _)| name == "content-type")
    {
        let json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
        let kind = if json { "application/json" } else { "text/plain; charset=utf-8" };
        headers.push((CONTENT_TYPE.as_str().to_owned(), kind.to_owned()));
    }
    let request = RequestSpec { url, method, headers, body: body.map(|bytes| STANDARD.encode(bytes)) };
    // A request that cannot be sent is refused before anything is paid.
    request.parts()?;
    Ok(request)
}

/// The URL that is meant: the whole one that is written, or the one that a path has at the running `coinslot dev`.
fn url_of(args: &PayArgs) -> Result<Url, Failure> {
    let text = args.url.as_deref().ok_or_else(|| Failure::usage("a URL is needed"))?;
    if text.starts_with('/') {
        let host = match &args.payer.dev_json {
            Some(file) => dev_hosts::DevHost::named(file)?,
            None => dev_hosts::running()?,
        };
        let url = host.url.join(text).ok().filter(|url| url.origin() == host.url.origin());
        return url.ok_or_else(|| Failure::usage(format!("{text} is not a path of {}", host.url)));
    }
    match Url::parse(text) {
        Ok(url) if ["http", "https"].contains(&url.scheme()) && url.has_host() => Ok(url),
        Ok(_) | Err(_) => Err(Failure::usage(format!(
            "{text} is not an http or https URL: write http://.., or a path such as /hello of a running `coinslot dev`"
        ))),
    }
}

/// Reads a body: `@FILE`, `-` for stdin, or the text itself.
fn body(data: &str) -> Result<Vec<u8>, Failure> {
    let cannot =
        |what: &str, error: std::io::Error| Failure::usage(format!("cannot read the body from {what}: {error}"));
    if data == "-" {
        let mut bytes = Vec::new();
        return match std::io::stdin().read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(cannot("stdin", error)),
        };
    }
    match data.strip_prefix('@') {
        Some(path) => std::fs::read(path).map_err(|error| cannot(path, error)),
        None => Ok(data.as_bytes().to_vec()),
    }
}

/// The limits that the arguments describe.
pub(in crate::cli) fn policy(args: &PayArgs) -> Result<SpendingPolicy, Failure> {
    let network = match &args.network {
        None => None,
        Some(text) => Some(Network::parse_name(text).map_err(|error| Failure::usage(error.to_string()))?),
    };
    let max = Decimal::parse(&args.max).map_err(|error| Failure::usage(format!("--max: {error}")))?;
    Ok(SpendingPolicy { max, networks: network.into_iter().collect() })
}
