//! Replaces a component again and again by another build with another price, while clients request the free route at
//! four fifths of the host's capacity, read challenges, and pay.
//!
//! Counts failures and wrong prices, and measures the time from the rename to the first answer of the new build, and
//! the host's memory. Then it measures components that were never compiled, and a start with many compiled ones. The
//! host runs on processor 0 and everything else on processor 1.
//!
//! Ends with 1 if a request failed or a price was wrong. `tests/bench/reload [RELOADS] [PLUGINS] [PAYERS]` starts it.

use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use coinslot_tests::{SELLER, ServeHost, TestChain, decode, guest};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const CONNECTIONS: usize = 32;
const FILE: &str = "numbered.wasm";
const PATH: &str = "/numbered-000";
/// The prices of the two builds, as they declare them and in atomic units.
const PRICES: [(&str, u64); 2] = [("0.010101", 10101), ("0.020202", 20202)];

/// The counts of all clients.
#[derive(Debug, Default)]
struct Seen {
    answers: AtomicU64,
    failures: AtomicU64,
    challenges: AtomicU64,
    wrong: AtomicU64,
    payments: AtomicU64,
    paid: AtomicU64,
    over: AtomicBool,
}

type Client = SendRequest<Empty<Bytes>>;

async fn connect(address: &str) -> Client {
    let stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(connection);
    sender
}

/// Requests the free route, whose answer is the price of the build that gave it.
async fn ask(client: &mut Client, path: &str) -> Option<String> {
    client.ready().await.ok()?;
    let request = Request::get(path).header("host", "h").body(Empty::new()).ok()?;
    let answer = client.send_request(request).await.ok()?;
    let good = answer.status() == 200;
    let body = answer.into_body().collect().await.ok()?.to_bytes();
    good.then(|| String::from_utf8_lossy(&body).into_owned())
}

fn patched(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let places: Vec<usize> =
        (0..=bytes.len() - from.len()).filter(|&at| bytes[at..].starts_with(from.as_bytes())).collect();
    assert!(!places.is_empty(), "{from} is not in the component");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

/// The same component with a numbered custom section.
fn stamped(bytes: &[u8], number: u16) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    [bytes, &[0, 4, 1, b'x', high, low]].concat()
}

/// The answers per second of the free route under full load.
async fn capacity(address: &str) -> u64 {
    let mut clients = JoinSet::new();
    let end = Instant::now() + Duration::from_secs(3);
    for _ in 0..CONNECTIONS {
        let mut client = connect(address).await;
        clients.spawn(async move {
            let mut count = 0;
            while Instant::now() < end {
                assert!(ask(&mut client, PATH).await.is_some());
                count += 1;
            }
            count
        });
    }
    clients.join_all().await.into_iter().sum::<u64>() / 3
}

/// Requests the free route at this interval, or as soon as the previous answer has come.
async fn load(address: String, every: Duration, seen: Arc<Seen>) {
    let mut client = connect(&address).await;
    let mut due = tokio::time::interval(every);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !seen.over.load(Relaxed) {
        due.tick().await;
        match ask(&mut client, PATH).await {
            Some(price) if PRICES.iter().any(|(known, _)| *known == price) => seen.answers.fetch_add(1, Relaxed),
            _ => seen.failures.fetch_add(1, Relaxed),
        };
    }
}

/// Reads a challenge and pays it, again and again.
async fn buy(chain: Arc<TestChain>, url: String, payer: usize, seen: Arc<Seen>) {
    let client = reqwest::Client::new();
    while !seen.over.load(Relaxed) {
        let Ok(challenge) = client.post(&url).send().await else {
            seen.failures.fetch_add(1, Relaxed);
            continue;
        };
        if challenge.status() != 402 {
            seen.failures.fetch_add(1, Relaxed);
            continue;
        }
        seen.challenges.fetch_add(1, Relaxed);
        let header = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
        let amount: u64 = header["accepts"][0]["amount"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
        if !PRICES.iter().any(|(_, known)| *known == amount) {
            seen.wrong.fetch_add(1, Relaxed);
        }
        let payment = chain.payer(payer).pay(&challenge).header();
        match client.post(&url).header("PAYMENT-SIGNATURE", payment).send().await {
            Ok(answer) if answer.status() == 200 => {
                seen.payments.fetch_add(1, Relaxed);
                seen.paid.fetch_add(amount, Relaxed);
            }
            Ok(answer) => {
                eprintln!("a payment was answered with {}", answer.status());
                seen.failures.fetch_add(1, Relaxed);
            }
            Err(error) => {
                eprintln!("{error}");
                seen.failures.fetch_add(1, Relaxed);
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Installs a build and waits for its first answer. Returns the time since the rename.
async fn replace(host: &ServeHost, client: &mut Client, bytes: &[u8], is_there: impl Fn(&str) -> bool) -> Duration {
    let begun = host.install(FILE, bytes);
    loop {
        if ask(client, PATH).await.is_some_and(|price| is_there(&price)) {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "the build is not active:\n{}", host.log());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn share(sorted: &[Duration], percent: usize) -> f64 {
    sorted[(sorted.len() - 1) * percent / 100].as_secs_f64() * 1000.0
}

fn hold(process: u32, processor: &str) {
    let done = Command::new("taskset").args(["-apc", processor, &process.to_string()]).output().expect("taskset");
    assert!(done.status.success(), "taskset: {}", String::from_utf8_lossy(&done.stderr));
}

/// The growth of memory per step, by least squares.
fn slope(samples: &[(f64, f64)]) -> f64 {
    let count = samples.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|sample| sample.0), mean(|sample| sample.1));
    let over: f64 = samples.iter().map(|sample| (sample.0 - x) * (sample.1 - y)).sum();
    over / samples.iter().map(|sample| (sample.0 - x).powi(2)).sum::<f64>()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let number = |at, default| std::env::args().nth(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (reloads, plugins, payers): (usize, usize, usize) = (number(1, 1000), number(2, 200), number(3, 2));
    let chain = Arc::new(TestChain::start().await);
    let original = std::fs::read(guest("numbered")).expect("a component");
    let builds = [original.clone(), patched(&original, PRICES[0].0, PRICES[1].0)];
    let mut host = chain.serve(&["numbered"], "[limits]\nmax_instances_per_plugin = 256\n").await;
    hold(host.process(), "0");
    hold(std::process::id(), "1");
    let address = host.url("").replace("http://", "");

    let most = capacity(&address).await;
    let rate = most * 8 / 10;
    let seen = Arc::new(Seen::default());
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        clients.spawn(load(
            address.clone(),
            Duration::from_secs_f64(CONNECTIONS as f64 / rate as f64),
            Arc::clone(&seen),
        ));
    }
    for payer in 0..payers.min(4) {
        clients.spawn(buy(Arc::clone(&chain), host.url(PATH), payer, Arc::clone(&seen)));
    }
    let mut client = connect(&address).await;
    let (mut times, mut memory) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    for round in 1..=reloads {
        let build = round % 2;
        times.push(replace(&host, &mut client, &builds[build], |price| price == PRICES[build].0).await);
        if round % 25 == 0 {
            memory.push((round as f64, host.resident_memory() as f64 / 1024.0));
        }
    }
    let took = begun.elapsed();
    seen.over.store(true, Relaxed);
    while clients.join_next().await.is_some() {}
    times.sort_unstable();
    let [answers, failures, challenges, wrong, payments, paid] =
        [&seen.answers, &seen.failures, &seen.challenges, &seen.wrong, &seen.payments, &seen.paid]
            .map(|count| count.load(Relaxed));
    let received = chain.balance(SELLER).await;
    println!("{reloads} reloads in {:.0} s, at {rate} requests/s of at most {most}", took.as_secs_f64());
    println!(
        "  {answers} answers, {challenges} challenges, {payments} payments; {failures} failures, {wrong} wrong prices"
    );
    println!("  {paid} asked for and {received} received, in atomic units");
    println!("  rename to first answer: median {:.0} ms, p99 {:.0} ms", share(&times, 50), share(&times, 99));
    let warm = &memory[memory.len() / 5..];
    println!(
        "  memory: {:.1} MiB after a fifth, {:.1} MiB at the end; {:+.2} KiB for each reload",
        warm.first().map_or(0.0, |sample| sample.1) / 1024.0,
        warm.last().map_or(0.0, |sample| sample.1) / 1024.0,
        slope(warm)
    );

    // Without load and on both processors. Each of these components is new to the host at first, and then known.
    hold(host.process(), "0,1");
    let mut compiled = Vec::new();
    let mut known = Vec::new();
    for number in 1..=30_u16 {
        let build = usize::from(number % 2);
        let bytes = stamped(&builds[build], number);
        compiled.push(replace(&host, &mut client, &bytes, |price| price == PRICES[build].0).await);
    }
    for number in 1..=30_u16 {
        let build = usize::from(number % 2);
        let bytes = stamped(&builds[build], number);
        known.push(replace(&host, &mut client, &bytes, |price| price == PRICES[build].0).await);
    }
    compiled.sort_unstable();
    known.sort_unstable();
    let (new, old) = (share(&compiled, 50), share(&known, 50));
    println!(
        "a new component, idle host: median {new:.0} ms, p90 {:.0} ms; {:.0} % of that is compiling (known ones: {old:.0} ms)",
        share(&compiled, 90),
        100.0 * (new - old) / new
    );

    for number in 1..plugins {
        let bytes = patched(&original, "numbered-000", &format!("numbered-{number:03}"));
        host.install(&format!("numbered-{number:03}.wasm"), &bytes);
    }
    let begun = Instant::now();
    host.restart(&[]).await;
    let first = begun.elapsed();
    let begun = Instant::now();
    host.restart(&[]).await;
    let second = begun.elapsed();
    let mut client = connect(&host.url("").replace("http://", "")).await;
    for number in 0..plugins {
        assert!(ask(&mut client, &format!("/numbered-{number:03}")).await.is_some(), "{number} is not served");
    }
    println!(
        "a start with {plugins} plugins: {:.1} s with compiling, {:.2} s with all of them compiled before",
        first.as_secs_f64(),
        second.as_secs_f64()
    );
    if failures + wrong > 0 || paid != received { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
