//! Durable claims: 64 payers at once, each waiting for its own to be on disk.
//!
//! Elements per second are claims per second; the aim is 2,000. The disk decides, so the file is made where
//! `TMPDIR` says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coinslot_ledger::{Claim, Claimed, Fingerprint, Holder, Ledger, PaymentId, SqliteLedger};
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
        holder: Holder { secret: Some(Fingerprint([3; 32])), client: Fingerprint([4; 32]) },
        identifier: None,
        endpoint: "GET /api/gitignore".to_owned(),
        plugin: "aurora".to_owned(),
        generation: 1,
        amount: "10000".to_owned(),
        pay_to: "0x209693bc6afc0c5328ba36faf03c514ef312287c".to_owned(),
        testnet: true,
        flow: Flow::Authorization,
        valid_before: UnixTime(2_000_000_000),
        at: UnixTime(1_900_000_000),
    }
}

fn claims(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir().expect("a directory");
    let ledger: Arc<dyn Ledger> = Arc::new(SqliteLedger::open(&dir.path().join("ledger.db")).expect("a ledger"));
    let next = Arc::new(AtomicU64::new(0));
    let mut group = criterion.benchmark_group("ledger");
    group.throughput(Throughput::Elements(PAYERS));
    group.bench_function("64 claims at once", |bencher| {
        bencher.to_async(&runtime).iter(|| {
            let (ledger, next) = (Arc::clone(&ledger), Arc::clone(&next));
            async move {
                let mut payers = tokio::task::JoinSet::new();
                for _ in 0..PAYERS {
                    let (ledger, number) = (Arc::clone(&ledger), next.fetch_add(1, Ordering::Relaxed));
                    payers.spawn(async move { ledger.claim(claim(number)).await });
                }
                for claimed in payers.join_all().await {
                    assert!(matches!(claimed, Ok(Claimed::Won(_))));
                }
            }
        });
    });
    group.finish();
}

criterion_group!(benches, claims);
criterion_main!(benches);
