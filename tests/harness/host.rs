//! Starting and stopping hosts.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, U256};
use serde_json::{Value, json};

use crate::{Running, Wallet, binary};

/// A running `coinslot dev` on free ports. Its log is printed when a test fails.
#[derive(Debug)]
pub struct Host {
    child: Child,
    dir: tempfile::TempDir,
    facts: Value,
    client: reqwest::Client,
}

/// What a host is started with.
#[derive(Debug)]
pub struct HostBuilder {
    dir: tempfile::TempDir,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// A development chain, as anybody sees it.
#[derive(Clone, Debug)]
pub struct Chain {
    rpc: String,
    asset: Address,
    client: reqwest::Client,
}

impl HostBuilder {
    /// With this component in its folder, under this file name.
    #[must_use]
    pub fn plugin(self, file: &str, component: &Path) -> Self {
        std::fs::copy(component, self.dir.path().join("plugins").join(file)).expect("a component to copy");
        self
    }

    /// A file below the directory that the host will start in.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// With these arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// With this variable.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it and waits until it serves.
    pub async fn start(self) -> Host {
        let log = std::fs::File::create(self.dir.path().join("log")).expect("a log file");
        let child = Command::new(binary())
            .current_dir(self.dir.path())
            .args(["dev", "--listen", "127.0.0.1:0"])
            .args(&self.arguments)
            .envs(self.environment)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the coinslot binary");
        let mut host = Host { child, dir: self.dir, facts: Value::Null, client: reqwest::Client::new() };
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            if let Ok(text) = std::fs::read_to_string(host.path(".coinslot/dev.json")) {
                host.facts = serde_json::from_str(&text).expect("dev.json is JSON");
                return host;
            }
            if let Ok(Some(status)) = host.child.try_wait() {
                panic!("coinslot ended with {status}:\n{}", host.log());
            }
            assert!(Instant::now() < deadline, "coinslot does not serve:\n{}", host.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Host {
    /// A host with an empty plugins folder.
    pub fn builder() -> HostBuilder {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(dir.path().join("plugins")).expect("a plugins folder");
        HostBuilder { dir, arguments: Vec::new(), environment: Vec::new() }
    }

    /// `http://127.0.0.1:PORT` and this path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.facts["url"].as_str().expect("dev.json has a url"))
    }

    /// What dev.json says.
    pub fn facts(&self) -> &Value {
        &self.facts
    }

    /// A client that follows nothing and pays nothing.
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// The first funded payer, or another of them.
    pub fn payer(&self, index: usize) -> Wallet {
        let key = self.facts["payers"][index]["privateKey"].as_str().expect("a payer's key");
        Wallet::from_key(key)
    }

    /// The key of the last funded payer. It pays gas for others; the first ones pay for answers.
    pub fn gas_key(&self) -> &str {
        self.facts["payers"][3]["privateKey"].as_str().expect("a payer's key")
    }

    /// A facilitator over HTTP that settles on this host's chain.
    pub fn facilitator(&self) -> Running {
        self.facilitator_with(&[])
    }

    /// The same, told more.
    pub fn facilitator_with(&self, more: &[&str]) -> Running {
        let rpc = self.facts["rpc"].as_str().expect("rpc");
        let usual = ["facilitator", "--rpc", rpc, "--listen", "127.0.0.1:0", "--key-env", "TEST_GAS_KEY"];
        Running::start(self.dir.path(), &[&usual, more].concat(), &[("TEST_GAS_KEY", self.gas_key())])
    }

    /// The seller's address.
    pub fn seller(&self) -> Address {
        self.facts["payTo"].as_str().expect("payTo").parse().expect("an address")
    }

    /// The chain behind it.
    pub fn chain(&self) -> Chain {
        Chain {
            rpc: self.facts["rpc"].as_str().expect("rpc").to_owned(),
            asset: self.facts["asset"].as_str().expect("asset").parse().expect("an address"),
            client: self.client.clone(),
        }
    }

    /// A file below the host's directory.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// What it printed and logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// States of all payments in its ledger, oldest first.
    pub fn ledger(&self) -> Vec<String> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let books =
            rusqlite::Connection::open_with_flags(self.path(".coinslot/dev-ledger.db"), flags).expect("the ledger");
        let mut rows = books.prepare("SELECT state FROM payment ORDER BY created_at").expect("the payments");
        let states = rows.query_map([], |row| row.get(0)).expect("their states");
        states.collect::<Result<_, _>>().expect("their states")
    }

    /// Waits until the states of all payments are these: deliveries are written after the answer went out.
    pub async fn ledger_becomes(&self, states: &[&str]) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.ledger() != states {
            assert!(Instant::now() < deadline, "the ledger has {:?}, not {states:?}:\n{}", self.ledger(), self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks it to end as a service manager does, and waits. Gives its exit code.
    pub async fn stop(&mut self) -> Option<i32> {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a living process");
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "coinslot does not end:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the host's log ---\n{}", self.log());
        }
    }
}

impl Chain {
    /// The chain behind a JSON-RPC, with its USDC stand-in.
    pub fn at(rpc: &str, asset: Address) -> Self {
        Self { rpc: rpc.to_owned(), asset, client: reqwest::Client::new() }
    }

    /// One JSON-RPC call.
    pub async fn call(&self, method: &str, params: Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer: Value =
            self.client.post(&self.rpc).json(&request).send().await.expect("the chain").json().await.expect("JSON");
        assert!(answer.get("error").is_none_or(Value::is_null), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Waits until a block has just been made, so that the next one is a block time away.
    pub async fn next_block(&self) {
        let block = async || self.call("eth_blockNumber", json!([])).await;
        let before = block().await;
        while block().await == before {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Balance of the USDC stand-in, in atomic units.
    pub async fn balance(&self, account: Address) -> U256 {
        let data = format!("0x70a08231{:0>64}", hex::encode(account));
        let result = self.call("eth_call", json!([{ "to": self.asset, "data": data }, "latest"])).await;
        result.as_str().expect("a word").parse().expect("a number")
    }

    /// The receipt of a transaction.
    pub async fn receipt(&self, transaction: &str) -> Value {
        let _: B256 = transaction.parse().expect("a transaction hash");
        self.call("eth_getTransactionReceipt", json!([transaction])).await
    }
}
