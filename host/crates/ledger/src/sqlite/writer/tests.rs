//! The writer's view of the disk, and the bounds of a batch.

use super::job::MAX_BATCH_BYTES;
use super::*;
use crate::sqlite::open;

/// A writer on a new ledger.
fn writer() -> (tempfile::TempDir, Writer) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("ledger.db");
    let lock = open::lock(&path).expect("the lock");
    let connection = open::open(&path).expect("a new ledger");
    (dir, Writer::start(connection, lock, std::thread::spawn(|| ())).expect("a writer"))
}

/// Limits the file to the pages that it has: every write that needs a new one fails as on a full disk. `None` lifts
/// the limit.
async fn limit_pages(writer: &Writer, pages: Option<i64>) {
    let limited = writer.run(move |connection| {
        let now: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
        let limit = pages.map_or(i64::from(u32::MAX - 1), |more| now + more);
        connection.pragma_update_and_check(None, "max_page_count", limit, |_| Ok(()))?;
        Ok(())
    });
    assert_eq!(limited.await, Ok(()));
}

/// Writes a megabyte into the table of totals.
async fn write_much(writer: &Writer, day: i64) -> Result<(), LedgerError> {
    let much = "7".repeat(1024 * 1024);
    let work = move |connection: &Connection| {
        connection.execute("INSERT INTO total VALUES (?1, 'n', 'a', 's', 'p', 'e', 1, 1, ?2)", (day, much))?;
        Ok(())
    };
    writer.run(work).await
}

/// Reading takes part in transactions that commit, and on a full disk they commit as well as ever. A host that read its
/// ledger every two seconds asked for money all the time while nothing could be written.
#[tokio::test]
async fn a_read_does_not_make_a_full_disk_writable() {
    let (_dir, writer) = writer();
    limit_pages(&writer, Some(0)).await;
    assert!(writer.is_writable());
    let full = write_much(&writer, 1).await;
    assert!(matches!(full, Err(LedgerError::Disk(_) | LedgerError::Unavailable(_))), "{full:?}");
    assert!(!writer.is_writable());
    let read = writer.run(|connection| Ok(connection.query_row("SELECT count(*) FROM claim", [], |row| row.get(0))?));
    assert_eq!(read.await, Ok(0_i64));
    assert!(!writer.is_writable(), "a read says nothing about the disk");
    limit_pages(&writer, None).await;
    assert!(!writer.is_writable());
    assert_eq!(write_much(&writer, 2).await, Ok(()));
    assert!(writer.is_writable());
}

#[tokio::test]
async fn a_job_that_meets_a_broken_file_makes_it_not_writable_although_its_commit_succeeds() {
    let (_dir, writer) = writer();
    let damaged = writer.run(|_| -> Result<(), _> { Err(LedgerError::Disk("malformed".to_owned())) });
    assert!(damaged.await.is_err());
    assert!(!writer.is_writable());
}

#[tokio::test]
async fn a_refused_step_says_nothing_about_the_disk() {
    let (_dir, writer) = writer();
    let refused = LedgerError::OutOfOrder { id: "a".to_owned(), step: "settled" };
    let step = writer.run(move |_| -> Result<(), _> { Err(refused) });
    assert!(step.await.is_err());
    assert!(writer.is_writable());
}

#[tokio::test]
async fn a_ledger_whose_writer_panicked_is_not_writable() {
    let (_dir, writer) = writer();
    let lost = writer.run(|_| -> Result<(), _> { panic!("as a bug of ours would") });
    assert!(matches!(lost.await, Err(LedgerError::Unavailable(_))));
    // The callers are answered while the thread unwinds, a moment before its flag is cleared.
    for _ in 0..1_000 {
        if !writer.is_writable() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!writer.is_writable());
    let (failed, hears) = mpsc::channel();
    writer.note(0, |_| Ok(()), move |error| drop(failed.send(error)));
    assert!(matches!(hears.recv(), Ok(LedgerError::Unavailable(_))), "what is noted is not lost in silence");
}

#[test]
fn a_batch_takes_no_more_jobs_once_its_bytes_are_many() {
    let (jobs, queue) = mpsc::channel();
    for _ in 0..4 {
        let (job, _) = awaited_job(|_| Ok(()));
        jobs.send(Queued { job, urgency: Urgency::Urgent, bytes: MAX_BATCH_BYTES / 2 + 1 }).expect("a queue");
    }
    let mut batch = wait(&queue).expect("a batch");
    batch.fill(&queue);
    assert_eq!(batch.jobs.len(), 2);
    assert!(queue.try_recv().is_ok(), "the others wait for the next");
}
