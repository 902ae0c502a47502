//! Tests connections over real sockets, to a host that serves nothing.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Hosts, RequestHandler, ServerSettings, run};
use crate::catalog::Catalog;
use crate::payment::{Payments, PaymentsConfig, RateLimits};
use coinslot_ledger::{Retention, SqliteLedger};
use coinslot_x402::UnixTime;

/// Serves on a free port for as long as the test runs.
async fn host(settings: ServerSettings) -> std::net::SocketAddr {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = SqliteLedger::open(&dir.path().join("ledger.db")).expect("a ledger");
    let config = PaymentsConfig {
        keep_answer_bytes: 0,
        held_bytes: 0,
        min_body_rate: 0,
        retention: Retention { answers: Duration::ZERO, payments: Duration::ZERO, answer_bytes: 0 },
        quote_key: [0; 32],
        receipts: None,
        rate_limits: RateLimits { payments_per_second: 0.0, failures_per_second: None },
        clock: || UnixTime(0),
    };
    let payments = Payments::new(Vec::new(), Arc::new(ledger), config);
    let catalog = Arc::new(ArcSwap::from_pointee(Catalog::empty("http://127.0.0.1")));
    let handler = Arc::new(RequestHandler::new(catalog, payments, Hosts::Any, None));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        run(listener, handler, settings, std::future::pending()).await;
        drop(dir);
    });
    address
}

/// Sends a request and waits for the beginning of its answer.
async fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET /nothing HTTP/1.1\r\nhost: a.example\r\n\r\n").await.expect("sent");
    let mut start = vec![0; 12];
    stream.read_exact(&mut start).await.expect("an answer");
    String::from_utf8_lossy(&start).into_owned()
}

#[tokio::test]
async fn a_connection_above_the_limit_waits_until_another_closes() {
    let address = host(ServerSettings { max_connections: 1, ..ServerSettings::default() }).await;
    let mut first = TcpStream::connect(address).await.expect("connected");
    assert_eq!(ask(&mut first).await, "HTTP/1.1 404");
    let mut second = TcpStream::connect(address).await.expect("the backlog takes it");
    let waited = tokio::time::timeout(Duration::from_millis(300), ask(&mut second)).await;
    assert!(waited.is_err(), "{waited:?}");
    drop(first);
    let mut start = vec![0; 12];
    second.read_exact(&mut start).await.expect("an answer to what was sent while it waited");
    assert_eq!(start, b"HTTP/1.1 404");
}

#[tokio::test]
async fn a_connection_without_a_request_loses_its_permit() {
    let settings =
        ServerSettings { max_connections: 1, header_timeout: Duration::from_millis(200), ..ServerSettings::default() };
    let address = host(settings).await;
    for beginning in ["", "PRI * HT", "GET /nothing HTTP/1.1\r\nhos"] {
        let mut silent = TcpStream::connect(address).await.expect("connected");
        silent.write_all(beginning.as_bytes()).await.expect("sent");
        let mut other = TcpStream::connect(address).await.expect("the backlog takes it");
        let answer = tokio::time::timeout(Duration::from_secs(10), ask(&mut other)).await;
        assert_eq!(answer.as_deref(), Ok("HTTP/1.1 404"), "after {beginning:?}");
    }
}

#[tokio::test]
async fn slow_headers_end_a_connection_and_a_slow_answer_does_not() {
    let settings = ServerSettings { header_timeout: Duration::from_millis(400), ..ServerSettings::default() };
    let address = host(settings).await;
    let mut slow = TcpStream::connect(address).await.expect("connected");
    assert_eq!(ask(&mut slow).await, "HTTP/1.1 404");
    let mut rest = vec![0; 4096];
    // What is left of the answer.
    let _ = slow.read(&mut rest).await.expect("an answer");
    let start = std::time::Instant::now();
    for byte in b"GET /nothing HTTP/1.1\r\nhost: a.example\r\nx: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy" {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if slow.write_all(&[*byte]).await.is_err() {
            break;
        }
    }
    assert_eq!(slow.read(&mut rest).await.unwrap_or(0), 0, "no more is answered");
    assert!(start.elapsed() < Duration::from_secs(4));

    let activity = Arc::new(super::Activity::default());
    let work = activity.begin();
    let timeout = Duration::from_millis(100);
    let overdue = tokio::time::timeout(Duration::from_millis(500), activity.overdue(timeout)).await;
    assert!(overdue.is_err(), "the plugin takes its time, not the client");
    drop(work);
    tokio::time::timeout(Duration::from_secs(5), activity.overdue(timeout)).await.expect("now it is the client");
}
