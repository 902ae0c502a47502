use super::*;

fn claim(nonce: &str, request: u8) -> Claim {
    Claim {
        id: PaymentId {
            network: Network::eip155(84532),
            asset: "0xasset".to_owned(),
            payer: "0xpayer".to_owned(),
            nonce: nonce.to_owned(),
        },
        payment: Fingerprint([1; 32]),
        request: Fingerprint([request; 32]),
        endpoint: "GET /a".to_owned(),
        plugin: "a".to_owned(),
        generation: 1,
        amount: "10000".to_owned(),
        pay_to: "0xseller".to_owned(),
        testnet: true,
        valid_before: UnixTime(2_000),
        at: UnixTime(1_000),
    }
}

fn settlement() -> SettlementResponse {
    SettlementResponse {
        success: true,
        error_reason: None,
        error_message: None,
        payer: Some("0xpayer".to_owned()),
        transaction: "0xhash".to_owned(),
        network: "eip155:84532".to_owned(),
        amount: None,
        extensions: None,
        extra: None,
    }
}

fn answer() -> KeptAnswer {
    KeptAnswer {
        status: 200,
        headers: vec![("content-type".to_owned(), b"text/plain".to_vec()), ("x-odd".to_owned(), vec![0xff])],
        body: Bytes::from_static(b"hello"),
    }
}

fn ledger() -> (tempfile::TempDir, Embedded) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = Embedded::open(&dir.path().join("ledger.db")).expect("a new ledger");
    (dir, ledger)
}

#[tokio::test]
async fn a_claim_is_won_once() {
    let (_dir, ledger) = ledger();
    let attempts = (0..64).map(|_| ledger.claim(claim("n", 1))).collect::<Vec<_>>();
    let mut won = 0;
    for attempt in attempts {
        match attempt.await.expect("a working ledger") {
            Claimed::Won => won += 1,
            Claimed::InFlight => {}
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn a_payment_cannot_be_moved_to_another_request() {
    let (_dir, ledger) = ledger();
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(Claimed::Won));
    assert_eq!(ledger.claim(claim("n", 2)).await, Ok(Claimed::OtherRequest));
    let forged = Claim { payment: Fingerprint([9; 32]), ..claim("n", 1) };
    assert_eq!(ledger.claim(forged).await, Ok(Claimed::OtherRequest));
}

#[tokio::test]
async fn a_released_payment_may_try_again() {
    let (_dir, ledger) = ledger();
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(Claimed::Won));
    assert_eq!(ledger.release(&claim("n", 1).id).await, Ok(()));
    assert_eq!(ledger.claim(claim("n", 2)).await, Ok(Claimed::Won));
}

#[tokio::test]
async fn a_settled_payment_gives_its_answer_back() {
    let (_dir, ledger) = ledger();
    let id = claim("n", 1).id;
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(Claimed::Won));
    assert_eq!(ledger.settling(&id, "{}".to_owned(), Some(answer()), UnixTime(1_001)).await, Ok(()));
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(Claimed::Settling { transaction: None }));
    assert_eq!(ledger.settled(&id, settlement(), true, UnixTime(1_002)).await, Ok(()));
    let expected = Claimed::Settled { settlement: settlement(), answer: Some(answer()) };
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(expected));
    assert_eq!(ledger.prune(UnixTime(9_000), UnixTime(9_000)).await, Ok(1));
    let forgotten = Claimed::Settled { settlement: settlement(), answer: None };
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(forgotten));
}

#[tokio::test]
async fn steps_out_of_order_are_refused() {
    let (_dir, ledger) = ledger();
    let id = claim("n", 1).id;
    let early = ledger.settled(&id, settlement(), true, UnixTime(1)).await;
    assert!(matches!(early, Err(LedgerError::OutOfOrder { step: "settled", .. })), "{early:?}");
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(Claimed::Won));
    assert_eq!(ledger.settling(&id, "{}".to_owned(), None, UnixTime(1)).await, Ok(()));
    let late = ledger.release(&id).await;
    assert!(matches!(late, Err(LedgerError::OutOfOrder { step: "released", .. })), "{late:?}");
}

#[tokio::test]
async fn a_restart_releases_what_was_not_sent_and_remembers_what_was() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("ledger.db");
    {
        let ledger = Embedded::open(&path).expect("a new ledger");
        assert_eq!(ledger.claim(claim("reserved", 1)).await, Ok(Claimed::Won));
        assert_eq!(ledger.claim(claim("settling", 1)).await, Ok(Claimed::Won));
        let id = claim("settling", 1).id;
        let sent = ledger.settling(&id, "{\"a\":1}".to_owned(), Some(answer()), UnixTime(1));
        assert_eq!(sent.await, Ok(()));
    }
    let ledger = reopened(&path).await;
    assert_eq!(ledger.claim(claim("reserved", 2)).await, Ok(Claimed::Won));
    let pending = Pending {
        id: claim("settling", 1).id,
        request: "{\"a\":1}".to_owned(),
        valid_before: UnixTime(2_000),
        answer_kept: true,
    };
    assert_eq!(ledger.pending(UnixTime(9_999)).await, Ok(vec![pending]));
    assert_eq!(ledger.claim(claim("settling", 1)).await, Ok(Claimed::Settling { transaction: None }));
}

/// The writer thread of the dropped ledger closes the file a moment later.
async fn reopened(path: &std::path::Path) -> Embedded {
    for _ in 0..500 {
        if let Ok(ledger) = Embedded::open(path) {
            return ledger;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the ledger stays locked");
}

#[tokio::test]
async fn another_programs_database_is_left_alone() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("other.db");
    let other = rusqlite::Connection::open(&path).expect("a database");
    other.execute_batch("CREATE TABLE t (a)").expect("a table");
    drop(other);
    assert!(matches!(Embedded::open(&path), Err(LedgerError::Schema(_))));
}
