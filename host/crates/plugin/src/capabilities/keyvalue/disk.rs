//! One plugin's keys and values in a file of its own, counted as they come and go.
//!
//! A file for each plugin: none waits for another's writes, and what one keeps is removed by removing its
//! file. What is written survives this process; a power failure may cost the last moments, because
//! nothing here is money and a sync of the disk for each key would be.

use std::collections::HashMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::Quota;

/// Keys of one page of a listing.
pub(crate) const PAGE: usize = 1_000;
/// Bytes of values that one call gives.
pub(crate) const CALL: usize = 8 << 20;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS entry (
        id INTEGER PRIMARY KEY,
        bucket TEXT NOT NULL,
        key TEXT NOT NULL,
        value BLOB NOT NULL,
        UNIQUE (bucket, key)
    );
    CREATE INDEX IF NOT EXISTS entry_bucket ON entry (bucket);
    CREATE TABLE IF NOT EXISTS kept (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        keys INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    );
    INSERT OR IGNORE INTO kept VALUES (1, 0, 0);
";

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KvError {
    #[error("the plugin may keep {0} bytes of keys and values: delete some, or ask the operator for more")]
    Bytes(u64),
    #[error("the plugin may keep {0} keys: delete some, or ask the operator for more")]
    Keys(u64),
    #[error("the value has more than {0} bytes, which is the most for one")]
    Value(usize),
    #[error("the value is not a whole number, or would be larger than any")]
    NotANumber,
    #[error("the values of these keys have more than {CALL} bytes together: ask for fewer")]
    TooMuch,
    #[error("the store cannot be used at the moment")]
    Disk(#[from] rusqlite::Error),
    #[error("the store cannot be used at the moment")]
    Folder(#[from] std::io::Error),
}

/// All plugins' files.
#[derive(Debug)]
pub(crate) struct KvStores {
    dir: PathBuf,
    open: Mutex<HashMap<String, Weak<KvStore>>>,
}

/// One plugin's file, opened when it is first used.
#[derive(Debug)]
pub(crate) struct KvStore {
    file: PathBuf,
    connection: Mutex<Option<Connection>>,
}

impl KvStores {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, open: Mutex::new(HashMap::new()) }
    }

    /// The same for all generations of a plugin. Its name is checked: it can be a file's.
    pub(crate) fn of(&self, plugin: &str) -> Arc<KvStore> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, shelf| shelf.strong_count() > 0);
        if let Some(shelf) = open.get(plugin).and_then(Weak::upgrade) {
            return shelf;
        }
        let file = self.dir.join(format!("{plugin}.db"));
        let shelf = Arc::new(KvStore { file, connection: Mutex::new(None) });
        open.insert(plugin.to_owned(), Arc::downgrade(&shelf));
        shelf
    }
}

impl KvStore {
    pub(crate) fn get(&self, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.with(|connection| value(connection, bucket, key))
    }

    /// In the order of the keys. Too much for one call is an error before it is all read.
    pub(crate) fn get_many(&self, bucket: &str, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, KvError> {
        self.with(|connection| {
            let mut left = CALL;
            let mut read = |key: &String| {
                let value = value(connection, bucket, key)?;
                left = left.checked_sub(value.as_ref().map_or(0, Vec::len)).ok_or(KvError::TooMuch)?;
                Ok(value)
            };
            keys.iter().map(&mut read).collect()
        })
    }

    pub(crate) fn exists(&self, bucket: &str, key: &str) -> Result<bool, KvError> {
        self.with(|connection| Ok(size(connection, bucket, key)?.is_some()))
    }

    /// Keys in the order in which they came, after the one where the last page ended.
    pub(crate) fn list(&self, bucket: &str, after: u64) -> Result<(Vec<String>, Option<u64>), KvError> {
        let Ok(after) = i64::try_from(after) else { return Ok((Vec::new(), None)) };
        self.with(|connection| {
            let mut rows = connection
                .prepare_cached("SELECT id, key FROM entry WHERE bucket = ? AND id > ? ORDER BY id LIMIT ?")?;
            let rows =
                rows.query_map(params![bucket, after, (PAGE + 1) as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let mut page: Vec<(i64, String)> = rows.collect::<Result<_, _>>()?;
            let more = page.len() > PAGE;
            page.truncate(PAGE);
            let last = page.last().and_then(|(id, _)| u64::try_from(*id).ok()).filter(|_| more);
            Ok((page.into_iter().map(|(_, key)| key).collect(), last))
        })
    }

    /// All of them, or none.
    pub(crate) fn set(&self, bucket: &str, entries: &[(String, Vec<u8>)], quota: Quota) -> Result<(), KvError> {
        self.change(|change| entries.iter().try_for_each(|(key, value)| put(change, bucket, key, value, quota)))
    }

    /// All of them, or none.
    pub(crate) fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), KvError> {
        self.change(|change| {
            for key in keys {
                let Some(old) = size(change, bucket, key)? else { continue };
                change.prepare_cached("DELETE FROM entry WHERE bucket = ? AND key = ?")?.execute([bucket, key])?;
                count(change, -1, -old)?;
            }
            Ok(())
        })
    }

    /// A number in decimal digits, as other hosts keep it.
    pub(crate) fn increment(&self, bucket: &str, key: &str, delta: u64, quota: Quota) -> Result<u64, KvError> {
        self.change(|change| {
            let now = match value(change, bucket, key)? {
                None => 0,
                Some(bytes) => {
                    std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()).ok_or(KvError::NotANumber)?
                }
            };
            let next: u64 = delta.checked_add(now).ok_or(KvError::NotANumber)?;
            put(change, bucket, key, next.to_string().as_bytes(), quota)?;
            Ok(next)
        })
    }

    fn change<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, KvError>) -> Result<T, KvError> {
        self.with(|connection| {
            let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&change)?;
            change.commit()?;
            Ok(done)
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T, KvError>) -> Result<T, KvError> {
        // A panic in between has rolled back what it was doing.
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let open = match &mut *connection {
            Some(open) => open,
            none => none.insert(open(&self.file)?),
        };
        work(open)
    }
}

fn open(file: &Path) -> Result<Connection, KvError> {
    if let Some(dir) = file.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let connection = Connection::open(file)?;
    connection.busy_timeout(Duration::from_secs(2))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "journal_size_limit", 4 << 20)?;
    connection.execute_batch(SCHEMA)?;
    Ok(connection)
}

fn value(connection: &Connection, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, KvError> {
    let mut row = connection.prepare_cached("SELECT value FROM entry WHERE bucket = ? AND key = ?")?;
    Ok(row.query_row([bucket, key], |row| row.get(0)).optional()?)
}

/// Of a key and its value, if it is there.
fn size(connection: &Connection, bucket: &str, key: &str) -> Result<Option<i64>, KvError> {
    let mut row = connection.prepare_cached("SELECT length(value) FROM entry WHERE bucket = ? AND key = ?")?;
    let value: Option<i64> = row.query_row([bucket, key], |row| row.get(0)).optional()?;
    Ok(value.map(|value| value + as_i64(key.len())))
}

/// Within the quota; what makes it smaller is always within.
fn put(change: &Transaction<'_>, bucket: &str, key: &str, value: &[u8], quota: Quota) -> Result<(), KvError> {
    if value.len() > quota.value {
        return Err(KvError::Value(quota.value));
    }
    let old = size(change, bucket, key)?;
    let (new_keys, new_bytes) = (i64::from(old.is_none()), as_i64(key.len() + value.len()) - old.unwrap_or(0));
    change
        .prepare_cached(
            "INSERT INTO entry (bucket, key, value) VALUES (?, ?, ?)
             ON CONFLICT (bucket, key) DO UPDATE SET value = excluded.value",
        )?
        .execute(params![bucket, key, value])?;
    let (keys, bytes) = count(change, new_keys, new_bytes)?;
    if new_keys > 0 && keys > quota.keys {
        return Err(KvError::Keys(quota.keys));
    }
    if new_bytes > 0 && bytes > quota.bytes {
        return Err(KvError::Bytes(quota.bytes));
    }
    Ok(())
}

/// Adds to what is kept, and gives it.
fn count(change: &Transaction<'_>, keys: i64, bytes: i64) -> Result<(u64, u64), KvError> {
    let mut row = change.prepare_cached("UPDATE kept SET keys = keys + ?, bytes = bytes + ? RETURNING keys, bytes")?;
    let (keys, bytes): (i64, i64) = row.query_row([keys, bytes], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((u64::try_from(keys).unwrap_or(0), u64::try_from(bytes).unwrap_or(0)))
}

fn as_i64(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
