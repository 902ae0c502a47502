//! The clients of the soak. Each pays again and again. Most wait for their answer; some hang up in the middle of the
//! request, right after it, while they wait, or in the middle of the answer. Most of these come back with the same
//! payment, as a client does that has lost its connection, and some never do.
//!
//! A client repeats its payment until it has a 200 or a refusal that the documentation calls final. Its behaviour
//! follows from the random nonce of its payment, so that no other source of chance is needed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use coinslot_tests::{Payment, Wallet, decode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The number of clients that hang up, of 256.
const HANG_UPS: u8 = 51;
/// One of four payments is for a plugin of the upfront flow.
const ROUTES: [&str; 4] = ["/status", "/status", "/status", "/upfront"];
/// Longer than a payment can stay open: a host that has not answered by then does not give what it owes.
const TIME_LIMIT: Duration = Duration::from_secs(480);
/// The pause between two attempts while the host is down.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// The state that all clients share.
pub(crate) struct SoakLoad {
    url: String,
    wallets: Vec<Wallet>,
    /// The offer of each route, in the order of [`ROUTES`].
    entries: Vec<Value>,
    http: reqwest::Client,
    turn: AtomicU64,
    /// Set when no new payments are to be signed.
    pub(crate) closed: AtomicBool,
    pub(crate) counts: Counts,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) answered: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) hang_ups: AtomicU64,
    pub(crate) in_progress: AtomicU64,
    /// The reasons for repetitions, with their counts.
    why: Mutex<BTreeMap<String, u64>>,
}

/// One payment as its client recorded it.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) payer: String,
    pub(crate) nonce: String,
    pub(crate) amount: u128,
    pub(crate) end: End,
}

#[derive(Debug)]
pub(crate) enum End {
    /// An answer with a receipt, and the time and the number of attempts that it took.
    Bought { transaction: String, waited: Duration, attempts: u32 },
    /// Refused for good, without a charge.
    Refused(String),
    /// The client hung up and never came back.
    Gone,
    /// An answer that no host may give.
    Wrong(String),
}

/// The moment at which a client drops its connection.
#[derive(Clone, Copy, Debug)]
enum HangUp {
    InTheRequest,
    AfterTheRequest,
    Waiting(Duration),
    InTheAnswer,
}

/// The result of one attempt.
enum Attempt {
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

impl SoakLoad {
    /// Requests the offer of every route.
    pub(crate) async fn open(url: &str, wallets: Vec<Wallet>) -> Self {
        // A client that waits longer has lost its connection and asks again.
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

    /// Makes one payment, from its signature to its end.
    async fn buy(&self) -> Record {
        let turn = usize::try_from(self.turn.fetch_add(1, Ordering::Relaxed)).expect("a number of payments");
        let route = turn % ROUTES.len();
        // In each round every route gets another wallet.
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
                1 => HangUp::AfterTheRequest,
                2 => HangUp::Waiting(Duration::from_millis(5 * u64::from(chance[2]))),
                _ => HangUp::InTheAnswer,
            };
            self.hang_up(route, &header, nonce, hang_up).await;
            if chance[3].is_multiple_of(3) {
                return End::Gone;
            }
            tokio::time::sleep(Duration::from_millis(10 * u64::from(chance[4]))).await;
            self.counts.again("the client hung up".to_owned());
            attempts += 1;
        }
        loop {
            match self.attempt(route, &header, nonce).await {
                Attempt::End(End::Bought { transaction, .. }) => {
                    self.counts.answered.fetch_add(1, Ordering::Relaxed);
                    return End::Bought { transaction, waited: begun.elapsed(), attempts };
                }
                Attempt::End(end) => return end,
                Attempt::Again { why, .. } if begun.elapsed() > TIME_LIMIT => {
                    return End::Wrong(format!("no answer after {attempts} attempts, at last: {why}"));
                }
                Attempt::Again { why, pause } => {
                    self.counts.again(why);
                    attempts += 1;
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn attempt(&self, route: &str, header: &str, nonce: &str) -> Attempt {
        let request = self.http.post(format!("{}{route}", self.url)).header("payment-signature", header);
        let request = request.header("content-type", "text/plain").body(nonce.to_owned());
        let lost = |_| Attempt::Again { why: "no connection, or a lost one".to_owned(), pause: RETRY_PAUSE };
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
            (200, Some(receipt)) => Attempt::End(bought(route, &body, &receipt)),
            (402, _) => Attempt::End(End::Refused(named)),
            (409, _) if named != "payment_in_flight" => Attempt::End(End::Wrong(format!("409 {named}"))),
            (409 | 429 | 500 | 502..=504, _) => {
                let pause = field("retry-after").and_then(|seconds| seconds.parse().ok());
                Attempt::Again {
                    why: format!("{status} {named}"),
                    pause: pause.map_or(RETRY_PAUSE, Duration::from_secs),
                }
            }
            _ => Attempt::End(End::Wrong(format!("{status} {body}"))),
        }
    }

    /// Sends the request, or half of it, and drops the connection. The host may be down.
    async fn hang_up(&self, route: &str, header: &str, nonce: &str, at: HangUp) {
        let address = self.url.trim_start_matches("http://");
        let request = format!(
            "POST {route} HTTP/1.1\r\nhost: {address}\r\npayment-signature: {header}\r\ncontent-type: text/plain\r\n\
             content-length: {}\r\n\r\n{nonce}",
            nonce.len()
        );
        let Ok(mut stream) = TcpStream::connect(address).await else { return };
        // The head is complete, so that the host has seen the payment; the body is not.
        let sent = match at {
            HangUp::InTheRequest => request.len() - nonce.len() / 2,
            _ => request.len(),
        };
        if stream.write_all(&request.as_bytes()[..sent]).await.is_err() {
            return;
        }
        match at {
            HangUp::InTheRequest | HangUp::AfterTheRequest => {}
            HangUp::Waiting(pause) => tokio::time::sleep(pause).await,
            HangUp::InTheAnswer => {
                let _ = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut [0; 16])).await;
            }
        }
    }
}

/// Buys until [`SoakLoad::closed`] is set.
pub(crate) async fn buy_repeatedly(load: std::sync::Arc<SoakLoad>) -> Vec<Record> {
    let mut records = Vec::new();
    while !load.closed.load(Ordering::Relaxed) {
        load.counts.in_progress.fetch_add(1, Ordering::Relaxed);
        records.push(load.buy().await);
        load.counts.in_progress.fetch_sub(1, Ordering::Relaxed);
    }
    records
}

/// Accepts a 200 only with the right body and a receipt that names a transaction.
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

/// The first bytes of a nonce, as a source of chance.
fn chance(nonce: &str) -> [u8; 5] {
    let mut bytes = [0; 5];
    hex::decode_to_slice(&nonce[2..12], &mut bytes).expect("a nonce in hex");
    bytes
}
