//! Compiles components in a child process, the subcommand `compile` of the executable.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;
use std::process::{Command, Stdio};

use coinslot_plugin::{LoadError, Plugin, PluginPolicies, Runtime, RuntimeConfig};
use coinslot_tests::{binary, component};

async fn load(compiler: impl Into<PathBuf>, wasm: &[u8]) -> Result<Plugin, LoadError> {
    let dir = tempfile::tempdir().unwrap();
    let mut config = RuntimeConfig::new(dir.path(), |_| false);
    config.instances = 1;
    config.compiler = Some(compiler.into());
    let loaded = Runtime::new(config).unwrap().load(wasm, &PluginPolicies::default()).await;
    let artifacts = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(artifacts, usize::from(loaded.is_ok()), "a failure leaves nothing behind");
    loaded
}

#[tokio::test]
async fn a_child_process_compiles_for_both_engines() {
    assert_eq!(load(binary(), &component("echo")).await.unwrap().info().name, "echo");
    assert_eq!(load(binary(), &component("echo3")).await.unwrap().info().name, "echo3");
}

#[tokio::test]
async fn an_error_of_the_compiling_process_is_reported() {
    let mut wasm = component("echo");
    let middle = wasm.len() / 2;
    wasm[middle..middle + 64].fill(0xff);
    let LoadError::Invalid(reason) = load(binary(), &wasm).await.unwrap_err() else { panic!() };
    assert!(reason.contains("damaged"), "{reason}");
}

#[tokio::test]
async fn a_compiler_that_fails_or_is_missing_is_an_error() {
    let wasm = component("echo");
    for compiler in ["/bin/false", "/nonexistent/coinslot"] {
        let LoadError::Invalid(reason) = load(compiler, &wasm).await.unwrap_err() else { panic!() };
        assert!(reason.contains("compil"), "{reason}");
    }
    // The header of an artifact tells it from any other output of a compiler.
    assert!(load("/bin/echo", &wasm).await.is_err());
}

#[test]
fn compile_refuses_unknown_arguments() {
    for arguments in [&["compile"][..], &["compile", "--wasi", "0.4"], &["compile", "--wasi", "0.2", "x"]] {
        let status = Command::new(binary()).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).status();
        assert!(!status.unwrap().success());
    }
}
