//! Replaces a value only if it is the expected one.

use rusqlite::Transaction;

use super::{KvError, KvStore, count, put, size, value};
use crate::capabilities::config::Quota;

impl KvStore {
    /// Sets or deletes a key if its value is the expected one, none for an absent key. Returns whether it was.
    pub(crate) fn compare_and_swap(
        &self,
        bucket: &str,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
        quota: Quota,
    ) -> Result<bool, KvError> {
        self.change(|change| {
            if value(change, bucket, key)?.as_deref() != expected {
                return Ok(false);
            }
            match new {
                Some(new) => put(change, bucket, key, new, quota)?,
                None => remove(change, bucket, key)?,
            }
            Ok(true)
        })
    }
}

/// Deletes a key. An absent key is no error.
pub(super) fn remove(change: &Transaction<'_>, bucket: &str, key: &str) -> Result<(), KvError> {
    let Some(old) = size(change, bucket, key)? else { return Ok(()) };
    change.prepare_cached("DELETE FROM entry WHERE bucket = ? AND key = ?")?.execute([bucket, key])?;
    count(change, -1, -old)?;
    Ok(())
}
