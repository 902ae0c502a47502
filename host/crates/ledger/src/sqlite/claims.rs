//! Looks up an existing claim when a new one conflicts with it.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use coinslot_x402::UnixTime;

use crate::{Claim, Claimed, LedgerError, Presented, StoredAnswer};

/// Whose row it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// This very authorisation.
    Same,
    /// Another authorisation of the same payer, with the same identifier.
    Namesake,
}

struct Row {
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

/// The row of this authorisation. A debt is taken up: the row is executing, and the caller's.
pub(super) fn of(connection: &Connection, presented: &Presented, at: UnixTime) -> Result<Option<Claimed>, LedgerError> {
    let Some(row) = row(connection, presented.id.digest())? else { return Ok(None) };
    let id = row.id;
    let claimed = read(row, presented, Owner::Same)?;
    if let Claimed::Owed { .. } = claimed {
        connection
            .prepare_cached("UPDATE progress SET state = 'executing', reason = NULL, updated_at = ?2 WHERE id = ?1")?
            .execute(params![id, super::integer(at.0)])?;
    }
    Ok(Some(claimed))
}

/// The row of another authorisation with this claim's identifier. A refused one gives its name up.
pub(super) fn of_namesake(connection: &Connection, claim: &Claim) -> Result<Option<Claimed>, LedgerError> {
    let Some(identifier) = &claim.identifier else { return Ok(None) };
    let other: Option<[u8; 32]> = connection
        .prepare_cached("SELECT key FROM claim WHERE payer = ?1 AND identifier = ?2 AND key <> ?3")?
        .query_row(params![claim.id.payer(), identifier, claim.id.digest()], |row| row.get(0))
        .optional()?;
    let Some(other) = other else { return Ok(None) };
    let Some(row) = row(connection, &other)? else { return Ok(None) };
    let id = row.id;
    match read(row, &claim.presented(), Owner::Namesake)? {
        Claimed::Refused { .. } => {
            connection.prepare_cached("UPDATE claim SET identifier = NULL WHERE id = ?1")?.execute(params![id])?;
            Ok(None)
        }
        // The debt is the other payment's to fetch.
        Claimed::Owed { settlement } => Ok(Some(Claimed::Settling { transaction: Some(settlement.transaction) })),
        claimed => Ok(Some(claimed)),
    }
}

fn row(connection: &Connection, key: &[u8; 32]) -> Result<Option<Row>, LedgerError> {
    let row = connection
        .prepare_cached(
            "SELECT claim.id, state, payment, request, response, tx, reason, head, body
             FROM claim JOIN progress USING (id) LEFT JOIN settlement USING (id) LEFT JOIN answer USING (id)
             WHERE key = ?1",
        )?
        .query_row(params![key], |row| {
            Ok(Row {
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

fn read(row: Row, presented: &Presented, owner: Owner) -> Result<Claimed, LedgerError> {
    let other_payment = owner == Owner::Same && row.payment != presented.payment.0;
    if other_payment || row.request != presented.request.0 {
        return Ok(Claimed::OtherRequest);
    }
    let settlement = || {
        row.settlement.as_deref().and_then(|json| serde_json::from_str(json).ok()).ok_or_else(|| {
            LedgerError::Schema(format!("payment {} is paid without a settlement", presented.id.short()))
        })
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
pub(super) fn head(answer: &StoredAnswer) -> String {
    let headers: Vec<(&str, String)> =
        answer.headers.iter().map(|(name, value)| (name.as_str(), hex::encode(value))).collect();
    serde_json::json!({ "status": answer.status, "headers": headers }).to_string()
}

fn kept(head: &str, body: Vec<u8>) -> Option<StoredAnswer> {
    #[derive(serde::Deserialize)]
    struct Head {
        status: u16,
        headers: Vec<(String, String)>,
    }
    let head: Head = serde_json::from_str(head).ok()?;
    let headers =
        head.headers.into_iter().map(|(name, value)| Some((name, hex::decode(value).ok()?))).collect::<Option<_>>()?;
    Some(StoredAnswer { status: head.status, headers, body: Bytes::from(body) })
}
