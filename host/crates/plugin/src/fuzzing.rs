//! Gives `tests/fuzzing` what is private here and reads bytes of a guest: the check of a manifest, the log, and the
//! key-value store. It is behind a feature of its name, so that the interface of this package stays small.

use std::path::Path;
use std::sync::Arc;

use crate::capabilities::Quota;
use crate::capabilities::keyvalue::{self, KvError, KvStores};
use crate::capabilities::log::{GuestLog, LogStream, LogWriter, PluginLog};
use crate::contract::PluginInfo;
use crate::load::manifest;

pub use crate::bindings::manifest::{Endpoint, PluginInfo as Manifest, Price};

/// Checks a manifest as a guest gives it. `quotes`: the plugin exports `quote`.
pub fn check_manifest(manifest: Manifest, quotes: bool) -> Result<PluginInfo, Vec<String>> {
    manifest::check(manifest, quotes)
}

/// Bytes that a guest prints in one call.
#[derive(Clone, Copy, Debug)]
pub struct Printed<'a> {
    pub to_stderr: bool,
    pub bytes: &'a [u8],
}

/// Prints in one request, and returns the lines in the operator's log. `limit` is the request's, in bytes, and `rate`
/// the plugin's, in bytes in a second.
pub fn log_lines(limit: usize, rate: usize, printed: &[Printed<'_>]) -> Vec<String> {
    let (writer, lines) = LogWriter::to_channel();
    let mut log = GuestLog::new(PluginLog::new("fuzzed".into(), rate, writer), limit);
    for Printed { to_stderr, bytes } in printed {
        log.write(if *to_stderr { LogStream::Stderr } else { LogStream::Stdout }, bytes);
    }
    drop(log);
    lines.try_iter().collect()
}

/// The key-value store of one plugin.
#[derive(Clone, Debug)]
pub struct KvStore(Arc<keyvalue::KvStore>);

/// The reason why an operation on a store was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvRefusal {
    Bytes,
    Keys,
    Value,
    NotANumber,
    TooMuch,
    Failed(String),
}

impl From<KvError> for KvRefusal {
    fn from(error: KvError) -> Self {
        match error {
            KvError::Bytes(_) => Self::Bytes,
            KvError::Keys(_) => Self::Keys,
            KvError::Value(_) => Self::Value,
            KvError::NotANumber => Self::NotANumber,
            KvError::TooMuch => Self::TooMuch,
            KvError::Disk(_) | KvError::Folder(_) => Self::Failed(error.to_string()),
        }
    }
}

impl KvStore {
    /// The store of a plugin of this name in a directory.
    pub fn of(directory: &Path, plugin: &str) -> Self {
        Self(KvStores::new(directory.to_owned()).of(plugin))
    }

    pub fn get(&self, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, KvRefusal> {
        Ok(self.0.get(bucket, key)?)
    }

    pub fn get_many(&self, bucket: &str, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, KvRefusal> {
        Ok(self.0.get_many(bucket, keys)?)
    }

    pub fn exists(&self, bucket: &str, key: &str) -> Result<bool, KvRefusal> {
        Ok(self.0.exists(bucket, key)?)
    }

    pub fn list(&self, bucket: &str, after: u64) -> Result<(Vec<String>, Option<u64>), KvRefusal> {
        Ok(self.0.list(bucket, after)?)
    }

    pub fn set(&self, bucket: &str, entries: &[(String, Vec<u8>)], quota: Quota) -> Result<(), KvRefusal> {
        Ok(self.0.set(bucket, entries, quota)?)
    }

    pub fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), KvRefusal> {
        Ok(self.0.delete(bucket, keys)?)
    }

    pub fn increment(&self, bucket: &str, key: &str, delta: u64, quota: Quota) -> Result<u64, KvRefusal> {
        Ok(self.0.increment(bucket, key, delta, quota)?)
    }

    /// The counted keys and bytes of all buckets.
    pub fn counted(&self) -> Result<(i64, i64), KvRefusal> {
        Ok(self.0.counted()?)
    }
}
