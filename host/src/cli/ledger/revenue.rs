//! `coinslot ledger revenue`: sums up the money received.

use clap::{Args, ValueEnum};
use coinslot_ledger::reports::{GroupBy, MoneyKind};
use coinslot_x402::UnixTime;

use super::source::{Source, failed};
use crate::cli::Failure;
use crate::cli::output::{Output, OutputFormat, RecordWriter};
use crate::operate::records::{self, EarningsRecord};
use crate::operate::time;
use crate::operate::units::network_label;

/// Sum up the money received, for each asset and network.
///
/// Payments that are settled, delivered or owed count, on the day (UTC) of their last change, and with
/// them the totals of payments whose rows are pruned.
///
/// Ends with 0 if it has reported, 1 if the ledger cannot be read, 2 for wrong usage or a wrong configuration.
#[derive(Args, Clone, Debug)]
pub(super) struct RevenueArgs {
    /// The groups whose sums are shown.
    #[arg(long, default_value = "asset")]
    by: Grouping,
    /// Only from this time on.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    since: Option<UnixTime>,
    /// Only before this time.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    until: Option<UnixTime>,
}

/// The values of `--by`.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum Grouping {
    Day,
    Endpoint,
    Plugin,
    Asset,
    Payer,
}

pub(super) fn run(source: &Source, args: &RevenueArgs, out: &mut Output<'_>) -> Result<(), Failure> {
    let (reader, units) = source.open()?;
    let (group, by) = match args.by {
        Grouping::Day => (GroupBy::Day, "day"),
        Grouping::Endpoint => (GroupBy::Endpoint, "endpoint"),
        Grouping::Plugin => (GroupBy::Plugin, "plugin"),
        Grouping::Asset => (GroupBy::Asset, "asset"),
        Grouping::Payer => (GroupBy::Payer, "payer"),
    };
    let earned = reader.earned(group, args.since, args.until).map_err(failed)?;
    let format = source.format();
    let title = by.to_uppercase();
    let headings: &[&str] = match args.by {
        Grouping::Asset => &["NETWORK", "AMOUNT", "PAYMENTS", "REFUNDED"],
        _ => &[&title, "NETWORK", "AMOUNT", "PAYMENTS", "REFUNDED"],
    };
    let names = records::names::<EarningsRecord>();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut records = RecordWriter::new(format, &names, headings);
    let mut section = MoneyKind::Revenue;
    for earnings in &earned {
        // Each kind is a table of its own, under its heading; the sums come in the order of the kinds.
        if earnings.kind != section {
            if format == OutputFormat::Table {
                records.end(out, "no money received")?;
                out.note(format, &format!("\n{}", heading(earnings.kind)))?;
                records = RecordWriter::new(format, &names, headings);
            }
            section = earnings.kind;
        }
        records.add(
            out,
            || records::values(&EarningsRecord::of(earnings, by, &units)),
            || {
                let mut cells = vec![
                    network_label(&earnings.network, earnings.kind == MoneyKind::Testnet),
                    units.shown(&earnings.network, &earnings.asset, earnings.amount),
                    earnings.payments.to_string(),
                    match earnings.refunds {
                        0 => "-".to_owned(),
                        _ => units.shown(&earnings.network, &earnings.asset, earnings.refunded),
                    },
                ];
                if group != GroupBy::Asset {
                    cells.insert(0, records::group_text(&earnings.key));
                }
                cells
            },
        )?;
    }
    records.end(out, "no money received")
}

fn heading(kind: MoneyKind) -> &'static str {
    match kind {
        MoneyKind::Revenue => "Received:",
        MoneyKind::SelfPaid => "Paid by its own receiver, no revenue:",
        MoneyKind::Testnet => "On test networks, worth nothing:",
    }
}
