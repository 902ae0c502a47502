//! Reads the events that triggers of the schema write, and keeps the place of each of their readers.
//!
//! A trigger writes an event in the commit that changes the payment, so none is lost and none is made up. The schema
//! keeps the newest hundred thousand.

use coinslot_x402::price::Amount;
use coinslot_x402::{Network, UnixTime};
use rusqlite::{Connection, OptionalExtension, Rows, params};

use crate::number::{from_sqlite, to_sqlite};
use crate::{EventKind, LedgerError, PaymentEvent};

/// See [`crate::Ledger::events`].
pub(super) fn after(connection: &Connection, number: u64, limit: u32) -> Result<Vec<PaymentEvent>, LedgerError> {
    let sql = format!("{SELECT} WHERE event.id > ?1 ORDER BY event.id LIMIT ?2");
    let mut rows = connection.prepare_cached(&sql)?;
    read(rows.query(params![to_sqlite(number), limit])?)
}

/// The events of one payment, by its id.
pub(crate) fn of_payment(connection: &Connection, id: &str) -> Result<Vec<PaymentEvent>, LedgerError> {
    let mut rows = connection.prepare_cached(&format!("{SELECT} WHERE event.payment_id = ?1 ORDER BY event.id"))?;
    read(rows.query([id])?)
}

const SELECT: &str = "SELECT event.id, kind, at, payment_id, network, asset, payer, pay_to, amount, testnet, endpoint,
        plugin, CASE kind WHEN 'refunded' THEN (SELECT tx FROM refund WHERE refund.claim = event.claim AND state = 'paid')
            ELSE settlement.tx END, reason, request_id, after_work
    FROM event LEFT JOIN settlement ON settlement.id = event.claim";

fn read(mut found: Rows<'_>) -> Result<Vec<PaymentEvent>, LedgerError> {
    let mut events = Vec::new();
    while let Some(row) = found.next()? {
        let number = from_sqlite(row.get(0)?);
        let malformed = |column: &str| LedgerError::Schema(format!("event {number} of the ledger has a bad {column}"));
        events.push(PaymentEvent {
            number,
            kind: EventKind::parse(&row.get::<_, String>(1)?).ok_or_else(|| malformed("kind"))?,
            at: UnixTime(from_sqlite(row.get(2)?)),
            payment_id: row.get(3)?,
            network: Network::parse(&row.get::<_, String>(4)?).map_err(|_| malformed("network"))?,
            asset: row.get(5)?,
            payer: row.get(6)?,
            pay_to: row.get(7)?,
            amount: Amount::parse_atomic(&row.get::<_, String>(8)?).map_err(|_| malformed("amount"))?,
            testnet: row.get(9)?,
            endpoint: row.get(10)?,
            plugin: row.get(11)?,
            transaction: row.get::<_, Option<String>>(12)?.filter(|transaction| !transaction.is_empty()),
            reason: row.get(13)?,
            request_id: row.get(14)?,
            after_work: row.get(15)?,
        });
    }
    Ok(events)
}

/// See [`crate::Ledger::last_event`].
pub(crate) fn last(connection: &Connection) -> Result<u64, LedgerError> {
    let last: Option<i64> = connection.query_row("SELECT max(id) FROM event", [], |row| row.get(0))?;
    Ok(last.map_or(0, from_sqlite))
}

/// See [`crate::Ledger::place`].
pub(super) fn place(connection: &Connection, reader: &str) -> Result<Option<u64>, LedgerError> {
    let place = connection
        .prepare_cached("SELECT event FROM event_reader WHERE name = ?1")?
        .query_row(params![reader], |row| row.get(0))
        .optional()?;
    Ok(place.map(from_sqlite))
}

/// See [`crate::Ledger::set_place`].
pub(super) fn set_place(connection: &Connection, reader: &str, number: u64) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "INSERT INTO event_reader (name, event) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET event = excluded.event",
        )?
        .execute(params![reader, to_sqlite(number)])?;
    Ok(())
}
