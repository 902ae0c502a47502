//! Sends prepared requests once each over a number of connections, and counts the results.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// Checks an answer: returns its transaction, or the reason why it does not count.
pub(crate) trait CheckAnswer: Fn(&Response<Bytes>) -> Result<String, String> + Clone + Send + 'static {}
impl<F: Fn(&Response<Bytes>) -> Result<String, String> + Clone + Send + 'static> CheckAnswer for F {}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    /// The time after which no request is sent. Requests in progress are finished.
    pub(crate) limit: Duration,
    /// A process whose CPU time is measured.
    pub(crate) pid: Option<u32>,
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    latencies: Vec<Duration>,
    transactions: HashSet<String>,
    failures: Vec<String>,
    took: Duration,
    cpu: Option<Duration>,
}

type Queue = Arc<Mutex<std::vec::IntoIter<Request<Full<Bytes>>>>>;

/// Sends requests until the time is over or all are sent. The clock starts when every connection is open, and stops
/// with the last answer.
pub(crate) async fn drive(load: Load, requests: Vec<Request<Full<Bytes>>>, check: impl CheckAnswer) -> Tally {
    let queue: Queue = Arc::new(Mutex::new(requests.into_iter()));
    let mut senders = Vec::new();
    for _ in 0..load.connections {
        senders.push(connect(load.address).await);
    }
    let spent = load.pid.map(cpu);
    let begun = Instant::now();
    let worker = |sender| tokio::spawn(send(sender, load, begun, Arc::clone(&queue), check.clone()));
    let workers: Vec<_> = senders.into_iter().map(worker).collect();
    let mut all = Tally::default();
    for worker in workers {
        let one = worker.await.expect("a worker");
        all.latencies.extend(one.latencies);
        all.transactions.extend(one.transactions);
        all.failures.extend(one.failures);
    }
    all.took = begun.elapsed();
    all.cpu = load.pid.zip(spent).map(|(pid, spent)| cpu(pid).saturating_sub(spent));
    all
}

async fn send(
    mut sender: SendRequest<Full<Bytes>>,
    load: Load,
    begun: Instant,
    queue: Queue,
    check: impl CheckAnswer,
) -> Tally {
    let mut tally = Tally::default();
    while begun.elapsed() < load.limit {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let Some(request) = next else { break };
        // Servers may close a connection after some number of requests.
        if sender.ready().await.is_err() {
            sender = connect(load.address).await;
        }
        let sent = Instant::now();
        match whole(&mut sender, request).await.and_then(|answer| check(&answer)) {
            Ok(transaction) => {
                tally.latencies.push(sent.elapsed());
                tally.transactions.insert(transaction);
            }
            Err(problem) => tally.failures.push(problem),
        }
    }
    tally
}

async fn connect(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let _ = stream.set_nodelay(true);
    let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    sender
}

async fn whole(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, String> {
    let (head, body) = sender.send_request(request).await.map_err(|error| error.to_string())?.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    Ok(Response::from_parts(head, body))
}

/// The user and system time of a process and its threads. Linux counts in hundredths of a second.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running process");
    // The name is in parentheses and may contain any character.
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

impl Tally {
    /// One line of JSON. Prints the first failures to stderr.
    pub(crate) fn report(mut self) -> Value {
        for failure in self.failures.iter().take(3) {
            eprintln!("failed: {failure}");
        }
        self.latencies.sort_unstable();
        let paid = self.latencies.len();
        let percentile = |p: usize| {
            let latency = self.latencies.get((paid * p / 100).min(paid.saturating_sub(1)));
            latency.map(|latency| (latency.as_secs_f64() * 1e5).round() / 100.0)
        };
        let seconds = self.took.as_secs_f64();
        let cpu = self.cpu.filter(|_| paid > 0);
        json!({
            "paid": paid,
            "failed": self.failures.len(),
            "transactions": self.transactions.len(),
            "seconds": (seconds * 100.0).round() / 100.0,
            "rate": (paid as f64 / seconds * 10.0).round() / 10.0,
            "p50ms": percentile(50),
            "p99ms": percentile(99),
            "cpuMicros": cpu.map(|cpu| (cpu.as_secs_f64() * 1e6 / paid as f64).round()),
        })
    }
}
