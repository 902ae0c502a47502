//! Prints the figures of a soak: rate, gas, times, repetitions, refusals, and the runs of the host.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::chain::ChainRecords;
use crate::client::{Record, SoakLoad};
use crate::host::HostRun;
use crate::order::End;

/// The highest gas of a payment as a share of the gas of one with a transaction of its own.
const GAS_AIM: f64 = 0.65;

pub(crate) struct Figures<'s> {
    pub(crate) records: &'s [Record],
    pub(crate) ledger: &'s [Value],
    pub(crate) seen: &'s ChainRecords,
    pub(crate) runs: &'s [HostRun],
    /// The gas of a payment that has a transaction of its own.
    pub(crate) single: u64,
    /// The time in which new payments were signed, and the number of answers by its end.
    pub(crate) loaded: Duration,
    pub(crate) paid_under_load: u64,
}

impl Figures<'_> {
    pub(crate) fn print(&self, load: &SoakLoad) {
        let count = |of: fn(&End) -> bool| self.records.iter().filter(|record| of(&record.end)).count();
        println!();
        println!(
            "payments       {} signed: {} answered, {} refused, {} never charged and given up, {} read by version 1 clients that came back late, {} wrong",
            self.records.len(),
            count(|end| matches!(end, End::Bought { .. })),
            count(|end| matches!(end, End::Refused(_))),
            count(|end| matches!(end, End::Gone(_))),
            count(|end| matches!(end, End::HandedOver)),
            count(|end| matches!(end, End::Wrong(_))),
        );
        let rate = self.paid_under_load as f64 / self.loaded.as_secs_f64();
        println!("rate           {rate:.1} payments a second, the restarts included");
        self.print_gas();
        self.print_times();
        let counts = &load.counts;
        println!(
            "clients        {} hung up, {} times a payment was sent again",
            counts.hang_ups.load(Ordering::Relaxed),
            counts.retries.load(Ordering::Relaxed)
        );
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        println!(
            "  payments     {} in version 1, {} sent twice at a time, {} sent again after the answer, {} fetched at the end",
            of(&counts.version_one),
            of(&counts.doubled),
            of(&counts.repeated),
            of(&counts.fetched)
        );
        for (why, times) in counts.reasons() {
            println!("  again        {times:>6}  {why}");
        }
        let mut refused: BTreeMap<&str, u64> = BTreeMap::new();
        for record in self.records {
            if let End::Refused(reason) = &record.end {
                *refused.entry(reason).or_default() += 1;
            }
        }
        for (reason, times) in refused {
            println!("  refused      {times:>6}  {reason}");
        }
        for run in self.runs {
            let [first, last] = run.memory.map(|kib| kib / 1024);
            println!(
                "host           served after {:.1} s with {first} MiB resident, ended with {last} MiB; {} {:.1} s after {}",
                run.starting.as_secs_f64(),
                run.status.as_deref().unwrap_or("unseen"),
                run.ending.as_secs_f64(),
                if run.signal == Some(Signal::KILL) { "SIGKILL" } else { "SIGTERM" },
            );
        }
    }

    fn print_gas(&self) {
        let payments = self.seen.payments.len().max(1) as f64;
        let largest = self.seen.batches.iter().map(|(payments, _)| *payments).max().unwrap_or_default();
        println!(
            "transactions   {} for {} payments, {:.3} each; {largest} payments in the largest; {} transactions in vain",
            self.seen.transactions,
            self.seen.payments.len(),
            self.seen.transactions as f64 / payments,
            self.seen.in_vain
        );
        let (each, single) = (self.seen.gas as f64 / payments, self.single as f64);
        let ratio = each / single;
        let missed = if ratio > GAS_AIM { ", MISSED" } else { "" };
        println!("gas            {each:.0} a payment, {single} one by one: ratio {ratio:.3}, aim {GAS_AIM}{missed}");
        let one_more = slope(&self.seen.batches);
        println!("  one more     {one_more:.0} in a transaction that is sent anyway: ratio {:.3}", one_more / single);
    }

    fn print_times(&self) {
        for (name, column) in
            [("verify", "verifyMicroseconds"), ("run", "runMicroseconds"), ("settle", "settleMicroseconds")]
        {
            let times = self.ledger.iter().filter_map(|row| row[column].as_u64()).map(Duration::from_micros);
            print_percentiles(name, times.collect());
        }
        let first = self.records.iter().filter_map(|record| match &record.end {
            End::Bought { waited, attempts: 1, .. } => Some(*waited),
            _ => None,
        });
        print_percentiles("answer", first.collect());
        let found = |row: &&Value| row["transaction"].is_string() && row["settleMicroseconds"].is_null();
        println!(
            "recovered      {} payments, sent by a host that was killed before their end",
            self.ledger.iter().filter(found).count()
        );
    }
}

/// The gas that one more payment adds to a transaction, by least squares.
fn slope(batches: &[(u64, u64)]) -> f64 {
    let mean =
        |of: fn(&(u64, u64)) -> u64| batches.iter().map(|batch| of(batch) as f64).sum::<f64>() / batches.len() as f64;
    let (payments, gas) = (mean(|batch| batch.0), mean(|batch| batch.1));
    let (mut above, mut below) = (0.0, 0.0);
    for batch in batches {
        let distance = batch.0 as f64 - payments;
        above += distance * (batch.1 as f64 - gas);
        below += distance * distance;
    }
    above / below
}

fn print_percentiles(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| {
        let index = (times.len() as f64 * share) as usize;
        times.get(index.min(times.len().saturating_sub(1))).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    println!("{name:<14} p50 {:.1} ms, p99 {:.1} ms, of {} payments", at(0.50), at(0.99), times.len());
}
