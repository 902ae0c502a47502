//! `coinslot build`: makes the component of a plugin.

mod cargo;
mod cargo_crate;
pub(super) mod compile;
pub(super) mod plugin_source;
mod shared_target;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use coinslot_base::file::{open_regular, read_regular};
use coinslot_base::text::printable;
use coinslot_build::component::WasmKind;
use sha2::{Digest, Sha256};

use self::compile::BuildResult;
use self::plugin_source::{COMPONENT, PluginSource, SourceKind};
use super::{Failure, LARGEST_WASM, inspect, print};
use crate::logging;

/// Build the component of a plugin from its sources.
///
/// TypeScript and JavaScript need nothing else: no Node.js, no npm, no network. Python needs Python 3.10 or newer, Rust
/// needs rustup, C and C++ need zig or clang, and Zig needs zig. A core module (.wasm) of any compiler becomes a
/// component. A component that no host would load, because of a price or a schema that is wrong, is not written; one
/// with a metered price, which hosts of later versions may take, is written with a warning.
///
/// Ends with 0 if the component is written, 2 for wrong usage or if there is no plugin at the path, 65 if the sources are
/// wrong, 69 if a tool is missing, 70 if a tool failed, 74 if a file cannot be read or written.
#[derive(clap::Args, Clone, Debug)]
pub struct BuildArgs {
    /// A module (shop.ts, shop.js, app.py, shop.c, shop.cpp, shop.zig, core.wasm), or a folder with a plugin.ts, a
    /// plugin.js, an app.py, a Cargo.toml, a plugin.c, a plugin.cpp, a plugin.zig or a build.sh.
    #[arg(default_value = ".", value_name = "DIR|FILE")]
    pub source: PathBuf,
    /// Write the component here; by default NAME.wasm beside the module or in the folder, and NAME.component.wasm beside
    /// a core module. Its folder is made if it is not there.
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The engine of a plugin in JavaScript. With starlingmonkey the plugin does without the SDK, and jco of its
    /// node_modules builds it, which needs Node.js 20 and npm.
    #[arg(long, value_enum, default_value_t = JavaScriptEngine::Quickjs, value_name = "ENGINE")]
    pub engine: JavaScriptEngine,
}

/// The engines that a plugin in JavaScript can be built with.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum JavaScriptEngine {
    /// Part of this program.
    Quickjs,
    /// By jco.
    Starlingmonkey,
}

/// The interface that a component lacks if its source declares nothing.
const MANIFEST: &str = "coinslot:plugin/manifest";

/// Builds, and prints where the component is.
pub fn run(args: &BuildArgs) -> Result<(), Failure> {
    let begun = Instant::now();
    let shown = args.source.display();
    let path = args.source.canonicalize().map_err(|error| Failure::usage(format!("{shown}: {error}")))?;
    let source = PluginSource::named(&path, &shown)?;
    let folder = if args.source.is_dir() { &args.source } else { args.source.parent().unwrap_or(Path::new("")) };
    if source.kind == SourceKind::Finished && !is_component(&path) {
        return Err(Failure {
            code: 65,
            message: format!("{shown}: it is no WebAssembly, neither module nor component"),
        });
    }
    let end = if source.kind == SourceKind::Module { COMPONENT } else { "" };
    let out = args.out.clone().unwrap_or_else(|| folder.join(format!("{}{end}.wasm", source.name)));
    let out = out.strip_prefix(".").unwrap_or(&out);
    if out.as_os_str().is_empty() || out.is_dir() || out.extension().is_none_or(|extension| extension != "wasm") {
        return Err(Failure::usage("--out is a file whose name ends with .wasm"));
    }
    let result = match (args.engine, source.kind) {
        (JavaScriptEngine::Quickjs, SourceKind::Cargo | SourceKind::C | SourceKind::Script) => {
            build_checked(&source, &shown.to_string(), out)?
        }
        // The SDKs of JavaScript and Python compare what is declared while they build, and a component stays as it is.
        (JavaScriptEngine::Quickjs, _) => compile::build(&source, out).0,
        (JavaScriptEngine::Starlingmonkey, SourceKind::JavaScript) => compile::starlingmonkey(&source.path, out),
        (JavaScriptEngine::Starlingmonkey, _) => {
            return Err(Failure::usage("--engine is for plugins in JavaScript and TypeScript"));
        }
    };
    match result {
        BuildResult::Fresh | BuildResult::Built => {}
        BuildResult::Skipped(message) => return Err(Failure { code: 69, message }),
        BuildResult::Failed(message) => return Err(Failure { code: 65, message }),
        BuildResult::Broken(failure) => return Err(failure),
    }
    let component = read_regular(out, LARGEST_WASM).map_err(|error| unread(out, &error))?;
    let size = print::size(component.len());
    let digest = hex::encode(Sha256::digest(&component));
    let took = begun.elapsed().as_secs_f64();
    let shown = printable(&out.to_string_lossy());
    print::line(format_args!("{shown}  {size}, sha256 {}, built in {took:.1} s", &digest[..12]))
}

/// Builds a plugin whose declarations nobody has read before it runs, and places its component if a host loads it.
fn build_checked(source: &PluginSource, shown: &str, out: &Path) -> Result<BuildResult, Failure> {
    let folder = tempfile::tempdir().map_err(|error| unread(Path::new("a folder to build in"), &error))?;
    let made = folder.path().join(out.file_name().unwrap_or(out.as_os_str()));
    let result = compile::build(source, &made).0;
    if result != BuildResult::Built {
        return Ok(result);
    }
    let component = read_regular(&made, LARGEST_WASM).map_err(|error| unread(&made, &error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("the async runtime cannot start: {error}")))?;
    let checked = runtime.block_on(inspect::check_built(&made, &component));
    runtime.shutdown_timeout(Duration::from_secs(1));
    match checked {
        Ok(None) => {}
        Ok(Some(warning)) => logging::say(&format!("warning: {shown}: {warning}")),
        Err(reason) if source.kind == SourceKind::Cargo && reason.contains(MANIFEST) => {
            return Ok(BuildResult::Failed(format!(
                "{shown}: it has no endpoint: write #[endpoint(get, \"/hello\", price = \"0.001\", summary = \"Says \
                 hello\")] above a function ({reason})"
            )));
        }
        Err(reason) => return Ok(BuildResult::Failed(format!("{shown}: {reason}"))),
    }
    Ok(compile::place(&made, out))
}

/// The failure of a file that cannot be read or written.
fn unread(path: &Path, error: &std::io::Error) -> Failure {
    Failure { code: 74, message: format!("{}: {error}", path.display()) }
}

/// Returns whether a file is a component, by its first bytes.
fn is_component(path: &Path) -> bool {
    let mut head = [0; 8];
    let read = open_regular(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && WasmKind::of(&head) == Some(WasmKind::Component)
}
