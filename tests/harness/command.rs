//! Runs commands of the `coinslot` binary, to their end or until the test drops them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// Runs a command to its end in a directory, without input. What the user's folders would keep is kept in this
/// directory.
///
/// # Panics
/// If there is no binary.
pub fn run(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.current_dir(dir).args(arguments).env("XDG_STATE_HOME", dir.join("state"));
    command.stdin(Stdio::null()).output().expect("the coinslot binary")
}

/// A command that keeps running, such as `serve`. Dropping it kills the process; its log is printed when a test fails.
#[derive(Debug)]
pub struct RunningCommand {
    child: Child,
    url: String,
    log: PathBuf,
    /// The pipe of its standard output. It stays open because a command cannot print into a closed pipe.
    _out: BufReader<ChildStdout>,
}

impl RunningCommand {
    /// Starts a command in a directory and waits for the line that names its address. Its log goes to `COMMAND.log`
    /// in that directory.
    ///
    /// # Panics
    /// If the command ends before it prints the line.
    pub fn start(dir: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let log = dir.join(format!("{}.log", arguments[0]));
        let mut child = Command::new(binary())
            .current_dir(dir)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).expect("a log"))
            .spawn()
            .expect("the coinslot binary");
        let mut out = BufReader::new(child.stdout.take().expect("its output"));
        let mut printed = Vec::new();
        let mut line = String::new();
        while out.read_line(&mut line).expect("text") > 0 {
            if let Some(at) = line.find("on http://127.0.0.1:").or_else(|| line.find("on https://127.0.0.1:")) {
                let url = line[at + 3..].split([' ', ',']).next().expect("an address").trim().to_owned();
                return Self { child, url, log, _out: out };
            }
            printed.push(std::mem::take(&mut line));
        }
        let _ = child.wait();
        panic!("the command ended early: {printed:?}\n{}", std::fs::read_to_string(log).unwrap_or_default());
    }

    /// The address that it listens on, `http://127.0.0.1:PORT` or `https://127.0.0.1:PORT`, followed by this path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {} ---\n{}", self.log.display(), self.log());
        }
    }
}

/// The path of the host under test, a binary of this package that cargo builds before the tests.
///
/// # Panics
/// If the binary is missing, for example because one test target alone was built.
pub fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("a path of this test");
    // A test is in target/PROFILE/deps, a benchmark beside the host.
    let beside = own.parent().expect("target/PROFILE");
    let dir = if beside.ends_with("deps") { beside.parent().expect("target/PROFILE") } else { beside };
    let binary = dir.join("coinslot-under-test");
    assert!(binary.is_file(), "{} is missing: run the tests with `cargo test`", binary.display());
    binary
}
