//! `coinslot pack`: makes a component that says what it is, where it comes from, and under which licence it is.

mod facts;
mod git;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use coinslot_base::file::read_regular;
use coinslot_base::text::printable;
use coinslot_plugin::{Package, PackageFacts, PackedSource, PluginInfo};
use sha2::{Digest, Sha256};

use super::build::compile::{self, BuildResult};
use super::build::plugin_source::{PluginSource, SourceKind};
use super::{Failure, LARGEST_WASM, inspect, print};
use crate::logging;

/// Build a plugin, and add to the component what its buyers and operators want to know.
///
/// The section holds the manifest, the licence (of Cargo.toml, package.json or pyproject.toml), the repository and the
/// commit of the sources where git knows them, the language, the tool, and the digest of the component. `coinslot
/// inspect` shows it. A host does not load a component that disagrees with it. The same sources give the same bytes.
///
/// Ends with 0 if the component is written, 2 for wrong usage, 65 if the sources are wrong, 69 if a tool is missing, 70
/// if a tool failed, 74 if a file cannot be read or written.
#[derive(clap::Args, Clone, Debug)]
pub struct PackArgs {
    /// A module, a folder with a plugin as `coinslot build` takes it, or a component.
    #[arg(default_value = ".", value_name = "DIR|FILE")]
    pub source: PathBuf,
    /// Write the component here; by default NAME.wasm beside the module or in the folder, and a component in its place.
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The licence, as an SPDX expression such as `MIT OR Apache-2.0`, in place of the one that the sources name.
    #[arg(long, value_name = "SPDX")]
    pub license: Option<String>,
}

/// Builds, packs, and prints what was packed.
pub async fn run(args: PackArgs) -> Result<(), Failure> {
    let shown = args.source.display();
    let path = args.source.canonicalize().map_err(|error| Failure::usage(format!("{shown}: {error}")))?;
    let source = PluginSource::named(&path, &shown)?;
    let out = out(&args, &source)?;
    if args.license.as_ref().is_some_and(|license| !is_license(license)) {
        return Err(Failure::usage(
            "--license is an SPDX expression of at most 1000 bytes, such as `MIT OR Apache-2.0` or `LicenseRef-Mine`",
        ));
    }
    let (wasm, read) = component(&source).await?;
    let named = |error: &dyn std::fmt::Display| Failure { code: 65, message: format!("{shown}: {error}") };
    let bare = Package::bare(&wasm).map_err(|error| named(&error))?;
    let info = inspect::describe(&out, None, bare, &BTreeMap::new()).await.map_err(|error| named(&error))?;
    let facts = facts(&args, &source, &read, &out, &wasm);
    if facts.license.is_none() {
        logging::say("warning: the package names no licence: add `license` to the sources' manifest, or --license");
    }
    let packed = Package::pack(bare, &info, facts.clone()).map_err(|error| named(&error))?;
    coinslot_base::file::replace(&out, 0o644, &packed)
        .map_err(|error| Failure { code: 74, message: format!("{}: {error}", out.display()) })?;
    print::line(summary(&out, &packed, &info, &facts))
}

/// The file that is written.
fn out(args: &PackArgs, source: &PluginSource) -> Result<PathBuf, Failure> {
    let folder = if args.source.is_dir() { &args.source } else { args.source.parent().unwrap_or(Path::new("")) };
    let out = args.out.clone().unwrap_or_else(|| folder.join(format!("{}.wasm", source.name)));
    let out = out.strip_prefix(".").unwrap_or(&out);
    if out.as_os_str().is_empty() || out.is_dir() || out.extension().is_none_or(|extension| extension != "wasm") {
        return Err(Failure::usage("--out is a file whose name ends with .wasm"));
    }
    Ok(out.to_owned())
}

/// The bytes of the component, built or read, and the files that it was built of, where the compiler names them.
async fn component(source: &PluginSource) -> Result<(Vec<u8>, BTreeSet<PathBuf>), Failure> {
    let source = source.clone();
    let built = tokio::task::spawn_blocking(move || {
        let unreadable = |path: &Path, error| Failure::new(format!("{}: {error}", path.display()));
        if source.kind == SourceKind::Finished {
            let read = read_regular(&source.path, LARGEST_WASM).map_err(|error| unreadable(&source.path, error));
            return read.map(|wasm| (wasm, BTreeSet::new()));
        }
        let folder = tempfile::tempdir().map_err(|error| Failure::new(format!("a temporary folder: {error}")))?;
        let out = folder.path().join(format!("{}.wasm", source.name));
        let (result, sources) = compile::build(&source, &out);
        match result {
            BuildResult::Fresh | BuildResult::Built => {
                read_regular(&out, LARGEST_WASM).map(|wasm| (wasm, sources)).map_err(|error| unreadable(&out, error))
            }
            BuildResult::Skipped(message) => Err(Failure { code: 69, message }),
            BuildResult::Failed(message) => Err(Failure { code: 65, message }),
            BuildResult::Broken(failure) => Err(failure),
        }
    });
    built.await.map_err(|error| Failure::new(format!("the build ended: {error}")))?
}

/// Collects the facts about the sources. A component that was packed before keeps those of then.
fn facts(args: &PackArgs, source: &PluginSource, read: &BTreeSet<PathBuf>, out: &Path, wasm: &[u8]) -> PackageFacts {
    let former = Package::read(wasm).ok().flatten();
    let former = former.map(|package| PackageFacts {
        language: package.component.language,
        license: package.license,
        source: package.source,
    });
    let mut facts = match source.kind {
        SourceKind::Finished => former.unwrap_or_default(),
        _ => PackageFacts {
            language: facts::language(source),
            license: facts::license(source),
            source: git::source(source.folder(), read, out),
        },
    };
    if args.license.is_some() {
        facts.license.clone_from(&args.license);
    }
    facts
}

fn summary(out: &Path, packed: &[u8], info: &PluginInfo, facts: &PackageFacts) -> String {
    let size = print::size(packed.len());
    let digest = hex::encode(Sha256::digest(packed));
    let license = facts.license.as_deref().unwrap_or("no licence");
    let commit = match &facts.source {
        Some(PackedSource { commit, modified, .. }) => {
            format!(", commit {}{}", commit.get(..12).unwrap_or(commit), if *modified { ", modified" } else { "" })
        }
        None => String::new(),
    };
    let (name, version) = (&info.name, &info.version);
    let out = printable(&out.to_string_lossy());
    format!("{out}  {name} {version}, {license}{commit}, {size}, sha256 {}", &digest[..12])
}

/// Tells whether a text has the characters of an SPDX expression only. What is no identifier of its list stays: the list
/// grows.
fn is_license(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-.+:() ".contains(c);
    text.len() <= 1_000 && text.contains(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(is_part)
}
