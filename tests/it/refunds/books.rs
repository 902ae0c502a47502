//! Checks that every record of a refund says the same: client, chain, commands, audit log, webhooks and comparison.

use coinslot_tests::Receiver;
use serde_json::Value;

use crate::admin::{metrics, sample};

use super::{BY_COMMAND, CENT, PATIENCE, PAYER_HAS, Seller, WALLET_HAS};

/// The records that a command printed, one in a line.
fn records(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
}

#[tokio::test]
async fn the_client_hears_that_the_money_is_on_its_way_and_then_that_it_is_back() {
    let seller = Seller::start(BY_COMMAND).await;
    let debt = seller.owe(0).await;
    assert_eq!(seller.chain.balance(debt.payer).await, PAYER_HAS - CENT);

    let would = seller.good(&["owed", "refund", &debt.id, "--dry-run"]).await;
    assert!(would.contains("0.01 USDC") && would.contains("nothing was sent"), "{would}");
    assert!(would.to_lowercase().contains(&debt.payer.to_string().to_lowercase()), "{would}");
    assert_eq!((seller.state(&debt), seller.sent().await, seller.used_nonces().await), ("owed".into(), vec![], 0));

    seller.node.withhold();
    let sent = seller.good(&["owed", "refund", &debt.id]).await;
    assert!(sent.contains("0.01 USDC") && sent.contains("is on its way to"), "{sent}");
    let meanwhile = seller.request(&debt.payment).send().await.expect("an answer");
    let retry_after = meanwhile.headers()["retry-after"].to_str().expect("ASCII");
    assert_eq!((meanwhile.status().as_u16(), retry_after), (503, "10"));
    assert!(!meanwhile.headers().contains_key("payment-required"), "no second payment is asked for");
    let body: Value = meanwhile.json().await.expect("JSON");
    assert_eq!((&body["error"], &body["charged"]), (&"refund_under_way".into(), &"yes".into()), "{body}");
    let (code, _, reason) = seller.command(&["owed", "refund", &debt.id]).await;
    assert!(code == Some(1) && reason.contains("its money is on its way back"), "{reason}");

    seller.node.release().await;
    seller.until(&debt, "refunded").await;
    let after = seller.request(&debt.payment).send().await.expect("an answer");
    assert_eq!(after.status(), 402);
    assert!(after.headers().contains_key("payment-required") && !after.headers().contains_key("payment-response"));
    let body: Value = after.json().await.expect("JSON");
    assert_eq!((&body["error"], &body["charged"]), (&"payment_refunded".into(), &"no".into()), "{body}");
    let transaction = seller.sent().await[0].transaction.clone();
    assert!(body["message"].as_str().expect("a text").contains(&transaction), "{body}");
    let (code, _, reason) = seller.command(&["owed", "refund", &debt.id]).await;
    assert!(code == Some(1) && reason.contains("its money went back already"), "{reason}");
    let (code, _, reason) = seller.command(&["owed", "refund", "0xabc"]).await;
    assert!(code == Some(1) && reason.contains("no such payment"), "{reason}");

    seller.paid_back_once(&debt).await;
    assert_eq!(seller.chain.balance(debt.payer).await, PAYER_HAS, "the payer has what it had");
    assert_eq!(seller.chain.payments_received().await, 1, "the seller keeps what it received");
    assert_eq!(seller.host.runs_of("upfront"), 1);
}

#[tokio::test]
async fn every_record_of_a_refund_says_the_same() {
    let receiver = Receiver::start().await;
    let hook = format!("[[webhook]]\nurl = \"{}\"\nsecret_file = \"key\"\n", receiver.url());
    let seller = Seller::start_with(BY_COMMAND, &hook).await;
    let debt = seller.owe(0).await;
    assert_eq!(records(&seller.good(&["owed"]).await).len(), 1);
    let transaction = seller.pays_back(&debt).await;
    seller.paid_back_once(&debt).await;
    assert_eq!(seller.sent().await[0].transaction, transaction);

    // The host's own records.
    let payment = records(&seller.good(&["payments", &debt.id]).await)[0].clone();
    assert_eq!((&payment["state"], &payment["refundTransaction"]), (&"refunded".into(), &transaction.clone().into()));
    assert_eq!(records(&seller.good(&["owed"]).await), Vec::<Value>::new());
    let refund = records(&seller.good(&["owed", "refunds"]).await)[0].clone();
    let wallet = seller.wallet.address().to_string().to_lowercase();
    for (field, value) in [
        ("paymentId", &*debt.id),
        ("state", "paid"),
        ("amount", "0.01"),
        ("symbol", "USDC"),
        ("wallet", &wallet),
        ("transaction", &transaction),
        ("orderedBy", "operator"),
    ] {
        assert_eq!(refund[field], value, "{field}: {refund}");
    }
    let receipt = seller.chain.client().receipt(&transaction).await;
    let number = |field: &str| u128::from_str_radix(&receipt[field].as_str().expect("hex")[2..], 16).expect("a number");
    assert_eq!(refund["feeWei"], (number("gasUsed") * number("effectiveGasPrice")).to_string(), "{refund}");

    let metrics = metrics(&seller.host).await;
    let spent = sample(&metrics, "coinslot_gas_spent_total", &[("coinslot_purpose", "refund")]);
    let fee = refund["feeWei"].as_str().expect("a text").parse::<f64>().expect("a number") / 1e18;
    assert!((spent - fee).abs() <= fee * 1e-9 && fee > 0.0, "{spent} for {fee}");
    let settled = sample(&metrics, "coinslot_gas_spent_total", &[("coinslot_purpose", "settlement")]);
    assert!(settled > 0.0 && (settled - spent).abs() > 0.0, "{metrics}");
    let story = seller.good(&["payments", &debt.id, "--story"]).await;
    let steps: Vec<Value> = records(&story);
    let steps: Vec<&str> = steps.iter().map(|step| step["step"].as_str().expect("a name")).collect();
    let expected = ["claimed", "verified", "sent", "paid", "started", "owed", "refund_sent", "refunded"];
    assert_eq!(steps, expected, "{story}");

    // Money that came and went.
    for command in [&["revenue"][..], &["ledger", "revenue"]] {
        let out = match command {
            ["revenue"] => seller.good(command).await,
            _ => ledger(&seller, &command[1..]).await.1,
        };
        let sum = records(&out).into_iter().next().expect("a sum");
        let told = ["amount", "payments", "refunds", "refunded"].map(|field| sum[field].clone());
        let expected: [Value; 4] = ["0.01".into(), 1.into(), 1.into(), "0.01".into()];
        assert_eq!(told, expected, "{command:?}: {sum}");
    }
    let csv = ledger(&seller, &["export", "--format", "csv"]).await.1;
    assert!(csv.lines().next().is_some_and(|head| head.contains("refundTransaction")), "{csv}");
    let row = csv.lines().nth(1).expect("a row");
    assert!(row.contains("refunded") && row.contains(&transaction), "{csv}");

    // Who wanted it, and how it ended.
    let audit = records(&seller.good(&["audit", "--kind", "refund"]).await);
    let of = |field: &str| audit.iter().map(|change| change[field].as_str().unwrap_or_default()).collect::<Vec<_>>();
    assert_eq!(of("subject"), [&*debt.id, &debt.id], "{audit:?}");
    assert_eq!(of("who"), ["host", "operator without a token from 127.0.0.1"], "{audit:?}");
    assert!(of("after")[0].contains("paid back to") && of("after")[1].contains("sent back to"), "{audit:?}");
    assert!(of("after").iter().all(|after| after.contains(&transaction) && after.contains("0.01 USDC")), "{audit:?}");

    // What the operator's own systems hear.
    seller.waits_for("the webhooks", || receiver.accepted().iter().any(|told| told.body.contains("refunded"))).await;
    let told: Vec<Value> = receiver.accepted().iter().map(|message| message.json()).collect();
    let of_payments =
        told.iter().filter(|message| message["type"].as_str().is_some_and(|kind| kind.starts_with("payment.")));
    let kinds: Vec<&str> = of_payments.clone().map(|message| message["type"].as_str().expect("a type")).collect();
    assert_eq!(kinds, ["payment.paid", "payment.owed", "payment.refunded"], "{told:?}");
    let last = &of_payments.clone().next_back().expect("a message")["data"];
    assert_eq!((&last["paymentId"], &last["transaction"]), (&debt.id.clone().into(), &transaction.into()), "{last}");
}

/// Runs a report on the ledger's file. Returns its exit code and output.
async fn ledger(seller: &Seller, arguments: &[&str]) -> (Option<i32>, String) {
    let arguments = ["ledger"].iter().chain(arguments).map(|text| (*text).to_owned()).collect();
    let (code, out, error) = seller.local(arguments).await;
    (code, format!("{out}{error}"))
}

#[tokio::test]
async fn the_comparison_with_the_chain_finds_a_refund_that_was_not_made() {
    let seller = Seller::start(BY_COMMAND).await;
    let debt = seller.owe(0).await;
    seller.pays_back(&debt).await;
    let (code, out) = ledger(&seller, &["reconcile"]).await;
    assert_eq!(code, Some(0), "{out}");

    // A row that names another transaction, as after a bug or in a ledger that was edited.
    let other = seller.query("SELECT tx FROM payment");
    let file = rusqlite::Connection::open(seller.host.path(".coinslot/ledger.db")).expect("the ledger");
    file.busy_timeout(PATIENCE).expect("a timeout");
    file.execute_batch(&format!("DROP TRIGGER refund_fixed; UPDATE refund SET tx = '{other}'")).expect("falsified");
    let (code, out) = ledger(&seller, &["reconcile", "--format", "json"]).await;
    assert!(code == Some(3) && out.contains("refund not on chain") && out.contains(&debt.id), "{code:?} {out}");
    assert_eq!(seller.wallet_has().await, WALLET_HAS - CENT);
}
