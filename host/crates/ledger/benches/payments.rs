//! Durable claims and whole payments, 64 payers at once, each waiting for its own to be on disk.
//!
//! Elements per second are claims, or payments from their claim to their delivery; the aim is 2,000 claims. The disk
//! decides, so the file is made where `TMPDIR` says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use coinslot_ledger::{
    Claim, Claimed, Fingerprint, Holder, Ledger, PaymentId, SettledBy, SqliteLedger, Step, StoredAnswer,
};
use coinslot_x402::{Flow, Network, UnixTime};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Payers at once.
const PAYERS: u64 = 64;

fn claim(number: u64) -> Claim {
    Claim {
        id: PaymentId::new(
            Network::eip155(84532),
            "0x036cbd53842c5426634e7929541ec2318f3dcf7e".to_owned(),
            format!("0x{:040x}", number % PAYERS),
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
        valid_before: UnixTime(2_000_000_000),
        at: UnixTime(1_900_000_000),
    }
}

/// Takes one payment through all its steps, as a request does whose facilitator is believed.
async fn pay(ledger: &dyn Ledger, number: u64) {
    let at = UnixTime(1_900_000_000);
    let Ok(Claimed::Won(hold)) = ledger.claim(claim(number)).await else { panic!("a new claim") };
    ledger.note(&hold, Step::Executing, at);
    let answer = StoredAnswer {
        status: 200,
        headers: vec![("content-type".to_owned(), b"application/json".to_vec())],
        body: Bytes::from_static(&[b'x'; 200]),
    };
    ledger.advance(&hold, Step::Settling { request: "r".repeat(1_200), answer }, at).await.expect("sent");
    let settlement = serde_json::from_value(serde_json::json!({
        "success": true,
        "transaction": format!("0x{:064x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        "network": "eip155:84532",
        "payer": hold.id.payer(),
    }))
    .expect("a settlement");
    let part = Duration::from_millis(1);
    let by = SettledBy::Request { alone: true, verify: part, run: Some(part), settle: part };
    ledger.advance(&hold, Step::Settled { settlement, by, block: Some(7) }, at).await.expect("settled");
    ledger.note(&hold, Step::Delivered { keep: true }, at);
}

fn payments(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir().expect("a directory");
    let ledger: Arc<dyn Ledger> = Arc::new(SqliteLedger::open(&dir.path().join("ledger.db")).expect("a ledger"));
    let next = Arc::new(AtomicU64::new(0));
    let mut group = criterion.benchmark_group("ledger");
    group.throughput(Throughput::Elements(PAYERS));
    group.bench_function("64 claims at once", |bencher| {
        bencher.to_async(&runtime).iter(|| {
            at_once(&next, |number| {
                let ledger = Arc::clone(&ledger);
                async move { assert!(matches!(ledger.claim(claim(number)).await, Ok(Claimed::Won(_)))) }
            })
        });
    });
    group.bench_function("64 payments at once", |bencher| {
        bencher.to_async(&runtime).iter(|| {
            at_once(&next, |number| {
                let ledger = Arc::clone(&ledger);
                async move { pay(&*ledger, number).await }
            })
        });
    });
    group.finish();
}

/// Runs the work of all payers, each with a number of its own.
async fn at_once<F: Future<Output = ()> + Send + 'static>(next: &AtomicU64, work: impl Fn(u64) -> F) {
    let payers: tokio::task::JoinSet<()> = (0..PAYERS).map(|_| work(next.fetch_add(1, Ordering::Relaxed))).collect();
    payers.join_all().await;
}

criterion_group!(benches, payments);
criterion_main!(benches);
