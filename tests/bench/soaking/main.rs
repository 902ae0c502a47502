//! Puts paid load on a host that is ended twice meanwhile, and compares clients, ledger and chain afterwards.
//! `tests/bench/soak` starts this program together with a chain.
//!
//! The steps: measure the gas of payments that are settled one by one; load, with a SIGTERM after a third of the time
//! and a SIGKILL after two thirds, a time without blocks after half, while strangers replay settled payments; wait for
//! the last answer of every client; wait until the ledger has no open payment; fetch what was charged and never
//! fetched; compare. The program ends with 1 if anything differs.

mod chain;
mod client;
mod comparison;
mod figures;
mod host;
mod order;
mod stranger;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use rustix::process::Signal;
use tokio::task::JoinSet;

use crate::chain::Anvil;
use crate::client::{Record, SoakLoad};
use crate::figures::Figures;
use crate::host::{HostRun, SoakHost, resident};
use crate::stranger::Strangers;

/// For so many clients there is one stranger, who replays the payments of others.
const CLIENTS_PER_STRANGER: usize = 10;

/// The time between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Longer than any payment can be open: a signature runs five minutes, and blocks lag behind the clock.
const SETTLED_WITHIN: Duration = Duration::from_secs(420);

#[derive(Parser, Debug)]
struct Args {
    /// The file of anvil.mjs.
    #[arg(long)]
    chain: PathBuf,
    /// The folder of the host: coinslot.toml, plugins, and afterwards its log and its ledger.
    #[arg(long)]
    dir: PathBuf,
    /// The coinslot binary.
    #[arg(long)]
    host: PathBuf,
    /// The time of load.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Funded wallets that pay under load. The others pay one by one.
    #[arg(long, default_value_t = 64)]
    payers: usize,
    /// Clients that pay at the same time.
    #[arg(long, default_value_t = 192)]
    clients: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let (anvil, mut wallets) = Anvil::read(&args.chain);
    let anvil = Arc::new(anvil);
    let fresh = wallets.split_off(args.payers.min(wallets.len()));
    let single = anvil.settle_singly(&fresh).await;
    println!("one by one     {} transfers, {} gas each", fresh.len() - 1, single);

    let mut host = SoakHost::new(&args.host, &args.dir);
    let mut runs = vec![host.start().await];
    let load = Arc::new(SoakLoad::open(&host.url(), wallets).await);
    let before = anvil.now().await;
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..args.clients {
        clients.spawn(client::buy_repeatedly(Arc::clone(&load)));
    }
    let strangers = Arc::new(Strangers::default());
    let mut replaying = JoinSet::new();
    for number in 0..args.clients / CLIENTS_PER_STRANGER {
        let (load, anvil, strangers) = (Arc::clone(&load), Arc::clone(&anvil), Arc::clone(&strangers));
        replaying.spawn(stranger::replay_repeatedly(load, anvil, strangers, number));
    }
    let progress = tokio::spawn(print_progress(Arc::clone(&load), Arc::clone(&host.process)));

    let third = Duration::from_secs(args.seconds) / 3;
    for signal in [Signal::TERM, Signal::KILL] {
        if signal == Signal::KILL {
            // Clients whose settlements wait for a block get 503 and come again.
            tokio::time::sleep(third / 2).await;
            anvil.pause_blocks(third / 5).await;
            println!("{:>6} s  made no block for {:.0} s", began.elapsed().as_secs(), (third / 5).as_secs_f64());
        }
        let due = third * if signal == Signal::KILL { 2 } else { 1 };
        tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
        end(&mut host, &mut runs, signal).await;
        runs.push(host.start().await);
        let run = runs.last().expect("the run that has just begun");
        println!("{:>6} s  serves again after {:.1} s", began.elapsed().as_secs(), run.starting.as_secs_f64());
    }
    tokio::time::sleep((third * 3).saturating_sub(began.elapsed())).await;
    let (loaded, paid_under_load) = (began.elapsed(), load.counts.answered.load(Ordering::Relaxed));
    load.closed.store(true, Ordering::Relaxed);
    println!("{:>6} s  no new payments; waiting for open payments", loaded.as_secs());

    let mut records: Vec<Record> = Vec::new();
    while let Some(done) = clients.join_next().await {
        records.extend(done.expect("a client that does not panic"));
    }
    replaying.join_all().await;
    progress.abort();
    let open = host.wait_until_settled(SETTLED_WITHIN).await;
    let records = client::fetch_charged(&load, records, &anvil.since(&before).await).await;
    let ledger = host.export();
    let reconciled = host.reconcile();
    let seen = anvil.since(&before).await;
    end(&mut host, &mut runs, Signal::TERM).await;

    let verdict = comparison::compare(&records, &ledger, &seen, &open, &reconciled, &runs, &strangers.findings());
    Figures { records: &records, ledger: &ledger, seen: &seen, runs: &runs, single, loaded, paid_under_load }
        .print(&load);
    strangers.print();
    verdict.print();
    if verdict.agrees() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Ends the host and prints its exit status.
async fn end(host: &mut SoakHost, runs: &mut [HostRun], signal: Signal) {
    let run = runs.last_mut().expect("a host that runs");
    host.end(signal, run).await;
    let status = run.status.as_deref().unwrap_or("unseen");
    println!("{:>8}  {status}, {:.1} s after signal {}", "", run.ending.as_secs_f64(), signal.as_raw());
}

/// Prints a line of progress every ten seconds, until aborted.
async fn print_progress(load: Arc<SoakLoad>, process: Arc<AtomicU32>) {
    let began = Instant::now();
    let mut before = 0;
    loop {
        tokio::time::sleep(PROGRESS_EVERY).await;
        let counts = &load.counts;
        let paid = counts.answered.load(Ordering::Relaxed);
        println!(
            "{:>6} s  {paid} paid, {:.1} a second; {} retries, {} hang-ups, {} in progress; host {} MiB",
            began.elapsed().as_secs(),
            (paid - before) as f64 / PROGRESS_EVERY.as_secs_f64(),
            counts.retries.load(Ordering::Relaxed),
            counts.hang_ups.load(Ordering::Relaxed),
            counts.in_progress.load(Ordering::Relaxed),
            resident(process.load(Ordering::Relaxed)).map_or_else(|| "-".to_owned(), |kib| (kib / 1024).to_string()),
        );
        before = paid;
    }
}
