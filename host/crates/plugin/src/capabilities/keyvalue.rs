//! The store of `wasi:keyvalue`: a file for each plugin.

pub(crate) mod bindings;
mod bucket;
mod disk;

pub(crate) use self::bindings::KeyValueImports;
pub(crate) use self::bucket::{KvBucket, KvGrant};
#[cfg(feature = "fuzzing")]
pub(crate) use self::disk::KvStore;
pub(crate) use self::disk::{KvError, KvStores, PAGE};
