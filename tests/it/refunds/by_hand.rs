//! Pays debts by hand, from a wallet that the host does not know, and ends them by the operator's word: the chain has to
//! agree with each.

use std::path::Path;
use std::sync::Arc;

use alloy::primitives::{Address, B256, U256, address, hex, keccak256};
use alloy::sol_types::SolValue;
use coinslot_devnet::{CHAIN_ID, USDC};
use coinslot_evm::{Chain, ChainSettings, Key, SignedTransfer, TokenTransfer, TokenWallet};
use coinslot_tests::{FaultyNode, NodeFault, Receiver, Wallet, random_word};
use serde_json::{Value, json};

use super::{BY_COMMAND, CENT, Debt, PATIENCE, Seller};

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

#[tokio::test]
async fn a_debt_that_was_paid_by_hand_ends_and_every_record_says_so() {
    let receiver = Receiver::start().await;
    let hook = format!("[[webhook]]\nurl = \"{}\"\nsecret_file = \"key\"\n", receiver.url());
    let seller = Seller::start_with(BY_COMMAND, &hook).await;
    let own = OwnWallet::new(&seller).await;
    let debt = seller.owe(0).await;
    let transaction = own.sends(USDC, debt.payer, CENT).await;
    let owed: Value = serde_json::from_str(&seller.good(&["owed"]).await).expect("one debt");
    let advice = owed["makeGood"].as_str().expect("a text");
    assert!(advice.contains("coinslot owed refund") && advice.contains("coinslot owed settle"), "{advice}");
    let settle = ["owed", "settle", &debt.id, "--by", &transaction, "--sender-is-mine", "--format", "table"];
    let would = seller.good(&[&settle[..], &["--dry-run"]].concat()).await;
    let sent = format!("which moved 0.01 USDC from {}", own.wallet.address());
    assert!(would.contains("would be settled") && would.contains(&sent), "{would}");
    assert_eq!(seller.state(&debt), "owed");
    let done = seller.good(&settle).await;
    assert!(done.contains("is settled by transaction") && done.contains(&transaction), "{done}");
    assert!(done.contains(&sent), "{done}");

    // The client hears where its money is.
    let after = seller.request(&debt.payment).send().await.expect("an answer");
    assert_eq!(after.status(), 402);
    assert!(after.headers().contains_key("payment-required"));
    let body: Value = after.json().await.expect("JSON");
    assert_eq!((&body["error"], &body["charged"]), (&json!("payment_refunded"), &json!("no")), "{body}");
    assert!(body["message"].as_str().expect("a text").contains(&transaction), "{body}");
    let (code, _, reason) = seller.command(&["owed", "settle", &debt.id, "--by", &transaction]).await;
    assert!(code == Some(1) && reason.contains("its money went back already"), "{reason}");
    let (code, _, reason) = seller.command(&["owed", "refund", &debt.id]).await;
    assert!(code == Some(1) && reason.contains("its money went back already"), "{reason}");

    // The books.
    let payment: Value = serde_json::from_str(&seller.good(&["payments", &debt.id]).await).expect("JSON");
    assert_eq!(
        (&payment["state"], &payment["refundTransaction"]),
        (&json!("refunded"), &json!(transaction)),
        "{payment}"
    );
    let refund: Value = serde_json::from_str(&seller.good(&["owed", "refunds"]).await).expect("JSON");
    let sender = own.wallet.address().to_string().to_lowercase();
    assert_eq!((&refund["wallet"], &refund["nonce"]), (&json!(sender), &Value::Null), "{refund}");
    let budget = crate::admin::ask(&seller.host, "/api/v1/refunds").await["budgets"][0]["spent"].clone();
    assert_eq!(budget, "0 USD", "the money left no wallet of the host");
    let story = seller.good(&["payments", &debt.id, "--story"]).await;
    let steps: Vec<Value> = story.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let names: Vec<&str> = steps.iter().map(|step| step["step"].as_str().expect("a name")).collect();
    assert_eq!(names, ["claimed", "verified", "sent", "paid", "started", "owed", "refunded"], "{story}");
    assert_eq!((&steps[6]["transaction"], &steps[6]["sender"]), (&json!(transaction), &json!(sender)), "{story}");
    let audit: Value = serde_json::from_str(&seller.good(&["audit", "--kind", "refund"]).await).expect("one line");
    let told = (audit["who"].as_str().expect("a text"), audit["after"].as_str().expect("a text"));
    assert_eq!(told.0, "operator without a token from 127.0.0.1");
    let sent = format!("by hand: 0.01 USDC from {}, by transaction {transaction}", own.wallet.address());
    assert!(told.1.contains(&sent), "{audit}");
    let (code, out, error) = seller.local(["ledger", "reconcile"].map(ToOwned::to_owned).to_vec()).await;
    assert_eq!(code, Some(0), "{out}{error}");
    seller.waits_for("the webhook", || receiver.accepted().iter().any(|told| told.body.contains("refunded"))).await;
    let told: Vec<Value> = receiver.accepted().iter().map(|message| message.json()).collect();
    let last = told.iter().find(|message| message["type"] == "payment.refunded").expect("it is told");
    assert_eq!(last["data"]["transaction"], transaction, "{last}");
    assert_eq!((seller.sent().await, seller.used_nonces().await), (vec![], 0), "the host sent nothing");
}

/// A payer who kept the payment hears of the refund, too.
#[tokio::test]
async fn a_payer_who_resumes_a_payment_that_was_paid_back_by_hand_is_told_so() {
    let seller = Seller::start(BY_COMMAND).await;
    let own = OwnWallet::new(&seller).await;
    let secret = random_word().to_string();
    let payer = Wallet::from_key(&secret).address();
    seller.set_dollars(payer, 1_000_000).await;
    std::fs::write(seller.host.path("payer"), &secret).expect("a key file");
    let pay = async |arguments: &[&str]| {
        let usual = ["pay", "--key-file", "payer", "--state-dir", "kept"];
        seller.local([&usual[..], arguments].concat().into_iter().map(ToOwned::to_owned).collect()).await
    };
    let (_, _, said) = pay(&["-X", "POST", &seller.host.url("/upfront"), "-d", "mine", "-H", "x-do: 500"]).await;
    assert!(said.contains("it owes the answer"), "{said}");
    let id = seller.query("SELECT payment_id FROM payment WHERE state = 'owed'");
    let debt = Debt { id, payment: String::new(), payer };
    let kept = std::fs::read_dir(seller.host.path("kept/payments"))
        .expect("a folder")
        .next()
        .expect("a file")
        .expect("an entry");
    let transaction = own.sends(USDC, payer, CENT).await;
    assert_eq!(seller.settle(&debt, by(&transaction)).await.0, 200);
    let (code, out, said) = pay(&["--resume", kept.path().to_str().expect("a path")]).await;
    let told = format!("{out}{said}");
    // 5: what a server says of a payment that was sent before is no proof, and the file stays.
    assert!(code == Some(5) && told.contains("payment_refunded") && told.contains(&transaction), "{code:?} {told}");
    assert!(kept.path().exists());
    assert_eq!(seller.chain.balance(payer).await, 1_000_000, "it has what it had");

    // What the books call paid by hand must be on the chain, as any refund.
    let file = rusqlite::Connection::open(seller.host.path(".coinslot/ledger.db")).expect("the ledger");
    file.busy_timeout(PATIENCE).expect("a timeout");
    let other = own.sends(USDC, payer, CENT - 1).await;
    file.execute_batch(&format!("DROP TRIGGER refund_fixed; UPDATE refund SET tx = '{other}'")).expect("falsified");
    let (code, out, _) = seller.local(["ledger", "reconcile"].map(ToOwned::to_owned).to_vec()).await;
    assert!(code == Some(3) && out.contains("refund not on chain"), "{code:?} {out}");
}

#[tokio::test]
async fn a_transaction_that_does_not_pay_the_debt_is_refused_in_its_own_words() {
    let seller = Seller::start(BY_COMMAND).await;
    let own = OwnWallet::new(&seller).await;
    let (debt, second, third) = (seller.owe(0).await, seller.owe(0).await, seller.owe(0).await);

    let elsewhere = own.sends(USDC, STRANGER, CENT).await;
    seller.disbelieves(&debt, by(&elsewhere), 409, "send the money to the payer").await;
    let little = own.sends(USDC, debt.payer, CENT - 1).await;
    seller.disbelieves(&debt, by(&little), 409, "paid 0.009999 USDC to the payer, and 0.01 USDC is owed").await;
    let other_asset = own.sends(OTHER_TOKEN, debt.payer, CENT).await;
    seller.disbelieves(&debt, by(&other_asset), 409, "a debt is paid back in the asset of its payment").await;
    let unknown = random_word().to_string();
    seller.disbelieves(&debt, by(&unknown), 409, "does not know transaction").await;
    seller.disbelieves(&debt, by("0xabc"), 409, "is no hash of a transaction").await;
    seller.disbelieves(&debt, json!({}), 400, "name either the transaction").await;
    seller.disbelieves(&debt, json!({ "by": little, "notPaid": true }), 400, "name either the transaction").await;
    seller.disbelieves(&debt, json!({ "notPaid": true }), 409, "no refund of the payment is under way").await;

    let fails = own.signed(USDC, debt.payer, CENT).await;
    seller.block(debt.payer).await;
    own.wallet.broadcast(&fails.raw).await.expect("sent");
    seller.disbelieves(&debt, by(&fails.hash.to_string()), 409, "was reverted and moved nothing").await;
    seller.unblock().await;

    seller.ask_chain("evm_setAutomine", json!([false])).await;
    let waits = own.sends(USDC, debt.payer, CENT).await;
    seller.disbelieves(&debt, by(&waits), 503, "is in no block that is deep enough").await;
    seller.ask_chain("evm_setAutomine", json!([true])).await;
    seller.ask_chain("anvil_mine", json!([1])).await;

    // A node that does not answer, or denies the transaction, ends nothing.
    for fault in [NodeFault::Status(503), NodeFault::Garbage, NodeFault::Refuse("rate limited")] {
        seller.node.always("*", fault);
        let (status, report) = seller.settle(&debt, by(&waits)).await;
        assert!(status == 503 && seller.state(&debt) == "owed", "{status} {report}");
        seller.node.heal();
    }

    let none = Debt { id: "0".repeat(32), ..debt.clone() };
    let (status, report) = seller.settle(&none, by(&waits)).await;
    assert_eq!(status, 404, "{report}");

    // Of two debts to one payer, one transaction of a cent ends one.
    assert_eq!(seller.settle(&debt, by(&waits)).await.0, 200);
    seller.disbelieves(&second, by(&waits), 409, &format!("of which 0.01 USDC count for payment {}", debt.id)).await;
    let both = own.sends(USDC, debt.payer, 2 * CENT).await;
    assert_eq!(seller.settle(&second, by(&both)).await.0, 200);
    assert_eq!(seller.settle(&third, by(&both.to_uppercase().replace("0X", "0x"))).await.0, 200);

    // The transaction of a refund of the host is that refund's.
    let (fourth, fifth) = (seller.owe(1).await, seller.owe(1).await);
    let refund = seller.pays_back(&fourth).await;
    seller.disbelieves(&fifth, by(&refund), 409, "settle that payment by it").await;
    // The payment itself is no refund of it.
    let payment = seller.query(&format!("SELECT tx FROM payment WHERE payment_id = '{}'", fifth.id));
    seller.disbelieves(&fifth, by(&payment), 409, "send the money to the payer").await;
    let sent = seller.sent().await;
    assert!(matches!(&*sent, [one] if one.transaction == refund), "{sent:?}");
}

/// A top-up of the payer, seconds before its purchase, ended the debt: clocks were compared, with ten minutes of grace.
#[tokio::test]
async fn a_transfer_that_came_before_the_payment_does_not_end_its_debt() {
    let seller = Seller::start(BY_COMMAND).await;
    let own = OwnWallet::new(&seller).await;
    let payer = seller.chain.payer(0).address();
    let top_up = own.sends(USDC, payer, CENT).await;
    let debt = seller.owe(0).await;
    seller.disbelieves(&debt, by(&top_up), 409, "only a later block can pay it back").await;
    let later = own.sends(USDC, payer, CENT).await;
    let (status, report) = seller.settle(&debt, json!({ "by": later, "senderIsMine": true, "dryRun": true })).await;
    assert_eq!((status, &report["moved"]), (200, &json!("0.01 USDC")), "{report}");

    // Where nobody knows the block of the payment, a transaction counts once the payment could not be settled any more.
    let file = rusqlite::Connection::open(seller.host.path(".coinslot/ledger.db")).expect("the ledger");
    file.busy_timeout(PATIENCE).expect("a timeout");
    let settled = seller.query(&format!("SELECT tx FROM payment WHERE payment_id = '{}'", debt.id));
    for hash in [random_word().to_string(), String::new()] {
        file.execute("UPDATE settlement SET tx = ?1 WHERE tx = ?2", [&hash, &settled]).expect("another transaction");
        seller.disbelieves(&debt, by(&later), 409, "when the payment could not be settled any more").await;
        file.execute("UPDATE settlement SET tx = ?1 WHERE tx = ?2", [&settled, &hash]).expect("put back");
    }
    file.execute("UPDATE settlement SET tx = '' WHERE tx = ?1", [&settled]).expect("no transaction");
    let expired = format!("UPDATE claim SET valid_before = 1 WHERE payment_id = '{}'", debt.id);
    file.execute_batch(&expired).expect("an older payment");
    assert_eq!(seller.settle(&debt, by(&later)).await.0, 200);
    assert_eq!(seller.state(&debt), "refunded");
}

/// A contract that takes the money from the payer and gives it back ended a debt: what the payer received was counted
/// alone.
#[tokio::test]
async fn money_that_the_payer_sends_in_the_same_transaction_does_not_count() {
    const CONTRACT: Address = address!("0x00000000000000000000000000000000000d00d1");
    let seller = Seller::start(BY_COMMAND).await;
    let own = OwnWallet::new(&seller).await;
    let debt = seller.owe(0).await;
    // Every call is `transferFrom(payer, contract, a cent)` and `transfer(payer, a cent)`, and returns 1. If one of them
    // fails, it jumps to a revert at its beginning.
    let begin = "6007565b5f5ffd5b";
    let (payer, token) = (hex::encode(debt.payer), hex::encode(USDC));
    let selector = |name: &str| format!("63{name}60e01b5f52");
    let call = |size: &str| format!("5f5f60{size}5f5f73{token}5af115600357");
    let pull = format!("{}73{payer}60045230602452612710604452", selector("23b872dd")) + &call("64");
    let push = format!("{}73{payer}600452612710602452", selector("a9059cbb")) + &call("44");
    seller.ask_chain("anvil_setCode", json!([CONTRACT, format!("0x{begin}{pull}{push}60015f5260205ff3")])).await;
    // The payer has allowed the contract to take the money: slot 2 of the token.
    let of_payer = keccak256((debt.payer, U256::from(2)).abi_encode());
    let allowance = keccak256((CONTRACT, of_payer).abi_encode());
    seller.ask_chain("anvil_setStorageAt", json!([USDC, allowance, B256::from(U256::from(CENT))])).await;

    let before = seller.chain.balance(debt.payer).await;
    let there_and_back = own.sends(CONTRACT, debt.payer, 1).await;
    assert_eq!(seller.chain.balance(debt.payer).await, before, "the payer has what it had");
    let words = "paid 0.01 USDC to the payer, who sent 0.01 USDC in it";
    seller.disbelieves(&debt, by(&there_and_back), 409, words).await;
    // Two cents back for one make a cent.
    seller.ask_chain("anvil_setStorageAt", json!([USDC, allowance, B256::from(U256::from(CENT))])).await;
    seller.set_dollars(CONTRACT, CENT).await;
    let twice = format!("0x{begin}{pull}{push}{push}60015f5260205ff3");
    seller.ask_chain("anvil_setCode", json!([CONTRACT, twice])).await;
    let refunded = own.sends(CONTRACT, debt.payer, 1).await;
    let (status, report) = seller.settle(&debt, by(&refunded)).await;
    assert_eq!((status, &report["moved"]), (200, &json!("0.01 USDC")), "{report}");
    assert_eq!(seller.chain.balance(debt.payer).await, before + CENT);
}

/// Somebody else's transfer to the payer may have nothing to do with the debt.
#[tokio::test]
async fn an_unknown_sender_needs_the_operators_word() {
    let seller = Seller::start(BY_COMMAND).await;
    let own = OwnWallet::new(&seller).await;
    let debt = seller.owe(0).await;
    let transaction = own.sends(USDC, debt.payer, CENT).await;
    let words = format!("paid 0.01 USDC to the payer, from {}", own.wallet.address());
    for dry_run in [true, false] {
        seller.disbelieves(&debt, json!({ "by": transaction, "dryRun": dry_run }), 409, &words).await;
    }
    let (code, _, said) = seller.command(&["owed", "settle", &debt.id, "--by", &transaction]).await;
    assert!(code == Some(1) && said.contains(&words) && said.contains("--sender-is-mine"), "{said}");
    // The wallet of refunds is known: nobody has to vouch for it.
    let same_key = OwnWallet::of(&seller, seller.key.path()).await;
    let known = same_key.sends(USDC, debt.payer, CENT).await;
    let (status, report) = seller.settle(&debt, json!({ "by": known })).await;
    let sender = seller.wallet.address().to_string();
    assert_eq!((status, &report["sender"]), (200, &json!(sender)), "{report}");
}

/// A refund of which the token's logs say nothing held the wallet on its network for good.
#[tokio::test]
async fn a_refund_that_the_logs_do_not_show_ends_by_the_operators_word_and_the_next_begins() {
    let mut seller = Seller::start(BY_COMMAND).await;
    let own = OwnWallet::new(&seller).await;
    let (first, second, next) = (seller.owe(0).await, seller.owe(1).await, seller.owe(2).await);
    seller.silence().await;
    assert_eq!(seller.order(&first).await.0, 200);
    seller.until_alert("refund_trouble", &format!("coinslot owed settle {} --by TX", first.id)).await;
    seller.speak().await;
    seller.refuses(&next, 503, "ask again in a while").await;

    // Not before an hour has passed: the operator has to look.
    seller.disbelieves(&first, json!({ "notPaid": true }), 503, "look whether the payer has the money").await;
    seller.host.restart(&[("COINSLOT_HURRY", "100000")]).await;
    seller.until_alert("refund_trouble", "the token's logs do not show the transfer").await;
    let (status, report) = seller.settle(&first, json!({ "notPaid": true, "dryRun": true })).await;
    assert_eq!((status, &report["state"], &report["applied"]), (200, &json!("owed"), &json!(false)), "{report}");
    assert_eq!(seller.state(&first), "refunding");
    let out = seller.good(&["owed", "settle", &first.id, "--not-paid", "--format", "table"]).await;
    assert!(out.contains("is owed to") && out.contains("again"), "{out}");
    assert_eq!(seller.state(&first), "owed");
    let attempts = seller.good(&["owed", "refunds"]).await;
    assert!(attempts.contains("\"state\":\"failed\"") && attempts.contains("\"feeWei\":\""), "{attempts}");
    seller.until_no_alert("refund_trouble").await;
    assert_eq!(seller.present(&first).await.0, 200, "its payer fetches the answer");

    // The same, and the operator pays by hand: the debt ends, and so does the refund.
    seller.silence().await;
    assert_eq!(seller.order(&second).await.0, 200);
    seller.until_alert("refund_trouble", &second.id).await;
    seller.speak().await;
    let silent = seller.query("SELECT hash FROM refund_tx ORDER BY id DESC LIMIT 1");
    seller.disbelieves(&second, by(&silent), 409, "moves nothing of").await;
    let transaction = own.sends(USDC, second.payer, CENT).await;
    let (status, report) = seller.settle(&second, by(&transaction)).await;
    assert_eq!((status, &report["state"]), (200, &json!("refunded")), "{report}");
    seller.until_no_alert("refund_trouble").await;

    seller.pays_back(&next).await;
    seller.paid_back_once(&next).await;
    assert_eq!(seller.used_nonces().await, 3);
}

#[tokio::test]
async fn a_refund_that_may_still_be_made_does_not_end_by_a_word() {
    let seller = Seller::start(BY_COMMAND).await;
    let own = OwnWallet::new(&seller).await;
    let debt = seller.owe(0).await;
    seller.node.withhold();
    assert_eq!(seller.order(&debt).await.0, 200);
    let words = "may still get into a block";
    seller.disbelieves(&debt, json!({ "notPaid": true }), 409, words).await;
    let transaction = own.sends(USDC, debt.payer, CENT).await;
    seller.disbelieves(&debt, by(&transaction), 409, words).await;
    seller.node.release().await;
    seller.until(&debt, "refunded").await;
    seller.paid_back_once(&debt).await;
    seller.disbelieves(&debt, json!({ "notPaid": true }), 409, "its money went back already").await;
}

/// The host waits for a minute before it believes that another transaction has the nonce; its operator need not.
#[tokio::test]
async fn a_refund_whose_nonce_went_elsewhere_ends_at_once() {
    let seller = Seller::start(BY_COMMAND).await;
    let debt = seller.owe(0).await;
    seller.node.always("eth_sendRawTransaction", NodeFault::Refuse("the pool is closed"));
    assert_eq!(seller.order(&debt).await.0, 200);
    let same_key = OwnWallet::of(&seller, seller.key.path()).await;
    let foreign = same_key.sends(USDC, STRANGER, 7).await;
    seller.node.heal();
    seller.until_alert("refund_trouble", &format!("transaction {foreign} has used the nonce")).await;
    let (status, report) = seller.settle(&debt, json!({ "notPaid": true })).await;
    assert_eq!((status, &report["state"]), (200, &json!("owed")), "{report}");
    assert_eq!(seller.state(&debt), "owed");
    seller.until_no_alert("refund_trouble").await;
    seller.pays_back(&debt).await;
    assert_eq!(seller.sent().await.iter().filter(|one| one.to == debt.payer).count(), 1);
}

/// A refund after the backup that was restored: the payer has the money, and the books say that it is owed.
#[tokio::test]
async fn a_transfer_of_the_wallet_that_the_books_do_not_know_ends_the_debt() {
    let seller = Seller::start(BY_COMMAND).await;
    let (debt, other) = (seller.owe(0).await, seller.owe(0).await);
    let same_key = OwnWallet::of(&seller, seller.key.path()).await;
    let transaction = same_key.sends(USDC, debt.payer, CENT).await;
    seller.refuses(&debt, 409, "end the debt with `coinslot owed settle`").await;
    assert_eq!(seller.settle(&debt, json!({ "by": transaction })).await.0, 200);
    seller.pays_back(&other).await;
    assert_eq!(seller.sent().await.len(), 2, "one for each debt");
}

#[tokio::test]
async fn a_debt_ends_from_its_page_by_an_operator_who_was_shown_the_page() {
    let seller = Seller::start(BY_COMMAND).await;
    let own = OwnWallet::new(&seller).await;
    let debt = seller.owe(0).await;
    let url = format!("{}/payments/{}", seller.host.admin(), debt.id);
    let shown = reqwest::get(&url).await.expect("an answer").text().await.expect("a page");
    assert!(shown.contains("It was paid by hand") && !shown.contains("It was not paid"), "{shown}");
    let (_, proof) = shown.split_once("name=\"proof\" value=\"").expect("a proof");
    let proof = proof.split('"').next().expect("a value").to_owned();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let press = async |proof: &str, origin: &str, by: &str, mine: &str| {
        let post = client.post(format!("{url}/settle")).header("origin", origin);
        let form = format!("proof={proof}&by={by}{mine}");
        let sent = post.header("content-type", "application/x-www-form-urlencoded").body(form).send().await;
        sent.expect("an answer")
    };
    let (admin, transaction) = (seller.host.admin(), own.sends(USDC, debt.payer, CENT).await);
    assert_eq!(press("0", &admin, &transaction, "").await.status(), 403, "a form of no page");
    assert_eq!(press(&proof, "https://evil.example", &transaction, "").await.status(), 403, "a page of another origin");
    let refused = press(&proof, &admin, "0x12", "").await;
    assert_eq!(refused.status(), 409);
    assert!(refused.text().await.expect("a page").contains("is no hash of a transaction"));
    let foreign = press(&proof, &admin, &transaction, "").await;
    assert_eq!(foreign.status(), 409);
    let sender = own.wallet.address().to_string();
    let said = foreign.text().await.expect("a page");
    assert!(said.contains(&sender) && said.contains("0.01 USDC") && shown.contains("sender_is_mine"), "{said}");
    assert_eq!(seller.state(&debt), "owed");
    assert_eq!(press(&proof, &admin, &transaction, "&sender_is_mine=yes").await.status(), 303);
    assert_eq!(seller.state(&debt), "refunded");
    let story = reqwest::get(&url).await.expect("an answer").text().await.expect("a page");
    assert!(story.contains("Paid back") && story.contains(&transaction), "{story}");
    assert!(story.contains("By hand, from") && story.contains(&sender.to_lowercase()), "{story}");
    assert!(!story.contains("It was paid by hand"), "there is nothing to end: {story}");
}
