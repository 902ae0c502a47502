//! Compiles components in a child process, the subcommand `compile` of the executable.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use coinslot_plugin::{LoadError, Plugin, PluginPolicies, Runtime, RuntimeConfig};
use coinslot_tests::{DevHost, TestChain, binary, component, guest};

async fn load(compiler: impl Into<PathBuf>, wasm: &[u8]) -> Result<Plugin, LoadError> {
    let dir = tempfile::tempdir().unwrap();
    let mut config = RuntimeConfig::new(dir.path(), |_| false);
    config.instances = 1;
    config.compiler = Some(compiler.into());
    let loaded = Runtime::new(config).unwrap().load(wasm, &PluginPolicies::default()).await;
    let is_artifact = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|is| is == "cwasm");
    let artifacts = std::fs::read_dir(dir.path()).unwrap().flatten().filter(is_artifact).count();
    assert_eq!(artifacts, usize::from(loaded.is_ok()), "a failure leaves no code behind");
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
    let LoadError::Invalid(reason) = load("/bin/false", &wasm).await.unwrap_err() else { panic!() };
    assert!(reason.contains("compil"), "{reason}");
    // What is wrong with the machine is not the component's fault, and is tried again.
    let LoadError::Unavailable(reason) = load("/nonexistent/coinslot", &wasm).await.unwrap_err() else { panic!() };
    assert!(reason.contains("compil"), "{reason}");
    // The header of an artifact tells it from any other output of a compiler.
    assert!(load("/bin/echo", &wasm).await.is_err());
}

/// A component that took minutes to fail took them again at each start.
#[tokio::test]
async fn a_compilation_that_failed_is_not_repeated_at_each_start_and_one_that_could_not_run_is() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (compiler, runs) = (dir.path().join("compiler"), dir.path().join("runs"));
    let artifacts = dir.path().join("artifacts");
    let start = async |status: u8| {
        let script = format!("#!/bin/sh\necho run >> {}\necho why not >&2\nexit {status}\n", runs.display());
        std::fs::write(&compiler, script).unwrap();
        std::fs::set_permissions(&compiler, std::fs::Permissions::from_mode(0o700)).unwrap();
        let mut config = RuntimeConfig::new(&artifacts, |_| false);
        config.instances = 1;
        config.compiler = Some(compiler.clone());
        let runtime = Runtime::new(config).unwrap();
        let error = runtime.load(&component("echo"), &PluginPolicies::default()).await.unwrap_err();
        (std::fs::read_to_string(&runs).unwrap().lines().count(), error)
    };
    // The child could not write its artifact.
    for count in [1, 2] {
        assert_eq!(start(74).await, (count, LoadError::Unavailable("why not".to_owned())));
    }
    assert_eq!(start(1).await, (3, LoadError::Invalid("why not".to_owned())));
    let (count, again) = start(1).await;
    assert_eq!(count, 3, "{again}");
    assert!(again.to_string().starts_with("why not (noted: "), "{again}");
    for note in std::fs::read_dir(&artifacts).unwrap().flatten() {
        std::fs::remove_file(note.path()).unwrap();
    }
    assert_eq!(start(1).await.0, 4, "somebody has removed the note");
}

/// Who stops a host, and a kernel without memory, end the compilations that run: their components must not count as
/// faulty for a day.
#[tokio::test]
async fn a_compilation_that_is_stopped_from_outside_is_no_fault_of_the_component() {
    let dir = tempfile::tempdir().unwrap();
    let compiler = dir.path().join("compiler");
    let artifacts = dir.path().join("artifacts");
    let load = async |script: String| {
        // Written by another process: one that this one starts meanwhile would inherit a file that is open for writing,
        // and a file that is open for writing cannot be executed.
        let write = ["-c", "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\" && chmod 700 \"$0\""];
        let written = Command::new("sh").args(write).arg(&compiler).arg(script).status();
        assert!(written.unwrap().success());
        let mut config = RuntimeConfig::new(&artifacts, |_| false);
        config.instances = 1;
        config.compiler = Some(compiler.clone());
        Runtime::new(config).unwrap().load(&component("echo"), &PluginPolicies::default()).await
    };
    // A signal that these tests ignore, as under nohup, is ignored by every process that they start.
    let killed_by = |signal: &str| format!("exec env --default-signal=HUP,INT,QUIT,TERM sh -c 'kill -s {signal} $$'");
    for signal in ["HUP", "INT", "QUIT", "KILL", "TERM"] {
        let error = load(killed_by(signal)).await.unwrap_err();
        assert!(matches!(&error, LoadError::Unavailable(why) if why.contains("from outside")), "{signal}: {error}");
    }
    let plugin = load(format!("exec {} \"$@\"", binary().display())).await.unwrap();
    assert_eq!(plugin.info().name, "echo", "it is compiled at the next try");
    std::fs::remove_dir_all(&artifacts).unwrap();
    // The limit of CPU time, and a fault of the compiler's own.
    for signal in ["XCPU", "SEGV"] {
        let error = load(killed_by(signal)).await.unwrap_err();
        assert!(matches!(&error, LoadError::Invalid(_)), "{signal}: {error}");
        let noted = load("exit 74".to_owned()).await.unwrap_err();
        assert!(noted.to_string().contains("(noted: "), "{signal}: {noted}");
        std::fs::remove_dir_all(&artifacts).unwrap();
    }
}

/// The priority of a process as `nice` counts it: the 19th field of its stat, the 17th behind the name.
fn niceness(process: u32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap()
}

#[test]
fn a_compilation_has_the_lowest_priority_if_it_is_told_so() {
    let own = niceness(std::process::id());
    for (more, expected) in [(&[][..], own), (&["--low-priority"], 19)] {
        let mut command = Command::new(binary());
        command.args(["compile", "--wasi", "0.2"]).args(more).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        // It reads the component, of which it gets nothing, after it has its priority.
        let deadline = Instant::now() + Duration::from_secs(20);
        while niceness(child.id()) != expected || !is_reading(child.id()) {
            assert!(Instant::now() < deadline, "{more:?}: {}", niceness(child.id()));
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// True if a process waits in a read of its standard input.
fn is_reading(process: u32) -> bool {
    let call = std::fs::read_to_string(format!("/proc/{process}/syscall")).unwrap_or_default();
    call.starts_with("0 0x0 ") || call.is_empty()
}

/// The arguments of the compilation that a host has begun, as soon as it has.
fn compilation_of(host: u32) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        for process in std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()) {
            let stat = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
            let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
            if parent == Some(host) {
                let line = std::fs::read_to_string(process.join("cmdline")).unwrap_or_default();
                let arguments: Vec<String> = line.split('\0').map(ToOwned::to_owned).collect();
                if arguments.get(1).is_some_and(|command| command == "compile") {
                    return arguments;
                }
            }
        }
        assert!(Instant::now() < deadline, "nothing is compiled");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// An author's save waited behind whatever else the machine did, although no request was served meanwhile.
#[tokio::test]
async fn dev_compiles_at_its_own_priority_and_serve_at_the_lowest() {
    let is_low = |process: u32| {
        let seen = tokio::task::spawn_blocking(move || compilation_of(process));
        async move { seen.await.unwrap().iter().any(|argument| argument == "--low-priority") }
    };
    let (cache, aurora) = (tempfile::tempdir().unwrap(), guest("aurora"));
    // Functions that are compiled already would make it too short to be seen.
    let dev = DevHost::builder().environment("XDG_CACHE_HOME", cache.path().to_str().unwrap()).start().await;
    let low = is_low(dev.process());
    std::fs::copy(&aurora, dev.path("plugins/aurora.wasm")).unwrap();
    assert!(!low.await, "{}", dev.log());
    let chain = TestChain::start().await;
    let serve = chain.serve(&["echo"], "").await;
    let low = is_low(serve.process());
    serve.install("aurora.wasm", &component("aurora"));
    assert!(low.await, "{}", serve.log());
}

#[test]
fn compile_refuses_unknown_arguments() {
    for arguments in [
        &["compile"][..],
        &["compile", "--wasi", "0.4"],
        &["compile", "--wasi", "0.2", "x"],
        &["compile", "--wasi", "0.3", "--carry", "some"],
        &["compile", "--wasi", "0.3", "--carry", "this", "--functions", "."],
    ] {
        let status = Command::new(binary()).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).status();
        assert!(!status.unwrap().success());
    }
}
