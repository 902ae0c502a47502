//! Signs payments ahead of the measurement, and then sends each of them once, as fast as a number of connections
//! allows. The load of `tests/bench/paid` and `tests/bench/settle`.

mod drive;
mod sign;

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use clap::Parser;
use coinslot_tests::{decode, encode};
use http_body_util::Full;
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};

use drive::{CheckAnswer, Load, drive};

#[derive(Parser)]
enum Command {
    /// Sign payments, one JSON object in each line.
    Sign(sign::Arguments),
    /// Buy at a route with the payments, as a version 2 client does: each payment echoes the server's offer.
    Buy {
        /// The whole URL, requested by POST.
        #[arg(long)]
        url: url::Url,
        /// The body of every paid answer.
        #[arg(long)]
        expect: String,
        /// The server's process, whose CPU time is measured.
        #[arg(long)]
        pid: Option<u32>,
        #[command(flatten)]
        load: Arguments,
    },
    /// Settle the payments through a facilitator.
    Settle {
        /// The URL of `/settle`.
        #[arg(long)]
        url: url::Url,
        /// A file with the offer that the payments accept, an entry of `accepts`.
        #[arg(long)]
        terms: PathBuf,
        #[command(flatten)]
        load: Arguments,
    },
}

#[derive(clap::Args)]
struct Arguments {
    /// The file of `sign`.
    #[arg(long)]
    payments: PathBuf,
    /// Connections, each with one request at a time.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// The time after which no more payments are sent.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    match Command::parse() {
        Command::Sign(arguments) => sign::sign(&arguments),
        Command::Buy { url, expect, pid, load } => {
            let requests = purchases(&url, &load.payments).await;
            let check = move |answer: &hyper::Response<Bytes>| bought(answer, expect.as_bytes());
            run(&url, requests, load, pid, check).await;
        }
        Command::Settle { url, terms, load } => {
            let terms = json(&read(&terms));
            let requests = read(&load.payments).lines().map(|payload| settlement(&url, &terms, payload)).collect();
            run(&url, requests, load, None, settled).await;
        }
    }
}

async fn run(
    url: &url::Url,
    requests: Vec<Request<Full<Bytes>>>,
    load: Arguments,
    pid: Option<u32>,
    check: impl CheckAnswer,
) {
    let address = url.socket_addrs(|| None).expect("an address")[0];
    let limit = Duration::from_secs(load.seconds);
    let load = Load { address, connections: load.connections, limit, pid };
    println!("{}", drive(load, requests, check).await.report());
}

/// Requests the server's offer, and makes a purchase of it with every payment.
async fn purchases(url: &url::Url, payments: &Path) -> Vec<Request<Full<Bytes>>> {
    let challenge = reqwest::Client::new().post(url.clone()).send().await.expect("an answer");
    assert_eq!(challenge.status(), 402, "{url} asks for no payment");
    let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
    let payment = |payload: &str| {
        let mut payment = json!({
            "x402Version": 2, "accepted": required["accepts"][0], "resource": required["resource"], "payload": json(payload),
        });
        if !required["extensions"].is_null() {
            payment["extensions"] = required["extensions"].clone();
        }
        let mut request = post(url, Bytes::new());
        let header = HeaderValue::from_str(&encode(&payment)).expect("Base64");
        request.headers_mut().insert("payment-signature", header);
        request
    };
    read(payments).lines().map(payment).collect()
}

fn settlement(url: &url::Url, terms: &Value, payload: &str) -> Request<Full<Bytes>> {
    let body = json!({
        "x402Version": 2,
        "paymentPayload": { "x402Version": 2, "accepted": terms, "payload": json(payload) },
        "paymentRequirements": terms,
    });
    let mut request = post(url, Bytes::from(body.to_string()));
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request
}

fn post(url: &url::Url, body: Bytes) -> Request<Full<Bytes>> {
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let request = Request::post(url.path()).header(HOST, host);
    request.body(Full::new(body)).expect("a request")
}

/// The fields of a settlement's result that are checked, from a server and from a facilitator.
#[derive(Deserialize)]
struct Settlement {
    success: bool,
    #[serde(default)]
    transaction: String,
}

/// Accepts an answer with this body and a receipt of success.
fn bought(answer: &hyper::Response<Bytes>, expect: &[u8]) -> Result<String, String> {
    let receipt = answer.headers().get("payment-response");
    let receipt = receipt.and_then(|receipt| base64::engine::general_purpose::STANDARD.decode(receipt).ok());
    match (answer.status().as_u16(), receipt) {
        (200, Some(receipt)) if answer.body() == expect => transaction(&receipt),
        (200, Some(_)) => Err(format!("200 with {:?}", answer.body())),
        (status, _) => Err(format!("{status} with {:?}", answer.body())),
    }
}

fn settled(answer: &hyper::Response<Bytes>) -> Result<String, String> {
    match answer.status().as_u16() {
        200 => transaction(answer.body()),
        status => Err(format!("{status} with {:?}", answer.body())),
    }
}

fn transaction(result: &[u8]) -> Result<String, String> {
    match serde_json::from_slice(result) {
        Ok(Settlement { success: true, transaction }) if !transaction.is_empty() => Ok(transaction),
        _ => Err(String::from_utf8_lossy(result).into_owned()),
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}
