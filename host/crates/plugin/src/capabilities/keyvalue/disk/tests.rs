//! Tests of a store: values, quotas, pages and counts.

use proptest::prelude::*;

use super::*;

const QUOTA: Quota = Quota { bytes: 1_000, keys: 10, value: 200 };

fn store() -> (tempfile::TempDir, Arc<KvStore>) {
    let dir = tempfile::tempdir().unwrap();
    let store = KvStores::new(dir.path().join("keyvalue")).of("notes");
    (dir, store)
}

fn set(store: &KvStore, key: &str, value: &[u8]) -> Result<(), KvError> {
    store.set("", &[(key.to_owned(), value.to_vec())], QUOTA)
}

#[test]
fn a_store_keeps_values_and_shares_none_between_plugins_and_buckets() {
    let dir = tempfile::tempdir().unwrap();
    let stores = KvStores::new(dir.path().join("keyvalue"));
    let notes = stores.of("notes");
    set(&notes, "a", b"1").unwrap();
    set(&notes, "a", b"22").unwrap();
    assert_eq!(notes.get("", "a").unwrap().unwrap(), b"22");
    assert!(notes.exists("", "a").unwrap() && !notes.exists("other", "a").unwrap());
    assert_eq!(stores.of("thief").get("", "a").unwrap(), None);
    drop(notes);
    // Another process, later.
    let again = KvStores::new(dir.path().join("keyvalue")).of("notes");
    assert_eq!(again.get("", "a").unwrap().unwrap(), b"22");
    again.delete("", &["a".to_owned(), "never".to_owned()]).unwrap();
    assert_eq!(again.get("", "a").unwrap(), None);
}

#[test]
fn a_quota_is_never_exceeded_and_shrinking_is_always_allowed() {
    let (_dir, store) = store();
    assert!(matches!(set(&store, "a", &[0; 201]), Err(KvError::Value(200))));
    for index in 0..4 {
        set(&store, &format!("{index}"), &[0; 200]).unwrap();
    }
    assert!(matches!(set(&store, "4", &[0; 200]), Err(KvError::Bytes(1_000))));
    assert_eq!(store.get("", "4").unwrap(), None, "a refused value is not stored");
    set(&store, "0", &[0; 10]).unwrap();
    set(&store, "4", &[0; 180]).unwrap();
    for index in 5..10 {
        set(&store, &format!("{index}"), b"").unwrap();
    }
    assert!(matches!(set(&store, "one more", b""), Err(KvError::Keys(10))));
    // With a smaller quota nothing is lost, and the plugin can make room.
    let less = Quota { bytes: 100, keys: 1, value: 50 };
    store.set("", &[("1".to_owned(), vec![0; 40])], less).unwrap();
    assert!(matches!(store.set("", &[("1".to_owned(), vec![0; 41])], less), Err(KvError::Bytes(100))));
    store.delete("", &["2".to_owned()]).unwrap();
}

#[test]
fn a_value_is_swapped_only_if_it_is_the_expected_one() {
    let (_dir, store) = store();
    let swap = |expected: Option<&[u8]>, new: Option<&[u8]>| store.compare_and_swap("", "a", expected, new, QUOTA);
    assert!(!swap(Some(b""), Some(b"1")).unwrap(), "an absent value is not an empty one");
    assert!(swap(None, Some(b"1")).unwrap());
    assert!(!swap(None, Some(b"2")).unwrap());
    assert!(!swap(Some(b"0"), None).unwrap());
    assert!(swap(Some(b"1"), Some(b"22")).unwrap());
    assert_eq!(store.get("", "a").unwrap().unwrap(), b"22");
    assert!(matches!(swap(Some(b"22"), Some(&[0; 201])), Err(KvError::Value(200))));
    assert!(swap(Some(b"22"), None).unwrap());
    assert!(swap(None, None).unwrap());
    assert!(!store.exists("", "a").unwrap());
}

#[test]
fn of_several_that_expect_the_same_value_one_swaps_it() {
    let (_dir, store) = store();
    let add = || loop {
        let now = store.get("", "n").unwrap();
        let next = now.as_ref().map_or(0, |now| std::str::from_utf8(now).unwrap().parse().unwrap()) + 1_u32;
        if store.compare_and_swap("", "n", now.as_deref(), Some(next.to_string().as_bytes()), QUOTA).unwrap() {
            return;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..25).for_each(|_| add()));
        }
    });
    assert_eq!(store.get("", "n").unwrap().unwrap(), b"100");
}

#[test]
fn several_are_set_together_or_not_at_all() {
    let (_dir, store) = store();
    let entries: Vec<_> = (0..11).map(|index| (index.to_string(), vec![])).collect();
    assert!(matches!(store.set("", &entries, QUOTA), Err(KvError::Keys(10))));
    assert_eq!(store.list("", 0).unwrap(), (vec![], None));
}

#[test]
fn a_counter_counts_and_refuses_text_that_is_not_a_number() {
    let (_dir, store) = store();
    assert_eq!(store.increment("", "n", 5, QUOTA).unwrap(), 5);
    assert_eq!(store.increment("", "n", 37, QUOTA).unwrap(), 42);
    assert_eq!(store.get("", "n").unwrap().unwrap(), b"42");
    assert!(matches!(store.increment("", "n", u64::MAX, QUOTA), Err(KvError::NotANumber)));
    set(&store, "n", b"four").unwrap();
    assert!(matches!(store.increment("", "n", 1, QUOTA), Err(KvError::NotANumber)));
}

#[test]
fn keys_are_listed_in_pages_that_miss_none() {
    let (_dir, store) = store();
    let quota = Quota { keys: 10_000, bytes: 1 << 20, value: 10 };
    let all: Vec<_> = (0..PAGE * 2 + 1).map(|index| (format!("k{index}"), vec![])).collect();
    store.set("pages", &all, quota).unwrap();
    store.set("other", &all[..3], quota).unwrap();
    let (mut found, mut after) = (Vec::new(), Some(0));
    while let Some(cursor) = after {
        let (page, next) = store.list("pages", cursor).unwrap();
        assert!(page.len() <= PAGE);
        found.extend(page);
        after = next;
    }
    assert_eq!(found, all.into_iter().map(|(key, _)| key).collect::<Vec<_>>());
    assert_eq!(store.list("pages", u64::MAX).unwrap(), (vec![], None));
}

#[test]
fn one_call_reads_a_bounded_amount() {
    let (_dir, store) = store();
    let quota = Quota { keys: 10, bytes: 1 << 30, value: CALL };
    store.set("", &[("a".to_owned(), vec![0; CALL / 2 + 1])], quota).unwrap();
    let twice = ["a".to_owned(), "a".to_owned()];
    assert!(matches!(store.get_many("", &twice), Err(KvError::TooMuch)));
    let (one, none) = (twice[0].clone(), "b".to_owned());
    let read = store.get_many("", &[none, one]).unwrap();
    assert!(read[0].is_none() && read[1].as_ref().is_some_and(|value| value.len() == CALL / 2 + 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// The counted keys and bytes are those of the table after any operations.
    #[test]
    fn counts_equal_the_table(steps in prop::collection::vec((0..3_u8, 0..6_u8, 0..250_usize), 1..40)) {
        let (_dir, store) = store();
        for (step, key, size) in steps {
            let key = format!("k{key}");
            let _ = match step {
                0 => set(&store, &key, &vec![b'1'; size]),
                1 => store.delete("", &[key]),
                _ => store.increment("", &key, size as u64, QUOTA).map(drop),
            };
        }
        let (counted, there): ((i64, i64), (i64, i64)) = store.with(|open| {
            let pair = |sql: &str| open.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
            Ok((
                pair("SELECT keys, bytes FROM kept")?,
                pair("SELECT count(*), coalesce(sum(length(key) + length(value)), 0) FROM entry")?,
            ))
        }).unwrap();
        prop_assert_eq!(counted, there);
        prop_assert!(there.0 <= QUOTA.keys as i64 && there.1 <= QUOTA.bytes as i64);
    }
}
