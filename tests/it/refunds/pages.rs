//! Looks at the button that pays a debt back, at who may press it, and at the pages of a refund in trouble.

use coinslot_tests::look_at;
use reqwest::redirect::Policy;
use serde_json::{Value, json};

use super::{BY_COMMAND, Debt, Seller, WALLET_HAS};

async fn page(seller: &Seller, path: &str) -> String {
    let answer = reqwest::get(format!("{}{path}", seller.host.admin())).await.expect("an answer");
    assert_eq!(answer.status(), 200, "{path}");
    answer.text().await.expect("a page")
}

/// Sends the form of a payment's page from this origin.
async fn press(seller: &Seller, debt: &Debt, proof: &str, origin: &str) -> reqwest::Response {
    let client = reqwest::Client::builder().redirect(Policy::none()).build().expect("a client");
    let post = client.post(format!("{}/payments/{}/refund", seller.host.admin(), debt.id)).header("origin", origin);
    let form = post.header("content-type", "application/x-www-form-urlencoded").body(format!("proof={proof}"));
    form.send().await.expect("an answer")
}

#[tokio::test]
async fn a_debt_is_paid_back_from_its_page_by_an_operator_who_was_shown_the_page() {
    let seller = Seller::start(BY_COMMAND).await;
    let debt = seller.owe(0).await;
    let (admin, path) = (seller.host.admin(), format!("/payments/{}", debt.id));
    let shown = page(&seller, &path).await;
    let wallet = seller.wallet.address().to_string();
    assert!(shown.contains("Pay back") && shown.contains("A transfer cannot be taken back"), "{shown}");
    assert!(shown.to_lowercase().contains(&wallet.to_lowercase()), "{shown}");
    let (_, proof) = shown.split_once("name=\"proof\" value=\"").expect("a proof");
    let proof = proof.split('"').next().expect("a value").to_owned();

    assert_eq!(press(&seller, &debt, "0", &admin).await.status(), 403, "a form of no page");
    assert_eq!(press(&seller, &debt, &proof, "https://evil.example").await.status(), 403, "a page of another origin");
    let foreign =
        reqwest::Client::new().post(format!("{admin}/api/v1/owed/refund")).json(&json!({ "payment": debt.id }));
    let foreign = foreign.header("origin", "https://evil.example").send().await.expect("an answer");
    assert_eq!(foreign.status(), 403, "a script of another origin");
    assert_eq!((seller.state(&debt), seller.used_nonces().await), ("owed".to_owned(), 0));

    let pressed = press(&seller, &debt, &proof, &admin).await;
    assert_eq!((pressed.status().as_u16(), pressed.headers()["location"].to_str().expect("ASCII")), (303, &*path));
    seller.until(&debt, "refunded").await;
    seller.paid_back_once(&debt).await;
    let story = page(&seller, &path).await;
    let transaction = seller.sent().await[0].transaction.clone();
    for part in ["Owed", "Sent back by an operator", "Paid back", &transaction] {
        assert!(story.contains(part), "{part} is missing:\n{story}");
    }
    let place = |title: &str| story.find(&format!("<strong>{title}</strong>")).expect("a step");
    assert!(place("Refund") < place("Paid back"), "both are in one second, and one is the end of the other: {story}");
    assert!(!story.contains("Pay it back"), "there is nothing to pay back: {story}");
    let late = press(&seller, &debt, &proof, &admin).await;
    assert_eq!(late.status(), 409);
    assert!(late.text().await.expect("a page").contains("its money went back already"));
    let money = page(&seller, "/money?period=all").await;
    assert!(money.contains("Refunds") && money.contains("0.01 USD of 20 USD of test money"), "{money}");
    let report = crate::admin::ask(&seller.host, "/api/v1/refunds").await;
    let gas = report["gas"].as_array().expect("days");
    assert_eq!((gas.len(), &gas[0]["wei"]), (1, &report["refunds"][0]["feeWei"]), "{report}");
    let spent = gas[0]["shown"].as_str().expect("a text");
    assert!(money.contains("For refunds") && money.contains(spent), "{spent} is missing:\n{money}");
    assert_eq!(seller.sent().await.len(), 1);
}

/// Operators saw what the wallet has for gas, and not what it has to pay with, nor which refund was under way.
#[tokio::test]
async fn the_tokens_of_the_wallet_and_its_refund_under_way_are_shown() {
    let seller = Seller::start(BY_COMMAND).await;
    let is_read = |report: &Value| !report["wallets"][0]["tokens"].as_array().is_none_or(Vec::is_empty);
    let report = crate::admin::becomes(&seller.host, "/api/v1/refunds", is_read).await;
    assert_eq!(report["wallets"][0]["underWay"], Value::Null, "{report}");
    let tokens = report["wallets"][0]["tokens"][0].as_str().expect("an amount").to_owned();
    assert!(tokens.ends_with(" USDC"), "{report}");
    let debt = seller.owe(0).await;
    seller.node.withhold();
    assert_eq!(seller.order(&debt).await.0, 200);
    let is_sent = |report: &Value| report["refundWallets"][0]["underWay"]["hash"].is_string();
    let report = crate::admin::becomes(&seller.host, "/api/v1/status", is_sent).await;
    let refund = report["refundWallets"][0]["underWay"].clone();
    let amount = ("0.01 USDC", 0);
    assert_eq!((refund["amount"].as_str().expect("an amount"), &refund["nonce"]), (amount.0, &json!(amount.1)));
    assert_eq!(refund["payment"], debt.id, "{refund}");
    let hash = refund["hash"].as_str().expect("a hash").to_owned();
    let shown = page(&seller, "/chain").await;
    for part in [&tokens, &hash, "Sends 0.01 USDC back for payment"] {
        assert!(shown.contains(part), "{part} is missing from\n{shown}");
    }
    let (_, text, _) = seller.command(&["status", "--format", "table"]).await;
    assert!(text.contains(&tokens) && text.contains(&format!("by transaction {hash}")), "{text}");
    seller.node.release().await;
    seller.until(&debt, "refunded").await;
    let is_over = |report: &Value| report["wallets"][0]["underWay"].is_null();
    crate::admin::becomes(&seller.host, "/api/v1/refunds", is_over).await;
    seller.paid_back_once(&debt).await;
}

#[tokio::test]
async fn without_a_wallet_the_page_and_the_command_say_how_to_name_one() {
    let mut seller = Seller::start(BY_COMMAND).await;
    let debt = seller.owe(0).await;
    let config = seller.host.configuration();
    let (before, _) = config.split_once("[refunds]").expect("the table");
    seller.host.write_configuration(before);
    seller.host.restart(&[]).await;
    assert!(
        page(&seller, &format!("/payments/{}", debt.id)).await.contains("To pay it back, name a wallet and a budget")
    );
    seller.refuses(&debt, 409, "name its key and a daily budget in [refunds], and restart the host").await;
    let (code, _, reason) = seller.command(&["owed", "refund", &debt.id]).await;
    assert!(code == Some(1) && reason.contains("[refunds]"), "{reason}");
    let listed = seller.good(&["owed", "refunds", "--format", "table"]).await;
    assert!(listed.contains("nothing was paid back") && listed.contains("No wallet pays anything back"), "{listed}");
    // Without a host there is nobody to pay.
    seller.host.signal("TERM");
    seller.host.wait_for_exit().await;
    let (code, _, reason) = seller.command(&["owed", "refund", &debt.id]).await;
    assert!(code == Some(1) && reason.contains("coinslot"), "{reason}");
}

/// Needs Chromium, as the other pictures do.
#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_refunds_in_trouble_fit_every_window() {
    let mut seller = Seller::start("daily_budget = \"0.015 USDC\"\npolicy = \"after 1s\"\n").await;
    seller.restart_in_a_hurry().await;
    let (paid, reverted) = (seller.owe(0).await, seller.owe(1).await);
    seller.waits_for("a refund", || [&paid, &reverted].iter().any(|debt| seller.state(debt) == "refunded")).await;
    seller.until_alert("refund_trouble", "would exceed the budget").await;
    let (done, owed) = if seller.state(&paid) == "refunded" { (&paid, &reverted) } else { (&reverted, &paid) };
    let url = seller.host.admin();
    let pages = |names: &[(&str, String)]| -> Vec<(String, String)> {
        names.iter().map(|(name, path)| (format!("refund-{name}"), format!("{url}{path}"))).collect()
    };
    let mut seen = look_at(
        &pages(&[
            ("waits-now", "/".to_owned()),
            ("waits-money", "/money?period=all".to_owned()),
            ("owed-payment", format!("/payments/{}", owed.id)),
            ("done-payment", format!("/payments/{}", done.id)),
        ]),
        None,
    );
    let text = |seen: &[coinslot_tests::SeenPage], name: &str| -> String {
        seen.iter().find(|page| page.name == format!("refund-{name}-1440-light")).expect("a page").text.clone()
    };
    assert!(text(&seen, "waits-now").contains("what is due is not paid back"), "{}", text(&seen, "waits-now"));
    assert!(text(&seen, "owed-payment").contains("Pay back"), "{}", text(&seen, "owed-payment"));
    assert!(text(&seen, "done-payment").contains("Paid back"), "{}", text(&seen, "done-payment"));

    // A refund under way that is stuck.
    seller.reconfigure("0.015 USDC", "$20");
    seller.node.withhold();
    seller.restart_in_a_hurry().await;
    seller.until(owed, "refunding").await;
    seller.node.always("*", coinslot_tests::NodeFault::Refuse("<b>the node is closed for maintenance</b>"));
    seller.until_alert("refund_trouble", "has no end yet").await;
    let url = seller.host.admin();
    let stuck = [
        ("stuck-now", "/".to_owned()),
        ("stuck-money", "/money".to_owned()),
        ("stuck-payment", format!("/payments/{}", owed.id)),
    ];
    let stuck: Vec<_> = stuck.iter().map(|(name, path)| (format!("refund-{name}"), format!("{url}{path}"))).collect();
    let stuck = look_at(&stuck, None);
    let told = text(&stuck, "stuck-now");
    assert!(told.contains("has no end yet") && told.contains("<b>the node is closed"), "{told}");
    seen.extend(stuck);
    let faults: Vec<String> = seen
        .iter()
        .filter(|page| !page.faults.is_empty())
        .map(|page| format!("{}: {:?}", page.name, page.faults))
        .collect();
    assert_eq!(faults, Vec::<String>::new());
    assert!(seller.wallet_has().await < WALLET_HAS);
    let _: Value = crate::admin::ask(&seller.host, "/api/v1/refunds").await;
}
