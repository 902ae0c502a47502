//! Watches a host that has nothing to do.

use std::time::Duration;

use coinslot_tests::{ServeHost, TestChain};

/// The times that any thread of the host has gone to sleep: it woke up before each.
fn sleeps(host: &ServeHost) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{}/task", host.process())).expect("threads");
    threads
        .map(|thread| {
            let path = thread.expect("a thread").path().join("status");
            // A thread may end while it is read.
            let status = std::fs::read_to_string(path).unwrap_or_default();
            let switches = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            switches.map_or(0, |switches| switches.trim().parse().expect("a number"))
        })
        .sum()
}

/// A host without a connection woke up more than ten times a second: for its ledger, its configuration, its folder and
/// its facilitator.
#[tokio::test]
async fn a_host_without_work_sleeps() {
    const WINDOW: Duration = Duration::from_secs(3);
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo", "status"], "").await;
    assert_eq!(reqwest::get(host.url("/status")).await.expect("an answer").status(), 200);
    // Work of the start and of the request goes on for a while.
    let mut seen = Vec::new();
    for _ in 0..10 {
        let before = sleeps(&host);
        tokio::time::sleep(WINDOW).await;
        seen.push(sleeps(&host) - before);
        if seen.last() < Some(&9) {
            return;
        }
    }
    panic!("in {WINDOW:?} each: {seen:?}");
}
