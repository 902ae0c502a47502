//! The books: what the ledger's file says, read beside the host that writes it.
//!
//! Read-only, and without the host's lock: SQLite gives a reader one consistent state while payments
//! go on. [`LedgerReader::open`] takes that state, and every question is answered from it, so that a row that
//! is pruned meanwhile is counted once. Amounts are summed in atomic units of one asset on one network
//! and never across them; money on test networks is a kind of its own.

pub mod reconcile;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use alloy_primitives::hex;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, Statement, params, params_from_iter};

use crate::PaymentState;
use crate::sqlite::schema;
use coinslot_x402::price::Amount;
use coinslot_x402::{Network, UnixTime};

/// How long a reader waits for a host that is just starting or closing the file.
const BUSY: Duration = Duration::from_secs(5);

/// One state of a ledger.
#[derive(Debug)]
pub struct LedgerReader {
    connection: Connection,
}

/// Why the books cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    #[error("there is no ledger at {0}: a host makes it when it first serves")]
    Missing(String),
    #[error("the ledger {path} cannot be read: {reason}")]
    Unreadable { path: String, reason: String },
    #[error("{0} is not a ledger but another program's file")]
    Foreign(String),
    #[error(
        "the ledger {path} has schema version {found}, and this Coinslot reads up to {known}: use the newer Coinslot that wrote it"
    )]
    Newer { path: String, found: i64, known: i64 },
    #[error(
        "the ledger {path} has schema version {found}, and this Coinslot reads {known}: start the host with it once, which upgrades the file"
    )]
    Older { path: String, found: i64, known: i64 },
    #[error("the ledger cannot be read: {0}")]
    Query(String),
    #[error("payment {payment}: `{value}` is no {column}")]
    Malformed { payment: String, column: &'static str, value: String },
    #[error("a sum exceeds 256 bits")]
    Overflow,
}

impl From<rusqlite::Error> for ReportError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Query(error.to_string())
    }
}

/// One payment with everything that the file says of it, except its signed payment and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRow {
    pub payment_id: String,
    pub state: PaymentState,
    pub flow: String,
    pub network: Network,
    pub asset: String,
    pub payer: String,
    pub nonce: String,
    pub amount: Amount,
    pub pay_to: String,
    /// Worth nothing.
    pub testnet: bool,
    pub endpoint: String,
    pub plugin: String,
    pub generation: u64,
    /// SHA-256 of the signed payment and of the request, in hex.
    pub payment_digest: String,
    pub request_digest: String,
    pub identifier: Option<String>,
    /// Whether a settlement is recorded.
    pub paid: bool,
    pub reason: Option<String>,
    pub transaction: Option<String>,
    pub valid_before: UnixTime,
    /// How long each part took, in microseconds.
    pub verify_us: Option<u64>,
    pub run_us: Option<u64>,
    pub settle_us: Option<u64>,
    pub created_at: UnixTime,
    pub updated_at: UnixTime,
}

impl PaymentRow {
    /// Whether its money is with the receiver. A payment that is settled first has it while it executes.
    pub fn received(&self) -> bool {
        match self.state {
            PaymentState::Settled | PaymentState::Delivered | PaymentState::Owed => true,
            PaymentState::Executing => self.paid,
            PaymentState::Reserved | PaymentState::Settling | PaymentState::Unknown | PaymentState::Refused => false,
        }
    }
}

/// [`PaymentRow::received`] in SQL.
const RECEIVED: &str =
    "(state IN ('settled', 'delivered', 'owed') OR (state = 'executing' AND settlement IS NOT NULL))";

/// Which payments.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// All of them if empty.
    pub states: Vec<PaymentState>,
    /// `GET /api/gitignore`, or the path alone.
    pub endpoint: Option<String>,
    /// In any case of letters.
    pub payer: Option<String>,
    /// Claimed at this time or later.
    pub since: Option<UnixTime>,
    /// Claimed before this time.
    pub until: Option<UnixTime>,
    pub order: ClaimOrder,
    pub limit: Option<u32>,
}

/// By the time of the claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClaimOrder {
    #[default]
    NewestFirst,
    OldestFirst,
}

/// What earnings are told apart by, beside network and asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupBy {
    Day,
    Endpoint,
    Plugin,
    Asset,
    Payer,
}

/// What a line of earnings is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupKey {
    /// All of an asset.
    All,
    /// Days since 1970, in UTC.
    Day(u64),
    Name(String),
    /// Payments whose rows are pruned: who paid is forgotten.
    Pruned,
}

/// What money is worth to the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MoneyKind {
    /// Earned.
    Revenue,
    /// Moved from an address to itself: nobody's revenue. Totals of pruned rows no longer tell it apart.
    SelfPaid,
    /// On a test network: worth nothing.
    Testnet,
}

/// What one group earned in one asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earnings {
    pub kind: MoneyKind,
    pub key: GroupKey,
    pub network: Network,
    pub asset: String,
    pub payments: u64,
    pub amount: Amount,
}

/// What pruned rows earned on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrunedTotal {
    /// Days since 1970: when the rows were last changed.
    pub day: u64,
    pub network: Network,
    pub asset: String,
    pub pay_to: String,
    pub plugin: String,
    pub endpoint: String,
    pub testnet: bool,
    pub payments: u64,
    pub amount: Amount,
}

/// Seconds.
pub const DAY: u64 = 24 * 60 * 60;

impl LedgerReader {
    /// Opens a ledger for reading; creates and changes nothing.
    pub fn open(path: &Path) -> Result<Self, ReportError> {
        let shown = path.display().to_string();
        if !path.exists() {
            return Err(ReportError::Missing(shown));
        }
        let unreadable = |error: rusqlite::Error| match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => ReportError::Foreign(shown.clone()),
            _ => ReportError::Unreadable { path: shown.clone(), reason: error.to_string() },
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(unreadable)?;
        connection.busy_timeout(BUSY).map_err(unreadable)?;
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(unreadable);
        if pragma("application_id")? != schema::APPLICATION_ID {
            return Err(ReportError::Foreign(shown));
        }
        let (found, known) = (pragma("user_version")?, schema::current_version());
        match found.cmp(&known) {
            std::cmp::Ordering::Greater => return Err(ReportError::Newer { path: shown, found, known }),
            std::cmp::Ordering::Less => return Err(ReportError::Older { path: shown, found, known }),
            std::cmp::Ordering::Equal => {}
        }
        // From the first read on, everything is read as of one moment.
        connection.execute_batch("BEGIN").map_err(unreadable)?;
        Ok(Self { connection })
    }

    /// The payments that the filter names.
    pub fn select(&self, filter: &Filter) -> Result<Selection<'_>, ReportError> {
        let states = if filter.states.is_empty() { &PaymentState::ALL[..] } else { &filter.states };
        let states: Vec<String> = states.iter().map(|state| format!("'{}'", state.as_str())).collect();
        let order = match filter.order {
            ClaimOrder::NewestFirst => "DESC",
            ClaimOrder::OldestFirst => "ASC",
        };
        let statement = self.connection.prepare(&format!(
            "SELECT payment_id, state, flow, network, asset, payer, nonce, amount, pay_to, testnet, endpoint, plugin,
                generation, payment, request, identifier, settlement IS NOT NULL, reason, tx, valid_before,
                verify_us, run_us, settle_us, created_at, updated_at
             FROM payment WHERE created_at >= ?1 AND created_at < ?2
                AND (?3 IS NULL OR endpoint = ?3 OR substr(endpoint, instr(endpoint, ' ') + 1) = ?3)
                AND (?4 IS NULL OR lower(payer) = lower(?4)) AND state IN ({})
             ORDER BY created_at {order}, payment_id LIMIT ?5",
            states.join(", ")
        ))?;
        let values = vec![
            Value::Integer(filter.since.map_or(0, |time| integer(time.0))),
            Value::Integer(filter.until.map_or(i64::MAX, |time| integer(time.0))),
            filter.endpoint.clone().map_or(Value::Null, Value::Text),
            filter.payer.clone().map_or(Value::Null, Value::Text),
            Value::Integer(filter.limit.map_or(-1, i64::from)),
        ];
        Ok(Selection { statement, values })
    }

    /// Money received, by group, asset and network, with what pruned rows earned. A payment counts on
    /// the day of its last change, and pruned rows by whole days: those that begin in the period.
    pub fn earned(
        &self,
        by: GroupBy,
        since: Option<UnixTime>,
        until: Option<UnixTime>,
    ) -> Result<Vec<Earnings>, ReportError> {
        let mut sums = Sums::default();
        let mut statement = self.connection.prepare(&format!(
            "SELECT payment_id, updated_at, endpoint, plugin, payer, pay_to, network, asset, testnet, amount
             FROM payment WHERE {RECEIVED} AND updated_at >= ?1 AND updated_at < ?2"
        ))?;
        let (from, to) = (since.map_or(0, |time| time.0), until.map_or(u64::MAX, |time| time.0));
        let mut rows = statement.query(params![integer(from), integer(to)])?;
        while let Some(row) = rows.next()? {
            let payment: String = row.get(0)?;
            let (payer, pay_to): (String, String) = (row.get(4)?, row.get(5)?);
            let kind = match row.get(8)? {
                true => MoneyKind::Testnet,
                false if payer.eq_ignore_ascii_case(&pay_to) => MoneyKind::SelfPaid,
                false => MoneyKind::Revenue,
            };
            let key = match by {
                GroupBy::Day => GroupKey::Day(count(row.get(1)?) / DAY),
                GroupBy::Endpoint => GroupKey::Name(row.get(2)?),
                GroupBy::Plugin => GroupKey::Name(row.get(3)?),
                GroupBy::Payer => GroupKey::Name(payer),
                GroupBy::Asset => GroupKey::All,
            };
            let amount = amount(&payment, &row.get::<_, String>(9)?)?;
            sums.add((kind, key, network(&payment, &row.get::<_, String>(6)?)?, row.get(7)?), 1, amount)?;
        }
        for pruned in self.pruned()? {
            let begins = pruned.day.saturating_mul(DAY);
            if begins < from || begins >= to {
                continue;
            }
            let kind = if pruned.testnet { MoneyKind::Testnet } else { MoneyKind::Revenue };
            let key = match by {
                GroupBy::Day => GroupKey::Day(pruned.day),
                GroupBy::Endpoint => GroupKey::Name(pruned.endpoint),
                GroupBy::Plugin => GroupKey::Name(pruned.plugin),
                GroupBy::Payer => GroupKey::Pruned,
                GroupBy::Asset => GroupKey::All,
            };
            sums.add((kind, key, pruned.network, pruned.asset), pruned.payments, pruned.amount)?;
        }
        Ok(sums.lines())
    }

    /// What pruned rows earned, by day.
    pub fn pruned(&self) -> Result<Vec<PrunedTotal>, ReportError> {
        let mut statement = self.connection.prepare(
            "SELECT day, network, asset, pay_to, plugin, endpoint, testnet, payments, amount FROM total ORDER BY day",
        )?;
        let rows = statement.query_and_then([], |row| {
            let day = count(row.get(0)?);
            let named = format!("of the totals of day {day}");
            Ok(PrunedTotal {
                day,
                network: network(&named, &row.get::<_, String>(1)?)?,
                asset: row.get(2)?,
                pay_to: row.get(3)?,
                plugin: row.get(4)?,
                endpoint: row.get(5)?,
                testnet: row.get(6)?,
                payments: count(row.get(7)?),
                amount: amount(&named, &row.get::<_, String>(8)?)?,
            })
        })?;
        rows.collect()
    }

    /// When the oldest payment was claimed that still has a row.
    pub fn oldest(&self) -> Result<Option<UnixTime>, ReportError> {
        let oldest: Option<i64> =
            self.connection.query_row("SELECT min(created_at) FROM payment", [], |row| row.get(0))?;
        Ok(oldest.map(|time| UnixTime(count(time))))
    }
}

/// Payments that are being read.
#[derive(Debug)]
pub struct Selection<'b> {
    statement: Statement<'b>,
    values: Vec<Value>,
}

impl Selection<'_> {
    /// One after the other, as they come from the file.
    pub fn rows(&mut self) -> Result<impl Iterator<Item = Result<PaymentRow, ReportError>> + '_, ReportError> {
        Ok(self.statement.query_and_then(params_from_iter(&self.values), read)?)
    }
}

fn read(row: &rusqlite::Row<'_>) -> Result<PaymentRow, ReportError> {
    let payment_id: String = row.get(0)?;
    let state: String = row.get(1)?;
    let malformed =
        |column, value: &str| ReportError::Malformed { payment: payment_id.clone(), column, value: value.to_owned() };
    Ok(PaymentRow {
        state: PaymentState::parse(&state).ok_or_else(|| malformed("state", &state))?,
        flow: row.get(2)?,
        network: network(&payment_id, &row.get::<_, String>(3)?)?,
        asset: row.get(4)?,
        payer: row.get(5)?,
        nonce: row.get(6)?,
        amount: amount(&payment_id, &row.get::<_, String>(7)?)?,
        pay_to: row.get(8)?,
        testnet: row.get(9)?,
        endpoint: row.get(10)?,
        plugin: row.get(11)?,
        generation: count(row.get(12)?),
        payment_digest: hex::encode(row.get::<_, Vec<u8>>(13)?),
        request_digest: hex::encode(row.get::<_, Vec<u8>>(14)?),
        identifier: row.get(15)?,
        paid: row.get(16)?,
        reason: row.get(17)?,
        transaction: row.get::<_, Option<String>>(18)?.filter(|transaction| !transaction.is_empty()),
        valid_before: UnixTime(count(row.get(19)?)),
        verify_us: row.get::<_, Option<i64>>(20)?.map(count),
        run_us: row.get::<_, Option<i64>>(21)?.map(count),
        settle_us: row.get::<_, Option<i64>>(22)?.map(count),
        created_at: UnixTime(count(row.get(23)?)),
        updated_at: UnixTime(count(row.get(24)?)),
        payment_id,
    })
}

/// A group within a network and an asset.
type EarningsKey = (MoneyKind, GroupKey, Network, String);

#[derive(Default)]
struct Sums(BTreeMap<EarningsKey, (u64, Amount)>);

impl Sums {
    fn add(&mut self, line: EarningsKey, payments: u64, amount: Amount) -> Result<(), ReportError> {
        let (count, sum) = self.0.entry(line).or_insert((0, ZERO));
        *count += payments;
        *sum = plus(*sum, amount)?;
        Ok(())
    }

    fn lines(self) -> Vec<Earnings> {
        let line = |((kind, key, network, asset), (payments, amount))| Earnings {
            kind,
            key,
            network,
            asset,
            payments,
            amount,
        };
        self.0.into_iter().map(line).collect()
    }
}

const ZERO: Amount = Amount(alloy_primitives::U256::ZERO);

fn plus(one: Amount, other: Amount) -> Result<Amount, ReportError> {
    one.0.checked_add(other.0).map(Amount).ok_or(ReportError::Overflow)
}

fn amount(payment: &str, digits: &str) -> Result<Amount, ReportError> {
    Amount::parse_atomic(digits).map_err(|_| ReportError::Malformed {
        payment: payment.to_owned(),
        column: "amount",
        value: digits.to_owned(),
    })
}

fn network(payment: &str, text: &str) -> Result<Network, ReportError> {
    Network::parse(text).map_err(|_| ReportError::Malformed {
        payment: payment.to_owned(),
        column: "network",
        value: text.to_owned(),
    })
}

/// SQLite's integers are signed; ours never were.
fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
