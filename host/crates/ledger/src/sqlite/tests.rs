//! The work that SQLite does for one payment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use coinslot_x402::{Flow, Network, UnixTime};
use rusqlite::Connection;
use rusqlite::hooks::{AuthContext, Authorization};

use super::{claims, open, steps};
use crate::{Claim, Claimed, Fingerprint, Holder, PaymentId, SettledBy, Step, StoredAnswer};

const AT: UnixTime = UnixTime(1_000);

/// Takes a payment from its claim to its delivery.
fn pay(connection: &Connection, nonce: &str, identifier: Option<&str>) {
    let claim = Claim {
        id: PaymentId::new(Network::eip155(84532), "0xasset".to_owned(), "0xpayer".to_owned(), nonce.to_owned()),
        payment: Fingerprint([1; 32]),
        request: Fingerprint([2; 32]),
        holder: Holder { secret: Some(Fingerprint([3; 32])), client: Some(Fingerprint([4; 32])) },
        endpoint: "GET /a".to_owned(),
        plugin: "a".to_owned(),
        generation: 1,
        request_id: None,
        amount: "10000".to_owned(),
        pay_to: "0xseller".to_owned(),
        testnet: true,
        flow: Flow::Authorization,
        pass: None,
        identifier: identifier.map(ToOwned::to_owned),
        valid_before: UnixTime(2_000),
        at: AT,
    };
    let Ok(Claimed::Won(hold)) = claims::claim(connection, &claim) else { panic!("a new claim") };
    let answer = StoredAnswer { status: 200, headers: Vec::new(), body: Bytes::from_static(b"{}") };
    let settlement = serde_json::from_value(serde_json::json!({
        "success": true,
        "transaction": format!("0x{nonce}"),
        "network": "eip155:84532",
    }));
    let part = Duration::from_millis(1);
    for step in [
        Step::Executing,
        Step::Settling { request: "{}".to_owned(), answer },
        Step::Settled {
            settlement: settlement.expect("a settlement"),
            by: SettledBy::Request { alone: true, verify: part, run: Some(part), settle: part },
            block: Some(7),
        },
        Step::Delivered { keep: true },
    ] {
        steps::advance(connection, &hold, step, AT).expect("a step in order");
    }
}

/// SQLite prepares a statement anew when a value is bound on which its plan may depend, and does not report it. It
/// costs as much as the statement itself.
#[test]
fn no_statement_is_prepared_again_for_the_next_payment() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut connection = open::open(&dir.path().join("ledger.db")).expect("a new ledger");
    let prepared = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&prepared);
    // SQLite asks for leave for each thing that a statement does while it prepares the statement.
    let ask = move |_: AuthContext<'_>| {
        seen.fetch_add(1, Ordering::Relaxed);
        Authorization::Allow
    };
    connection.authorizer(Some(ask)).expect("an authorizer");
    pay(&connection, "01", None);
    pay(&connection, "02", Some("order-1"));
    assert_ne!(prepared.swap(0, Ordering::Relaxed), 0);
    pay(&connection, "03", None);
    pay(&connection, "04", Some("order-2"));
    assert_eq!(prepared.load(Ordering::Relaxed), 0, "questions while statements were prepared");
}
