//! Requests that were served free of charge, as reports show them. They earn nothing, and no sum of money has them.

use coinslot_x402::UnixTime;
use rusqlite::params;

use super::{LedgerReader, ReportError};
use crate::number::{from_sqlite, to_sqlite};
use crate::sqlite::api_keys;
use crate::{ApiKeyUse, DAY};

/// A request that was counted as a free one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeUse {
    pub id: u64,
    /// `payer`, `address`, `everyone`, `key` or `pass`.
    pub kind: String,
    /// The account, the network of the client, or the name of the key.
    pub who: String,
    pub plugin: String,
    /// The method and the path template.
    pub endpoint: String,
    /// `running`, `served`, `failed`, `not_run`, `hung_up` or `interrupted`.
    pub outcome: String,
    pub at: UnixTime,
    /// The id of the HTTP request. None of an older row.
    pub request_id: Option<String>,
    /// The payment that bought the pass which it used. None without a pass, or if the row of the payment is pruned.
    pub payment_id: Option<String>,
}

impl FreeUse {
    /// Reads a row with all columns of this type.
    pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: from_sqlite(row.get("id")?),
            kind: row.get("kind")?,
            who: row.get("who")?,
            plugin: row.get("plugin")?,
            endpoint: row.get("endpoint")?,
            outcome: row.get("outcome")?,
            at: UnixTime(from_sqlite(row.get("at")?)),
            request_id: row.get("request_id")?,
            payment_id: row.get("payment_id")?,
        })
    }
}

/// A choice of free requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FreeUseFilter {
    /// Only of this account, network of a client, or name of a key, in any case of letters.
    pub who: Option<String>,
    /// Only the HTTP request of this id.
    pub request_id: Option<String>,
    /// Only at this time or later.
    pub since: Option<UnixTime>,
}

/// The number of free requests of one day, for an endpoint and an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeTotal {
    /// Days since 1970, in UTC.
    pub day: u64,
    pub kind: String,
    pub plugin: String,
    pub endpoint: String,
    pub outcome: String,
    pub uses: u64,
}

impl LedgerReader {
    /// Reads the free requests of a choice, the newest first, at most so many. The ledger keeps the newest hundred
    /// thousand.
    pub fn free_uses(&self, filter: &FreeUseFilter, limit: u32) -> Result<Vec<FreeUse>, ReportError> {
        self.free_uses_before(u64::MAX, filter, limit)
    }

    /// Reads those that came before the one of this id, the newest first, at most so many.
    pub fn free_uses_before(&self, id: u64, filter: &FreeUseFilter, limit: u32) -> Result<Vec<FreeUse>, ReportError> {
        let FreeUseFilter { who, request_id, since } = filter;
        let mut statement = self.connection().prepare_cached(
            "SELECT id, kind, who, plugin, endpoint, outcome, at, request_id,
                (SELECT payment_id FROM claim WHERE claim.id = free_use.claim) AS payment_id
             FROM free_use WHERE id < ?1 AND at >= ?2
                AND (?4 IS NULL OR lower(who) = lower(?4)) AND (?5 IS NULL OR request_id = ?5)
             ORDER BY id DESC LIMIT ?3",
        )?;
        let since = to_sqlite(since.map_or(0, |time| time.0));
        let rows = statement.query_map(params![to_sqlite(id), since, limit, who, request_id], FreeUse::read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Sums up the free requests that have ended, by day, kind, endpoint and outcome, the newest day first. Days count
    /// whole: those that begin at a time or later.
    pub fn free_totals(&self, since: Option<UnixTime>) -> Result<Vec<FreeTotal>, ReportError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT day, kind, plugin, endpoint, outcome, uses FROM free_total WHERE day >= ?1
             ORDER BY day DESC, plugin, endpoint, kind, outcome",
        )?;
        let since = to_sqlite(since.map_or(0, |time| time.0.div_ceil(DAY)));
        let rows = statement.query_map([since], |row| {
            Ok(FreeTotal {
                day: from_sqlite(row.get("day")?),
                kind: row.get("kind")?,
                plugin: row.get("plugin")?,
                endpoint: row.get("endpoint")?,
                outcome: row.get("outcome")?,
                uses: from_sqlite(row.get("uses")?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Lists every key with its use, the newest first.
    pub fn api_keys(&self, at: UnixTime) -> Result<Vec<ApiKeyUse>, ReportError> {
        Ok(api_keys::list(self.connection(), at)?)
    }
}
