//! Compares every payment as recorded by its client, the ledger and the chain.

use std::collections::{HashMap, HashSet};

use rustix::process::Signal;
use serde_json::Value;

use crate::chain::{ChainRecords, Spend};
use crate::client::Record;
use crate::host::HostRun;
use crate::order::End;

/// The ledger's states of payments whose money the receiver has.
const RECEIVED: [&str; 3] = ["settled", "delivered", "owed"];

/// The only refusal of a valid payment: the host was killed while the endpoint ran.
const INTERRUPTED: &str = "interrupted";

/// The number of differences that are printed.
const SHOWN: usize = 20;

/// The sums of all sources, and the differences.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    lines: Vec<String>,
    differences: Vec<String>,
}

/// A number of payments and their sum in atomic units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    payments: u64,
    amount: u128,
}

impl Tally {
    fn of(amounts: impl Iterator<Item = u128>) -> Self {
        amounts.fold(Self::default(), |sum, amount| Self { payments: sum.payments + 1, amount: sum.amount + amount })
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>8} payments {:>14} units", self.payments, self.amount)
    }
}

/// Compares the records of clients, ledger and chain, and checks how each run of the host ended. `strangers` has what
/// strangers got that they must not get.
pub(crate) fn compare(
    records: &[Record],
    ledger: &[Value],
    seen: &ChainRecords,
    open: &[Value],
    reconciled: &Option<Value>,
    runs: &[HostRun],
    strangers: &[String],
) -> Verdict {
    let mut verdict = Verdict::default();
    let rows: HashMap<Spend, &Value> = ledger.iter().map(|row| (spend(row), row)).collect();
    let received = |row: &Value| RECEIVED.contains(&row["state"].as_str().unwrap_or_default());
    let booked: HashSet<&Spend> = rows.iter().filter(|(_, row)| received(row)).map(|(spend, _)| spend).collect();
    let clients: HashMap<Spend, &Record> = records.iter().map(|record| (record.spend(), record)).collect();

    for (spend, record) in &clients {
        let on_chain = seen.payments.get(spend);
        let row = rows.get(spend).copied();
        let transaction = row.and_then(|row| row["transaction"].as_str()).map(str::to_lowercase);
        let problem = match &record.end {
            End::Bought { transaction: receipt, .. } => match on_chain {
                None => "a receipt, and nothing on chain",
                Some((amount, _)) if *amount != record.amount => "another amount on chain",
                Some((_, settled)) if settled != receipt => "another transaction on chain than in the receipt",
                Some(_) if !booked.contains(spend) => "a receipt, and not booked",
                Some(_) => "",
            },
            End::Refused(_) if on_chain.is_some() => "refused, and money on chain",
            End::Refused(_) if booked.contains(spend) => "refused, and booked",
            End::Refused(reason) if reason != INTERRUPTED => "a good payment refused",
            End::Refused(_) => "",
            // Whatever was charged has been fetched by now.
            End::Gone(_) if on_chain.is_some() => "charged, and never fetched",
            End::Gone(_) if booked.contains(spend) => "gone, and booked",
            End::Gone(_) => "",
            End::HandedOver if row.is_none_or(|row| row["state"] != "delivered") => "charged, and nothing given",
            End::HandedOver => "",
            End::Wrong(what) => what,
        };
        verdict.unless(problem.is_empty(), || format!("{problem}: {spend:?}, {:?}, {row:?}", record.end));
        let same = match (on_chain, &transaction) {
            (Some((_, settled)), Some(booked)) => settled == booked,
            (Some(_), None) => false,
            (None, _) => true,
        };
        verdict.unless(same, || format!("another transaction on chain than in the ledger: {spend:?}, {row:?}"));
        let owed = row.is_some_and(|row| row["state"] == "owed");
        verdict.unless(!owed, || format!("owed to a client that came back: {row:?}"));
    }
    for spend in seen.spends().difference(&booked) {
        verdict.differ(format!("on chain and not booked: {spend:?}"));
    }
    for spend in booked.difference(&seen.spends()) {
        verdict.differ(format!("booked and not on chain: {spend:?}"));
    }
    for spend in rows.keys().chain(seen.payments.keys()).filter(|spend| !clients.contains_key(*spend)) {
        verdict.differ(format!("no client's payment: {spend:?}"));
    }
    verdict.unless(clients.len() == records.len(), || "two payments with one nonce".to_owned());
    for finding in strangers {
        verdict.differ(format!("to a stranger: {finding}"));
    }
    for row in open {
        verdict.differ(format!("not finished: {row}"));
    }
    let agrees = reconciled.as_ref().is_some_and(|report| report["agrees"] == true);
    verdict.unless(agrees, || format!("coinslot ledger reconcile: {reconciled:?}"));
    for run in runs.iter().filter(|run| run.signal == Some(Signal::TERM)) {
        let gentle = run.status.as_deref() == Some("exit status: 0");
        verdict.unless(gentle, || format!("SIGTERM ended the host with {:?}", run.status));
        verdict.unless(run.left == 0, || format!("SIGTERM left {} payments at work", run.left));
    }
    verdict.sum(records, ledger, seen, received);
    verdict
}

impl Verdict {
    fn sum(&mut self, records: &[Record], ledger: &[Value], seen: &ChainRecords, received: impl Fn(&Value) -> bool) {
        let bought = records.iter().filter(|record| matches!(record.end, End::Bought { .. }));
        let receipts = Tally::of(bought.map(|record| record.amount));
        let handed_over = records.iter().filter(|record| matches!(record.end, End::HandedOver));
        let late = Tally::of(handed_over.map(|record| record.amount));
        let clients = Tally { payments: receipts.payments + late.payments, amount: receipts.amount + late.amount };
        let amount = |row: &Value| row["atomicAmount"].as_str().and_then(|digits| digits.parse().ok()).unwrap_or(0);
        let ledger = Tally::of(ledger.iter().filter(|row| received(row)).map(amount));
        let chain = Tally { payments: seen.transfers, amount: seen.transferred };
        self.lines = vec![
            format!("receipts       {receipts}"),
            format!("handed over    {late}, to version 1 clients that came back late"),
            format!("ledger         {ledger}"),
            format!("chain          {chain}, by Transfer logs"),
            format!("balance        {:>8}          {:>14} units more", "", seen.received),
        ];
        self.unless(clients == ledger, || format!("clients have {clients}, the ledger {ledger}"));
        self.unless(ledger == chain, || format!("the ledger has {ledger}, the chain {chain}"));
        self.unless(chain.amount == seen.received, || format!("{chain}, and a balance of {} more", seen.received));
    }

    fn differ(&mut self, what: String) {
        self.differences.push(what);
    }

    fn unless(&mut self, right: bool, what: impl FnOnce() -> String) {
        if !right {
            self.differ(what());
        }
    }

    pub(crate) fn agrees(&self) -> bool {
        self.differences.is_empty()
    }

    pub(crate) fn print(&self) {
        println!();
        for line in &self.lines {
            println!("{line}");
        }
        for difference in self.differences.iter().take(SHOWN) {
            println!("DIFFERS: {difference}");
        }
        match self.differences.len() {
            0 => println!("clients, ledger and chain agree"),
            many => println!("{many} differences"),
        }
    }
}

fn spend(row: &Value) -> Spend {
    let of = |name: &str| row[name].as_str().unwrap_or_default().to_lowercase();
    (of("payer"), of("nonce"))
}

#[cfg(test)]
mod tests;
