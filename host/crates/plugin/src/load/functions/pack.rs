//! Reads the part of one name from the file of compiled functions, and writes the file whole.
//!
//! A file is `MAGIC`, the SHA-256 of the rest, the number of functions and the length of each, the number of packs, the
//! packs, and the functions. A pack is its name, the number of its keys, and for each key the number of its function:
//! many keys lead to one function, within a pack and across packs. Numbers are 32 bits, little endian. A file that is
//! cut short or changed does not fit its digest, and has no pack; nor has one that is renamed, by its new name. The
//! digest finds damage. It proves nothing about who wrote the file.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use sha2::{Digest as _, Sha256};

const MAGIC: &[u8; 8] = b"coinfn\0\x02";
const DIGEST: usize = 32;
const HEAD: usize = MAGIC.len() + DIGEST;
/// Bytes of a number.
const NUMBER: usize = 4;

/// The key by which wasmtime asks for a function: a hash of its code before compilation, and of all settings.
pub(crate) type FunctionKey = [u8; DIGEST];

/// Functions by their keys.
pub(crate) type Functions = BTreeMap<FunctionKey, Vec<u8>>;

/// The functions of one name in a file.
#[derive(Debug, Default)]
pub(super) struct Pack {
    bytes: Cow<'static, [u8]>,
    index: HashMap<FunctionKey, Range<usize>>,
}

impl Pack {
    /// Reads the functions of this name. None if the file is not whole, or has no such name.
    pub(super) fn read(name: &str, bytes: impl Into<Cow<'static, [u8]>>) -> Option<Self> {
        let bytes = bytes.into();
        let body = bytes.get(HEAD..)?;
        if !bytes.starts_with(MAGIC) || bytes[MAGIC.len()..HEAD] != *Sha256::digest(body) {
            return None;
        }
        let index = index(name, body)?;
        Some(Self { bytes, index })
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.bytes.get(self.index.get(key)?.clone())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&FunctionKey, &[u8])> {
        self.index.iter().filter_map(|(key, range)| Some((key, self.bytes.get(range.clone())?)))
    }
}

/// The places, in the file that has this body, of the functions of this name.
fn index(name: &str, body: &[u8]) -> Option<HashMap<FunctionKey, Range<usize>>> {
    let mut rest = body;
    let count = number(&mut rest)?;
    let mut lengths = split(&mut rest, count.checked_mul(NUMBER)?)?;
    let mut keys = None;
    for _ in 0..number(&mut rest)? {
        let len = number(&mut rest)?;
        let found = split(&mut rest, len)?;
        let len = number(&mut rest)?.checked_mul(DIGEST + NUMBER)?;
        let its = split(&mut rest, len)?;
        if found == name.as_bytes() {
            keys = Some(its);
        }
    }
    let mut at = HEAD + body.len() - rest.len();
    let mut places = Vec::with_capacity(count);
    while !lengths.is_empty() {
        let end = at.checked_add(number(&mut lengths)?)?;
        places.push(at..end);
        at = end;
    }
    if at != HEAD + body.len() {
        return None;
    }
    let mut keys = keys?;
    let mut index = HashMap::with_capacity(keys.len() / (DIGEST + NUMBER));
    while !keys.is_empty() {
        let key = split(&mut keys, DIGEST)?.try_into().ok()?;
        index.insert(key, places.get(number(&mut keys)?)?.clone());
    }
    Some(index)
}

/// The next bytes.
fn split<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (first, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(first)
}

/// The next number.
fn number(bytes: &mut &[u8]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(split(bytes, NUMBER)?.try_into().ok()?)).ok()
}

/// The file with these packs, by their names. None if it would be longer than `most` bytes.
pub(super) fn write(packs: &BTreeMap<String, Functions>, most: usize) -> Option<Vec<u8>> {
    let mut numbers: HashMap<&[u8], usize> = HashMap::new();
    let mut functions: Vec<&[u8]> = Vec::new();
    let mut heads = Vec::new();
    let put = |heads: &mut Vec<u8>, number: usize| {
        heads.extend_from_slice(&u32::try_from(number).ok()?.to_le_bytes());
        Some(())
    };
    put(&mut heads, packs.len())?;
    for (name, pack) in packs {
        put(&mut heads, name.len())?;
        heads.extend_from_slice(name.as_bytes());
        put(&mut heads, pack.len())?;
        for (key, function) in pack {
            let number = *numbers.entry(function.as_slice()).or_insert_with(|| {
                functions.push(function);
                functions.len() - 1
            });
            heads.extend_from_slice(key);
            put(&mut heads, number)?;
        }
    }
    let mut body = Vec::new();
    put(&mut body, functions.len())?;
    for function in &functions {
        put(&mut body, function.len())?;
    }
    body.append(&mut heads);
    if HEAD + body.len() + functions.iter().map(|function| function.len()).sum::<usize>() > most {
        return None;
    }
    for function in functions {
        body.extend_from_slice(function);
    }
    Some([MAGIC.as_slice(), &Sha256::digest(&body), &body].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn functions() -> Functions {
        Functions::from([([1; 32], b"one".to_vec()), ([2; 32], Vec::new()), ([3; 32], b"three".to_vec())])
    }

    fn file(packs: &[(&str, Functions)]) -> Vec<u8> {
        let packs = packs.iter().map(|(name, functions)| ((*name).to_owned(), functions.clone())).collect();
        write(&packs, 1 << 20).expect("small")
    }

    #[test]
    fn what_is_written_is_read_by_its_name() {
        let other = Functions::from([([1; 32], b"other".to_vec()), ([4; 32], b"three".to_vec())]);
        let bytes = file(&[("a", functions()), ("b", Functions::new()), ("c", other.clone())]);
        for (name, functions) in [("a", functions()), ("b", Functions::new()), ("c", other)] {
            let pack = Pack::read(name, bytes.clone()).expect("whole");
            let read: Functions = pack.iter().map(|(key, function)| (*key, function.to_vec())).collect();
            assert_eq!(read, functions);
            assert_eq!(pack.get(&[1; 32]), functions.get(&[1; 32]).map(Vec::as_slice));
            assert_eq!((pack.get(&[9; 32]), pack.get(b"short")), (None, None));
        }
        assert_eq!(write(&BTreeMap::from([("a".to_owned(), functions())]), 100), None, "larger than that");
    }

    /// Processors of many kinds get the same code, under other keys.
    #[test]
    fn a_function_of_many_keys_is_written_once() {
        let large = |key: u8| Functions::from([([key; 32], vec![7; 10_000])]);
        let bytes = file(&[("a", large(1)), ("b", large(2)), ("c", large(1))]);
        assert!(bytes.len() < 11_000, "{}", bytes.len());
        assert_eq!(Pack::read("b", bytes).expect("whole").get(&[2; 32]), Some([7; 10_000].as_slice()));
    }

    #[test]
    fn a_file_that_is_cut_changed_or_renamed_is_none() {
        let bytes = file(&[("a", functions())]);
        for len in 0..bytes.len() {
            assert!(Pack::read("a", bytes[..len].to_vec()).is_none(), "{len} bytes of it");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Pack::read("a", changed).is_none(), "byte {at}");
        }
        assert!(Pack::read("b", bytes.clone()).is_none());
        assert!(Pack::read("a", [bytes, vec![0]].concat()).is_none());
    }

    /// A digest is no secret: numbers that fit it may still lie.
    #[test]
    fn numbers_that_lead_outside_are_no_panic() {
        let body = |numbers: [u32; 6]| {
            let [functions, len, packs, name_len, keys, number] = numbers.map(u32::to_le_bytes);
            [&functions[..], &len, &packs, &name_len, b"a", &keys, &[7; DIGEST], &number, b"code"].concat()
        };
        let read = |numbers| {
            let body = body(numbers);
            Pack::read("a", [MAGIC.as_slice(), &Sha256::digest(&body), &body].concat())
        };
        let right = [1, 4, 1, 1, 1, 0];
        assert_eq!(read(right).expect("whole").get(&[7; 32]), Some(b"code".as_slice()));
        for place in 0..right.len() {
            for wrong in [2, 5, u32::MAX] {
                let mut numbers = right;
                numbers[place] = wrong;
                assert!(read(numbers).is_none(), "{numbers:?}");
            }
        }
    }
}
