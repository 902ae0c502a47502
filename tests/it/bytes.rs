//! Sends HTTP/1 requests that no client library sends: each gets one answer, and no smuggled request runs.

use alloy::primitives::U256;
use coinslot_tests::{DevHost, decode, guest, raw};

/// A request that is hidden behind another one. The guest's log shows if it ran.
const SMUGGLED: &str = "GET /echo?smuggled HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Asserts that the client saw exactly one answer, with one of these statuses.
#[track_caller]
fn check(answer: &str, statuses: &[&str], request: &str) {
    let answers: Vec<_> = answer.split("HTTP/1.").skip(1).map(|answer| &answer[2..5]).collect();
    assert!(answers.len() == 1 && statuses.contains(&answers[0]), "{request:?}: {answer}");
}

#[tokio::test]
async fn an_ambiguous_content_length_smuggles_no_second_request() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let long = SMUGGLED.len() + 5;
    let doubts = [
        format!("Content-Length: 0\r\nContent-Length: {long}\r\n\r\n"),
        format!("Content-Length: {long}\r\nContent-Length: 0\r\n\r\n"),
        format!("Content-Length: 0, {long}\r\n\r\n"),
        "Content-Length: 0, 0\r\n\r\n".to_owned(),
        "Content-Length: +0\r\n\r\n".to_owned(),
        "Content-Length: -1\r\n\r\n".to_owned(),
        "Content-Length: 0x0\r\n\r\n".to_owned(),
        "Content-Length: 18446744073709551616\r\n\r\n".to_owned(),
        "Content-Length:\r\n\r\n".to_owned(),
        "Content-Length : 0\r\n\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\n\r\n".to_owned(),
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n".to_owned(),
    ];
    for doubt in doubts {
        for method in ["GET", "POST"] {
            let request = format!("{method} /echo HTTP/1.1\r\nHost: a\r\n{doubt}{SMUGGLED}");
            check(&raw(&host.url(""), request.as_bytes()).await, &["400"], &request);
        }
    }
    assert!(!host.log().contains("echo got"), "{}", host.log());
}

#[tokio::test]
async fn content_length_beside_transfer_encoding_closes_the_connection() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let long = SMUGGLED.len() + 5;
    for both in [
        format!("Content-Length: {long}\r\nTransfer-Encoding: chunked\r\n"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {long}\r\n"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {long}\r\nConnection: keep-alive\r\n"),
    ] {
        for (method, statuses) in [("GET", ["200", "400"]), ("POST", ["402", "400"])] {
            let request = format!("{method} /echo?outer HTTP/1.1\r\nHost: a\r\n{both}\r\n0\r\n\r\n{SMUGGLED}");
            check(&raw(&host.url(""), request.as_bytes()).await, &statuses, &request);
        }
    }
    assert!(!host.log().contains("echo got smuggled"), "{}", host.log());
}

#[tokio::test]
async fn bytes_after_a_paid_request_do_not_lose_its_answer() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let challenge = host.client().post(host.url("/echo")).body("hello").send().await.expect("an answer");
    let payment = host.payer(0).pay(&challenge).header();
    for behind in ["\r\n", "GET /echo HT", SMUGGLED] {
        let request = format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\
             PAYMENT-SIGNATURE: {payment}\r\n\r\nhello{behind}"
        );
        let answer = raw(&host.url(""), request.as_bytes()).await;
        check(&answer, &["200"], &request);
        assert!(answer.contains("payment-response: "), "{answer}");
    }
    assert!(!host.log().contains("echo got smuggled"), "{}", host.log());
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(10_000));
}

#[tokio::test]
async fn an_unusual_request_line_or_header_is_challenged_or_refused() {
    let host = DevHost::builder().plugin("aurora.wasm", &guest("aurora")).start().await;
    let paid = "/api/gitignore?stack=rust";
    for (request, statuses) in [
        (format!("GET http://a{paid} HTTP/1.1\r\nHost: a\r\n"), &["402"][..]),
        (format!("GET http://a{paid} HTTP/1.1\r\n"), &["402", "400"]),
        (format!("GET a{paid} HTTP/1.1\r\nHost: a\r\n"), &["400"]),
        (format!("get {paid} HTTP/1.1\r\nHost: a\r\n"), &["405", "400"]),
        (format!("BREW {paid} HTTP/1.1\r\nHost: a\r\n"), &["405"]),
        (format!("G@T {paid} HTTP/1.1\r\nHost: a\r\n"), &["400"]),
        (format!("GET\t{paid} HTTP/1.1\r\nHost: a\r\n"), &["400"]),
        (format!("GET {paid}\r\n"), &["400"]),
        (format!("GET {paid} HTTP/1.0\r\nHost: a\r\n"), &["402"]),
        (format!("GET {paid} HTTP/2.0\r\nHost: a\r\n"), &["400"]),
        (format!("\r\n\r\nGET {paid} HTTP/1.1\r\nHost: a\r\n"), &["402", "400"]),
        (format!("GET {paid} HTTP/1.1\r\nHost: a\r\nX-A: b\r\n folded\r\n"), &["400"]),
        (format!("GET {paid} HTTP/1.1\r\n Host: a\r\n"), &["400"]),
        (format!("GET {paid} HTTP/1.1\r\nHost: a\r\nPAYMENT-SIGNATURE: e30=\r\n ,e30=\r\n"), &["400"]),
        (format!("GET {paid} HTTP/1.1\r\nHost: a\r\nX-A: b\rX-B: c\r\n"), &["400"]),
        (format!("GET {paid} HTTP/1.1\r\nHost: a\r\nX-A: b\0\r\n"), &["400"]),
        (format!("GET {paid} HTTP/1.1\r\nHost: a\r\nno colon\r\n"), &["400"]),
        (format!("GET {paid} HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"), &["402"]),
        (format!("GET {paid} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"), &["402"]),
    ] {
        let request = format!("{request}Connection: close\r\n\r\n");
        check(&raw(&host.url(""), request.as_bytes()).await, statuses, &request);
        let bare = request.replace("\r\n", "\n");
        check(&raw(&host.url(""), bare.as_bytes()).await, &["402", "400", "405"], &bare);
    }
    assert_eq!(host.ledger(), [""; 0]);
}

#[tokio::test]
async fn an_absolute_target_is_priced_by_its_path_and_the_challenge_names_our_host() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let request = b"POST http://evil.example/echo HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    let answer = raw(&host.url(""), request).await;
    let challenge = answer.lines().find_map(|line| line.strip_prefix("payment-required: ")).expect("a challenge");
    assert_eq!(decode(challenge)["resource"]["url"], host.url("/echo"));
    assert!(!answer.contains("evil"), "{answer}");
}

/// Reads one whole answer from a connection, up to the length in its head.
async fn next_answer(stream: &mut tokio::net::TcpStream) -> String {
    use tokio::io::AsyncReadExt;
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&seen).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if length.is_some_and(|length: usize| body.len() >= length) {
                return text;
            }
        }
        let read = tokio::time::timeout(std::time::Duration::from_secs(20), stream.read(&mut piece)).await;
        match read.expect("an answer in time").expect("a connection") {
            0 => panic!("the connection ended after {text:?}"),
            read => seen.extend_from_slice(&piece[..read]),
        }
    }
}

/// This failed as follows: a challenge went out before the request's body had arrived, and hyper then closed the
/// connection without `Connection: close`. A client that kept the connection sent its payment into a closed socket. The
/// host now reads a small rest of the body, or announces the end of the connection.
#[tokio::test]
async fn a_connection_stays_open_when_the_body_arrives_after_the_challenge() {
    use tokio::io::AsyncWriteExt;
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let mut stream =
        tokio::net::TcpStream::connect(host.url("").trim_start_matches("http://")).await.expect("a connection");
    for _ in 0..3 {
        let head = "POST /echo?x HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("a head");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        stream.write_all(&[b'x'; 70_000]).await.expect("a body");
        let answer = next_answer(&mut stream).await;
        assert!(
            answer.starts_with("HTTP/1.1 402") && !answer.to_ascii_lowercase().contains("connection: close"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_challenge_does_not_wait_for_a_missing_body_and_closes_the_connection() {
    use tokio::io::AsyncWriteExt;
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let address = host.url("").trim_start_matches("http://").to_owned();
    for rest in ["Content-Length: 900000", "Content-Length: 9\r\nExpect: 100-continue", "Content-Length: 9"] {
        let mut stream = tokio::net::TcpStream::connect(&address).await.expect("a connection");
        let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{rest}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("a head");
        let answer = next_answer(&mut stream).await;
        assert!(
            answer.starts_with("HTTP/1.1 402") && answer.to_ascii_lowercase().contains("connection: close"),
            "{rest}: {answer}"
        );
    }
}
