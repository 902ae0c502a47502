//! Checks that a plugin is stopped at each limit and that other plugins are served meanwhile.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant};

use coinslot_tests::{ServeHost, TestChain};

/// Limits that every guest reaches soon.
const LIMITS: &str = "
[limits]
cpu_time = \"300ms\"
first_byte_timeout = \"700ms\"
total_timeout = \"1500ms\"
memory = \"32MiB\"
response_body = \"512KiB\"
log = \"4KiB\"
max_instances_per_plugin = 4
[health]
failures = 0
";

/// The limit, a request that exceeds it, and the status, or 0 for an answer that is cut off.
const EXCESSES: &[(&str, &str, u16)] = &[
    ("CPU time", "/spin", 504),
    ("CPU time in short pieces", "/spin?how=waits", 504),
    ("CPU time after the head", "/spin?how=head", 0),
    ("wall time", "/spin?how=sleep", 504),
    ("wall time after the head", "/spin?how=late", 0),
    ("memory", "/grow", 500),
    ("the stack", "/unruly?recurse", 500),
    ("handles", "/unruly?leak", 500),
    ("what the host keeps for handles", "/unruly?fields", 500),
    ("bodies that are never sent", "/unruly?hoard-bodies", 500),
    ("headers", "/unruly?headers", 500),
    ("trailers", "/unruly?trailers", 500),
    ("the answer", "/flood", 0),
    ("the log", "/unruly?chatter", 200),
    ("the log, by empty lines", "/unruly?newlines", 200),
    ("a trap midway", "/trap?when=late", 0),
    ("no answer", "/silent", 502),
    ("half an answer", "/unruly?unfinished", 502),
];

async fn ask(host: &ServeHost, path: &str) -> u16 {
    // An answer that exceeds its limit at once is cut off before its head.
    let Ok(reply) = reqwest::get(host.url(path)).await else { return 0 };
    let status = reply.status().as_u16();
    if reply.bytes().await.is_ok() { status } else { 0 }
}

#[tokio::test]
async fn neighbours_are_served_while_a_plugin_misbehaves() {
    let chain = TestChain::start().await;
    let guests = ["spin", "grow", "unruly", "flood", "trap", "silent", "echo", "quoter"];
    let host = chain.serve(&guests, LIMITS).await;
    let mut ends = BTreeMap::new();
    for (what, path, _) in EXCESSES {
        let excess = async { tokio::join!(ask(&host, path), ask(&host, path), ask(&host, path)) };
        let neighbours = async {
            for _ in 0..5 {
                assert_eq!(ask(&host, "/echo").await, 200, "a neighbour of {what}");
            }
        };
        let ((end, ..), ()) = tokio::join!(excess, neighbours);
        ends.insert(*what, end);
        assert_eq!(ask(&host, "/unruly").await, 200, "after {what}");
    }
    let expected: BTreeMap<&str, u16> = EXCESSES.iter().map(|(what, _, end)| (*what, *end)).collect();
    assert_eq!(ends, expected);
    // A quote that loops is stopped before the challenge.
    let quoter = reqwest::Client::new().post(host.url("/quoter/x?loop")).body("text");
    let (quoted, neighbour) = tokio::join!(quoter.send(), ask(&host, "/echo"));
    let quoted = quoted.expect("an answer");
    assert_eq!((quoted.status().as_u16(), neighbour), (504, 200));
    assert!(!quoted.headers().contains_key("payment-required"));
}

#[tokio::test]
async fn requests_that_fill_one_plugin_do_not_block_another() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["spin", "echo"], LIMITS).await;
    // Each run ends after 700 ms; a request waits a second for its turn.
    let all: Vec<_> = (0..24).map(|_| reqwest::get(host.url("/spin?how=sleep"))).collect();
    let neighbours = async {
        for _ in 0..10 {
            assert_eq!(ask(&host, "/echo").await, 200);
        }
    };
    let sleepers = async {
        let asked: Vec<_> = all.into_iter().map(tokio::spawn).collect();
        let mut ends: BTreeMap<u16, usize> = BTreeMap::new();
        for sleeper in asked {
            let reply = sleeper.await.expect("a task").expect("an answer");
            assert_eq!(reply.headers().contains_key("retry-after"), reply.status() == 503);
            *ends.entry(reply.status().as_u16()).or_default() += 1;
        }
        ends
    };
    let (ends, ()) = tokio::join!(sleepers, neighbours);
    let (late, busy) = (ends.get(&504).copied().unwrap_or(0), ends.get(&503).copied().unwrap_or(0));
    assert!(late + busy == 24 && (4..=16).contains(&late), "{ends:?}");
    assert_eq!(ask(&host, "/echo").await, 200);
}

/// The requests of one client took each instance that became free, in the order in which they had come.
#[tokio::test]
async fn a_client_with_many_requests_does_not_keep_a_plugin_from_another_client() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["crowd"], "[limits]\nmax_instances_per_plugin = 2\n").await;
    let from = |address: [u8; 4]| {
        reqwest::Client::builder().local_address(std::net::IpAddr::from(address)).build().expect("a client")
    };
    let (many, other) = (from([127, 0, 0, 2]), from([127, 0, 0, 1]));
    let url = host.url("/crowd?wait=400");
    let crowd: Vec<_> = (0..32)
        .map(|_| {
            let (many, url) = (many.clone(), url.clone());
            tokio::spawn(async move {
                while let Ok(reply) = many.get(&url).send().await {
                    // A request waits a second for its turn.
                    assert!(matches!(reply.status().as_u16(), 200 | 503), "{reply:?}");
                }
            })
        })
        .collect();
    host.wait_for_log("crowd got /crowd?wait", 4).await;
    for _ in 0..8 {
        let reply = other.get(host.url("/crowd?wait=1")).send().await.expect("an answer");
        assert_eq!(reply.status(), 200, "it has no instance in use, so the next is for it");
    }
    crowd.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn slow_readers_of_a_free_route_leave_places_to_paid_requests() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["crowd"], "[limits]\nmax_instances_per_plugin = 4\n").await;
    // Free requests that hold every instance that they may have, and more that wait for one.
    let slow: Vec<_> = (0..8).map(|_| tokio::spawn(reqwest::get(host.url("/crowd?wait=60000")))).collect();
    host.wait_for_log("crowd got /crowd?wait", 3).await;
    let bought = host.buy(chain.payer(0), "/crowd", Duration::from_secs(20)).await;
    assert!(bought.answer.is_some(), "{:?}", bought.statuses);
    slow.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn no_money_is_asked_for_or_claimed_while_no_instance_becomes_free() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["crowd"], "[limits]\nmax_instances_per_plugin = 1\n").await;
    let client = reqwest::Client::new();
    let ask = || client.post(host.url("/crowd"));
    let challenge = ask().send().await.expect("a challenge");
    let payment = chain.payer(0).pay(&challenge).header();
    let slow = tokio::spawn(reqwest::get(host.url("/crowd?wait=10000")));
    host.wait_for_log("crowd got /crowd?wait", 1).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    let refused = loop {
        let reply = ask().send().await.expect("an answer");
        if reply.status() == 503 {
            break reply;
        }
        assert_eq!(reply.status(), 402);
        assert!(Instant::now() < deadline, "money is asked for an answer that cannot be made");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(refused.headers().contains_key("retry-after") && !refused.headers().contains_key("payment-required"));
    let paid = ask().header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
    assert_eq!((paid.status().as_u16(), paid.headers()["x-coinslot-charged"].to_str().ok()), (503, Some("no")));
    assert!(host.ledger().is_empty(), "nothing is claimed");
    assert_eq!(slow.await.expect("a task").expect("an answer").status(), 200);
    let bought = ask().header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
    assert_eq!(bought.status(), 200, "the same payment buys it");
}

/// The host took 4.7 GiB, and the kernel ended it on a machine of 4 GiB.
#[tokio::test]
async fn all_instances_of_a_plugin_together_have_a_budget_of_memory() {
    const MIB: u64 = 1 << 20;
    let chain = TestChain::start().await;
    let host = chain.serve(&["grow", "echo"], "[health]\nfailures = 0\n").await;
    let before = host.resident_memory();
    // Guests that fill what they get and hold it, and then such that trap when they get no more.
    let held: Vec<_> = (0..64).map(|_| tokio::spawn(reqwest::get(host.url("/grow?hold=4000")))).collect();
    host.wait_for_log("grow holds", 4).await;
    let bought = host.buy(chain.payer(0), "/grow?modest", Duration::from_secs(20)).await;
    assert!(bought.answer.is_some(), "a quarter of the budget is for those who pay: {:?}", bought.statuses);
    let mut filled = 0;
    for held in held {
        let reply = held.await.expect("a task").expect("an answer");
        match reply.status().as_u16() {
            200 => filled += reply.text().await.expect("a body").parse::<u64>().expect("a number"),
            status => assert_eq!(status, 503, "it waited for its turn"),
        }
        assert_eq!(ask(&host, "/echo").await, 200, "a neighbour");
    }
    assert!(filled > 256, "they had what there is: {filled} MiB");
    let storm: Vec<_> = (0..64)
        .map(|_| {
            let url = host.url("/grow");
            tokio::spawn(async move {
                for _ in 0..4 {
                    let status = reqwest::get(&url).await.expect("an answer").status();
                    assert!(matches!(status.as_u16(), 500 | 503), "{status}");
                }
            })
        })
        .collect();
    for _ in 0..10 {
        assert_eq!(ask(&host, "/echo").await, 200, "a neighbour");
    }
    let bought = host.buy(chain.payer(1), "/grow?modest", Duration::from_secs(20)).await;
    assert!(bought.answer.is_some(), "{:?}", bought.statuses);
    for client in storm {
        client.await.expect("no panic");
    }
    let taken = (host.peak_memory() - before) / MIB;
    assert!((256..576).contains(&taken), "{taken} MiB taken at most");
    assert!(host.log().contains("limit=limits.max_memory_per_plugin = "), "the log names the limit: {}", host.log());
}

#[tokio::test]
async fn no_money_is_asked_for_or_claimed_while_there_is_no_memory_for_an_instance() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["grow"], "[limits]\nmemory = \"32MiB\"\nmax_memory_per_plugin = \"32MiB\"\n").await;
    let client = reqwest::Client::new();
    let ask = || client.post(host.url("/grow?modest"));
    let challenge = ask().send().await.expect("a challenge");
    let payment = chain.payer(0).pay(&challenge).header();
    let full = tokio::spawn(reqwest::get(host.url("/grow?hold=10000")));
    host.wait_for_log("grow holds", 1).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    let refused = loop {
        let reply = ask().send().await.expect("an answer");
        if reply.status() == 503 {
            break reply;
        }
        assert_eq!(reply.status(), 402);
        assert!(Instant::now() < deadline, "money is asked for an answer that cannot be made");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(refused.headers().contains_key("retry-after") && !refused.headers().contains_key("payment-required"));
    let paid = ask().header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
    assert_eq!((paid.status().as_u16(), paid.headers()["x-coinslot-charged"].to_str().ok()), (503, Some("no")));
    assert!(host.ledger().is_empty(), "nothing is claimed");
    assert_eq!(full.await.expect("a task").expect("an answer").status(), 200);
    let bought = ask().header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
    assert_eq!(bought.status(), 200, "the same payment buys it");
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_no_request_and_no_end() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["unruly", "echo"], "").await;
    for reads in [false, true] {
        let mut log = host.restart_with_piped_log().await;
        let storm = async {
            // More than the pipe and the host's queue take.
            for _ in 0..24 {
                assert_eq!(ask(&host, "/unruly?chatter").await, 200);
                assert_eq!(ask(&host, "/echo").await, 200);
            }
        };
        tokio::time::timeout(Duration::from_secs(60), storm).await.expect("no request waits for the log's reader");
        let reader = reads.then(|| {
            std::thread::spawn(move || {
                let mut text = String::new();
                log.read_to_string(&mut text).map(|_| text)
            })
        });
        host.signal("TERM");
        host.wait_for_exit().await;
        if let Some(reader) = reader {
            let text = reader.join().expect("no panic").expect("text");
            assert!(text.contains("dropped: nobody read the log"), "{text}");
            assert!(text.contains("finishing what is at work"), "the last lines are written");
        }
    }
}

#[tokio::test]
async fn instances_fit_where_the_pool_cannot_be_reserved() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["spin", "crowd"], "[limits]\nfirst_byte_timeout = \"5s\"\n").await;
    host.restart_with_addresses(16 << 30).await;
    assert!(host.log().contains("the instance pool cannot be reserved"), "{}", host.log());
    let asleep: Vec<_> = (0..16).map(|_| tokio::spawn(reqwest::get(host.url("/spin?how=sleep")))).collect();
    let met: Vec<_> = (0..16).map(|_| tokio::spawn(reqwest::get(host.url("/crowd?wait=1000")))).collect();
    for (asked, status) in [(asleep, 504), (met, 200)] {
        for asked in asked {
            assert_eq!(asked.await.expect("a task").expect("an answer").status(), status, "{}", host.log());
        }
    }
}

#[tokio::test]
async fn the_output_of_a_guest_is_bounded_per_request() {
    // A reused instance keeps its output streams, but the bound counts anew.
    for more in ["", "[plugin.unruly]\nreuse = { total = 9 }\n"] {
        bounded_prints(&format!("{LIMITS}{more}")).await;
    }
}

async fn bounded_prints(limits: &str) {
    let chain = TestChain::start().await;
    let host = chain.serve(&["unruly"], limits).await;
    for round in 1..=2 {
        assert_eq!(ask(&host, "/unruly?chatter").await, 200);
        host.wait_for_log("printed more than 4096 bytes", round).await;
        // Four lines of a thousand bytes and the beginning of a fifth.
        host.wait_for_log("chatter ", round * 5).await;
        assert_eq!(host.log().matches("chatter ").count(), round * 5);
    }
}

#[tokio::test]
async fn limits_of_one_plugin_apply_to_no_other() {
    let chain = TestChain::start().await;
    let own = "[plugin.grow.limits]\nmemory = \"2MiB\"\n[plugin.flood.limits]\nresponse_body = \"1KiB\"\n";
    let host = chain.serve(&["grow", "flood", "echo"], own).await;
    assert_eq!(ask(&host, "/grow").await, 500);
    assert_eq!(ask(&host, "/flood").await, 0);
    let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().expect("a client");
    let large = client.get(host.url("/echo")).body("x".repeat(64 << 10)).send().await.expect("an answer");
    assert!(large.bytes().await.is_ok_and(|body| body.len() > 64 << 10), "others answer more than a kibibyte");
    let too_much = client.get(host.url("/echo")).body("x".repeat(11 << 20)).send().await;
    // The host ends the connection while the client still sends, and the client may lose the answer by that.
    let answer = match too_much {
        Ok(reply) => reply.text().await.unwrap_or_default(),
        Err(_) => String::new(),
    };
    assert!(!answer.contains("\"bodyEnd\":\"whole\""), "10 MiB as for all");
}
