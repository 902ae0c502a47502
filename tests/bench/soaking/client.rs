//! The clients of the soak. Each pays again and again, one of four payments in protocol version 1. Most wait for their
//! answer; some hang up in the middle of the request, right after it, while they wait, or in the middle of the answer.
//! Most of these come back with the same payment, as a client does that has lost its connection, and some come back
//! only when all others have ended. Some send a payment again after it was answered, and some send it twice at a time.
//!
//! A client repeats its payment until it has a 200 or a refusal that the documentation calls final. Its behaviour
//! follows from the random nonce of its payment, so that no other source of chance is needed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use coinslot_tests::{Wallet, decode};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::chain::{ChainRecords, Spend};
use crate::order::{Attempt, End, HangUp, Order, Version};

/// The number of clients that hang up, of 256.
const HANG_UPS: u8 = 51;
/// The number of payments in protocol version 1, of 256.
const VERSION_ONE: u8 = 64;
/// One of four payments is for a plugin of the upfront flow.
pub(crate) const ROUTES: [&str; 4] = ["/status", "/status", "/status", "/upfront"];
/// Longer than a payment can stay open: a host that has not answered by then does not give what it owes.
const TIME_LIMIT: Duration = Duration::from_secs(480);
/// The number of clients that fetch at the same time what they had left behind.
const FETCHING: usize = 32;

/// The state that all clients share.
pub(crate) struct SoakLoad {
    pub(crate) url: String,
    wallets: Vec<Wallet>,
    /// The offers of each route, in the order of [`ROUTES`]: the entries of version 1 and of version 2.
    offers: Vec<[Value; 2]>,
    http: reqwest::Client,
    turn: AtomicU64,
    /// Set when no new payments are to be signed.
    pub(crate) closed: AtomicBool,
    pub(crate) counts: Counts,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) answered: AtomicU64,
    pub(crate) version_one: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) hang_ups: AtomicU64,
    /// Payments that were sent again after their answer, and at the same time.
    pub(crate) repeated: AtomicU64,
    pub(crate) doubled: AtomicU64,
    /// Answers that were fetched when all clients had ended.
    pub(crate) fetched: AtomicU64,
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

impl Record {
    pub(crate) fn spend(&self) -> Spend {
        (self.payer.clone(), self.nonce.clone())
    }
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
    /// Requests the offers of every route.
    pub(crate) async fn open(url: &str, wallets: Vec<Wallet>) -> Self {
        // A client that waits longer has lost its connection and asks again.
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().expect("a client");
        let mut offers = Vec::new();
        for route in ROUTES {
            let challenge = http.post(format!("{url}{route}")).send().await.expect("a challenge");
            let header = challenge.headers().get("payment-required").expect("a PAYMENT-REQUIRED header");
            let second = decode(header.to_str().expect("ASCII"))["accepts"][0].clone();
            let first = challenge.json::<Value>().await.expect("JSON")["accepts"][0].clone();
            offers.push([first, second]);
        }
        let (turn, closed, counts) = (AtomicU64::default(), AtomicBool::default(), Counts::default());
        Self { url: url.to_owned(), wallets, offers, http, turn, closed, counts }
    }

    /// Makes one payment, from its signature to its end.
    async fn buy(&self) -> Record {
        let turn = usize::try_from(self.turn.fetch_add(1, Ordering::Relaxed)).expect("a number of payments");
        let route = turn % ROUTES.len();
        // In each round every route gets another wallet.
        let wallet = &self.wallets[(turn + turn / self.wallets.len()) % self.wallets.len()];
        let [first, second] = &self.offers[route];
        let version = if coinslot_tests::random_word()[0] < VERSION_ONE { Version::One } else { Version::Two };
        let payment = match version {
            Version::One => wallet.pay_v1(first),
            Version::Two => wallet.pay_entry(second),
        };
        if version == Version::One {
            self.counts.version_one.fetch_add(1, Ordering::Relaxed);
        }
        let signed = &payment.document["payload"]["authorization"];
        let nonce = signed["nonce"].as_str().expect("a nonce").to_owned();
        let amount = signed["value"].as_str().and_then(|digits| digits.parse().ok()).expect("an amount");
        let order = Order { route: ROUTES[route], version, payment: payment.header(), nonce: nonce.clone() };
        Record { payer: wallet.address().to_string().to_lowercase(), nonce, amount, end: self.pursue(order).await }
    }

    async fn pursue(&self, order: Order) -> End {
        let chance = chance(&order.nonce);
        let begun = Instant::now();
        let mut attempts = 0;
        if chance[0] < HANG_UPS {
            self.counts.hang_ups.fetch_add(1, Ordering::Relaxed);
            let hang_up = match chance[1] % 4 {
                0 => HangUp::InTheRequest,
                1 => HangUp::AfterTheRequest,
                2 => HangUp::Waiting(Duration::from_millis(5 * u64::from(chance[2]))),
                _ => HangUp::InTheAnswer,
            };
            order.hang_up(&self.url, hang_up).await;
            if chance[3].is_multiple_of(3) {
                return End::Gone(order);
            }
            tokio::time::sleep(Duration::from_millis(10 * u64::from(chance[4]))).await;
            self.counts.again("the client hung up".to_owned());
            attempts = 1;
        }
        let pause = Duration::from_millis(8 * u64::from(chance[6]));
        let end = match chance[5] % 8 {
            0 => self.twice_at_a_time(&order, pause).await,
            1 => self.again_afterwards(&order, pause).await,
            _ => self.until_end(&order).await,
        };
        match end {
            End::Bought { transaction, attempts: more, .. } => {
                self.counts.answered.fetch_add(1, Ordering::Relaxed);
                End::Bought { transaction, waited: begun.elapsed(), attempts: attempts + more }
            }
            End::HandedOver => End::Wrong("409 to a payer who came back at once".to_owned()),
            end => end,
        }
    }

    /// Sends the request, and a copy of it a little later: both get the same answer.
    async fn twice_at_a_time(&self, order: &Order, later: Duration) -> End {
        self.counts.doubled.fetch_add(1, Ordering::Relaxed);
        let copy = async {
            tokio::time::sleep(later).await;
            self.until_end(order).await
        };
        let (end, copy) = tokio::join!(self.until_end(order), copy);
        same(end, copy)
    }

    /// Sends the request, and once more after its answer: both get the same answer.
    async fn again_afterwards(&self, order: &Order, later: Duration) -> End {
        let end = self.until_end(order).await;
        if !matches!(end, End::Bought { .. }) {
            return end;
        }
        self.counts.repeated.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(later).await;
        same(end, self.until_end(order).await)
    }

    /// Sends the request until it has its end.
    async fn until_end(&self, order: &Order) -> End {
        let begun = Instant::now();
        let mut attempts = 1;
        loop {
            match order.attempt(&self.http, &self.url).await {
                Attempt::End(End::Bought { transaction, .. }) => {
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
}

/// The end of a payment that was sent twice.
fn same(one: End, other: End) -> End {
    match (&one, &other) {
        (End::Bought { transaction: first, .. }, End::Bought { transaction: second, .. }) if first == second => one,
        (End::Refused(first), End::Refused(second)) if first == second => one,
        (End::Wrong(_), _) => one,
        (_, End::Wrong(_)) => other,
        _ => End::Wrong(format!("the same payment ended in two ways: {one:?} and {other:?}")),
    }
}

/// Buys until [`SoakLoad::closed`] is set.
pub(crate) async fn buy_repeatedly(load: Arc<SoakLoad>) -> Vec<Record> {
    let mut records = Vec::new();
    while !load.closed.load(Ordering::Relaxed) {
        load.counts.in_progress.fetch_add(1, Ordering::Relaxed);
        records.push(load.buy().await);
        load.counts.in_progress.fetch_sub(1, Ordering::Relaxed);
    }
    records
}

/// Comes back for every payment that was charged and whose client has not come back. The others would be new purchases.
pub(crate) async fn fetch_charged(load: &Arc<SoakLoad>, records: Vec<Record>, seen: &ChainRecords) -> Vec<Record> {
    let (mut ended, mut fetching) = (Vec::new(), JoinSet::new());
    for record in records {
        if !seen.payments.contains_key(&record.spend()) {
            ended.push(record);
            continue;
        }
        match record {
            Record { payer, nonce, amount, end: End::Gone(order) } => {
                if fetching.len() >= FETCHING {
                    ended.extend(fetching.join_next().await.map(|done| done.expect("a client that does not panic")));
                }
                let load = Arc::clone(load);
                fetching.spawn(async move {
                    let end = match load.until_end(&order).await {
                        End::Bought { transaction, waited, attempts } => {
                            load.counts.fetched.fetch_add(1, Ordering::Relaxed);
                            End::Bought { transaction, waited, attempts: attempts + 1 }
                        }
                        end => end,
                    };
                    Record { payer, nonce, amount, end }
                });
            }
            record => ended.push(record),
        }
    }
    ended.extend(fetching.join_all().await);
    ended
}

/// The first bytes of a nonce, as a source of chance.
fn chance(nonce: &str) -> [u8; 7] {
    let mut bytes = [0; 7];
    hex::decode_to_slice(&nonce[2..16], &mut bytes).expect("a nonce in hex");
    bytes
}
