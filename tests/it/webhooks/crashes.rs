//! Kills the host in the middle of attempts while a receiver fails, hangs and comes back: it is told every event at least
//! once, in the order of each payment, and signed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use coinslot_tests::{Receiver, ReceiverMode};
use serde_json::Value;

use super::{is_signed, text};
use crate::admin::ask;
use crate::refunds::BY_COMMAND;
use crate::refunds::seller::{Debt, Seller};

const PATIENCE: Duration = Duration::from_secs(120);

async fn until(what: &str, seller: &Seller, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}\n{}", seller.host.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits for an attempt from now on.
async fn tried_again(seller: &Seller, receiver: &Receiver) {
    let before = receiver.tried();
    until("another attempt", seller, || receiver.tried() > before).await;
}

/// Has a payer pay, and kills the host while the payment is being settled: nobody knows whether the money moves.
async fn killed_while_settling(seller: &mut Seller, payer: usize) -> Debt {
    let payer = seller.chain.payer(payer);
    let (address, client) = (payer.address(), reqwest::Client::new());
    let challenge = client.post(seller.host.url("/upfront")).body("mine").send().await.expect("a challenge");
    let payment = payer.pay(&challenge).header();
    let sent = seller.node.calls("eth_sendRawTransaction");
    seller.node.withhold();
    let request = tokio::spawn(seller.request(&payment).send());
    seller.until_called("eth_sendRawTransaction", sent + 1).await;
    seller.host.signal("KILL");
    seller.host.wait_for_exit().await;
    request.await.expect("a task").expect_err("the host was killed");
    seller.host.restart(&[]).await;
    let id = seller.query("SELECT payment_id FROM payment WHERE state = 'unknown'");
    Debt { id, payment, payer: address }
}

/// The events of the ledger: their payments and types, in their order.
fn events(seller: &Seller) -> Vec<(String, String)> {
    let file = seller.host.path(".coinslot/ledger.db");
    let ledger = rusqlite::Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY);
    let ledger = ledger.expect("the ledger");
    let mut rows = ledger.prepare("SELECT payment_id, 'payment.' || kind FROM event ORDER BY id").expect("events");
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    rows.collect::<Result<_, _>>().expect("events")
}

/// The messages that were accepted, each once, in the order in which they were accepted first.
fn told(receiver: &Receiver) -> Vec<(String, String)> {
    let mut known = BTreeSet::new();
    let messages: Vec<Value> = receiver.accepted().iter().map(|message| message.json()).collect();
    let new = messages.iter().filter(|message| known.insert(text(message, "/id")));
    new.map(|message| (text(message, "/data/paymentId"), text(message, "/type"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_and_hangs_is_told_every_event_of_each_payment_in_order_by_a_host_that_is_killed() {
    let receiver = Receiver::start().await;
    let hook = format!(
        "[[webhook]]\nurl = \"{}\"\nsecret_file = \"key\"\nevents = [\"paid\", \"owed\", \"refunded\", \"unknown\", \
         \"refused\", \"failed\"]\n",
        receiver.url()
    );
    let mut seller = Seller::start_with(BY_COMMAND, &hook).await;
    let secret = std::fs::read_to_string(seller.host.path("key")).expect("the secret");

    // It fails, and the host is killed between two attempts.
    receiver.set(ReceiverMode::Refuse(500));
    let first = seller.owe(0).await;
    tried_again(&seller, &receiver).await;
    seller.host.restart(&[]).await;
    tried_again(&seller, &receiver).await;

    // It hangs, and the host is killed while it waits for an answer.
    receiver.set(ReceiverMode::Hang);
    tried_again(&seller, &receiver).await;
    let second = killed_while_settling(&mut seller, 1).await;
    tried_again(&seller, &receiver).await;
    seller.node.release().await;
    seller.until(&second, "owed").await;
    let third = seller.owe(2).await;
    assert!(receiver.accepted().is_empty());

    // It comes back, and the host is killed while it is told.
    receiver.set(ReceiverMode::Refuse(503));
    seller.host.restart(&[]).await;
    tried_again(&seller, &receiver).await;
    receiver.set(ReceiverMode::Accept);
    until("the first messages", &seller, || receiver.accepted().len() >= 2).await;
    seller.host.signal("KILL");
    seller.host.wait_for_exit().await;
    receiver.set(ReceiverMode::Hang);
    seller.host.restart(&[]).await;
    for debt in [&first, &second, &third] {
        seller.pays_back(debt).await;
    }
    tried_again(&seller, &receiver).await;
    seller.host.restart(&[]).await;
    receiver.set(ReceiverMode::Accept);

    let events = events(&seller);
    until("everything is told", &seller, || told(&receiver).len() >= events.len()).await;
    let told = told(&receiver);
    assert_eq!(told, events, "each event, in the order of the ledger\n{}", seller.host.log());
    let mut of_payment: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    told.iter().for_each(|(payment, kind)| of_payment.entry(payment).or_default().push(kind));
    let owed = ["payment.paid", "payment.owed", "payment.refunded"];
    assert_eq!((&of_payment[&*first.id][..], &of_payment[&*third.id][..]), (&owed[..], &owed[..]));
    assert_eq!(of_payment[&*second.id], [&["payment.unknown"][..], &owed].concat());
    for message in receiver.accepted() {
        assert!(is_signed(&secret, &message), "{message:?}");
        assert_eq!(text(&message.json(), "/id"), message.headers["webhook-id"], "a repetition has the id that it had");
    }

    // What failed before the first restart is in the log still.
    let log = ask(&seller.host, &format!("/api/v1/webhooks/attempts?payment={}&limit=1000", first.id)).await;
    let log = log.as_array().expect("attempts");
    let has = |wanted: &dyn Fn(&Value) -> bool| log.iter().any(wanted);
    assert!(has(&|attempt| attempt["status"] == 500) && has(&|attempt| attempt["status"] == 200), "{log:?}");
    assert!(log.iter().all(|attempt| attempt["paymentId"] == *first.id), "{log:?}");
    let ids: BTreeSet<&str> = log.iter().filter_map(|attempt| attempt["id"].as_str()).collect();
    assert_eq!(ids.len(), 3, "one message for each event: {log:?}");
}
