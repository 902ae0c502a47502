//! What is kept, counted and refused.

use proptest::prelude::*;

use super::*;

const QUOTA: Quota = Quota { bytes: 1_000, keys: 10, value: 200 };

fn shelf() -> (tempfile::TempDir, Arc<KvStore>) {
    let dir = tempfile::tempdir().unwrap();
    let shelf = KvStores::new(dir.path().join("keyvalue")).of("notes");
    (dir, shelf)
}

fn set(shelf: &KvStore, key: &str, value: &[u8]) -> Result<(), KvError> {
    shelf.set("", &[(key.to_owned(), value.to_vec())], QUOTA)
}

#[test]
fn a_shelf_keeps_what_is_put_on_it_and_shares_nothing_between_plugins_and_buckets() {
    let dir = tempfile::tempdir().unwrap();
    let shelves = KvStores::new(dir.path().join("keyvalue"));
    let notes = shelves.of("notes");
    set(&notes, "a", b"1").unwrap();
    set(&notes, "a", b"22").unwrap();
    assert_eq!(notes.get("", "a").unwrap().unwrap(), b"22");
    assert!(notes.exists("", "a").unwrap() && !notes.exists("other", "a").unwrap());
    assert_eq!(shelves.of("thief").get("", "a").unwrap(), None);
    drop(notes);
    // Another process, later.
    let again = KvStores::new(dir.path().join("keyvalue")).of("notes");
    assert_eq!(again.get("", "a").unwrap().unwrap(), b"22");
    again.delete("", &["a".to_owned(), "never".to_owned()]).unwrap();
    assert_eq!(again.get("", "a").unwrap(), None);
}

#[test]
fn a_quota_is_never_exceeded_and_what_shrinks_is_taken() {
    let (_dir, shelf) = shelf();
    assert!(matches!(set(&shelf, "a", &[0; 201]), Err(KvError::Value(200))));
    for index in 0..4 {
        set(&shelf, &format!("{index}"), &[0; 200]).unwrap();
    }
    assert!(matches!(set(&shelf, "4", &[0; 200]), Err(KvError::Bytes(1_000))));
    assert_eq!(shelf.get("", "4").unwrap(), None, "nothing of what is refused is kept");
    set(&shelf, "0", &[0; 10]).unwrap();
    set(&shelf, "4", &[0; 180]).unwrap();
    for index in 5..10 {
        set(&shelf, &format!("{index}"), b"").unwrap();
    }
    assert!(matches!(set(&shelf, "one more", b""), Err(KvError::Keys(10))));
    // An operator who now grants less loses nothing, and the plugin can make room.
    let less = Quota { bytes: 100, keys: 1, value: 50 };
    shelf.set("", &[("1".to_owned(), vec![0; 40])], less).unwrap();
    assert!(matches!(shelf.set("", &[("1".to_owned(), vec![0; 41])], less), Err(KvError::Bytes(100))));
    shelf.delete("", &["2".to_owned()]).unwrap();
}

#[test]
fn several_are_set_together_or_not_at_all() {
    let (_dir, shelf) = shelf();
    let entries: Vec<_> = (0..11).map(|index| (index.to_string(), vec![])).collect();
    assert!(matches!(shelf.set("", &entries, QUOTA), Err(KvError::Keys(10))));
    assert_eq!(shelf.list("", 0).unwrap(), (vec![], None));
}

#[test]
fn a_counter_counts_and_refuses_what_is_no_number() {
    let (_dir, shelf) = shelf();
    assert_eq!(shelf.increment("", "n", 5, QUOTA).unwrap(), 5);
    assert_eq!(shelf.increment("", "n", 37, QUOTA).unwrap(), 42);
    assert_eq!(shelf.get("", "n").unwrap().unwrap(), b"42");
    assert!(matches!(shelf.increment("", "n", u64::MAX, QUOTA), Err(KvError::NotANumber)));
    set(&shelf, "n", b"four").unwrap();
    assert!(matches!(shelf.increment("", "n", 1, QUOTA), Err(KvError::NotANumber)));
}

#[test]
fn keys_are_listed_in_pages_that_miss_none() {
    let (_dir, shelf) = shelf();
    let quota = Quota { keys: 10_000, bytes: 1 << 20, value: 10 };
    let all: Vec<_> = (0..PAGE * 2 + 1).map(|index| (format!("k{index}"), vec![])).collect();
    shelf.set("pages", &all, quota).unwrap();
    shelf.set("other", &all[..3], quota).unwrap();
    let (mut found, mut after) = (Vec::new(), Some(0));
    while let Some(cursor) = after {
        let (page, next) = shelf.list("pages", cursor).unwrap();
        assert!(page.len() <= PAGE);
        found.extend(page);
        after = next;
    }
    assert_eq!(found, all.into_iter().map(|(key, _)| key).collect::<Vec<_>>());
    assert_eq!(shelf.list("pages", u64::MAX).unwrap(), (vec![], None));
}

#[test]
fn one_call_reads_a_bounded_amount() {
    let (_dir, shelf) = shelf();
    let quota = Quota { keys: 10, bytes: 1 << 30, value: CALL };
    shelf.set("", &[("a".to_owned(), vec![0; CALL / 2 + 1])], quota).unwrap();
    let twice = ["a".to_owned(), "a".to_owned()];
    assert!(matches!(shelf.get_many("", &twice), Err(KvError::TooMuch)));
    let (one, none) = (twice[0].clone(), "b".to_owned());
    let read = shelf.get_many("", &[none, one]).unwrap();
    assert!(read[0].is_none() && read[1].as_ref().is_some_and(|value| value.len() == CALL / 2 + 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever is done, what is counted is what is there.
    #[test]
    fn what_is_counted_is_what_is_there(steps in prop::collection::vec((0..3_u8, 0..6_u8, 0..250_usize), 1..40)) {
        let (_dir, shelf) = shelf();
        for (step, key, size) in steps {
            let key = format!("k{key}");
            let _ = match step {
                0 => set(&shelf, &key, &vec![b'1'; size]),
                1 => shelf.delete("", &[key]),
                _ => shelf.increment("", &key, size as u64, QUOTA).map(drop),
            };
        }
        let (counted, there): ((i64, i64), (i64, i64)) = shelf.with(|open| {
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
