//! Makes components of core modules, whatever compiler made them.
//!
//! A module says what it imports and exports by names of the canonical ABI, and the types of those come from the
//! contract, which is embedded before the component is encoded. A module of wit-bindgen brings types along
//! (`component-type`), which count beside those of the contract.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;

use wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
use wasmparser::{Encoding, Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata, metadata};
use wit_parser::{Resolve, WorldKey};

use crate::BuildError;

/// The imports and exports that a module may have: the contract on WASI 0.2, and every interface that the host has.
const WORLDS: &str = "
package coinslot:core-module;
world plugin {
  include coinslot:plugin/endpoint@0.2.0;
  include wasi:cli/imports@0.2.12;
  import wasi:config/store@0.2.0-rc.1;
  import wasi:keyvalue/store@0.2.0-draft;
  import wasi:keyvalue/atomics@0.2.0-draft;
  import wasi:keyvalue/batch@0.2.0-draft;
  import coinslot:keyvalue/atomics@0.1.0;
}
world plugin-quoting {
  include plugin;
  export coinslot:plugin/quote@0.2.0;
}
";

const DESCRIBE: &str = "coinslot:plugin/manifest@0.2.0#describe";
const QUOTE: &str = "coinslot:plugin/quote@0.2.0#quote";
const HANDLE: &str = "wasi:http/incoming-handler@0.2.";
const PREVIEW_1: &str = "wasi_snapshot_preview1";

/// The content of a file with the extension `.wasm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WasmKind {
    Module,
    Component,
}

impl WasmKind {
    /// Tells by the first eight bytes. None if these are not WebAssembly.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes.get(..8)? {
            [0, b'a', b's', b'm', 1, 0, 0, 0] => Some(Self::Module),
            [0, b'a', b's', b'm', _, _, 1, 0] => Some(Self::Component),
            _ => None,
        }
    }
}

/// The names of a module's imports and exports.
#[derive(Debug, Default)]
struct ModuleNames {
    imports: BTreeSet<(String, String)>,
    exports: BTreeSet<String>,
    has_types: bool,
}

/// Makes the component of a plugin. A component stays as it is.
///
/// `wit` is the folder of the contract's WIT.
pub fn encode(bytes: &[u8], wit: &Path) -> Result<Vec<u8>, BuildError> {
    match WasmKind::of(bytes) {
        Some(WasmKind::Component) => return Ok(bytes.to_vec()),
        Some(WasmKind::Module) => {}
        None => {
            let advice = "it is no WebAssembly: name a core module or a component, such as a linker writes";
            return Err(BuildError::Source(advice.to_owned()));
        }
    }
    let names = names_of(bytes)?;
    let mut module = bytes.to_vec();
    if !(names.has_types && exports_manifest(bytes)?) {
        check(&names)?;
        let world = if names.exports.contains(QUOTE) { "plugin-quoting" } else { "plugin" };
        embed(&mut module, world, wit).map_err(|error| BuildError::Engine(chain(&*error)))?;
    }
    let needs_adapter = names.imports.iter().any(|(module, _)| module == PREVIEW_1);
    component(&module, needs_adapter)
        .map_err(|error| BuildError::Source(format!("no component can be made of this module: {}", chain(&*error))))
}

fn component(module: &[u8], needs_adapter: bool) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(module)?;
    if needs_adapter {
        encoder.adapter(PREVIEW_1, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?;
    }
    Ok(encoder.encode()?)
}

fn names_of(bytes: &[u8]) -> Result<ModuleNames, BuildError> {
    let mut names = ModuleNames::default();
    let damaged = |error: wasmparser::BinaryReaderError| BuildError::Source(format!("the module is damaged: {error}"));
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(damaged)? {
            Payload::Version { encoding: Encoding::Component, .. } => break,
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.map_err(damaged)?;
                    names.imports.insert((import.module.to_owned(), import.name.to_owned()));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    names.exports.insert(export.map_err(damaged)?.name.to_owned());
                }
            }
            Payload::CustomSection(section) => names.has_types |= section.name().starts_with("component-type"),
            _ => {}
        }
    }
    Ok(names)
}

/// Returns whether the types that a module brings along have the contract's manifest among their exports.
fn exports_manifest(bytes: &[u8]) -> Result<bool, BuildError> {
    let (_, types) = metadata::decode(bytes).map_err(|error| {
        BuildError::Source(format!("the module's section component-type cannot be read: {error:#}"))
    })?;
    let resolve = &types.resolve;
    Ok(resolve.worlds[types.world].exports.keys().any(|key| match key {
        WorldKey::Interface(id) => resolve.id_of(*id).is_some_and(|id| id.starts_with("coinslot:plugin/manifest@")),
        WorldKey::Name(_) => false,
    }))
}

/// Names what keeps a module from being a plugin, with what its author should do.
fn check(names: &ModuleNames) -> Result<(), BuildError> {
    let wrong = |text: String| Err(BuildError::Source(text));
    let exported = |begin: &str| names.exports.iter().any(|name| name.starts_with(begin));
    if !exported(DESCRIBE) {
        if exported("_start") {
            return wrong(
                "the module is a program with `main`, and a plugin is called by its exports: link it with \
                 -mexec-model=reactor or --no-entry, and define coinslot_plugin (see coinslot.h)"
                    .to_owned(),
            );
        }
        return wrong(format!(
            "the module does not export `{DESCRIBE}`, so it declares no routes: link the sources of the SDK in C, or \
             bind the world coinslot:plugin/endpoint with wit-bindgen; `coinslot wit` writes it"
        ));
    }
    if !exported(HANDLE) {
        return wrong(format!("the module does not export `{HANDLE}12#handle`, so it answers no requests"));
    }
    let missing: Vec<&str> =
        names.imports.iter().filter(|(module, _)| module == "env").map(|(_, name)| name.as_str()).collect();
    if !missing.is_empty() {
        let shown = missing.iter().take(8).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let more = if missing.len() > 8 { " and more" } else { "" };
        return wrong(format!(
            "the module imports {shown}{more} from `env`, which nothing provides: define them, or link the library \
             that does, without --allow-undefined"
        ));
    }
    Ok(())
}

/// Adds the types of a world to a module.
fn embed(module: &mut Vec<u8>, world: &str, wit: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut resolve = Resolve::default();
    resolve.push_dir(wit)?;
    let package = resolve.push_str("core-module.wit", WORLDS)?;
    let world = resolve.select_world(&[package], Some(world))?;
    Ok(embed_component_metadata(module, &resolve, world, StringEncoding::UTF8, false)?)
}

/// The text of an error with its causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
