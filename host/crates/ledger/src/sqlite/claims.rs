//! Makes claims, and looks up an existing claim when a new one conflicts with it.

use bytes::Bytes;
use coinslot_x402::UnixTime;
use rusqlite::{Connection, OptionalExtension, params};

use crate::number::to_sqlite;
use crate::{Claim, Claimed, LedgerError, PaymentState, Presented, StoredAnswer};

/// The relation of an existing row to the claim that meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// The row is of the same authorisation.
    SamePayment,
    /// The row is of another authorisation of the same payer, with the same identifier.
    SameIdentifier,
}

/// A row that stands where a claim would be inserted, with the answer that it bought.
struct ExistingRow {
    id: i64,
    state: String,
    payment: Vec<u8>,
    request: Vec<u8>,
    settlement: Option<String>,
    transaction: Option<String>,
    reason: Option<String>,
    head: Option<String>,
    body: Option<Vec<u8>>,
}

/// Claims a payment, or says what became of the claim that is there already.
pub(super) fn claim(connection: &Connection, claim: &Claim) -> Result<Claimed, LedgerError> {
    // First the identifier: the insert needs it free, and a refused payment gives it up only here.
    if let Some(claimed) = with_same_identifier(connection, claim)? {
        return Ok(claimed);
    }
    if insert(connection, claim)? {
        return Ok(Claimed::Won);
    }
    existing(connection, &claim.presented(), claim.at)?
        .ok_or_else(|| LedgerError::OutOfOrder { id: claim.id.short(), step: "claimed" })
}

/// Looks up the claim of this authorisation. An owed one becomes executing, and the caller's.
pub(super) fn existing(
    connection: &Connection,
    presented: &Presented,
    at: UnixTime,
) -> Result<Option<Claimed>, LedgerError> {
    let Some(row) = row(connection, presented.id.digest())? else { return Ok(None) };
    let id = row.id;
    let claimed = outcome(row, presented, Owner::SamePayment)?;
    if let Claimed::Owed { .. } = claimed {
        connection
            .prepare_cached("UPDATE progress SET state = 'executing', reason = NULL, updated_at = ?2 WHERE id = ?1")?
            .execute(params![id, to_sqlite(at.0)])?;
    }
    Ok(Some(claimed))
}

/// Looks up another authorisation of this payer with the claim's identifier. A refused one gives its identifier up.
fn with_same_identifier(connection: &Connection, claim: &Claim) -> Result<Option<Claimed>, LedgerError> {
    let Some(identifier) = &claim.identifier else { return Ok(None) };
    let other: Option<[u8; 32]> = connection
        .prepare_cached("SELECT key FROM claim WHERE payer = ?1 AND identifier = ?2 AND key <> ?3")?
        .query_row(params![claim.id.payer(), identifier, claim.id.digest()], |row| row.get(0))
        .optional()?;
    let Some(other) = other else { return Ok(None) };
    let Some(row) = row(connection, &other)? else { return Ok(None) };
    let id = row.id;
    match outcome(row, &claim.presented(), Owner::SameIdentifier)? {
        Claimed::Refused { .. } => {
            connection.prepare_cached("UPDATE claim SET identifier = NULL WHERE id = ?1")?.execute(params![id])?;
            Ok(None)
        }
        // Only the payment that is owed an answer may fetch it.
        Claimed::Owed { settlement } => Ok(Some(Claimed::Settling { transaction: Some(settlement.transaction) })),
        claimed => Ok(Some(claimed)),
    }
}

/// Inserts a reserved row. `false` if there is a row of this authorisation already.
fn insert(connection: &Connection, claim: &Claim) -> Result<bool, LedgerError> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO claim (key, payment_id, network, asset, payer, nonce, amount, pay_to, testnet, endpoint, plugin,
                generation, payment, request, identifier, valid_before, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
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
        ])?;
    if inserted == 1 {
        connection
            .prepare_cached(
                "INSERT INTO progress (id, flow, state, sent, paid, updated_at) VALUES (?1, ?2, 'reserved', 0, 0, ?3)",
            )?
            .execute(params![connection.last_insert_rowid(), claim.flow.as_str(), to_sqlite(claim.at.0)])?;
    }
    Ok(inserted == 1)
}

fn row(connection: &Connection, key: &[u8; 32]) -> Result<Option<ExistingRow>, LedgerError> {
    let row = connection
        .prepare_cached(
            "SELECT claim.id, state, payment, request, response, tx, reason, head, body
             FROM claim JOIN progress USING (id) LEFT JOIN settlement USING (id) LEFT JOIN answer USING (id)
             WHERE key = ?1",
        )?
        .query_row(params![key], |row| {
            Ok(ExistingRow {
                id: row.get(0)?,
                state: row.get(1)?,
                payment: row.get(2)?,
                request: row.get(3)?,
                settlement: row.get(4)?,
                transaction: row.get::<_, Option<String>>(5)?.filter(|transaction| !transaction.is_empty()),
                reason: row.get(6)?,
                head: row.get(7)?,
                body: row.get(8)?,
            })
        })
        .optional()?;
    Ok(row)
}

/// The meaning of an existing row for a payment that is presented. The request must be the same and, for the same
/// authorisation, the signature; otherwise nothing about the row is disclosed.
fn outcome(row: ExistingRow, presented: &Presented, owner: Owner) -> Result<Claimed, LedgerError> {
    let other_signature = owner == Owner::SamePayment && row.payment != presented.payment.0;
    if other_signature || row.request != presented.request.0 {
        return Ok(Claimed::OtherRequest);
    }
    let settlement = || {
        row.settlement.as_deref().and_then(|json| serde_json::from_str(json).ok()).ok_or_else(|| {
            LedgerError::Schema(format!("payment {} is paid without a settlement", presented.id.short()))
        })
    };
    let state = PaymentState::parse(&row.state)
        .ok_or_else(|| LedgerError::Schema(format!("payment {} has no known state", presented.id.short())))?;
    Ok(match state {
        PaymentState::Reserved | PaymentState::Executing => Claimed::InFlight,
        PaymentState::Settling | PaymentState::Unknown => Claimed::Settling { transaction: row.transaction },
        PaymentState::Owed => Claimed::Owed { settlement: settlement()? },
        PaymentState::Settled | PaymentState::Delivered => Claimed::Settled {
            settlement: settlement()?,
            answer: row.head.as_deref().and_then(|head| stored_answer(head, row.body.unwrap_or_default())),
        },
        PaymentState::Refused => Claimed::Refused { reason: row.reason.unwrap_or_default() },
    })
}

/// Status and header fields of an answer as they are stored: JSON, with the values of the fields in hex because HTTP
/// allows bytes that are not UTF-8.
pub(super) fn encode_head(answer: &StoredAnswer) -> String {
    let headers: Vec<(&str, String)> =
        answer.headers.iter().map(|(name, value)| (name.as_str(), hex::encode(value))).collect();
    serde_json::json!({ "status": answer.status, "headers": headers }).to_string()
}

fn stored_answer(head: &str, body: Vec<u8>) -> Option<StoredAnswer> {
    #[derive(serde::Deserialize)]
    struct AnswerHead {
        status: u16,
        headers: Vec<(String, String)>,
    }
    let head: AnswerHead = serde_json::from_str(head).ok()?;
    let headers =
        head.headers.into_iter().map(|(name, value)| Some((name, hex::decode(value).ok()?))).collect::<Option<_>>()?;
    Some(StoredAnswer { status: head.status, headers, body: Bytes::from(body) })
}
