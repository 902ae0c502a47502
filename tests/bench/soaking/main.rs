//! The soak: paid load on a host that is ended twice under it, and then the question whether the clients,
//! the ledger and the chain tell the same story. `tests/bench/soak` starts it, with a chain.
//!
//! The order of things: what a payment costs that is settled by itself; load, with a SIGTERM after a third
//! of the time and a SIGKILL after two thirds; every client waits for its last answer; the ledger finishes
//! what is open; the comparison. Ends with 1 if anything differs.

mod books;
mod chain;
mod client;
mod figures;
mod host;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use rustix::process::Signal;
use tokio::task::JoinSet;

use crate::chain::Anvil;
use crate::client::{Market, Record};
use crate::figures::Figures;
use crate::host::{Host, Life, resident};

/// How often a line says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Longer than any payment can be open: a signature lives five minutes, and blocks lag behind the clock.
const SETTLED_WITHIN: Duration = Duration::from_secs(420);

#[derive(Parser, Debug)]
struct Args {
    /// What anvil.mjs wrote.
    #[arg(long)]
    chain: PathBuf,
    /// The folder of the host: coinslot.toml, plugins, and afterwards its log and its ledger.
    #[arg(long)]
    dir: PathBuf,
    /// The coinslot binary.
    #[arg(long)]
    host: PathBuf,
    /// Of load.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Wallets that pay, of those that the chain has funded. The others pay one by one.
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
    let fresh = wallets.split_off(args.payers.min(wallets.len()));
    let single = anvil.settle_singly(&fresh).await;
    println!("one by one     {} transfers, {} gas each", fresh.len() - 1, single);

    let mut host = Host::new(&args.host, &args.dir);
    let mut lives = vec![host.start().await];
    let market = Arc::new(Market::open(&host.url(), wallets).await);
    let before = anvil.now().await;
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..args.clients {
        clients.spawn(client::shop(Arc::clone(&market)));
    }
    let teller = tokio::spawn(tell(Arc::clone(&market), Arc::clone(&host.process)));

    let third = Duration::from_secs(args.seconds) / 3;
    for signal in [Signal::TERM, Signal::KILL] {
        tokio::time::sleep(third).await;
        end(&mut host, &mut lives, signal).await;
        lives.push(host.start().await);
        let life = lives.last().expect("the one that has just begun");
        println!("{:>6} s  serves again after {:.1} s", began.elapsed().as_secs(), life.starting.as_secs_f64());
    }
    tokio::time::sleep((third * 3).saturating_sub(began.elapsed())).await;
    let (loaded, paid_under_load) = (began.elapsed(), market.counts.answered.load(Ordering::Relaxed));
    market.closed.store(true, Ordering::Relaxed);
    println!("{:>6} s  no new payments; waiting for what is open", loaded.as_secs());

    let mut records: Vec<Record> = Vec::new();
    while let Some(done) = clients.join_next().await {
        records.extend(done.expect("a client that does not panic"));
    }
    teller.abort();
    let open = host.wait_until_settled(SETTLED_WITHIN).await;
    let ledger = host.export();
    let reconciled = host.reconcile();
    let seen = anvil.since(&before).await;
    end(&mut host, &mut lives, Signal::TERM).await;

    let verdict = books::compare(&records, &ledger, &seen, &open, &reconciled, &lives);
    Figures { records: &records, ledger: &ledger, seen: &seen, lives: &lives, single, loaded, paid_under_load }
        .print(&market);
    verdict.print();
    if verdict.agrees() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Ends the host, and notes how.
async fn end(host: &mut Host, lives: &mut [Life], signal: Signal) {
    let life = lives.last_mut().expect("a host that lives");
    host.end(signal, life).await;
    let status = life.status.as_deref().unwrap_or("unseen");
    println!("{:>8}  {status}, {:.1} s after signal {}", "", life.ending.as_secs_f64(), signal.as_raw());
}

/// A line now and then, until aborted.
async fn tell(market: Arc<Market>, process: Arc<AtomicU32>) {
    let began = Instant::now();
    let mut before = 0;
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        let counts = &market.counts;
        let paid = counts.answered.load(Ordering::Relaxed);
        println!(
            "{:>6} s  {paid} paid, {:.1} a second; {} retries, {} hang-ups, {} at it; host {} MiB",
            began.elapsed().as_secs(),
            (paid - before) as f64 / TELL_EVERY.as_secs_f64(),
            counts.retries.load(Ordering::Relaxed),
            counts.hang_ups.load(Ordering::Relaxed),
            counts.at_it.load(Ordering::Relaxed),
            resident(process.load(Ordering::Relaxed)).map_or_else(|| "-".to_owned(), |kib| (kib / 1024).to_string()),
        );
        before = paid;
    }
}
