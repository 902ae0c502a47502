//! Pays debts by hand, from a wallet that the host does not know, and ends them by the operator's word: the chain has to
//! agree with each.

mod disbelieved;
mod paid;
mod under_way;

use std::path::Path;
use std::sync::Arc;

use alloy::primitives::{Address, B256, U256, address, hex, keccak256};
use alloy::sol_types::SolValue;
use coinslot_devnet::{CHAIN_ID, USDC};
use coinslot_evm::{Chain, ChainSettings, Key, SignedTransfer, TokenTransfer, TokenWallet};
use coinslot_tests::{FaultyNode, random_word};
use serde_json::{Value, json};

use super::{CENT, Debt, Seller};

const STRANGER: Address = address!("0x000000000000000000000000000000000000cafe");

/// Another token, of the same code.
const OTHER_TOKEN: Address = address!("0x000000000000000000000000000000000000beef");

/// The place of the token's own code while the token is silent.
const CODE: Address = address!("0x00000000000000000000000000000000000c0de6");

/// The operator's own wallet, of which the host knows nothing.
struct OwnWallet {
    wallet: TokenWallet,
    _node: FaultyNode,
}

impl OwnWallet {
    /// A wallet with this key, an ether, and a dollar of both tokens.
    async fn of(seller: &Seller, key: &Path) -> Self {
        let node = seller.chain.node().await;
        let chain = Chain::connect(&node.url().parse().expect("a URL"), CHAIN_ID, ChainSettings::default()).await;
        let key = Key::from_file(key).expect("a key");
        Self { wallet: TokenWallet::new(Arc::new(chain.expect("connected")), key, 50_000_000_000, 1), _node: node }
    }

    async fn new(seller: &Seller) -> Self {
        let key = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(key.path(), random_word().to_string()).expect("a key file");
        let own = Self::of(seller, key.path()).await;
        let address = own.wallet.address();
        seller.ask_chain("anvil_setBalance", json!([address, U256::from(10).pow(U256::from(18))])).await;
        seller.set_dollars(address, 1_000_000).await;
        let code = seller.ask_chain("eth_getCode", json!([USDC, "latest"])).await;
        seller.ask_chain("anvil_setCode", json!([OTHER_TOKEN, code])).await;
        let slot = keccak256((address, U256::ZERO).abi_encode());
        let has = B256::from(U256::from(1_000_000));
        seller.ask_chain("anvil_setStorageAt", json!([OTHER_TOKEN, slot, has])).await;
        own
    }

    async fn signed(&self, token: Address, to: Address, amount: u64) -> SignedTransfer {
        let nonce = self.wallet.next_nonce(0).await.expect("a nonce");
        let transfer = TokenTransfer { token, to, amount: U256::from(amount) };
        self.wallet.sign(&transfer, nonce).await.expect("signed")
    }

    /// Sends so much of a token to an account. Returns the transaction.
    async fn sends(&self, token: Address, to: Address, amount: u64) -> String {
        let signed = self.signed(token, to, amount).await;
        self.wallet.broadcast(&signed.raw).await.expect("sent");
        signed.hash.to_string()
    }
}

/// The claim that this transaction paid a debt, from an account that the operator vouches for.
fn by(transaction: &str) -> Value {
    json!({ "by": transaction, "senderIsMine": true })
}

/// Pays a debt from a wallet that the host does not know. Returns the transaction.
pub(crate) async fn pay_by_hand(seller: &Seller, payment: &str) -> String {
    let payer = seller.query(&format!("SELECT payer FROM payment WHERE payment_id = '{payment}'"));
    OwnWallet::new(seller).await.sends(USDC, payer.parse().expect("an account"), CENT).await
}

impl Seller {
    /// Asks the listener of operators to end a debt. Returns the status and the answer.
    pub(super) async fn settle(&self, debt: &Debt, claim: Value) -> (u16, Value) {
        let mut asked = claim;
        asked["payment"] = json!(debt.id);
        let url = format!("{}/api/v1/owed/settle", self.host.admin());
        let answer = reqwest::Client::new().post(url).json(&asked).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    /// Has a claim refused in these words. The state of the debt stays.
    async fn disbelieves(&self, debt: &Debt, claim: Value, status: u16, words: &str) {
        let before = self.state(debt);
        let (answered, report) = self.settle(debt, claim.clone()).await;
        let message = report["message"].as_str().unwrap_or_default();
        assert!(answered == status && message.contains(words), "{claim}: {answered} {report}\n{}", self.host.log());
        assert_eq!(self.state(debt), before, "{claim}");
    }

    /// Has the token take transfers without a movement and without a log.
    async fn silence(&self) {
        let code = self.ask_chain("eth_getCode", json!([USDC, "latest"])).await;
        self.ask_chain("anvil_setCode", json!([CODE, code])).await;
        // `transfer` returns true; every other call is one of the code that was there.
        let code = hex::encode(CODE);
        let silent = format!(
            "0x5f3560e01c63a9059cbb14603b57365f5f375f5f365f73{code}5af43d5f5f3e6037573d5ffd5b3d5ff35b60015f5260205ff3"
        );
        self.ask_chain("anvil_setCode", json!([USDC, silent])).await;
    }

    /// Has the token be what it was.
    async fn speak(&self) {
        let code = self.ask_chain("eth_getCode", json!([CODE, "latest"])).await;
        self.ask_chain("anvil_setCode", json!([USDC, code])).await;
    }
}
