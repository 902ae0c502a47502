//! The steps of a payment, each one change of one row.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::types::ToSql;
use rusqlite::{Connection, params};

use super::{Embedded, integer, key, prune, standing};
use crate::ledger::{
    Answer, By, Claim, Claimed, Kept, KeptAnswer, Ledger, LedgerError, Payment, PaymentId, Pending, Retention,
};
use crate::x402::{Flow, Network, SettlementResponse, UnixTime};

impl Ledger for Embedded {
    fn claim(&self, claim: Claim) -> Answer<'_, Claimed> {
        // Another payment may have to give its name up first.
        let named = claim.identifier.is_some();
        let work = move |connection: &Connection| {
            let key = key(&claim.id);
            if let Some(standing) = standing::of_namesake(connection, &key, &claim)? {
                return Ok(standing);
            }
            if insert(connection, &key, &claim)? {
                return Ok(Claimed::Won);
            }
            standing::of(connection, &key, &claim)?
                .ok_or_else(|| LedgerError::OutOfOrder { id: claim.id.short(), step: "claimed" })
        };
        if named { self.run(work) } else { self.run_one(work) }
    }

    fn standing(&self, claim: Claim) -> Answer<'_, Option<Claimed>> {
        self.run(move |connection| standing::of(connection, &key(&claim.id), &claim))
    }

    fn release<'a>(&'a self, id: &'a PaymentId) -> Answer<'a, ()> {
        self.step(
            id,
            "released",
            "DELETE FROM payment WHERE key = ?1 AND state IN ('reserved', 'executing') AND settlement IS NULL",
            Vec::new(),
        )
    }

    fn executing<'a>(&'a self, id: &'a PaymentId, at: UnixTime) -> Answer<'a, ()> {
        self.step(
            id,
            "executing",
            "UPDATE payment SET state = 'executing', updated_at = ?2 WHERE key = ?1 AND state = 'reserved'",
            vec![Box::new(integer(at.0))],
        )
    }

    fn settling<'a>(
        &'a self,
        id: &'a PaymentId,
        request: String,
        answer: Option<KeptAnswer>,
        at: UnixTime,
    ) -> Answer<'a, ()> {
        let (key, id) = (key(id), id.short());
        self.run(move |connection| {
            let (before, flow) = match &answer {
                Some(_) => ("executing", Flow::Authorization),
                None => ("reserved", Flow::Upfront),
            };
            let changed = connection
                .prepare_cached(
                    "UPDATE payment SET state = 'settling', flow = ?2, settle = ?3, updated_at = ?4
                     WHERE key = ?1 AND state = ?5 AND settlement IS NULL",
                )?
                .execute(params![key, flow.as_str(), request, integer(at.0), before])?;
            one(changed, id, "settling")?;
            answer.map_or(Ok(()), |answer| keep(connection, &key, &answer, at))
        })
    }

    fn unknown<'a>(&'a self, id: &'a PaymentId, transaction: Option<String>, at: UnixTime) -> Answer<'a, ()> {
        self.step(
            id,
            "unknown",
            "UPDATE payment SET state = 'unknown', tx = coalesce(?2, tx), updated_at = ?3
             WHERE key = ?1 AND state IN ('settling', 'unknown')",
            vec![Box::new(transaction), Box::new(integer(at.0))],
        )
    }

    fn settled<'a>(
        &'a self,
        id: &'a PaymentId,
        settlement: SettlementResponse,
        by: By,
        at: UnixTime,
    ) -> Answer<'a, ()> {
        let (key, id) = (key(id), id.short());
        self.run_one(move |connection| {
            let json =
                serde_json::to_string(&settlement).map_err(|error| LedgerError::Unavailable(error.to_string()))?;
            let transaction = settlement.transaction;
            let (verify, run, settle) = match by {
                By::Request { verify, run, settle, .. } => {
                    (Some(micros(verify)), run.map(micros), Some(micros(settle)))
                }
                By::Recovery => (None, None, None),
            };
            if matches!(by, By::Request { alone: true, .. }) {
                let taken: bool = connection
                    .prepare_cached("SELECT EXISTS (SELECT 1 FROM payment WHERE tx = ?1 AND key <> ?2)")?
                    .query_row(params![transaction, key], |row| row.get(0))?;
                if taken {
                    return Err(LedgerError::Transaction { transaction });
                }
            }
            let changed = connection
                .prepare_cached(
                    "UPDATE payment SET settlement = ?2, tx = ?3, reason = NULL, updated_at = ?4,
                        state = iif(flow = 'authorization', 'settled', iif(?5, 'owed', 'executing')),
                        verify_us = coalesce(?6, verify_us), run_us = coalesce(?7, run_us),
                        settle_us = coalesce(?8, settle_us)
                     WHERE key = ?1 AND state IN ('settling', 'unknown')",
                )?
                .execute(params![key, json, transaction, integer(at.0), by == By::Recovery, verify, run, settle])?;
            one(changed, id, "settled")
        })
    }

    fn answered<'a>(&'a self, id: &'a PaymentId, kept: Kept, run: Duration, at: UnixTime) -> Answer<'a, ()> {
        let (key, id) = (key(id), id.short());
        self.run(move |connection| {
            let (answer, why) = match kept {
                Kept::Answer(answer) => (Some(answer), None),
                Kept::Nothing { why } => (None, Some(why)),
            };
            let changed = connection
                .prepare_cached(
                    "UPDATE payment SET state = 'settled', run_us = ?2, updated_at = ?3, reason = ?4
                     WHERE key = ?1 AND state = 'executing' AND settlement IS NOT NULL",
                )?
                .execute(params![key, micros(run), integer(at.0), why])?;
            one(changed, id, "answered")?;
            answer.map_or(Ok(()), |answer| keep(connection, &key, &answer, at))
        })
    }

    fn owe<'a>(&'a self, id: &'a PaymentId, reason: String, at: UnixTime) -> Answer<'a, ()> {
        self.step(
            id,
            "owed",
            "UPDATE payment SET state = 'owed', reason = ?2, updated_at = ?3
             WHERE key = ?1 AND state = 'executing' AND settlement IS NOT NULL",
            vec![Box::new(reason), Box::new(integer(at.0))],
        )
    }

    fn refused<'a>(
        &'a self,
        id: &'a PaymentId,
        reason: String,
        transaction: Option<String>,
        at: UnixTime,
    ) -> Answer<'a, ()> {
        let (key, id) = (key(id), id.short());
        self.run(move |connection| {
            let changed = connection
                .prepare_cached(
                    "UPDATE payment SET state = 'refused', reason = ?2, tx = coalesce(?3, tx), updated_at = ?4
                     WHERE key = ?1 AND state IN ('settling', 'unknown')",
                )?
                .execute(params![key, reason, transaction, integer(at.0)])?;
            one(changed, id, "refused")?;
            forget(connection, &key)
        })
    }

    fn delivered<'a>(&'a self, id: &'a PaymentId, keep: bool, at: UnixTime) -> Answer<'a, ()> {
        let key = key(id);
        let work = move |connection: &Connection| {
            // Fetched again, it was delivered before.
            connection
                .prepare_cached(
                    "UPDATE payment SET state = 'delivered', updated_at = ?2 WHERE key = ?1 AND state = 'settled'",
                )?
                .execute(params![key, integer(at.0)])?;
            if keep { Ok(()) } else { forget(connection, &key) }
        };
        if keep { self.run_one(work) } else { self.run(work) }
    }

    fn pending(&self, settling_before: UnixTime, limit: u32) -> Answer<'_, Vec<Pending>> {
        self.run(move |connection| {
            let mut rows = connection.prepare_cached(
                "SELECT network, asset, payer, nonce, settle, answer.key IS NOT NULL, valid_before, flow
                 FROM payment LEFT JOIN answer USING (key)
                 WHERE state IN ('settling', 'unknown') AND (state = 'unknown' OR updated_at < ?1)
                 ORDER BY updated_at LIMIT ?2",
            )?;
            let mut found = rows.query(params![integer(settling_before.0), limit])?;
            let mut pending = Vec::new();
            while let Some(row) = found.next()? {
                let network = Network::parse(&row.get::<_, String>(0)?)
                    .map_err(|error| LedgerError::Schema(error.to_string()))?;
                pending.push(Pending {
                    id: PaymentId { network, asset: row.get(1)?, payer: row.get(2)?, nonce: row.get(3)? },
                    request: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
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
                "SELECT payer, count(*) FROM payment WHERE state = 'refused' AND settle IS NOT NULL AND updated_at >= ?1
                 GROUP BY payer",
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
                    testnet, created_at, updated_at FROM payment ORDER BY created_at DESC LIMIT ?1",
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
    /// One change of exactly one row, whose key is the statement's first parameter.
    fn step(
        &self,
        id: &PaymentId,
        step: &'static str,
        sql: &'static str,
        rest: Vec<Box<dyn ToSql + Send>>,
    ) -> Answer<'static, ()> {
        let (key, id) = (key(id), id.short());
        self.run_one(move |connection| {
            let parameters = std::iter::once(&key as &dyn ToSql).chain(rest.iter().map(|value| &**value as &dyn ToSql));
            let changed = connection.prepare_cached(sql)?.execute(rusqlite::params_from_iter(parameters))?;
            one(changed, id, step)
        })
    }
}

/// Whether the row is new.
fn insert(connection: &Connection, key: &[u8], claim: &Claim) -> Result<bool, LedgerError> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO payment (key, payment_id, network, asset, payer, nonce, amount, pay_to, testnet, endpoint, plugin,
                generation, payment, request, identifier, flow, state, valid_before, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, 'reserved', ?17, ?18, ?18)
             ON CONFLICT (key) DO NOTHING",
        )?
        .execute(params![
            key,
            claim.id.short(),
            claim.id.network.as_str(),
            claim.id.asset,
            claim.id.payer,
            claim.id.nonce,
            claim.amount,
            claim.pay_to,
            claim.testnet,
            claim.endpoint,
            claim.plugin,
            integer(claim.generation),
            claim.payment.0.as_slice(),
            claim.request.0.as_slice(),
            claim.identifier,
            claim.flow.as_str(),
            integer(claim.valid_before.0),
            integer(claim.at.0),
        ])?;
    Ok(inserted == 1)
}

fn keep(connection: &Connection, key: &[u8], answer: &KeptAnswer, at: UnixTime) -> Result<(), LedgerError> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO answer (key, head, body, kept_at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![key, standing::head(answer), answer.body.as_ref(), integer(at.0)])?;
    Ok(())
}

fn forget(connection: &Connection, key: &[u8]) -> Result<(), LedgerError> {
    connection.prepare_cached("DELETE FROM answer WHERE key = ?1")?.execute(params![key])?;
    Ok(())
}

fn one(changed: usize, id: String, step: &'static str) -> Result<(), LedgerError> {
    if changed == 1 { Ok(()) } else { Err(LedgerError::OutOfOrder { id, step }) }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
