//! Things that outlive a request: keys and values, in buckets of this plugin's own.
//!
//! The operator has to grant it, with a quota, and it survives reloads of the plugin. Nothing here waits
//! for other requests: two that read a value and write it back may lose one of the writes, and
//! [`Bucket::increment`] is what does not. In a test, everything is kept in memory for the test's thread.
//!
//! ```
//! use coinslot_sdk::keyvalue;
//! # fn main() -> Result<(), keyvalue::KeyValueError> {
//! let visits = keyvalue::open("")?;
//! assert_eq!(visits.increment("ada", 1)?, 1);
//! visits.set("last", b"ada")?;
//! assert_eq!(visits.get("last")?.as_deref(), Some(&b"ada"[..]));
//! # Ok(())
//! # }
//! ```

use std::fmt;

#[cfg(target_family = "wasm")]
use crate::component as host;
#[cfg(not(target_family = "wasm"))]
use crate::testing::store as host;

/// An opened bucket.
pub struct Bucket(host::Bucket);

/// Why nothing was read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyValueError {
    /// The operator has not granted a store, or this is not a request being handled.
    AccessDenied,
    /// A bucket cannot have this name.
    NoSuchStore,
    /// A quota, a key that is too long, a value that is not a number: the sentence is the host's.
    Other(String),
}

/// Opens a bucket. The first write makes it; the empty name is the default one.
pub fn open(name: &str) -> Result<Bucket, KeyValueError> {
    host::open(name).map(Bucket)
}

impl Bucket {
    /// The value of a key, if it is there.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KeyValueError> {
        host::get(&self.0, key)
    }

    /// Writes a value, in place of another one.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), KeyValueError> {
        host::set(&self.0, key, value)
    }

    /// Removes a key, if it is there.
    pub fn delete(&self, key: &str) -> Result<(), KeyValueError> {
        host::delete(&self.0, key)
    }

    /// Adds to a number in one step, and gives the sum. A key that is not there counts as zero.
    pub fn increment(&self, key: &str, delta: u64) -> Result<u64, KeyValueError> {
        host::increment(&self.0, key, delta)
    }

    /// A page of the keys, and where the next one begins, if there is one: `None` asks for the first.
    pub fn keys(&self, after: Option<u64>) -> Result<(Vec<String>, Option<u64>), KeyValueError> {
        host::keys(&self.0, after)
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").finish_non_exhaustive()
    }
}

impl fmt::Display for KeyValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AccessDenied => f.write_str("no key-value store is granted to this plugin"),
            Self::NoSuchStore => f.write_str("a bucket cannot have this name"),
            Self::Other(sentence) => f.write_str(sentence),
        }
    }
}

impl std::error::Error for KeyValueError {}
