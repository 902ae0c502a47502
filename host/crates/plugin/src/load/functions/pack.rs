//! The file of compiled functions: reading it whole, and writing it.
//!
//! A file is `MAGIC`, the SHA-256 of its name and of the rest, the number of functions, a key and a length for each, and
//! the functions. Numbers are 32 bits, little endian. A file that is cut short, changed or renamed does not fit its
//! digest, and is no pack. The digest finds damage. It proves nothing about who wrote the file.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use sha2::{Digest as _, Sha256};

const MAGIC: &[u8; 8] = b"coinfn\0\x01";
const DIGEST: usize = 32;
const HEAD: usize = MAGIC.len() + DIGEST;

/// The key by which wasmtime asks for a function: a hash of its code before compilation, and of all settings.
pub(super) type Key = [u8; 32];

/// Functions by their keys.
pub(super) type Functions = BTreeMap<Key, Vec<u8>>;

/// A file of functions, in memory.
#[derive(Debug, Default)]
pub(super) struct Pack {
    bytes: Vec<u8>,
    index: HashMap<Key, Range<usize>>,
}

impl Pack {
    /// Reads the file of this name. None if it is not whole, or not of this name.
    pub(super) fn read(name: &str, bytes: Vec<u8>) -> Option<Self> {
        let body = bytes.get(HEAD..)?;
        if !bytes.starts_with(MAGIC) || bytes[MAGIC.len()..HEAD] != digest(name, body) {
            return None;
        }
        let index = index(body)?;
        Some(Self { bytes, index })
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.bytes.get(self.index.get(key)?.clone())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &[u8])> {
        self.index.iter().filter_map(|(key, range)| Some((key, self.bytes.get(range.clone())?)))
    }
}

/// The places of the functions in the file that has this body.
fn index(body: &[u8]) -> Option<HashMap<Key, Range<usize>>> {
    let (count, mut rest) = number(body)?;
    let heads = count.checked_mul(DIGEST + 4).filter(|heads| *heads <= rest.len())?;
    let mut at = HEAD + 4 + heads;
    let mut index = HashMap::with_capacity(count);
    for _ in 0..count {
        let (key, more) = rest.split_first_chunk::<DIGEST>()?;
        let (len, more) = number(more)?;
        let end = at.checked_add(len)?;
        index.insert(*key, at..end);
        (at, rest) = (end, more);
    }
    (at == HEAD + body.len()).then_some(index)
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
}

/// The file of this name with these functions. None if it would be longer than `most` bytes.
pub(super) fn write(name: &str, functions: &Functions, most: usize) -> Option<Vec<u8>> {
    let size = functions.values().map(|function| DIGEST + 4 + function.len()).sum::<usize>() + HEAD + 4;
    if size > most {
        return None;
    }
    let mut bytes = Vec::with_capacity(size);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[0; DIGEST]);
    bytes.extend_from_slice(&u32::try_from(functions.len()).ok()?.to_le_bytes());
    for (key, function) in functions {
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(&u32::try_from(function.len()).ok()?.to_le_bytes());
    }
    for function in functions.values() {
        bytes.extend_from_slice(function);
    }
    let digest = digest(name, &bytes[HEAD..]);
    bytes[MAGIC.len()..HEAD].copy_from_slice(&digest);
    Some(bytes)
}

fn digest(name: &str, body: &[u8]) -> [u8; DIGEST] {
    let mut sha = Sha256::new_with_prefix((name.len() as u64).to_le_bytes());
    sha.update(name);
    sha.update(body);
    sha.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn functions() -> Functions {
        Functions::from([([1; 32], b"one".to_vec()), ([2; 32], Vec::new()), ([3; 32], b"three".to_vec())])
    }

    #[test]
    fn what_is_written_is_read() {
        for functions in [functions(), Functions::new()] {
            let pack = Pack::read("a", write("a", &functions, 1 << 20).expect("small")).expect("whole");
            let read: Functions = pack.iter().map(|(key, function)| (*key, function.to_vec())).collect();
            assert_eq!(read, functions);
            assert_eq!(pack.get(&[1; 32]), functions.get(&[1; 32]).map(Vec::as_slice));
            assert_eq!((pack.get(&[9; 32]), pack.get(b"short")), (None, None));
        }
        assert_eq!(write("a", &functions(), 100), None, "larger than that");
    }

    #[test]
    fn a_file_that_is_cut_changed_or_renamed_is_none() {
        let bytes = write("a", &functions(), 1 << 20).expect("small");
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
    fn lengths_that_lead_outside_are_no_panic() {
        for numbers in [[u32::MAX, 0], [1, u32::MAX], [2, 0]] {
            let mut body = numbers[0].to_le_bytes().to_vec();
            body.extend_from_slice(&[7; DIGEST]);
            body.extend_from_slice(&numbers[1].to_le_bytes());
            let bytes = [MAGIC.as_slice(), &digest("a", &body), &body].concat();
            assert!(Pack::read("a", bytes).is_none(), "{numbers:?}");
        }
    }
}
