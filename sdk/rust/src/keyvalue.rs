//! A key-value store that outlives requests, in buckets of this plugin's own.
//!
//! The operator has to grant the store, with a quota. Its contents survive reloads of the plugin. Operations do not
//! lock: of two requests that each read a value and write it back, one may overwrite the other's write;
//! [`Bucket::increment`] is atomic. In a test the store is in memory and belongs to the test's thread.
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

use crate::imports::store;

pub use crate::imports::KeyValueError;

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

    /// Removes a key. An absent key is no error.
    pub fn delete(&self, key: &str) -> Result<(), KeyValueError> {
        store::delete(&self.0, key)
    }

    /// Adds to a number in one atomic step, and returns the sum. An absent key counts as zero.
    pub fn increment(&self, key: &str, delta: u64) -> Result<u64, KeyValueError> {
        store::increment(&self.0, key, delta)
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

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").finish_non_exhaustive()
    }
}
