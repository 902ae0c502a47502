//! Keeps values that outlive requests in a key-value store, in buckets of this plugin's own.
//!
//! The operator has to grant the store, with a quota. Its contents survive reloads of the plugin. Operations do not
//! lock: of two requests that each read a value and write it back, one may overwrite the other's write.
//! [`Bucket::increment`], [`Bucket::update_json`], [`Bucket::compare_and_swap`] and [`Bucket::set_many`] are atomic. In
//! a test the store is in memory and belongs to the test's thread.
//!
//! ```
//! use coinslot_sdk::{keyvalue, model};
//!
//! #[model]
//! #[derive(Debug, PartialEq)]
//! struct Visitor {
//!     name: String,
//!     age: u8,
//! }
//!
//! # fn main() -> Result<(), keyvalue::KeyValueError> {
//! let visits = keyvalue::open("")?;
//! assert_eq!(visits.increment("ada", 1)?, 1);
//! visits.set_json("last", &Visitor { name: "Ada".to_owned(), age: 36 })?;
//! assert_eq!(visits.get_json("last")?, Some(Visitor { name: "Ada".to_owned(), age: 36 }));
//! visits.set("raw", b"bytes")?;
//! assert_eq!(visits.get("raw")?.as_deref(), Some(&b"bytes"[..]));
//! # Ok(())
//! # }
//! ```

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::imports::store;

pub use crate::imports::KeyValueError;

/// Attempts of one update. Of those that attempt it at once one always succeeds, so more than a few are rare.
const MAX_UPDATES: usize = 100;

/// An opened bucket.
pub struct Bucket(store::BucketHandle);

/// Opens a bucket. The empty name is the default bucket. A bucket comes into being with its first write.
pub fn open(name: &str) -> Result<Bucket, KeyValueError> {
    store::open(name).map(Bucket)
}

impl Bucket {
    /// The value of a key; none if the key is absent.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KeyValueError> {
        store::get(&self.0, key)
    }

    /// Writes a value, and replaces the one before.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), KeyValueError> {
        store::set(&self.0, key, value)
    }

    /// The value of a key, read as JSON; none if the key is absent.
    pub fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, KeyValueError> {
        let value = self.get(key)?;
        value.map(|value| serde_json::from_slice(&value).map_err(|error| not_json(key, &error))).transpose()
    }

    /// Writes the JSON of a value, and replaces the value before.
    pub fn set_json(&self, key: &str, value: &impl Serialize) -> Result<(), KeyValueError> {
        self.set(key, &serde_json::to_vec(value).map_err(|error| not_json(key, &error))?)
    }

    /// True if the key has a value.
    pub fn exists(&self, key: &str) -> Result<bool, KeyValueError> {
        store::exists(&self.0, key)
    }

    /// The values of at most 1,000 keys, of at most 8 MiB together, in the order of the keys.
    pub fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>, KeyValueError> {
        store::get_many(&self.0, keys)
    }

    /// Writes at most 1,000 values in one atomic step: all of them, or on an error none.
    pub fn set_many(&self, entries: &[(&str, &[u8])]) -> Result<(), KeyValueError> {
        store::set_many(&self.0, entries)
    }

    /// Removes at most 1,000 keys in one atomic step. Absent keys are no error.
    pub fn delete_many(&self, keys: &[&str]) -> Result<(), KeyValueError> {
        store::delete_many(&self.0, keys)
    }

    /// Removes a key. An absent key is no error.
    pub fn delete(&self, key: &str) -> Result<(), KeyValueError> {
        store::delete(&self.0, key)
    }

    /// Adds to a number in one atomic step, and returns the sum. An absent key counts as zero.
    pub fn increment(&self, key: &str, delta: u64) -> Result<u64, KeyValueError> {
        store::increment(&self.0, key, delta)
    }

    /// Replaces the value of a key if it is the expected one, in one atomic step, and returns whether it was.
    /// `expected` is none for a key that must be absent; `value` is none to remove the key.
    pub fn compare_and_swap(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<bool, KeyValueError> {
        store::compare_and_swap(&self.0, key, expected, value)
    }

    /// Replaces the JSON of a key by what `change` makes of it, and returns that. `change` runs again if another
    /// request has written in between.
    ///
    /// ```
    /// # use coinslot_sdk::keyvalue;
    /// # fn main() -> Result<(), keyvalue::KeyValueError> {
    /// let bids = keyvalue::open("bids")?;
    /// let highest = bids.update_json("highest", |before: Option<u32>| before.unwrap_or(0).max(40))?;
    /// assert_eq!(highest, 40);
    /// # Ok(())
    /// # }
    /// ```
    pub fn update_json<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        mut change: impl FnMut(Option<T>) -> T,
    ) -> Result<T, KeyValueError> {
        for _ in 0..MAX_UPDATES {
            let before = self.get(key)?;
            let read =
                before.as_deref().map(serde_json::from_slice).transpose().map_err(|error| not_json(key, &error))?;
            let after = change(read);
            let written = serde_json::to_vec(&after).map_err(|error| not_json(key, &error))?;
            if self.compare_and_swap(key, before.as_deref(), Some(&written))? {
                return Ok(after);
            }
        }
        Err(KeyValueError::Other(format!("others have changed {key:?} {MAX_UPDATES} times in between")))
    }

    /// A page of keys, and the cursor of the next page, if there is one. `None` reads the first page.
    ///
    /// ```
    /// # use coinslot_sdk::keyvalue;
    /// # fn main() -> Result<(), keyvalue::KeyValueError> {
    /// # let bucket = keyvalue::open("")?;
    /// let (mut keys, mut cursor) = bucket.keys(None)?;
    /// while cursor.is_some() {
    ///     let (more, next) = bucket.keys(cursor)?;
    ///     keys.extend(more);
    ///     cursor = next;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn keys(&self, after: Option<u64>) -> Result<(Vec<String>, Option<u64>), KeyValueError> {
        store::keys(&self.0, after)
    }
}

fn not_json(key: &str, error: &serde_json::Error) -> KeyValueError {
    KeyValueError::NotJson { key: key.to_owned(), problem: error.to_string() }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").finish_non_exhaustive()
    }
}
