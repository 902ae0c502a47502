//! What stands where a claim wanted to go.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use crate::ledger::{Claim, Claimed, KeptAnswer, LedgerError};

/// Whose row it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// This very authorisation.
    Same,
    /// Another authorisation of the same payer, with the same identifier.
    Namesake,
}

struct Row {
    state: String,
    payment: Vec<u8>,
    request: Vec<u8>,
    settlement: Option<String>,
    transaction: Option<String>,
    reason: Option<String>,
    head: Option<String>,
    body: Option<Vec<u8>>,
}

/// The row of this authorisation. A debt is taken up: the row is executing, and the caller's.
pub(super) fn of(connection: &Connection, key: &[u8], claim: &Claim) -> Result<Option<Claimed>, LedgerError> {
    let Some(row) = row(connection, key)? else { return Ok(None) };
    let claimed = read(row, claim, Owner::Same)?;
    if let Claimed::Owed { .. } = claimed {
        connection
            .prepare_cached("UPDATE payment SET state = 'executing', reason = NULL, updated_at = ?2 WHERE key = ?1")?
            .execute(params![key, super::integer(claim.at.0)])?;
    }
    Ok(Some(claimed))
}

/// The row of another authorisation with this claim's identifier. A refused one gives its name up.
pub(super) fn of_namesake(connection: &Connection, key: &[u8], claim: &Claim) -> Result<Option<Claimed>, LedgerError> {
    let Some(identifier) = &claim.identifier else { return Ok(None) };
    let other: Option<Vec<u8>> = connection
        .prepare_cached("SELECT key FROM payment WHERE payer = ?1 AND identifier = ?2 AND key <> ?3")?
        .query_row(params![claim.id.payer, identifier, key], |row| row.get(0))
        .optional()?;
    let Some(other) = other else { return Ok(None) };
    let Some(row) = row(connection, &other)? else { return Ok(None) };
    match read(row, claim, Owner::Namesake)? {
        Claimed::Refused { .. } => {
            connection
                .prepare_cached("UPDATE payment SET identifier = NULL WHERE key = ?1")?
                .execute(params![other])?;
            Ok(None)
        }
        // The debt is the other payment's to fetch.
        Claimed::Owed { settlement } => Ok(Some(Claimed::Settling { transaction: Some(settlement.transaction) })),
        claimed => Ok(Some(claimed)),
    }
}

fn row(connection: &Connection, key: &[u8]) -> Result<Option<Row>, LedgerError> {
    let row = connection
        .prepare_cached(
            "SELECT state, payment, request, settlement, tx, reason, head, body
             FROM payment LEFT JOIN answer USING (key) WHERE key = ?1",
        )?
        .query_row(params![key], |row| {
            Ok(Row {
                state: row.get(0)?,
                payment: row.get(1)?,
                request: row.get(2)?,
                settlement: row.get(3)?,
                transaction: row.get(4)?,
                reason: row.get(5)?,
                head: row.get(6)?,
                body: row.get(7)?,
            })
        })
        .optional()?;
    Ok(row)
}

fn read(row: Row, claim: &Claim, owner: Owner) -> Result<Claimed, LedgerError> {
    let other_payment = owner == Owner::Same && row.payment != claim.payment.0;
    if other_payment || row.request != claim.request.0 {
        return Ok(Claimed::OtherRequest);
    }
    let settlement = || {
        row.settlement
            .as_deref()
            .and_then(|json| serde_json::from_str(json).ok())
            .ok_or_else(|| LedgerError::Schema(format!("payment {} is paid without a settlement", claim.id.short())))
    };
    Ok(match row.state.as_str() {
        "reserved" | "executing" => Claimed::InFlight,
        "settling" | "unknown" => Claimed::Settling { transaction: row.transaction },
        "owed" => Claimed::Owed { settlement: settlement()? },
        "settled" | "delivered" => Claimed::Settled {
            settlement: settlement()?,
            answer: row.head.as_deref().and_then(|head| kept(head, row.body.unwrap_or_default())),
        },
        _ => Claimed::Refused { reason: row.reason.unwrap_or_default() },
    })
}

/// Status and header fields as they are stored.
pub(super) fn head(answer: &KeptAnswer) -> String {
    let headers: Vec<(&str, String)> =
        answer.headers.iter().map(|(name, value)| (name.as_str(), hex::encode(value))).collect();
    serde_json::json!({ "status": answer.status, "headers": headers }).to_string()
}

fn kept(head: &str, body: Vec<u8>) -> Option<KeptAnswer> {
    #[derive(serde::Deserialize)]
    struct Head {
        status: u16,
        headers: Vec<(String, String)>,
    }
    let head: Head = serde_json::from_str(head).ok()?;
    let headers =
        head.headers.into_iter().map(|(name, value)| Some((name, hex::decode(value).ok()?))).collect::<Option<_>>()?;
    Some(KeptAnswer { status: head.status, headers, body: Bytes::from(body) })
}
