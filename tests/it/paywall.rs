//! Pays on the page that a browser gets from a paid route, in Chromium, with wallets that truly sign, on a real chain.
//!
//! In each story the balance of the payer tells how often money moved.

mod answers;
mod foreign_pages;
mod forms;
mod kept;
mod returns;
mod wallets;

use std::time::Duration;

use coinslot_tests::{BrowserPage, FaultyNode, ServeHost, TestChain, decode};
use serde_json::{Value, json};

/// The price of every answer of these stories, in atomic units.
const PRICE: u64 = 10_000;
/// The money that a payer starts with.
const START: u64 = 1_000_000_000;
/// The button that pays.
const PAY: &str = "#send";
/// The place where the page says what happens.
const STATE: &str = "#state";

/// A chain, a host on it, and a browser with wallets.
struct Shop {
    chain: TestChain,
    host: ServeHost,
    page: BrowserPage,
}

impl Shop {
    /// A host with the guest `answers`, and a browser whose wallets belong to the first payers.
    async fn open(wallets: &[Value]) -> Self {
        let chain = TestChain::start().await;
        let host = chain.serve(&["answers"], "").await;
        let page = browser(&chain, wallets);
        Self { chain, host, page }
    }

    /// A host with these guests, whose page keeps a payment: its chain takes no transaction before the node is released.
    async fn with_kept_payment(guests: &[&str]) -> (Self, FaultyNode) {
        let chain = TestChain::start().await;
        let node = chain.node().await;
        let host = chain.serve_guests_on(guests, &node, "").await;
        let page = browser(&chain, &[json!({ "name": "One" })]);
        let mut shop = Self { chain, host, page };
        node.withhold();
        shop.go("/answers/text");
        shop.page.click(PAY);
        shop.page.sees(STATE, "Do not pay again.");
        assert_eq!(shop.kept(), 1);
        (shop, node)
    }

    /// Opens the page of an answer of this kind.
    fn go(&mut self, path: &str) {
        self.page.go(&self.host.url(path));
    }

    /// The number of payments that this payer has made.
    async fn payments_of(&self, payer: usize) -> u64 {
        let moved = START - self.chain.balance(self.chain.payer(payer).address()).await;
        assert_eq!(moved % PRICE, 0);
        moved / PRICE
    }

    /// The number of payments that the page keeps.
    fn kept(&mut self) -> usize {
        let kept = self.page.run("Object.keys(localStorage).filter((key) => key.startsWith('coinslot.')).length");
        usize::try_from(kept.as_u64().expect("a number")).expect("a few")
    }
}

/// A browser with these wallets; those without a key have the payers' keys in turn.
fn browser(chain: &TestChain, wallets: &[Value]) -> BrowserPage {
    let mut page = BrowserPage::open();
    let with_key = |(index, wallet): (usize, &Value)| {
        let mut wallet = wallet.clone();
        if wallet.get("key").is_none() {
            wallet["key"] = json!(chain.payer(index).key());
        }
        wallet
    };
    let wallets: Vec<Value> = wallets.iter().enumerate().map(with_key).collect();
    page.has_wallets(&wallets, &chain.rpc());
    page
}

/// Waits until a challenge of this path asks for this amount, in atomic units.
async fn serves(shop: &Shop, path: &str, amount: &str) {
    let client = reqwest::Client::new();
    loop {
        let asked = client.get(shop.host.url(path)).send().await.expect("an answer");
        let challenge = asked.headers().get("payment-required").and_then(|header| header.to_str().ok()).map(decode);
        if challenge.is_some_and(|challenge| challenge["accepts"][0]["amount"] == amount) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
