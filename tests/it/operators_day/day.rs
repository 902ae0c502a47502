//! The day: a host that sells, gives, owes, fails and pays back, and everybody who has to do with it.

use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::sol_types::SolValue;
use coinslot_devnet::USDC;
use coinslot_tests::{FaultyNode, NodeFault, ServeHost, TestChain, Wallet, component, random_word, run};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::admin::{ask, becomes};

/// The money of the wallet of refunds at first, in atomic units.
pub(super) const WALLET_HAS: u64 = 10_000_000;

/// The longest time of a day.
const LONGEST: Duration = Duration::from_secs(240);

/// The price of an answer at first, and later of `status`, in atomic units.
pub(super) const CENT: u64 = 10_000;
const LATER: u64 = 3_000;

/// A host, its chain, and what its clients know of the day.
pub(super) struct Day {
    pub(super) chain: TestChain,
    node: FaultyNode,
    pub(super) host: ServeHost,
    /// The wallet of refunds.
    pub(super) wallet: Wallet,
    _key: tempfile::NamedTempFile,
    begun: Instant,
    /// The requests that were sent.
    pub(super) requests: u64,
    /// Those that were paid for and answered.
    pub(super) paid: u64,
    /// The money that moved, in atomic units, and by how many payments.
    pub(super) received: u64,
    pub(super) moved: u64,
    /// Payments that were claimed, and refused before anything ran.
    pub(super) refused: u64,
}

impl Day {
    /// A host with four plugins, a wallet of refunds, and two free requests for each address at one of them.
    pub(super) async fn begin() -> Self {
        let chain = TestChain::start().await;
        let node = chain.node().await;
        let secret = random_word().to_string();
        let key = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(key.path(), &secret).expect("a key file");
        let config = format!(
            "[admin]\nlisten = \"127.0.0.1:0\"\n[refunds]\nkey_file = \"{}\"\ndaily_budget = \"$20\"\n\
             [[allow]]\nplugin = \"echo\"\nrequests = 2\nper = \"address\"\nevery = \"1d\"\n",
            key.path().display()
        );
        let host = chain.serve_guests_on(&["status", "upfront", "unruly", "echo"], &node, &config).await;
        let wallet = Wallet::from_key(&secret);
        let day = Self {
            chain,
            node,
            host,
            wallet,
            _key: key,
            begun: Instant::now(),
            requests: 0,
            paid: 0,
            received: 0,
            moved: 0,
            refused: 0,
        };
        let ether = U256::from(10).pow(U256::from(18));
        day.chain.client().call("anvil_setBalance", json!([day.wallet.address(), ether])).await;
        day.set_dollars(day.wallet.address(), WALLET_HAS).await;
        day
    }

    async fn set_dollars(&self, account: Address, amount: u64) {
        let slot = keccak256((account, U256::ZERO).abi_encode());
        let value = B256::from(U256::from(amount));
        self.chain.client().call("anvil_setStorageAt", json!([USDC, slot, value])).await;
    }

    /// Sends one request, with or without a payment.
    async fn send(&mut self, request: RequestBuilder) -> Response {
        self.requests += 1;
        request.send().await.expect("an answer")
    }

    fn ask(&self, path: &str, order: &str) -> RequestBuilder {
        Client::new().post(self.host.url(path)).header("x-do", order).body("mine")
    }

    /// Has a payer sign what the host asks for.
    async fn signed(&mut self, payer: usize, path: &str, order: &str) -> (String, u64) {
        let ask = self.ask(path, order);
        let challenge = self.send(ask).await;
        assert_eq!(challenge.status(), 402, "{path}: {}", self.host.log());
        let payment = self.chain.payer(payer).pay(&challenge);
        let price = payment.document["accepted"]["amount"].as_str().expect("an amount").parse().expect("a number");
        (payment.header(), price)
    }

    /// Buys at this path. Returns the status of the answer to the payment.
    async fn buy(&mut self, path: &str, order: &str) -> u16 {
        let payer = usize::try_from(self.requests % 3).expect("a number");
        let (payment, price) = self.signed(payer, path, order).await;
        let ask = self.ask(path, order).header("PAYMENT-SIGNATURE", payment);
        let answer = self.send(ask).await;
        if answer.headers().contains_key("payment-response") {
            self.received += price;
            self.moved += 1;
        }
        self.paid += u64::from(answer.status() == 200);
        answer.status().as_u16()
    }

    /// People look, and some pay; a page is asked for that is not there.
    pub(super) async fn morning(&mut self) {
        for _ in 0..3 {
            let ask = self.ask("/status", "");
            assert_eq!(self.send(ask).await.status(), 402);
        }
        for _ in 0..3 {
            assert_eq!(self.buy("/status", "").await, 200);
        }
        let nowhere = Client::new().get(self.host.url("/nowhere"));
        assert_eq!(self.send(nowhere).await.status(), 404);
    }

    /// A new build comes and is rolled back; then another price is set. Customers pay all the time.
    pub(super) async fn changes(&mut self) {
        let mut build = component("status");
        build.extend([0, 3, 1, b'x', 0]);
        self.host.install("status.wasm", &build);
        assert_eq!(self.buy("/status", "").await, 200);
        let has_previous = |files: &Value| {
            let mut files = files.as_array().into_iter().flatten();
            files.any(|one| one["file"] == "status.wasm" && !one["previous"].is_null())
        };
        becomes(&self.host, "/api/v1/plugins", has_previous).await;
        assert_eq!(self.buy("/status", "").await, 200);
        let rolled = run(&self.host.path(""), &["plugins", "rollback", "status"]);
        assert!(rolled.status.success(), "{rolled:?}");
        assert_eq!(self.buy("/status", "").await, 200);
        let price = "[plugin.status.routes.\"POST /status\"]\nprice = \"0.003\"\n";
        self.host.write_configuration(&format!("{}{price}", self.host.configuration()));
        becomes(&self.host, "/api/v1/plugins", |files| files.to_string().contains("0.003 USDC")).await;
        for _ in 0..2 {
            assert_eq!(self.buy("/status", "").await, 200);
        }
        assert_eq!(self.received, 6 * CENT + 2 * LATER);
    }

    /// Some requests are free: by address, and by the key of a customer.
    pub(super) async fn gifts(&mut self) {
        for status in [200, 200, 402] {
            let ask = self.ask("/echo", "");
            assert_eq!(self.send(ask).await.status(), status, "{}", self.host.log());
        }
        let made = run(&self.host.path(""), &["keys", "add", "acme", "--quota", "5", "--every", "1d"]);
        assert!(made.status.success(), "{made:?}");
        let made: Value = serde_json::from_slice(&made.stdout).expect("JSON, since it is piped");
        let key = made["key"].as_str().expect("the key");
        for _ in 0..3 {
            let ask = self.ask("/status", "").header("X-API-Key", key);
            assert_eq!(self.send(ask).await.status(), 200, "{}", self.host.log());
        }
    }

    /// A plugin fails, two answers are owed of which one is fetched, a broken file is dropped in, and a payment is bad.
    pub(super) async fn failures(&mut self) {
        for _ in 0..2 {
            assert_eq!(self.buy("/unruly?recurse", "").await, 500);
        }
        let (payment, price) = self.signed(0, "/upfront", "500").await;
        for (order, status) in [("500", 500), ("", 200)] {
            let ask = self.ask("/upfront", order).header("PAYMENT-SIGNATURE", &payment);
            assert_eq!(self.send(ask).await.status(), status, "{}", self.host.log());
        }
        self.received += price;
        self.moved += 1;
        self.paid += 1;
        for _ in 0..2 {
            assert_eq!(self.buy("/upfront", "trap").await, 500);
        }
        self.host.install("broken.wasm", b"not a component");
        let bad = self.ask("/status", "").header("PAYMENT-SIGNATURE", "bm90IGpzb24=");
        assert_eq!(self.send(bad).await.status(), 400);
    }

    /// The answer to a settlement is lost, and a payment of someone without money is refused.
    pub(super) async fn settlements(&mut self) {
        self.node.next("eth_sendRawTransaction", NodeFault::LoseReply, 1);
        let (before, status) = (self.received, self.buy("/status", "").await);
        assert!([200, 503].contains(&status), "{status}");
        if self.received == before {
            self.received += LATER;
            self.moved += 1;
        }
        let challenge = {
            let ask = self.ask("/status", "");
            self.send(ask).await
        };
        let ask = self.ask("/status", "").header("PAYMENT-SIGNATURE", Wallet::poor().pay(&challenge).header());
        assert_eq!(self.send(ask).await.status(), 402, "{}", self.host.log());
        self.refused += 1;
    }

    /// One of the owed answers is paid back.
    pub(super) async fn refund(&mut self) {
        let owed = ask(&self.host, "/api/v1/owed").await;
        let id = owed[0]["paymentId"].as_str().expect("an owed answer").to_owned();
        let url = format!("{}/api/v1/owed/refund", self.host.admin());
        let ordered = Client::new().post(url).json(&json!({ "payment": id })).send().await.expect("an answer");
        assert_eq!(ordered.status(), 200, "{}", self.host.log());
        self.until("it is paid back", || self.host.count("refunded") == 1).await;
    }

    /// Waits until every payment has its end.
    pub(super) async fn ends(&self) {
        let open = ["reserved", "executing", "settling", "unknown", "refunding"];
        self.until("all have an end", || open.iter().all(|state| self.host.count(state) == 0)).await;
    }

    /// Waits a moment, unless the day is over.
    pub(super) async fn has_time(&self, what: &str) {
        assert!(self.begun.elapsed() < LONGEST, "not in time: {what}\n{}", self.host.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        while !holds() {
            self.has_time(what).await;
        }
    }
}
