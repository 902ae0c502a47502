//! Debts that were paid by hand end, and every record says so.

use coinslot_devnet::USDC;
use coinslot_tests::{Receiver, Wallet, random_word};
use serde_json::{Value, json};

use super::{OwnWallet, by};
use crate::refunds::{BY_COMMAND, CENT, Debt, PATIENCE, Seller};

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
    assert!(kept.path().exists());
    assert!(code == Some(5) && told.contains("payment_refunded") && told.contains(&transaction), "{code:?} {told}");
    assert_eq!(seller.chain.balance(payer).await, 1_000_000, "it has what it had");

    // What the books call paid by hand must be on the chain, as any refund.
    let file = rusqlite::Connection::open(seller.host.path(".coinslot/ledger.db")).expect("the ledger");
    file.busy_timeout(PATIENCE).expect("a timeout");
    let other = own.sends(USDC, payer, CENT - 1).await;
    file.execute_batch(&format!("DROP TRIGGER refund_fixed; UPDATE refund SET tx = '{other}'")).expect("falsified");
    let (code, out, _) = seller.local(["ledger", "reconcile"].map(ToOwned::to_owned).to_vec()).await;
    assert!(code == Some(3) && out.contains("refund not on chain"), "{code:?} {out}");
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
