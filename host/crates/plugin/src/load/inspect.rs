//! Inspects a component without running it: the library behind `coinslot inspect`.

use serde::Serialize;
use sha2::{Digest, Sha256};
use wasm_metadata::Producers;
use wasmparser::{Parser, Payload};

use crate::fault::LoadError;
use crate::load::component::{ComponentInfo, VERSION, shown};
use crate::load::interface_name::InterfaceName;

/// The outside of a component. All of it is read from its bytes; no code of it has run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// Bytes of the file.
    pub size: usize,
    /// The SHA-256 of the file, in hex.
    pub sha256: String,
    /// Core modules inside: one to three for Rust, fourteen for Python.
    pub modules: usize,
    /// The reason why this host cannot load it, by its imports and exports. None if it can.
    pub refusal: Option<String>,
    /// The languages and tools that made it, by its own `producers` sections.
    pub toolchain: Vec<Tool>,
    /// The generation of `wasi:http` its handler speaks, as it is written.
    pub handlers: Vec<String>,
    /// True if it prices or validates each request.
    pub quotes: bool,
    /// Imports that an operator may care about, and that every plugin may use.
    pub uses: Vec<Import>,
    /// Imports that do nothing until the operator grants a capability.
    pub asks: Vec<Ask>,
    /// Imports that toolchains add, and that the host denies or answers with nothing.
    pub inert: Vec<String>,
    /// Imports that this host does not have.
    pub unknown: Vec<String>,
    /// Every export, as much of each as is shown.
    pub exports: Vec<String>,
}

/// A capability that a plugin can be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Capability {
    OutgoingHttp,
    Configuration,
    KeyValue,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::OutgoingHttp, Self::Configuration, Self::KeyValue];

    /// The name for an operator.
    pub fn name(self) -> &'static str {
        match self {
            Self::OutgoingHttp => "outgoing HTTP",
            Self::Configuration => "configuration",
            Self::KeyValue => "key-value store",
        }
    }
}

/// An import that needs a capability.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ask {
    pub capability: Capability,
    /// The import, as much of it as is shown.
    pub name: String,
}

/// An import that an operator may care about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Import {
    /// For an operator, for example `random numbers`.
    pub meaning: &'static str,
    /// The import, as much of it as is shown.
    pub name: String,
}

/// One entry of the `producers` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tool {
    /// `language`, `processed-by` or `sdk`.
    pub role: String,
    pub name: String,
    pub version: String,
}

/// Inspects a component. Fails only for bytes that are not a component, with a sentence that says what to do.
pub fn inspect(wasm: &[u8]) -> Result<Inspection, LoadError> {
    let info = ComponentInfo::read(wasm)?;
    let refusal = match info.wasi() {
        Ok(_) => info.missing(),
        Err(error) => Some(error.to_string()),
    };
    let (mut uses, mut asks, mut inert, mut unknown) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for name in &info.imports {
        match meaning(name) {
            Meaning::Uses(meaning) => uses.push(Import { meaning, name: shown(name) }),
            Meaning::Asks(capability) => asks.push(Ask { capability, name: shown(name) }),
            Meaning::Inert => inert.push(shown(name)),
            Meaning::Unknown => unknown.push(shown(name)),
        }
    }
    let handlers = info
        .exports
        .iter()
        .filter(|export| {
            InterfaceName::parse(export).is_some_and(|name| {
                name.package == "wasi:http" && matches!(name.interface, "handler" | "incoming-handler")
            })
        })
        .map(|name| shown(name))
        .collect();
    Ok(Inspection {
        size: wasm.len(),
        sha256: hex::encode(Sha256::digest(wasm)),
        modules: info.modules,
        refusal,
        toolchain: toolchain(wasm),
        handlers,
        quotes: info.exports("coinslot:plugin", "quote", VERSION),
        uses,
        asks,
        inert,
        unknown,
        exports: info.exports.iter().map(|name| shown(name)).collect(),
    })
}

enum Meaning {
    Uses(&'static str),
    Asks(Capability),
    Inert,
    Unknown,
}

fn meaning(import: &str) -> Meaning {
    let Some(name) = InterfaceName::parse(import) else {
        return Meaning::Unknown;
    };
    match (name.package, name.interface) {
        ("coinslot:plugin", "payment") => Meaning::Uses("sees who paid"),
        ("coinslot:plugin", "usage") => Meaning::Uses("meters what it charges"),
        ("coinslot:plugin", "manifest") => Meaning::Inert,
        ("wasi:http", "outgoing-handler" | "client") => Meaning::Asks(Capability::OutgoingHttp),
        ("wasi:config", "store") => Meaning::Asks(Capability::Configuration),
        ("wasi:keyvalue", "store" | "atomics" | "batch") | ("coinslot:keyvalue", "atomics") => {
            Meaning::Asks(Capability::KeyValue)
        }
        ("wasi:clocks", _) => Meaning::Uses("clocks"),
        ("wasi:random", _) => Meaning::Uses("random numbers"),
        ("wasi:cli", "stdout" | "stderr") => Meaning::Uses("log lines"),
        ("wasi:http" | "wasi:io" | "wasi:cli" | "wasi:filesystem" | "wasi:sockets", _) => Meaning::Inert,
        _ => Meaning::Unknown,
    }
}

/// The entries of the `producers` sections of every module inside, each once. They are optional and unchecked: a broken
/// section is left out.
fn toolchain(wasm: &[u8]) -> Vec<Tool> {
    let mut tools = Vec::new();
    for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
        let Payload::CustomSection(section) = payload else {
            continue;
        };
        if section.name() != "producers" {
            continue;
        }
        let Ok(producers) = Producers::from_bytes(section.data(), section.data_offset()) else {
            continue;
        };
        for (role, entries) in producers.iter() {
            for (name, version) in entries.iter() {
                tools.push(Tool { role: shown(role), name: shown(name), version: shown(version) });
            }
        }
    }
    tools.sort_by(|a, b| (&a.role, &a.name, &a.version).cmp(&(&b.role, &b.name, &b.version)));
    tools.dedup();
    tools
}
