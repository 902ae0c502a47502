//! The file: locked, or another program's. A full disk is in the tests of the writer, which can make one.

use super::*;

#[tokio::test]
async fn a_ledger_that_cannot_be_written_says_so_until_it_can() {
    let (dir, ledger) = ledger();
    let other = file(&dir);
    other.execute_batch("BEGIN IMMEDIATE").expect("its lock");
    let refused = ledger.claim(claim("n", 1)).await;
    assert!(matches!(refused, Err(LedgerError::Unavailable(_))), "{refused:?}");
    assert!(!ledger.writable());
    ledger.write_failed().await;
    other.execute_batch("ROLLBACK").expect("no lock");
    assert_eq!(ledger.take_due(UnixTime(1), 9).await, Ok(Vec::new()));
    assert!(!ledger.writable(), "a read says nothing about writing");
    assert_eq!(ledger.probe(UnixTime(1)).await, Ok(()));
    assert!(ledger.writable());
    won(&ledger, claim("n", 1)).await;
}

#[tokio::test]
async fn another_programs_database_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("other.db");
    let other = rusqlite::Connection::open(&path).expect("a database");
    other.execute_batch("CREATE TABLE t (a)").expect("a table");
    drop(other);
    assert!(matches!(SqliteLedger::open(&path), Err(LedgerError::Schema(_))));
}

#[tokio::test]
async fn a_ledger_that_is_closed_leaves_no_log_beside_it() {
    let (dir, ledger) = ledger();
    let hold = won(&ledger, claim("n", 1)).await;
    assert_eq!(
        ledger.find(&hold.id, Fingerprint([1; 32]), &HOLDER, UnixTime(1)).await,
        Ok(Found::Known { funded: false })
    );
    drop(ledger);
    let log = dir.path().join("ledger.db-wal");
    for _ in 0..1_000 {
        if !log.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the log stays: the writer was not the last to close the file");
}
