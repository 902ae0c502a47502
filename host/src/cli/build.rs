//! `coinslot build`: makes the component of a plugin.

mod cargo_crate;
pub(super) mod compile;
pub(super) mod plugin_source;

use std::path::{Path, PathBuf};
use std::time::Instant;

use sha2::{Digest, Sha256};

use self::compile::BuildResult;
use self::plugin_source::{PluginSource, WHAT_IS_BUILT};
use super::{Failure, print};

/// Build the component of a plugin from its sources.
///
/// TypeScript and JavaScript need nothing else: no Node.js, no npm, no network. Python needs Python 3.10, and Rust needs
/// rustup. Exits with 65 if the sources are wrong, and with 69 if a tool is missing.
#[derive(clap::Args, Clone, Debug)]
pub struct BuildArgs {
    /// A module (shop.ts, shop.js, app.py), or a folder with a plugin.ts, a plugin.js, an app.py, a Cargo.toml or a
    /// build.sh.
    #[arg(default_value = ".", value_name = "DIR|FILE")]
    pub source: PathBuf,
    /// Write the component here; by default NAME.wasm beside the module or in the folder.
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Builds, and prints where the component is.
pub fn run(args: &BuildArgs) -> Result<(), Failure> {
    let begun = Instant::now();
    let shown = args.source.display();
    let path = args.source.canonicalize().map_err(|error| Failure::usage(format!("{shown}: {error}")))?;
    let source = PluginSource::at(&path)
        .ok_or_else(|| Failure::usage(format!("there is no plugin at `{shown}`: {WHAT_IS_BUILT}")))?;
    let folder = if args.source.is_dir() { &args.source } else { args.source.parent().unwrap_or(Path::new("")) };
    let out = args.out.clone().unwrap_or_else(|| folder.join(format!("{}.wasm", source.name)));
    let out = out.strip_prefix(".").unwrap_or(&out);
    if out.as_os_str().is_empty() || out.is_dir() || out.extension().is_none_or(|extension| extension != "wasm") {
        return Err(Failure::usage("--out is a file whose name ends with .wasm"));
    }
    match compile::build(&source, out).0 {
        BuildResult::Fresh | BuildResult::Built => {}
        BuildResult::Skipped(message) => return Err(Failure { code: 69, message }),
        BuildResult::Failed(message) => return Err(Failure { code: 65, message }),
    }
    let component = std::fs::read(out).map_err(|error| Failure::new(format!("{}: {error}", out.display())))?;
    #[allow(clippy::cast_precision_loss, reason = "shown with one digit")]
    let size = component.len() as f64 / 1e6;
    let digest = hex::encode(Sha256::digest(&component));
    let took = begun.elapsed().as_secs_f64();
    print::line(format_args!("{}  {size:.1} MB, sha256 {}, built in {took:.1} s", out.display(), &digest[..12]))
}
