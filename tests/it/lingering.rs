//! Checks that an answer is read by clients that still send, and by those that have closed their side.

use std::time::Duration;

use coinslot_tests::{DevHost, guest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn connect(host: &DevHost) -> TcpStream {
    TcpStream::connect(host.url("").trim_start_matches("http://")).await.expect("a connection")
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    read.expect("the host closes its side").expect("no reset");
    String::from_utf8_lossy(&answer).into_owned()
}

/// This failed as follows: the host closed its socket with a part of the body in it. The kernel reset the connection,
/// and the client got a broken pipe in the place of its challenge.
#[tokio::test]
async fn an_early_challenge_or_refusal_is_read_while_five_megabytes_are_sent() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    for (method, path, status) in [("POST", "/echo", 402), ("POST", "/nothing", 404), ("PUT", "/echo", 405)] {
        for pause in [Duration::ZERO, Duration::from_millis(10)] {
            let mut stream = connect(&host).await;
            let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n");
            stream.write_all(head.as_bytes()).await.expect("a head");
            for _ in 0..50 {
                tokio::time::sleep(pause).await;
                stream.write_all(&[b'x'; 100_000]).await.expect("the host reads on");
            }
            let answer = rest(&mut stream).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_client_that_closes_its_side_gets_the_answer_of_a_free_route() {
    let host = DevHost::builder().plugin("ticker.wasm", &guest("ticker")).start().await;
    let mut stream = connect(&host).await;
    let request = "GET /ticker HTTP/1.1\r\nHost: a\r\nx-do: event wait wait event\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream.shutdown().await.expect("closed on this side");
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("data: 2"), "{answer}");
}
