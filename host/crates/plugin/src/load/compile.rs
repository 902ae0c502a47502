//! Compiles a component in a process of its own.
//!
//! The compiler gets hostile input, takes seconds for a JavaScript component, and keeps its working memory as long as
//! its engine lives. So the server starts its own executable with the subcommand `compile`: the component comes on
//! stdin, the artifact goes to stdout and the reason of a failure to stderr, under limits of memory and CPU time, on all
//! processors, and at the lowest priority where requests are served meanwhile. No code of the plugin runs there. It
//! works in the directory of compiled functions, where it finds what components with the same code have been compiled
//! to, as it does among the functions that the executable carries: see [`super::functions`]. Without such an executable
//! (in tests and embedders) a thread compiles.

mod arguments;
mod process;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use coinslot_base::text::bounded;
use rustix::process::{Resource, Rlimit, nice, setrlimit};
use tempfile::NamedTempFile;
use wasmtime::Engine;

use self::arguments::{Arguments, Output};
pub(crate) use self::process::in_process_of;
use crate::fault::LoadError;
use crate::instance::engine::{self, EngineKind};
use crate::load::component::{self, MAX_WASM};
use crate::load::functions::{FunctionStore, ReuseCounts, carried};

/// Address space of the compiling process, in bytes. A Python component of 18 MB needs under 2 GiB.
const ADDRESS_SPACE: u64 = 4 << 30;
/// CPU time of the compiling process, in seconds. The largest JavaScript component takes 24.
const CPU_SECONDS: u64 = 180;
/// The time from the signal of that limit to the end by force, in seconds.
const CPU_LEEWAY: u64 = 5;
/// The most threads of one compilation: its address space has no room for more.
const MOST_THREADS: usize = 16;

/// The priority of compilations among the processes of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompilePriority {
    /// The lowest: requests are served meanwhile.
    #[default]
    Low,
    /// That of this process: its user waits for the component.
    Normal,
}

impl CompilePriority {
    /// Gives it to this process; on Linux, to the calling thread and those that it starts. Best effort.
    fn take(self) {
        if self == Self::Low {
            let _ = nice(19);
        }
    }
}

/// The number of components that are compiled at once. Each may need gigabytes of memory; but on the smallest machine,
/// too, a slow one must not delay all others.
pub(crate) fn at_once() -> usize {
    std::thread::available_parallelism().map_or(2, |threads| threads.get().clamp(2, 4))
}

/// The exit status of a compilation that failed outside of the component: it could not be read, or the artifact could
/// not be written (EX_IOERR).
const OUTSIDE: u8 = 74;

/// The body of the hidden subcommand `compile`: `arguments` are those after the subcommand's name, `--wasi 0.2` or
/// `--wasi 0.3`, `--on-demand` where the server has no pool, `--low-priority` where requests are served meanwhile, and
/// `--functions` with a directory of compiled functions, to which no other user can write. `carried` are compiled
/// functions that are a part of the executable, or nothing. Exit status 0 means that stdout is a whole artifact. One line
/// on stderr then says how much of it was found.
///
/// With `--carry this` or `--carry all` stdout is what can be `carried`: the functions of the component for this
/// processor, or for each that is likely.
pub fn compile_main(arguments: impl IntoIterator<Item = OsString>, carried: &'static [u8]) -> ExitCode {
    match run(arguments, carried) {
        Ok(()) => ExitCode::SUCCESS,
        Err((status, reason)) => {
            // The parent reads this. If the parent is gone, the write fails and nothing else depends on it.
            let _ = writeln!(io::stderr(), "{reason}");
            ExitCode::from(status)
        }
    }
}

/// Fails with an exit status and the reason.
fn run(arguments: impl IntoIterator<Item = OsString>, carried: &'static [u8]) -> Result<(), (u8, String)> {
    let Arguments { kind, priority, output } =
        Arguments::read(arguments.into_iter()).ok_or_else(|| (2, arguments::USAGE.to_owned()))?;
    priority.take();
    if matches!(output, Output::Artifact { .. }) {
        confine();
    }
    let mut wasm = Vec::new();
    io::stdin()
        .lock()
        .take(MAX_WASM as u64 + 1)
        .read_to_end(&mut wasm)
        .map_err(|error| (OUTSIDE, format!("cannot read the component: {error}")))?;
    let write = |bytes: &[u8], what: &str| {
        io::stdout().lock().write_all(bytes).map_err(|error| (OUTSIDE, format!("cannot write {what}: {error}")))
    };
    match output {
        Output::Artifact { functions, carried: file } => {
            let carried = match file {
                Some(file) => read(&file).map_err(|error| (OUTSIDE, format!("{}: {error}", file.display())))?,
                None => carried,
            };
            let compiled = compile(&wasm, kind, functions.as_deref(), carried).map_err(|reason| (1, reason))?;
            write(&compiled.artifact, "the artifact")?;
            if let Some(note) = compiled.keep_functions() {
                let _ = writeln!(io::stderr(), "{note}");
            }
        }
        Output::Functions { processors } => {
            let precompile = |engine: &Engine| precompile(engine, &wasm).map(drop);
            let filled = carried::fill(&wasm, kind, &processors, precompile).map_err(|reason| (1, reason))?;
            write(&filled.bytes, "the functions")?;
            let _ = writeln!(io::stderr(), "{}", filled.report);
        }
    }
    Ok(())
}

/// The bytes of a file, for the rest of this process.
fn read(file: &Path) -> io::Result<&'static [u8]> {
    Ok(std::fs::read(file)?.leak())
}

/// Limits this process. Best effort: a system without one of these limits still compiles, under fewer limits.
fn confine() {
    for (resource, limit) in [(Resource::As, ADDRESS_SPACE), (Resource::Cpu, CPU_SECONDS), (Resource::Core, 0)] {
        // Above the first bound the kernel sends SIGXCPU, which tells the component's own fault from a kill from outside.
        let most = if resource == Resource::Cpu { limit + CPU_LEEWAY } else { limit };
        let _ = setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(most) });
    }
}

/// A compiled component.
struct CompiledComponent {
    artifact: Vec<u8>,
    functions: Option<Arc<FunctionStore>>,
}

impl CompiledComponent {
    /// Keeps its functions for components with the same code, and says how many there were. Functions that cannot be
    /// kept cost time, and nothing else.
    fn keep_functions(&self) -> Option<String> {
        Some(match self.functions.as_ref()?.keep() {
            Ok(ReuseCounts { reused, carried, compiled }) => {
                format!("reused {reused} functions and compiled {compiled}; the program carried {carried}")
            }
            Err(error) => format!("the compiled functions cannot be kept: {error}"),
        })
    }
}

/// Compiles a component. `functions` is a directory to which no other user can write, and `carried` what the program
/// carries.
fn compile(
    wasm: &[u8],
    kind: EngineKind,
    functions: Option<&Path>,
    carried: &'static [u8],
) -> Result<CompiledComponent, String> {
    let failed = |error: wasmtime::Error| format!("it does not compile: {error:#}");
    let store = match functions {
        Some(dir) => {
            let fingerprint = engine::fingerprint(&engine::compiler(kind, None).map_err(failed)?);
            FunctionStore::of(dir, wasm, &fingerprint, carried)
        }
        None => None,
    };
    let engine = engine::compiler(kind, store.clone().map(|store| store as _)).map_err(failed)?;
    let artifact = precompile(&engine, wasm)?;
    Ok(CompiledComponent { artifact, functions: store })
}

/// Compiles on all processors. The threads have the priority of this one.
///
/// wasmtime validates what it compiles. A component that fails is validated once more, by a validator that knows more
/// proposals and says where the damage is.
fn precompile(engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, String> {
    let failed = |error: &dyn fmt::Display| format!("it does not compile: {error:#}");
    let processors = std::thread::available_parallelism().map_or(1, |threads| threads.get().min(MOST_THREADS));
    // Not the pool of the process, whose threads have its priority.
    let threads = rayon::ThreadPoolBuilder::new().num_threads(processors).build();
    let threads = threads.map_err(|error| failed(&error))?;
    threads.install(|| engine.precompile_component(wasm)).map_err(|error| {
        let damage = component::validate(wasm).err();
        damage.map_or_else(|| failed(&error), |damage| damage.to_string())
    })
}

/// Compiles on a thread, into `draft`.
pub(crate) async fn on_thread(
    priority: CompilePriority,
    wasm: Arc<[u8]>,
    kind: EngineKind,
    functions: PathBuf,
    draft: NamedTempFile,
) -> Result<NamedTempFile, LoadError> {
    let (done, result) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("coinslot-compile".into())
        .spawn(move || {
            priority.take();
            let compiled = compile(&wasm, kind, Some(&functions), &[])
                .map_err(|reason| LoadError::Invalid(bounded(reason, 4 << 10)));
            let written = compiled.and_then(|compiled| {
                (&mut draft.as_file())
                    .write_all(&compiled.artifact)
                    .map_err(|error| LoadError::Unavailable(format!("cannot write the artifact: {error}")))?;
                let _ = compiled.keep_functions();
                Ok(())
            });
            let _ = done.send(written.map(|()| draft));
        })
        .map_err(|error| LoadError::Unavailable(format!("cannot start the compiler: {error}")))?;
    match result.await {
        Ok(compiled) => compiled,
        Err(_) => Err(LoadError::Invalid("the compiler failed on it: report this component".into())),
    }
}
