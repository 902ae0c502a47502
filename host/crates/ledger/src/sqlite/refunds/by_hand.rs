//! Ends debts that were paid by hand.

use alloy_primitives::U256;
use coinslot_x402::UnixTime;
use coinslot_x402::price::Amount;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Owed, out_of_order, payment};
use crate::number::to_sqlite;
use crate::sqlite::changes;
use crate::sqlite::prune::totals::parse;
use crate::{DebtEnded, LedgerError, PaidByHand, PaymentState, RefundEnd};

/// See [`crate::Ledger::end_debt`]. Everything that may refuse it comes before the first write.
pub(in crate::sqlite) fn end(
    connection: &Connection,
    paid: &PaidByHand,
    at: UnixTime,
) -> Result<DebtEnded, LedgerError> {
    let Some(owed) = payment(connection, &paid.payment_id)? else { return Ok(DebtEnded::NotOwed(None)) };
    let expected = if paid.instead_of.is_some() { PaymentState::Refunding } else { PaymentState::Owed };
    if owed.state != expected {
        return Ok(DebtEnded::NotOwed(Some(owed.state)));
    }
    let transaction = paid.transaction.to_ascii_lowercase();
    if let Some(payment_id) = signed_for_another(connection, owed.id, &transaction)? {
        return Ok(DebtEnded::SignedFor { payment_id });
    }
    if let Some((by, counted)) = counted_already(connection, &owed, &transaction)?
        && paid.moved.0.saturating_sub(counted.0) < owed.amount.0
    {
        return Ok(DebtEnded::Counted { by, counted, owed: owed.amount });
    }
    if paid.dry_run {
        return Ok(DebtEnded::Ended);
    }
    if let Some((refund, end)) = &paid.instead_of {
        fail_attempt(connection, owed.id, refund.id, end, at)?;
    }
    connection
        .prepare_cached(
            "INSERT INTO refund (claim, network, asset, amount, sender, ordered_by, state, tx, begun_at, ended_at)
             VALUES (?1, ?2, ?3, ?4, ?5, 'operator', 'paid', ?6, ?7, ?7)",
        )?
        .execute(params![
            owed.id,
            owed.network,
            owed.asset,
            owed.amount.to_string(),
            paid.sender.to_ascii_lowercase(),
            transaction,
            to_sqlite(at.0)
        ])?;
    connection
        .prepare_cached(
            "UPDATE progress SET state = 'refunded', reason = NULL, lease_until = NULL, updated_at = ?2 WHERE id = ?1",
        )?
        .execute(params![owed.id, to_sqlite(at.0)])?;
    changes::record(connection, &paid.change)?;
    Ok(DebtEnded::Ended)
}

/// Ends an attempt that moved nothing, and leaves the state of the payment to its caller.
fn fail_attempt(
    connection: &Connection,
    claim: i64,
    refund: i64,
    end: &RefundEnd,
    at: UnixTime,
) -> Result<(), LedgerError> {
    let RefundEnd::Failed { reason, transaction } = end else { return Err(out_of_order(refund, "ended by hand")) };
    let (hash, fee) = match transaction {
        Some((hash, fee)) => (Some(hash.to_ascii_lowercase()), Some(fee.to_string())),
        None => (None, None),
    };
    let changed = connection
        .prepare_cached(
            "UPDATE refund SET state = 'failed', tx = ?3, fee = ?4, reason = ?5, ended_at = ?6
             WHERE id = ?2 AND claim = ?1 AND state = 'sent'",
        )?
        .execute(params![claim, refund, hash, fee, reason, to_sqlite(at.0)])?;
    if changed == 1 { Ok(()) } else { Err(out_of_order(refund, "ended by hand")) }
}

/// The other payment for whose refund the host signed this transaction.
fn signed_for_another(connection: &Connection, claim: i64, transaction: &str) -> Result<Option<String>, LedgerError> {
    let mut statement = connection.prepare_cached(
        "SELECT payment_id FROM refund_tx JOIN refund ON refund.id = refund JOIN claim ON claim.id = refund.claim
         WHERE hash = ?1 AND refund.claim <> ?2 LIMIT 1",
    )?;
    Ok(statement.query_row(params![transaction, claim], |row| row.get(0)).optional()?)
}

/// The sum of the debts to the same payer that this transaction ended, and one of their payments. None: there is none.
fn counted_already(
    connection: &Connection,
    owed: &Owed,
    transaction: &str,
) -> Result<Option<(String, Amount)>, LedgerError> {
    let mut statement = connection.prepare_cached(
        "SELECT payment_id, refund.amount FROM refund JOIN claim ON claim.id = refund.claim
         WHERE tx = ?1 AND state = 'paid' AND refund.network = ?2 AND lower(refund.asset) = lower(?3)
            AND lower(payer) = lower(?4)",
    )?;
    let mut rows = statement.query(params![transaction, owed.network, owed.asset, owed.payer])?;
    let mut found: Option<(String, Amount)> = None;
    while let Some(row) = rows.next()? {
        let amount = parse(&row.get::<_, String>(1)?)?;
        let sum = found.map_or(U256::ZERO, |(_, sum)| sum.0);
        found = Some((row.get(0)?, Amount(sum.saturating_add(amount.0))));
    }
    Ok(found)
}
