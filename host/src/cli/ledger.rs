//! `coinslot ledger`: the books, read beside a running host or without one.
//!
//! Exit codes: 0 done, 1 the books or the chain cannot be read, 2 wrong usage; `reconcile` ends with 3
//! when ledger and chain differ.

mod reconcile;
mod show;
#[cfg(test)]
mod tests;
pub(super) mod time;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::Failure;
use crate::config::Config;
use coinslot_ledger::PaymentState;
use coinslot_ledger::reports::{ClaimOrder, Earnings, Filter, GroupBy, GroupKey, LedgerReader, MoneyKind, PaymentRow};
use coinslot_x402::price::{Amount, Asset};
use coinslot_x402::{Network, UnixTime};
use show::{Format, Lines, Out};

/// Read the books: payments, revenue, what is owed, an export, and the chain's word on all of it.
///
/// Reads the ledger without changing it, beside the host that writes it. On a terminal everything is a
/// table; into a pipe or a file go JSON lines, and --format decides otherwise. Payments on test networks
/// stand apart and are never revenue.
#[derive(Args, Clone, Debug)]
pub struct LedgerArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Clone, Debug)]
enum Command {
    Payments(PaymentsArgs),
    Revenue(RevenueArgs),
    Owed(OwedArgs),
    Export(ExportArgs),
    Reconcile(reconcile::ReconcileArgs),
}

/// Which ledger, and how it is shown.
#[derive(Args, Clone, Debug)]
struct Source {
    /// The configuration whose ledger it is.
    #[arg(short, long, default_value = "coinslot.toml", value_name = "FILE", conflicts_with = "file")]
    config: PathBuf,
    /// The ledger's file itself.
    #[arg(long, value_name = "LEDGER")]
    file: Option<PathBuf>,
    /// `table`, `json` (a line for each) or `csv`. A table on a terminal, JSON elsewhere.
    #[arg(long)]
    format: Option<Format>,
}

/// List payments, the newest first.
#[derive(Args, Clone, Debug)]
struct PaymentsArgs {
    #[command(flatten)]
    source: Source,
    /// Only in this state; repeatable.
    #[arg(long, value_parser = state())]
    state: Vec<PaymentState>,
    /// Only for this endpoint: `GET /api/x`, or the path alone.
    #[arg(long)]
    endpoint: Option<String>,
    /// Only by this payer.
    #[arg(long, value_name = "ADDRESS")]
    payer: Option<String>,
    /// Only from this time on: `2026-01-31`, `2026-01-31T12:00:00Z`, Unix seconds, or `24h` ago (s, m, h, d, w).
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    since: Option<UnixTime>,
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

/// Sum up the money received, for each asset and network.
///
/// Payments that are settled, delivered or owed count, on the day (UTC) of their last change, and with
/// them the totals of payments whose rows are pruned.
#[derive(Args, Clone, Debug)]
struct RevenueArgs {
    #[command(flatten)]
    source: Source,
    /// Told apart by what.
    #[arg(long, default_value = "asset")]
    by: SettledBy,
    /// Only from this time on.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    since: Option<UnixTime>,
    /// Only before this time.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    until: Option<UnixTime>,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum SettledBy {
    Day,
    Endpoint,
    Plugin,
    Asset,
    Payer,
}

/// List payments that were received and bought nothing yet, the oldest first.
#[derive(Args, Clone, Debug)]
struct OwedArgs {
    #[command(flatten)]
    source: Source,
}

/// Write every payment with all its columns, the oldest first: JSON lines unless --format says otherwise.
///
/// The signed payments and the answers stay in the ledger; of both only digests go out.
#[derive(Args, Clone, Debug)]
struct ExportArgs {
    #[command(flatten)]
    source: Source,
    /// Only from this time on.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    since: Option<UnixTime>,
    /// Only before this time.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    until: Option<UnixTime>,
}

/// Reads and shows.
pub async fn run(args: LedgerArgs) -> Result<(), Failure> {
    match args.command {
        Command::Payments(args) => payments(&args, &mut Out::stdout()),
        Command::Revenue(args) => revenue(&args, &mut Out::stdout()),
        Command::Owed(args) => owed(&args, &mut Out::stdout()),
        Command::Export(args) => export(&args, &mut Out::stdout()),
        Command::Reconcile(args) => reconcile::run(args, &mut Out::stdout()).await,
    }
}

fn state() -> impl TypedValueParser<Value = PaymentState> {
    PossibleValuesParser::new(PaymentState::ALL.map(PaymentState::as_str))
        .try_map(|text| PaymentState::parse(&text).ok_or("no state of a payment"))
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(error.to_string())
}

impl Source {
    /// The ledger's file, and the configuration unless the file was named.
    fn find(&self) -> Result<(PathBuf, Option<Config>), Failure> {
        if let Some(file) = &self.file {
            return Ok((file.clone(), None));
        }
        if !self.config.exists() {
            let shown = self.config.display();
            return Err(Failure::usage(format!(
                "there is no {shown}: name the configuration with --config, or a ledger with --file"
            )));
        }
        let config = Config::read(&self.config).map_err(|problems| Failure::usage(problems.to_string()))?;
        Ok((config.state.ledger(), Some(config)))
    }

    fn open(&self) -> Result<(LedgerReader, Units), Failure> {
        let (file, config) = self.find()?;
        Ok((books(&file)?, Units::of(config.as_ref())))
    }

    fn format(&self) -> Format {
        self.format.unwrap_or(if std::io::stdout().is_terminal() { Format::Table } else { Format::Json })
    }
}

fn books(file: &Path) -> Result<LedgerReader, Failure> {
    LedgerReader::open(file).map_err(failed)
}

/// The assets whose amounts can be written in decimals: those of the table, and those of the configuration.
#[derive(Clone, Debug, Default)]
struct Units {
    own: Vec<Asset>,
}

impl Units {
    fn of(config: Option<&Config>) -> Self {
        let own =
            config.into_iter().flat_map(|config| &config.payment.accepts).map(|entry| (*entry.accept.asset).clone());
        Self { own: own.collect() }
    }

    fn asset(&self, network: &Network, address: &str) -> Option<Asset> {
        let own =
            self.own.iter().find(|asset| asset.network == *network && asset.address.eq_ignore_ascii_case(address));
        own.cloned().or_else(|| Asset::at(network, address))
    }

    /// `0.01 USDC`; `10000 units of 0x..` of an asset whose decimals nobody told us.
    fn shown(&self, network: &Network, address: &str, amount: Amount) -> String {
        match self.asset(network, address) {
            Some(asset) => format!("{} {}", amount.decimal(asset.decimals), asset.symbol),
            None => format!("{amount} units of {address}"),
        }
    }

    /// Symbol and decimal amount, null where they are not known, and atomic units.
    fn values(&self, network: &Network, address: &str, amount: Amount) -> [Value; 3] {
        let asset = self.asset(network, address);
        let decimal = asset.as_ref().map(|asset| amount.decimal(asset.decimals));
        [json!(asset.map(|asset| asset.symbol)), json!(decimal), json!(amount.to_string())]
    }
}

/// Names of what [`record`] gives, in its order. They are the columns of an export: none is ever renamed
/// or moved, new ones come last.
const COLUMNS: &[&str] = &[
    "paymentId",
    "state",
    "flow",
    "createdAt",
    "updatedAt",
    "validBefore",
    "network",
    "testnet",
    "asset",
    "symbol",
    "amount",
    "atomicAmount",
    "payer",
    "payTo",
    "nonce",
    "transaction",
    "reason",
    "endpoint",
    "plugin",
    "generation",
    "identifier",
    "paymentDigest",
    "requestDigest",
    "verifyMicroseconds",
    "runMicroseconds",
    "settleMicroseconds",
];

fn record(row: &PaymentRow, units: &Units) -> Vec<Value> {
    let [symbol, amount, atomic] = units.values(&row.network, &row.asset, row.amount);
    vec![
        json!(row.payment_id),
        json!(row.state.as_str()),
        json!(row.flow),
        json!(time::shown(row.created_at)),
        json!(time::shown(row.updated_at)),
        json!(time::shown(row.valid_before)),
        json!(row.network),
        json!(row.testnet),
        json!(row.asset),
        symbol,
        amount,
        atomic,
        json!(row.payer),
        json!(row.pay_to),
        json!(row.nonce),
        json!(row.transaction),
        json!(row.reason),
        json!(row.endpoint),
        json!(row.plugin),
        json!(row.generation),
        json!(row.identifier),
        json!(row.payment_digest),
        json!(row.request_digest),
        json!(row.verify_us),
        json!(row.run_us),
        json!(row.settle_us),
    ]
}

/// `eip155:84532 (test)`.
fn place(network: &Network, testnet: bool) -> String {
    if testnet { format!("{network} (test)") } else { network.to_string() }
}

fn payments(args: &PaymentsArgs, out: &mut Out<'_>) -> Result<(), Failure> {
    let (books, units) = args.source.open()?;
    let filter = Filter {
        states: args.state.clone(),
        endpoint: args.endpoint.clone(),
        payer: args.payer.clone(),
        since: args.since,
        until: None,
        order: ClaimOrder::NewestFirst,
        limit: Some(args.limit.saturating_add(1)),
    };
    let mut selection = books.select(&filter).map_err(failed)?;
    let mut lines = Lines::new(
        args.source.format(),
        COLUMNS,
        &["TIME", "STATE", "AMOUNT", "NETWORK", "ENDPOINT", "PAYER", "TRANSACTION", "PAYMENT"],
    );
    let mut left = args.limit;
    let mut more = false;
    for row in selection.rows().map_err(failed)? {
        let row = row.map_err(failed)?;
        if left == 0 {
            more = true;
            break;
        }
        left -= 1;
        lines.add(
            out,
            || record(&row, &units),
            || {
                vec![
                    time::shown(row.created_at),
                    row.state.as_str().to_owned(),
                    units.shown(&row.network, &row.asset, row.amount),
                    place(&row.network, row.testnet),
                    row.endpoint.clone(),
                    show::short(&row.payer),
                    row.transaction.as_deref().map_or_else(|| "-".to_owned(), show::short),
                    row.payment_id.clone(),
                ]
            },
        )?;
    }
    lines.end(out, "no payments")?;
    if more {
        out.note(lines.format(), &format!("the newest {}; --limit shows more, `ledger export` all", args.limit))?;
    }
    Ok(())
}

const REVENUE: &[&str] = &["kind", "by", "key", "network", "asset", "symbol", "payments", "amount", "atomicAmount"];

fn revenue(args: &RevenueArgs, out: &mut Out<'_>) -> Result<(), Failure> {
    let (books, units) = args.source.open()?;
    let (group, by) = match args.by {
        SettledBy::Day => (GroupBy::Day, "day"),
        SettledBy::Endpoint => (GroupBy::Endpoint, "endpoint"),
        SettledBy::Plugin => (GroupBy::Plugin, "plugin"),
        SettledBy::Asset => (GroupBy::Asset, "asset"),
        SettledBy::Payer => (GroupBy::Payer, "payer"),
    };
    let earned = books.earned(group, args.since, args.until).map_err(failed)?;
    let format = args.source.format();
    let title = by.to_uppercase();
    let headings: &[&str] = match args.by {
        SettledBy::Asset => &["NETWORK", "AMOUNT", "PAYMENTS"],
        _ => &[&title, "NETWORK", "AMOUNT", "PAYMENTS"],
    };
    let mut lines = Lines::new(format, REVENUE, headings);
    let mut section = MoneyKind::Revenue;
    for line in &earned {
        if line.kind != section {
            if format == Format::Table {
                lines.end(out, "no money received")?;
                out.note(format, &format!("\n{}", heading(line.kind)))?;
                lines = Lines::new(format, REVENUE, headings);
            }
            section = line.kind;
        }
        lines.add(
            out,
            || earned_record(line, by, &units),
            || {
                let mut cells = vec![
                    place(&line.network, line.kind == MoneyKind::Testnet),
                    units.shown(&line.network, &line.asset, line.amount),
                    line.payments.to_string(),
                ];
                if group != GroupBy::Asset {
                    cells.insert(0, named(&line.key));
                }
                cells
            },
        )?;
    }
    lines.end(out, "no money received")
}

fn heading(kind: MoneyKind) -> &'static str {
    match kind {
        MoneyKind::Revenue => "Received:",
        MoneyKind::SelfPaid => "Paid by its own receiver, no revenue:",
        MoneyKind::Testnet => "On test networks, worth nothing:",
    }
}

fn named(key: &GroupKey) -> String {
    match key {
        GroupKey::All => "all".to_owned(),
        GroupKey::Day(day) => time::day(*day),
        GroupKey::Name(name) => name.clone(),
        GroupKey::Pruned => "(pruned)".to_owned(),
    }
}

fn earned_record(line: &Earnings, by: &str, units: &Units) -> Vec<Value> {
    let kind = match line.kind {
        MoneyKind::Revenue => "revenue",
        MoneyKind::SelfPaid => "self",
        MoneyKind::Testnet => "testnet",
    };
    let [symbol, amount, atomic] = units.values(&line.network, &line.asset, line.amount);
    vec![
        json!(kind),
        json!(by),
        json!(named(&line.key)),
        json!(line.network),
        json!(line.asset),
        symbol,
        json!(line.payments),
        amount,
        atomic,
    ]
}

const OWED: &[&str] = &[
    "paymentId",
    "payer",
    "network",
    "testnet",
    "asset",
    "symbol",
    "amount",
    "atomicAmount",
    "endpoint",
    "since",
    "reason",
    "transaction",
    "makeGood",
];

fn owed(args: &OwedArgs, out: &mut Out<'_>) -> Result<(), Failure> {
    let (books, units) = args.source.open()?;
    let filter = Filter { states: vec![PaymentState::Owed], order: ClaimOrder::OldestFirst, ..Filter::default() };
    let mut selection = books.select(&filter).map_err(failed)?;
    let format = args.source.format();
    let headings = &["SINCE", "AMOUNT", "NETWORK", "PAYER", "ENDPOINT", "REASON", "PAYMENT"];
    let mut lines = Lines::new(format, OWED, headings);
    // Test networks last: nothing is due there.
    let mut rows = selection.rows().map_err(failed)?.collect::<Result<Vec<PaymentRow>, _>>().map_err(failed)?;
    rows.sort_by_key(|row| row.testnet);
    for row in &rows {
        let due = units.shown(&row.network, &row.asset, row.amount);
        lines.add(
            out,
            || {
                let [symbol, amount, atomic] = units.values(&row.network, &row.asset, row.amount);
                let make_good = format!(
                    "the payer sends the same request with the same payment again, and it runs without another charge; or send {due} on {} to {}",
                    row.network, row.payer
                );
                vec![
                    json!(row.payment_id),
                    json!(row.payer),
                    json!(row.network),
                    json!(row.testnet),
                    json!(row.asset),
                    symbol,
                    amount,
                    atomic,
                    json!(row.endpoint),
                    json!(time::shown(row.updated_at)),
                    json!(row.reason),
                    json!(row.transaction),
                    json!(make_good),
                ]
            },
            || {
                vec![
                    time::shown(row.updated_at),
                    due.clone(),
                    place(&row.network, row.testnet),
                    row.payer.clone(),
                    row.endpoint.clone(),
                    row.reason.clone().unwrap_or_else(|| "-".to_owned()),
                    row.payment_id.clone(),
                ]
            },
        )?;
    }
    lines.end(out, "nothing is owed")?;
    if !rows.is_empty() {
        let how = "To make good: the payer sends the same request with the same payment again, and it runs without another\ncharge; or send the amount back to the payer.";
        out.note(format, how)?;
    }
    Ok(())
}

fn export(args: &ExportArgs, out: &mut Out<'_>) -> Result<(), Failure> {
    let (books, units) = args.source.open()?;
    let filter = Filter { since: args.since, until: args.until, order: ClaimOrder::OldestFirst, ..Filter::default() };
    let mut selection = books.select(&filter).map_err(failed)?;
    // On a terminal, too: an export is for programs.
    let format = args.source.format.unwrap_or(Format::Json);
    let mut lines = Lines::new(format, COLUMNS, COLUMNS);
    for row in selection.rows().map_err(failed)? {
        let row = row.map_err(failed)?;
        lines.add(out, || record(&row, &units), || record(&row, &units).iter().map(show::plain).collect())?;
    }
    lines.end(out, "no payments")
}

fn now() -> UnixTime {
    SystemTime::now().into()
}
