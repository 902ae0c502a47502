use std::time::Duration;

use serde_json::json;

use super::*;

/// What everybody says of one payment that went well, of one that its client never fetched, and of one
/// that was refused.
struct Told {
    records: Vec<Record>,
    ledger: Vec<Value>,
    seen: Seen,
    open: Vec<Value>,
    reconciled: Option<Value>,
    lives: Vec<Life>,
}

fn record(nonce: &str, end: End) -> Record {
    Record { payer: "0xa".to_owned(), nonce: nonce.to_owned(), amount: 10, end }
}

fn row(nonce: &str, state: &str) -> Value {
    json!({ "payer": "0xA", "nonce": nonce, "atomicAmount": "10", "state": state, "transaction": format!("0xt{nonce}") })
}

fn bought(transaction: &str) -> End {
    End::Bought { transaction: transaction.to_owned(), waited: Duration::ZERO, attempts: 1 }
}

fn on_chain(nonce: &str) -> (Spend, (u128, String)) {
    (("0xa".to_owned(), nonce.to_owned()), (10, format!("0xt{nonce}")))
}

fn agreed() -> Told {
    let payments = [on_chain("1"), on_chain("2")].into_iter().collect();
    Told {
        records: vec![
            record("1", bought("0xt1")),
            record("2", End::Gone),
            record("3", End::Refused("interrupted".to_owned())),
        ],
        ledger: vec![row("1", "delivered"), row("2", "settled"), row("3", "refused")],
        seen: Seen { payments, transfers: 2, transferred: 20, received: 20, ..Seen::default() },
        open: Vec::new(),
        reconciled: Some(json!({ "agrees": true })),
        lives: Vec::new(),
    }
}

#[track_caller]
fn check(change: impl FnOnce(&mut Told), expected: &[&str]) {
    let mut told = agreed();
    change(&mut told);
    let verdict = compare(&told.records, &told.ledger, &told.seen, &told.open, &told.reconciled, &told.lives);
    let found: Vec<&str> = verdict.differences.iter().map(String::as_str).collect();
    let all = expected.iter().all(|what| found.iter().any(|difference| difference.starts_with(what)));
    assert!(all && found.is_empty() == expected.is_empty(), "{found:#?} has not {expected:#?}");
}

#[test]
fn what_agrees_agrees() {
    check(|_| (), &[]);
}

#[test]
fn a_receipt_has_its_transfer_and_its_row() {
    check(
        |told| drop(told.seen.payments.remove(&on_chain("1").0)),
        &["a receipt, and nothing on chain", "booked and not"],
    );
    check(|told| told.records[0].end = bought("0xother"), &["another transaction on chain than in the receipt"]);
    check(|told| told.records[0].amount = 9, &["another amount on chain", "clients have"]);
    check(|told| told.ledger[0] = row("1", "refused"), &["a receipt, and not booked", "on chain and not booked"]);
    check(
        |told| told.ledger[0]["transaction"] = json!("0xother"),
        &["another transaction on chain than in the ledger"],
    );
}

#[test]
fn a_refusal_has_its_reason_and_costs_nothing() {
    check(|told| told.records[2].end = End::Refused("invalid_signature".to_owned()), &["a good payment refused"]);
    check(
        |told| told.seen.payments.extend([on_chain("3")]),
        &["refused, and money on chain", "on chain and not booked"],
    );
}

#[test]
fn who_never_came_back_is_booked_as_the_chain_has_it() {
    check(|told| drop(told.ledger.remove(1)), &["gone, and ledger and chain differ", "on chain and not booked"]);
    check(|told| told.ledger[1] = row("2", "owed"), &[]);
    check(|told| told.ledger[0] = row("1", "owed"), &["owed to a client that came back"]);
}

#[test]
fn nothing_comes_from_nowhere_and_nothing_stays_open() {
    check(|told| drop(told.records.remove(1)), &["no client's payment", "clients have"]);
    check(|told| told.seen.transferred += 10, &["the ledger has"]);
    check(|told| told.seen.received += 10, &["       2 payments"]);
    check(|told| told.open.push(row("2", "unknown")), &["not finished"]);
    check(|told| told.reconciled = None, &["coinslot ledger reconcile"]);
    check(|told| told.records.push(record("4", End::Wrong("500 at last".to_owned()))), &["500 at last"]);
}

#[test]
fn a_host_that_is_asked_to_end_ends_well() {
    let life = |status: &str, left| Life {
        starting: Duration::ZERO,
        memory: [0, 0],
        signal: Some(Signal::TERM),
        ending: Duration::ZERO,
        status: Some(status.to_owned()),
        left,
    };
    check(|told| told.lives.push(life("exit status: 0", 0)), &[]);
    check(|told| told.lives.push(life("exit status: 1", 0)), &["SIGTERM ended the host"]);
    check(|told| told.lives.push(life("exit status: 0", 1)), &["SIGTERM left 1 payments"]);
}
