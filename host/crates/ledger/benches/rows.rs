//! A ledger with many finished payments beside an empty one: claims, opening, pruning, and the first page of a report.
//!
//! `cargo bench -p coinslot-ledger --bench rows -- 10000000 /var/tmp`. Ten million rows take 20 GB in the folder (else
//! in `TMPDIR`) while they are filled, and some minutes; the files are deleted at the end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coinslot_ledger::reports::{ClaimOrder, Filter, LedgerReader};
use coinslot_ledger::{Claim, Claimed, Fingerprint, Holder, Ledger, PaymentId, PaymentState, Retention, SqliteLedger};
use coinslot_x402::{Flow, Network, UnixTime};

/// The present time of all measurements.
const NOW: u64 = 1_900_000_000;

/// The days over which the finished payments are spread.
const DAYS: u64 = 400;

/// Payers at once.
const PAYERS: usize = 64;

/// The duration of the measurement of claims.
const CLAIMING: Duration = Duration::from_secs(5);

/// The figures of one ledger.
struct Figures {
    rows: u64,
    megabytes: u64,
    claims_per_second: u64,
    open: Duration,
    pruned: u64,
    prune: Duration,
    claims_beside_prune: u64,
    first_page: Duration,
    owed: Duration,
}

fn main() {
    // Cargo adds `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(rows) = arguments.next().and_then(|rows| rows.parse().ok()) else {
        println!("`-- 10000000 [FOLDER]` measures a ledger of so many rows beside an empty one");
        return;
    };
    let parent = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!(
        "{:>10} {:>7} {:>9} {:>9} {:>8} {:>9} {:>13} {:>10} {:>9}",
        "rows", "MB", "claims/s", "open ms", "pruned", "prune ms", "claims beside", "page ms", "owed ms"
    );
    for rows in [0, rows] {
        let dir = tempfile::tempdir_in(&parent).expect("a directory");
        let figures = runtime.block_on(measure(&dir.path().join("ledger.db"), rows));
        let ms = |duration: Duration| format!("{:.1}", duration.as_secs_f64() * 1e3);
        println!(
            "{:>10} {:>7} {:>9} {:>9} {:>8} {:>9} {:>13} {:>10} {:>9}",
            figures.rows,
            figures.megabytes,
            figures.claims_per_second,
            ms(figures.open),
            figures.pruned,
            ms(figures.prune),
            figures.claims_beside_prune,
            ms(figures.first_page),
            ms(figures.owed),
        );
    }
}

async fn measure(path: &Path, rows: u64) -> Figures {
    drop(SqliteLedger::open(path).expect("a new ledger"));
    fill(path, rows);
    let megabytes = std::fs::metadata(path).expect("the file").len() / 1_000_000;
    let begun = Instant::now();
    let ledger = Arc::new(SqliteLedger::open(path).expect("a ledger"));
    let open = begun.elapsed();
    let next = Arc::new(AtomicU64::new(0));
    let claimed = claim_for(&ledger, &next, Instant::now() + CLAIMING).await;

    let first_page = time(|| {
        let newest = Filter { order: ClaimOrder::NewestFirst, limit: Some(101), ..Filter::default() };
        assert_eq!(list(path, &newest), 101);
    });
    let owed = time(|| {
        let owed = Filter { states: vec![PaymentState::Owed], ..Filter::default() };
        assert_eq!(list(path, &owed), 0);
    });

    // One day's rows are over age. Claims go on beside it.
    let kept = Retention {
        answers: Duration::from_secs(86_400),
        payments: Duration::from_secs((DAYS - 1) * 86_400),
        answer_bytes: u64::MAX,
    };
    let begun = Instant::now();
    let pruning = {
        let ledger = Arc::clone(&ledger);
        tokio::spawn(async move { (ledger.prune(UnixTime(NOW), kept).await.expect("pruned"), Instant::now()) })
    };
    let beside = claim_for(&ledger, &next, begun + CLAIMING).await;
    let (pruned, ended) = pruning.await.expect("no panic");
    Figures {
        rows,
        megabytes,
        claims_per_second: claimed / CLAIMING.as_secs(),
        open,
        pruned,
        prune: ended - begun,
        claims_beside_prune: beside / CLAIMING.as_secs(),
        first_page,
        owed,
    }
}

/// Inserts finished payments, past the ledger: without its indexes, which are made again at the end.
fn fill(path: &Path, rows: u64) {
    // The ledger that was dropped may still be closing the file.
    let lock = path.with_extension("lock");
    while std::fs::File::open(&lock).is_ok_and(|file| file.try_lock().is_err()) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let connection = rusqlite::Connection::open(path).expect("the file");
    connection
        .execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000; PRAGMA temp_store = MEMORY; BEGIN")
        .expect("settings");
    let indexes: Vec<(String, String)> = connection
        .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")
        .expect("a query")
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("indexes")
        .collect::<Result<_, _>>()
        .expect("names");
    for (name, _) in &indexes {
        connection.execute_batch(&format!("DROP INDEX {name}")).expect("dropped");
    }
    let begin = NOW - DAYS * 86_400;
    let span = DAYS * 86_400;
    connection
        .execute_batch(&format!(
            "CREATE TEMP TABLE number AS WITH RECURSIVE n (n) AS
                (SELECT 1 WHERE {rows} > 0 UNION ALL SELECT n + 1 FROM n WHERE n < {rows}) SELECT n FROM n;
             INSERT INTO claim (id, key, payment_id, network, asset, payer, nonce, amount, pay_to, testnet, endpoint,
                plugin, generation, payment, request, valid_before, created_at)
                SELECT n, randomblob(32), lower(hex(randomblob(16))), 'eip155:84532',
                    '0x036cbd53842c5426634e7929541ec2318f3dcf7e', printf('0x%040x', n % 100000),
                    '0x' || lower(hex(randomblob(32))), '10000', '0x209693bc6afc0c5328ba36faf03c514ef312287c', 1,
                    'GET /api/' || (n % 20), 'aurora', 1, randomblob(32), randomblob(32),
                    {begin} + {span} * n / {rows} + 60, {begin} + {span} * n / {rows} FROM number;
             INSERT INTO progress (id, flow, state, sent, paid, verify_us, run_us, settle_us, updated_at)
                SELECT id, 'authorization', 'delivered', 1, 1, 300, 5000, 2000000, created_at + 2 FROM claim;
             INSERT INTO settlement (id, tx, response) SELECT id, '0x' || lower(hex(randomblob(32))),
                json_object('success', 1, 'transaction', lower(hex(randomblob(32))), 'network', 'eip155:84532')
                FROM claim;
             DROP TABLE number;"
        ))
        .expect("rows");
    for (_, sql) in &indexes {
        connection.execute_batch(sql).expect("made again");
    }
    connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").expect("committed");
}

/// Claims new payments until this time, [`PAYERS`] at once. Returns their number.
async fn claim_for(ledger: &Arc<SqliteLedger>, next: &Arc<AtomicU64>, until: Instant) -> u64 {
    let before = next.load(Ordering::Relaxed);
    let mut payers = tokio::task::JoinSet::new();
    for _ in 0..PAYERS {
        let (ledger, next) = (Arc::clone(ledger), Arc::clone(next));
        payers.spawn(async move {
            while Instant::now() < until {
                let claimed = ledger.claim(claim(next.fetch_add(1, Ordering::Relaxed))).await;
                assert!(matches!(claimed, Ok(Claimed::Won(_))));
            }
        });
    }
    payers.join_all().await;
    next.load(Ordering::Relaxed) - before
}

fn claim(number: u64) -> Claim {
    Claim {
        id: PaymentId::new(
            Network::eip155(84532),
            "0x036cbd53842c5426634e7929541ec2318f3dcf7e".to_owned(),
            format!("0x{:040x}", number % 100_000),
            format!("0x{number:064x}"),
        ),
        payment: Fingerprint([1; 32]),
        request: Fingerprint([2; 32]),
        holder: Holder { secret: Some(Fingerprint([3; 32])), client: Some(Fingerprint([4; 32])) },
        identifier: None,
        request_id: None,
        endpoint: "GET /api/gitignore".to_owned(),
        plugin: "aurora".to_owned(),
        generation: 1,
        amount: "10000".to_owned(),
        pay_to: "0x209693bc6afc0c5328ba36faf03c514ef312287c".to_owned(),
        testnet: true,
        flow: Flow::Authorization,
        pass: None,
        valid_before: UnixTime(NOW + 60),
        at: UnixTime(NOW),
    }
}

fn list(path: &Path, filter: &Filter) -> usize {
    let reader = LedgerReader::open(path).expect("a ledger");
    let mut selection = reader.select(filter).expect("a selection");
    selection.rows().expect("rows").filter(|row| row.is_ok()).count()
}

fn time(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}
