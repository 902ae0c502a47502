//! Makes passes of settled payments, finds the one that serves a request, and counts its uses.
//!
//! A use is counted in one transaction with its nonce and its row among the free requests, so that of many requests for
//! the last use of a pass a single one is counted.

use coinslot_x402::price::Amount;
use coinslot_x402::{Network, UnixTime};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::number::{from_sqlite, to_sqlite};
use crate::{FreeLeft, FreeQuota, LedgerError, PassFound, PassPrice, PassProof, PassQuery, PassRefusal};

/// The columns of [`Pass::read`].
const COLUMNS: &str = "pass.claim, pass.network, pass.payer, claim.asset, claim.amount, pass.requests, pass.used,
    pass.begins_at, pass.ends_at, progress.state IN ('settled', 'delivered')";

/// The passes of one holder that are looked at for one request. One that serves is nearly always the first: the others
/// were paid back, or cost less than what is asked for.
const MOST_LOOKED_AT: u32 = 100;

/// A pass with what is needed of its payment.
struct Pass {
    claim: i64,
    network: String,
    payer: String,
    asset: String,
    amount: String,
    requests: u64,
    used: u64,
    begins_at: u64,
    ends_at: u64,
    /// Its payment is settled, and its answer was given.
    counts: bool,
}

/// A pass that serves a request, with what is left of it.
pub(super) struct UsablePass {
    pub(super) claim: i64,
    network: Network,
    payer: String,
    left: FreeLeft,
}

impl Pass {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            claim: row.get(0)?,
            network: row.get(1)?,
            payer: row.get(2)?,
            asset: row.get(3)?,
            amount: row.get(4)?,
            requests: from_sqlite(row.get(5)?),
            used: from_sqlite(row.get(6)?),
            begins_at: from_sqlite(row.get(7)?),
            ends_at: from_sqlite(row.get(8)?),
            counts: row.get(9)?,
        })
    }

    /// True if its payment was at least one of these prices.
    fn pays(&self, prices: Option<&[PassPrice]>) -> bool {
        let Some(prices) = prices else { return true };
        let Ok(paid) = Amount::parse_atomic(&self.amount) else { return false };
        prices.iter().any(|price| {
            price.network.as_str() == self.network
                && price.asset.eq_ignore_ascii_case(&self.asset)
                && price.amount <= paid
        })
    }

    /// The reason why it does not serve this request now, if it does not.
    fn refusal(&self, query: &PassQuery, at: UnixTime) -> Option<PassRefusal> {
        if !self.counts {
            Some(PassRefusal::Ended)
        } else if self.ends_at <= at.0 {
            Some(PassRefusal::Expired)
        } else if self.used >= self.requests {
            Some(PassRefusal::UsedUp)
        } else if !self.pays(query.price.as_deref()) {
            Some(PassRefusal::BelowPrice)
        } else {
            None
        }
    }

    fn left(&self, used: u64) -> FreeLeft {
        let every = std::time::Duration::from_secs(self.ends_at.saturating_sub(self.begins_at));
        FreeLeft {
            quota: FreeQuota { requests: self.requests, every: Some(every) },
            left: self.requests.saturating_sub(used),
            resets_at: Some(UnixTime(self.ends_at)),
        }
    }
}

/// Makes the pass that a claim buys, if it buys one, when its settlement is written down. A settlement that is written
/// again, as that of an answer which is owed, leaves the pass as it is.
pub(super) fn make(connection: &Connection, claim: i64, at: UnixTime) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "INSERT INTO pass (claim, network, payer, plugin, endpoint, token, requests, begins_at, ends_at)
                SELECT id, network, payer, plugin, endpoint, pass_token, pass_requests, ?2, ?2 + pass_seconds FROM claim
                WHERE id = ?1 AND pass_requests IS NOT NULL
             ON CONFLICT (claim) DO NOTHING",
        )?
        .execute(params![claim, to_sqlite(at.0)])?;
    Ok(())
}

/// See [`crate::Ledger::pass`].
pub(super) fn look(connection: &Connection, query: &PassQuery, at: UnixTime) -> Result<PassFound, LedgerError> {
    Ok(match find(connection, query, at)? {
        Ok(UsablePass { network, payer, left, .. }) => PassFound::Left { network, payer, left },
        Err(refusal) => PassFound::Refused(refusal),
    })
}

/// The pass that serves a request: of several the one that ends first.
pub(super) fn find(
    connection: &Connection,
    query: &PassQuery,
    at: UnixTime,
) -> Result<Result<UsablePass, PassRefusal>, LedgerError> {
    let mut refusal = None;
    for pass in of_holder(connection, query, at)? {
        refusal = match pass.refusal(query, at) {
            None => return usable(&pass).map(Ok),
            Some(refusal) => Some(refusal),
        };
    }
    if let (None, PassProof::Account { payer, only_on, .. }) = (refusal, &query.proof) {
        // Nothing is left: the newest pass says why.
        let sql = format!(
            "SELECT {COLUMNS} FROM pass INDEXED BY pass_by_payer CROSS JOIN claim ON claim.id = pass.claim
                CROSS JOIN progress ON progress.id = pass.claim
             WHERE pass.payer = ?1 AND pass.endpoint = ?2 AND pass.plugin = ?3 AND (?4 IS NULL OR pass.network = ?4)
             ORDER BY pass.ends_at DESC LIMIT 1"
        );
        let only_on = only_on.as_ref().map(Network::as_str);
        let newest = connection
            .prepare_cached(&sql)?
            .query_row(params![payer, query.endpoint, query.plugin, only_on], Pass::read)
            .optional()?;
        refusal = newest.and_then(|pass| pass.refusal(query, at));
    }
    Ok(Err(refusal.unwrap_or(PassRefusal::Unknown)))
}

/// The passes that may serve: those of an account that have uses left, or the one of a token.
fn of_holder(connection: &Connection, query: &PassQuery, at: UnixTime) -> Result<Vec<Pass>, LedgerError> {
    let rest = "CROSS JOIN claim ON claim.id = pass.claim CROSS JOIN progress ON progress.id = pass.claim";
    let passes: rusqlite::Result<Vec<Pass>> = match &query.proof {
        PassProof::Account { payer, only_on, .. } => {
            let sql = format!(
                "SELECT {COLUMNS} FROM pass INDEXED BY pass_left {rest}
                 WHERE pass.used < pass.requests AND pass.payer = ?1 AND pass.endpoint = ?2 AND pass.ends_at > ?3
                    AND pass.plugin = ?4 AND (?5 IS NULL OR pass.network = ?5)
                 ORDER BY pass.ends_at LIMIT ?6"
            );
            let only_on = only_on.as_ref().map(Network::as_str);
            let values = params![payer, query.endpoint, to_sqlite(at.0), query.plugin, only_on, MOST_LOOKED_AT];
            connection.prepare_cached(&sql)?.query_map(values, Pass::read)?.collect()
        }
        PassProof::Token(token) => {
            let sql = format!(
                "SELECT {COLUMNS} FROM pass INDEXED BY pass_by_token {rest}
                 WHERE pass.token = ?1 AND pass.endpoint = ?2 AND pass.plugin = ?3"
            );
            let values = params![token.0, query.endpoint, query.plugin];
            connection.prepare_cached(&sql)?.query_map(values, Pass::read)?.collect()
        }
    };
    Ok(passes?)
}

fn usable(pass: &Pass) -> Result<UsablePass, LedgerError> {
    let network = Network::parse(&pass.network)
        .map_err(|_| LedgerError::Schema(format!("the pass of claim {} has no network", pass.claim)))?;
    Ok(UsablePass { claim: pass.claim, network, payer: pass.payer.clone(), left: pass.left(pass.used) })
}

/// Counts a use of a pass that [`find`] has just found, and returns what is left behind it.
pub(super) fn take(connection: &Connection, pass: &UsablePass) -> Result<FreeLeft, LedgerError> {
    connection.prepare_cached("UPDATE pass SET used = used + 1 WHERE claim = ?1")?.execute([pass.claim])?;
    Ok(FreeLeft { left: pass.left.left.saturating_sub(1), ..pass.left })
}

/// Takes one use off the pass of a free request, if it used one. Failures are given back as often as the pass has
/// requests.
pub(super) fn give_back(connection: &Connection, free_use: i64, is_failure: bool) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "UPDATE pass SET used = used - 1, returned = returned + ?2
             WHERE claim = (SELECT claim FROM free_use WHERE id = ?1) AND used > 0 AND (NOT ?2 OR returned < requests)",
        )?
        .execute(params![free_use, is_failure])?;
    Ok(())
}

/// Deletes the pass of a payment whose row is deleted. The number of the row may be given again, so its uses forget it.
pub(super) fn delete(connection: &Connection, claim: i64) -> Result<(), LedgerError> {
    for sql in ["DELETE FROM pass WHERE claim = ?1", "UPDATE free_use SET claim = NULL WHERE claim = ?1"] {
        connection.prepare_cached(sql)?.execute([claim])?;
    }
    Ok(())
}
