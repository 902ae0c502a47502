//! Inspects a component without running it: the library behind `coinslot inspect`.

use serde::Serialize;
use sha2::{Digest, Sha256};
use wasm_metadata::Producers;
use wasmparser::{Parser, Payload};

use crate::fault::LoadError;
use crate::load::component::{ComponentInfo, VERSION, shown};
use crate::load::interface_name::InterfaceName;

/// The facts that the bytes of a component show. No code of it has run.
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
    /// The language that its author wrote. None if it does not say.
    pub language: Option<String>,
    /// The languages and tools that made it and the parts in it, by its own `producers` sections.
    pub toolchain: Vec<Tool>,
    /// The generation of `wasi:http` its handler speaks, as it is written.
    pub handlers: Vec<String>,
    /// True if it prices or validates each request.
    pub quotes: bool,
    /// Imports that an operator may care about, and that every plugin may use.
    pub uses: Vec<Import>,
    /// Imports that do nothing until the operator grants a capability.
    pub asks: Vec<Ask>,
    /// Imports that every plugin may use and that show an operator nothing: types, streams, requests and answers.
    pub basics: Vec<String>,
    /// Imports that toolchains add, and that are there without anything in them: files, variables, sockets.
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
    let (mut uses, mut asks) = (Vec::new(), Vec::new());
    let (mut basics, mut inert, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for name in &info.imports {
        match meaning(name) {
            Meaning::Uses(meaning) => uses.push(Import { meaning, name: shown(name) }),
            Meaning::Asks(capability) => asks.push(Ask { capability, name: shown(name) }),
            Meaning::Basic => basics.push(shown(name)),
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
    let (toolchain, outermost) = toolchain(wasm);
    Ok(Inspection {
        size: wasm.len(),
        sha256: hex::encode(Sha256::digest(wasm)),
        modules: info.modules,
        refusal,
        language: language(&toolchain, &outermost),
        toolchain,
        handlers,
        quotes: info.exports("coinslot:plugin", "quote", VERSION),
        uses,
        asks,
        basics,
        inert,
        unknown,
        exports: info.exports.iter().map(|name| shown(name)).collect(),
    })
}

enum Meaning {
    Uses(&'static str),
    Asks(Capability),
    Basic,
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
        ("coinslot:plugin", "manifest") | ("wasi:io", _) | ("wasi:http", "types") => Meaning::Basic,
        ("wasi:cli", "exit" | "types") => Meaning::Basic,
        ("wasi:http", "outgoing-handler" | "client") => Meaning::Asks(Capability::OutgoingHttp),
        ("wasi:config", "store") => Meaning::Asks(Capability::Configuration),
        ("wasi:keyvalue", "store" | "atomics" | "batch") | ("coinslot:keyvalue", "atomics") => {
            Meaning::Asks(Capability::KeyValue)
        }
        ("wasi:clocks", _) => Meaning::Uses("clocks"),
        ("wasi:random", _) => Meaning::Uses("random numbers"),
        ("wasi:cli", "stdout" | "stderr") => Meaning::Uses("log lines"),
        ("wasi:http" | "wasi:cli" | "wasi:filesystem" | "wasi:sockets", _) => Meaning::Inert,
        _ => Meaning::Unknown,
    }
}

/// The entries of the `producers` sections of every module inside, each once, and those of the component itself. They
/// are optional and unchecked: a broken section is left out.
fn toolchain(wasm: &[u8]) -> (Vec<Tool>, Vec<Tool>) {
    let (mut tools, mut outermost) = (Vec::new(), Vec::new());
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
        let section = match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth += 1;
                continue;
            }
            Payload::End(_) => {
                depth = depth.saturating_sub(1);
                continue;
            }
            Payload::CustomSection(section) if section.name() == "producers" => section,
            _ => continue,
        };
        let Ok(producers) = Producers::from_bytes(section.data(), section.data_offset()) else {
            continue;
        };
        for (role, entries) in producers.iter() {
            for (name, version) in entries.iter() {
                let tool = Tool { role: shown(role), name: shown(name), version: shown(version) };
                if depth == 0 {
                    outermost.push(tool.clone());
                }
                tools.push(tool);
            }
        }
    }
    tools.sort_by(|a, b| (&a.role, &a.name, &a.version).cmp(&(&b.role, &b.name, &b.version)));
    tools.dedup();
    (tools, outermost)
}

/// Tools that tell the author's language. Those that put an interpreter around it come first: the interpreter is
/// written with the others.
const TOOLS: [(&str, &str); 5] = [
    ("componentize-py", "Python"),
    ("ComponentizeJS", "JavaScript"),
    ("componentize-js", "JavaScript"),
    ("wit-bindgen-rust", "Rust"),
    ("wit-bindgen-c", "C"),
];

/// The language of the author: the one that the component itself names, that of a known tool, or the only one inside.
fn language(tools: &[Tool], outermost: &[Tool]) -> Option<String> {
    let languages = |tools: &[Tool]| -> Vec<String> {
        tools.iter().filter(|tool| tool.role == "language").map(|tool| tool.name.clone()).collect()
    };
    let named = languages(outermost).into_iter().next();
    let of_tool = || {
        let is_made_by =
            |(tool, _): &&(&str, &str)| tools.iter().any(|one| one.role != "language" && one.name == *tool);
        TOOLS.iter().find(is_made_by).map(|(_, language)| (*language).to_owned())
    };
    let only = || match &languages(tools)[..] {
        [only] => Some(only.clone()),
        _ => None,
    };
    named.or_else(of_tool).or_else(only)
}
