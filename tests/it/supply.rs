//! Checks that native code comes from the host's own compiler and from nowhere else.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use coinslot_tests::{DevHost, TestChain, guest};

/// The paths of a host's compiled components.
fn artifacts(state: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(state.join("artifacts")).expect("the compiled components");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = paths.filter(|path| path.extension().is_some_and(|is| is == "cwasm")).collect();
    files.sort();
    files
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

#[tokio::test]
async fn compiled_code_in_the_plugin_folder_is_never_run() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let [artifact] = artifacts(&host.path(".coinslot/dev")).try_into().expect("one component");
    let (name, folder) = (artifact.file_name().expect("a name").to_owned(), host.path(".coinslot/plugins"));
    // A valid artifact of this engine, under every name that a host could accept.
    for planted in [name.as_ref(), Path::new("echo.cwasm"), Path::new("planted.wasm")] {
        std::fs::copy(&artifact, folder.join(planted)).expect("a copy");
    }
    let start = Instant::now();
    while !host.log().contains("planted.wasm was not loaded") {
        assert!(start.elapsed() < Duration::from_secs(20), "{}", host.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = host.log();
    let line = log.lines().find(|line| line.contains("planted.wasm was not loaded")).expect("a reason");
    assert!(line.contains("not a WebAssembly component") || line.contains("not WebAssembly"), "{line}");
    assert!(!line.contains("the build before it"), "no build served before: {line}");
    assert!(!log.contains(".cwasm is"), "no other file is read: {log}");
    assert_eq!(artifacts(&host.path(".coinslot/dev")), [artifact], "no artifact was added");
    assert_eq!(host.client().get(host.url("/echo")).send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn compiled_code_writable_by_others_is_not_mapped() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["status", "echo"], "").await;
    let state = host.path(".coinslot");
    let dir = state.join("artifacts");
    assert_eq!(mode(&dir), 0o700, "private to the operator");
    let compiled = artifacts(&state);
    let [first, second] = compiled.as_slice() else { panic!("{compiled:?}") };
    let genuine = std::fs::read(first).expect("an artifact");
    for file in &compiled {
        assert_eq!(mode(file), 0o400, "written once: {}", file.display());
    }
    // The code of the other component, writable by others; and bytes that are no code.
    for (planted, others) in [(std::fs::read(second).expect("an artifact"), 0o022), (vec![0; genuine.len()], 0)] {
        std::fs::remove_file(first).expect("a file to remove");
        std::fs::write(first, planted).expect("a file");
        std::fs::set_permissions(first, std::fs::Permissions::from_mode(0o600 | others)).expect("a mode");
        host.restart(&[]).await;
        assert_eq!(mode(first), 0o400);
        assert_eq!(std::fs::read(first).expect("an artifact"), genuine, "compiled again");
        for path in ["/status", "/echo"] {
            assert_eq!(reqwest::get(host.url(path)).await.expect("an answer").status(), 200, "{path}");
        }
    }
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o777)).expect("a mode");
    host.fails_to_start("must not be writable by others").await;
}
