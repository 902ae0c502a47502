//! The clients. Each pays, again and again; most wait for their answer, and some hang up: in the middle of
//! the request, right behind it, while they wait, or in the middle of the answer. Most of those come back
//! with the same payment, as a client does that has lost its connection, and some never do.
//!
//! A client holds on to its payment until it has a 200 or a refusal that the operators' page calls final.
//! How it behaves follows from its payment's random nonce, so no other source of chance is needed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use coinslot_tests::{Payment, Wallet, decode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Of 256 payments so many meet a client that hangs up.
const HANG_UPS: u8 = 51;
/// Of four payments one is for the plugin that is paid first.
const ROUTES: [&str; 4] = ["/status", "/status", "/status", "/upfront"];
/// Longer than a payment can be open: then the host owes an answer and does not give it.
const PATIENCE: Duration = Duration::from_secs(480);
/// Between two attempts at a host that is not there.
const KNOCK: Duration = Duration::from_millis(250);

/// What all clients share.
pub(crate) struct Market {
    url: String,
    wallets: Vec<Wallet>,
    /// What each route asks for, in the order of [`ROUTES`].
    entries: Vec<Value>,
    http: reqwest::Client,
    turn: AtomicU64,
    /// No new payments.
    pub(crate) closed: AtomicBool,
    pub(crate) counts: Counts,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) answered: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) hang_ups: AtomicU64,
    pub(crate) at_it: AtomicU64,
    /// Why a payment was sent again.
    why: Mutex<BTreeMap<String, u64>>,
}

/// One payment as its client knows it.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) payer: String,
    pub(crate) nonce: String,
    pub(crate) amount: u128,
    pub(crate) end: End,
}

#[derive(Debug)]
pub(crate) enum End {
    /// An answer with its receipt, so long after the first attempt, and after so many.
    Bought { transaction: String, waited: Duration, attempts: u32 },
    /// Final, and not charged.
    Refused(String),
    /// The client hung up and never came back.
    Gone,
    /// What no host may do.
    Wrong(String),
}

/// Where a connection is dropped.
#[derive(Clone, Copy, Debug)]
enum HangUp {
    InTheRequest,
    BehindTheRequest,
    Waiting(Duration),
    InTheAnswer,
}

/// One attempt.
enum Told {
    End(End),
    Again { why: String, pause: Duration },
}

impl Counts {
    fn again(&self, why: String) {
        self.retries.fetch_add(1, Ordering::Relaxed);
        *self.why.lock().unwrap_or_else(PoisonError::into_inner).entry(why).or_default() += 1;
    }

    pub(crate) fn reasons(&self) -> BTreeMap<String, u64> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Market {
    /// Asks every route for its price.
    pub(crate) async fn open(url: &str, wallets: Vec<Wallet>) -> Self {
        // A client that waits for longer has lost its connection, and asks again.
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().expect("a client");
        let mut entries = Vec::new();
        for route in ROUTES {
            let challenge = http.post(format!("{url}{route}")).send().await.expect("a challenge");
            let header = challenge.headers().get("payment-required").expect("a PAYMENT-REQUIRED header");
            entries.push(decode(header.to_str().expect("ASCII"))["accepts"][0].clone());
        }
        let (turn, closed, counts) = (AtomicU64::default(), AtomicBool::default(), Counts::default());
        Self { url: url.to_owned(), wallets, entries, http, turn, closed, counts }
    }

    /// One payment from its signature to its end.
    async fn buy(&self) -> Record {
        let turn = usize::try_from(self.turn.fetch_add(1, Ordering::Relaxed)).expect("a number of payments");
        let route = turn % ROUTES.len();
        // Another wallet at each route in each round.
        let wallet = &self.wallets[(turn + turn / self.wallets.len()) % self.wallets.len()];
        let payment = wallet.pay_entry(&self.entries[route]);
        let signed = &payment.document["payload"]["authorization"];
        let nonce = signed["nonce"].as_str().expect("a nonce").to_owned();
        let amount = signed["value"].as_str().and_then(|digits| digits.parse().ok()).expect("an amount");
        let end = self.pursue(ROUTES[route], &payment, &nonce).await;
        Record { payer: wallet.address().to_string().to_lowercase(), nonce, amount, end }
    }

    async fn pursue(&self, route: &str, payment: &Payment, nonce: &str) -> End {
        let header = payment.header();
        let chance = chance(nonce);
        let begun = Instant::now();
        let mut attempts = 1;
        if chance[0] < HANG_UPS {
            self.counts.hang_ups.fetch_add(1, Ordering::Relaxed);
            let hang_up = match chance[1] % 4 {
                0 => HangUp::InTheRequest,
                1 => HangUp::BehindTheRequest,
                2 => HangUp::Waiting(Duration::from_millis(5 * u64::from(chance[2]))),
                _ => HangUp::InTheAnswer,
            };
            self.hang_up(route, &header, nonce, hang_up).await;
            if chance[3].is_multiple_of(3) {
                return End::Gone;
            }
            tokio::time::sleep(Duration::from_millis(10 * u64::from(chance[4]))).await;
            self.counts.again("it hung up".to_owned());
            attempts += 1;
        }
        loop {
            match self.attempt(route, &header, nonce).await {
                Told::End(End::Bought { transaction, .. }) => {
                    self.counts.answered.fetch_add(1, Ordering::Relaxed);
                    return End::Bought { transaction, waited: begun.elapsed(), attempts };
                }
                Told::End(end) => return end,
                Told::Again { why, .. } if begun.elapsed() > PATIENCE => {
                    return End::Wrong(format!("no answer after {attempts} attempts, at last: {why}"));
                }
                Told::Again { why, pause } => {
                    self.counts.again(why);
                    attempts += 1;
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn attempt(&self, route: &str, header: &str, nonce: &str) -> Told {
        let request = self.http.post(format!("{}{route}", self.url)).header("payment-signature", header);
        let request = request.header("content-type", "text/plain").body(nonce.to_owned());
        let lost = |_| Told::Again { why: "no connection, or a lost one".to_owned(), pause: KNOCK };
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return lost(error),
        };
        let (status, fields) = (answer.status().as_u16(), answer.headers().clone());
        let field = |name| fields.get(name).and_then(|value| value.to_str().ok());
        let body = match answer.text().await {
            Ok(body) => body,
            Err(error) => return lost(error),
        };
        let receipt = field("payment-response").map(decode);
        let error: Value = serde_json::from_str(&body).unwrap_or_default();
        let named = error["error"].as_str().unwrap_or("unnamed").to_owned();
        match (status, receipt) {
            (200, Some(receipt)) => Told::End(bought(route, &body, &receipt)),
            (402, _) => Told::End(End::Refused(named)),
            (409, _) if named != "payment_in_flight" => Told::End(End::Wrong(format!("409 {named}"))),
            (409 | 429 | 500 | 502..=504, _) => {
                let pause = field("retry-after").and_then(|seconds| seconds.parse().ok());
                Told::Again { why: format!("{status} {named}"), pause: pause.map_or(KNOCK, Duration::from_secs) }
            }
            _ => Told::End(End::Wrong(format!("{status} {body}"))),
        }
    }

    /// Sends the request, or half of it, and drops the connection. There may be no host at the moment.
    async fn hang_up(&self, route: &str, header: &str, nonce: &str, at: HangUp) {
        let address = self.url.trim_start_matches("http://");
        let request = format!(
            "POST {route} HTTP/1.1\r\nhost: {address}\r\npayment-signature: {header}\r\ncontent-type: text/plain\r\n\
             content-length: {}\r\n\r\n{nonce}",
            nonce.len()
        );
        let Ok(mut stream) = TcpStream::connect(address).await else { return };
        // The head is whole, so the host has seen the payment; the body is not.
        let sent = match at {
            HangUp::InTheRequest => request.len() - nonce.len() / 2,
            _ => request.len(),
        };
        if stream.write_all(&request.as_bytes()[..sent]).await.is_err() {
            return;
        }
        match at {
            HangUp::InTheRequest | HangUp::BehindTheRequest => {}
            HangUp::Waiting(pause) => tokio::time::sleep(pause).await,
            HangUp::InTheAnswer => {
                let _ = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut [0; 16])).await;
            }
        }
    }
}

/// Buys until the market is closed.
pub(crate) async fn shop(market: std::sync::Arc<Market>) -> Vec<Record> {
    let mut records = Vec::new();
    while !market.closed.load(Ordering::Relaxed) {
        market.counts.at_it.fetch_add(1, Ordering::Relaxed);
        records.push(market.buy().await);
        market.counts.at_it.fetch_sub(1, Ordering::Relaxed);
    }
    records
}

/// A 200 is an answer only with what was bought and a receipt that names a transaction.
fn bought(route: &str, body: &str, receipt: &Value) -> End {
    let right = match route {
        "/status" => body == "as asked",
        _ => serde_json::from_str::<Value>(body).is_ok_and(|body| body["paid"].as_str() > Some("")),
    };
    match (right, receipt["success"].as_bool(), receipt["transaction"].as_str()) {
        (true, Some(true), Some(transaction)) if !transaction.is_empty() => {
            End::Bought { transaction: transaction.to_lowercase(), waited: Duration::ZERO, attempts: 0 }
        }
        _ => End::Wrong(format!("200 with the body {body:?} and the receipt {receipt}")),
    }
}

/// The nonce's first bytes.
fn chance(nonce: &str) -> [u8; 5] {
    let mut bytes = [0; 5];
    hex::decode_to_slice(&nonce[2..12], &mut bytes).expect("a nonce in hex");
    bytes
}
