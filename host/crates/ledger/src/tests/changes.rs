//! The audit log: lines are added beside payments and by commands, never changed, and kept longer than payments.

use super::*;
use crate::reports::{ChangeFilter, LedgerReader};

fn change(kind: ChangeKind, subject: &str, at: u64) -> Change {
    let who = Author::Operator { address: [192, 0, 2, 1].into(), admitted: Admitted::Token, certificate: None };
    Change { at: UnixTime(at), who, kind, subject: subject.to_owned(), before: None, after: Some("after".to_owned()) }
}

fn listed(dir: &tempfile::TempDir, filter: &ChangeFilter) -> Vec<RecordedChange> {
    LedgerReader::open(&dir.path().join("ledger.db")).expect("a ledger").changes(filter).expect("changes")
}

fn all() -> ChangeFilter {
    ChangeFilter { limit: 1_000, ..ChangeFilter::default() }
}

#[tokio::test]
async fn changes_are_listed_newest_first_by_kind_by_time_and_in_pages() {
    let (dir, ledger) = ledger();
    ledger.record_changes(vec![change(ChangeKind::PluginLoaded, "a.wasm", 10)]).await.expect("written");
    ledger.record_changes(vec![change(ChangeKind::Route, "a: GET /a", 20)]).await.expect("written");
    let beside =
        Change { who: Author::CommandLine { user: Some("ada".to_owned()) }, ..change(ChangeKind::Backup, "f", 30) };
    record_beside(&dir.path().join("ledger.db"), &beside).expect("beside the host that writes");
    let subjects = |filter: ChangeFilter| -> Vec<String> {
        listed(&dir, &filter).into_iter().map(|change| change.subject).collect()
    };
    assert_eq!(subjects(all()), ["f", "a: GET /a", "a.wasm"]);
    assert_eq!(subjects(ChangeFilter { kind: Some(ChangeKind::Route), ..all() }), ["a: GET /a"]);
    assert_eq!(subjects(ChangeFilter { since: Some(UnixTime(20)), ..all() }), ["f", "a: GET /a"]);
    assert_eq!(subjects(ChangeFilter { before: Some(3), limit: 1, ..all() }), ["a: GET /a"]);
    let [backup, route, _] = &listed(&dir, &all())[..] else { panic!("three") };
    assert_eq!((&*backup.who, &*route.who), ("command line (user ada)", "operator by token from 192.0.2.1"));
    assert_eq!(
        (route.number, route.at, &route.before, route.after.as_deref()),
        (2, UnixTime(20), &None, Some("after"))
    );
}

#[test]
fn who_made_a_change_is_said_by_all_that_the_listener_knows() {
    let who = |admitted, certificate: Option<&str>| {
        let certificate = certificate.map(str::to_owned);
        Author::Operator { address: [192, 0, 2, 1].into(), admitted, certificate }.to_string()
    };
    for (admitted, certificate, said) in [
        (Admitted::WithoutToken, None, "operator without a token from 192.0.2.1"),
        (Admitted::WithoutToken, Some("CN=ada"), "operator by certificate \"CN=ada\" from 192.0.2.1"),
        (Admitted::Token, Some("CN=ada"), "operator by token and certificate \"CN=ada\" from 192.0.2.1"),
        (Admitted::Session, None, "operator by session from 192.0.2.1"),
        // A subject forges no other ending.
        (
            Admitted::WithoutToken,
            Some("CN=ada\" from 10.0.0.1"),
            "operator by certificate \"CN=ada' from 10.0.0.1\" from 192.0.2.1",
        ),
    ] {
        assert_eq!(who(admitted, certificate), said);
    }
}

#[tokio::test]
async fn no_program_changes_a_line_and_none_forges_one_by_a_long_text() {
    let (dir, ledger) = ledger();
    ledger
        .record_changes(vec![change(ChangeKind::PluginRejected, &format!("a\n{}", "x".repeat(100_000)), 10)])
        .await
        .expect("written");
    let subject = listed(&dir, &all())[0].subject.clone();
    assert!(subject.len() < 3_000 && !subject.contains('\n'), "{}", subject.len());
    let connection = rusqlite::Connection::open(dir.path().join("ledger.db")).expect("a file");
    let error = connection.execute("UPDATE change SET who = 'nobody'", []).expect_err("refused").to_string();
    assert!(error.contains("never changed"), "{error}");
    let other = dir.path().join("other.db");
    rusqlite::Connection::open(&other).expect("a file").execute_batch("CREATE TABLE t (a)").expect("a table");
    record_beside(&other, &change(ChangeKind::Backup, "f", 1)).expect_err("no ledger");
}

#[tokio::test]
async fn a_line_is_kept_a_year_longer_than_payments_and_its_number_is_never_used_again() {
    let (dir, ledger) = ledger();
    let day = crate::DAY;
    for at in [day, 300 * day, 500 * day] {
        ledger.record_changes(vec![change(ChangeKind::Configuration, &at.to_string(), at)]).await.expect("written");
    }
    let kept =
        Retention { answers: Duration::from_secs(day), payments: Duration::from_secs(30 * day), answer_bytes: 1 << 20 };
    ledger.prune(UnixTime(395 * day), kept).await.expect("pruned");
    assert_eq!(listed(&dir, &all()).len(), 3, "it is not a year and thirty days old");
    let numbers = |dir: &tempfile::TempDir| listed(dir, &all()).iter().map(|change| change.number).collect::<Vec<_>>();
    // A clock that jumps ages nothing by more than an hour: the ledger is opened anew.
    drop(ledger);
    let ledger = SqliteLedger::open(&dir.path().join("ledger.db")).expect("a ledger");
    ledger.prune(UnixTime(900 * day), kept).await.expect("pruned");
    assert_eq!(numbers(&dir), [0_u64; 0]);
    ledger.record_changes(vec![change(ChangeKind::Configuration, "next", 901 * day)]).await.expect("written");
    assert_eq!(numbers(&dir), [4]);
}
