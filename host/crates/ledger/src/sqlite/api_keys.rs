//! Keeps the hashes of keys, and reads them.

use std::time::Duration;

use coinslot_x402::UnixTime;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::free_counters;
use crate::number::{from_sqlite, to_sqlite};
use crate::{ApiKey, ApiKeyUse, Fingerprint, FreeCounter, FreeQuota, KeyLookup, LedgerError, NewApiKey};

const COLUMNS: &str = "id, name, shown, plugin, route, requests, every, created_at, expires_at, revoked_at";

/// See [`crate::ApiKeys::add`].
pub(crate) fn add(connection: &Connection, key: &NewApiKey, at: UnixTime) -> Result<Option<ApiKey>, LedgerError> {
    let quota = key.quota.map(|quota| (to_sqlite(quota.requests), quota.every.map(|every| to_sqlite(every.as_secs()))));
    // The name of a key that has expired is free again; of two keys that begin alike one could not be revoked alone.
    let added = connection.execute(
        "INSERT INTO api_key (name, shown, hash, plugin, route, requests, every, created_at, expires_at)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 WHERE NOT EXISTS (SELECT 1 FROM api_key
            WHERE (name = ?1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?8)) OR hash = ?3)",
        params![
            key.name,
            key.shown,
            key.hash.0,
            key.plugin,
            key.route,
            quota.map(|(requests, _)| requests),
            quota.and_then(|(_, every)| every),
            to_sqlite(at.0),
            key.expires_at.map(|end| to_sqlite(end.0)),
        ],
    )?;
    if added == 0 {
        return Ok(None);
    }
    Ok(by_hash(connection, key.hash)?)
}

/// The key with this hash, whether it counts or not.
pub(super) fn by_hash(connection: &Connection, hash: Fingerprint) -> rusqlite::Result<Option<ApiKey>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM api_key WHERE hash = ?1"))?;
    statement.query_row([hash.0], read).optional()
}

/// See [`crate::Ledger::key`].
pub(super) fn look_up(
    connection: &Connection,
    hash: Fingerprint,
    at: UnixTime,
) -> Result<Option<KeyLookup>, LedgerError> {
    let Some(key) = by_hash(connection, hash)? else { return Ok(None) };
    let left = counter(&key, hash).map(|counter| free_counters::left(connection, &counter, at)).transpose()?;
    Ok(Some(KeyLookup { key, left }))
}

/// The count of a key that has a quota. It is the key's own, by its hash.
pub(super) fn counter(key: &ApiKey, hash: Fingerprint) -> Option<FreeCounter> {
    key.quota.map(|quota| FreeCounter { id: hash, quota, is_per_client: false })
}

/// See [`crate::ApiKeys::list`].
pub(crate) fn list(connection: &Connection, at: UnixTime) -> rusqlite::Result<Vec<ApiKeyUse>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS}, served, last_used_at, used, window_end FROM api_key
            LEFT JOIN (SELECT key AS hash, used, window_end FROM free_counter) USING (hash) ORDER BY id DESC"
    ))?;
    let rows = statement.query_map([], |row| {
        let key = read(row)?;
        let end = row.get::<_, Option<i64>>("window_end")?.map(|end| UnixTime(from_sqlite(end)));
        let is_open = key.quota.is_some() && end.is_some_and(|end| at < end);
        Ok(ApiKeyUse {
            served: from_sqlite(row.get("served")?),
            used: row.get::<_, Option<i64>>("used")?.filter(|_| is_open).map_or(0, from_sqlite),
            resets_at: end.filter(|end| is_open && end.0 != free_counters::NEVER),
            last_used_at: row.get::<_, Option<i64>>("last_used_at")?.map(|time| UnixTime(from_sqlite(time))),
            key,
        })
    })?;
    rows.collect()
}

/// See [`crate::ApiKeys::revoke`].
pub(crate) fn revoke(connection: &Connection, name: &str, at: UnixTime) -> Result<Vec<ApiKey>, LedgerError> {
    let mut statement = connection.prepare(&format!(
        "UPDATE api_key SET revoked_at = ?2 WHERE (name = ?1 OR shown = ?1) AND revoked_at IS NULL
            AND (expires_at IS NULL OR expires_at > ?2) RETURNING {COLUMNS}"
    ))?;
    let revoked = statement.query_map(params![name, to_sqlite(at.0)], read)?;
    Ok(revoked.collect::<Result<_, _>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    let time =
        |column: &str| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(from_sqlite).map(UnixTime));
    let every = row.get::<_, Option<i64>>("every")?.map(|seconds| Duration::from_secs(from_sqlite(seconds)));
    let requests = row.get::<_, Option<i64>>("requests")?.map(from_sqlite);
    Ok(ApiKey {
        id: row.get("id")?,
        name: row.get("name")?,
        shown: row.get("shown")?,
        plugin: row.get("plugin")?,
        route: row.get("route")?,
        quota: requests.map(|requests| FreeQuota { requests, every }),
        created_at: UnixTime(from_sqlite(row.get("created_at")?)),
        expires_at: time("expires_at")?,
        revoked_at: time("revoked_at")?,
    })
}
