//! Makes what a release carries: the compiled functions of one component, for several processors.
//!
//! The name of functions covers what the compiler knows of the processor, so there is a pack for each kind of processor.
//! Their code is mostly the same, and the file has it once.
//!
//! A component is compiled several times for each processor: a function has several keys (see
//! [`FunctionStore::keep`](super::FunctionStore::keep)), and each time some more of them are met.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use wasmtime::{CacheStore, Engine};

use super::pack::{self, Functions};
use super::{LARGEST, SMALL, name};
use crate::instance::engine::{EngineKind, fingerprint};
use crate::instance::processor_kind::Processor;

/// The most compilations for one processor, and the part of all functions that the last of them may lack.
const ROUNDS: usize = 8;
const LACKING: usize = 64;

/// The functions of a component, and the report about them.
pub(crate) struct Carried {
    /// The file.
    pub(crate) bytes: Vec<u8>,
    /// A line for each processor.
    pub(crate) report: String,
}

/// Compiles a component for each of the processors. `precompile` compiles it with an engine.
pub(crate) fn fill(
    wasm: &[u8],
    kind: EngineKind,
    processors: &[Processor],
    precompile: impl Fn(&Engine) -> Result<(), String>,
) -> Result<Carried, String> {
    let (mut packs, mut report) = (BTreeMap::new(), String::new());
    for processor in processors {
        let failed = |error: wasmtime::Error| format!("{}: {error:#}", processor.name());
        let store = Arc::new(Collected::default());
        let engine = processor.compiler(kind, Some(store.clone() as _)).map_err(failed)?;
        let name = name(wasm, &fingerprint(&engine))
            .ok_or_else(|| format!("it has less than {} KiB of code: it compiles quickly without", SMALL >> 10))?;
        // This processor is one of the others, too.
        if packs.contains_key(&name) {
            continue;
        }
        for _ in 0..ROUNDS {
            precompile(&engine)?;
            if store.lacked.swap(0, Ordering::Relaxed) < store.functions.lock().len() / LACKING {
                break;
            }
        }
        let functions = mem::take(&mut *store.functions.lock());
        let _ = writeln!(report, "{}: {} keys of functions, {name}", processor.name(), functions.len());
        packs.insert(name, functions);
    }
    let bytes = pack::write(&packs, LARGEST).ok_or("its functions are too large to be carried")?;
    let _ = write!(report, "{} bytes", bytes.len());
    Ok(Carried { bytes, report })
}

/// The functions that compilations have met.
#[derive(Debug, Default)]
struct Collected {
    functions: Mutex<Functions>,
    /// The number of functions that were looked for and were not there.
    lacked: AtomicUsize,
}

impl CacheStore for Collected {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let function = self.functions.lock().get(key).cloned();
        if function.is_none() {
            self.lacked.fetch_add(1, Ordering::Relaxed);
        }
        function.map(Cow::Owned)
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        let Ok(key) = key.try_into() else { return false };
        self.functions.lock().insert(key, value);
        true
    }
}
