//! Reads the arguments of the compiling process.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::instance::engine::{Allocation, EngineKind, Wasi};
use crate::instance::processor_kind::Processor;
use crate::load::compile::CompilePriority;

/// The arguments: the generation of WASI; an engine that allocates instances on demand; the lowest priority; a directory of
/// functions; a file of functions instead of those that the program carries; and the processors for which such a file is made.
pub(super) const WASI: &str = "--wasi";
pub(super) const ON_DEMAND: &str = "--on-demand";
pub(super) const LOW_PRIORITY: &str = "--low-priority";
pub(super) const FUNCTIONS: &str = "--functions";
const CARRIED: &str = "--carried";
const CARRY: &str = "--carry";

pub(super) const USAGE: &str = "usage: compile --wasi 0.2|0.3 [--on-demand] [--low-priority] \
    [--functions DIR] [--carried FILE] < component > artifact\n       \
    compile --wasi 0.2|0.3 [--on-demand] --carry this|all < component > functions";

/// The task of the process.
pub(super) struct Arguments {
    pub(super) kind: EngineKind,
    pub(super) priority: CompilePriority,
    pub(super) output: Output,
}

/// The output of the process on stdout.
pub(super) enum Output {
    /// The artifact. `functions` is a directory to which no other user can write, and `carried` a file in the place of
    /// what the program carries.
    Artifact { functions: Option<PathBuf>, carried: Option<PathBuf> },
    /// The functions that a release can carry, for these processors.
    Functions { processors: Vec<Processor> },
}

impl Arguments {
    /// None if the arguments make no sense.
    pub(super) fn read(mut arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let (mut wasi, mut allocation) = (None, Allocation::Pooled);
        let mut priority = CompilePriority::Normal;
        let (mut functions, mut carried, mut processors) = (None, None, None);
        while let Some(argument) = arguments.next() {
            match argument.to_str()? {
                WASI => wasi = Some(Wasi::from_version(arguments.next()?.to_str()?)?),
                ON_DEMAND => allocation = Allocation::OnDemand,
                LOW_PRIORITY => priority = CompilePriority::Low,
                FUNCTIONS => functions = Some(PathBuf::from(arguments.next()?)),
                CARRIED => carried = Some(PathBuf::from(arguments.next()?)),
                CARRY => processors = Some(processors_of(arguments.next()?.to_str()?)?),
                _ => return None,
            }
        }
        let kind = EngineKind { wasi: wasi?, allocation };
        let output = match (processors, functions, carried) {
            (None, functions, carried) => Output::Artifact { functions, carried },
            (Some(processors), None, None) => Output::Functions { processors },
            (Some(_), _, _) => return None,
        };
        Some(Self { kind, priority, output })
    }
}

fn processors_of(word: &str) -> Option<Vec<Processor>> {
    match word {
        "this" => Some(vec![Processor::This]),
        "all" => Some(Processor::all()),
        _ => None,
    }
}
