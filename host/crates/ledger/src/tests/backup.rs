//! Copies of a ledger that is written meanwhile, and what a host finds in one that was revived.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::backup::{self, BackupError, content, revive};

fn copied(dir: &tempfile::TempDir) -> std::path::PathBuf {
    let copy = dir.path().join("copy.db");
    backup::copy(&dir.path().join("ledger.db"), &copy).expect("a copy");
    copy
}

/// SQLite begins a backup anew after each write of another process: beside a host that sells it never ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_beside_a_ledger_that_is_written_without_a_pause_ends_and_shows_one_state() {
    let (dir, ledger) = ledger();
    // A copy of several steps.
    let body = Bytes::from(vec![7; 512 << 10]);
    for number in 0..8 {
        let hold = won(&ledger, claim(&format!("before-{number}"), 1)).await;
        let step = Step::Settling { request: "{}".to_owned(), answer: StoredAnswer { body: body.clone(), ..answer() } };
        take(&ledger, &hold, step, 1_001).await;
    }
    let ended = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (ledger, ended) = (Arc::clone(&ledger), Arc::clone(&ended));
        async move {
            let mut payments = 0;
            while !ended.load(Ordering::Relaxed) {
                sent(&ledger, &format!("beside-{payments}")).await;
                payments += 1;
            }
            payments
        }
    });
    // The copies are made while claims come in: each has whole payments, and no fewer than the one before.
    let mut counts = Vec::new();
    for number in 0..3 {
        let copy = dir.path().join(format!("copy-{number}.db"));
        let from = dir.path().join("ledger.db");
        let made = tokio::task::spawn_blocking(move || backup::copy(&from, &copy).and_then(|()| content(&copy)));
        let made = tokio::time::timeout(Duration::from_secs(60), made).await.expect("it ends").expect("no panic");
        counts.push(made.expect("a copy").total());
    }
    ended.store(true, Ordering::Relaxed);
    let payments = writing.await.expect("no panic");
    assert!(counts.is_sorted() && counts[0] >= 8, "{counts:?}");
    assert!(counts[2] > 8 && counts[2] <= payments + 8, "{counts:?} of {payments}");
    let beside: Vec<_> =
        std::fs::read_dir(dir.path()).expect("a folder").flatten().map(|file| file.file_name()).collect();
    assert!(beside.iter().all(|name| !name.to_string_lossy().starts_with("copy-0.db-")), "one file: {beside:?}");
}

#[tokio::test]
async fn a_revived_copy_has_what_was_bought_and_owed_and_forgets_work_that_had_sent_nothing() {
    let (dir, ledger) = ledger();
    let identity = ledger.identity();
    won(&ledger, claim("reserved", 1)).await;
    let running = won(&ledger, claim("running", 1)).await;
    take(&ledger, &running, Step::Executing, 1_000).await;
    sent(&ledger, "sent").await;
    let bought = sent(&ledger, "bought").await;
    take(&ledger, &bought, settled(BY_REQUEST), 1_002).await;
    paid_first(&ledger, "paid").await;
    owed(&ledger, "owed").await;
    let copy = copied(&dir);
    assert_eq!(content(&copy).expect("a ledger").total(), 6);
    assert_eq!(revive(&copy).expect("a ledger"), 2, "reserved, and running without money");
    let revived = SqliteLedger::open(&copy).expect("a ledger");
    assert_eq!(revived.identity(), identity);
    let now = UnixTime(1_010);
    // Work that had sent nothing: the payment may be claimed again, and the chain judges it.
    for nonce in ["reserved", "running"] {
        let found = revived.find(&of("0xpayer", nonce), Fingerprint([1; 32]), &HOLDER, now).await.expect("an answer");
        assert_eq!(found, Found::Nothing, "{nonce}");
        won(&revived, claim(nonce, 1)).await;
    }
    let due: Vec<_> = revived.take_due(now, 9).await.expect("what is due");
    assert_eq!(due.iter().map(|pending| pending.hold.id.nonce()).collect::<Vec<_>>(), ["sent"]);
    let Some(Claimed::Settled { answer: Some(kept), .. }) =
        revived.reclaim(presented("bought"), now).await.expect("an answer")
    else {
        panic!("what was bought is bought")
    };
    assert_eq!(revived.answer(kept).await.expect("an answer"), Some(answer()));
    for nonce in ["paid", "owed"] {
        let reclaimed = revived.reclaim(presented(nonce), now).await.expect("an answer");
        assert!(matches!(reclaimed, Some(Claimed::Owed { .. })), "{nonce}: {reclaimed:?}");
    }
}

#[tokio::test]
async fn a_damaged_file_and_one_of_another_program_are_no_backup() {
    let (dir, ledger) = ledger();
    for number in 0..200 {
        sent(&ledger, &number.to_string()).await;
    }
    let copy = copied(&dir);
    let whole = std::fs::read(&copy).expect("a file");
    let mut torn = whole.clone();
    let middle = torn.len() / 2;
    torn[middle..middle + 4096].fill(0x55);
    std::fs::write(&copy, torn).expect("a file");
    let refused = revive(&copy).expect_err("damaged");
    assert!(matches!(refused, BackupError::Damaged { .. } | BackupError::Unreadable { .. }), "{refused:?}");
    std::fs::write(&copy, &whole[..whole.len() / 2]).expect("a file");
    revive(&copy).expect_err("cut short");
    std::fs::write(&copy, "no database at all, but a text that is longer than a header of one would be")
        .expect("a file");
    revive(&copy).expect_err("a text");
    std::fs::remove_file(&copy).expect("a file");
    rusqlite::Connection::open(&copy).expect("a file").execute_batch("CREATE TABLE payment (state TEXT)").expect("SQL");
    assert!(matches!(revive(&copy), Err(BackupError::Foreign { .. })));
    let missing = backup::copy(&dir.path().join("none.db"), &dir.path().join("other.db"));
    assert!(matches!(missing, Err(BackupError::Unreadable { .. })), "{missing:?}");
}
