//! Loads plugins concurrently: the compilation time of one neither delays nor decides another.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use coinslot::catalog::{Catalog, Folder, History, SalesPolicy, watch};
use coinslot_plugin::{PluginPolicies, Runtime, RuntimeConfig};
use coinslot_tests::{binary, component};
use coinslot_x402::price::{Accept, Asset};
use coinslot_x402::{Network, Versions};
use sha2::{Digest, Sha256};

/// Marks a component that the compiler holds back until the file `go` exists.
const SLOW: &[u8] = b"slow to compile";

struct StagedFolder {
    dir: tempfile::TempDir,
    live: Arc<ArcSwap<Catalog>>,
}

impl StagedFolder {
    fn new() -> (Self, Folder) {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (plugins, compiler) = (dir.path().join("plugins"), dir.path().join("compiler"));
        std::fs::create_dir(&plugins).unwrap();
        let at = dir.path().display();
        let script = format!(
            "#!/bin/sh\nPATH=/usr/bin:/bin\ncat > {at}/$$.wasm\nif grep -q '{}' {at}/$$.wasm; then\n  touch {at}/begun\n  until [ -e {at}/go ]; do sleep 0.05; done\nfi\nexec {coinslot} \"$@\" < {at}/$$.wasm\n",
            String::from_utf8_lossy(SLOW),
            coinslot = binary().display(),
        );
        std::fs::write(&compiler, script).unwrap();
        std::fs::set_permissions(&compiler, std::fs::Permissions::from_mode(0o700)).unwrap();
        let live = Arc::new(ArcSwap::from_pointee(Catalog::empty("http://127.0.0.1")));
        let staged = Self { dir, live };
        let folder = staged.restart();
        (staged, folder)
    }

    /// The folder as a host finds it that starts now.
    fn restart(&self) -> Folder {
        let mut config = RuntimeConfig::new(self.path("artifacts"), |_| false);
        config.instances = 4;
        config.compiler = Some(self.path("compiler"));
        let runtime = Runtime::new(config).unwrap();
        let accept = Accept {
            asset: Arc::new(Asset::known(&Network::eip155(84532), None).unwrap()),
            pay_to: "0xC0140eEa19bD90a7cA75882d5218eFaF20426e42".into(),
            max_timeout_seconds: 60,
            versions: Versions::Both,
            max_unsettled: coinslot_x402::price::Amount::default(),
        };
        let policy = SalesPolicy {
            accepts: vec![accept],
            public_url: "http://127.0.0.1".to_owned(),
            flows: vec![coinslot_x402::Flow::Authorization],
            pins: std::collections::BTreeMap::new(),
        };
        self.live.store(Arc::new(Catalog::empty("http://127.0.0.1")));
        let history = History::open(&self.path("served")).unwrap();
        let live = Arc::clone(&self.live);
        Folder::new(self.path("plugins"), runtime, PluginPolicies::default(), policy, live).with_history(history)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn install(&self, file: &str, wasm: &[u8]) {
        std::fs::write(self.path("part"), wasm).unwrap();
        std::fs::rename(self.path("part"), self.path("plugins").join(file)).unwrap();
    }

    fn active(&self) -> Vec<String> {
        let mut files: Vec<_> = self.live.load().installed().iter().map(|installed| installed.file.clone()).collect();
        files.sort();
        files
    }
}

/// The component with a custom section named [`SLOW`] at its end.
fn slow(mut wasm: Vec<u8>) -> Vec<u8> {
    let name = u8::try_from(SLOW.len()).unwrap();
    wasm.extend([0, name + 1, name]);
    wasm.extend(SLOW);
    wasm
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn exists(path: PathBuf) -> impl Fn() -> bool {
    move || Path::exists(&path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_compilation_does_not_delay_other_plugins() {
    let (staged, folder) = StagedFolder::new();
    let watching = tokio::spawn(watch(folder, tokio::sync::mpsc::channel(1).1, |_| ()));
    staged.install("a-slow.wasm", &slow(component("status")));
    until("the slow compilation has begun", exists(staged.path("begun"))).await;
    staged.install("b-quick.wasm", &component("echo"));
    until("the quick plugin is active", || staged.active() == ["b-quick.wasm"]).await;
    std::fs::remove_file(staged.path("plugins/b-quick.wasm")).unwrap();
    until("the quick plugin is removed", || staged.active().is_empty()).await;
    std::fs::write(staged.path("go"), "").unwrap();
    until("the slow plugin is active", || staged.active() == ["a-slow.wasm"]).await;
    watching.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn file_names_decide_conflicts_at_startup_whatever_compiles_first() {
    let (staged, mut folder) = StagedFolder::new();
    staged.install("a-slow.wasm", &slow(component("echo")));
    staged.install("b-quick.wasm", &component("echo"));
    let go = staged.path("go");
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(2)).await;
        std::fs::write(go, "").unwrap();
    });
    let report = folder.settle().await.unwrap();
    assert_eq!(report.loaded, ["a-slow.wasm"]);
    let reason = "another file, a-slow.wasm, is a plugin of the same name".to_owned();
    assert_eq!(report.failed, [("b-quick.wasm".to_owned(), reason)]);
    assert_eq!(staged.active(), ["a-slow.wasm"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_a_conflicting_file_loads_the_other() {
    let (staged, mut folder) = StagedFolder::new();
    staged.install("a.wasm", &component("echo"));
    folder.settle().await.unwrap();
    staged.install("b.wasm", &component("echo"));
    assert_eq!(folder.settle().await.unwrap().failed.len(), 1);
    assert_eq!(staged.active(), ["a.wasm"]);
    std::fs::remove_file(staged.path("plugins/a.wasm")).unwrap();
    let report = folder.settle().await.unwrap();
    assert_eq!((report.removed, report.loaded), (vec!["a.wasm".to_owned()], vec!["b.wasm".to_owned()]));
    assert_eq!(staged.active(), ["b.wasm"]);
}

/// The active build is always the one whose digest it has, although the file changes between check and use.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_replaced_during_compilation_is_never_served_under_the_checked_digest() {
    let (staged, folder) = StagedFolder::new();
    let watching = tokio::spawn(watch(folder, tokio::sync::mpsc::channel(1).1, |_| ()));
    let (checked, swapped) = (slow(component("status")), component("echo"));
    let digest = |wasm: &[u8]| hex::encode(Sha256::digest(wasm));
    let honest = [(digest(&checked), "status"), (digest(&swapped), "echo")];
    staged.install("x.wasm", &checked);
    until("the compilation has begun", exists(staged.path("begun"))).await;
    // Overwritten in place, and then replaced.
    std::fs::write(staged.path("plugins/x.wasm"), &swapped[..swapped.len() / 2]).unwrap();
    staged.install("x.wasm", &swapped);
    std::fs::write(staged.path("go"), "").unwrap();
    until("the current file is active", || {
        let now: Vec<_> =
            staged.live.load().installed().iter().map(|installed| Arc::clone(&installed.plugin)).collect();
        for plugin in &now {
            let is = (plugin.sha256().to_owned(), plugin.info().name.as_str());
            assert!(honest.contains(&is), "{is:?} is none of {honest:?}");
        }
        now.iter().any(|plugin| plugin.info().name == "echo")
    })
    .await;
    watching.abort();
}

/// Nothing was served before everything was compiled.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_compiled_serves_while_the_rest_of_a_start_is_compiled() {
    let (staged, mut folder) = StagedFolder::new();
    let slow_build = slow(component("status"));
    std::fs::write(staged.path("go"), "").unwrap();
    staged.install("a-slow.wasm", &component("status"));
    staged.install("b-quick.wasm", &component("echo"));
    folder.settle().await.unwrap();
    assert_eq!(staged.active(), ["a-slow.wasm", "b-quick.wasm"]);
    // While no host runs, one file gets a build that takes long, and another file comes that does, too.
    std::fs::remove_file(staged.path("go")).unwrap();
    staged.install("a-slow.wasm", &slow_build);
    staged.install("0-new.wasm", &slow(component("unruly")));
    let mut folder = staged.restart();
    let begun = Instant::now();
    let report = tokio::time::timeout(Duration::from_secs(30), folder.begin()).await.unwrap().unwrap();
    assert!(!report.completed && !folder.is_complete(), "{report:?}");
    assert_eq!(staged.active(), ["a-slow.wasm", "b-quick.wasm"], "what served before, at once");
    assert_eq!(*staged.live.load().loading(), ["0-new.wasm", "a-slow.wasm"]);
    let sha256 = |file: &str| {
        let live = staged.live.load();
        live.installed().iter().find(|one| one.file == file).map(|one| one.plugin.sha256().to_owned())
    };
    assert_eq!(sha256("a-slow.wasm"), Some(hex::encode(Sha256::digest(component("status")))));
    println!("served after {:?}", begun.elapsed());

    let (completed, mut complete) = tokio::sync::mpsc::channel(8);
    let watching = tokio::spawn(watch(folder, tokio::sync::mpsc::channel(1).1, move |report| {
        if report.completed {
            completed.try_send(()).unwrap();
        }
    }));
    std::fs::write(staged.path("go"), "").unwrap();
    tokio::time::timeout(Duration::from_secs(60), complete.recv()).await.unwrap().unwrap();
    assert_eq!(staged.active(), ["0-new.wasm", "a-slow.wasm", "b-quick.wasm"]);
    assert_eq!(sha256("a-slow.wasm"), Some(hex::encode(Sha256::digest(&slow_build))));
    assert!(staged.live.load().loading().is_empty());
    watching.abort();
}

/// Two components that take minutes to compile held up the deployments of all others.
#[tokio::test(flavor = "multi_thread")]
async fn slow_compilations_of_several_files_hold_up_no_other_file() {
    let (staged, folder) = StagedFolder::new();
    let watching = tokio::spawn(watch(folder, tokio::sync::mpsc::channel(1).1, |_| ()));
    for number in 0..4 {
        // A section of no meaning, with another name each time.
        let build = [slow(component("status")), vec![0, 2, 1, number]].concat();
        staged.install(&format!("slow-{number}.wasm"), &build);
    }
    until("a slow compilation has begun", exists(staged.path("begun"))).await;
    staged.install("z-quick.wasm", &component("echo"));
    until("the quick plugin is active", || staged.active() == ["z-quick.wasm"]).await;
    watching.abort();
}
