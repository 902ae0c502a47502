//! Starts a seller whose answers are owed, and a wallet that pays them back; asks host, ledger and chain about both.

use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, U256, address, hex, keccak256};
use alloy::sol_types::SolValue;
use coinslot_devnet::USDC;
use coinslot_tests::{FaultyNode, ServeHost, TestChain, Wallet, random_word, run};
use serde_json::{Value, json};

use super::{CENT, PATIENCE, WALLET_HAS};

/// The place of the token's own code while the token refuses an account.
const CODE: Address = address!("0x00000000000000000000000000000000000c0de5");

/// A host that sells answers of the guest `upfront`, and a wallet that pays them back.
pub(crate) struct Seller {
    pub(crate) chain: TestChain,
    pub(crate) node: FaultyNode,
    /// The wallet of refunds.
    pub(crate) wallet: Wallet,
    pub(crate) host: ServeHost,
    pub(crate) key: tempfile::NamedTempFile,
}

/// An answer that is owed.
#[derive(Clone, Debug)]
pub(crate) struct Debt {
    pub(crate) id: String,
    /// The value of the payment's header.
    pub(crate) payment: String,
    pub(crate) payer: Address,
}

/// A transfer out of the wallet, as the chain logged it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) to: Address,
    pub(crate) amount: U256,
    pub(crate) transaction: String,
}

impl Seller {
    /// Starts a host with these lines in `[refunds]`. The wallet has an ether and ten dollars.
    pub(crate) async fn start(refunds: &str) -> Self {
        Self::start_with(refunds, "").await
    }

    /// The same, with more tables of the configuration.
    pub(crate) async fn start_with(refunds: &str, more: &str) -> Self {
        let chain = TestChain::start().await;
        let node = chain.node().await;
        let secret = random_word().to_string();
        let key = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(key.path(), &secret).expect("a key file");
        let config = format!(
            "[admin]\nlisten = \"127.0.0.1:0\"\n[refunds]\nkey_file = \"{}\"\n{refunds}{more}",
            key.path().display()
        );
        let host = chain.serve_guests_on(&["upfront"], &node, &config).await;
        let seller = Self { chain, node, wallet: Wallet::from_key(&secret), host, key };
        seller.set_ether(U256::from(10).pow(U256::from(18))).await;
        seller.set_dollars(seller.wallet.address(), WALLET_HAS).await;
        seller
    }

    /// Asks the chain itself.
    pub(crate) async fn ask_chain(&self, method: &str, params: Value) -> Value {
        self.chain.client().call(method, params).await
    }

    /// Sets what the wallet has for gas.
    pub(crate) async fn set_ether(&self, wei: U256) {
        self.ask_chain("anvil_setBalance", json!([self.wallet.address(), wei])).await;
    }

    pub(crate) async fn set_dollars(&self, account: Address, amount: u64) {
        let slot = keccak256((account, U256::ZERO).abi_encode());
        self.ask_chain("anvil_setStorageAt", json!([USDC, slot, B256::from(U256::from(amount))])).await;
    }

    /// Has the token revert every transfer to an account, as USDC does while the account is on its list.
    pub(crate) async fn block(&self, account: Address) {
        let code = self.ask_chain("eth_getCode", json!([USDC, "latest"])).await;
        self.ask_chain("anvil_setCode", json!([CODE, code])).await;
        // `transfer` to the account reverts; every other call is one of the code that was there.
        let (account, code) = (hex::encode(account), hex::encode(CODE));
        let refuses = format!(
            "0x5f3560e01c63a9059cbb1460043573{account}141660555736\
             5f5f375f5f365f73{code}5af43d5f5f3e6051573d5ffd5b3d5ff35b5f5ffd"
        );
        self.ask_chain("anvil_setCode", json!([USDC, refuses])).await;
    }

    /// Has the token be what it was.
    pub(crate) async fn unblock(&self) {
        let code = self.ask_chain("eth_getCode", json!([CODE, "latest"])).await;
        self.ask_chain("anvil_setCode", json!([USDC, code])).await;
    }

    /// The dollars of the wallet of refunds.
    pub(crate) async fn wallet_has(&self) -> u64 {
        self.chain.balance(self.wallet.address()).await
    }

    /// The transactions of the wallet in blocks.
    pub(crate) async fn used_nonces(&self) -> u64 {
        let count = self.ask_chain("eth_getTransactionCount", json!([self.wallet.address(), "latest"])).await;
        serde_json::from_value::<U256>(count).expect("a number").to()
    }

    /// Every transfer of dollars out of the wallet, by the chain's logs.
    pub(crate) async fn sent(&self) -> Vec<Sent> {
        let topics = json!([keccak256("Transfer(address,address,uint256)"), self.wallet.address().into_word()]);
        let filter = json!({ "address": USDC, "fromBlock": "0x0", "toBlock": "latest", "topics": topics });
        let logs = self.ask_chain("eth_getLogs", json!([filter])).await;
        let of_log = |log: &Value| Sent {
            to: Address::from_word(serde_json::from_value(log["topics"][2].clone()).expect("a word")),
            amount: serde_json::from_value(log["data"].clone()).expect("a number"),
            transaction: log["transactionHash"].as_str().expect("a hash").to_owned(),
        };
        logs.as_array().expect("a list").iter().map(of_log).collect()
    }

    /// Asserts that the chain has one transfer out of the wallet, which pays this debt.
    pub(crate) async fn paid_back_once(&self, debt: &Debt) {
        let sent = self.sent().await;
        let is_it = matches!(&*sent, [one] if one.to == debt.payer && one.amount == U256::from(CENT));
        assert!(is_it, "{sent:?}\n{}", self.host.log());
        assert_eq!(self.wallet_has().await, WALLET_HAS - CENT);
    }

    /// Asserts that nothing was sent, and that the payer gets the answer for the payment.
    pub(crate) async fn sent_nothing_and_owes(&self, debt: &Debt) {
        assert_eq!((self.sent().await, self.used_nonces().await), (Vec::new(), 0));
        assert_eq!(self.state(debt), "owed");
        let (status, body) = self.present(debt).await;
        assert_eq!(status, 200, "{body}");
    }

    /// Has a payer pay for an answer that the guest does not give.
    pub(crate) async fn owe(&self, payer: usize) -> Debt {
        let payer = self.chain.payer(payer);
        let client = reqwest::Client::new();
        let challenge = client.post(self.host.url("/upfront")).body("mine").send().await.expect("a challenge");
        assert_eq!(challenge.status(), 402, "{}", self.host.log());
        let payment = payer.pay(&challenge).header();
        let paid = self.request(&payment).header("x-do", "500").send().await.expect("an answer");
        assert_eq!(paid.status(), 500, "{}", self.host.log());
        let id = paid.headers()["x-coinslot-payment-id"].to_str().expect("ASCII").to_owned();
        let debt = Debt { id, payment, payer: payer.address() };
        self.until(&debt, "owed").await;
        debt
    }

    pub(crate) fn request(&self, payment: &str) -> reqwest::RequestBuilder {
        reqwest::Client::new().post(self.host.url("/upfront")).body("mine").header("PAYMENT-SIGNATURE", payment)
    }

    /// Sends the payment of a debt again, once. Returns the status and the body.
    pub(crate) async fn present(&self, debt: &Debt) -> (u16, Value) {
        let reply = self.request(&debt.payment).send().await.expect("an answer");
        (reply.status().as_u16(), reply.json().await.expect("JSON"))
    }

    /// The state of a payment in the ledger.
    pub(crate) fn state(&self, debt: &Debt) -> String {
        self.query(&format!("SELECT state FROM payment WHERE payment_id = '{}'", debt.id))
    }

    /// The text that a query of the ledger finds.
    pub(crate) fn query(&self, sql: &str) -> String {
        let file = self.host.path(".coinslot/ledger.db");
        let ledger = rusqlite::Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY);
        ledger.expect("the ledger").query_row(sql, [], |row| row.get(0)).expect("a row")
    }

    /// Waits until a payment is in this state.
    pub(crate) async fn until(&self, debt: &Debt, state: &str) {
        self.waits_for(state, || self.state(debt) == state).await;
    }

    /// Waits until this holds.
    pub(crate) async fn waits_for(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "not in time: {what}\n{}", self.host.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the node was asked this at least so often.
    pub(crate) async fn until_called(&self, method: &str, times: usize) {
        self.waits_for(method, || self.node.calls(method) >= times).await;
    }

    /// Asks the listener of operators to pay a debt back. Returns the status and the answer.
    pub(crate) async fn order(&self, debt: &Debt) -> (u16, Value) {
        let asked = json!({ "payment": debt.id });
        let url = format!("{}/api/v1/owed/refund", self.host.admin());
        let answer = reqwest::Client::new().post(url).json(&asked).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    /// Has a debt paid back, and waits for the end. Returns the transaction.
    pub(crate) async fn pays_back(&self, debt: &Debt) -> String {
        let (status, report) = self.order(debt).await;
        assert_eq!(status, 200, "{report}\n{}", self.host.log());
        self.until(debt, "refunded").await;
        report["transaction"].as_str().expect("a transaction").to_owned()
    }

    /// Has the order refused with this status, and a message that has this text. Nothing is sent.
    pub(crate) async fn refuses(&self, debt: &Debt, status: u16, reason: &str) {
        let before = (self.sent().await, self.used_nonces().await);
        let (answered, report) = self.order(debt).await;
        let message = report["message"].as_str().unwrap_or_default();
        assert!(answered == status && message.contains(reason), "{answered} {report}\n{}", self.host.log());
        assert_eq!((self.sent().await, self.used_nonces().await), before);
    }

    /// Runs a command against the listener of operators. Returns its exit code, its output and its errors.
    pub(crate) async fn command(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let url = self.host.admin();
        let arguments: Vec<String> = arguments.iter().copied().chain(["--url", &url]).map(Into::into).collect();
        self.local(arguments).await
    }

    /// Runs a command in the folder of the host.
    pub(crate) async fn local(&self, arguments: Vec<String>) -> (Option<i32>, String, String) {
        let dir = self.host.path("");
        let run = move || run(&dir, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let done = tokio::task::spawn_blocking(run).await.expect("a command");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (done.status.code(), text(&done.stdout), text(&done.stderr))
    }

    /// Runs a command that ends well, and returns its output.
    pub(crate) async fn good(&self, arguments: &[&str]) -> String {
        let (code, out, error) = self.command(arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}: {out}{error}\n{}", self.host.log());
        out
    }

    /// The alerts of this kind that the host raises now, by their messages.
    pub(crate) async fn alerts(&self, kind: &str) -> Vec<String> {
        let status = crate::admin::ask(&self.host, "/api/v1/status").await;
        let of_kind = status["alerts"].as_array().expect("a list").iter().filter(|alert| alert["kind"] == kind);
        of_kind.map(|alert| format!("{}: {}", alert["message"], alert["advice"])).collect()
    }

    /// Waits until the host raises an alert of this kind with this text.
    pub(crate) async fn until_alert(&self, kind: &str, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let alerts = self.alerts(kind).await;
            if alerts.iter().any(|alert| alert.contains(text)) {
                return;
            }
            assert!(Instant::now() < deadline, "no {kind} with {text}: {alerts:?}\n{}", self.host.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the host raises no alert of this kind.
    pub(crate) async fn until_no_alert(&self, kind: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.alerts(kind).await.is_empty() {
            assert!(Instant::now() < deadline, "{:?}\n{}", self.alerts(kind).await, self.host.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Replaces a text of the configuration.
    pub(crate) fn reconfigure(&self, from: &str, to: &str) {
        let config = self.host.configuration();
        assert!(config.contains(from), "{config}");
        self.host.write_configuration(&config.replace(from, to));
    }

    /// Starts the host again. The waits of refunds are a twentieth of the usual ones.
    pub(crate) async fn restart_in_a_hurry(&mut self) {
        self.host.restart(&[("COINSLOT_HURRY", "20")]).await;
    }
}
