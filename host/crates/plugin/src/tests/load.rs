//! Tests of loading: what is loaded, what is refused with which sentence, and the directory of artifacts.

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;
use crate::load::component::ComponentInfo;

fn fresh(dir: &Path) -> Arc<Runtime> {
    let mut config = super::config(dir);
    config.instances = 2;
    Runtime::new(config).expect("a runtime")
}

fn files(dir: &Path) -> Vec<(PathBuf, std::time::SystemTime)> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name() != ".seal.key")
        .map(|entry| (entry.path(), entry.metadata().unwrap().modified().unwrap()))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_component_is_compiled_once() {
    let dir = tempfile::tempdir().unwrap();
    let artifacts = dir.path().join("artifacts");
    let plugin = fresh(&artifacts).load(&guest("echo"), &PluginPolicies::default()).await.unwrap();
    let first = files(&artifacts);
    assert_eq!(first.len(), 1, "no draft is left behind");
    assert!(first[0].0.file_name().unwrap().to_str().unwrap().starts_with(plugin.sha256()));
    let plugin = fresh(&artifacts).load(&guest("echo"), &PluginPolicies::default()).await.unwrap();
    assert_eq!(files(&artifacts), first, "found, not compiled again");
    call(&plugin, get("/")).await.unwrap();
}

#[tokio::test]
async fn an_artifact_that_does_not_fit_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    fresh(dir.path()).load(&guest("echo"), &PluginPolicies::default()).await.unwrap();
    let (path, _) = files(dir.path()).remove(0);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, b"an artifact of another version").unwrap();
    let plugin = fresh(dir.path()).load(&guest("echo"), &PluginPolicies::default()).await.unwrap();
    call(&plugin, get("/")).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, b"planted").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    fresh(dir.path()).load(&guest("echo"), &PluginPolicies::default()).await.unwrap();
    assert_ne!(std::fs::read(&path).unwrap(), b"planted");
}

#[test]
fn a_directory_that_others_can_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o707)).unwrap();
    let error = Runtime::new(config(dir.path())).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    let made = dir.path().join("new");
    Runtime::new(config(&made)).unwrap();
    assert_eq!(std::fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn bytes_that_are_no_component_are_refused_with_advice() {
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
async fn a_component_of_another_contract_is_refused_with_both_versions() {
    let wasm = renamed("echo", "coinslot:plugin/manifest@0.2.0", "coinslot:plugin/manifest@0.3.0");
    let sentence = refused(&wasm).await;
    assert!(sentence.contains("coinslot:plugin@0.3.0") && sentence.contains("coinslot:plugin@0.2.0"), "{sentence}");
    let patch = renamed("echo", "coinslot:plugin/manifest@0.2.0", "coinslot:plugin/manifest@0.2.9");
    runtime().load(&patch, &PluginPolicies::default()).await.expect("a later patch is compatible");
}

#[tokio::test]
async fn a_missing_import_or_export_is_named() {
    let wasm = renamed("echo", "wasi:http/incoming-handler@0.2.12", "wasi:http/incoming-hungler@0.2.12");
    assert!(refused(&wasm).await.contains("wasi:http/incoming-handler"));
    let wasm = renamed("echo", "coinslot:plugin/manifest@0.2.0", "coinslot:plugin/manifold@0.2.0");
    assert!(refused(&wasm).await.contains("coinslot:plugin/manifest@0.2.0"));
    let wasm = renamed("echo", "coinslot:plugin/payment@0.2.0", "coinslot:plugin/pigment@0.2.0");
    assert!(refused(&wasm).await.contains("coinslot:plugin/pigment@0.2.0"));
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
fn inspection_lists_handlers_tools_and_capabilities() {
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
    assert!(seen.basics.iter().any(|import| import.starts_with("wasi:io/")) && seen.basics.len() > 1);
    assert_eq!(seen.language.as_deref(), Some("Rust"));
    assert!(seen.unknown.is_empty(), "{:?}", seen.unknown);
    assert!(inspect(&guest("quoter")).unwrap().quotes);
    assert_eq!(inspect(&guest("echo3")).unwrap().handlers, ["wasi:http/handler@0.3.2"]);
    let unknown = inspect(&renamed("echo", "wasi:io/streams@0.2.12", "wasi:oi/streams@0.2.12")).unwrap();
    assert_eq!(unknown.unknown, ["wasi:oi/streams@0.2.12"]);
    assert!(unknown.refusal.is_some());
    assert!(inspect(b"text").is_err());
}

// === Files with random contents ===

/// Damage to a file.
#[derive(Clone, Debug)]
enum Damage {
    Cut(Index),
    Byte(Index, u8),
    Fill(Index, Vec<u8>),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
    Move(Index, Index, usize),
}

fn any_damage() -> impl Strategy<Value = Damage> {
    let bytes = || prop::collection::vec(any::<u8>(), 1..12);
    prop_oneof![
        1 => any::<Index>().prop_map(Damage::Cut),
        6 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        2 => (any::<Index>(), bytes()).prop_map(|(at, bytes)| Damage::Fill(at, bytes)),
        1 => (any::<Index>(), bytes()).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => (any::<Index>(), 1..64_usize).prop_map(|(at, size)| Damage::Remove(at, size)),
        1 => (any::<Index>(), 1..4096_usize).prop_map(|(at, size)| Damage::Repeat(at, size)),
        1 => (any::<Index>(), any::<Index>(), 1..4096_usize).prop_map(|(from, to, size)| Damage::Move(from, to, size)),
    ]
}

impl Damage {
    fn done_to(&self, wasm: &[u8]) -> Vec<u8> {
        let mut wasm = wasm.to_vec();
        if wasm.is_empty() {
            return wasm;
        }
        let whole = wasm.len();
        let range = |at: &Index, size: usize| at.index(whole)..(at.index(whole) + size).min(whole);
        match self {
            Self::Cut(at) => wasm.truncate(at.index(wasm.len())),
            Self::Byte(at, byte) => wasm[range(at, 1)].fill(*byte),
            Self::Fill(at, bytes) => {
                let range = range(at, bytes.len());
                wasm.splice(range, bytes.iter().copied());
            }
            Self::Insert(at, bytes) => {
                let at = at.index(wasm.len());
                wasm.splice(at..at, bytes.iter().copied());
            }
            Self::Remove(at, size) => drop(wasm.drain(range(at, *size))),
            Self::Repeat(at, size) => {
                let range = range(at, *size);
                let piece = wasm[range.clone()].to_vec();
                wasm.splice(range.start..range.start, piece);
            }
            Self::Move(from, to, size) => {
                let piece: Vec<u8> = wasm.drain(range(from, *size)).collect();
                let to = if wasm.is_empty() { 0 } else { to.index(wasm.len()) };
                wasm.splice(to..to, piece);
            }
        }
        wasm
    }
}

/// Damaged components of both generations of WASI, and random bytes.
fn any_file() -> impl Strategy<Value = Vec<u8>> {
    let damaged = |name: &'static str| {
        let whole = guest(name);
        prop::collection::vec(any_damage(), 1..4)
            .prop_map(move |damages| damages.iter().fold(whole.clone(), |wasm, damage| damage.done_to(&wasm)))
    };
    let component =
        prop::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| [b"\0asm\x0d\0\x01\0".as_slice(), &bytes].concat());
    prop_oneof![
        4 => damaged("echo"),
        4 => damaged("echo3"),
        1 => component,
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ]
}

proptest! {
    #[test]
    fn inspection_of_any_file_returns(file in any_file()) {
        if let Ok(seen) = inspect(&file) {
            prop_assert_eq!(seen.size, file.len());
        }
    }
}

/// The number of files is bounded by time, because each file that is still valid is compiled and described; a few are
/// tried on any machine.
#[tokio::test]
async fn any_file_is_loaded_or_refused_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = fresh(dir.path());
    let files = any_file();
    let mut runner = TestRunner::default();
    let until = std::time::Instant::now() + Duration::from_secs(20);
    let (mut loaded, mut refused) = (0, 0);
    while loaded + refused < 400 && (refused <= 20 || std::time::Instant::now() < until) {
        let file = files.new_tree(&mut runner).expect("a file").current();
        let terms = PluginPolicies::default();
        let load = tokio::time::timeout(Duration::from_secs(60), runtime.load(&file, &terms)).await;
        match load.unwrap_or_else(|_| panic!("this file hangs: {}", hex::encode(&file))) {
            Ok(_) => loaded += 1,
            Err(error) => {
                let sentence = error.to_string();
                let broken = sentence.is_empty() || sentence.contains("report this component");
                assert!(!broken, "{sentence}: {}", hex::encode(&file));
                refused += 1;
            }
        }
    }
    assert!(refused > 20, "{loaded} loaded, {refused} refused");
    let whole = runtime.load(&guest("echo"), &PluginPolicies::default()).await.expect("the whole one loads after them");
    call(&whole, get("/")).await.expect("an answer");
}

#[test]
fn a_composed_component_differs_from_a_wrapped_one() {
    let section = |id: u8, bytes: &[u8]| [&[id, u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let component = |sections: &[Vec<u8>]| [b"\0asm\x0d\0\x01\0".to_vec(), sections.concat()].concat();
    let module = section(1, b"\0asm\x01\0\0\0");
    let instance = section(2, &[1, 0, 0, 0]);
    let wrapped = component(&[module.clone(), instance.clone(), section(4, &component(&[]))]);
    let composed = component(&[section(4, &component(&[module, instance]))]);
    let is_composed = |wasm: &[u8]| ComponentInfo::read(wasm).unwrap().composed;
    assert!(is_composed(&composed) && !is_composed(&wrapped) && !is_composed(&guest("echo3")));
}

#[test]
fn names_of_a_component_are_cut_and_made_printable() {
    let component = |names: &[&str]| {
        let mut imports = vec![u8::try_from(names.len()).unwrap()];
        for name in names {
            imports.push(0);
            let length = u32::try_from(name.len()).unwrap();
            imports.extend([0x80 | (length & 0x7f) as u8, (length >> 7) as u8]);
            imports.extend(name.bytes());
            // An instance of type 0.
            imports.extend([5, 0]);
        }
        let length = u32::try_from(imports.len()).unwrap();
        let head = [10, 0x80 | (length & 0x7f) as u8, (length >> 7) as u8];
        [b"\0asm\x0d\0\x01\0".as_slice(), &head, &imports].concat()
    };
    let long = "x".repeat(1_000);
    let forged = component(&["a:b/c@1.0.0\nforged=\u{1b}[31m", &long]);
    let info = ComponentInfo::read(&forged).unwrap();
    let sentence = info.missing().unwrap();
    assert!(!sentence.contains(['\n', '\u{1b}']) && sentence.len() < 500, "{sentence}");
    let inspection = inspect(&forged).unwrap();
    assert!(inspection.unknown.iter().all(|name| name.len() < 500 && !name.contains('\n')), "{inspection:?}");
    let many = component(&["a:b/c@1.0.0"; 20]);
    assert!(ComponentInfo::read(&many).unwrap().missing().unwrap().ends_with("and 4 imports more"));
}
