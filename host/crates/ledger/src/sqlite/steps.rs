//! The steps of a payment. Each changes one narrow row, and writes beside it what does not change again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::{SqliteLedger, integer, lookup, prune};
use crate::step::{Next, Position};
use crate::{
    Claim, Claimed, Ledger, LedgerError, PaymentId, PaymentState, Pending, Presented, Retained, Retention, SettledBy,
    Step, StoredAnswer,
};
use coinslot_x402::{Flow, Network, SettlementResponse, UnixTime};

#[async_trait]
impl Ledger for SqliteLedger {
    async fn claim(&self, claim: Claim) -> Result<Claimed, LedgerError> {
        self.run(move |connection| {
            // Another payment may have to give its name up first.
            if let Some(claimed) = lookup::of_namesake(connection, &claim)? {
                return Ok(claimed);
            }
            if insert(connection, &claim)? {
                return Ok(Claimed::Won);
            }
            lookup::of(connection, &claim.presented(), claim.at)?
                .ok_or_else(|| LedgerError::OutOfOrder { id: claim.id.short(), step: "claimed" })
        })
        .await
    }

    async fn reclaim(&self, presented: Presented, at: UnixTime) -> Result<Option<Claimed>, LedgerError> {
        self.run(move |connection| lookup::of(connection, &presented, at)).await
    }

    async fn advance(&self, id: &PaymentId, step: Step, at: UnixTime) -> Result<(), LedgerError> {
        let id = id.clone();
        match step {
            Step::Delivered { .. } => self.run_lazily(move |connection| advance(connection, &id, step, at)).await,
            _ => self.run(move |connection| advance(connection, &id, step, at)).await,
        }
    }

    async fn pending(&self, settling_before: UnixTime, limit: u32) -> Result<Vec<Pending>, LedgerError> {
        self.run(move |connection| {
            let mut rows = connection.prepare_cached(
                "SELECT network, asset, payer, nonce, outgoing.request, kept_at IS NOT NULL, valid_before, flow
                 FROM outgoing CROSS JOIN progress USING (id) JOIN claim USING (id) LEFT JOIN answer USING (id)
                 WHERE state = 'unknown' OR (state = 'settling' AND updated_at < ?1)
                 ORDER BY updated_at LIMIT ?2",
            )?;
            let mut found = rows.query(params![integer(settling_before.0), limit])?;
            let mut pending = Vec::new();
            while let Some(row) = found.next()? {
                let network = Network::parse(&row.get::<_, String>(0)?)
                    .map_err(|error| LedgerError::Schema(error.to_string()))?;
                pending.push(Pending {
                    id: PaymentId::new(network, row.get(1)?, row.get(2)?, row.get(3)?),
                    request: row.get(4)?,
                    answer_kept: row.get(5)?,
                    valid_before: UnixTime(row.get::<_, i64>(6)?.cast_unsigned()),
                    flow: Flow::parse(&row.get::<_, String>(7)?).unwrap_or_default(),
                });
            }
            Ok(pending)
        })
        .await
    }

    async fn failed_settlements(&self, since: UnixTime) -> Result<Vec<(String, u32)>, LedgerError> {
        self.run(move |connection| {
            let mut rows = connection.prepare_cached(
                "SELECT payer, count(*) FROM progress JOIN claim USING (id)
                 WHERE state = 'refused' AND sent AND updated_at >= ?1 GROUP BY payer",
            )?;
            let found = rows.query_map(params![integer(since.0)], |row| Ok((row.get(0)?, row.get(1)?)))?;
            found.collect::<Result<_, _>>().map_err(LedgerError::from)
        })
        .await
    }

    async fn prune(&self, now: UnixTime, kept: Retention) -> Result<u64, LedgerError> {
        self.run(move |connection| prune::prune(connection, now, kept)).await
    }

    fn writable(&self) -> bool {
        self.writable.load(Ordering::Acquire)
    }

    async fn probe(&self, at: UnixTime) -> Result<(), LedgerError> {
        self.run(move |connection| {
            connection
                .prepare_cached("INSERT INTO heartbeat (one, at) VALUES (1, ?1) ON CONFLICT DO UPDATE SET at = ?1")?
                .execute(params![integer(at.0)])?;
            Ok(())
        })
        .await
    }
}

/// Takes a step. Everything that may refuse it comes before the first write: a job that fails later takes its whole
/// commit with it.
///
/// The row is read first and written by its number. Its state is no condition of the statements: they would have to
/// name it as a literal, since SQLite prepares a statement anew for each value that may decide whether a partial index
/// serves it.
fn advance(connection: &Connection, id: &PaymentId, step: Step, at: UnixTime) -> Result<(), LedgerError> {
    let out_of_order = || LedgerError::OutOfOrder { id: id.short(), step: step.name() };
    let found = position(connection, id)?;
    if let Step::Delivered { keep } = step {
        return found.map_or(Ok(()), |(row, from)| deliver(connection, row, from, keep, at));
    }
    let (row, from) = found.ok_or_else(out_of_order)?;
    if let Step::Settled { settlement, by: SettledBy::Request { alone: true, .. } } = &step
        && of_another(connection, row, &settlement.transaction)?
    {
        return Err(LedgerError::Transaction { transaction: settlement.transaction.clone() });
    }
    let state = match step.next(from).ok_or_else(out_of_order)? {
        Next::State(state) => state,
        Next::Deleted => return release(connection, row),
    };
    match step {
        Step::Settling { request, answer } => {
            settling(connection, row, Flow::Authorization, &request, at)?;
            keep(connection, row, &answer, at)
        }
        Step::SettlingUpfront { request } => settling(connection, row, Flow::Upfront, &request, at),
        Step::Unknown { transaction } => {
            enter(connection, row, state, at)?;
            transaction.map_or(Ok(()), |transaction| book(connection, row, &transaction, None))
        }
        Step::Settled { settlement, by } => settled(connection, row, state, &settlement, by, at),
        Step::Answered { kept, run } => answered(connection, row, kept, run, at),
        Step::Owed { reason } => fail(connection, row, state, &reason, at),
        Step::Refused { reason, transaction } => {
            fail(connection, row, state, &reason, at)?;
            if let Some(transaction) = transaction {
                book(connection, row, &transaction, None)?;
            }
            arrived(connection, row)?;
            forget(connection, row)
        }
        Step::Executing | Step::Released | Step::Delivered { .. } => enter(connection, row, state, at),
    }
}

/// The row of a payment, and where it is in the state diagram.
fn position(connection: &Connection, id: &PaymentId) -> Result<Option<(i64, Position)>, LedgerError> {
    let mut rows = connection
        .prepare_cached("SELECT progress.id, state, flow, paid FROM claim JOIN progress USING (id) WHERE key = ?1")?;
    let found: Option<(i64, String, String, bool)> = rows
        .query_row(params![id.digest()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((row, state, flow, paid)) = found else { return Ok(None) };
    let unknown = |what: &str| LedgerError::Schema(format!("payment {} has the unknown {what}", id.short()));
    let state = PaymentState::parse(&state).ok_or_else(|| unknown(&format!("state `{state}`")))?;
    let flow = Flow::parse(&flow).ok_or_else(|| unknown(&format!("flow `{flow}`")))?;
    Ok(Some((row, Position { state, flow, paid })))
}

/// Moves a row into a state, and changes nothing else of it.
fn enter(connection: &Connection, row: i64, state: PaymentState, at: UnixTime) -> Result<(), LedgerError> {
    connection.prepare_cached("UPDATE progress SET state = ?2, updated_at = ?3 WHERE id = ?1")?.execute(params![
        row,
        state.as_str(),
        integer(at.0)
    ])?;
    Ok(())
}

/// Moves a row into a state that has a reason.
fn fail(connection: &Connection, row: i64, state: PaymentState, reason: &str, at: UnixTime) -> Result<(), LedgerError> {
    connection
        .prepare_cached("UPDATE progress SET state = ?2, reason = ?3, updated_at = ?4 WHERE id = ?1")?
        .execute(params![row, state.as_str(), reason, integer(at.0)])?;
    Ok(())
}

fn release(connection: &Connection, row: i64) -> Result<(), LedgerError> {
    connection.prepare_cached("DELETE FROM progress WHERE id = ?1")?.execute(params![row])?;
    connection.prepare_cached("DELETE FROM claim WHERE id = ?1")?.execute(params![row])?;
    Ok(())
}

/// The flow is that of the step, whatever was claimed.
fn settling(connection: &Connection, row: i64, flow: Flow, request: &str, at: UnixTime) -> Result<(), LedgerError> {
    connection
        .prepare_cached("UPDATE progress SET state = 'settling', flow = ?2, sent = 1, updated_at = ?3 WHERE id = ?1")?
        .execute(params![row, flow.as_str(), integer(at.0)])?;
    connection.prepare_cached("INSERT INTO outgoing (id, request) VALUES (?1, ?2)")?.execute(params![row, request])?;
    Ok(())
}

fn settled(
    connection: &Connection,
    row: i64,
    state: PaymentState,
    settlement: &SettlementResponse,
    by: SettledBy,
    at: UnixTime,
) -> Result<(), LedgerError> {
    let json = serde_json::to_string(settlement).map_err(|error| LedgerError::Unavailable(error.to_string()))?;
    let (verify, run, settle) = match by {
        SettledBy::Request { verify, run, settle, .. } => (Some(micros(verify)), run.map(micros), Some(micros(settle))),
        SettledBy::Recovery => (None, None, None),
    };
    connection
        .prepare_cached(
            "UPDATE progress SET state = ?2, paid = 1, reason = NULL, updated_at = ?3,
                verify_us = coalesce(?4, verify_us), run_us = coalesce(?5, run_us), settle_us = coalesce(?6, settle_us)
             WHERE id = ?1",
        )?
        .execute(params![row, state.as_str(), integer(at.0), verify, run, settle])?;
    book(connection, row, &settlement.transaction, Some(&json))?;
    arrived(connection, row)
}

fn answered(connection: &Connection, row: i64, kept: Retained, run: Duration, at: UnixTime) -> Result<(), LedgerError> {
    let (answer, why) = match kept {
        Retained::Answer(answer) => (Some(answer), None),
        Retained::Nothing { why } => (None, Some(why)),
    };
    connection
        .prepare_cached(
            "UPDATE progress SET state = 'settled', run_us = ?2, updated_at = ?3, reason = ?4 WHERE id = ?1",
        )?
        .execute(params![row, micros(run), integer(at.0), why])?;
    answer.map_or(Ok(()), |answer| keep(connection, row, &answer, at))
}

/// An answer that is fetched again was delivered before: its row stays as it is, and so does its time.
fn deliver(connection: &Connection, row: i64, from: Position, keep: bool, at: UnixTime) -> Result<(), LedgerError> {
    if let Some(Next::State(state)) = (Step::Delivered { keep }).next(from) {
        enter(connection, row, state, at)?;
    }
    if keep { Ok(()) } else { forget(connection, row) }
}

/// Whether the claim is new.
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
            integer(claim.generation),
            claim.payment.0,
            claim.request.0,
            claim.identifier,
            integer(claim.valid_before.0),
            integer(claim.at.0),
        ])?;
    if inserted == 1 {
        connection
            .prepare_cached(
                "INSERT INTO progress (id, flow, state, sent, paid, updated_at) VALUES (?1, ?2, 'reserved', 0, 0, ?3)",
            )?
            .execute(params![connection.last_insert_rowid(), claim.flow.as_str(), integer(claim.at.0)])?;
    }
    Ok(inserted == 1)
}

/// Whether another payment was settled by this transaction.
fn of_another(connection: &Connection, id: i64, transaction: &str) -> Result<bool, LedgerError> {
    Ok(connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM settlement WHERE tx = ?1 AND id <> ?2)")?
        .query_row(params![transaction, id], |row| row.get(0))?)
}

/// Writes down the transaction, and the response if the money moved.
fn book(connection: &Connection, id: i64, transaction: &str, response: Option<&str>) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "INSERT INTO settlement (id, tx, response) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET tx = excluded.tx, response = excluded.response",
        )?
        .execute(params![id, transaction, response])?;
    Ok(())
}

/// Its settlement's end is known: nobody sends it again.
fn arrived(connection: &Connection, id: i64) -> Result<(), LedgerError> {
    connection.prepare_cached("DELETE FROM outgoing WHERE id = ?1")?.execute(params![id])?;
    Ok(())
}

fn keep(connection: &Connection, id: i64, answer: &StoredAnswer, at: UnixTime) -> Result<(), LedgerError> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO answer (id, head, body, kept_at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![id, lookup::head(answer), answer.body.as_ref(), integer(at.0)])?;
    Ok(())
}

fn forget(connection: &Connection, id: i64) -> Result<(), LedgerError> {
    connection.prepare_cached("DELETE FROM answer WHERE id = ?1")?.execute(params![id])?;
    Ok(())
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
