//! Tests connections over real sockets, to a host that serves nothing.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::{Hosts, RequestHandler, ServerSettings, run};
use crate::catalog::Catalog;
use crate::payment::{Payments, PaymentsConfig, RateLimits};
use coinslot_ledger::{Retention, SqliteLedger};
use coinslot_x402::UnixTime;

/// Serves on a free port for as long as the test runs.
async fn host(settings: ServerSettings) -> std::net::SocketAddr {
    host_behind(None, settings).await
}

/// Serves behind these proxies.
async fn host_behind(proxies: Option<Vec<ipnet::IpNet>>, settings: ServerSettings) -> std::net::SocketAddr {
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
        allowances: crate::allowance::AllowancePolicy::default(),
        clock: || UnixTime(0),
    };
    let payments = Payments::new(Vec::new(), Arc::new(ledger), config);
    let catalog = Arc::new(ArcSwap::from_pointee(Catalog::empty("http://127.0.0.1")));
    let handler = Arc::new(RequestHandler::new(catalog, payments, Hosts::Any, proxies));
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
async fn slow_headers_end_a_connection() {
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
}

#[tokio::test]
async fn a_connection_whose_client_reads_nothing_ends_while_answers_wait() {
    let settings = ServerSettings { stall_timeout: Duration::from_millis(500), ..ServerSettings::default() };
    let address = host(settings).await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut greedy = socket.connect(address).await.expect("connected");
    let ended = tokio::time::timeout(Duration::from_secs(20), async {
        while greedy.write_all(b"GET /nothing HTTP/1.1\r\nhost: a.example\r\n\r\n").await.is_ok() {}
    });
    assert!(ended.await.is_ok(), "the host still waits for its client");
}

/// The kernel takes megabytes ahead unless it is told not to, and then nothing until a third of them has left: a client
/// that read slowly looked like one that does not read.
#[tokio::test]
async fn a_client_that_reads_slowly_and_steadily_is_not_cut() {
    let settings = ServerSettings { stall_timeout: Duration::from_millis(800), ..ServerSettings::default() };
    let address = host(settings).await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(32 << 10).expect("a small buffer");
    let (mut answers, mut requests) = socket.connect(address).await.expect("connected").into_split();
    let asking = tokio::spawn(async move {
        let many = b"GET /nothing HTTP/1.1\r\nhost: a.example\r\n\r\n".repeat(100);
        while requests.write_all(&many).await.is_ok() {}
    });
    let (begun, mut scratch) = (std::time::Instant::now(), vec![0; 8 << 10]);
    while begun.elapsed() < Duration::from_secs(8) {
        let read = answers.read(&mut scratch).await.expect("an answer");
        assert!(read > 0, "cut after {:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    asking.abort();
}

#[tokio::test]
async fn an_http_2_connection_that_nobody_uses_is_told_to_go() {
    let settings = ServerSettings { unused_timeout: Duration::from_millis(300), ..ServerSettings::default() };
    let stream = TokioIo::new(TcpStream::connect(host(settings).await).await.expect("connected"));
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.expect("a connection");
    let connection = tokio::spawn(connection);
    for _ in 0..5 {
        let request = Request::get("http://a.example/nothing").body(Empty::<Bytes>::new()).expect("a request");
        assert_eq!(sender.send_request(request).await.expect("an answer").status(), 404);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ended = tokio::time::timeout(Duration::from_secs(10), connection).await.expect("the host ends it");
    ended.expect("no panic").expect("in good order");
}

#[tokio::test]
async fn a_client_above_its_share_is_turned_away_and_others_are_served() {
    let settings = ServerSettings { max_connections_per_client: Some(2), ..ServerSettings::default() };
    let proxies = vec!["127.0.0.9/32".parse().expect("a network")];
    let address = host_behind(Some(proxies), settings).await;
    let from = async |ip: [u8; 4]| {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((ip, 0).into()).expect("an address of this machine");
        socket.connect(address).await.expect("the backlog takes it")
    };
    let mut kept = Vec::new();
    for ip in [[127, 0, 0, 1], [127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 0, 9], [127, 0, 0, 9], [127, 0, 0, 9]] {
        let mut stream = from(ip).await;
        assert_eq!(ask(&mut stream).await, "HTTP/1.1 404", "{ip:?}");
        kept.push(stream);
    }
    let mut third = from([127, 0, 0, 1]).await;
    let _ = third.write_all(b"GET /nothing HTTP/1.1\r\nhost: a.example\r\n\r\n").await;
    assert_eq!(third.read(&mut [0; 12]).await.unwrap_or(0), 0, "it is closed without an answer");
}

/// This failed as follows: the host closed its socket with a part of the body in it, and the reset of the connection
/// took the answer with it.
#[tokio::test]
async fn an_early_answer_is_read_by_a_client_that_still_sends() {
    let address = host(ServerSettings::default()).await;
    let mut slow = TcpStream::connect(address).await.expect("connected");
    slow.write_all(b"POST /nothing HTTP/1.1\r\nhost: a.example\r\ncontent-length: 5000000\r\n\r\n")
        .await
        .expect("sent");
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        slow.write_all(&[b'x'; 100_000]).await.expect("the host reads on");
    }
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).await.expect("no reset");
    let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 404") && answer.contains("connection: close"), "{answer}");
    assert!(answer.ends_with('}'), "the whole answer: {answer}");
}
