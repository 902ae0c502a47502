//! Loads plugins concurrently: the compilation time of one neither delays nor decides another.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod loading;
mod moves;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use coinslot::catalog::{Catalog, Folder, History, HistoryFile, PluginPins, SalesPolicy, watch};
use coinslot::endpoint::Endpoint;
use coinslot_plugin::{Grants, Limits, PluginPolicies, PluginPolicy, Runtime, RuntimeConfig};
use coinslot_tests::{binary, component, declaring};
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
        self.restart_under(policy())
    }

    fn restart_under(&self, policy: SalesPolicy) -> Folder {
        self.restart_with(PluginPolicies::default(), policy)
    }

    fn restart_with(&self, policies: PluginPolicies, policy: SalesPolicy) -> Folder {
        let mut config = RuntimeConfig::new(self.path("artifacts"), |_| false);
        config.instances = 4;
        config.compiler = Some(self.path("compiler"));
        let runtime = Runtime::new(config).unwrap();
        self.live.store(Arc::new(Catalog::empty("http://127.0.0.1")));
        let history = History::open(&self.path("served")).unwrap();
        let live = Arc::clone(&self.live);
        Folder::new(self.path("plugins"), runtime, policies, policy, live).with_history(history)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn install(&self, file: &str, wasm: &[u8]) {
        std::fs::write(self.path("part"), wasm).unwrap();
        std::fs::rename(self.path("part"), self.path("plugins").join(file)).unwrap();
    }

    /// The SHA-256 of the build of a file that serves.
    fn sha256(&self, file: &str) -> Option<String> {
        let live = self.live.load();
        live.installed().iter().find(|one| one.file == file).map(|one| one.plugin.sha256().to_owned())
    }

    /// An endpoint of a file that serves.
    fn endpoint(&self, file: &str, index: usize) -> Arc<Endpoint> {
        let live = self.live.load();
        let installed = live.installed().iter().find(|one| one.file == file).unwrap();
        Arc::clone(&installed.endpoints[index])
    }

    /// The host's copy of a build.
    fn copy(&self, wasm: &[u8]) -> PathBuf {
        self.path("served/components").join(format!("{}.wasm", sha256(wasm)))
    }

    fn active(&self) -> Vec<String> {
        let mut files: Vec<_> = self.live.load().installed().iter().map(|installed| installed.file.clone()).collect();
        files.sort();
        files
    }
}

fn policy() -> SalesPolicy {
    let accept = Accept {
        asset: Arc::new(Asset::known(&Network::eip155(84532), None).unwrap()),
        pay_to: "0xC0140eEa19bD90a7cA75882d5218eFaF20426e42".into(),
        max_timeout_seconds: 60,
        versions: Versions::Both,
        max_unsettled: coinslot_x402::price::Amount::default(),
    };
    SalesPolicy {
        accepts: vec![accept],
        public_url: "http://127.0.0.1".to_owned(),
        flows: vec![coinslot_x402::Flow::Authorization],
        pins: std::collections::BTreeMap::new(),
        overrides: std::collections::BTreeMap::new(),
        unchecked: std::collections::BTreeSet::new(),
        same_origin: std::collections::BTreeSet::new(),
        reserved: Vec::new(),
        bazaar: true,
        checks_answers: false,
    }
}

fn sha256(wasm: &[u8]) -> String {
    hex::encode(Sha256::digest(wasm))
}

/// Another build of a guest: its last section is of no meaning.
fn build(guest: &str, number: u8) -> Vec<u8> {
    [component(guest), vec![0, 2, 1, number]].concat()
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
    let watching = tokio::spawn(watch(folder, tokio::sync::mpsc::channel(1).1, |_| std::future::ready(())));
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
    let watching = tokio::spawn(watch(folder, tokio::sync::mpsc::channel(1).1, |_| std::future::ready(())));
    let (checked, swapped) = (slow(component("status")), component("echo"));
    let honest = [(sha256(&checked), "status"), (sha256(&swapped), "echo")];
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
    assert_eq!(staged.sha256("a-slow.wasm"), Some(sha256(&component("status"))));
    println!("served after {:?}", begun.elapsed());

    let (completed, mut complete) = tokio::sync::mpsc::channel(8);
    let watching = tokio::spawn(watch(folder, tokio::sync::mpsc::channel(1).1, move |report| {
        if report.completed {
            completed.try_send(()).unwrap();
        }
        std::future::ready(())
    }));
    std::fs::write(staged.path("go"), "").unwrap();
    tokio::time::timeout(Duration::from_secs(60), complete.recv()).await.unwrap().unwrap();
    assert_eq!(staged.active(), ["0-new.wasm", "a-slow.wasm", "b-quick.wasm"]);
    assert_eq!(staged.sha256("a-slow.wasm"), Some(sha256(&slow_build)));
    assert!(staged.live.load().loading().is_empty());
    watching.abort();
}

/// Two components that take minutes to compile held up the deployments of all others.
#[tokio::test(flavor = "multi_thread")]
async fn slow_compilations_of_several_files_hold_up_no_other_file() {
    let (staged, folder) = StagedFolder::new();
    let watching = tokio::spawn(watch(folder, tokio::sync::mpsc::channel(1).1, |_| std::future::ready(())));
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

/// The host's copy of a build that waited for its turn was removed, and was missing when the build served.
#[tokio::test(flavor = "multi_thread")]
async fn the_copy_of_a_build_that_waits_is_kept_and_serves_after_a_restart() {
    let (staged, mut folder) = StagedFolder::new();
    let waiting = build("echo", 1);
    staged.install("a.wasm", &component("echo"));
    folder.settle().await.unwrap();
    staged.install("b.wasm", &waiting);
    assert_eq!(folder.settle().await.unwrap().failed.len(), 1);
    // It waits for long, and the folder changes meanwhile.
    File::options().write(true).open(staged.copy(&waiting)).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    staged.install("c.wasm", &component("status"));
    assert_eq!(folder.settle().await.unwrap().loaded, ["c.wasm"]);
    std::fs::remove_file(staged.path("plugins/a.wasm")).unwrap();
    assert_eq!(folder.settle().await.unwrap().loaded, ["b.wasm"]);
    staged.install("b.wasm", b"junk");
    let mut folder = staged.restart();
    folder.settle().await.unwrap();
    assert_eq!(staged.sha256("b.wasm"), Some(sha256(&waiting)));
}

/// A build that did not fit the configuration of a start was lost, although the configuration was mended.
#[tokio::test(flavor = "multi_thread")]
async fn what_served_serves_when_the_configuration_that_refused_it_at_the_start_is_mended() {
    let (staged, mut folder) = StagedFolder::new();
    std::fs::write(staged.path("go"), "").unwrap();
    staged.install("a.wasm", &component("echo"));
    folder.settle().await.unwrap();
    staged.install("a.wasm", b"junk");
    let mut pinned = policy();
    pinned.pins.insert("echo".to_owned(), PluginPins { sha256: vec![sha256(b"other")], ..PluginPins::default() });
    let mut folder = staged.restart_under(pinned);
    folder.settle().await.unwrap();
    assert!(staged.active().is_empty() && folder.is_complete());
    folder.reconfigure(PluginPolicies::default(), policy()).await.unwrap();
    folder.settle().await.unwrap();
    assert_eq!(staged.sha256("a.wasm"), Some(sha256(&component("echo"))));
}

/// The policies under which `keeper` has this configuration, and bodies have at most this many bytes.
fn keeper_with(key: &str, value: &str, request_body: u64) -> PluginPolicies {
    let grants = Grants { config: vec![(key.to_owned(), value.to_owned())], ..Grants::default() };
    let plugins = [("keeper".to_owned(), PluginPolicy { grants, ..PluginPolicy::default() })].into();
    PluginPolicies { limits: Limits { request_body, ..Limits::default() }, plugins }
}

/// One plugin that refused its new `config` kept every other change of the configuration from being used.
#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_refuses_its_config_keeps_the_former_one_and_all_else_is_used() {
    let (staged, mut folder) = StagedFolder::new();
    staged.install("echo.wasm", &component("echo"));
    staged.install("keeper.wasm", &component("keeper"));
    folder.settle().await.unwrap();
    folder.reconfigure(keeper_with("most", "0.5", 1), policy()).await.unwrap();
    let most = || format!("{:?}", staged.endpoint("keeper.wasm", 1).access);
    let before = most();

    let reason = "it refuses to be loaded: the moon is not full";
    let done = folder.reconfigure(keeper_with("refuse", "the moon is not full", 2), policy()).await.unwrap();
    assert_eq!(done.refused, [("keeper.wasm".to_owned(), reason.to_owned())]);
    assert_eq!(["echo.wasm", "keeper.wasm"].map(|file| staged.endpoint(file, 0).request_limit), [2, 2]);
    assert_eq!(most(), before, "its former configuration stays");
    // `coinslot plugins` reads the history.
    let listed = || HistoryFile::read(&staged.path("served")).unwrap().files["keeper.wasm"].clone();
    let report = folder.settle().await.unwrap();
    assert!(report.failed.len() == 1 && report.failed[0].1.ends_with(reason), "{report:?}");
    assert!(listed().failure.unwrap().ends_with(reason));
    assert_eq!((most(), staged.active().len()), (before.clone(), 2));

    // What concerns money and identity is used for all plugins or for none.
    let mut pinned = policy();
    pinned.pins.insert("keeper".to_owned(), PluginPins { sha256: vec![sha256(b"other")], ..PluginPins::default() });
    let error = folder.reconfigure(keeper_with("refuse", "secret", 3), pinned).await.unwrap_err();
    assert!(error.starts_with("keeper.wasm: plugin.keeper: `sha256` does not have "), "{error}");
    assert_eq!(staged.endpoint("echo.wasm", 0).request_limit, 2);

    let done = folder.reconfigure(keeper_with("most", "0.25", 4), policy()).await.unwrap();
    assert!(done.refused.is_empty() && most() != before);
    assert_eq!(folder.settle().await.unwrap().failed, []);
    assert_eq!((listed().failure, staged.endpoint("keeper.wasm", 1).request_limit), (None, 4));
}

/// The route that one plugin took by its new `config` kept every other change of the configuration from being used.
#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_whose_config_takes_the_route_of_another_keeps_the_former_one_and_all_else_is_used() {
    let (staged, mut folder) = StagedFolder::new();
    staged.install("echo.wasm", &component("echo"));
    staged.install("keeper.wasm", &component("keeper"));
    folder.settle().await.unwrap();
    let second = || staged.endpoint("keeper.wasm", 1).label.clone();

    let taken = "POST /echo is already served; echo.wasm serves it".to_owned();
    let done = folder.reconfigure(keeper_with("path", "/echo", 2), policy()).await.unwrap();
    assert_eq!(done.refused, [("keeper.wasm".to_owned(), taken.clone())]);
    assert_eq!(["echo.wasm", "keeper.wasm"].map(|file| staged.endpoint(file, 0).request_limit), [2, 2]);
    assert_eq!(second(), "POST /keeper/quoted");
    let taken = format!("under the present configuration: {taken}");
    assert_eq!(folder.settle().await.unwrap().failed, [("keeper.wasm".to_owned(), taken)]);
    assert_eq!(second(), "POST /keeper/quoted", "the plugin that serves a route keeps it");

    std::fs::remove_file(staged.path("plugins/echo.wasm")).unwrap();
    folder.settle().await.unwrap();
    assert_eq!(second(), "POST /echo", "once there is room for it, it is used");
    let done = folder.reconfigure(keeper_with("path", "/elsewhere", 3), policy()).await.unwrap();
    assert!(done.refused.is_empty() && second() == "POST /elsewhere");
}

/// The same component is three plugins, whose names are in their `config`.
fn keepers(paths: &[(&str, &str)]) -> PluginPolicies {
    let policy = |name: &str, path: &str| {
        let config = [("name", name.to_owned()), ("root", format!("/{name}")), ("path", path.to_owned())];
        let config = config.map(|(key, value)| (key.to_owned(), value)).to_vec();
        PluginPolicy { grants: Grants { config, ..Grants::default() }, ..PluginPolicy::default() }
    };
    let plugins = paths.iter().map(|(name, path)| ((*name).to_owned(), policy(name, path))).collect();
    PluginPolicies { plugins, ..PluginPolicies::default() }
}

/// A third plugin's conflict kept two others from changing routes with each other, which they can only do in one step.
#[tokio::test(flavor = "multi_thread")]
async fn two_plugins_change_routes_by_their_config_although_a_third_one_conflicts() {
    let (staged, mut folder) = StagedFolder::new();
    folder.reconfigure(keepers(&[("a", "/one"), ("b", "/two"), ("c", "/three")]), policy()).await.unwrap();
    for file in ["a.wasm", "b.wasm", "c.wasm"] {
        staged.install(file, &component("keeper"));
    }
    staged.install("echo.wasm", &component("echo"));
    folder.settle().await.unwrap();
    let routes = || ["a.wasm", "b.wasm", "c.wasm"].map(|file| staged.endpoint(file, 1).label.clone());
    assert_eq!(routes(), ["POST /one", "POST /two", "POST /three"]);

    let swapped = keepers(&[("a", "/two"), ("b", "/one"), ("c", "/echo")]);
    let done = folder.reconfigure(swapped, policy()).await.unwrap();
    let taken = "POST /echo is already served; echo.wasm serves it".to_owned();
    assert_eq!(done.refused, [("c.wasm".to_owned(), taken)]);
    assert_eq!(routes(), ["POST /two", "POST /one", "POST /three"]);

    // What would take the route that the third one keeps stays, too; nothing else does.
    let around = keepers(&[("a", "/three"), ("b", "/two"), ("c", "/echo")]);
    let done = folder.reconfigure(around, policy()).await.unwrap();
    let refused: Vec<_> = done.refused.iter().map(|(file, _)| file.as_str()).collect();
    assert_eq!(refused, ["a.wasm", "b.wasm", "c.wasm"]);
    assert_eq!(routes(), ["POST /two", "POST /one", "POST /three"]);
    let apart = keepers(&[("a", "/three"), ("b", "/two"), ("c", "/one")]);
    assert_eq!(folder.reconfigure(apart, policy()).await.unwrap().refused, []);
    assert_eq!(routes(), ["POST /three", "POST /two", "POST /one"], "all three at once");
}

/// A configuration that a reload had refused was used by the next start: the plugin took the route of another one, which
/// served it until then, or lost its own name and routes to a newcomer.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_takes_no_route_from_what_served_whatever_the_configuration_says() {
    let (staged, mut folder) = StagedFolder::new();
    folder.reconfigure(keepers(&[("a", "/one"), ("b", "/two")]), policy()).await.unwrap();
    staged.install("a.wasm", &component("keeper"));
    staged.install("b.wasm", &component("keeper"));
    folder.settle().await.unwrap();
    // The history knows the routes of the present configuration, not those with which the builds were installed.
    folder.reconfigure(keepers(&[("a", "/own"), ("b", "/money")]), policy()).await.unwrap();
    let done = folder.reconfigure(keepers(&[("a", "/money"), ("b", "/money")]), policy()).await.unwrap();
    assert_eq!(done.refused.len(), 1, "{done:?}");

    let refused = || keepers(&[("a", "/money"), ("b", "/money"), ("z", "/own")]);
    let mut folder = staged.restart_with(refused(), policy());
    let report = folder.settle().await.unwrap();
    assert_eq!(report.failed, [("a.wasm".to_owned(), "POST /money is already served; b.wasm serves it".to_owned())]);
    assert_eq!((staged.active(), &*staged.endpoint("b.wasm", 1).label), (vec!["b.wasm".to_owned()], "POST /money"));

    staged.install("z.wasm", &component("keeper"));
    let kept = "POST /own is kept for a.wasm, which served it before the start and does not serve yet: mend or remove \
                that file";
    assert_eq!(folder.settle().await.unwrap().failed, [("z.wasm".to_owned(), kept.to_owned())]);
    let mut folder = staged.restart_with(refused(), policy());
    folder.settle().await.unwrap();
    assert_eq!(staged.active(), ["b.wasm"], "nor after another restart");

    let mended = keepers(&[("a", "/own"), ("b", "/money"), ("z", "/own")]);
    folder.reconfigure(mended, policy()).await.unwrap();
    folder.settle().await.unwrap();
    assert_eq!((staged.active(), &*staged.endpoint("a.wasm", 1).label), (owned(&["a.wasm", "b.wasm"]), "POST /own"));
    std::fs::remove_file(staged.path("plugins/a.wasm")).unwrap();
    folder.settle().await.unwrap();
    assert_eq!(staged.active(), ["b.wasm", "z.wasm"], "what is removed keeps nothing");
}

/// A swap of routes that was configured while no host ran is one all the same.
#[tokio::test(flavor = "multi_thread")]
async fn two_plugins_change_routes_by_their_config_over_a_restart() {
    let (staged, mut folder) = StagedFolder::new();
    folder.reconfigure(keepers(&[("a", "/one"), ("b", "/two")]), policy()).await.unwrap();
    staged.install("a.wasm", &component("keeper"));
    staged.install("b.wasm", &component("keeper"));
    folder.settle().await.unwrap();
    let mut folder = staged.restart_with(keepers(&[("a", "/two"), ("b", "/one")]), policy());
    folder.settle().await.unwrap();
    let routes = ["a.wasm", "b.wasm"].map(|file| staged.endpoint(file, 1).label.clone());
    assert_eq!(routes, ["POST /two", "POST /one"]);
}

/// The second of two files that exchange their plugins was tried without the first one, which had been refused, and both
/// stayed refused until the configuration was reloaded.
#[tokio::test(flavor = "multi_thread")]
async fn two_files_exchange_their_plugins_one_after_the_other() {
    let (staged, mut folder) = StagedFolder::new();
    staged.install("a.wasm", &component("echo"));
    staged.install("b.wasm", &component("keeper"));
    folder.settle().await.unwrap();
    staged.install("a.wasm", &component("keeper"));
    let taken = "another file, b.wasm, is a plugin of the same name".to_owned();
    assert_eq!(folder.settle().await.unwrap().failed, [("a.wasm".to_owned(), taken)]);
    staged.install("b.wasm", &component("echo"));
    let report = folder.settle().await.unwrap();
    assert_eq!((report.failed, staged.active()), (Vec::new(), owned(&["a.wasm", "b.wasm"])));
    assert_eq!(staged.sha256("a.wasm"), Some(sha256(&component("keeper"))));
    assert_eq!(staged.sha256("b.wasm"), Some(sha256(&component("echo"))));
}

fn owned(files: &[&str]) -> Vec<String> {
    files.iter().map(|file| (*file).to_owned()).collect()
}

/// A reload that one plugin kept from being used said neither which plugin, nor why its former `config` would not do.
#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_can_be_served_with_neither_its_new_nor_its_former_config_is_named_with_both_reasons() {
    let (staged, mut folder) = StagedFolder::new();
    staged.install("echo.wasm", &component("echo"));
    staged.install("keeper.wasm", &component("keeper"));
    folder.settle().await.unwrap();
    let mut pinned = policy();
    pinned.pins.insert("keeper".to_owned(), PluginPins { prefix: Some("/echo".to_owned()), ..PluginPins::default() });
    let former = "; with the former values of its `config`: plugin.keeper: POST /keeper is neither `prefix`, which is \
                  /echo, nor below it: `mount = \"/echo\"` serves what the plugin declares below that path";
    for (key, value, reason) in [
        ("root", "/echo", "POST /echo is already served; echo.wasm serves it"),
        ("refuse", "the moon is not full", "it refuses to be loaded: the moon is not full"),
    ] {
        let error = folder.reconfigure(keeper_with(key, value, 2), pinned.clone()).await.unwrap_err();
        assert_eq!(error, format!("keeper.wasm: {reason}{former}"));
        assert_ne!(staged.endpoint("echo.wasm", 0).request_limit, 2, "nothing has changed");
    }
    folder.reconfigure(keeper_with("root", "/echo/more", 2), pinned).await.unwrap();
    assert_eq!(staged.endpoint("keeper.wasm", 1).label, "POST /echo/more/quoted");
}

/// A component with the name of another plugin, or in its file, saw that one's `config` before its pins were checked,
/// and could print it.
#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_does_not_fit_the_pins_of_a_name_is_not_shown_its_config() {
    for (file, pins) in [
        ("keeper.wasm", PluginPins { sha256: vec![sha256(b"other")], ..PluginPins::default() }),
        ("else.wasm", PluginPins { sha256: vec![sha256(b"other")], ..PluginPins::default() }),
        ("else.wasm", PluginPins { file: Some("keeper.wasm".to_owned()), ..PluginPins::default() }),
    ] {
        let (staged, mut folder) = StagedFolder::new();
        let mut sales = policy();
        sales.pins.insert("keeper".to_owned(), pins.clone());
        folder.reconfigure(keeper_with("refuse", "the secret", 1), sales).await.unwrap();
        for wasm in [component("keeper"), needing_configuration()] {
            staged.install(file, &wasm);
            let report = folder.settle().await.unwrap();
            let said = &report.failed[0].1;
            assert!(!said.contains("the secret"), "{file} {pins:?}: {said}");
            let is_expected = file == "keeper.wasm" || wasm == component("keeper");
            assert!(!is_expected || said.starts_with("plugin.keeper: `"), "{file} {pins:?}: {said}");
        }
    }
}

/// A build of `keeper` that refuses to be loaded without any configuration.
fn needing_configuration() -> Vec<u8> {
    let (mut wasm, text) = (component("keeper"), b"[needs]nothing");
    let at = wasm.windows(text.len()).position(|found| found == text).unwrap();
    wasm[at..at + text.len()].copy_from_slice(b"[needs]setting");
    wasm
}

/// The file of a build that could not be restored took name and routes of another one that was still being restored.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_served_another_build_takes_nothing_of_one_that_is_being_restored() {
    let (staged, mut folder) = StagedFolder::new();
    std::fs::write(staged.path("go"), "").unwrap();
    let served = slow(component("echo"));
    staged.install("b.wasm", &served);
    staged.install("a.wasm", &component("status"));
    folder.settle().await.unwrap();
    // While no host runs: what is compiled and one of the copies are lost, and its file gets the other one's name.
    std::fs::remove_file(staged.path("go")).unwrap();
    std::fs::remove_dir_all(staged.path("artifacts")).unwrap();
    std::fs::remove_file(staged.copy(&component("status"))).unwrap();
    staged.install("a.wasm", &build("echo", 1));
    let mut folder = staged.restart();
    folder.begin().await.unwrap();
    let squatting = tokio::time::timeout(Duration::from_secs(5), async {
        while staged.active().is_empty() {
            folder.scan().await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(squatting.await.is_err(), "{:?} took its name", staged.active());
    std::fs::write(staged.path("go"), "").unwrap();
    folder.settle().await.unwrap();
    assert_eq!(staged.sha256("b.wasm"), Some(sha256(&served)));
    assert_eq!(staged.active(), ["b.wasm"]);
}

/// The plugin that got a route of another one sold for a minute at that one's price.
#[tokio::test(flavor = "multi_thread")]
async fn an_offer_of_one_plugin_is_not_honoured_by_the_next_one_on_its_route() {
    let (staged, mut folder) = StagedFolder::new();
    let honoured = || {
        let live = staged.live.load();
        let mut endpoints = live.installed().iter().flat_map(|installed| &installed.endpoints);
        live.honoured(endpoints.find(|endpoint| endpoint.label == "POST /echo").unwrap()).len()
    };
    staged.install("a.wasm", &declaring("POST:/echo exact 0.005"));
    folder.settle().await.unwrap();
    staged.install("a.wasm", &declaring("POST:/echo exact 0.006"));
    folder.settle().await.unwrap();
    assert_eq!(honoured(), 1, "of the same plugin");
    std::fs::remove_file(staged.path("plugins/a.wasm")).unwrap();
    staged.install("b.wasm", &component("echo"));
    folder.settle().await.unwrap();
    assert_eq!((staged.active(), honoured()), (vec!["b.wasm".to_owned()], 0));
}
