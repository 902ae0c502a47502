//! Stores one plugin's keys and values in a SQLite file of its own, and counts them against its quota.
//!
//! Each plugin has a file, so that no plugin waits for the writes of another, and so that removing the file removes all
//! that a plugin keeps. Writes survive the end of this process. A power failure may lose the last ones: there is no
//! sync of the disk per write, because no money depends on these values and a sync for each key would be expensive.

mod swap;

use std::collections::HashMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::capabilities::config::Quota;

/// Keys of one page of a listing.
pub(crate) const PAGE: usize = 1_000;
/// Operations of all stores at once.
const OPERATIONS: usize = 16;
/// Bytes of values that one call returns.
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

/// The reason why an operation was refused or failed. It has changed nothing.
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

/// The stores of all plugins.
#[derive(Debug)]
pub(crate) struct KvStores {
    dir: PathBuf,
    open: Mutex<HashMap<String, Weak<KvStore>>>,
    /// Permits of operations of all stores together.
    operations: Arc<Semaphore>,
}

/// The store of one plugin. Its file is opened when it is first used.
#[derive(Debug)]
pub(crate) struct KvStore {
    file: PathBuf,
    connection: Mutex<Option<Connection>>,
    /// The permit of the operation that runs.
    operation: Arc<Semaphore>,
    /// Those of all stores together.
    operations: Arc<Semaphore>,
}

/// The permission for one operation on a store.
#[derive(Debug)]
pub(crate) struct KvTurn {
    _own: Option<OwnedSemaphorePermit>,
    _shared: Option<OwnedSemaphorePermit>,
}

impl KvStores {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, open: Mutex::new(HashMap::new()), operations: Arc::new(Semaphore::new(OPERATIONS)) }
    }

    /// The store of a plugin, the same for all of its generations. The name must be a plugin's
    /// ([`is_name`](crate::is_name)), because the file is named after it.
    pub(crate) fn of(&self, plugin: &str) -> Arc<KvStore> {
        let mut open = self.open.lock();
        // Weak, so that the file is closed with the plugin's last generation; one store for all generations, so that
        // they share its lock.
        open.retain(|_, store| store.strong_count() > 0);
        if let Some(store) = open.get(plugin).and_then(Weak::upgrade) {
            return store;
        }
        let file = self.dir.join(format!("{plugin}.db"));
        let store = Arc::new(KvStore {
            file,
            connection: Mutex::new(None),
            operation: Arc::new(Semaphore::new(1)),
            operations: Arc::clone(&self.operations),
        });
        open.insert(plugin.to_owned(), Arc::downgrade(&store));
        store
    }
}

impl KvStore {
    /// Waits until an operation may run. An operation blocks its thread and goes on when its guest is gone, so it
    /// waits here before it takes a thread: a store uses one thread at a time, and all stores together few of those
    /// that look up names and read files, too.
    pub(crate) async fn turn(&self) -> KvTurn {
        // Neither semaphore is ever closed.
        let own = Arc::clone(&self.operation).acquire_owned().await.ok();
        let shared = Arc::clone(&self.operations).acquire_owned().await.ok();
        KvTurn { _own: own, _shared: shared }
    }

    /// Holds up all operations, for tests.
    #[cfg(test)]
    pub(crate) fn hold(&self) -> impl Sized + '_ {
        self.connection.lock()
    }

    pub(crate) fn get(&self, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.with(|connection| value(connection, bucket, key))
    }

    /// The values of these keys, in their order. More than [`CALL`] bytes are an error, before all are read.
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

    /// A page of keys in the order of their creation, and the cursor of the next page. `after` is the cursor of this
    /// page, 0 for the first.
    pub(crate) fn list(&self, bucket: &str, after: u64) -> Result<(Vec<String>, Option<u64>), KvError> {
        let Ok(after) = i64::try_from(after) else { return Ok((Vec::new(), None)) };
        self.with(|connection| {
            let mut rows = connection
                .prepare_cached("SELECT id, key FROM entry WHERE bucket = ? AND id > ? ORDER BY id LIMIT ?")?;
            let rows =
                rows.query_map(params![bucket, after, (PAGE + 1) as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let mut page: Vec<(i64, String)> = rows.collect::<Result<_, _>>()?;
            // One row more than a page was asked for: it says whether another page follows.
            let more = page.len() > PAGE;
            page.truncate(PAGE);
            let last = page.last().and_then(|(id, _)| u64::try_from(*id).ok()).filter(|_| more);
            Ok((page.into_iter().map(|(_, key)| key).collect(), last))
        })
    }

    /// Sets all entries, or none.
    pub(crate) fn set(&self, bucket: &str, entries: &[(String, Vec<u8>)], quota: Quota) -> Result<(), KvError> {
        self.change(|change| entries.iter().try_for_each(|(key, value)| put(change, bucket, key, value, quota)))
    }

    /// Deletes all keys, or none.
    pub(crate) fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), KvError> {
        self.change(|change| keys.iter().try_for_each(|key| swap::remove(change, bucket, key)))
    }

    /// Adds to a number, which is stored in decimal digits as other hosts do. A key without a value counts as 0.
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

    /// The counted keys and bytes of all buckets.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn counted(&self) -> Result<(i64, i64), KvError> {
        self.with(|connection| {
            Ok(connection.query_row("SELECT keys, bytes FROM kept", [], |row| Ok((row.get(0)?, row.get(1)?)))?)
        })
    }

    /// The keys and the bytes that are kept. It reads beside the operations of the plugin, and waits for none of them.
    pub(crate) fn used(&self) -> Result<(u64, u64), KvError> {
        if !self.file.try_exists()? {
            return Ok((0, 0));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.file, flags)?;
        connection.busy_timeout(Duration::from_secs(2))?;
        let (keys, bytes): (i64, i64) =
            connection.query_row("SELECT keys, bytes FROM kept", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok((u64::try_from(keys).unwrap_or(0), u64::try_from(bytes).unwrap_or(0)))
    }

    fn change<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, KvError>) -> Result<T, KvError> {
        self.with(|connection| {
            // Immediate: a transaction that reads first and then becomes a writer may fail with SQLITE_BUSY.
            let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // An error, or a panic, drops the transaction, which rolls it back.
            let done = work(&change)?;
            change.commit()?;
            Ok(done)
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T, KvError>) -> Result<T, KvError> {
        let mut connection = self.connection.lock();
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

/// The bytes of a key and its value. None if there is no such key.
fn size(connection: &Connection, bucket: &str, key: &str) -> Result<Option<i64>, KvError> {
    let mut row = connection.prepare_cached("SELECT length(value) FROM entry WHERE bucket = ? AND key = ?")?;
    let value: Option<i64> = row.query_row([bucket, key], |row| row.get(0)).optional()?;
    Ok(value.map(|value| value + as_i64(key.len())))
}

/// Sets a value within the quota. A change that makes the store smaller is always allowed.
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
    // Checked after the write: a refusal is an error, which rolls the write back.
    let (keys, bytes) = count(change, new_keys, new_bytes)?;
    if new_keys > 0 && keys > quota.keys {
        return Err(KvError::Keys(quota.keys));
    }
    if new_bytes > 0 && bytes > quota.bytes {
        return Err(KvError::Bytes(quota.bytes));
    }
    Ok(())
}

/// Adds to the counted keys and bytes, and returns both sums.
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
