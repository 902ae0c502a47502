//! Begins refunds, keeps their signed transactions, and writes down how they ended.
//!
//! A client that fetches an owed answer and a refund of it meet in the writer thread: the claim of the one and the
//! beginning of the other both need a row that is `owed`, so that one of them wins. The schema holds what must never be
//! otherwise: for each payment one refund that has not failed, one open refund for each wallet and network, and one refund
//! for each nonce.

pub(super) mod by_hand;
pub(super) mod fees;

use alloy_primitives::U256;
use coinslot_x402::price::Amount;
use coinslot_x402::{Network, UnixTime};
use rusqlite::{Connection, OptionalExtension, params};

use super::changes;
use super::prune::totals::parse;
use crate::number::{from_sqlite, to_sqlite};
use crate::{
    BudgetedAsset, Change, LedgerError, OpenRefund, PaymentState, RefundAuthor, RefundBegun, RefundBudget, RefundEnd,
    RefundOrder, RefundsDue, SignedRefund, StoredTransaction,
};

/// The columns of an open refund, as [`open_refund`] reads them.
const SELECT: &str = "SELECT refund.id, payment_id, refund.network, refund.asset, payer, refund.amount, sender,
        refund.nonce, ordered_by, begun_at
    FROM refund JOIN claim ON claim.id = refund.claim";

/// The payment of an order.
struct Owed {
    id: i64,
    state: PaymentState,
    network: String,
    asset: String,
    payer: String,
    amount: Amount,
}

/// See [`crate::Ledger::begin_refund`]. Everything that may refuse it comes before the first write.
pub(super) fn begin(connection: &Connection, order: &RefundOrder, at: UnixTime) -> Result<RefundBegun, LedgerError> {
    let Some(owed) = payment(connection, &order.payment_id)? else { return Ok(RefundBegun::NotOwed(None)) };
    if owed.state != PaymentState::Owed {
        return Ok(RefundBegun::NotOwed(Some(owed.state)));
    }
    let sender = order.sender.to_ascii_lowercase();
    if let Some(payment_id) = busy(connection, &owed.network, &sender)? {
        return Ok(RefundBegun::Busy { payment_id });
    }
    if is_used(connection, &owed.network, &sender, order.signed.nonce)? {
        return Ok(RefundBegun::NonceUsed);
    }
    let wanted = counted(&owed, &order.budget)?;
    let spent = spent(connection, &order.budget, at)?;
    if spent.0.saturating_add(wanted.0) > order.budget.limit.0 {
        return Ok(RefundBegun::OverBudget { spent, wanted });
    }
    connection
        .prepare_cached(
            "INSERT INTO refund (claim, network, asset, amount, sender, nonce, ordered_by, state, begun_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'sent', ?8)",
        )?
        .execute(params![
            owed.id,
            owed.network,
            owed.asset,
            owed.amount.to_string(),
            sender,
            to_sqlite(order.signed.nonce),
            order.ordered_by.as_str(),
            to_sqlite(at.0)
        ])?;
    let refund = connection.last_insert_rowid();
    insert(connection, refund, &order.signed, at)?;
    connection
        .prepare_cached(
            "UPDATE progress SET state = 'refunding', reason = NULL, lease_until = NULL, updated_at = ?2 WHERE id = ?1",
        )?
        .execute(params![owed.id, to_sqlite(at.0)])?;
    changes::record(connection, &order.change)?;
    let begun = read(connection, &format!("{SELECT} WHERE refund.id = {refund}"))?.pop();
    begun.map(RefundBegun::Begun).ok_or_else(|| out_of_order(refund, "begun"))
}

/// See [`crate::Ledger::store_refund`].
pub(super) fn store(
    connection: &Connection,
    refund: i64,
    signed: &SignedRefund,
    at: UnixTime,
) -> Result<StoredTransaction, LedgerError> {
    let nonce: Option<i64> = connection
        .prepare_cached("SELECT nonce FROM refund WHERE id = ?1 AND state = 'sent'")?
        .query_row([refund], |row| row.get(0))
        .optional()?;
    if nonce != Some(to_sqlite(signed.nonce)) {
        return Err(out_of_order(refund, "signed again"));
    }
    insert(connection, refund, signed, at)
}

/// See [`crate::Ledger::end_refund`].
pub(super) fn end(
    connection: &Connection,
    refund: i64,
    end: &RefundEnd,
    change: &Change,
    at: UnixTime,
) -> Result<(), LedgerError> {
    let claim: Option<i64> = connection
        .prepare_cached(
            "SELECT claim FROM refund JOIN progress ON progress.id = claim
             WHERE refund.id = ?1 AND refund.state = 'sent' AND progress.state = 'refunding'",
        )?
        .query_row([refund], |row| row.get(0))
        .optional()?;
    let claim = claim.ok_or_else(|| out_of_order(refund, "ended"))?;
    let (state, transaction, reason) = match end {
        RefundEnd::Paid { transaction, fee } => (PaymentState::Refunded, Some((transaction, fee)), None),
        RefundEnd::Failed { reason, transaction } => {
            (PaymentState::Owed, transaction.as_ref().map(|(hash, fee)| (hash, fee)), Some(reason))
        }
    };
    let fee = transaction.map(|(_, fee)| fee.to_string());
    let hash = transaction.map(|(hash, _)| hash.to_ascii_lowercase());
    let word = if state == PaymentState::Refunded { "paid" } else { "failed" };
    connection
        .prepare_cached("UPDATE refund SET state = ?2, tx = ?3, fee = ?4, reason = ?5, ended_at = ?6 WHERE id = ?1")?
        .execute(params![refund, word, hash, fee, reason, to_sqlite(at.0)])?;
    let remark = reason.map(|reason| format!("the refund failed: {reason}"));
    connection
        .prepare_cached("UPDATE progress SET state = ?2, reason = ?3, updated_at = ?4 WHERE id = ?1")?
        .execute(params![claim, state.as_str(), remark, to_sqlite(at.0)])?;
    changes::record(connection, change)
}

/// See [`crate::Ledger::open_refunds`].
pub(super) fn open(connection: &Connection) -> Result<Vec<OpenRefund>, LedgerError> {
    let open = SELECT.replace("FROM refund", "FROM refund INDEXED BY refund_open");
    read(connection, &format!("{open} WHERE refund.state = 'sent' ORDER BY refund.id"))
}

/// See [`crate::Ledger::refunds_due`].
pub(super) fn due(connection: &Connection, due: &RefundsDue) -> Result<Vec<String>, LedgerError> {
    let RefundsDue { network, received_by, owed_before, failed_before, limit } = due;
    let received_by: Vec<String> =
        received_by.iter().map(|(asset, receiver)| format!("{asset} {receiver}").to_ascii_lowercase()).collect();
    let received_by =
        serde_json::to_string(&received_by).map_err(|error| LedgerError::Unavailable(error.to_string()))?;
    let mut statement = connection.prepare_cached(
        "SELECT payment_id FROM progress INDEXED BY progress_owed CROSS JOIN claim USING (id)
         WHERE state = 'owed' AND client_left = 0 AND created_at < ?1 AND network = ?2
            AND lower(asset) || ' ' || lower(pay_to) IN (SELECT value FROM json_each(?3))
            AND NOT EXISTS (SELECT 1 FROM refund WHERE refund.claim = claim.id AND ended_at >= ?4)
         ORDER BY updated_at LIMIT ?5",
    )?;
    let rows = statement.query_map(
        params![to_sqlite(owed_before.0), network.as_str(), received_by, to_sqlite(failed_before.0), limit],
        |row| row.get(0),
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The sum of a budget's refunds in its window, those under way among them. What was paid by hand left no wallet of the
/// host.
pub(super) fn spent(connection: &Connection, budget: &RefundBudget, at: UnixTime) -> Result<Amount, LedgerError> {
    let since = at.0.saturating_sub(budget.window.as_secs());
    // A refund of the future was begun before the clock went back, and counts.
    let mut statement = connection.prepare_cached(
        "SELECT network, asset, amount FROM refund WHERE begun_at > ?1 AND state <> 'failed' AND nonce IS NOT NULL",
    )?;
    let mut rows = statement.query([to_sqlite(since)])?;
    let mut sum = U256::ZERO;
    while let Some(row) = rows.next()? {
        let (network, asset, amount): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if let Some(decimals) = decimals(budget, &network, &asset) {
            let amount = parse(&amount)?;
            sum = sum.saturating_add(RefundBudget::counted(amount, decimals).map_or(U256::MAX, |amount| amount.0));
        }
    }
    Ok(Amount(sum))
}

/// Deletes the refunds of a payment whose row is deleted.
pub(super) fn delete(connection: &Connection, claim: i64) -> Result<(), LedgerError> {
    for sql in [
        "DELETE FROM refund_tx WHERE refund IN (SELECT id FROM refund WHERE claim = ?1)",
        "DELETE FROM refund WHERE claim = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([claim])?;
    }
    Ok(())
}

/// The transaction that paid a claim back.
pub(super) fn transaction(connection: &Connection, claim: i64) -> Result<Option<String>, LedgerError> {
    Ok(connection
        .prepare_cached("SELECT tx FROM refund WHERE claim = ?1 AND state = 'paid'")?
        .query_row([claim], |row| row.get(0))
        .optional()?
        .flatten())
}

fn insert(
    connection: &Connection,
    refund: i64,
    signed: &SignedRefund,
    at: UnixTime,
) -> Result<StoredTransaction, LedgerError> {
    let hash = signed.hash.to_ascii_lowercase();
    connection
        .prepare_cached("INSERT INTO refund_tx (refund, hash, raw, signed_at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![refund, hash, signed.raw, to_sqlite(at.0)])?;
    Ok(StoredTransaction { hash, raw: signed.raw.clone(), signed_at: at })
}

fn payment(connection: &Connection, id: &str) -> Result<Option<Owed>, LedgerError> {
    let Some([first, last]) = crate::id::keys_of(id) else { return Ok(None) };
    let mut statement = connection.prepare_cached(
        "SELECT id, state, network, asset, amount, payer FROM claim JOIN progress USING (id) WHERE key >= ?1 AND key <= ?2
         LIMIT 1",
    )?;
    let mut rows = statement.query(params![first, last])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let state: String = row.get(1)?;
    Ok(Some(Owed {
        id: row.get(0)?,
        state: PaymentState::parse(&state)
            .ok_or_else(|| LedgerError::Schema(format!("payment {id} has no known state")))?,
        network: row.get(2)?,
        asset: row.get(3)?,
        amount: parse(&row.get::<_, String>(4)?)?,
        payer: row.get(5)?,
    }))
}

/// The payment whose refund this wallet has open on this network.
fn busy(connection: &Connection, network: &str, sender: &str) -> Result<Option<String>, LedgerError> {
    let mut statement = connection.prepare_cached(
        "SELECT payment_id FROM refund JOIN claim ON claim.id = refund.claim
         WHERE refund.network = ?1 AND sender = ?2 AND refund.state = 'sent'",
    )?;
    Ok(statement.query_row(params![network, sender], |row| row.get(0)).optional()?)
}

fn is_used(connection: &Connection, network: &str, sender: &str, nonce: u64) -> Result<bool, LedgerError> {
    Ok(connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM refund WHERE network = ?1 AND sender = ?2 AND nonce = ?3)")?
        .query_row(params![network, sender, to_sqlite(nonce)], |row| row.get(0))?)
}

/// The amount of an order, as its budget counts it.
fn counted(owed: &Owed, budget: &RefundBudget) -> Result<Amount, LedgerError> {
    let decimals = decimals(budget, &owed.network, &owed.asset);
    decimals
        .and_then(|decimals| RefundBudget::counted(owed.amount, decimals))
        .ok_or_else(|| LedgerError::Unavailable(format!("{} of {} has no budget of refunds", owed.asset, owed.network)))
}

fn decimals(budget: &RefundBudget, network: &str, asset: &str) -> Option<u8> {
    let is_same = |known: &&BudgetedAsset| known.network.as_str() == network && known.asset.eq_ignore_ascii_case(asset);
    budget.assets.iter().find(is_same).map(|known| known.decimals)
}

/// Reads the refunds of a query that begins with [`SELECT`].
fn read(connection: &Connection, sql: &str) -> Result<Vec<OpenRefund>, LedgerError> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut refunds = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, payment_id): (i64, String) = (row.get(0)?, row.get(1)?);
        let malformed = || LedgerError::Schema(format!("the refund of payment {payment_id} cannot be read"));
        refunds.push(OpenRefund {
            id,
            network: Network::parse(&row.get::<_, String>(2)?).map_err(|_| malformed())?,
            asset: row.get(3)?,
            payer: row.get(4)?,
            amount: parse(&row.get::<_, String>(5)?)?,
            sender: row.get(6)?,
            nonce: from_sqlite(row.get(7)?),
            ordered_by: RefundAuthor::parse(&row.get::<_, String>(8)?).ok_or_else(malformed)?,
            begun_at: UnixTime(from_sqlite(row.get(9)?)),
            transactions: transactions(connection, id)?,
            payment_id,
        });
    }
    Ok(refunds)
}

fn transactions(connection: &Connection, refund: i64) -> Result<Vec<StoredTransaction>, LedgerError> {
    let mut statement =
        connection.prepare_cached("SELECT hash, raw, signed_at FROM refund_tx WHERE refund = ?1 ORDER BY id")?;
    let rows = statement.query_map([refund], |row| {
        let signed_at = UnixTime(from_sqlite(row.get(2)?));
        Ok(StoredTransaction { hash: row.get(0)?, raw: row.get(1)?, signed_at })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn out_of_order(refund: i64, step: &'static str) -> LedgerError {
    LedgerError::OutOfOrder { id: format!("of refund {refund}"), step }
}
