//! Makes claims, and looks up an existing claim when a new one conflicts with it.

use coinslot_x402::{Network, SettlementResponse, UnixTime};
use rusqlite::{Connection, params};

use super::leases::lease;
use super::refunds;
use super::repetitions::{self, RepetitionOutcome};
use crate::holder::RowHolder;
use crate::number::{from_sqlite, to_sqlite};
use crate::{
    Attempt, Claim, Claimed, Fingerprint, Found, Hold, Holder, KeptAnswer, LedgerError, Namesake, PaymentId,
    PaymentState, Presented,
};

/// A row that stands where a claim would be inserted.
struct ExistingRow {
    id: i64,
    state: PaymentState,
    holder: RowHolder,
    payment: Vec<u8>,
    request: Vec<u8>,
    settlement: Option<String>,
    transaction: Option<String>,
    reason: Option<String>,
    /// The transaction that paid it back.
    refund: Option<String>,
    /// The size of the kept answer.
    answer: Option<i64>,
}

/// Claims a payment, or says what became of the claim that is there already.
pub(super) fn claim(connection: &Connection, claim: &Claim) -> Result<Claimed, LedgerError> {
    if claim.identifier.is_some() {
        // The payment's own row comes first: what it bought is not what its namesake bought.
        if let Some(claimed) = existing(connection, &claim.presented(), claim.at)? {
            return Ok(claimed);
        }
        if namesake_id(connection, claim)?.is_some() {
            return Ok(Claimed::Namesake);
        }
    }
    if let Some(hold) = insert(connection, claim)? {
        return Ok(Claimed::Won(hold));
    }
    existing(connection, &claim.presented(), claim.at)?
        .ok_or_else(|| LedgerError::OutOfOrder { id: claim.id.short(), step: "claimed" })
}

/// Looks up the claim of this authorisation. An owed one becomes executing, and the caller's. An unknown one is due
/// soon: after one, two and then four seconds, counted from the first repetition since the last look, so that no client
/// makes recovery ask in a loop.
pub(super) fn existing(
    connection: &Connection,
    presented: &Presented,
    at: UnixTime,
) -> Result<Option<Claimed>, LedgerError> {
    let Some(row) = row(connection, presented.id.digest())? else { return Ok(None) };
    let same_signature = row.payment == presented.payment.0;
    if !row.holder.admits(&presented.holder, same_signature, at) {
        return Ok(Some(Claimed::Foreign));
    }
    if !same_signature {
        return Ok(Some(Claimed::OtherRequest));
    }
    let id = row.id;
    let claimed = outcome(row, presented, |settlement| {
        let hold = Hold { id: presented.id.clone(), attempt: take_up(connection, id, at)? };
        repetitions::record(connection, id, presented.request_id.as_deref(), RepetitionOutcome::Run, at)?;
        Ok(Claimed::Owed { hold, settlement })
    })?;
    if let Claimed::Settling { .. } = claimed {
        connection
            .prepare_cached(
                "UPDATE progress SET next_look = min(next_look, ?2 + (1 << min(looks, 2)))
                 WHERE id = ?1 AND next_look > ?2",
            )?
            .execute(params![id, to_sqlite(at.0)])?;
    }
    Ok(Some(claimed))
}

/// See [`crate::Ledger::namesake`].
pub(super) fn namesake(connection: &Connection, claim: &Claim) -> Result<Option<Namesake>, LedgerError> {
    let has_row: bool = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM claim WHERE key = ?1)")?
        .query_row(params![claim.id.digest()], |row| row.get(0))?;
    if has_row {
        return Ok(None);
    }
    let Some(id) = namesake_id(connection, claim)? else { return Ok(None) };
    let Some(row) = row(connection, id.digest())? else { return Ok(None) };
    let row_id = row.id;
    // Only the payment that is owed an answer may fetch it.
    let owed = |settlement: SettlementResponse| Ok(Claimed::Settling { transaction: Some(settlement.transaction) });
    match outcome(row, &claim.presented(), owed)? {
        Claimed::Refused { .. } => {
            forget_identifier(connection, row_id)?;
            Ok(None)
        }
        claimed => Ok(Some(Namesake { id, claimed })),
    }
}

/// See [`crate::Ledger::find`].
pub(super) fn find(
    connection: &Connection,
    id: &PaymentId,
    payment: Fingerprint,
    holder: &Holder,
    at: UnixTime,
) -> Result<Found, LedgerError> {
    let mut statement = connection.prepare_cached(
        "SELECT payment, secret, client, state, updated_at, created_at, paid FROM claim JOIN progress USING (id)
         WHERE key = ?1",
    )?;
    let mut rows = statement.query(params![id.digest()])?;
    let Some(row) = rows.next()? else { return Ok(Found::Nothing) };
    let same_signature = row.get::<_, Vec<u8>>(0)? == payment.0;
    let state = state(id.digest(), &row.get::<_, String>(3)?)?;
    let found = row_holder(row.get(1)?, row.get(2)?, row.get(5)?, state, row.get(4)?);
    if !found.admits(holder, same_signature, at) {
        return Ok(Found::Foreign);
    }
    Ok(Found::Known { funded: row.get(6)? || matches!(state, PaymentState::Settling | PaymentState::Unknown) })
}

/// Frees the identifier of a claim, for another payment.
pub(super) fn forget_identifier(connection: &Connection, row: i64) -> Result<(), LedgerError> {
    connection.prepare_cached("UPDATE claim SET identifier = NULL WHERE id = ?1")?.execute(params![row])?;
    connection.prepare_cached("UPDATE progress SET named = 0 WHERE id = ?1")?.execute(params![row])?;
    Ok(())
}

/// Another authorisation of this payer with the claim's identifier.
fn namesake_id(connection: &Connection, claim: &Claim) -> Result<Option<PaymentId>, LedgerError> {
    let Some(identifier) = &claim.identifier else { return Ok(None) };
    let mut statement = connection.prepare_cached(
        "SELECT network, asset, payer, nonce FROM claim WHERE payer = ?1 AND identifier = ?2 AND key <> ?3",
    )?;
    let mut rows = statement.query(params![claim.id.payer(), identifier, claim.id.digest()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let network: String = row.get(0)?;
    let network = Network::parse(&network)
        .map_err(|_| LedgerError::Schema(format!("{network} is no network: a payment cannot be read")))?;
    Ok(Some(PaymentId::new(network, row.get(1)?, row.get(2)?, row.get(3)?)))
}

/// Makes an owed row executing, for a new attempt.
fn take_up(connection: &Connection, row: i64, at: UnixTime) -> Result<Attempt, LedgerError> {
    let attempt = new_attempt(connection)?;
    connection
        .prepare_cached(
            "UPDATE progress SET state = 'executing', reason = NULL, attempt = ?2, lease_until = ?3, updated_at = ?4
             WHERE id = ?1",
        )?
        .execute(params![row, attempt.0, lease(PaymentState::Executing, at), to_sqlite(at.0)])?;
    Ok(attempt)
}

/// Draws the number of a new attempt. It is drawn before it is written: with `RETURNING` SQLite opens a table in memory
/// for each statement, which costs as much as the rest of a claim.
fn new_attempt(connection: &Connection) -> Result<Attempt, LedgerError> {
    Ok(Attempt(connection.prepare_cached("SELECT random()")?.query_row([], |row| row.get(0))?))
}

/// Inserts a reserved row, and returns its hold: `None` if there is a row of this authorisation already.
fn insert(connection: &Connection, claim: &Claim) -> Result<Option<Hold>, LedgerError> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO claim (key, payment_id, network, asset, payer, nonce, amount, pay_to, testnet, endpoint,
                plugin, generation, payment, request, identifier, valid_before, created_at, secret, client, request_id,
                pass_seconds, pass_requests, pass_token)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21,
                ?22, ?23)
             ON CONFLICT (key) DO NOTHING",
        )?
        .execute(params![
            claim.id.digest(),
            claim.id.short(),
            claim.id.network().as_str(),
            claim.id.asset(),
            claim.id.payer(),
            claim.id.nonce(),
            claim.amount,
            claim.pay_to,
            claim.testnet,
            claim.endpoint,
            claim.plugin,
            to_sqlite(claim.generation),
            claim.payment.0,
            claim.request.0,
            claim.identifier,
            to_sqlite(claim.valid_before.0),
            to_sqlite(claim.at.0),
            claim.holder.secret.map(|secret| secret.0),
            claim.holder.client.map(|client| client.0),
            claim.request_id,
            claim.pass.map(|pass| to_sqlite(pass.terms.seconds())),
            claim.pass.map(|pass| to_sqlite(pass.terms.requests())),
            claim.pass.map(|pass| pass.token.0),
        ])?;
    if inserted == 0 {
        return Ok(None);
    }
    let row = connection.last_insert_rowid();
    let attempt = new_attempt(connection)?;
    connection
        .prepare_cached(
            "INSERT INTO progress (id, flow, state, sent, paid, named, attempt, lease_until, updated_at)
             VALUES (?1, ?2, 'reserved', 0, 0, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            row,
            claim.flow.as_str(),
            claim.identifier.is_some(),
            attempt.0,
            lease(PaymentState::Reserved, claim.at),
            to_sqlite(claim.at.0)
        ])?;
    Ok(Some(Hold { id: claim.id.clone(), attempt }))
}

fn row(connection: &Connection, key: &[u8; 32]) -> Result<Option<ExistingRow>, LedgerError> {
    let mut statement = connection.prepare_cached(
        "SELECT claim.id, state, payment, request, response, tx, reason,
            octet_length(head) + octet_length(body), secret, client, updated_at, created_at
         FROM claim JOIN progress USING (id) LEFT JOIN settlement USING (id) LEFT JOIN answer USING (id)
         WHERE key = ?1",
    )?;
    let mut rows = statement.query(params![key])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let state = state(key, &row.get::<_, String>(1)?)?;
    let id = row.get(0)?;
    let refund = if state == PaymentState::Refunded { refunds::transaction(connection, id)? } else { None };
    Ok(Some(ExistingRow {
        id,
        state,
        refund,
        holder: row_holder(row.get(8)?, row.get(9)?, row.get(11)?, state, row.get(10)?),
        payment: row.get(2)?,
        request: row.get(3)?,
        settlement: row.get(4)?,
        transaction: row.get::<_, Option<String>>(5)?.filter(|transaction| !transaction.is_empty()),
        reason: row.get(6)?,
        answer: row.get(7)?,
    }))
}

fn state(key: &[u8; 32], word: &str) -> Result<PaymentState, LedgerError> {
    PaymentState::parse(word)
        .ok_or_else(|| LedgerError::Schema(format!("payment {} has no known state", hex::encode(&key[..16]))))
}

/// A delivered row was last changed by its delivery.
fn row_holder(
    secret: Option<[u8; 32]>,
    client: Option<[u8; 32]>,
    created_at: i64,
    state: PaymentState,
    updated_at: i64,
) -> RowHolder {
    let delivered = (state == PaymentState::Delivered).then(|| UnixTime(from_sqlite(updated_at)));
    RowHolder { secret, client, claimed: UnixTime(from_sqlite(created_at)), delivered }
}

/// The meaning of an existing row for a payment whose presenter may know it. The request must be the same. `owed` makes
/// the outcome for an answer that is owed.
fn outcome(
    row: ExistingRow,
    presented: &Presented,
    owed: impl FnOnce(SettlementResponse) -> Result<Claimed, LedgerError>,
) -> Result<Claimed, LedgerError> {
    if row.request != presented.request.0 {
        return Ok(Claimed::OtherRequest);
    }
    let settlement = || {
        row.settlement.as_deref().and_then(|json| serde_json::from_str(json).ok()).ok_or_else(|| {
            LedgerError::Schema(format!("payment {} is paid without a settlement", presented.id.short()))
        })
    };
    Ok(match row.state {
        PaymentState::Reserved | PaymentState::Executing => Claimed::InFlight,
        PaymentState::Settling | PaymentState::Unknown => Claimed::Settling { transaction: row.transaction },
        PaymentState::Owed => owed(settlement()?)?,
        PaymentState::Refunding => Claimed::Refunding,
        PaymentState::Refunded => Claimed::Refunded { transaction: row.refund.unwrap_or_default() },
        PaymentState::Settled | PaymentState::Delivered => Claimed::Settled {
            settlement: settlement()?,
            answer: row
                .answer
                .map(|bytes| KeptAnswer { row: row.id, bytes: usize::try_from(bytes).unwrap_or(usize::MAX) }),
        },
        PaymentState::Refused => Claimed::Refused { reason: row.reason.unwrap_or_default() },
    })
}
