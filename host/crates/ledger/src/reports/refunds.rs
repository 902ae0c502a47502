//! Reads the attempts to pay owed answers back.

use coinslot_x402::price::Amount;
use coinslot_x402::{Network, UnixTime};
use rusqlite::{Connection, params};

use super::{ReportError, row};
use crate::RefundAuthor;
use crate::number::{from_sqlite, to_sqlite};

/// An attempt to pay an owed answer back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundRow {
    pub payment_id: String,
    pub network: Network,
    pub asset: String,
    /// The address that is paid.
    pub payer: String,
    pub amount: Amount,
    pub testnet: bool,
    /// The account that pays, in lower case.
    pub sender: String,
    /// None: an operator paid it by hand.
    pub nonce: Option<u64>,
    pub ordered_by: RefundAuthor,
    pub state: RefundState,
    /// The transaction that ended it, or the newest one that was signed.
    pub transaction: Option<String>,
    /// The fee of the transaction that ended it, in wei.
    pub fee: Option<Amount>,
    pub reason: Option<String>,
    pub begun_at: UnixTime,
    pub ended_at: Option<UnixTime>,
}

/// The state of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundState {
    /// Its transaction may be on its way.
    Sent,
    /// The money is with the payer.
    Paid,
    /// The money did not move and will not by this attempt.
    Failed,
}

impl RefundState {
    /// The word of the column `state`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Paid => "paid",
            Self::Failed => "failed",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Sent, Self::Paid, Self::Failed].into_iter().find(|state| state.as_str() == text)
    }
}

/// The choice of attempts.
enum Choice<'c> {
    OfPayment(&'c str),
    Since(UnixTime, u32),
    Open,
}

/// See [`super::LedgerReader::refunds_of`].
pub(super) fn of_payment(connection: &Connection, id: &str) -> Result<Vec<RefundRow>, ReportError> {
    read(connection, &Choice::OfPayment(id))
}

/// See [`super::LedgerReader::refunds`].
pub(super) fn since(connection: &Connection, since: UnixTime, limit: u32) -> Result<Vec<RefundRow>, ReportError> {
    read(connection, &Choice::Since(since, limit))
}

/// See [`super::LedgerReader::open_refunds`].
pub(super) fn open(connection: &Connection) -> Result<Vec<RefundRow>, ReportError> {
    read(connection, &Choice::Open)
}

/// See [`super::LedgerReader::last_refund_nonce`].
pub(super) fn last_nonce(connection: &Connection, network: &Network, wallet: &str) -> Result<Option<u64>, ReportError> {
    let mut statement =
        connection.prepare_cached("SELECT max(nonce) FROM refund WHERE network = ?1 AND sender = ?2")?;
    let last: Option<i64> =
        statement.query_row(params![network.as_str(), wallet.to_ascii_lowercase()], |row| row.get(0))?;
    Ok(last.map(from_sqlite))
}

/// See [`super::LedgerReader::refund_transactions_beside`].
pub(super) fn transactions_beside(
    connection: &Connection,
    payer: &str,
    payment: &str,
) -> Result<Vec<String>, ReportError> {
    let mut statement = connection.prepare_cached(
        "SELECT hash FROM refund_tx JOIN refund ON refund.id = refund JOIN claim ON claim.id = refund.claim
         WHERE lower(payer) = lower(?1) AND payment_id <> ?2
         UNION SELECT tx FROM refund JOIN claim ON claim.id = refund.claim
         WHERE lower(payer) = lower(?1) AND payment_id <> ?2 AND state = 'paid'",
    )?;
    let rows = statement.query_map([payer, payment], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn read(connection: &Connection, choice: &Choice<'_>) -> Result<Vec<RefundRow>, ReportError> {
    let select = "SELECT payment_id, refund.network, refund.asset, payer, refund.amount, testnet, sender, refund.nonce,
            ordered_by, state, coalesce(tx, (SELECT hash FROM refund_tx WHERE refund = refund.id ORDER BY id DESC LIMIT 1)),
            fee, reason, begun_at, ended_at FROM refund JOIN claim ON claim.id = refund.claim";
    let mut statement;
    let mut rows = match choice {
        Choice::OfPayment(id) => {
            let Some([first, last]) = crate::id::keys_of(id) else { return Ok(Vec::new()) };
            statement = connection
                .prepare_cached(&format!("{select} WHERE key >= ?1 AND key <= ?2 ORDER BY refund.id DESC"))?;
            statement.query(params![first, last])?
        }
        Choice::Since(since, limit) => {
            statement =
                connection.prepare_cached(&format!("{select} WHERE begun_at >= ?1 ORDER BY begun_at DESC LIMIT ?2"))?;
            statement.query(params![to_sqlite(since.0), limit])?
        }
        Choice::Open => {
            statement = connection.prepare_cached(&format!("{select} WHERE state = 'sent' ORDER BY refund.id"))?;
            statement.query([])?
        }
    };
    let mut refunds = Vec::new();
    while let Some(row) = rows.next()? {
        let payment_id: String = row.get(0)?;
        let malformed = |column: &'static str, value: &str| ReportError::Malformed {
            payment: payment_id.clone(),
            column,
            value: value.to_owned(),
        };
        let (author, state): (String, String) = (row.get(8)?, row.get(9)?);
        let fee: Option<String> = row.get(11)?;
        refunds.push(RefundRow {
            network: row::network(&payment_id, &row.get::<_, String>(1)?)?,
            asset: row.get(2)?,
            payer: row.get(3)?,
            amount: row::amount(&payment_id, &row.get::<_, String>(4)?)?,
            testnet: row.get(5)?,
            sender: row.get(6)?,
            nonce: row.get::<_, Option<i64>>(7)?.map(from_sqlite),
            ordered_by: RefundAuthor::parse(&author).ok_or_else(|| malformed("ordered_by", &author))?,
            state: RefundState::parse(&state).ok_or_else(|| malformed("state", &state))?,
            transaction: row.get(10)?,
            fee: fee.map(|fee| row::amount(&payment_id, &fee)).transpose()?,
            reason: row.get(12)?,
            begun_at: UnixTime(from_sqlite(row.get(13)?)),
            ended_at: row.get::<_, Option<i64>>(14)?.map(|at| UnixTime(from_sqlite(at))),
            payment_id,
        });
    }
    Ok(refunds)
}
