//! What is forgotten, and when.

use super::*;

/// Nothing is kept for long.
const KEPT: Retention = Retention { answers: Duration::from_secs(10), payments: Duration::from_secs(5_000) };

#[tokio::test]
async fn a_pruned_answer_is_gone_and_its_payment_is_not() {
    let (_dir, ledger) = ledger();
    let hold = sent(&ledger, "n").await;
    take(&ledger, &hold, settled(BY_REQUEST), 1_002).await;
    assert_eq!(ledger.prune(UnixTime(1_500), KEPT).await, Ok(1));
    let forgotten = Claimed::Settled { settlement: settlement(), answer: None };
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(forgotten));
}

#[tokio::test]
async fn pruned_payments_stay_in_the_totals() {
    let (dir, ledger) = ledger();
    for nonce in ["a", "b", "c"] {
        let hold = paid_first(&ledger, nonce).await;
        take(&ledger, &hold, answered(), 1_003).await;
    }
    unknown(&ledger, "open").await;
    assert_eq!(ledger.prune(UnixTime(9_000), KEPT).await, Ok(6), "three answers and three rows");
    let total: (i64, String) = file(&dir)
        .query_row("SELECT payments, amount FROM total", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("one line");
    assert_eq!(total, (3, "30000".to_owned()));
    assert_eq!(rows(&dir).len(), 1, "what is unknown stays");
}
