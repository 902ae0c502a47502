//! What can be loaded, from where, and what is said about the rest.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::plugin::inspect::inspect;

fn fresh(dir: &Path) -> Arc<Runtime> {
    let mut config = RuntimeConfig::new(dir);
    config.instances = 2;
    Runtime::new(config).expect("a runtime")
}

fn files(dir: &Path) -> Vec<(PathBuf, std::time::SystemTime)> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.path(), entry.metadata().unwrap().modified().unwrap()))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_component_is_compiled_once() {
    let dir = tempfile::tempdir().unwrap();
    let artifacts = dir.path().join("artifacts");
    let plugin = fresh(&artifacts).load(&guest("echo"), &Terms::default()).await.unwrap();
    let first = files(&artifacts);
    assert_eq!(first.len(), 1, "no draft is left behind");
    assert!(first[0].0.file_name().unwrap().to_str().unwrap().starts_with(plugin.sha256()));
    let plugin = fresh(&artifacts).load(&guest("echo"), &Terms::default()).await.unwrap();
    assert_eq!(files(&artifacts), first, "found, not compiled again");
    call(&plugin, get("/")).await.unwrap();
}

#[tokio::test]
async fn an_artifact_that_does_not_fit_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    fresh(dir.path()).load(&guest("echo"), &Terms::default()).await.unwrap();
    let (path, _) = files(dir.path()).remove(0);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, b"an artifact of another version").unwrap();
    let plugin = fresh(dir.path()).load(&guest("echo"), &Terms::default()).await.unwrap();
    call(&plugin, get("/")).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, b"planted").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    fresh(dir.path()).load(&guest("echo"), &Terms::default()).await.unwrap();
    assert_ne!(std::fs::read(&path).unwrap(), b"planted");
}

#[test]
fn a_directory_that_others_can_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o770)).unwrap();
    let error = Runtime::new(RuntimeConfig::new(dir.path())).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    let made = dir.path().join("new");
    Runtime::new(RuntimeConfig::new(&made)).unwrap();
    assert_eq!(std::fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn garbage_is_refused_with_what_to_do() {
    assert!(refused(b"").await.contains("empty"));
    assert!(refused(b"<html>not found</html>").await.contains("not WebAssembly"));
    assert!(refused(b"\0asm\x01\0\0\0").await.contains("core module"));
    assert!(refused(b"\0asm\x0d\0\x01\0").await.contains("no HTTP handler"));
    assert!(refused(b"\0asm").await.contains("copy it again"));
    assert!(refused(&vec![0; (64 << 20) + 1]).await.contains("at most"));
}

#[tokio::test]
async fn a_truncated_or_altered_component_is_refused() {
    let whole = guest("echo");
    for cut in [9, 100, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        let sentence = refused(&whole[..cut]).await;
        assert!(!sentence.is_empty(), "{cut}");
    }
    let mut altered = whole.clone();
    let middle = altered.len() / 2;
    altered[middle..middle + 64].fill(0xff);
    assert!(refused(&altered).await.contains("damaged"));
}

/// Replaces a name of the same length everywhere in a component.
fn renamed(name: &str, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut wasm = guest(name);
    let mut found = false;
    for at in 0..wasm.len() - from.len() {
        if wasm[at..].starts_with(from.as_bytes()) {
            wasm[at..at + to.len()].copy_from_slice(to.as_bytes());
            found = true;
        }
    }
    assert!(found, "{from}");
    wasm
}

#[tokio::test]
async fn a_component_of_another_contract_is_told_both_versions() {
    let wasm = renamed("echo", "coinslot:plugin/manifest@0.1.0", "coinslot:plugin/manifest@0.2.0");
    let sentence = refused(&wasm).await;
    assert!(sentence.contains("coinslot:plugin@0.2.0") && sentence.contains("coinslot:plugin@0.1.0"), "{sentence}");
    let patch = renamed("echo", "coinslot:plugin/manifest@0.1.0", "coinslot:plugin/manifest@0.1.9");
    runtime().load(&patch, &Terms::default()).await.expect("a later patch is compatible");
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let wasm = renamed("echo", "wasi:http/incoming-handler@0.2.12", "wasi:http/incoming-hungler@0.2.12");
    assert!(refused(&wasm).await.contains("wasi:http/incoming-handler"));
    let wasm = renamed("echo", "coinslot:plugin/manifest@0.1.0", "coinslot:plugin/manifold@0.1.0");
    assert!(refused(&wasm).await.contains("coinslot:plugin/manifest@0.1.0"));
    let wasm = renamed("echo", "coinslot:plugin/payment@0.1.0", "coinslot:plugin/pigment@0.1.0");
    assert!(refused(&wasm).await.contains("coinslot:plugin/pigment@0.1.0"));
    let wasm = renamed("echo", "wasi:io/streams@0.2.12", "wasi:io/streams@0.4.12");
    let sentence = refused(&wasm).await;
    assert!(sentence.contains("wasi:io/streams@0.4.12") && sentence.contains("0.2.12"), "{sentence}");
}

#[tokio::test]
async fn a_limit_above_the_pools_is_refused() {
    let limits = Limits { memory: 1 << 30, ..Limits::default() };
    assert!(runtime().load(&guest("echo"), &limits.into()).await.is_err());
}

#[test]
fn inspection_tells_what_a_component_is_and_wants() {
    let wasm = guest("probe");
    let seen = inspect(&wasm).unwrap();
    assert_eq!(seen.size, wasm.len());
    assert_eq!(seen.sha256.len(), 64);
    assert_eq!(seen.refusal, None);
    assert_eq!(seen.handlers, ["wasi:http/incoming-handler@0.2.12"]);
    assert!(!seen.quotes);
    assert!(
        seen.toolchain.iter().any(|tool| tool.name == "wit-component" && !tool.version.is_empty()),
        "{:?}",
        seen.toolchain
    );
    assert!(seen.asks.iter().all(|ask| ask.capability == Capability::OutgoingHttp) && !seen.asks.is_empty());
    let asked: Vec<Capability> = inspect(&guest("keeper")).unwrap().asks.iter().map(|ask| ask.capability).collect();
    assert!(Capability::ALL.iter().all(|capability| asked.contains(capability)), "{asked:?}");
    assert!(seen.inert.iter().any(|import| import.starts_with("wasi:filesystem/")));
    assert!(seen.unknown.is_empty(), "{:?}", seen.unknown);
    assert!(inspect(&guest("quoter")).unwrap().quotes);
    assert_eq!(inspect(&guest("echo3")).unwrap().handlers, ["wasi:http/handler@0.3.2"]);
    let unknown = inspect(&renamed("echo", "wasi:io/streams@0.2.12", "wasi:oi/streams@0.2.12")).unwrap();
    assert_eq!(unknown.unknown, ["wasi:oi/streams@0.2.12"]);
    assert!(unknown.refusal.is_some());
    assert!(inspect(b"text").is_err());
}
