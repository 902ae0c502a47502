//! Keeps functions in files, and damages the files.

use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use super::*;

/// A module with a function of this many bytes, which nobody looks into.
fn module(size: u32, last: u8) -> Vec<u8> {
    let number = |mut number: u32| {
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    };
    let mut body = vec![0; size as usize];
    body[size as usize - 1] = last;
    let function = [vec![1], number(size), body].concat();
    let code = [vec![10], number(u32::try_from(function.len()).expect("short")), function].concat();
    [b"\0asm\x01\0\0\0\x03\x02\x01\0".to_vec(), code].concat()
}

fn large() -> Vec<u8> {
    module(SMALL as u32, 0x0b)
}

fn store(dir: &Path, wasm: &[u8], fingerprint: &str) -> Arc<FunctionStore> {
    FunctionStore::of(dir, wasm, fingerprint, &[]).expect("much code")
}

/// What a compilation finds of one function. It adds the function if it is not there, and keeps it.
fn find(dir: &Path, wasm: &[u8], fingerprint: &str) -> Option<Vec<u8>> {
    let store = store(dir, wasm, fingerprint);
    let found = store.get(&[1; 32]).map(Cow::into_owned);
    if found.is_none() {
        assert!(store.insert(&[1; 32], b"native code".to_vec()));
    }
    let reuse = store.keep().expect("kept");
    let (reused, compiled) = (usize::from(found.is_some()), usize::from(found.is_none()));
    assert_eq!(reuse, ReuseCounts { reused, carried: 0, compiled });
    found
}

#[test]
fn functions_are_found_by_components_with_the_same_code_and_by_no_others() {
    let dir = tempfile::tempdir().expect("a folder");
    assert_eq!(find(dir.path(), &large(), "one"), None);
    assert_eq!(find(dir.path(), &large(), "one").as_deref(), Some(b"native code".as_slice()));
    assert_eq!(find(dir.path(), &module(SMALL as u32, 0x0c), "one"), None, "other code");
    assert_eq!(find(dir.path(), &large(), "two"), None, "another engine");
    assert!(FunctionStore::of(dir.path(), &module(1 << 10, 0x0b), "one", &[]).is_none(), "little code");
    assert!(FunctionStore::of(dir.path(), &large()[..100], "one", &[]).is_none(), "damaged");
    assert!(!store(dir.path(), &large(), "one").insert(b"short", Vec::new()), "no key of the compiler");
}

#[test]
fn a_file_is_written_again_for_many_functions_and_not_for_a_few() {
    let dir = tempfile::tempdir().expect("a folder");
    let compile = |functions: std::ops::Range<u8>| {
        let store = store(dir.path(), &large(), "one");
        for function in functions {
            if store.get(&[function; 32]).is_none() {
                assert!(store.insert(&[function; 32], vec![function]));
            }
        }
        store.keep().expect("kept").compiled
    };
    assert_eq!([compile(0..128), compile(0..128)], [128, 0]);
    assert_eq!([compile(0..130), compile(0..130)], [2, 2], "a few are no reason");
    assert_eq!([compile(0..131), compile(0..131)], [3, 0], "and what was there stays");
}

#[test]
fn a_file_that_is_damaged_anothers_or_too_large_is_not_read_and_is_written_again() {
    let dir = tempfile::tempdir().expect("a folder");
    assert_eq!((find(dir.path(), &large(), "one"), find(dir.path(), &large(), "two")), (None, None));
    let [path, other] = ["one", "two"].map(|fingerprint| store(dir.path(), &large(), fingerprint).path.clone());
    let elsewhere = dir.path().join("elsewhere");
    let write = |bytes: &[u8]| file::replace(&path, 0o400, bytes).expect("written");
    let set_mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    let genuine = fs::read(&path).expect("a file");
    let damages: [(&str, &dyn Fn()); 8] = [
        ("empty, as after a crash", &|| write(b"")),
        ("cut short", &|| write(&genuine[..genuine.len() - 1])),
        ("zeros at its end, as after a crash", &|| {
            write(&[&genuine[..genuine.len() - 4], &[0; 4]].concat());
        }),
        ("of another engine", &|| write(&fs::read(&other).expect("a file"))),
        ("writable by others", &|| set_mode(0o602)),
        ("writable by its group", &|| set_mode(0o420)),
        ("a link", &|| {
            fs::rename(&path, &elsewhere).expect("moved");
            symlink(&elsewhere, &path).expect("a link");
        }),
        ("too large", &|| {
            set_mode(0o600);
            let file = fs::File::options().write(true).open(&path).expect("a file");
            file.set_len(LARGEST as u64 + 1).expect("a length");
        }),
    ];
    for (what, damage) in damages {
        damage();
        assert_eq!(find(dir.path(), &large(), "one"), None, "{what}");
        assert_eq!(fs::read(&path).expect("a file"), genuine, "{what}");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o400, "{what}");
        assert!(find(dir.path(), &large(), "one").is_some(), "{what}");
    }
    // Only root can give a file away.
    if chown(&path, Some(12345), None).is_ok() {
        assert_eq!(find(dir.path(), &large(), "one"), None, "of another user");
    }
}

#[test]
fn files_that_are_old_many_or_large_together_are_forgotten() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = |name: &str, days: u64, len: u64| {
        let path = dir.path().join(name);
        let file = fs::File::create(&path).expect("a file");
        file.set_len(len).expect("a length");
        file.set_modified(now() - Duration::from_secs(days * 24 * 60 * 60)).expect("a time");
        path
    };
    let (old, other) = (file("old.functions", 31, 1), file("a.cwasm", 90, 1));
    let (draft, left) = (file(".draft-x", 0, 1), file(".draft-y", 2, 1));
    let many: Vec<PathBuf> = (1..=20).map(|days| file(&format!("{days}.functions"), days, 1)).collect();
    assert_eq!(find(dir.path(), &large(), "one"), None);
    assert_eq!((old.exists(), other.exists(), draft.exists(), left.exists()), (false, true, true, false));
    let stay = many.iter().map(|path| path.exists()).collect::<Vec<_>>();
    assert_eq!(stay, [vec![true; MOST - 1], vec![false; 21 - MOST]].concat(), "the last used ones");
    let heavy: Vec<PathBuf> = (1..=8).map(|days| file(&format!("{days}.functions"), days, LARGEST as u64)).collect();
    assert_eq!(find(dir.path(), &large(), "two"), None);
    let total: u64 = heavy.iter().filter_map(|path| Some(fs::metadata(path).ok()?.len())).sum();
    assert!(total < TOTAL && total > TOTAL / 2, "{total}");
    assert!(heavy[0].exists() && !heavy[7].exists());
    assert!(find(dir.path(), &large(), "two").is_some(), "what was just written stays");
}

/// A file of functions that a program could carry, under the name of one component and engine.
fn carrying(wasm: &[u8], fingerprint: &str, functions: &[(u8, &str)]) -> &'static [u8] {
    let functions = functions.iter().map(|(key, code)| ([*key; 32], code.as_bytes().to_vec())).collect();
    let packs = BTreeMap::from([(name(wasm, fingerprint).expect("much code"), functions)]);
    pack::write(&packs, LARGEST).expect("small").leak()
}

#[test]
fn what_a_program_carries_is_found_where_the_directory_has_nothing_and_the_directory_stays_as_it_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let carried = carrying(&large(), "one", &[(1, "carried"), (2, "carried")]);
    let open =
        |wasm: &[u8], fingerprint: &str| FunctionStore::of(dir.path(), wasm, fingerprint, carried).expect("much");
    let is_pack = |entry: &fs::DirEntry| entry.path().extension() == Some(OsStr::new(EXTENSION));
    let files = || fs::read_dir(dir.path()).expect("the folder").flatten().filter(is_pack).count();
    let first = open(&large(), "one");
    assert_eq!(first.get(&[1; 32]).as_deref(), Some(b"carried".as_slice()));
    assert_eq!(first.get(&[9; 32]), None);
    assert_eq!((first.keep().expect("kept"), files()), (ReuseCounts { reused: 1, carried: 1, compiled: 0 }, 0));
    assert_eq!(open(&module(SMALL as u32, 0x0c), "one").get(&[1; 32]), None, "other code");
    assert_eq!(open(&large(), "two").get(&[1; 32]), None, "another engine");

    // What it lacks is kept in the directory, and both are looked at.
    assert!(first.insert(&[9; 32], b"compiled".to_vec()));
    assert_eq!((first.keep().expect("kept").compiled, files()), (1, 1));
    let both = open(&large(), "one");
    assert_eq!(both.get(&[2; 32]).as_deref(), Some(b"carried".as_slice()));
    assert_eq!(both.get(&[9; 32]).as_deref(), Some(b"compiled".as_slice()));
    assert_eq!(both.keep().expect("kept"), ReuseCounts { reused: 2, carried: 1, compiled: 0 });
}

/// A program that carries what is damaged works as one that carries nothing.
#[test]
fn damage_in_what_a_program_carries_costs_time_only() {
    let dir = tempfile::tempdir().expect("a folder");
    let genuine = carrying(&large(), "one", &[(1, "carried")]);
    let mut changed = genuine.to_vec();
    *changed.last_mut().expect("bytes") ^= 1;
    for damaged in [&genuine[..genuine.len() - 1], changed.leak(), &[]] {
        let store = FunctionStore::of(dir.path(), &large(), "one", damaged).expect("much code");
        assert_eq!(store.get(&[1; 32]), None);
    }
}
