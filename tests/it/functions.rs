//! Compiles components that have the same code, and checks what is found of the code and what is never taken.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use coinslot_tests::{DevHost, TestChain, binary, guest, run};

/// A plugin in TypeScript with one free route.
fn source(route: &str) -> String {
    format!(
        "import {{ get }} from 'coinslot';\nget('/{route}', {{ free: true, summary: 'Is free' }}, () => '{route}\\n');\n"
    )
}

/// The component of a plugin with this route: the engine's code, and data of its own.
fn built(dir: &Path, route: &str) -> PathBuf {
    let (module, component) = (format!("{route}.ts"), format!("{route}.wasm"));
    fs::write(dir.join(&module), source(route)).unwrap();
    let built = run(dir, &["build", &module, "-o", &component]);
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    dir.join(component)
}

/// The functions of a component that were found, that were compiled, and that were found in what the program carries.
#[derive(Clone, Copy, Debug)]
struct Counts {
    reused: usize,
    compiled: usize,
    carried: usize,
}

impl Counts {
    /// The counts of each line of a log that has some.
    fn of(log: &str) -> Vec<Self> {
        let line = |line: &str| {
            let (_, rest) = line.split_once("reused ")?;
            let (reused, rest) = rest.split_once(" functions and compiled ")?;
            let (compiled, rest) = rest.split_once("; the program carried ")?;
            let carried: String = rest.chars().take_while(char::is_ascii_digit).collect();
            Some(Self {
                reused: reused.parse().ok()?,
                compiled: compiled.parse().ok()?,
                carried: carried.parse().ok()?,
            })
        };
        log.lines().filter_map(line).collect()
    }

    /// The keys of a few functions are not the same each time.
    fn are_nearly_all_found(self) -> bool {
        self.reused > 1_000 && self.compiled < self.reused / 8
    }

    fn are_none_found(self) -> bool {
        self.reused == 0 && self.compiled > 1_000
    }
}

/// Compiles a component with the functions of a directory. Returns its artifact.
fn compiled(component: &Path, functions: &Path) -> (Vec<u8>, Counts) {
    compiled_with(component, functions, &[])
}

/// Compiles a component with the functions of a directory and more arguments. Returns its artifact.
fn compiled_with(component: &Path, functions: &Path, more: &[&str]) -> (Vec<u8>, Counts) {
    let mut command = Command::new(binary());
    command.args(["compile", "--wasi", "0.3", "--functions"]).arg(functions).args(more);
    command.stdin(fs::File::open(component).unwrap());
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert!(status.success(), "{said}");
    let [counts] = Counts::of(&said).try_into().unwrap_or_else(|_| panic!("{said}"));
    (stdout, counts)
}

/// The files of compiled functions in a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|is| is == "functions")).collect()
}

#[test]
fn a_second_plugin_of_an_engine_compiles_next_to_nothing_and_is_the_same_code_as_without_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (built(dir.path(), "first"), built(dir.path(), "second"));
    let [shared, apart] = ["shared", "apart"].map(|name| dir.path().join(name));
    fs::create_dir(&shared).unwrap();
    fs::create_dir(&apart).unwrap();

    let (_, counts) = compiled(&first, &shared);
    assert!(counts.are_none_found(), "{counts:?}");
    let (found, counts) = compiled(&second, &shared);
    assert!(counts.are_nearly_all_found(), "{counts:?}");
    let (anew, counts) = compiled(&second, &apart);
    assert!(counts.are_none_found(), "{counts:?}");
    assert!(found == anew, "what is found is what the compiler makes");
    let [file] = files(&shared).try_into().expect("one file for one engine");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o400);

    // Little code compiles as fast as it is found, and code of an author's own is found by nobody else.
    let small = Command::new(binary())
        .args(["compile", "--wasi", "0.2", "--functions"])
        .arg(&apart)
        .stdin(fs::File::open(guest("echo")).unwrap())
        .output()
        .unwrap();
    assert!(small.status.success() && small.stderr.is_empty(), "{}", String::from_utf8_lossy(&small.stderr));
    assert_eq!(files(&apart).len(), 1);
}

/// What a crash of the machine, a full disk or another user leaves is never code that runs.
#[test]
fn functions_that_are_damaged_or_writable_by_others_are_compiled_and_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let component = built(dir.path(), "first");
    let functions = dir.path().join("functions");
    fs::create_dir(&functions).unwrap();
    let (artifact, _) = compiled(&component, &functions);
    let [file] = files(&functions).try_into().unwrap();
    let genuine = fs::read(&file).unwrap();
    let mut flipped = genuine.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 0xff;
    for (what, bytes, mode) in [
        ("one byte of native code", &flipped[..], 0o400),
        ("cut short", &genuine[..genuine.len() / 2], 0o400),
        ("writable by others", &genuine[..], 0o666),
    ] {
        fs::remove_file(&file).unwrap();
        fs::write(&file, bytes).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let (again, counts) = compiled(&component, &functions);
        assert!(counts.are_none_found(), "{what}: {counts:?}");
        assert!(again == artifact, "{what}");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o400, "{what}");
        assert!(compiled(&component, &functions).1.are_nearly_all_found(), "{what}");
    }
    let unwritable = Command::new(binary())
        .args(["compile", "--wasi", "0.3", "--functions", "/proc/self"])
        .stdin(fs::File::open(&component).unwrap())
        .output()
        .unwrap();
    assert!(unwritable.status.success() && unwritable.stdout == artifact, "a cache that cannot be written costs time");
    assert!(String::from_utf8_lossy(&unwritable.stderr).contains("cannot be kept"));
}

/// A release carries the functions of the script engine: its first plugin is served as quickly as the second one.
#[test]
fn the_first_plugin_finds_what_a_release_carries_and_writes_none_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (hello, first) = (built(dir.path(), "hello"), built(dir.path(), "first"));
    let carry = Command::new(binary())
        .args(["compile", "--wasi", "0.3", "--carry", "this"])
        .stdin(fs::File::open(&hello).unwrap())
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&carry.stderr);
    assert!(carry.status.success() && report.starts_with("this processor: "), "{report}");
    assert!(report.trim_end().ends_with(&format!("{} bytes", carry.stdout.len())), "{report}");
    let carried = dir.path().join("carried");
    fs::write(&carried, &carry.stdout).unwrap();
    let folder = |name: &str| {
        let folder = dir.path().join(name);
        fs::create_dir(&folder).unwrap();
        folder
    };
    let plain = compiled(&first, &folder("plain"));
    assert!(plain.1.are_none_found() && plain.1.carried == 0, "{:?}", plain.1);

    let arguments = ["--carried", carried.to_str().unwrap()];
    let own = folder("own");
    let found = compiled_with(&first, &own, &arguments);
    assert!(found.1.are_nearly_all_found() && found.1.carried == found.1.reused, "{:?}", found.1);
    assert!(found.0 == plain.0, "what is carried is what the compiler makes");
    let size = |path: &PathBuf| fs::metadata(path).unwrap().len();
    let kept: u64 = files(&own).iter().map(size).sum();
    assert!(kept < carry.stdout.len() as u64 / 4, "what is carried is not kept once more, and {kept} bytes are");
    assert!(fs::read(&carried).unwrap() == carry.stdout);

    // An engine with other settings, and bytes that are not what was made, cost time and nothing else.
    let foreign = compiled_with(&first, &folder("foreign"), &[&arguments[..], &["--on-demand"]].concat());
    assert!(foreign.1.are_none_found() && foreign.1.carried == 0, "{:?}", foreign.1);
    let mut flipped = carry.stdout.clone();
    *flipped.last_mut().unwrap() ^= 0xff;
    for (what, bytes) in [("flipped", &flipped[..]), ("cut", &carry.stdout[..1 << 20]), ("empty", &carry.stdout[..0])] {
        fs::write(&carried, bytes).unwrap();
        let again = folder(what);
        let (artifact, counts) = compiled_with(&first, &again, &arguments);
        assert!(counts.are_none_found() && counts.carried == 0, "{what}: {counts:?}");
        assert!(artifact == plain.0, "{what}");
        assert_eq!(files(&again).len(), 1, "{what}: the next compilation finds them there");
    }
}

#[tokio::test]
async fn a_plugin_in_dev_finds_what_another_project_compiled() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let start = async |route: &str| {
        let builder = DevHost::builder();
        fs::write(builder.path(&format!("plugins/{route}.ts")), source(route)).unwrap();
        let debug = builder.environment("COINSLOT_LOG", "coinslot=info,coinslot_plugin=debug,warn");
        let host = debug.environment("XDG_CACHE_HOME", cache.to_str().unwrap()).start().await;
        let answer = reqwest::get(host.url(&format!("/{route}"))).await.unwrap();
        assert_eq!(answer.text().await.unwrap(), format!("{route}\n"));
        host
    };
    let first = start("first").await;
    let [counts] = Counts::of(&first.log()).try_into().unwrap_or_else(|_| panic!("{}", first.log()));
    assert!(counts.are_none_found(), "{counts:?}");
    let second = start("second").await;
    let [counts] = Counts::of(&second.log()).try_into().unwrap_or_else(|_| panic!("{}", second.log()));
    assert!(counts.are_nearly_all_found(), "{counts:?}");

    // An edit is served with hardly a function compiled.
    fs::write(second.path("plugins/second.ts"), source("third")).unwrap();
    let start = Instant::now();
    while reqwest::get(second.url("/third")).await.unwrap().status() != 200 {
        assert!(start.elapsed() < Duration::from_secs(60), "{}", second.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let counts = Counts::of(&second.log());
    assert!(counts.len() == 2 && counts[1].are_nearly_all_found(), "{counts:?}");
}

#[tokio::test]
async fn what_inspect_compiles_is_found_by_the_next_inspect_and_by_the_host_of_its_configuration() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["status"], "").await;
    let (folder, cache) = (host.path("."), host.path("cache"));
    let (echo, quoter) = (guest("echo"), guest("quoter"));
    let inspect = |component: &Path, more: &[&str]| {
        let command = &mut Command::new(binary());
        command.arg("inspect").arg(component).args(more).current_dir(&folder);
        let output = command.env("XDG_CACHE_HOME", &cache).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let artifacts = |dir: &Path| -> Vec<(PathBuf, u64)> {
        let paths = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
        let mut list: Vec<_> = paths
            .filter(|path| path.extension().is_some_and(|is| is == "cwasm"))
            .map(|path| (path.clone(), fs::metadata(path).unwrap().ino()))
            .collect();
        list.sort();
        list
    };
    let version = |cache: &Path| fs::read_dir(cache.join("coinslot")).unwrap().next().unwrap().unwrap().path();
    inspect(&echo, &[]);
    let own = version(&cache).join("compiled");
    let kept = artifacts(&own);
    assert_eq!((kept.len(), fs::metadata(&own).unwrap().permissions().mode() & 0o777), (1, 0o700));
    inspect(&echo, &[]);
    assert_eq!(artifacts(&own), kept, "found");

    let of_host = host.path(".coinslot/artifacts");
    let served = artifacts(&of_host);
    inspect(&quoter, &["-c", "coinslot.toml"]);
    assert_eq!(artifacts(&own), kept, "it is where the host looks for it");
    let with_quoter = artifacts(&of_host);
    assert_eq!(with_quoter.len(), served.len() + 1);
    fs::copy(&quoter, host.path("plugins/quoter.wasm")).unwrap();
    host.restart(&[]).await;
    assert_eq!(artifacts(&of_host), with_quoter, "the host has compiled nothing");

    // A host that has never run has no state, and inspecting is no reason to make one.
    fs::write(host.path("other.toml"), "state = \"other\"\n").unwrap();
    inspect(&echo, &["-c", "other.toml"]);
    assert!(!host.path("other").exists());
    // Others can write to this state.
    fs::create_dir_all(host.path("open/artifacts")).unwrap();
    fs::set_permissions(host.path("open/artifacts"), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(host.path("open.toml"), "state = \"open\"\n").unwrap();
    inspect(&echo, &["-c", "open.toml"]);
    assert_eq!((artifacts(&host.path("open/artifacts")), artifacts(&own)), (Vec::new(), kept));
}
