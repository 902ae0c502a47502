//! Money of owed answers that goes back.

use coinslot_x402::price::Amount;

use super::*;
use crate::reports::{ChangeFilter, GroupBy, RefundState};
use crate::{
    BudgetedAsset, DebtEnded, OpenRefund, PaidByHand, RefundAuthor, RefundBegun, RefundBudget, RefundEnd, RefundOrder,
    SignedRefund,
};

const WALLET: &str = "0x00000000000000000000000000000000000000Fe";

/// An order with a transaction of this nonce, within a budget of 25,000 atomic units of the asset of these tests.
fn order(payment: &str, nonce: u64) -> RefundOrder {
    let id = claim(payment, 1).id;
    let asset = BudgetedAsset { network: id.network().clone(), asset: id.asset().to_ascii_uppercase(), decimals: 6 };
    RefundOrder {
        payment_id: id.short(),
        ordered_by: RefundAuthor::Operator,
        sender: WALLET.to_owned(),
        budget: RefundBudget {
            limit: RefundBudget::counted(atomic(25_000), 6).expect("small"),
            window: Duration::from_secs(DAY),
            assets: vec![asset],
        },
        signed: signed(nonce, "AA"),
        change: line("begun"),
    }
}

/// The line of the audit log about a refund.
fn line(after: &str) -> Change {
    let (who, kind, subject) = (Author::Host, ChangeKind::Refund, "one".to_owned());
    Change { at: UnixTime(2_000), who, kind, subject, before: None, after: Some(after.to_owned()) }
}

/// The lines of the audit log, the oldest first.
fn lines(dir: &tempfile::TempDir) -> Vec<String> {
    let filter = ChangeFilter { limit: 100, ..ChangeFilter::default() };
    let found = LedgerReader::open(&dir.path().join("ledger.db")).expect("readable").changes(&filter).expect("read");
    found.into_iter().rev().filter_map(|change| change.after).collect()
}

fn atomic(amount: u64) -> Amount {
    Amount(alloy_primitives::U256::from(amount))
}

fn signed(nonce: u64, hash: &str) -> SignedRefund {
    SignedRefund { nonce, hash: format!("0x{hash}{nonce}"), raw: vec![2, 1] }
}

async fn begun(ledger: &SqliteLedger, order: RefundOrder, at: u64) -> OpenRefund {
    match ledger.begin_refund(order, UnixTime(at)).await.expect("written") {
        RefundBegun::Begun(refund) => refund,
        other => panic!("it does not begin: {other:?}"),
    }
}

fn paid(nonce: u64) -> RefundEnd {
    RefundEnd::Paid { transaction: format!("0xAA{nonce}"), fee: atomic(21_000) }
}

#[tokio::test]
async fn an_owed_answer_is_paid_back_once_or_fetched_and_never_both() {
    let (dir, ledger) = ledger();
    owed(&ledger, "one").await;
    let refund = begun(&ledger, order("one", 7), 2_000).await;
    assert_eq!(
        (refund.amount.to_string().as_str(), refund.nonce, refund.sender.as_str()),
        ("10000", 7, &*WALLET.to_ascii_lowercase())
    );
    assert_eq!(refund.transactions.len(), 1);
    // Whoever comes now finds it under way: the client, a second command, the policy.
    assert_eq!(ledger.claim(claim("one", 1)).await, Ok(Claimed::Refunding));
    let again = ledger.begin_refund(order("one", 8), UnixTime(2_001)).await.expect("written");
    assert!(matches!(again, RefundBegun::NotOwed(Some(PaymentState::Refunding))), "{again:?}");
    assert_eq!(ledger.refunds_due(due(9_000)).await, Ok(Vec::new()));
    ledger.end_refund(refund, paid(7), line("ended"), UnixTime(2_010)).await.expect("written");
    assert_eq!(ledger.claim(claim("one", 1)).await, Ok(Claimed::Refunded { transaction: "0xaa7".to_owned() }));
    let again = ledger.begin_refund(order("one", 9), UnixTime(2_011)).await.expect("written");
    assert!(matches!(again, RefundBegun::NotOwed(Some(PaymentState::Refunded))), "{again:?}");
    assert_eq!(states(&dir), [PaymentState::Refunded]);
    let kinds: Vec<_> = ledger.events(0, 9).await.expect("read").into_iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["paid", "owed", "refunded"]);
    let last = ledger.events(2, 9).await.expect("read").pop().expect("one");
    assert_eq!(last.transaction.as_deref(), Some("0xaa7"), "the event of a refund names the refund's transaction");
    // A client that is first leaves nothing to pay back.
    owed(&ledger, "two").await;
    assert!(matches!(ledger.claim(claim("two", 1)).await, Ok(Claimed::Owed { .. })));
    let late = ledger.begin_refund(order("two", 8), UnixTime(2_000)).await.expect("written");
    assert!(matches!(late, RefundBegun::NotOwed(Some(PaymentState::Executing))), "{late:?}");
    let none = ledger.begin_refund(order("none", 8), UnixTime(2_000)).await.expect("written");
    assert!(matches!(none, RefundBegun::NotOwed(None)), "{none:?}");
}

#[tokio::test]
async fn an_open_refund_outlives_the_process_with_its_bytes_and_its_nonce() {
    let (dir, ledger) = ledger();
    owed(&ledger, "one").await;
    owed(&ledger, "two").await;
    let refund = begun(&ledger, order("one", 7), 2_000).await;
    let dearer = ledger.store_refund(&refund, signed(7, "BB"), UnixTime(2_005)).await.expect("written");
    assert_eq!((dearer.hash(), dearer.raw()), ("0xbb7", &[2, 1][..]));
    let other = ledger.store_refund(&refund, signed(8, "CC"), UnixTime(2_006)).await;
    assert!(matches!(other, Err(LedgerError::OutOfOrder { .. })), "another nonce: {other:?}");
    let path = dir.path().join("ledger.db");
    drop((refund, ledger));
    let ledger = reopened(&path).await;
    let mut open = ledger.open_refunds().await.expect("read");
    let (one, none) = (open.pop().expect("one"), open.pop());
    assert!(none.is_none());
    let hashes: Vec<_> = one.transactions.iter().map(|transaction| transaction.hash().to_owned()).collect();
    assert_eq!((one.nonce, hashes), (7, vec!["0xaa7".to_owned(), "0xbb7".to_owned()]));
    assert_eq!(ledger.claim(claim("one", 1)).await, Ok(Claimed::Refunding));
    // The wallet has one transaction at a time, and no nonce twice.
    let busy = ledger.begin_refund(order("two", 8), UnixTime(2_010)).await.expect("written");
    assert!(matches!(&busy, RefundBegun::Busy { payment_id } if *payment_id == one.payment_id), "{busy:?}");
    let second = ledger.open_refunds().await.expect("read").pop().expect("a second task");
    let failed =
        RefundEnd::Failed { reason: "reverted".to_owned(), transaction: Some(("0xbb7".to_owned(), atomic(9))) };
    ledger.end_refund(one, failed.clone(), line("ended"), UnixTime(2_011)).await.expect("written");
    let late = ledger.end_refund(second, paid(7), line("ended"), UnixTime(2_012)).await;
    assert!(matches!(late, Err(LedgerError::OutOfOrder { .. })), "it has ended: {late:?}");
    let used = ledger.begin_refund(order("two", 7), UnixTime(2_013)).await.expect("written");
    assert!(matches!(used, RefundBegun::NonceUsed), "{used:?}");
    // What failed is owed again, and the policy leaves it alone for a while.
    let found = |failed_before| ledger.refunds_due(due(failed_before));
    assert_eq!(found(2_011).await, Ok(vec![claim("two", 1).id.short()]));
    assert_eq!(found(2_012).await.map(|due| due.len()), Ok(2));
    assert!(matches!(ledger.claim(claim("one", 1)).await, Ok(Claimed::Owed { .. })));
}

#[tokio::test]
async fn refunds_under_way_count_for_the_budget_and_failed_ones_do_not() {
    let (_dir, ledger) = ledger();
    for nonce in ["one", "two", "three"] {
        owed(&ledger, nonce).await;
    }
    let first = begun(&ledger, order("one", 7), 2_000).await;
    ledger.end_refund(first, paid(7), line("ended"), UnixTime(2_001)).await.expect("written");
    let second = begun(&ledger, order("two", 8), 2_002).await;
    let reason = "reverted".to_owned();
    ledger
        .end_refund(second, RefundEnd::Failed { reason, transaction: None }, line("ended"), UnixTime(2_003))
        .await
        .expect("written");
    let second = begun(&ledger, order("two", 9), 2_004).await;
    ledger.end_refund(second, paid(9), line("ended"), UnixTime(2_005)).await.expect("written");
    let spent = RefundBudget::counted(atomic(20_000), 6).expect("small");
    assert_eq!(ledger.refunds_spent(order("one", 1).budget, UnixTime(2_006)).await, Ok(spent));
    // A clock that goes back frees nothing.
    for at in [2_006, 1_500, 2_000 + DAY - 1] {
        let over = ledger.begin_refund(order("three", 10), UnixTime(at)).await.expect("written");
        assert!(matches!(over, RefundBegun::OverBudget { spent: sum, .. } if sum == spent), "at {at}: {over:?}");
    }
    begun(&ledger, order("three", 10), 2_000 + DAY).await;
    let foreign =
        RefundOrder { budget: RefundBudget { assets: vec![], ..order("three", 11).budget }, ..order("three", 11) };
    assert!(ledger.begin_refund(foreign, UnixTime(9_000_000)).await.is_ok(), "it is not owed");
}

#[tokio::test]
async fn reports_count_what_went_back_before_and_after_rows_are_pruned() {
    let (dir, ledger) = ledger();
    for nonce in ["one", "two"] {
        owed(&ledger, nonce).await;
    }
    let refund = begun(&ledger, order("one", 7), 2_000).await;
    let path = dir.path().join("ledger.db");
    let reader = || LedgerReader::open(&path).expect("readable");
    let open = reader().refunds_of(&refund.payment_id).expect("read").pop().expect("one");
    assert_eq!((open.state, open.transaction.as_deref(), open.fee), (RefundState::Sent, Some("0xaa7"), None));
    let id = refund.payment_id.clone();
    ledger.end_refund(refund, paid(7), line("ended"), UnixTime(2_001)).await.expect("written");
    let row = reader().payment(&id).expect("read").expect("a row");
    assert_eq!((row.state, row.refund_transaction.as_deref()), (PaymentState::Refunded, Some("0xaa7")));
    assert!(row.received());
    let sums = || {
        let earned = reader().earned(GroupBy::Asset, None, None).expect("read");
        earned
            .iter()
            .map(|sum| (sum.payments, sum.amount.to_string(), sum.refunds, sum.net().to_string()))
            .collect::<Vec<_>>()
    };
    let expected = vec![(2, "20000".to_owned(), 1, "10000".to_owned())];
    assert_eq!(sums(), expected);
    let kept = Retention { answers: Duration::ZERO, payments: Duration::ZERO, answer_bytes: 0 };
    ledger.prune(UnixTime(2_001 + 2 * DAY), kept).await.expect("pruned");
    assert_eq!(count(&dir, "claim"), 2, "its budget still needs it");
    drop(ledger);
    let ledger = reopened(&path).await;
    ledger.prune(UnixTime(2_002 + 2 * DAY), kept).await.expect("pruned");
    assert_eq!((count(&dir, "claim"), count(&dir, "refund"), count(&dir, "refund_tx")), (1, 0, 0), "owed rows stay");
    assert_eq!(sums(), expected);
    assert_eq!(reader().pruned().expect("read")[0].refunds, 1);
}

#[tokio::test]
async fn the_gas_of_refunds_is_kept_longer_than_their_rows_also_that_of_failed_ones() {
    let (dir, ledger) = ledger();
    let path = dir.path().join("ledger.db");
    let fees = || -> Vec<(u64, String, String)> {
        let reader = LedgerReader::open(&path).expect("readable");
        let fees = reader.refund_fees().expect("read").into_iter();
        fees.map(|one| (one.day, one.network.to_string(), one.fee.to_string())).collect()
    };
    let on = |day: u64, fee: &str| (day, "eip155:84532".to_owned(), fee.to_owned());
    owed(&ledger, "one").await;
    let refund = begun(&ledger, order("one", 7), 2_000).await;
    assert_eq!(fees(), [], "it is on its way");
    let reverted = Some(("0xaa7".to_owned(), atomic(9)));
    let failed = RefundEnd::Failed { reason: "reverted".to_owned(), transaction: reverted };
    ledger.end_refund(refund, failed, line("ended"), UnixTime(2_001)).await.expect("written");
    let refund = begun(&ledger, order("one", 8), 2_002).await;
    ledger.end_refund(refund, paid(8), line("ended"), UnixTime(DAY)).await.expect("written");
    assert_eq!(fees(), [on(0, "9"), on(1, "21000")]);
    let kept = Retention { answers: Duration::ZERO, payments: Duration::ZERO, answer_bytes: 0 };
    ledger.prune(UnixTime(9 * DAY), kept).await.expect("pruned");
    assert_eq!(count(&dir, "refund"), 0);
    // The number of a row that is pruned may be given again.
    owed(&ledger, "two").await;
    let refund = begun(&ledger, order("two", 9), 9 * DAY).await;
    ledger.end_refund(refund, paid(9), line("ended"), UnixTime(9 * DAY)).await.expect("written");
    assert_eq!(fees(), [on(0, "9"), on(1, "21000"), on(9, "21000")]);
}

#[tokio::test]
async fn a_refund_keeps_its_terms_whoever_writes_the_file() {
    let (dir, ledger) = ledger();
    owed(&ledger, "one").await;
    owed(&ledger, "two").await;
    let refund = begun(&ledger, order("one", 7), 2_000).await;
    drop(ledger);
    let file = file(&dir);
    for sql in [
        "UPDATE refund SET nonce = 8",
        "UPDATE refund SET amount = '1'",
        "UPDATE refund_tx SET raw = x'00'",
        "INSERT INTO refund (claim, network, asset, amount, sender, nonce, ordered_by, state, begun_at)
            SELECT claim, network, asset, amount, 'another', 9, 'policy', 'sent', 1 FROM refund",
        "INSERT INTO refund (claim, network, asset, amount, sender, nonce, ordered_by, state, begun_at)
            SELECT 99, network, asset, amount, sender, 9, 'policy', 'sent', 1 FROM refund",
    ] {
        assert!(file.execute(sql, []).is_err(), "{sql}");
    }
    drop(refund);
}

#[tokio::test]
async fn a_debt_to_a_client_that_hung_up_once_is_never_due_by_itself() {
    let (_dir, ledger) = ledger();
    let hold = paid_first(&ledger, "one").await;
    take(&ledger, &hold, Step::Owed { reason: "hung up".to_owned(), client_left: true }, 1_003).await;
    let found = || ledger.refunds_due(due(9_000));
    assert_eq!(found().await, Ok(Vec::new()));
    // A plugin that fails at the next try does not make it due.
    let Ok(Claimed::Owed { hold, .. }) = ledger.claim(claim("one", 1)).await else { panic!("it is owed") };
    take(&ledger, &hold, Step::Owed { reason: "trap".to_owned(), client_left: false }, 1_005).await;
    assert_eq!(found().await, Ok(Vec::new()));
    begun(&ledger, order("one", 7), 2_000).await;
    // Neither is an answer that was interrupted: its client may have most of it.
    let cut = paid_first(&ledger, "three").await;
    ledger.expire(UnixTime(1_000_000)).await.expect("ended");
    assert!(is_out_of_order(&ledger.advance(&cut, answered(), UnixTime(1_000_001)).await));
    assert_eq!(found().await, Ok(Vec::new()));
    // Neither is money that another receiver has.
    owed(&ledger, "two").await;
    let others = RefundsDue { received_by: vec![("0xasset".to_owned(), "0xother".to_owned())], ..due(9_000) };
    assert_eq!(ledger.refunds_due(others).await, Ok(Vec::new()));
    assert_eq!(found().await, Ok(vec![claim("two", 1).id.short()]));
}

/// A process that died right after a change of a debt left no line about it.
#[tokio::test]
async fn a_change_of_a_debt_and_its_line_of_the_audit_log_are_one_commit() {
    let (dir, ledger) = ledger();
    for payment in ["one", "two"] {
        owed(&ledger, payment).await;
    }
    let refund = begun(&ledger, order("one", 7), 2_000).await;
    assert_eq!(lines(&dir), ["begun"], "it is there when the refund is");
    let failed = RefundEnd::Failed { reason: "reverted".to_owned(), transaction: None };
    ledger.end_refund(refund, failed, line("ended"), UnixTime(2_001)).await.expect("written");
    assert_eq!(lines(&dir), ["begun", "ended"]);
    let dry = PaidByHand { dry_run: true, ..by_hand("two", "0xAB", 10_000) };
    assert_eq!(ledger.end_debt(dry, UnixTime(2_002)).await, Ok(DebtEnded::Ended));
    let little = ledger.end_debt(by_hand("none", "0xAB", 1), UnixTime(2_002)).await;
    assert_eq!(little, Ok(DebtEnded::NotOwed(None)));
    assert_eq!(lines(&dir), ["begun", "ended"], "what changes nothing leaves no line");
    assert_eq!(ledger.end_debt(by_hand("two", "0xAB", 10_000), UnixTime(2_003)).await, Ok(DebtEnded::Ended));
    assert_eq!(lines(&dir), ["begun", "ended", "by hand"]);
    // What fails is undone with its line.
    let db = rusqlite::Connection::open(dir.path().join("ledger.db")).expect("a file");
    db.execute_batch("CREATE TRIGGER full BEFORE INSERT ON change BEGIN SELECT raise(ABORT, 'full'); END")
        .expect("a trigger");
    ledger.begin_refund(order("one", 8), UnixTime(2_004)).await.expect_err("its line cannot be written");
    assert_eq!(states(&dir).into_iter().filter(|state| *state == PaymentState::Owed).count(), 1);
    assert!(ledger.open_refunds().await.expect("read").is_empty());
}

/// A debt of these tests, 10,000 atomic units, that a transaction paid by hand, which moved so much.
fn by_hand(payment: &str, transaction: &str, moved: u64) -> PaidByHand {
    PaidByHand {
        payment_id: claim(payment, 1).id.short(),
        transaction: transaction.to_owned(),
        sender: "0x00000000000000000000000000000000000000Aa".to_owned(),
        moved: atomic(moved),
        dry_run: false,
        instead_of: None,
        change: line("by hand"),
    }
}

#[tokio::test]
async fn a_debt_that_was_paid_by_hand_ends_once_and_costs_no_budget() {
    let (dir, ledger) = ledger();
    owed(&ledger, "one").await;
    let dry = PaidByHand { dry_run: true, ..by_hand("one", "0xAB", 10_000) };
    assert_eq!(ledger.end_debt(dry, UnixTime(2_000)).await, Ok(DebtEnded::Ended));
    assert_eq!(states(&dir), [PaymentState::Owed], "a dry run writes nothing");
    assert_eq!(ledger.end_debt(by_hand("one", "0xAB", 10_000), UnixTime(2_000)).await, Ok(DebtEnded::Ended));
    assert_eq!(states(&dir), [PaymentState::Refunded]);
    assert_eq!(ledger.claim(claim("one", 1)).await, Ok(Claimed::Refunded { transaction: "0xab".to_owned() }));
    let again = ledger.end_debt(by_hand("one", "0xCD", 10_000), UnixTime(2_001)).await;
    assert_eq!(again, Ok(DebtEnded::NotOwed(Some(PaymentState::Refunded))));
    assert_eq!(ledger.end_debt(by_hand("none", "0xCD", 1), UnixTime(2_001)).await, Ok(DebtEnded::NotOwed(None)));
    assert_eq!(ledger.refunds_spent(order("one", 1).budget, UnixTime(2_001)).await, Ok(atomic(0)));
    let last = ledger.events(0, 9).await.expect("read").pop().expect("one");
    assert_eq!((last.kind.as_str(), last.transaction.as_deref()), ("refunded", Some("0xab")));
    let reader = LedgerReader::open(&dir.path().join("ledger.db")).expect("readable");
    let rows = reader.refunds(UnixTime(0), 9).expect("read");
    assert!(matches!(&*rows, [one] if one.nonce.is_none() && one.state == RefundState::Paid), "{rows:?}");
    // The next refund of the wallet is the first of its nonces.
    assert_eq!(reader.last_refund_nonce(&rows[0].network, WALLET), Ok(None));
}

#[tokio::test]
async fn what_one_transaction_moved_ends_as_many_debts_as_it_pays_for() {
    let (dir, ledger) = ledger();
    for payment in ["one", "two", "three"] {
        owed(&ledger, payment).await;
    }
    for payment in ["one", "two"] {
        assert_eq!(ledger.end_debt(by_hand(payment, "0xAB", 29_999), UnixTime(2_000)).await, Ok(DebtEnded::Ended));
    }
    let refused = ledger.end_debt(by_hand("three", "0xab", 29_999), UnixTime(2_001)).await.expect("written");
    assert!(
        matches!(&refused, DebtEnded::Counted { counted, .. } if *counted == atomic(20_000)),
        "9,999 are left: {refused:?}"
    );
    assert_eq!(states(&dir).into_iter().filter(|state| *state == PaymentState::Owed).count(), 1);
    // A transaction that the host signed for another payment is that payment's.
    let refund = begun(&ledger, order("three", 7), 2_002).await;
    owed(&ledger, "four").await;
    let signed = ledger.end_debt(by_hand("four", "0xaa7", 99_999), UnixTime(2_003)).await;
    assert_eq!(signed, Ok(DebtEnded::SignedFor { payment_id: claim("three", 1).id.short() }));
    // A refund that is under way keeps its payment from ending by hand, unless it ends in the same commit.
    let under_way = ledger.end_debt(by_hand("three", "0xEF", 10_000), UnixTime(2_003)).await;
    assert_eq!(under_way, Ok(DebtEnded::NotOwed(Some(PaymentState::Refunding))));
    let end = RefundEnd::Failed { reason: "silent".to_owned(), transaction: Some(("0xAA7".to_owned(), atomic(9))) };
    let instead = PaidByHand { instead_of: Some((refund, end)), ..by_hand("three", "0xEF", 10_000) };
    assert_eq!(ledger.end_debt(instead, UnixTime(2_004)).await, Ok(DebtEnded::Ended));
    let reader = LedgerReader::open(&dir.path().join("ledger.db")).expect("readable");
    let rows = reader.refunds_of(&claim("three", 1).id.short()).expect("read");
    assert_eq!(rows.iter().map(|row| row.state).collect::<Vec<_>>(), [RefundState::Paid, RefundState::Failed]);
    assert!(ledger.open_refunds().await.expect("read").is_empty(), "another refund may begin");
}

#[tokio::test]
async fn the_gas_of_old_days_is_summed_up_and_none_of_it_is_lost() {
    let (dir, ledger) = ledger();
    let path = dir.path().join("ledger.db");
    owed(&ledger, "one").await;
    for nonce in 0..250 {
        let refund = begun(&ledger, order("one", nonce), 2_000).await;
        let reverted = Some((format!("0xaa{nonce}"), atomic(1_000)));
        let failed = RefundEnd::Failed { reason: "reverted".to_owned(), transaction: reverted };
        ledger.end_refund(refund, failed, line("ended"), UnixTime(2_001)).await.expect("written");
    }
    let kept = Retention { answers: Duration::ZERO, payments: Duration::from_secs(DAY), answer_bytes: 0 };
    ledger.prune(UnixTime(9 * DAY), kept).await.expect("pruned");
    let fees = LedgerReader::open(&path).expect("readable").refund_fees().expect("read");
    assert_eq!(fees.iter().map(|one| (one.day, one.fee)).collect::<Vec<_>>(), [(0, atomic(250_000))]);
}
