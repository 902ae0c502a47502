//! The steps of a payment. Each changes one narrow row, and writes beside it what does not change again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::{Embedded, integer, prune, standing};
use crate::{
    Answer, Claim, Claimed, Ledger, LedgerError, Payment, PaymentId, Pending, Retained, Retention, SettledBy,
    StoredAnswer,
};
use coinslot_x402::{Flow, Network, SettlementResponse, UnixTime};

impl Ledger for Embedded {
    fn claim(&self, claim: Claim) -> Answer<'_, Claimed> {
        self.run(move |connection| {
            // Another payment may have to give its name up first.
            if let Some(standing) = standing::of_namesake(connection, &claim)? {
                return Ok(standing);
            }
            if insert(connection, &claim)? {
                return Ok(Claimed::Won);
            }
            standing::of(connection, &claim)?
                .ok_or_else(|| LedgerError::OutOfOrder { id: claim.id.short(), step: "claimed" })
        })
    }

    fn standing(&self, claim: Claim) -> Answer<'_, Option<Claimed>> {
        self.run(move |connection| standing::of(connection, &claim))
    }

    fn release<'a>(&'a self, id: &'a PaymentId) -> Answer<'a, ()> {
        self.step(id, "released", move |connection, id| {
            let changed = connection
                .prepare_cached(
                    "DELETE FROM progress WHERE id = ?1 AND state IN ('reserved', 'executing') AND NOT paid",
                )?
                .execute(params![id])?;
            if changed == 1 {
                connection.prepare_cached("DELETE FROM claim WHERE id = ?1")?.execute(params![id])?;
            }
            Ok(changed)
        })
    }

    fn executing<'a>(&'a self, id: &'a PaymentId, at: UnixTime) -> Answer<'a, ()> {
        self.step(id, "executing", move |connection, id| {
            Ok(connection
                .prepare_cached(
                    "UPDATE progress SET state = 'executing', updated_at = ?2 WHERE id = ?1 AND state = 'reserved'",
                )?
                .execute(params![id, integer(at.0)])?)
        })
    }

    fn settling<'a>(
        &'a self,
        id: &'a PaymentId,
        request: String,
        answer: Option<StoredAnswer>,
        at: UnixTime,
    ) -> Answer<'a, ()> {
        self.step(id, "settling", move |connection, id| {
            // The states are no parameters: SQLite would prepare the statement anew for each, because of its index.
            let sql = match &answer {
                Some(_) => {
                    "UPDATE progress SET state = 'settling', flow = 'authorization', sent = 1, updated_at = ?2
                     WHERE id = ?1 AND state = 'executing' AND NOT paid"
                }
                None => {
                    "UPDATE progress SET state = 'settling', flow = 'upfront', sent = 1, updated_at = ?2
                     WHERE id = ?1 AND state = 'reserved'"
                }
            };
            let changed = connection.prepare_cached(sql)?.execute(params![id, integer(at.0)])?;
            if changed == 1 {
                connection
                    .prepare_cached("INSERT INTO outgoing (id, request) VALUES (?1, ?2)")?
                    .execute(params![id, request])?;
                answer.map_or(Ok(()), |answer| keep(connection, id, &answer, at))?;
            }
            Ok(changed)
        })
    }

    fn unknown<'a>(&'a self, id: &'a PaymentId, transaction: Option<String>, at: UnixTime) -> Answer<'a, ()> {
        self.step(id, "unknown", move |connection, id| {
            let changed = connection
                .prepare_cached(
                    "UPDATE progress SET state = 'unknown', updated_at = ?2
                     WHERE id = ?1 AND state IN ('settling', 'unknown')",
                )?
                .execute(params![id, integer(at.0)])?;
            if let (1, Some(transaction)) = (changed, transaction) {
                book(connection, id, &transaction, None)?;
            }
            Ok(changed)
        })
    }

    fn settled<'a>(
        &'a self,
        id: &'a PaymentId,
        settlement: SettlementResponse,
        by: SettledBy,
        at: UnixTime,
    ) -> Answer<'a, ()> {
        self.step(id, "settled", move |connection, id| {
            let json =
                serde_json::to_string(&settlement).map_err(|error| LedgerError::Unavailable(error.to_string()))?;
            let transaction = settlement.transaction;
            let (verify, run, settle) = match by {
                SettledBy::Request { verify, run, settle, .. } => {
                    (Some(micros(verify)), run.map(micros), Some(micros(settle)))
                }
                SettledBy::Recovery => (None, None, None),
            };
            if matches!(by, SettledBy::Request { alone: true, .. }) && of_another(connection, id, &transaction)? {
                return Err(LedgerError::Transaction { transaction });
            }
            let changed = connection
                .prepare_cached(
                    "UPDATE progress SET paid = 1, reason = NULL, updated_at = ?2,
                        state = iif(flow = 'authorization', 'settled', iif(?3, 'owed', 'executing')),
                        verify_us = coalesce(?4, verify_us), run_us = coalesce(?5, run_us),
                        settle_us = coalesce(?6, settle_us)
                     WHERE id = ?1 AND state IN ('settling', 'unknown')",
                )?
                .execute(params![id, integer(at.0), by == SettledBy::Recovery, verify, run, settle])?;
            if changed == 1 {
                book(connection, id, &transaction, Some(&json))?;
                arrived(connection, id)?;
            }
            Ok(changed)
        })
    }

    fn answered<'a>(&'a self, id: &'a PaymentId, kept: Retained, run: Duration, at: UnixTime) -> Answer<'a, ()> {
        self.step(id, "answered", move |connection, id| {
            let (answer, why) = match kept {
                Retained::Answer(answer) => (Some(answer), None),
                Retained::Nothing { why } => (None, Some(why)),
            };
            let changed = connection
                .prepare_cached(
                    "UPDATE progress SET state = 'settled', run_us = ?2, updated_at = ?3, reason = ?4
                     WHERE id = ?1 AND state = 'executing' AND paid",
                )?
                .execute(params![id, micros(run), integer(at.0), why])?;
            if let (1, Some(answer)) = (changed, answer) {
                keep(connection, id, &answer, at)?;
            }
            Ok(changed)
        })
    }

    fn owe<'a>(&'a self, id: &'a PaymentId, reason: String, at: UnixTime) -> Answer<'a, ()> {
        self.step(id, "owed", move |connection, id| {
            Ok(connection
                .prepare_cached(
                    "UPDATE progress SET state = 'owed', reason = ?2, updated_at = ?3
                     WHERE id = ?1 AND state = 'executing' AND paid",
                )?
                .execute(params![id, reason, integer(at.0)])?)
        })
    }

    fn refused<'a>(
        &'a self,
        id: &'a PaymentId,
        reason: String,
        transaction: Option<String>,
        at: UnixTime,
    ) -> Answer<'a, ()> {
        self.step(id, "refused", move |connection, id| {
            let changed = connection
                .prepare_cached(
                    "UPDATE progress SET state = 'refused', reason = ?2, updated_at = ?3
                     WHERE id = ?1 AND state IN ('settling', 'unknown')",
                )?
                .execute(params![id, reason, integer(at.0)])?;
            if changed == 1 {
                if let Some(transaction) = transaction {
                    book(connection, id, &transaction, None)?;
                }
                arrived(connection, id)?;
                forget(connection, id)?;
            }
            Ok(changed)
        })
    }

    fn delivered<'a>(&'a self, id: &'a PaymentId, keep: bool, at: UnixTime) -> Answer<'a, ()> {
        let id = id.clone();
        self.run_soon(move |connection| {
            let Some(id) = row_of(connection, &id)? else { return Ok(()) };
            // Fetched again, it was delivered before.
            connection
                .prepare_cached(
                    "UPDATE progress SET state = 'delivered', updated_at = ?2 WHERE id = ?1 AND state = 'settled'",
                )?
                .execute(params![id, integer(at.0)])?;
            if keep { Ok(()) } else { forget(connection, id) }
        })
    }

    fn pending(&self, settling_before: UnixTime, limit: u32) -> Answer<'_, Vec<Pending>> {
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
    }

    fn strikes(&self, since: UnixTime) -> Answer<'_, Vec<(String, u32)>> {
        self.run(move |connection| {
            let mut rows = connection.prepare_cached(
                "SELECT payer, count(*) FROM progress JOIN claim USING (id)
                 WHERE state = 'refused' AND sent AND updated_at >= ?1 GROUP BY payer",
            )?;
            let found = rows.query_map(params![integer(since.0)], |row| Ok((row.get(0)?, row.get(1)?)))?;
            found.collect::<Result<_, _>>().map_err(LedgerError::from)
        })
    }

    fn prune(&self, now: UnixTime, kept: Retention) -> Answer<'_, u64> {
        self.run(move |connection| prune::prune(connection, now, kept))
    }

    fn payments(&self, limit: u32) -> Answer<'_, Vec<Payment>> {
        self.run(move |connection| {
            let mut rows = connection.prepare_cached(
                "SELECT payment_id, state, flow, endpoint, plugin, network, asset, amount, payer, pay_to, tx, reason,
                    testnet, created_at, updated_at FROM payment ORDER BY id DESC LIMIT ?1",
            )?;
            let found = rows.query_map(params![limit], |row| {
                Ok(Payment {
                    payment_id: row.get(0)?,
                    state: row.get(1)?,
                    flow: row.get(2)?,
                    endpoint: row.get(3)?,
                    plugin: row.get(4)?,
                    network: row.get(5)?,
                    asset: row.get(6)?,
                    amount: row.get(7)?,
                    payer: row.get(8)?,
                    pay_to: row.get(9)?,
                    transaction: row.get(10)?,
                    reason: row.get(11)?,
                    testnet: row.get(12)?,
                    created_at: row.get::<_, i64>(13)?.cast_unsigned(),
                    updated_at: row.get::<_, i64>(14)?.cast_unsigned(),
                })
            })?;
            found.collect::<Result<_, _>>().map_err(LedgerError::from)
        })
    }

    fn writable(&self) -> bool {
        self.writable.load(Ordering::Acquire)
    }

    fn probe(&self, at: UnixTime) -> Answer<'_, ()> {
        self.run(move |connection| {
            connection
                .prepare_cached("INSERT INTO heartbeat (one, at) VALUES (1, ?1) ON CONFLICT DO UPDATE SET at = ?1")?
                .execute(params![integer(at.0)])?;
            Ok(())
        })
    }
}

impl Embedded {
    /// A step of one payment, whose row has to be in the state before: the work says whether it changed.
    fn step(
        &self,
        id: &PaymentId,
        step: &'static str,
        work: impl FnOnce(&Connection, i64) -> Result<usize, LedgerError> + Send + 'static,
    ) -> Answer<'static, ()> {
        let id = id.clone();
        self.run(move |connection| {
            let changed = match row_of(connection, &id)? {
                Some(row) => work(connection, row)?,
                None => 0,
            };
            if changed == 1 { Ok(()) } else { Err(LedgerError::OutOfOrder { id: id.short(), step }) }
        })
    }
}

/// Where the payment's claim stands.
fn row_of(connection: &Connection, id: &PaymentId) -> Result<Option<i64>, LedgerError> {
    let mut rows = connection.prepare_cached("SELECT id FROM claim WHERE key = ?1")?;
    Ok(rows.query_row(params![id.digest()], |row| row.get(0)).optional()?)
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
        .execute(params![id, standing::head(answer), answer.body.as_ref(), integer(at.0)])?;
    Ok(())
}

fn forget(connection: &Connection, id: i64) -> Result<(), LedgerError> {
    connection.prepare_cached("DELETE FROM answer WHERE id = ?1")?.execute(params![id])?;
    Ok(())
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
