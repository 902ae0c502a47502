//! Calls the key-value store of `wasi:keyvalue`, with the atomic steps of `coinslot:keyvalue`.

use crate::bindings::coinslot::keyvalue::atomics as own_atomics;
use crate::bindings::wasi::keyvalue::{atomics, batch, store};
use crate::imports::KeyValueError;

pub(crate) use store::Bucket as BucketHandle;

pub(crate) fn open(name: &str) -> Result<BucketHandle, KeyValueError> {
    store::open(name).map_err(key_value_error)
}

pub(crate) fn get(bucket: &BucketHandle, key: &str) -> Result<Option<Vec<u8>>, KeyValueError> {
    bucket.get(key).map_err(key_value_error)
}

pub(crate) fn set(bucket: &BucketHandle, key: &str, value: &[u8]) -> Result<(), KeyValueError> {
    bucket.set(key, value).map_err(key_value_error)
}

pub(crate) fn exists(bucket: &BucketHandle, key: &str) -> Result<bool, KeyValueError> {
    bucket.exists(key).map_err(key_value_error)
}

pub(crate) fn get_many(bucket: &BucketHandle, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>, KeyValueError> {
    let values = batch::get_many(bucket, &owned(keys)).map_err(key_value_error)?;
    Ok(values.into_iter().map(|entry| entry.map(|(_, value)| value)).collect())
}

pub(crate) fn set_many(bucket: &BucketHandle, entries: &[(&str, &[u8])]) -> Result<(), KeyValueError> {
    let entries: Vec<_> = entries.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())).collect();
    batch::set_many(bucket, &entries).map_err(key_value_error)
}

pub(crate) fn delete_many(bucket: &BucketHandle, keys: &[&str]) -> Result<(), KeyValueError> {
    batch::delete_many(bucket, &owned(keys)).map_err(key_value_error)
}

fn owned(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

pub(crate) fn delete(bucket: &BucketHandle, key: &str) -> Result<(), KeyValueError> {
    bucket.delete(key).map_err(key_value_error)
}

pub(crate) fn increment(bucket: &BucketHandle, key: &str, delta: u64) -> Result<u64, KeyValueError> {
    atomics::increment(bucket, key, delta).map_err(key_value_error)
}

pub(crate) fn compare_and_swap(
    bucket: &BucketHandle,
    key: &str,
    expected: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Result<bool, KeyValueError> {
    own_atomics::compare_and_swap(bucket, key, expected, value).map_err(key_value_error)
}

pub(crate) fn keys(bucket: &BucketHandle, after: Option<u64>) -> Result<(Vec<String>, Option<u64>), KeyValueError> {
    bucket.list_keys(after).map(|page| (page.keys, page.cursor)).map_err(key_value_error)
}

fn key_value_error(error: store::Error) -> KeyValueError {
    match error {
        store::Error::AccessDenied => KeyValueError::AccessDenied,
        store::Error::NoSuchStore => KeyValueError::NoSuchStore,
        store::Error::Other(sentence) => KeyValueError::Other(sentence),
    }
}
