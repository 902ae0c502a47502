//! Reads the pass that a payment bought, as reports show it.

use coinslot_x402::UnixTime;
use rusqlite::OptionalExtension;

use super::{FreeUse, LedgerReader, ReportError};
use crate::number::{from_sqlite, to_sqlite};

/// A pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// The requests that it is for, and those of them that were used.
    pub requests: u64,
    pub used: u64,
    pub begins_at: UnixTime,
    pub ends_at: UnixTime,
}

impl LedgerReader {
    /// The pass of the claim with this number. None if its payment bought none, or is not settled.
    pub(super) fn pass_of(&self, claim: u64) -> Result<Option<Pass>, ReportError> {
        let mut statement =
            self.connection().prepare_cached("SELECT requests, used, begins_at, ends_at FROM pass WHERE claim = ?1")?;
        let found = statement.query_row([to_sqlite(claim)], |row| {
            Ok(Pass {
                requests: from_sqlite(row.get(0)?),
                used: from_sqlite(row.get(1)?),
                begins_at: UnixTime(from_sqlite(row.get(2)?)),
                ends_at: UnixTime(from_sqlite(row.get(3)?)),
            })
        });
        Ok(found.optional()?)
    }

    /// The requests that used the pass of this claim, the newest first, at most so many. The ledger keeps the newest
    /// hundred thousand of all free requests.
    pub(super) fn uses_of_pass(&self, claim: u64, limit: u32) -> Result<Vec<FreeUse>, ReportError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT id, kind, who, plugin, endpoint, outcome, at, request_id, NULL AS payment_id
             FROM free_use INDEXED BY free_use_by_claim WHERE claim = ?1 ORDER BY id DESC LIMIT ?2",
        )?;
        let rows = statement.query_map((to_sqlite(claim), limit), FreeUse::read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
