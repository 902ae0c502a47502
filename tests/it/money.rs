//! Checks that a payer pays once and the price that was offered: failed settlements, contract wallets, changed prices,
//! payment identifiers, a locked ledger, and many copies at once.

use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::sol_types::SolValue;
use coinslot_devnet::wallet1271_runtime_code;
use coinslot_tests::{DevHost, Payment, declaring, decode, guest};
use serde_json::{Value, json};

/// The storage slot of `balances[holder]` in the USDC stand-in.
fn balance_slot(holder: Address) -> B256 {
    keccak256((holder, U256::ZERO).abi_encode())
}

async fn set_dollars(host: &DevHost, holder: Address, atomic: u64) {
    let before = host.chain().balance(holder).await;
    let word = B256::from(U256::from(atomic));
    host.chain().call("anvil_setStorageAt", json!([host.dev_json()["asset"], balance_slot(holder), word])).await;
    assert_ne!(before, U256::from(atomic));
    assert_eq!(host.chain().balance(holder).await, U256::from(atomic), "the slot is that of the balance");
}

/// The flows of all payments in the ledger, oldest first.
fn flows(host: &DevHost) -> Vec<String> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let ledger =
        rusqlite::Connection::open_with_flags(host.path(".coinslot/dev-ledger.db"), flags).expect("the ledger");
    let mut rows = ledger.prepare("SELECT flow FROM payment ORDER BY created_at").expect("the payments");
    let flows = rows.query_map([], |row| row.get(0)).expect("their flows");
    flows.collect::<Result<_, _>>().expect("their flows")
}

async fn challenge(host: &DevHost, path: &str) -> reqwest::Response {
    let reply = host.client().post(host.url(path)).body("mine").send().await.expect("an answer");
    assert_eq!(reply.status(), 402);
    reply
}

fn send(host: &DevHost, path: &str, payment: &Payment) -> reqwest::RequestBuilder {
    host.client().post(host.url(path)).body("mine").header("PAYMENT-SIGNATURE", payment.header())
}

#[tokio::test]
async fn a_payer_with_a_failed_settlement_pays_upfront_afterwards() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).arguments(&["--block-time", "3"]).start().await;
    let payer = host.payer(0);
    set_dollars(&host, payer.address(), 10_000).await;
    let asked = challenge(&host, "/echo").await;
    let (one, other) = (payer.pay(&asked), payer.pay(&asked));
    let (one, other) = tokio::join!(send(&host, "/echo", &one).send(), send(&host, "/echo", &other).send());
    let mut replies = [one.expect("an answer"), other.expect("an answer")];
    replies.sort_by_key(|reply| reply.status());
    let [paid, unpaid] = replies;
    assert_eq!((paid.status().as_u16(), unpaid.status().as_u16()), (200, 402));
    let refused = unpaid.text().await.expect("a body");
    assert!(!refused.contains("bodyEnd"), "no part of the answer leaves: {refused}");
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(10_000));

    set_dollars(&host, payer.address(), 10_000).await;
    let again = payer.pay(&challenge(&host, "/echo").await);
    assert_eq!(send(&host, "/echo", &again).send().await.expect("an answer").status(), 200);
    assert_eq!(
        flows(&host).last().map(String::as_str),
        Some("upfront"),
        "a payer with a failed settlement pays upfront"
    );
    let other = host.payer(1).pay(&challenge(&host, "/echo").await);
    assert_eq!(send(&host, "/echo", &other).send().await.expect("an answer").status(), 200);
    assert_eq!(flows(&host).iter().filter(|flow| *flow == "upfront").count(), 1, "other payers do not");
}

#[tokio::test]
async fn a_contract_wallet_pays_upfront() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let payer = host.payer(0);
    host.chain().call("anvil_setCode", json!([payer.address(), wallet1271_runtime_code()])).await;
    let owner = B256::left_padding_from(payer.address().as_slice());
    host.chain().call("anvil_setStorageAt", json!([payer.address(), B256::ZERO, owner])).await;
    let payment = payer.pay(&challenge(&host, "/echo").await);
    let reply = send(&host, "/echo", &payment).send().await.expect("an answer");
    assert_eq!(reply.status(), 200, "{}", reply.text().await.unwrap_or_default());
    assert_eq!(flows(&host), ["upfront"], "a contract may revoke its signature before the settlement");
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(10_000));
}

/// Installs the guest `declared` with this price and waits until a challenge asks for it.
async fn declare(host: &DevHost, price: &str, atomic: &str) -> reqwest::Response {
    let part = host.path(".coinslot/plugins/declared.part");
    std::fs::write(&part, declaring(&format!("/declared exact {price}"))).expect("a component");
    std::fs::rename(part, host.path(".coinslot/plugins/declared.wasm")).expect("a rename");
    for _ in 0..1_000 {
        let reply = host.client().get(host.url("/declared")).send().await.expect("an answer");
        if let Some(required) = reply.headers().get("payment-required")
            && decode(required.to_str().expect("ASCII"))["accepts"][0]["amount"] == atomic
        {
            return reply;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{price} is not asked for\n{}", host.log());
}

#[tokio::test]
async fn an_offer_is_honoured_at_its_own_price_after_a_reload() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let old = declare(&host, "0.01", "10000").await;
    let (first, second) = (host.payer(0).pay(&old), host.payer(1).pay(&old));
    let body: Value = old.json().await.expect("JSON");
    let legacy = host.payer(2).pay_v1(&body["accepts"][0]);
    let new = declare(&host, "0.02", "20000").await;
    let get =
        |name: &str, payment: &Payment| host.client().get(host.url("/declared")).header(name, payment.header()).send();
    assert_eq!(get("PAYMENT-SIGNATURE", &first).await.expect("an answer").status(), 200);
    assert_eq!(get("X-PAYMENT", &legacy).await.expect("an answer").status(), 200);
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(20_000), "twice the old price");
    assert_eq!(get("PAYMENT-SIGNATURE", &host.payer(0).pay(&new)).await.expect("an answer").status(), 200);
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(40_000), "and once the new one");
    // A price that was never offered, between the two.
    let third = second.with("/accepted/amount", json!("15000"));
    let refused = get("PAYMENT-SIGNATURE", &third).await.expect("an answer");
    assert_eq!(refused.status(), 402);
    let required = decode(refused.headers()["payment-required"].to_str().expect("ASCII"));
    assert_eq!(required["accepts"][0]["amount"], "20000", "only today's price is offered");
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(40_000));
}

#[tokio::test]
async fn a_second_payment_with_the_same_identifier_buys_nothing_more() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let asked = challenge(&host, "/echo").await;
    let required = decode(asked.headers()["payment-required"].to_str().expect("ASCII"));
    let extension = &required["extensions"]["payment-identifier"];
    assert_eq!(extension["info"]["required"], false, "{required}");
    let named = |id: &str| {
        let mut payment = host.payer(0).pay(&asked);
        let mut extensions = required["extensions"].clone();
        extensions["payment-identifier"]["info"]["id"] = json!(id);
        payment.document["extensions"] = extensions;
        payment
    };
    let first = send(&host, "/echo", &named("order-0123456789")).send().await.expect("an answer");
    assert_eq!(first.status(), 200);
    let id = first.headers()["x-coinslot-payment-id"].clone();
    let answer = first.text().await.expect("a body");
    let second = send(&host, "/echo", &named("order-0123456789")).send().await.expect("an answer");
    assert_eq!(second.status(), 200);
    assert_eq!(second.headers()["x-coinslot-payment-id"], id, "the payment that the ledger knows");
    assert_eq!(second.text().await.expect("a body"), answer, "the answer of the first payment");
    let other = send(&host, "/echo?other", &named("order-0123456789")).send().await.expect("an answer");
    assert_eq!((other.status().as_u16(), &other.headers()["x-coinslot-payment-id"]), (409, &id));
    let refused: Value = other.json().await.expect("JSON");
    assert_eq!((&refused["error"], &refused["charged"]), (&json!("payment_used_for_another_request"), &json!("no")));
    assert!(refused["message"].as_str().expect("text").contains("payment-identifier"), "{refused}");
    let bad = send(&host, "/echo", &named("too short")).send().await.expect("an answer");
    assert_eq!(bad.status(), 402);
    assert_eq!(bad.json::<Value>().await.expect("JSON")["error"], "invalid_payload");
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(10_000), "one charge");
    assert_eq!(host.log().matches("echo got").count(), 1, "one run");
    assert_eq!(send(&host, "/echo", &named("order-9876543210")).send().await.expect("an answer").status(), 200);
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(20_000), "another order is another purchase");
}

#[tokio::test]
async fn nothing_is_sold_while_the_ledger_is_locked() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let payment = host.payer(0).pay(&challenge(&host, "/echo").await);
    let other = rusqlite::Connection::open(host.path(".coinslot/dev-ledger.db")).expect("the ledger");
    other.execute_batch("BEGIN IMMEDIATE").expect("its lock");
    let refused = send(&host, "/echo", &payment).send().await.expect("an answer");
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after") && !refused.headers().contains_key("payment-required"));
    let unasked = host.client().post(host.url("/echo")).body("mine").send().await.expect("an answer");
    assert_eq!(unasked.status(), 503, "no challenge for a payment that cannot be recorded");
    assert_eq!(
        host.client().get(host.url("/echo")).send().await.expect("an answer").status(),
        200,
        "free routes are served"
    );
    other.execute_batch("ROLLBACK").expect("no lock");
    for _ in 0..600 {
        let reply = send(&host, "/echo", &payment).send().await.expect("an answer");
        if reply.status() == 200 {
            assert_eq!(host.chain().balance(host.seller()).await, U256::from(10_000));
            assert_eq!(host.log().matches("echo got").count(), 2, "the free one and the paid one");
            return;
        }
        assert_eq!(reply.status(), 503);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the host does not sell again\n{}", host.log());
}

#[tokio::test]
async fn two_hundred_copies_at_a_barrier_run_once_and_settle_once() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).arguments(&["--block-time", "0.5"]).start().await;
    let payment = host.payer(0).pay(&challenge(&host, "/echo").await);
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(200));
    let mut copies = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (barrier, request) = (barrier.clone(), send(&host, "/echo", &payment));
        copies.spawn(async move {
            barrier.wait().await;
            request.send().await.expect("an answer").status().as_u16()
        });
    }
    let statuses = copies.join_all().await;
    assert!(statuses.contains(&200), "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 409 | 503)), "{statuses:?}");
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(10_000));
    assert_eq!(host.log().matches("echo got").count(), 1, "the guest ran once");
    host.wait_for_ledger(&["delivered"]).await;
}
