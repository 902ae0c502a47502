//! Measures how much a misbehaving plugin slows down another: the 99th percentile of a small free route under 32
//! connections, alone and beside four connections that call a misbehaving guest without a pause.
//!
//! The host runs on processor 0 and everything else on processor 1. The program ends with 1 if a ratio is above 3.
//! `tests/bench/neighbours [SECONDS]` starts it.

mod client;

use std::process::{Command, ExitCode};
use std::time::Duration;

use client::{call_forever, p99, times};
use coinslot_tests::TestChain;

/// The highest ratio of the percentile beside a misbehaving plugin to the percentile alone.
const MAX_RATIO: f64 = 3.0;
const CONNECTIONS: usize = 32;
const MISBEHAVIOURS: &[(&str, &str)] = &[
    ("computes", "/spin"),
    ("computes in short pieces", "/spin?how=waits"),
    ("computes after the head", "/spin?how=head"),
    ("never answers", "/spin?how=sleep"),
    ("takes memory", "/grow"),
    ("recurses", "/unruly?recurse"),
    ("leaks handles", "/unruly?leak"),
    ("fills the host's tables", "/unruly?fields"),
    ("answers with too many headers", "/unruly?headers"),
    ("answers with too many trailers", "/unruly?trailers"),
    ("answers without end", "/flood"),
    ("fills the log", "/unruly?chatter"),
    ("fills the log with empty lines", "/unruly?newlines"),
    ("hoards bodies", "/unruly?hoard-bodies"),
    ("traps midway", "/trap?when=late"),
    ("traps at once", "/trap"),
    ("gives no answer", "/silent"),
    ("loops in its quote", "/quoter/x?loop"),
];
/// No circuit opens, because a plugin with an open circuit is not called.
const CONFIG: &str = "[health]\nfailures = 0\n";

/// The times of all answers of the small route.
async fn neighbour(address: &str, time: Duration) -> Vec<u128> {
    times(address, "/status", CONNECTIONS, Duration::ZERO, time).await
}

fn hold(process: u32, processor: &str) {
    let done = Command::new("taskset").args(["-apc", processor, &process.to_string()]).output().expect("taskset");
    assert!(done.status.success(), "taskset: {}", String::from_utf8_lossy(&done.stderr));
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(5);
    let time = Duration::from_secs(seconds);
    let chain = TestChain::start().await;
    let host = chain.serve(&["status", "spin", "grow", "unruly", "flood", "trap", "silent", "quoter"], CONFIG).await;
    hold(host.process(), "0");
    hold(std::process::id(), "1");
    let address = host.url("").replace("http://", "");
    neighbour(&address, Duration::from_secs(1)).await;
    let mut worst: f64 = 0.0;
    println!("{:<32}{:>10}{:>10}{:>10}{:>8}", "a plugin that ..", "req/s", "p99 ms", "alone", "ratio");
    for (what, path) in MISBEHAVIOURS {
        let before = p99(&neighbour(&address, time).await);
        let unruly: Vec<_> = (0..4).map(|_| tokio::spawn(call_forever(address.clone(), path))).collect();
        let beside = neighbour(&address, time).await;
        unruly.iter().for_each(tokio::task::JoinHandle::abort);
        let after = p99(&neighbour(&address, time).await);
        // A disturbance of the machine lasts longer than one measurement, so the time alone is taken before and after.
        let alone = (before + after) / 2.0;
        let ratio = p99(&beside) / alone;
        worst = worst.max(ratio);
        let rate = beside.len() as u64 / seconds;
        println!("{what:<32}{rate:>10}{:>10.2}{alone:>10.2}{ratio:>8.2}", p99(&beside));
    }
    println!("the largest ratio is {worst:.2}; at most {MAX_RATIO} is allowed");
    if worst > MAX_RATIO { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
