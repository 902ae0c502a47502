//! Tests what pruning deletes, and when.

use super::*;

/// Nothing is kept for long.
const KEPT: Retention =
    Retention { answers: Duration::from_secs(10), payments: Duration::from_secs(5_000), answer_bytes: u64::MAX };

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

/// A thousand rows were pruned in a minute, so that a host with more sales than that grew its ledger without bound.
#[tokio::test]
async fn one_pruning_leaves_nothing_that_can_be_forgotten() {
    let (dir, ledger) = ledger();
    let hold = paid_first(&ledger, "n").await;
    take(&ledger, &hold, answered(), 1_003).await;
    copy(&dir, 2_500);
    assert_eq!(ledger.prune(UnixTime(9_000), KEPT).await, Ok(2_502));
    assert_eq!([count(&dir, "claim"), count(&dir, "progress"), count(&dir, "settlement")], [0, 0, 0]);
    let total: i64 = file(&dir).query_row("SELECT payments FROM total", [], |row| row.get(0)).expect("one line");
    assert_eq!(total, 2_501);
}

/// Copies the one payment of the ledger so often, without its answer.
fn copy(dir: &tempfile::TempDir, copies: u32) {
    file(dir)
        .execute_batch(&format!(
            "BEGIN;
             CREATE TEMP TABLE number AS WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT {copies})
                SELECT n FROM n;
             INSERT INTO claim (id, key, payment_id, network, asset, payer, nonce, amount, pay_to, testnet, endpoint,
                plugin, generation, payment, request, identifier, valid_before, created_at)
                SELECT 100 + n, randomblob(32), payment_id, network, asset, payer, nonce || n, amount, pay_to, testnet,
                    endpoint, plugin, generation, payment, request, identifier || n, valid_before, created_at
                FROM claim, number;
             INSERT INTO progress (id, flow, state, sent, paid, named, updated_at)
                SELECT 100 + n, flow, state, sent, paid, named, updated_at FROM progress, number;
             INSERT INTO settlement SELECT 100 + n, tx || n, response, block FROM settlement, number;
             COMMIT;"
        ))
        .expect("copies");
}

#[tokio::test]
async fn an_identifier_is_free_again_when_its_answer_is_gone() {
    let (dir, ledger) = ledger();
    let hold = sent_by(&ledger, named("a", 1)).await;
    take(&ledger, &hold, settled(BY_REQUEST), 1_002).await;
    copy(&dir, 500);
    assert_eq!(ledger.prune(UnixTime(1_012), KEPT).await, Ok(0));
    assert_eq!(ledger.claim(named("b", 1)).await, Ok(Claimed::Namesake));
    assert_eq!(ledger.prune(UnixTime(1_013), KEPT).await, Ok(1), "the answer");
    assert_eq!(count(&dir, "claim WHERE identifier IS NOT NULL"), 0);
    won(&ledger, named("b", 1)).await;
}

#[tokio::test]
async fn refused_rows_go_with_their_validity_and_watched_ones_stay() {
    let (dir, ledger) = ledger();
    let (plain, watched) = (sent(&ledger, "plain").await, sent(&ledger, "watched").await);
    take(&ledger, &plain, refused(false), 1_003).await;
    take(&ledger, &watched, refused(true), 1_003).await;
    assert_eq!(ledger.prune(UnixTime(2_000), KEPT).await, Ok(0), "the authorisation is still good");
    assert_eq!(ledger.prune(UnixTime(2_001), KEPT).await, Ok(1));
    assert_eq!(rows(&dir).into_iter().map(|row| row.nonce).collect::<Vec<_>>(), ["watched"]);
    take(&ledger, &watched, Step::Dismissed, 2_121).await;
    assert_eq!(ledger.prune(UnixTime(2_121), KEPT).await, Ok(1));
}

/// An answer whose settlement took longer than answers are kept was deleted within a minute after it was paid.
#[tokio::test]
async fn an_answer_is_kept_from_its_settlement_on() {
    let (_dir, ledger) = ledger();
    let hold = unknown(&ledger, "n").await;
    assert_eq!(ledger.prune(UnixTime(1_500), KEPT).await, Ok(0), "its settlement is open");
    take(&ledger, &hold, settled(BY_RECOVERY), 1_600).await;
    assert_eq!(ledger.prune(UnixTime(1_610), KEPT).await, Ok(0));
    assert_eq!(ledger.prune(UnixTime(1_611), KEPT).await, Ok(1));
}

#[tokio::test]
async fn kept_answers_have_one_limit_and_the_oldest_go_first() {
    let (_dir, ledger) = ledger();
    let large = |byte: u8| StoredAnswer { body: Bytes::from(vec![byte; 1_000_000]), ..answer() };
    unknown(&ledger, "open").await;
    for (nonce, at) in [("a", 1_010), ("b", 1_020), ("c", 1_030), ("d", 1_040)] {
        let hold = won(&ledger, claim(nonce, 1)).await;
        take(&ledger, &hold, Step::Settling { request: "{}".to_owned(), answer: large(b'x') }, at).await;
        take(&ledger, &hold, settled_by(&format!("0x{nonce}"), BY_REQUEST), at).await;
    }
    let limited = |answer_bytes| Retention { answers: Duration::from_secs(50_000), answer_bytes, ..KEPT };
    assert_eq!(ledger.prune(UnixTime(1_050), limited(5_000_000)).await, Ok(0));
    assert_eq!(ledger.prune(UnixTime(1_050), limited(2_500_000)).await, Ok(2));
    let mut kept = Vec::new();
    for nonce in ["a", "b", "c", "d"] {
        match ledger.claim(claim(nonce, 1)).await {
            Ok(Claimed::Settled { answer, .. }) => kept.extend(answer.map(|_| nonce)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(kept, ["c", "d"]);
    assert_eq!(ledger.prune(UnixTime(1_050), limited(0)).await, Ok(2));
    let open = &ledger.take_due(UnixTime(1_050), 9).await.expect("what is due")[0];
    assert!(open.answer_kept, "an open settlement needs its answer");
}

#[tokio::test]
async fn the_size_of_kept_answers_is_that_of_the_answers() {
    let (dir, ledger) = ledger();
    for nonce in ["a", "b", "c"] {
        sent(&ledger, nonce).await;
    }
    let hold = paid_first(&ledger, "d").await;
    take(&ledger, &hold, answered(), 1_003).await;
    take(&ledger, &hold, Step::Delivered { keep: false }, 1_003).await;
    let hold = sent(&ledger, "e").await;
    take(&ledger, &hold, Step::Refused { reason: "reverted".to_owned(), transaction: None, watch: false }, 1_003).await;
    let hold = sent(&ledger, "f").await;
    take(&ledger, &hold, settled_by("0xf", BY_REQUEST), 1_002).await;
    let kept = Retention { answers: Duration::from_secs(10), ..KEPT };
    assert_eq!(ledger.prune(UnixTime(1_020), kept).await, Ok(1));
    let sizes: (i64, i64) = file(&dir)
        .query_row(
            "SELECT (SELECT bytes FROM kept_bytes), (SELECT sum(length(head) + length(body)) FROM answer)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .expect("sizes");
    assert_eq!(sizes.0, sizes.1);
}

#[tokio::test]
async fn a_clock_that_jumps_by_a_day_does_not_delete_every_answer() {
    let (dir, ledger) = ledger();
    let kept = Retention { answers: Duration::from_secs(86_400), ..KEPT };
    let hold = sent(&ledger, "n").await;
    take(&ledger, &hold, settled(BY_REQUEST), 1_002).await;
    assert_eq!(ledger.prune(UnixTime(1_010), kept).await, Ok(0));
    assert_eq!(ledger.prune(UnixTime(1_010 + 86_400), kept).await, Ok(0));
    assert_eq!(count(&dir, "answer"), 1);
}
