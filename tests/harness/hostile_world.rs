//! A chain in this process with funded accounts, hosts that sell on it (`coinslot serve`, as an operator
//! runs it), and a client that pays as stock clients do.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy::primitives::{Address, U256, address};
use alloy::signers::local::PrivateKeySigner;
use coinslot_devnet::{CHAIN_ID, Devnet, DevnetConfig, USDC};
use coinslot_evm::Key;
use coinslot_facilitator::http::{Service, serve};
use coinslot_facilitator::local::{Local, LocalConfig};
use coinslot_x402::Network;
use coinslot_x402::price::Asset;
use serde_json::{Value, json};

use crate::{HostileChain, HostileFacilitator, Wallet, binary, decode, guest};

/// Who sells.
pub const SELLER: Address = address!("0x00000000000000000000000000000000005e11e5");

/// A chain and who is on it.
#[derive(Debug)]
pub struct Market {
    devnet: Devnet,
    payers: Vec<Wallet>,
    gas: Vec<PrivateKeySigner>,
    rival: PrivateKeySigner,
    client: reqwest::Client,
}

/// A running `coinslot serve`. Its log is printed when a test fails.
#[derive(Debug)]
pub struct Shop {
    child: Child,
    dir: tempfile::TempDir,
    url: String,
    /// Between it and the chain, if nobody else holds it.
    node: Option<HostileChain>,
}

/// How a purchase ended.
#[derive(Clone, Debug)]
pub struct Purchase {
    /// Of the tries with the payment, the last one included, those that differ from the one before; 0 where
    /// no answer came in time.
    pub statuses: Vec<u16>,
    /// Whether the last was an answer that was paid for.
    pub answer: Option<String>,
}

/// A row of the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub state: String,
    pub transaction: Option<String>,
}

impl Market {
    /// A block per transaction; four payers with a thousand dollars each, and two keys that pay gas.
    pub async fn open() -> Self {
        let payers: Vec<PrivateKeySigner> = (0..4).map(|_| PrivateKeySigner::random()).collect();
        let gas: Vec<PrivateKeySigner> = (0..2).map(|_| PrivateKeySigner::random()).collect();
        let rival = PrivateKeySigner::random();
        let ether = U256::from(10).pow(U256::from(18));
        let rich = payers.iter().map(|payer| (payer.address(), ether, U256::from(1_000_000_000)));
        let others = gas.iter().chain([&rival]).map(|key| (key.address(), ether, U256::ZERO));
        let funded = rich.chain(others).collect();
        let listen = "127.0.0.1:0".parse().expect("an address");
        let devnet = Devnet::start(DevnetConfig { listen, block_time: None, funded }).await.expect("the chain starts");
        let payers = payers.iter().map(|payer| Wallet::from_key(&hex_key(payer))).collect();
        Self { devnet, payers, gas, rival, client: reqwest::Client::new() }
    }

    /// One of those with money.
    pub fn payer(&self, index: usize) -> &Wallet {
        &self.payers[index]
    }

    /// A node of the chain that can be made hostile.
    pub async fn node(&self) -> HostileChain {
        HostileChain::start(self.devnet.rpc_url(), self.rival.clone()).await
    }

    /// A facilitator that can be made hostile, in front of an honest one with the gas key of this number.
    pub async fn facilitator(&self, gas: usize) -> HostileFacilitator {
        let network = Network::eip155(CHAIN_ID);
        let asset = Asset::known(&network, None).expect("known");
        let key = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(key.path(), hex_key(&self.gas[gas])).expect("a key file");
        let rpc = self.devnet.rpc_url().parse().expect("a URL");
        let mut config = LocalConfig::new(rpc, network, vec![asset], vec![Key::from_file(key.path()).expect("a key")]);
        config.chain.poll_interval = Duration::from_millis(20);
        let local = Local::connect(config).await.expect("connected");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let behind = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(serve(listener, Service::new(Arc::new(local)), std::future::pending()));
        HostileFacilitator::start(behind).await
    }

    /// A host that settles through these facilitators, the preferred first, with short time-outs.
    pub async fn shop_through(&self, component: &Path, facilitators: &[&HostileFacilitator]) -> Shop {
        let names: Vec<String> = (0..facilitators.len()).map(|index| format!("\"f{index}\"")).collect();
        let mut config = accept(&format!("[{}]", names.join(", ")));
        for (index, facilitator) in facilitators.iter().enumerate() {
            config.push_str(&format!(
                "[facilitator.f{index}]\nurl = \"{}\"\nverify_timeout_ms = 1000\nsettle_timeout_ms = 1500\n",
                facilitator.url()
            ));
        }
        Shop::open(component, &config, "").await
    }

    /// A host that settles through this facilitator, and asks this node when it does not know the end.
    pub async fn shop_through_and_watching(
        &self,
        component: &Path,
        facilitator: &HostileFacilitator,
        node: &HostileChain,
    ) -> Shop {
        let config = format!(
            "{}[facilitator.f0]\nurl = \"{}\"\nrpc = \"{}\"\nverify_timeout_ms = 1000\nsettle_timeout_ms = 1500\n",
            accept("\"f0\""),
            facilitator.url(),
            node.url()
        );
        Shop::open(component, &config, "").await
    }

    /// A host that settles by itself, through this node.
    pub async fn shop_on(&self, component: &Path, node: &HostileChain) -> Shop {
        let config = format!(
            "{}[facilitator.own]\nrpc = \"{}\"\nkey_file = \"key\"\npoll_ms = 50\n",
            accept("\"own\""),
            node.url()
        );
        Shop::open(component, &config, &hex_key(&self.gas[0])).await
    }

    /// A host that sells these guests, with more in its configuration, and settles by itself.
    pub async fn shop(&self, guests: &[&str], more: &str) -> Shop {
        let node = self.node().await;
        let config = format!(
            "{}[facilitator.own]\nrpc = \"{}\"\nkey_file = \"key\"\npoll_ms = 50\n{more}",
            accept("\"own\""),
            node.url()
        );
        let components: Vec<_> = guests.iter().map(|name| (format!("{name}.wasm"), guest(name))).collect();
        let mut shop = Shop::open_with(&components, &config, &hex_key(&self.gas[0])).await;
        shop.node = Some(node);
        shop
    }

    /// Dollars of an account, in atomic units.
    pub async fn balance(&self, account: Address) -> u64 {
        let data = format!("0x70a08231{:0>64}", hex::encode(account));
        let call =
            json!({"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [{"to": USDC, "data": data}, "latest"]});
        let asked = self.client.post(self.devnet.rpc_url()).json(&call).send().await.expect("the chain");
        let answer: Value = asked.json().await.expect("JSON");
        let balance: U256 = serde_json::from_value(answer["result"].clone()).expect("a number");
        balance.to()
    }

    /// Transfers to the seller, by their number of cents: every story sells for one cent.
    pub async fn charges(&self) -> usize {
        usize::try_from(self.balance(SELLER).await / 10_000).expect("a number")
    }
}

fn hex_key(key: &PrivateKeySigner) -> String {
    alloy::primitives::hex::encode_prefixed(key.to_bytes())
}

fn accept(facilitator: &str) -> String {
    format!(
        "listen = \"127.0.0.1:0\"\n[[accept]]\nnetwork = \"eip155:84532\"\npay_to = \"{}\"\nfacilitator = {facilitator}\n",
        SELLER.to_checksum(None)
    )
}

impl Shop {
    async fn open(component: &Path, config: &str, gas_key: &str) -> Self {
        Self::open_with(&[("plugin.wasm".to_owned(), component.to_owned())], config, gas_key).await
    }

    async fn open_with(components: &[(String, PathBuf)], config: &str, gas_key: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("plugins")).expect("a folder");
        for (name, component) in components {
            std::fs::copy(component, dir.path().join("plugins").join(name)).expect("a component");
        }
        std::fs::write(dir.path().join("key"), gas_key).expect("a key file");
        std::fs::write(dir.path().join("coinslot.toml"), config).expect("a file");
        let child = spawn(dir.path(), &[]);
        let mut shop = Self { child, dir, url: String::new(), node: None };
        shop.serves(0).await;
        shop
    }

    /// Waits until it serves, and says so in its log after this many bytes.
    async fn serves(&mut self, said: usize) {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            if let Some((_, rest)) = self.log()[said..].split_once("serving on ")
                && let Some((url, _)) = rest.split_once(',')
            {
                url.clone_into(&mut self.url);
                return;
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("coinslot ended with {status}:\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "coinslot does not serve:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it has been killed, by itself or by us.
    pub async fn died(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !matches!(self.child.try_wait(), Ok(Some(_))) {
            assert!(Instant::now() < deadline, "coinslot lives:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills it if it lives, and starts it again on the same files, with these variables.
    pub async fn restart(&mut self, variables: &[(&str, &str)]) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let said = self.log().len();
        self.child = spawn(self.dir.path(), variables);
        self.serves(said).await;
    }

    /// Kills it if it lives. Started again, it ends by itself and says this.
    pub async fn refuses_to_start(&mut self, why: &str) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let said = self.log().len();
        self.child = spawn(self.dir.path(), &[]);
        self.died().await;
        assert!(self.log()[said..].contains(why), "it does not say {why}:\n{}", self.log());
    }

    /// A file below its directory.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// `http://127.0.0.1:PORT` and this path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// What it printed and logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Waits until its log says this so many times.
    pub async fn says(&self, what: &str, times: usize) {
        let deadline = Instant::now() + Duration::from_secs(90);
        while self.log().matches(what).count() < times {
            assert!(Instant::now() < deadline, "the log does not say {times} times: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Its configuration.
    pub fn configuration(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("coinslot.toml")).expect("a file")
    }

    /// Puts this in the place of its configuration, in one step.
    pub fn configure(&self, text: &str) {
        let part = self.dir.path().join("part.toml");
        std::fs::write(&part, text).expect("a file");
        std::fs::rename(part, self.dir.path().join("coinslot.toml")).expect("a rename");
    }

    /// Its plugin folder.
    pub fn folder(&self) -> PathBuf {
        self.dir.path().join("plugins")
    }

    /// Puts other bytes of the same guest in place of those that are served.
    pub fn rebuild(&self, name: &str) {
        let mut bytes = std::fs::read(guest(name)).expect("a component");
        // A custom section of one byte, named `x`.
        bytes.extend([0, 3, 1, b'x', 0]);
        self.install(&format!("{name}.wasm"), &bytes);
    }

    /// Puts a component into the plugin folder in one step; returns when.
    pub fn install(&self, file: &str, bytes: &[u8]) -> Instant {
        let part = self.dir.path().join("part");
        std::fs::write(&part, bytes).expect("a file");
        let now = Instant::now();
        std::fs::rename(part, self.dir.path().join("plugins").join(file)).expect("a rename");
        now
    }

    /// Sends it a signal: `TERM`, `HUP`.
    pub fn signal(&self, name: &str) {
        let kill = Command::new("kill").args([format!("-{name}"), self.process().to_string()]).status();
        assert!(kill.expect("kill").success());
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// What the host's own memory takes, in bytes, without files that are mapped. The most is counted from here.
    pub fn memory(&self) -> u64 {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").expect("our own process");
        self.status("RssAnon:")
    }

    /// The most that was resident since then, in bytes, without files that are mapped now.
    pub fn most_memory(&self) -> u64 {
        self.status("VmHWM:") - self.status("RssFile:")
    }

    fn status(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("Linux says so");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    /// How often the guest `echo` ran.
    pub fn runs(&self) -> usize {
        self.runs_of("echo")
    }

    /// How often this guest ran, of those that say so.
    pub fn runs_of(&self, guest: &str) -> usize {
        let said = match guest {
            "echo" => "echo got",
            "upfront" => "upfront ran",
            "trap" => "about to trap",
            other => panic!("{other} does not say that it runs"),
        };
        self.log().matches(said).count()
    }

    /// All payments in its ledger, oldest first.
    pub fn ledger(&self) -> Vec<Row> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let file = self.dir.path().join(".coinslot/ledger.db");
        let books = rusqlite::Connection::open_with_flags(file, flags).expect("the ledger");
        let mut rows = books.prepare("SELECT state, tx FROM payment ORDER BY created_at").expect("the payments");
        let rows = rows.query_map([], |row| Ok(Row { state: row.get(0)?, transaction: row.get(1)? }));
        rows.expect("the rows").collect::<Result<_, _>>().expect("the rows")
    }

    /// Payments in this state.
    pub fn count(&self, state: &str) -> usize {
        self.ledger().iter().filter(|row| row.state == state).count()
    }

    /// Buys one answer: signs once, and sends the same payment again for as long as it is told to (503, or
    /// 409 while it is at work) or hears nothing for five seconds, at most for `patience`.
    pub async fn sell(&self, payer: &Wallet, path: &str, patience: Duration) -> Purchase {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().expect("a client");
        let ask = || client.post(self.url(path)).body("mine");
        let challenge = ask().send().await.expect("a challenge");
        assert_eq!(challenge.status(), 402, "{}", self.log());
        let payment = payer.pay(&challenge).header();
        let deadline = Instant::now() + patience;
        let mut statuses = Vec::new();
        loop {
            let reply = ask().header("PAYMENT-SIGNATURE", &payment).send().await;
            let (status, again) = match &reply {
                Ok(reply) => {
                    let status = reply.status().as_u16();
                    let told = reply.headers().contains_key("retry-after");
                    (status, matches!(status, 503 | 409) && told)
                }
                Err(error) => {
                    assert!(error.is_timeout(), "the host hung up: {error:?}");
                    (0, true)
                }
            };
            if statuses.last() != Some(&status) {
                statuses.push(status);
            }
            if again && Instant::now() < deadline {
                // It is told how long to wait; a test has less time.
                tokio::time::sleep(Duration::from_millis(300)).await;
                continue;
            }
            let Ok(reply) = reply else { return Purchase { statuses, answer: None } };
            let paid = reply.status() == 200;
            if paid {
                let receipt = decode(reply.headers()["payment-response"].to_str().expect("ASCII"));
                assert_eq!(receipt["success"], true, "{receipt}");
            }
            let body = reply.text().await.expect("a body");
            return Purchase { statuses, answer: paid.then_some(body) };
        }
    }
}

/// `coinslot serve` in this directory, its log added to what is there.
fn spawn(dir: &Path, variables: &[(&str, &str)]) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(dir.join("log")).expect("a log file");
    Command::new(binary())
        .current_dir(dir)
        .arg("serve")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .spawn()
        .expect("the coinslot binary")
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the host's log ---\n{}", self.log());
        }
    }
}
