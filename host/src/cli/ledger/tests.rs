use alloy::primitives::U256;
use clap::Parser;
use serde_json::{Value, json};

use super::*;
use coinslot_facilitator::testing::{PRICE, SELLER, World};
use coinslot_facilitator::{Facilitator, Settlement};
use coinslot_ledger::testing::{LedgerFile, LedgerRow, row};
use coinslot_x402::exact::Authorization;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    ledger: LedgerArgs,
}

/// What a command line writes, and how it ends.
async fn run(arguments: &[&str]) -> (String, Result<(), Failure>) {
    let arguments = std::iter::once("ledger").chain(arguments.iter().copied());
    let args = Line::try_parse_from(arguments).expect("good arguments").ledger;
    let mut written = Vec::new();
    let mut out = Output::to(&mut written);
    let ended = write(args, &mut out).await;
    drop(out);
    (String::from_utf8(written).expect("text"), ended)
}

async fn good(arguments: &[&str]) -> String {
    let (text, ended) = run(arguments).await;
    ended.expect("done");
    text
}

fn path(file: &LedgerFile) -> &str {
    file.path.to_str().expect("UTF-8")
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON object in each line")).collect()
}

#[tokio::test]
async fn payments_are_a_table_or_lines_of_json() {
    let file = LedgerFile::create();
    file.add(&LedgerRow { at: 1_700_000_000, ..row(1, "settled") });
    file.add(&LedgerRow { testnet: true, network: "eip155:84532", at: 1_700_000_060, ..row(2, "refused") });
    let table = good(&["payments", "--file", path(&file), "--format", "table"]).await;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with(" TIME"), "{table}");
    assert!(lines[1].contains("2023-11-14T22:14:20Z") && lines[1].contains("(test)"), "{table}");
    assert!(lines[2].contains("10000 units of 0x"), "an asset that is not of the table: {table}");
    let json = json_lines(&good(&["payments", "--file", path(&file), "--format", "json", "--limit", "1"]).await);
    assert_eq!(json.len(), 1);
    assert_eq!(json[0]["amount"], "0.01");
    assert_eq!(json[0]["atomicAmount"], "10000");
    assert_eq!(json[0]["createdAt"], "2023-11-14T22:14:20Z");
    assert_eq!(json[0]["testnet"], true);
    let none = good(&["payments", "--file", path(&file), "--format", "table", "--state", "owed"]).await;
    assert_eq!(none, "no payments\n");
}

#[tokio::test]
async fn revenue_never_adds_test_money_to_money() {
    let file = LedgerFile::create();
    let usdc = "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913";
    file.add(&LedgerRow { asset: usdc, ..row(1, "settled") });
    file.add(&LedgerRow { asset: usdc, amount: "2500000", ..row(2, "owed") });
    file.add(&LedgerRow { testnet: true, network: "eip155:84532", ..row(3, "delivered") });
    let table = good(&["revenue", "--file", path(&file), "--format", "table"]).await;
    let (money, test) = table.split_once("On test networks, worth nothing:").expect("two sections");
    assert!(money.contains("2.51 USDC") && !money.contains("84532"), "{table}");
    assert!(test.contains("0.01 USDC") && test.contains("84532"), "{table}");
    let json = json_lines(&good(&["revenue", "--file", path(&file), "--format", "json", "--by", "day"]).await);
    assert_eq!(json[0]["kind"], "revenue");
    assert_eq!(json[0]["key"], "1970-01-01");
    assert_eq!((&json[0]["amount"], &json[0]["payments"]), (&json!("2.51"), &json!(2)));
    assert_eq!(json[1]["kind"], "testnet");
    let csv = good(&["revenue", "--file", path(&file), "--format", "csv"]).await;
    assert_eq!(
        csv.lines().next(),
        Some("kind,by,key,network,asset,symbol,payments,amount,atomicAmount,refunds,refunded,atomicRefunded")
    );
    let empty = LedgerFile::create();
    assert_eq!(good(&["revenue", "--file", path(&empty), "--format", "table"]).await, "no money received\n");
}

#[tokio::test]
async fn what_is_owed_says_to_whom_why_and_how_to_make_good() {
    let file = LedgerFile::create();
    file.add(&LedgerRow { reason: Some("the plugin\u{1b}[2J trapped\n    0: 0x1b2c - a.wasm!main"), ..row(1, "owed") });
    file.add(&row(2, "settled"));
    let json = json_lines(&good(&["owed", "--file", path(&file), "--format", "json"]).await);
    assert_eq!(json.len(), 1);
    assert!(json[0]["reason"].as_str().expect("text").contains("a.wasm!main"), "{}", json[0]);
    assert!(json[0]["makeGood"].as_str().expect("text").contains("the same payment again"), "{}", json[0]);
    let table = good(&["owed", "--file", path(&file), "--format", "table"]).await;
    assert!(table.contains("the plugin\u{fffd}[2J trapped"), "nothing steers a terminal: {table:?}");
    assert!(!table.contains("a.wasm!main"), "no backtrace: {table}");
    assert!(table.contains("To make good"), "{table}");
    // No configuration names a wallet that pays anything back.
    for told in [&table, &json[0]["makeGood"].to_string()] {
        assert!(told.contains("coinslot owed settle") && !told.contains("owed refund"), "{told}");
    }
}

#[tokio::test]
async fn an_export_has_every_column_and_no_signature() {
    let file = LedgerFile::create();
    file.add(&LedgerRow { endpoint: "GET /a,\"b\"", reason: Some("=HYPERLINK(1)"), ..row(1, "refused") });
    file.run("INSERT INTO outgoing SELECT id, 'signed' FROM claim");
    let names = crate::operate::records::names::<crate::operate::records::PaymentRecord>();
    let csv = good(&["export", "--file", path(&file), "--format", "csv"]).await;
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], names.join(","));
    assert_eq!(lines[0].split(',').count(), 28);
    assert!(lines[1].contains("\"GET /a,\"\"b\"\"\""), "{}", lines[1]);
    assert!(lines[1].contains(",'=HYPERLINK(1),"), "no formula: {}", lines[1]);
    assert!(!csv.contains("signed"));
    let json = json_lines(&good(&["export", "--file", path(&file)]).await);
    assert_eq!(json[0].as_object().expect("an object").len(), names.len());
    let nothing = good(&["export", "--file", path(&file), "--format", "csv", "--since", "1d"]).await;
    assert_eq!(nothing.trim_end(), names.join(","));
}

/// Adds a payment that was given back, the newest so far.
fn give_back(file: &LedgerFile, network: &str, reason: &str) {
    file.run(&format!(
        "INSERT INTO failure (payment_id, network, asset, payer, amount, testnet, endpoint, plugin, reason, at)
         VALUES ('id', '{network}', '0xa', '0xb', '10000', 1, 'GET /a', 'a', '{reason}', 1700000000)"
    ));
}

/// A trap quotes what its client sent: CSV and JSON printed escape sequences of the client unchanged.
#[tokio::test]
async fn no_format_lets_the_text_of_a_client_drive_the_terminal() {
    let file = LedgerFile::create();
    let text = "bad \u{1b}[2J\u{9b}2J\u{202e}gpj.exe\u{7f}\n\u{ff1d}next";
    give_back(&file, "eip155:84532", text);
    file.add(&LedgerRow { reason: Some(text), ..row(1, "owed") });
    for (command, format) in ["failed", "owed", "payments", "export"]
        .into_iter()
        .flat_map(|command| ["table", "json", "csv"].map(|format| (command, format)))
    {
        let written = good(&[command, "--file", path(&file), "--format", format]).await;
        let steers = |c: char| coinslot_base::text::drives_terminal(c) && c != '\n';
        assert!(!written.contains(steers), "{command} {format}: {written:?}");
        if format == "json" && command != "payments" {
            let reasons: Vec<_> = json_lines(&written).iter().map(|row| row["reason"].clone()).collect();
            assert_eq!(reasons, [json!(text)], "JSON has the whole text, escaped");
        }
    }
    give_back(&file, "eip155:84532", "\u{ff1d}HYPERLINK(1)");
    let csv = good(&["failed", "--file", path(&file), "--format", "csv"]).await;
    assert!(csv.contains(",'\u{ff1d}HYPERLINK(1),"), "no formula: {csv}");
}

/// All rows were read, some of 4 KiB, before the first one was written.
#[tokio::test]
async fn failed_payments_are_written_as_they_are_read() {
    let file = LedgerFile::create();
    give_back(&file, "no network", "broken");
    (0..250).for_each(|number| give_back(&file, "eip155:84532", &format!("it trapped {number}")));
    let newest = json_lines(&good(&["failed", "--file", path(&file), "--format", "json", "--limit", "120"]).await);
    let reasons: Vec<_> = newest.iter().map(|row| row["reason"].clone()).collect();
    let expected: Vec<_> = (130..250).rev().map(|number| json!(format!("it trapped {number}"))).collect();
    assert_eq!(reasons, expected);
    let (written, ended) = run(&["failed", "--file", path(&file), "--format", "json", "--limit", "1000"]).await;
    ended.expect_err("the oldest row cannot be read");
    assert!(json_lines(&written).len() >= 200, "those before it are written: {}", written.len());
}

#[tokio::test]
async fn a_ledger_that_is_not_there_is_a_failure_and_no_configuration_is_wrong_usage() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("none.db");
    let (_, ended) = run(&["payments", "--file", file.to_str().expect("UTF-8")]).await;
    let failure = ended.expect_err("no such file");
    assert_eq!(failure.code, 1);
    assert!(failure.message.contains("none.db"), "{failure}");
    let config = dir.path().join("coinslot.toml");
    let (_, ended) = run(&["owed", "--config", config.to_str().expect("UTF-8")]).await;
    assert_eq!(ended.expect_err("no such file").code, 2);
}

/// The row of a payment that a facilitator settled, as a host writes it.
fn booked<'e>(world: &'e World, authorization: &'e Authorization, strings: &'e [String; 3], id: u8) -> LedgerRow<'e> {
    LedgerRow {
        network: "eip155:84532",
        asset: &world.asset.address,
        payer: &strings[0],
        nonce: authorization.nonce.to_string(),
        amount: &strings[1],
        testnet: true,
        transaction: (!strings[2].is_empty()).then(|| strings[2].clone()),
        at: crate::operate::time::now().0,
        ..row(id, "settled")
    }
}

async fn pay(world: &World) -> (Authorization, [String; 3]) {
    let authorization = world.authorization();
    let settled = world.local().await.settle(&world.payment_of(&authorization)).await;
    let Settlement::Settled { settlement: settled, .. } = settled else { panic!("{settled:?}") };
    let strings = [authorization.from.to_string().to_ascii_lowercase(), PRICE.to_string(), settled.transaction];
    (authorization, strings)
}

#[tokio::test]
async fn ledger_and_chain_are_compared_payment_by_payment() {
    let world = World::start().await;
    let file = LedgerFile::create();
    let reconcile = ["reconcile", "--file", path(&file), "--format", "json", "--rpc", &world.url, "--blocks", "1"];
    let empty = good(&reconcile).await;
    assert_eq!(serde_json::from_str::<Value>(&empty).expect("JSON")["agrees"], true, "nothing is no difference");

    let (first, strings) = pay(&world).await;
    file.add(&booked(&world, &first, &strings, 1));
    let (second, others) = pay(&world).await;
    file.add(&LedgerRow { state: "delivered", ..booked(&world, &second, &others, 2) });
    let agreed: Value = serde_json::from_str(&good(&reconcile).await).expect("JSON");
    assert_eq!(agreed["agrees"], true, "{agreed}");
    let receiver = &agreed["networks"][0]["receivers"][0];
    assert_eq!(receiver["payTo"], SELLER.to_string());
    for side in ["ledger", "chain"] {
        assert_eq!(receiver[side], json!({ "payments": 2, "amount": "0.02", "atomicAmount": "20000" }));
    }
    assert_eq!(agreed["networks"][0]["testnet"], true);

    // A row that claims too much, one whose money never came, and money that no row knows.
    file.run(&format!("UPDATE claim SET amount = '20000' WHERE payment_id = '{}'", "01".repeat(16)));
    let mut never = world.authorization();
    never.value = U256::from(PRICE);
    let nowhere = [strings[0].clone(), strings[1].clone(), format!("0x{}", "11".repeat(32))];
    file.add(&booked(&world, &never, &nowhere, 3));
    let (_outside, _) = pay(&world).await;
    let (text, ended) = run(&reconcile).await;
    assert_eq!(ended.expect_err("differences").code, 3);
    let report: Value = serde_json::from_str(&text).expect("JSON");
    let mut found: Vec<&str> = report["networks"][0]["differences"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|difference| difference["difference"].as_str().expect("text"))
        .collect();
    found.sort_unstable();
    assert_eq!(
        found,
        ["other amount or receiver", "received outside the ledger", "transaction not on chain"],
        "{report}"
    );
    let (table, _) = run(&["reconcile", "--file", path(&file), "--format", "table", "--rpc", &world.url]).await;
    assert!(table.contains("0.04 USDC in 3 payments") && table.contains("received outside the ledger"), "{table}");
    let (csv, _) = run(&["reconcile", "--file", path(&file), "--format", "csv", "--rpc", &world.url]).await;
    assert_eq!(csv.lines().count(), 4, "{csv}");
}

#[tokio::test]
async fn a_payment_on_chain_that_the_ledger_calls_refused_is_reported() {
    let world = World::start().await;
    let file = LedgerFile::create();
    let (authorization, mut strings) = pay(&world).await;
    strings[2].clear();
    file.add(&LedgerRow { state: "refused", ..booked(&world, &authorization, &strings, 1) });
    let (text, ended) = run(&["reconcile", "--file", path(&file), "--format", "json", "--rpc", &world.url]).await;
    assert_eq!(ended.expect_err("a difference").code, 3);
    assert!(text.contains("received, not booked") && text.contains("\"state\":\"refused\""), "{text}");
}

#[tokio::test]
async fn a_chain_that_cannot_be_asked_is_not_an_agreement() {
    let file = LedgerFile::create();
    file.add(&row(1, "settled"));
    let (_, ended) = run(&["reconcile", "--file", path(&file), "--format", "json"]).await;
    assert_eq!(ended.expect_err("no RPC").code, 2);
    let nobody = "http://127.0.0.1:9";
    let (_, ended) = run(&["reconcile", "--file", path(&file), "--format", "json", "--rpc", nobody]).await;
    assert_eq!(ended.expect_err("nobody answers").code, 1);
}

/// A node that did not answer was replaced by the configured one without a word, and the report agreed.
#[tokio::test]
async fn a_given_chain_is_compared_and_the_configured_one_is_not_asked_instead() {
    let world = World::start().await;
    let file = LedgerFile::create();
    file.add(&LedgerRow { network: "eip155:84532", at: crate::operate::time::now().0, ..row(1, "refused") });
    let state = file.path.parent().expect("a folder");
    let config = state.join("coinslot.toml");
    let text = format!(
        "state = \"{}\"\n[[accept]]\nnetwork = \"base-sepolia\"\npay_to = \"{SELLER}\"\n[facilitator.own]\nrpc = \"{}\"\n",
        state.display(),
        world.url
    );
    std::fs::write(&config, text).expect("a file");
    let config = config.to_str().expect("UTF-8");
    let reconcile = ["reconcile", "--config", config, "--format", "json"];
    run(&reconcile).await.1.expect("the configured node answers");
    let (_, ended) = run(&[&reconcile[..], &["--rpc", "http://127.0.0.1:9"]].concat()).await;
    assert_eq!(ended.expect_err("nobody answers").code, 1);
}

#[test]
fn a_payer_that_is_no_address_is_refused() {
    let with = |payer: &str| Line::try_parse_from(["ledger", "payments", "--payer", payer]).map(drop);
    let refused = with("0x12").expect_err("too short").to_string();
    assert!(refused.contains("not an address"), "{refused}");
    with(&SELLER.to_string()).expect("an address");
}
