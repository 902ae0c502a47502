//! Key-value calls: a sequence of operations of a guest on its store, compared with a model in memory.

use std::collections::BTreeMap;

use arbitrary::Unstructured;
use coinslot_plugin::Quota;
use coinslot_plugin::fuzzing::{KvRefusal, KvStore};
use tempfile::TempDir;

/// The most operations of one input.
const CALLS: usize = 60;
const BUCKETS: [&str; 2] = ["", "other"];
const KEYS: [&str; 6] = ["a", "b", "\u{20ac}", "a\0b", "A", "%_"];

/// One operation. The values are those of the store's own interface.
enum Call {
    Set(Vec<(&'static str, Vec<u8>)>),
    Delete(Vec<&'static str>),
    Increment { key: &'static str, delta: u64 },
    Read(Vec<&'static str>),
}

/// The keys and values that a store should have, by bucket and key.
type Model = BTreeMap<(&'static str, &'static str), Vec<u8>>;

/// An empty store, one for each thread: to open one costs more than to use it.
struct OpenStore {
    store: KvStore,
    _directory: TempDir,
}

thread_local! {
    static STORE: OpenStore = {
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        OpenStore { store: KvStore::of(directory.path(), "fuzzed"), _directory: directory }
    };
}

/// Makes the calls, and checks each result, the counted sizes and the quotas. The store is empty again afterwards.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    STORE.with(|open| {
        let (store, mut model) = (&open.store, Model::new());
        for _ in 0..CALLS {
            if input.is_empty() || next(&mut input, store, &mut model).is_err() {
                break;
            }
            check_counts(store, &model);
        }
        check_listing(store, &model);
        for bucket in BUCKETS {
            store.delete(bucket, &KEYS.map(str::to_owned)).expect("deleting needs no quota");
        }
        check_counts(store, &Model::new());
    });
}

/// Draws the next operation, and makes it. An operator may lower the quota while values are kept.
fn next(input: &mut Unstructured<'_>, store: &KvStore, model: &mut Model) -> arbitrary::Result<()> {
    let bucket = *input.choose(&BUCKETS)?;
    let quota = *input.choose(&[Quota { bytes: 60, keys: 3, value: 40 }, Quota { bytes: 600, keys: 8, value: 200 }])?;
    let call = call(input)?;
    check_call(store, model, bucket, call, quota);
    Ok(())
}

fn call(input: &mut Unstructured<'_>) -> arbitrary::Result<Call> {
    let kind = input.int_in_range(0..=3)?;
    if kind == 3 {
        let delta = if input.arbitrary()? { input.arbitrary::<u8>()?.into() } else { input.arbitrary()? };
        return Ok(Call::Increment { key: input.choose(&KEYS)?, delta });
    }
    let count = input.int_in_range(0..=9)?;
    let keys = (0..count).map(|_| input.choose(&KEYS).copied()).collect::<arbitrary::Result<Vec<_>>>()?;
    Ok(match kind {
        0 => Call::Set(keys.into_iter().map(|key| Ok((key, value(input)?))).collect::<arbitrary::Result<_>>()?),
        1 => Call::Delete(keys),
        _ => Call::Read(keys),
    })
}

fn value(input: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
    Ok(match input.int_in_range(0..=2)? {
        0 => input.arbitrary::<u64>()?.to_string().into_bytes(),
        1 => vec![b'0'; input.arbitrary::<u8>()?.into()],
        _ => input.arbitrary::<[u8; 3]>()?.into(),
    })
}

fn check_call(store: &KvStore, model: &mut Model, bucket: &'static str, call: Call, quota: Quota) {
    match call {
        Call::Set(entries) => {
            let owned: Vec<_> = entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
            let mut next = model.clone();
            let expected = entries.into_iter().try_for_each(|(key, value)| put(&mut next, bucket, key, value, quota));
            assert_eq!(store.set(bucket, &owned, quota), expected);
            if expected.is_ok() {
                *model = next;
            }
        }
        Call::Delete(keys) => {
            assert_eq!(store.delete(bucket, &keys.iter().map(ToString::to_string).collect::<Vec<_>>()), Ok(()));
            keys.into_iter().for_each(|key| drop(model.remove(&(bucket, key))));
        }
        Call::Increment { key, delta } => {
            let mut next = model.clone();
            let expected = increment(&mut next, bucket, key, delta, quota);
            assert_eq!(store.increment(bucket, key, delta, quota), expected);
            if expected.is_ok() {
                *model = next;
            }
        }
        Call::Read(keys) => {
            let kept: Vec<_> = keys.iter().map(|key| model.get(&(bucket, *key)).cloned()).collect();
            for (key, value) in keys.iter().zip(&kept) {
                assert_eq!(store.get(bucket, key).as_ref(), Ok(value));
                assert_eq!(store.exists(bucket, key), Ok(value.is_some()));
            }
            let owned: Vec<_> = keys.iter().map(ToString::to_string).collect();
            assert_eq!(store.get_many(bucket, &owned), Ok(kept));
        }
    }
}

/// The sizes of a model: keys, and bytes of keys and values.
fn sizes(model: &Model) -> (u64, u64) {
    let bytes: usize = model.iter().map(|((_, key), value)| key.len() + value.len()).sum();
    (model.len() as u64, bytes as u64)
}

/// Sets a value in the model, or says why a store must refuse it.
fn put(
    model: &mut Model,
    bucket: &'static str,
    key: &'static str,
    value: Vec<u8>,
    quota: Quota,
) -> Result<(), KvRefusal> {
    if value.len() > quota.value {
        return Err(KvRefusal::Value);
    }
    let before = sizes(model);
    model.insert((bucket, key), value);
    let after = sizes(model);
    if after.0 > before.0 && after.0 > quota.keys {
        return Err(KvRefusal::Keys);
    }
    if after.1 > before.1 && after.1 > quota.bytes {
        return Err(KvRefusal::Bytes);
    }
    Ok(())
}

fn increment(
    model: &mut Model,
    bucket: &'static str,
    key: &'static str,
    delta: u64,
    quota: Quota,
) -> Result<u64, KvRefusal> {
    let now = match model.get(&(bucket, key)) {
        None => 0,
        Some(digits) => {
            let digits = std::str::from_utf8(digits).map_err(|_| KvRefusal::NotANumber)?;
            digits.parse::<u64>().map_err(|_| KvRefusal::NotANumber)?
        }
    };
    let next = now.checked_add(delta).ok_or(KvRefusal::NotANumber)?;
    put(model, bucket, key, next.to_string().into_bytes(), quota)?;
    Ok(next)
}

/// What a store counts against its quota is what it keeps.
fn check_counts(store: &KvStore, model: &Model) {
    let (keys, bytes) = sizes(model);
    let counted = store.counted().expect("the store can be read");
    assert_eq!((u64::try_from(counted.0), u64::try_from(counted.1)), (Ok(keys), Ok(bytes)));
}

/// Each key is listed once, and no other.
fn check_listing(store: &KvStore, model: &Model) {
    for bucket in BUCKETS {
        let (mut listed, next) = store.list(bucket, 0).expect("the store can be read");
        assert_eq!(next, None, "fewer keys than one page");
        listed.sort_unstable();
        let kept = model.keys().filter(|(of, _)| *of == bucket);
        assert_eq!(listed, kept.map(|(_, key)| (*key).to_owned()).collect::<Vec<_>>());
    }
}
