//! Links the JavaScript engine: QuickJS with bindings for the plugin contract and WASI, as a component that evaluates
//! any module. It is the same for all plugins, so it is made once, when the host is built.
//!
//! Writes into `OUT_DIR`: `engine.wasm`, the component; `bindings.js`, the script with which it begins; `loader.wasm`,
//! a component that takes the place of the module loader once a plugin is evaluated; and `sdk.rs` and `unpacked.rs`,
//! the files that are part of the program.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use componentize_qjs::{codegen, opt_size_runtime_wasm};
use wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
use wit_component::{ComponentEncoder, Linker, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

/// The name under which the contract is known to the engine's linker; it occurs in no component.
const WORLD: &str = "
package coinslot:javascript;
world plugin {
  include coinslot:plugin-p3/endpoint-quoting@0.2.0;
  import wasi:config/store@0.2.0-rc.1;
  import wasi:keyvalue/store@0.2.0-draft;
  import wasi:keyvalue/atomics@0.2.0-draft;
  import coinslot:keyvalue/atomics@0.1.0;
  import wasi:cli/stderr@0.2.12;
}
";

/// The interface by which the engine asks for modules while it evaluates a plugin, as an export.
const LOADER: &str = "
package local:init;
interface module-loader {
  resolve: func(referrer: string, specifier: string) -> result<string, string>;
  load: func(path: string) -> result<string, string>;
}
world stub {
  export module-loader;
}
";

fn main() -> Result<(), Box<dyn Error>> {
    #[allow(clippy::disallowed_methods, reason = "cargo tells its build scripts by the environment")]
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let wit = root.join("wit");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", wit.display());
    let (engine, bindings) = link(&gather(&wit, &out.join("wit"))?)?;
    fs::write(out.join("engine.wasm"), engine)?;
    fs::write(out.join("bindings.js"), bindings)?;
    fs::write(out.join("loader.wasm"), loader()?)?;
    fs::write(out.join("sdk.rs"), modules(&root)?)?;
    fs::write(out.join("unpacked.rs"), unpacked(&root, &out.join("workspace.toml"))?)?;
    Ok(())
}

/// A constant with the modules of the JavaScript SDK, by their paths in its folder.
fn modules(root: &Path) -> Result<String, Box<dyn Error>> {
    let sdk = root.join("sdk/js/src");
    let mut text = String::from("const SDK_FILES: &[(&str, &str)] = &[\n");
    for file in files(&sdk)? {
        writeln!(text, "    ({:?}, include_str!({:?})),", file.strip_prefix(&sdk)?, file.canonicalize()?)?;
    }
    Ok(text + "];\n")
}

/// A constant with what other compilers read: the WIT, the SDKs, that of Rust with a workspace of its own, and
/// declarations.
fn unpacked(root: &Path, workspace: &Path) -> Result<String, Box<dyn Error>> {
    let mut manifest: toml::Table = fs::read_to_string(root.join("Cargo.toml"))?.parse()?;
    manifest.retain(|key, _| key == "workspace");
    if let Some(toml::Value::Table(own)) = manifest.get_mut("workspace") {
        own.retain(|key, _| !matches!(key, "exclude" | "default-members"));
        own.insert("members".to_owned(), vec!["sdk/rust", "sdk/rust/macros"].into());
    }
    fs::write(workspace, toml::to_string(&manifest)?)?;
    println!("cargo::rerun-if-changed={}", root.join("Cargo.toml").display());
    let mut text = String::from("const UNPACKED: &[(&str, &[u8])] = &[\n");
    writeln!(text, "    (\"Cargo.toml\", include_bytes!({workspace:?})),")?;
    for folder in ["wit", "sdk/rust/src", "sdk/rust/macros/src", "sdk/python", "sdk/js", "sdk/c"] {
        for file in files(&root.join(folder))? {
            let name = file.strip_prefix(root)?;
            if folder != "sdk/js"
                || (file.to_string_lossy().ends_with(".d.ts") && file.parent() == Some(&root.join(folder)))
            {
                writeln!(text, "    ({name:?}, include_bytes!({:?})),", file.canonicalize()?)?;
            }
        }
    }
    for file in ["sdk/rust/Cargo.toml", "sdk/rust/macros/Cargo.toml"] {
        writeln!(text, "    ({file:?}, include_bytes!({:?})),", root.join(file).canonicalize()?)?;
    }
    Ok(text + "];\n")
}

/// Folders that are no part of what is unpacked.
const OTHERS: [&str; 4] = ["node_modules", "released", "tests", "__pycache__"];

/// The files below a folder, sorted.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if !path.is_dir() {
                found.push(path);
            } else if !OTHERS.iter().any(|name| path.ends_with(name)) {
                folders.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Copies the contract, WASI 0.3, and of WASI 0.2 what writes to stderr without waiting, into one folder.
fn gather(wit: &Path, dir: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let _ = fs::remove_dir_all(dir);
    let deps = dir.join("deps");
    fs::create_dir_all(&deps)?;
    fs::write(dir.join("plugin.wit"), WORLD)?;
    fs::copy(wit.join("plugin.wit"), deps.join("contract.wit"))?;
    fs::copy(wit.join("p3/endpoint.wit"), deps.join("contract-p3.wit"))?;
    for (from, prefix) in [(wit.join("p3/deps"), "p3"), (wit.join("deps"), "p2")] {
        for entry in fs::read_dir(from)? {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
            let name = name.to_string_lossy().into_owned();
            // These have the same version in both.
            let is_known = prefix == "p2" && matches!(&*name, "config.wit" | "keyvalue.wit" | "coinslot-keyvalue.wit");
            if path.is_file() && !is_known {
                fs::copy(&path, deps.join(format!("{prefix}-{name}")))?;
            }
        }
    }
    Ok(dir.to_owned())
}

/// Links the engine with the bindings of the world, and returns the component with the script of its bindings.
fn link(wit: &Path) -> Result<(Vec<u8>, String), Box<dyn Error>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let world = resolve.select_world(&[package], Some("plugin"))?;
    let (mut bindings, metadata) = wit_dylib::create_with_metadata(&resolve, world, None);
    let script = codegen::generate_shim(&resolve, &metadata);
    embed_component_metadata(&mut bindings, &resolve, world, StringEncoding::UTF8)?;
    let mut linker = Linker::default();
    linker.encoder().validate(true);
    linker.library("componentize_qjs_runtime.wasm", opt_size_runtime_wasm(), false)?;
    linker.library("wit-dylib.wasm", &bindings, false)?;
    linker.encoder().adapter("wasi_snapshot_preview1", WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?;
    Ok((linker.encode()?, script))
}

/// A component whose module loader traps.
fn loader() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("loader.wit", LOADER)?;
    let world = resolve.select_world(&[package], Some("stub"))?;
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    Ok(ComponentEncoder::default().module(&module)?.validate(true).encode()?)
}
