//! `coinslot build`: makes the component of a plugin.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use coinslot_build::{BuildError, javascript};
use sha2::{Digest, Sha256};

use super::{Failure, print};

/// Build the component of a plugin from its sources.
///
/// TypeScript and JavaScript need nothing else: no Node.js, no npm, no network. The same sources give the same bytes.
/// Exits with 65 if the sources are wrong.
#[derive(clap::Args, Clone, Debug)]
pub struct BuildArgs {
    /// A module (plugin.ts, plugin.js), or the folder of one.
    #[arg(default_value = ".", value_name = "DIR|FILE")]
    pub source: PathBuf,
    /// Write the component here; by default NAME.wasm in the folder of the source.
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Builds, and prints where the component is.
pub fn run(args: &BuildArgs) -> Result<(), Failure> {
    let begun = Instant::now();
    let Some(module) = javascript::module_at(&args.source) else { return Err(no_source(&args.source)) };
    let built = javascript::build(&module, coinslot_build::cache().as_deref()).map_err(failure)?;
    if !built.output.is_empty() {
        let _ = writeln!(std::io::stderr(), "{}", built.output);
    }
    let folder = module.parent().unwrap_or(Path::new("."));
    let out = args.out.clone().unwrap_or_else(|| folder.join(format!("{}.wasm", built.name)));
    coinslot_base::file::replace(&out, 0o644, &built.component)
        .map_err(|error| Failure::new(format!("{}: {error}", out.display())))?;
    #[allow(clippy::cast_precision_loss, reason = "shown with one digit")]
    let size = built.component.len() as f64 / 1e6;
    let digest = hex::encode(Sha256::digest(&built.component));
    print::line(format_args!(
        "{}  {} {}, {size:.1} MB, sha256 {}, in {:.1} s",
        out.display(),
        built.name,
        built.version,
        &digest[..12],
        begun.elapsed().as_secs_f64()
    ))
}

fn no_source(path: &Path) -> Failure {
    let shown = path.display();
    Failure::usage(if path.is_dir() {
        format!("there is no plugin.ts or plugin.js in `{shown}`: name the module, as in `coinslot build shop.ts`")
    } else if path.exists() {
        format!("`{shown}` is no module: a plugin is a .ts, .js, .mts, .mjs, .tsx or .jsx file, or the folder of one")
    } else {
        format!("there is no `{shown}`")
    })
}

fn failure(error: BuildError) -> Failure {
    match error {
        BuildError::Source(message) => Failure { code: 65, message },
        BuildError::File { .. } | BuildError::Engine(_) => Failure::new(error.to_string()),
    }
}
