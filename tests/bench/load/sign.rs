//! Signs payments ahead of the measurement.

use std::fmt::Write as _;
use std::path::PathBuf;

use coinslot_tests::Wallet;
use serde_json::Value;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A file with the offer that the payments accept, an entry of `accepts`.
    #[arg(long)]
    terms: PathBuf,
    /// The number of payments.
    #[arg(long)]
    count: usize,
    /// The number of payers without money, who sign by turns.
    #[arg(long, default_value_t = 64)]
    payers: usize,
    /// A file of anvil.mjs whose `payers` sign instead.
    #[arg(long)]
    keys: Option<PathBuf>,
    #[arg(long)]
    out: PathBuf,
}

pub(crate) fn sign(arguments: &Arguments) {
    let terms = super::json(&super::read(&arguments.terms));
    let wallets = match &arguments.keys {
        Some(path) => funded(&super::json(&super::read(path))),
        None => (0..arguments.payers).map(|_| Wallet::poor()).collect(),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let lines = |first: usize| {
        let mut lines = String::new();
        for index in (first..arguments.count).step_by(threads) {
            let payment = wallets[index % wallets.len()].pay_entry(&terms);
            writeln!(lines, "{}", payment.document["payload"]).expect("memory");
        }
        lines
    };
    let all: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|first| scope.spawn(move || lines(first))).collect();
        workers.into_iter().map(|worker| worker.join().expect("signatures")).collect()
    });
    std::fs::write(&arguments.out, all.concat()).expect("a file for the payments");
}

fn funded(chain: &Value) -> Vec<Wallet> {
    let payers = chain["payers"].as_array().expect("payers");
    payers.iter().map(|payer| Wallet::from_key(payer["privateKey"].as_str().expect("a key"))).collect()
}
