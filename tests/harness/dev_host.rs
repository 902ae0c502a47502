//! Starts and stops `coinslot dev`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use alloy::primitives::Address;
use serde_json::Value;

use crate::{ChainClient, RunningCommand, Wallet, binary};

/// A running `coinslot dev` on free ports. Dropping it kills the process; its log is printed when a test fails.
#[derive(Debug)]
pub struct DevHost {
    child: Child,
    dir: tempfile::TempDir,
    dev_json: Value,
    client: reqwest::Client,
}

/// The folder, the arguments and the environment that a [`DevHost`] starts with.
#[derive(Debug)]
pub struct DevHostBuilder {
    dir: tempfile::TempDir,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl DevHostBuilder {
    /// Copies a component into the plugin folder, under this file name.
    #[must_use]
    pub fn plugin(self, file: &str, component: &Path) -> Self {
        std::fs::copy(component, self.dir.path().join("plugins").join(file)).expect("a component to copy");
        self
    }

    /// The path of a file below the directory that the host will start in.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// Adds arguments of `coinslot dev`.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the host and waits until it serves.
    pub async fn start(self) -> DevHost {
        let log = std::fs::File::create(self.dir.path().join("log")).expect("a log file");
        let is_named = self.arguments.iter().any(|argument| argument == "--listen");
        let any_port: &[&str] = if is_named { &[] } else { &["--listen", "127.0.0.1:0"] };
        let child = Command::new(binary())
            .current_dir(self.dir.path())
            .arg("dev")
            .args(any_port)
            .args(&self.arguments)
            // A test is not a host that the user runs.
            .env("XDG_STATE_HOME", self.dir.path().join("state"))
            .envs(self.environment)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the coinslot binary");
        let mut host = DevHost { child, dir: self.dir, dev_json: Value::Null, client: reqwest::Client::new() };
        // A component of an interpreter is compiled beside whatever else the machine does.
        let deadline = Instant::now() + Duration::from_secs(300);
        loop {
            if let Ok(text) = std::fs::read_to_string(host.path(".coinslot/dev.json")) {
                host.dev_json = serde_json::from_str(&text).expect("dev.json is JSON");
                if host.dev_json["complete"] == true {
                    return host;
                }
            }
            if let Ok(Some(status)) = host.child.try_wait() {
                panic!("coinslot ended with {status}:\n{}", host.log());
            }
            assert!(Instant::now() < deadline, "coinslot does not serve in time:\n{}", host.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl DevHost {
    /// The id of the host's process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// A builder with an empty plugin folder.
    pub fn builder() -> DevHostBuilder {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(dir.path().join("plugins")).expect("a plugins folder");
        DevHostBuilder { dir, arguments: Vec::new(), environment: Vec::new() }
    }

    /// `http://127.0.0.1:PORT` and this path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.dev_json["url"].as_str().expect("dev.json has a url"))
    }

    /// The content of `dev.json`: addresses, keys and the token of the embedded chain.
    pub fn dev_json(&self) -> &Value {
        &self.dev_json
    }

    /// A plain HTTP client that does not pay.
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// The funded payer of this number, 0 to 3.
    pub fn payer(&self, index: usize) -> Wallet {
        let key = self.dev_json["payers"][index]["privateKey"].as_str().expect("a payer's key");
        Wallet::from_key(key)
    }

    /// The private key of the last funded payer, which pays gas in these tests; the others pay for answers.
    pub fn gas_key(&self) -> &str {
        self.dev_json["payers"][3]["privateKey"].as_str().expect("a payer's key")
    }

    /// Starts a `coinslot facilitator` that settles on this host's chain.
    pub fn facilitator(&self) -> RunningCommand {
        self.facilitator_with(&[])
    }

    /// Starts a `coinslot facilitator` on this host's chain, with more arguments.
    pub fn facilitator_with(&self, more: &[&str]) -> RunningCommand {
        let rpc = self.dev_json["rpc"].as_str().expect("rpc");
        let usual = ["facilitator", "--rpc", rpc, "--listen", "127.0.0.1:0", "--key-env", "TEST_GAS_KEY"];
        RunningCommand::start(self.dir.path(), &[&usual, more].concat(), &[("TEST_GAS_KEY", self.gas_key())])
    }

    /// The address that is paid.
    pub fn seller(&self) -> Address {
        self.dev_json["payTo"].as_str().expect("payTo").parse().expect("an address")
    }

    /// A client of the embedded chain.
    pub fn chain(&self) -> ChainClient {
        let asset = self.dev_json["asset"].as_str().expect("asset").parse().expect("an address");
        ChainClient::at(self.dev_json["rpc"].as_str().expect("rpc"), asset)
    }

    /// The path of a file below the host's directory.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// The output and the log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The states of all payments in the ledger, oldest first.
    pub fn ledger(&self) -> Vec<String> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let ledger =
            rusqlite::Connection::open_with_flags(self.path(".coinslot/dev-ledger.db"), flags).expect("the ledger");
        let mut rows = ledger.prepare("SELECT state FROM payment ORDER BY created_at").expect("the payments");
        let states = rows.query_map([], |row| row.get(0)).expect("their states");
        states.collect::<Result<_, _>>().expect("their states")
    }

    /// Waits until the payments have these states, oldest first: a delivery is recorded after the answer went out.
    pub async fn wait_for_ledger(&self, states: &[&str]) {
        // A component of an interpreter is compiled beside whatever else the machine does.
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.ledger() != states {
            assert!(Instant::now() < deadline, "the ledger has {:?}, not {states:?}:\n{}", self.ledger(), self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends SIGTERM, as a service manager does, and waits for the end. Returns the exit code.
    pub async fn stop(&mut self) -> Option<i32> {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a living process");
        // A component of an interpreter is compiled beside whatever else the machine does.
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "coinslot does not end in time:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for DevHost {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the host's log ---\n{}", self.log());
        }
    }
}
