//! Files of older schema versions.

use super::*;
use crate::{PaymentId, PaymentState};
use coinslot_x402::Network;

/// Writes a file of schema version 1, with one settled payment.
pub(crate) fn first_version(path: &std::path::Path) {
    let connection = Connection::open(path).expect("a file");
    connection.execute_batch(MIGRATIONS[0]).expect("the first layout");
    connection.pragma_update(None, "application_id", APPLICATION_ID).expect("a mark");
    connection.pragma_update(None, "user_version", 1).expect("a version");
    connection
        .execute(
            "INSERT INTO payment (key, payment_id, network, asset, payer, nonce, amount, pay_to, testnet, endpoint,
                plugin, generation, payment, request, state, settlement, tx, answer_head, answer_body, valid_before,
                created_at, updated_at)
             VALUES (x'01', 'id', 'eip155:84532', '0xa', '0xp', '0xn', '10000', '0xs', 1, 'GET /a', 'a', 1, x'02',
                x'03', 'settled', '{}', '0xt', '{}', x'', 2, 1, 1)",
            [],
        )
        .expect("a row");
}

/// Writes a file of schema version 2, with one payment in each state that the upgrade treats differently.
pub(crate) fn second_version(path: &std::path::Path) {
    let connection = Connection::open(path).expect("a file");
    connection.execute_batch(&MIGRATIONS[..2].concat()).expect("the second layout");
    connection.pragma_update(None, "application_id", APPLICATION_ID).expect("a mark");
    connection.pragma_update(None, "user_version", 2).expect("a version");
    let states = ["delivered", "settling", "refused", "owed", "reserved"];
    for (at, state) in (1_000_i64..).zip(states) {
        let id = PaymentId::new(Network::eip155(84532), "0xasset".to_owned(), "0xpayer".to_owned(), state.to_owned());
        let sent = state != "reserved";
        let paid = matches!(state, "delivered" | "owed").then_some(SETTLEMENT);
        connection
            .execute(
                "INSERT INTO payment (key, payment_id, network, asset, payer, nonce, amount, pay_to, testnet, endpoint,
                    plugin, generation, payment, request, identifier, flow, state, settle, settlement, tx, valid_before,
                    created_at, updated_at)
                 VALUES (?1, ?2, 'eip155:84532', '0xasset', '0xpayer', ?3, '10000', '0xseller', 1, 'GET /a', 'a', 1,
                    ?4, ?4, ?5, 'authorization', ?3, ?6, ?7, ?8, 2000, ?9, ?9)",
                rusqlite::params![
                    id.digest(),
                    id.short(),
                    state,
                    [1_u8; 32],
                    (state == "delivered").then_some("order-1"),
                    sent.then_some("{}"),
                    paid,
                    paid.map(|_| format!("0x{}", state.replace('d', "D"))),
                    at,
                ],
            )
            .expect("a row");
        if matches!(state, "delivered" | "settling") {
            connection
                .execute(
                    "INSERT INTO answer
                     VALUES (?1, json_object('headers', json_array(), 'status',
                         200), x'68656c6c6f', ?2)",
                    rusqlite::params![id.digest(), at],
                )
                .expect("its answer");
        }
    }
}

/// Writes a file of schema version 3, with one payment in each state. Each has an identifier and, if it was sent, a
/// transaction in upper case.
pub(crate) fn third_version(path: &std::path::Path) {
    let connection = Connection::open(path).expect("a file");
    connection.execute_batch(&MIGRATIONS[..3].concat()).expect("the third layout");
    connection.pragma_update(None, "application_id", APPLICATION_ID).expect("a mark");
    connection.pragma_update(None, "user_version", 3).expect("a version");
    let known = PaymentState::ALL.into_iter();
    let known = known.filter(|state| !matches!(state, PaymentState::Refunding | PaymentState::Refunded));
    for (row, state) in (1_i64..).zip(known) {
        let nonce = state.as_str();
        let id = PaymentId::new(Network::eip155(84532), "0xasset".to_owned(), "0xpayer".to_owned(), nonce.to_owned());
        connection
            .execute(
                "INSERT INTO claim (id, key, payment_id, network, asset, payer, nonce, amount, pay_to, testnet, endpoint,
                    plugin, generation, payment, request, identifier, valid_before, created_at)
                 VALUES (?1, ?2, ?3, 'eip155:84532', '0xasset', '0xpayer', ?4, '10000', '0xseller', 1, 'GET /a', 'a', 1,
                    ?5, ?5, ?4, 2000, 1000 + ?1)",
                rusqlite::params![row, id.digest(), id.short(), nonce, [1_u8; 32]],
            )
            .expect("a claim");
        connection
            .execute(
                "INSERT INTO progress (id, flow, state, sent, paid, updated_at)
                 VALUES (?1, 'authorization', ?2, ?3, ?4, 1000)",
                rusqlite::params![
                    row,
                    nonce,
                    !matches!(state, PaymentState::Reserved | PaymentState::Executing),
                    matches!(state, PaymentState::Settled | PaymentState::Delivered | PaymentState::Owed)
                ],
            )
            .expect("its progress");
        let (transaction, more) = match state {
            PaymentState::Reserved | PaymentState::Executing | PaymentState::Refunding | PaymentState::Refunded => {
                continue;
            }
            PaymentState::Settling | PaymentState::Unknown => {
                (None, format!("INSERT INTO outgoing VALUES ({row}, '{{}}')"))
            }
            PaymentState::Settled | PaymentState::Delivered | PaymentState::Owed | PaymentState::Refused => {
                (Some(format!("0xAB{row}")), format!("INSERT INTO answer VALUES ({row}, '{{}}', x'0102', 1000)"))
            }
        };
        connection.execute_batch(&more).expect("what belongs to it");
        if let Some(transaction) = transaction {
            connection
                .execute("INSERT INTO settlement VALUES (?1, ?2, ?3)", rusqlite::params![row, transaction, SETTLEMENT])
                .expect("its transaction");
        }
    }
}

/// Writes a file of schema version 10 as a host of that version left it, with one payment in each state it knew, the
/// events that its triggers wrote, and a line of the audit log.
pub(crate) fn tenth_version(path: &std::path::Path) {
    third_version(path);
    let connection = Connection::open(path).expect("a file");
    for migration in &MIGRATIONS[3..10] {
        connection.execute_batch(migration).expect("the next layout");
    }
    connection
        .execute_batch(
            "UPDATE progress SET attempt = 40 + id, looks = 2, reported = 'settled' WHERE state = 'unknown';
             UPDATE progress SET state = 'executing' WHERE state = 'owed';
             UPDATE progress SET state = 'owed', reason = 'trap', updated_at = 1003 WHERE id = 7;
             INSERT INTO change (at, who, kind, subject) VALUES (1004, 'start', 'plugin_loaded', 'a');
             PRAGMA user_version = 10;",
        )
        .expect("rows of that version");
}

/// Writes a file of schema version 11, with one payment in each state, each of a request, a refusal, and a failure.
pub(crate) fn eleventh_version(path: &std::path::Path) {
    tenth_version(path);
    let connection = Connection::open(path).expect("a file");
    connection.execute_batch(MIGRATIONS[10]).expect("the next layout");
    connection
        .execute_batch(
            "UPDATE claim SET request_id = 'request-of-' || nonce;
             UPDATE progress SET state = 'refused', reason = 'late', updated_at = 1005 WHERE state = 'settling';
             INSERT INTO failure (payment_id, network, asset, payer, amount, testnet, endpoint, plugin, reason, at)
                VALUES ('f', 'eip155:84532', '0xasset', '0xpayer', '1', 1, 'GET /a', 'a', 'old', 1006);
             PRAGMA user_version = 11;",
        )
        .expect("rows of that version");
}

const SETTLEMENT: &str = r#"{"success":true,"transaction":"0xDelivered","network":"eip155:84532","payer":"0xpayer"}"#;
