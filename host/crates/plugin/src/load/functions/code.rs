//! Tells which components have the same code, by a digest of all that code is generated from but the size of memories.
//!
//! A snapshot of a script engine differs from another one in its data, in the first values of its mutable globals (the
//! stack pointer), and in the pages that its memory begins with. All of these are left out. Names and other custom
//! sections are left out, too. Everything else of the component counts, at any depth.

use sha2::{Digest as _, Sha256};
use wasmparser::{BinaryReaderError, GlobalSectionReader, MemorySectionReader, Parser, Payload};

/// The code of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Code {
    /// A SHA-256, in hex.
    pub(super) digest: String,
    /// Bytes of all functions.
    pub(super) size: usize,
}

impl Code {
    /// The code of a component. An error says that the component is damaged.
    pub(super) fn of(wasm: &[u8]) -> Result<Self, BinaryReaderError> {
        let mut code = Hashed { sha: Sha256::new(), size: 0 };
        for payload in Parser::new(0).parse_all(wasm) {
            code.add(wasm, &payload?)?;
        }
        Ok(Self { digest: hex::encode(code.sha.finalize()), size: code.size })
    }
}

struct Hashed {
    sha: Sha256,
    size: usize,
}

impl Hashed {
    fn add(&mut self, wasm: &[u8], payload: &Payload<'_>) -> Result<(), BinaryReaderError> {
        match payload {
            Payload::CustomSection(_) | Payload::DataSection(_) => {}
            // What is inside follows, up to its end.
            Payload::ModuleSection { .. } => self.part(b"module", &[]),
            Payload::ComponentSection { .. } => self.part(b"component", &[]),
            Payload::End(_) => self.part(b"end", &[]),
            Payload::MemorySection(memories) => self.memories(memories)?,
            Payload::GlobalSection(globals) => self.globals(globals)?,
            other => {
                let Some((id, range)) = other.as_section() else { return Ok(()) };
                let bytes = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
                let bytes = bytes.and_then(|(start, end)| wasm.get(start..end)).unwrap_or_default();
                if matches!(other, Payload::CodeSectionStart { .. }) {
                    self.size += bytes.len();
                }
                self.part(&[id], bytes);
            }
        }
        Ok(())
    }

    fn memories(&mut self, memories: &MemorySectionReader<'_>) -> Result<(), BinaryReaderError> {
        for memory in memories.clone() {
            let memory = memory?;
            let shape = (memory.memory64, memory.shared, memory.maximum, memory.page_size_log2);
            self.part(b"memory", format!("{shape:?}").as_bytes());
        }
        Ok(())
    }

    /// The value of a global that never changes may be part of the code.
    fn globals(&mut self, globals: &GlobalSectionReader<'_>) -> Result<(), BinaryReaderError> {
        for global in globals.clone() {
            let global = global?;
            self.part(b"global", format!("{:?}", global.ty).as_bytes());
            if !global.ty.mutable {
                let mut value = global.init_expr.get_binary_reader();
                let size = value.bytes_remaining();
                self.part(b"value", value.read_bytes(size)?);
            }
        }
        Ok(())
    }

    /// Lengths keep two lists of parts from being the same bytes.
    fn part(&mut self, name: &[u8], bytes: &[u8]) {
        for text in [name, bytes] {
            self.sha.update((text.len() as u64).to_le_bytes());
            self.sha.update(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A core module of these sections.
    fn module(sections: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        for (id, content) in sections {
            bytes.extend([*id, u8::try_from(content.len()).expect("a short section")]);
            bytes.extend_from_slice(content);
        }
        bytes
    }

    /// A module with one function, a memory of some pages, a mutable and a constant global, data and a custom section.
    fn variant(pages: u8, most: u8, values: [u8; 2], body: &[u8], data: &[u8]) -> Vec<u8> {
        let code = [&[1, u8::try_from(body.len() + 2).expect("short"), 0], body, &[0x0b]].concat();
        let data = [&[1, 0, 0x41, 0, 0x0b, u8::try_from(data.len()).expect("short")], data].concat();
        module(&[
            (1, &[1, 0x60, 0, 0]),
            (3, &[1, 0]),
            (5, &[1, 1, pages, most]),
            (6, &[2, 0x7f, 1, 0x41, values[0], 0x0b, 0x7f, 0, 0x41, values[1], 0x0b]),
            (10, &code),
            (11, &data),
            (0, &[1, b'n', pages]),
        ])
    }

    #[test]
    fn what_a_snapshot_changes_is_not_code_and_everything_else_is() {
        let code = |wasm: &[u8]| Code::of(wasm).expect("whole");
        let nothing = &[0x01];
        let first = code(&variant(1, 9, [1, 1], nothing, b"one"));
        assert_eq!(first.size, 5);
        for (what, same) in [
            ("pages at the beginning", variant(2, 9, [1, 1], nothing, b"one")),
            ("the value of a mutable global", variant(1, 9, [2, 1], nothing, b"one")),
            ("data", variant(1, 9, [1, 1], nothing, b"three")),
        ] {
            assert_eq!(code(&same), first, "{what}");
        }
        for (what, other) in [
            ("the most pages", variant(1, 8, [1, 1], nothing, b"one")),
            ("the value of a constant", variant(1, 9, [1, 2], nothing, b"one")),
            ("a function", variant(1, 9, [1, 1], &[0x01, 0x01], b"one")),
        ] {
            assert_ne!(code(&other).digest, first.digest, "{what}");
        }
        let whole = variant(1, 9, [1, 1], nothing, b"one");
        Code::of(&whole[..whole.len() - 1]).expect_err("cut short");
    }

    /// One module inside of another list of modules is other code, however their sections follow each other.
    #[test]
    fn where_a_module_ends_counts() {
        let component = |modules: &[&[u8]]| {
            let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
            for module in modules {
                bytes.extend([1, u8::try_from(module.len()).expect("short")]);
                bytes.extend_from_slice(module);
            }
            bytes
        };
        let (types, empty) = (module(&[(1, &[0])]), module(&[]));
        let digests = [vec![&*types, &*empty], vec![&*empty, &*types], vec![&*types], vec![&*types, &*empty, &*empty]]
            .map(|modules| Code::of(&component(&modules)).expect("whole").digest);
        for (index, digest) in digests.iter().enumerate() {
            assert!(!digests[..index].contains(digest), "{index}");
        }
    }
}
