//! Simulates the key-value store in memory, for the thread of one test and without a quota.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::imports::KeyValueError;

/// Keys of one page of a listing, and the most that one call names.
const PAGE: usize = 1_000;

/// The name of an opened bucket; the default bucket's is empty.
pub(crate) struct BucketHandle(String);

/// Bucket and key, with the number of the key in the order of insertion and its value.
type StoredEntries = BTreeMap<(String, String), (u64, Vec<u8>)>;

thread_local! {
    static ENTRIES: RefCell<StoredEntries> = const { RefCell::new(BTreeMap::new()) };
}

pub(crate) fn open(name: &str) -> Result<BucketHandle, KeyValueError> {
    if name.len() > 64 {
        return Err(KeyValueError::NoSuchStore);
    }
    Ok(BucketHandle(if name == "default" { String::new() } else { name.to_owned() }))
}

pub(crate) fn get(bucket: &BucketHandle, key: &str) -> Result<Option<Vec<u8>>, KeyValueError> {
    let at = entry_key(bucket, key)?;
    Ok(ENTRIES.with_borrow(|entries| entries.get(&at).map(|(_, value)| value.clone())))
}

pub(crate) fn set(bucket: &BucketHandle, key: &str, value: &[u8]) -> Result<(), KeyValueError> {
    let at = entry_key(bucket, key)?;
    ENTRIES.with_borrow_mut(|entries| {
        let next = entries.values().map(|(id, _)| *id).max().unwrap_or(0) + 1;
        entries.entry(at).or_insert((next, Vec::new())).1 = value.to_vec();
    });
    Ok(())
}

pub(crate) fn exists(bucket: &BucketHandle, key: &str) -> Result<bool, KeyValueError> {
    get(bucket, key).map(|value| value.is_some())
}

pub(crate) fn get_many(bucket: &BucketHandle, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>, KeyValueError> {
    at_most_a_page(keys.len())?;
    keys.iter().map(|key| get(bucket, key)).collect()
}

pub(crate) fn set_many(bucket: &BucketHandle, entries: &[(&str, &[u8])]) -> Result<(), KeyValueError> {
    at_most_a_page(entries.len())?;
    // All keys are checked before the first is written.
    entries.iter().try_for_each(|(key, _)| entry_key(bucket, key).map(drop))?;
    entries.iter().try_for_each(|(key, value)| set(bucket, key, value))
}

pub(crate) fn delete_many(bucket: &BucketHandle, keys: &[&str]) -> Result<(), KeyValueError> {
    at_most_a_page(keys.len())?;
    keys.iter().try_for_each(|key| entry_key(bucket, key).map(drop))?;
    keys.iter().try_for_each(|key| delete(bucket, key))
}

/// Checks the number of keys of one call, as the host does.
fn at_most_a_page(keys: usize) -> Result<(), KeyValueError> {
    match keys {
        0..=PAGE => Ok(()),
        _ => Err(KeyValueError::Other(format!("one call names at most {PAGE} keys"))),
    }
}

pub(crate) fn delete(bucket: &BucketHandle, key: &str) -> Result<(), KeyValueError> {
    let at = entry_key(bucket, key)?;
    ENTRIES.with_borrow_mut(|entries| entries.remove(&at));
    Ok(())
}

pub(crate) fn increment(bucket: &BucketHandle, key: &str, delta: u64) -> Result<u64, KeyValueError> {
    let not_a_number =
        || KeyValueError::Other("the value is not a whole number, or would be larger than any".to_owned());
    let current = match get(bucket, key)? {
        None => 0,
        Some(value) => String::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or_else(not_a_number)?,
    };
    let next = delta.checked_add(current).ok_or_else(not_a_number)?;
    set(bucket, key, next.to_string().as_bytes())?;
    Ok(next)
}

pub(crate) fn compare_and_swap(
    bucket: &BucketHandle,
    key: &str,
    expected: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Result<bool, KeyValueError> {
    if get(bucket, key)?.as_deref() != expected {
        return Ok(false);
    }
    match value {
        Some(value) => set(bucket, key, value)?,
        None => delete(bucket, key)?,
    }
    Ok(true)
}

pub(crate) fn keys(bucket: &BucketHandle, after: Option<u64>) -> Result<(Vec<String>, Option<u64>), KeyValueError> {
    let mut found: Vec<(u64, String)> = ENTRIES.with_borrow(|entries| {
        let own = entries.iter().filter(|((name, _), (id, _))| *name == bucket.0 && *id > after.unwrap_or(0));
        own.map(|((_, key), (id, _))| (*id, key.clone())).collect()
    });
    found.sort();
    let more = found.len() > PAGE;
    found.truncate(PAGE);
    let last = found.last().map(|(id, _)| *id).filter(|_| more);
    Ok((found.into_iter().map(|(_, key)| key).collect(), last))
}

/// Checks a key's length: from 1 to 1,024 bytes, as in the host.
fn entry_key(bucket: &BucketHandle, key: &str) -> Result<(String, String), KeyValueError> {
    match key.len() {
        1..=1_024 => Ok((bucket.0.clone(), key.to_owned())),
        length => Err(KeyValueError::Other(format!("a key has from 1 to 1024 bytes, and this one {length}"))),
    }
}

#[cfg(test)]
mod tests {
    use crate::keyvalue::{KeyValueError, open};

    #[test]
    fn the_simulated_store_behaves_like_the_host() -> Result<(), KeyValueError> {
        let (bucket, same, other) = (open("")?, open("default")?, open("other")?);
        bucket.set("b", b"1")?;
        same.set("a", b"x")?;
        bucket.set("b", b"2")?;
        assert_eq!(same.keys(None)?, (vec!["b".to_owned(), "a".to_owned()], None), "in the order of insertion");
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
    fn many_keys_are_written_all_or_none() -> Result<(), KeyValueError> {
        let bucket = open("")?;
        assert!(bucket.set_many(&[("a", b"1"), ("", b"2")]).is_err());
        assert!(!bucket.exists("a")?);
        bucket.set_many(&[("a", b"1"), ("b", b"2")])?;
        assert_eq!(bucket.get_many(&["b", "x", "a"])?, [Some(b"2".to_vec()), None, Some(b"1".to_vec())]);
        bucket.delete_many(&["a", "x"])?;
        assert_eq!((bucket.exists("a")?, bucket.exists("b")?), (false, true));
        assert!(bucket.get_many(&["k"; 1_001]).is_err());
        Ok(())
    }

    #[test]
    fn a_value_is_swapped_only_if_it_is_the_expected_one() -> Result<(), KeyValueError> {
        let bucket = open("")?;
        assert!(!bucket.compare_and_swap("a", Some(b""), Some(b"1"))?);
        assert!(bucket.compare_and_swap("a", None, Some(b"1"))?);
        assert!(!bucket.compare_and_swap("a", None, Some(b"2"))?);
        assert!(bucket.compare_and_swap("a", Some(b"1"), None)? && !bucket.exists("a")?);
        Ok(())
    }

    #[test]
    fn an_update_sees_the_value_that_it_replaces() -> Result<(), KeyValueError> {
        let bucket = open("")?;
        let mut calls = 0;
        let words = bucket.update_json("words", |words: Option<Vec<u32>>| {
            calls += 1;
            // Another request comes in between, once.
            if calls == 1 {
                bucket.set_json("words", &[7]).expect("a write");
            }
            let mut words = words.unwrap_or_default();
            words.push(calls);
            words
        })?;
        assert_eq!((words, bucket.get_json("words")?), (vec![7, 2], Some(vec![7, 2])));
        bucket.set("text", b"x")?;
        assert!(bucket.update_json("text", |_: Option<u32>| 1).is_err());
        Ok(())
    }

    #[test]
    fn a_value_that_is_not_the_expected_json_is_an_error_that_names_the_key() -> Result<(), KeyValueError> {
        let bucket = open("")?;
        bucket.set_json("list", &[1, 2])?;
        assert_eq!(bucket.get_json::<Vec<u8>>("list")?, Some(vec![1, 2]));
        assert_eq!(bucket.get_json::<Vec<u8>>("other")?, None);
        let error = bucket.get_json::<bool>("list").expect_err("a list").to_string();
        assert!(error.contains("\"list\"") && error.contains("boolean"), "{error}");
        Ok(())
    }

    #[test]
    fn a_test_sets_the_configuration() {
        assert_eq!(crate::config::get("currency"), None);
        crate::testing::configure("currency", "EUR");
        assert_eq!(crate::config::get("currency").as_deref(), Some("EUR"));
    }
}
