//! Numbers in the ledger's file.

/// One day in seconds. Totals of pruned rows are kept by days since 1970, in UTC.
pub const DAY: u64 = 24 * 60 * 60;

/// A time or a count as SQLite stores it, whose integers are signed. Values beyond `i64::MAX` are stored as `i64::MAX`:
/// no time and no count comes near it.
pub(crate) fn to_sqlite(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The value that [`to_sqlite`] stored. Negative numbers, which are never stored, read as 0.
pub(crate) fn from_sqlite(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}
