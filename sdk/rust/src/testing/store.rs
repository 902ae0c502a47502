//! A key-value store in memory, for the thread of a test. It has no quota.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::keyvalue::KeyValueError;

/// A bucket's name.
pub(crate) struct Bucket(String);

/// By bucket and key: when the key came, and its value.
type Kept = BTreeMap<(String, String), (u64, Vec<u8>)>;

thread_local! {
    static KEPT: RefCell<Kept> = const { RefCell::new(BTreeMap::new()) };
}

pub(crate) fn open(name: &str) -> Result<Bucket, KeyValueError> {
    if name.len() > 64 {
        return Err(KeyValueError::NoSuchStore);
    }
    Ok(Bucket(if name == "default" { String::new() } else { name.to_owned() }))
}

pub(crate) fn get(bucket: &Bucket, key: &str) -> Result<Option<Vec<u8>>, KeyValueError> {
    let at = place(bucket, key)?;
    Ok(KEPT.with_borrow(|kept| kept.get(&at).map(|(_, value)| value.clone())))
}

pub(crate) fn set(bucket: &Bucket, key: &str, value: &[u8]) -> Result<(), KeyValueError> {
    let at = place(bucket, key)?;
    KEPT.with_borrow_mut(|kept| {
        let next = kept.values().map(|(id, _)| *id).max().unwrap_or(0) + 1;
        kept.entry(at).or_insert((next, Vec::new())).1 = value.to_vec();
    });
    Ok(())
}

pub(crate) fn delete(bucket: &Bucket, key: &str) -> Result<(), KeyValueError> {
    let at = place(bucket, key)?;
    KEPT.with_borrow_mut(|kept| kept.remove(&at));
    Ok(())
}

pub(crate) fn increment(bucket: &Bucket, key: &str, delta: u64) -> Result<u64, KeyValueError> {
    let not_a_number =
        || KeyValueError::Other("the value is not a whole number, or would be larger than any".to_owned());
    let now = match get(bucket, key)? {
        None => 0,
        Some(value) => String::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or_else(not_a_number)?,
    };
    let next = delta.checked_add(now).ok_or_else(not_a_number)?;
    set(bucket, key, next.to_string().as_bytes())?;
    Ok(next)
}

pub(crate) fn keys(bucket: &Bucket, after: Option<u64>) -> Result<(Vec<String>, Option<u64>), KeyValueError> {
    const PAGE: usize = 1_000;
    let mut found: Vec<(u64, String)> = KEPT.with_borrow(|kept| {
        let own = kept.iter().filter(|((name, _), (id, _))| *name == bucket.0 && *id > after.unwrap_or(0));
        own.map(|((_, key), (id, _))| (*id, key.clone())).collect()
    });
    found.sort();
    let more = found.len() > PAGE;
    found.truncate(PAGE);
    let last = found.last().map(|(id, _)| *id).filter(|_| more);
    Ok((found.into_iter().map(|(_, key)| key).collect(), last))
}

fn place(bucket: &Bucket, key: &str) -> Result<(String, String), KeyValueError> {
    match key.len() {
        1..=1_024 => Ok((bucket.0.clone(), key.to_owned())),
        length => Err(KeyValueError::Other(format!("a key has from 1 to 1024 bytes, and this one {length}"))),
    }
}

#[cfg(test)]
mod tests {
    use crate::keyvalue::{KeyValueError, open};

    #[test]
    fn a_test_keeps_things_as_the_host_does() -> Result<(), KeyValueError> {
        let (bucket, same, other) = (open("")?, open("default")?, open("other")?);
        bucket.set("b", b"1")?;
        same.set("a", b"x")?;
        bucket.set("b", b"2")?;
        assert_eq!(same.keys(None)?, (vec!["b".to_owned(), "a".to_owned()], None), "in the order they came");
        assert_eq!((bucket.increment("b", 40)?, other.get("b")?), (42, None));
        assert!(
            bucket.increment("a", 1).is_err() && bucket.get("").is_err() && bucket.get(&"k".repeat(1_025)).is_err()
        );
        bucket.delete("a")?;
        assert_eq!(bucket.get("a")?, None);
        for n in 0..1_000 {
            bucket.set(&format!("k{n}"), b"")?;
        }
        let (page, next) = bucket.keys(None)?;
        assert_eq!((page.len(), bucket.keys(next)?.0.len()), (1_000, 1));
        assert!(open(&"n".repeat(65)).is_err());
        Ok(())
    }

    #[test]
    fn a_test_says_what_is_configured() {
        assert_eq!(crate::config::get("currency"), None);
        crate::testing::configure("currency", "EUR");
        assert_eq!(crate::config::get("currency").as_deref(), Some("EUR"));
    }
}
