//! Reads a component's own bytes before anything is compiled or run: its imports and exports, and so the engine that it
//! needs, or the reason why it cannot be loaded.
//!
//! Every refusal is a sentence that says what to do about it.

use coinslot_base::text::{excerpt, printable};
use wasmparser::{DataKind, Encoding, Parser, Payload, Validator};

use crate::fault::LoadError;
use crate::instance::engine::Wasi;
use crate::load::interface_name::InterfaceName;

/// The longest name that is shown, in characters.
const NAME: usize = 120;
/// Missing imports that are named.
const MISSING: usize = 16;

/// The largest component that is read, in bytes.
pub(crate) const MAX_WASM: usize = 64 << 20;

/// The package of the project's own interfaces.
const PACKAGE: &str = "coinslot:plugin";
/// The version of the package that this host implements.
pub(crate) const VERSION: &str = "0.2.0";

/// Interfaces that the host links, by package and version. Versions that share the first two numbers are compatible.
/// The table only explains what is missing: the linker decides.
const OFFERED: [(&str, &str, &[&str]); 17] = [
    ("coinslot:plugin", VERSION, &["payment", "usage"]),
    ("coinslot:keyvalue", "0.1.0", &["atomics"]),
    ("wasi:config", "0.2.0-rc.1", &["store"]),
    ("wasi:keyvalue", "0.2.0-draft", &["store", "atomics", "batch"]),
    ("wasi:io", "0.2.12", &["error", "poll", "streams"]),
    ("wasi:clocks", "0.2.12", &["monotonic-clock", "wall-clock"]),
    ("wasi:random", "0.2.12", &["random", "insecure", "insecure-seed"]),
    (
        "wasi:cli",
        "0.2.12",
        &[
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
    ),
    ("wasi:filesystem", "0.2.12", &["types", "preopens"]),
    (
        "wasi:sockets",
        "0.2.12",
        &["network", "instance-network", "tcp", "tcp-create-socket", "udp", "udp-create-socket", "ip-name-lookup"],
    ),
    ("wasi:http", "0.2.12", &["types", "outgoing-handler"]),
    ("wasi:clocks", "0.3.0", &["types", "monotonic-clock", "system-clock"]),
    ("wasi:random", "0.3.0", &["random", "insecure", "insecure-seed"]),
    (
        "wasi:cli",
        "0.3.0",
        &[
            "types",
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
    ),
    ("wasi:filesystem", "0.3.0", &["types", "preopens"]),
    ("wasi:sockets", "0.3.0", &["types", "ip-name-lookup"]),
    ("wasi:http", "0.3.0", &["types", "client"]),
];

/// The imports and exports of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ComponentInfo {
    /// Names as written, for example `wasi:http/types@0.2.3`.
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
    /// Core modules inside, at any depth.
    pub(crate) modules: usize,
    /// True if code runs in components inside: several components that call each other.
    pub(crate) composed: bool,
    /// The first contents of memories, in bytes.
    pub(crate) data: usize,
}

fn invalid(sentence: impl Into<String>) -> LoadError {
    LoadError::Invalid(sentence.into())
}

impl ComponentInfo {
    /// Reads the outer layer. Nothing is compiled and code is not validated.
    pub(crate) fn read(wasm: &[u8]) -> Result<Self, LoadError> {
        check_header(wasm)?;
        let mut info = Self { imports: Vec::new(), exports: Vec::new(), modules: 0, composed: false, data: 0 };
        // Sections of nested modules and components follow their own header, up to their end.
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.map_err(damaged)? {
                Payload::ModuleSection { .. } => {
                    depth += 1;
                    info.modules += 1;
                }
                Payload::ComponentSection { .. } => depth += 1,
                Payload::DataSection(section) => {
                    for data in section {
                        let data = data.map_err(damaged)?;
                        let begins_in_memory = matches!(data.kind, DataKind::Active { .. });
                        info.data += if begins_in_memory { data.data.len() } else { 0 };
                    }
                }
                Payload::InstanceSection(_) => info.composed |= depth > 0,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        info.imports.push(import.map_err(damaged)?.name.full_name().into_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        info.exports.push(export.map_err(damaged)?.name.full_name().into_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(info)
    }

    /// The engine that runs it. Refuses a component that is no plugin, or one of another contract.
    pub(crate) fn wasi(&self) -> Result<Wasi, LoadError> {
        self.check_contract()?;
        let p3 = self.exports("wasi:http", "handler", "0.3.0");
        if !p3 && !self.exports("wasi:http", "incoming-handler", "0.2.12") {
            return Err(invalid(
                "it exports no HTTP handler, so it cannot answer requests: export \
                 `wasi:http/incoming-handler@0.2` (or `wasi:http/handler@0.3`), for example by building \
                 it for one of the worlds in coinslot's `wit` folder",
            ));
        }
        if !self.exports(PACKAGE, "manifest", VERSION) {
            return Err(invalid(format!(
                "it does not say what it serves: export `{PACKAGE}/manifest@{VERSION}`, for example by \
                 building it with coinslot-sdk",
            )));
        }
        let imports_p3 = self
            .imports
            .iter()
            .filter_map(|name| InterfaceName::parse(name))
            .any(|name| name.package.starts_with("wasi:") && name.is_compatible("0.3.0"));
        Ok(if p3 || imports_p3 { Wasi::P3 } else { Wasi::P2 })
    }

    /// True if it exports an interface, in any compatible version.
    pub(crate) fn exports(&self, package: &str, interface: &str, version: &str) -> bool {
        self.exports
            .iter()
            .filter_map(|name| InterfaceName::parse(name))
            .any(|name| name.is(package, interface, version))
    }

    /// True if it imports any interface of this package.
    pub(crate) fn imports(&self, package: &str) -> bool {
        self.imports.iter().filter_map(|name| InterfaceName::parse(name)).any(|name| name.package == package)
    }

    /// Refuses another version of the project's own package, which would otherwise look like a missing export.
    fn check_contract(&self) -> Result<(), LoadError> {
        let other = self
            .imports
            .iter()
            .chain(&self.exports)
            .filter_map(|name| InterfaceName::parse(name))
            .find(|name| name.package == PACKAGE && !name.is_compatible(VERSION));
        match other {
            None => Ok(()),
            Some(name) => Err(invalid(format!(
                "it was built for {PACKAGE}@{}, and this host speaks {PACKAGE}@{VERSION}: build it \
                 against the `wit` folder of this host's version, or upgrade the host",
                shown(name.version)
            ))),
        }
    }

    /// Names each import that the host does not have, with the versions that it has. None if it has all imports.
    ///
    /// The names come from an untrusted file, and are not validated yet: each is cut and made printable, and only the
    /// first ones are named.
    pub(crate) fn missing(&self) -> Option<String> {
        let mut missing = self.imports.iter().filter_map(|import| missing(import));
        let mut lines: Vec<String> = missing.by_ref().take(MISSING).collect();
        let more = missing.count();
        if more > 0 {
            lines.push(format!("and {more} imports more"));
        }
        (!lines.is_empty()).then(|| lines.join("; "))
    }
}

/// As much of a name from a component as belongs in a message or in a list.
pub(crate) fn shown(name: &str) -> String {
    excerpt(name, NAME)
}

/// Explains why the host does not have an import. None if it has it.
fn missing(import: &str) -> Option<String> {
    let Some(name) = InterfaceName::parse(import) else {
        return Some(format!("it imports `{}`, which is not an interface of this host", shown(import)));
    };
    if OFFERED.iter().any(|(package, version, interfaces)| {
        name.package == *package && name.is_compatible(version) && interfaces.contains(&name.interface)
    }) {
        return None;
    }
    let versions: Vec<&str> = OFFERED
        .iter()
        .filter(|(package, _, interfaces)| name.package == *package && interfaces.contains(&name.interface))
        .map(|(_, version, _)| *version)
        .collect();
    Some(if versions.is_empty() {
        format!("it imports `{}`, which this host does not have: build it without", shown(import))
    } else {
        format!("it imports `{}`; this host has version {}", shown(import), versions.join(" and "))
    })
}

/// Validates the whole file, code included, in time proportional to its size.
pub(crate) fn validate(wasm: &[u8]) -> Result<(), LoadError> {
    Validator::new().validate_all(wasm).map(drop).map_err(damaged)
}

fn check_header(wasm: &[u8]) -> Result<(), LoadError> {
    if wasm.len() > MAX_WASM {
        return Err(invalid(format!(
            "it has {} bytes; a plugin may have at most {MAX_WASM}: build it in release mode and strip it",
            wasm.len()
        )));
    }
    if wasm.is_empty() {
        return Err(invalid("the file is empty: copy it again"));
    }
    if !wasm.starts_with(b"\0asm") {
        return Err(invalid("it is not WebAssembly: of a plugin's source, `coinslot build` makes a component"));
    }
    match Parser::new(0).parse_all(wasm).next() {
        Some(Ok(Payload::Version { encoding: Encoding::Component, .. })) => Ok(()),
        Some(Ok(Payload::Version { encoding: Encoding::Module, .. })) => Err(invalid(
            "it is a core module, not a component: make one of it with `coinslot build`, or build it for the \
             target wasm32-wasip2",
        )),
        Some(Err(error)) => Err(damaged(error)),
        _ => Err(invalid("it has no WebAssembly header: copy it again")),
    }
}

fn damaged(error: wasmparser::BinaryReaderError) -> LoadError {
    invalid(format!(
        "it is truncated or damaged, or uses WebAssembly features that this host does not have (byte {}: \
         {}): copy it again, or build it again",
        error.offset(),
        printable(error.message())
    ))
}
