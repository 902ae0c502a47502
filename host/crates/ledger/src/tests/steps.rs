//! The state diagram, and what a step that fails leaves behind.

use super::*;

#[tokio::test]
async fn steps_out_of_order_are_refused() {
    let (_dir, ledger) = ledger();
    let nobody = Hold { id: claim("n", 1).id, attempt: Attempt(1) };
    let early = ledger.advance(&nobody, settled(BY_REQUEST), UnixTime(1)).await;
    assert!(matches!(early, Err(LedgerError::OutOfOrder { step: "settled", .. })), "{early:?}");
    let hold = won(&ledger, claim("n", 1)).await;
    let unpaid = ledger.advance(&hold, answered(), UnixTime(1)).await;
    assert!(matches!(unpaid, Err(LedgerError::OutOfOrder { step: "answered", .. })), "{unpaid:?}");
    take(&ledger, &hold, Step::Executing, 1).await;
    take(&ledger, &hold, settling(), 1).await;
    let late = ledger.advance(&hold, Step::Released, UnixTime(1_000)).await;
    assert!(matches!(late, Err(LedgerError::OutOfOrder { step: "released", .. })), "{late:?}");
}

/// Every step, with some data.
fn steps() -> Vec<Step> {
    vec![
        Step::Released,
        Step::Failed { reason: "trap".to_owned() },
        Step::Executing,
        settling(),
        Step::SettlingUpfront { request: "{}".to_owned() },
        Step::NotSent,
        Step::Unknown { transaction: None, reason: None, reported: None },
        Step::Undecidable { reason: None },
        settled(OF_A_BATCH),
        settled(SettledBy::Recovery { alone: false }),
        answered(),
        Step::Owed { reason: "trap".to_owned(), client_left: false },
        refused(false),
        refused(true),
        Step::Dismissed,
        Step::Delivered { keep: true },
    ]
}

#[tokio::test]
async fn the_store_allows_exactly_the_steps_of_the_diagram() {
    let (dir, ledger) = ledger();
    let mut cases = Vec::new();
    for state in PaymentState::ALL {
        for flow in [Flow::Authorization, Flow::Upfront] {
            for paid in [false, true] {
                for watched in [false, true] {
                    cases.extend(steps().into_iter().map(|step| (step, Position { state, flow, paid, watched })));
                }
            }
        }
    }
    let of_case = |at: usize| Claim { id: of("0xpayer", &at.to_string()), ..claim("n", 1) };
    let mut claims = tokio::task::JoinSet::new();
    for at in 0..cases.len() {
        let ledger = Arc::clone(&ledger);
        claims.spawn(async move { (at, won(&ledger, of_case(at)).await) });
    }
    let holds: std::collections::HashMap<usize, Hold> = claims.join_all().await.into_iter().collect();
    let mut file = file(&dir);
    let changes = file.transaction().expect("a transaction");
    for (at, (_, Position { state, flow, paid, watched })) in cases.iter().enumerate() {
        changes
            .execute(
                "UPDATE progress SET state = ?2, flow = ?3, paid = ?4, next_look = ?5
                 WHERE id = (SELECT id FROM claim WHERE nonce = ?1)",
                rusqlite::params![at.to_string(), state.as_str(), flow.as_str(), paid, watched.then_some(1)],
            )
            .expect("a state");
    }
    changes.commit().expect("committed");

    let mut taken = tokio::task::JoinSet::new();
    for (at, (step, _)) in cases.clone().into_iter().enumerate() {
        let (ledger, hold) = (Arc::clone(&ledger), holds[&at].clone());
        taken.spawn(async move { (at, ledger.advance(&hold, step, UnixTime(1_001)).await) });
    }
    let taken: std::collections::HashMap<usize, _> = taken.join_all().await.into_iter().collect();
    let states: std::collections::HashMap<String, PaymentState> =
        rows(&dir).into_iter().map(|row| (row.nonce, row.state)).collect();
    for (at, (step, from)) in cases.iter().enumerate() {
        let (after, allowed) = match step.next(*from) {
            Some(Next::State(after)) => (Some(after), true),
            Some(Next::Deleted) => (None, true),
            None => (Some(from.state), matches!(step, Step::Delivered { .. })),
        };
        assert_eq!(states.get(&at.to_string()).copied(), after, "{step:?} from {from:?}");
        assert_eq!(taken[&at].is_ok(), allowed, "{step:?} from {from:?}: {:?}", taken[&at]);
    }
}

#[tokio::test]
async fn a_settlement_request_is_kept_until_its_end_is_known() {
    let (dir, ledger) = ledger();
    let (paid, refused_row) = (sent(&ledger, "paid").await, sent(&ledger, "refused").await);
    assert_eq!(count(&dir, "outgoing"), 2);
    take(&ledger, &paid, settled(BY_REQUEST), 1_002).await;
    assert_eq!(count(&dir, "outgoing"), 1);
    take(&ledger, &refused_row, Step::Unknown { transaction: None, reason: None, reported: None }, 1_002).await;
    assert_eq!(count(&dir, "outgoing"), 1);
    take(&ledger, &refused_row, refused(false), 1_003).await;
    assert_eq!(count(&dir, "outgoing"), 0);
}

#[tokio::test]
async fn a_step_that_fails_half_way_takes_its_whole_commit_with_it() {
    let (dir, ledger) = ledger();
    let (one, other) = (sent(&ledger, "one").await, sent(&ledger, "other").await);
    file(&dir)
        .execute_batch(
            "CREATE TRIGGER full BEFORE DELETE ON outgoing WHEN old.id = 1 BEGIN SELECT raise(ABORT, 'full'); END",
        )
        .expect("a trigger");
    let failed = ledger.advance(&one, settled(BY_REQUEST), UnixTime(1_002)).await;
    assert!(matches!(failed, Err(LedgerError::Unavailable(_))), "{failed:?}");
    assert!(!ledger.writable());
    let states = || {
        let mut rows: Vec<_> = rows(&dir).into_iter().map(|row| (row.state, row.transaction)).collect();
        rows.sort();
        rows
    };
    let settling = (PaymentState::Settling, None);
    assert_eq!(states(), [settling.clone(), settling.clone()], "nothing of it is left");
    take(&ledger, &other, settled(BY_REQUEST), 1_002).await;
    assert_eq!(states(), [settling, (PaymentState::Settled, Some("0xhash".to_owned()))]);
}
