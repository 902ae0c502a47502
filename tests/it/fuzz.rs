//! Sends random requests over sockets: none is served unpaid and none breaks the host. Bounded in number and time.

use std::time::{Duration, Instant};

use alloy::primitives::U256;
use coinslot_tests::{DevHost, encode, guest};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const REQUESTS: usize = 3000;
/// Stops the run on a slow machine.
const TIME_LIMIT: Duration = Duration::from_secs(20);

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec())
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

fn any_method() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => one_of(&["GET", "POST"]),
        3 => one_of(&["HEAD", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "OPTIONS", "get", "GET ", "\tGET", "PRI", ""]),
        1 => bytes(6),
    ]
}

/// Served paths and parts of them, with separators and escapes between.
fn any_target() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => one_of(&["/api/gitignore", "/api/code-review", "/declared", "/api", "/gitignore", "/"]),
        4 => one_of(&[
            "//", "/./", "/../", "%2e%2e/", "%2f", "%2F", "\\", "%5c", ";a=b", "%00", "%0d%0a", "%", "%zz", "%252f",
            "?", "?stack=rust", "#", "http://a", "http://a/", "//a", "*", " ", "\t", "{*rest}", "%ff", "A", "..", ".",
        ]),
        1 => bytes(4),
    ];
    prop::collection::vec(piece, 1..5).prop_map(|pieces| pieces.concat())
}

fn any_field() -> impl Strategy<Value = Vec<u8>> {
    let payment = prop_oneof![
        bytes(60).prop_map(|bytes| encode(&serde_json::json!(String::from_utf8_lossy(&bytes)))),
        Just(encode(&serde_json::json!({ "x402Version": 2, "accepted": {}, "payload": {} }))),
        Just(encode(
            &serde_json::json!({ "x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": {} })
        )),
        "[A-Za-z0-9+/=]{0,80}",
    ];
    let payment = (one_of(&["PAYMENT-SIGNATURE", "X-PAYMENT", "Payment-Response", "Authorization"]), payment)
        .prop_map(|(name, value)| [&name, b": ".as_slice(), value.as_bytes(), b"\r\n"].concat());
    prop_oneof![
        4 => payment,
        6 => one_of(&[
            "Host: a\r\n", "Host: b\r\n", "Content-Length: 0\r\n", "Content-Length: 5\r\n", "Content-Length: -1\r\n",
            "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: identity\r\n", "Expect: 100-continue\r\n",
            "Upgrade: h2c\r\n", "Upgrade: websocket\r\n", "TE: trailers\r\n", "Connection: upgrade\r\n",
            "Connection: PAYMENT-SIGNATURE\r\n", "X-HTTP-Method-Override: OPTIONS\r\n", "X-Original-URL: /free\r\n",
            "Origin: https://evil.example\r\n", "Range: bytes=0-1\r\n", "If-None-Match: *\r\n", "X-A: b\r\n folded\r\n",
            "\r\n", "\n", "GET /declared HTTP/1.1\r\n",
        ]),
        1 => bytes(30).prop_map(|mut line| {
            line.extend(b"\r\n");
            line
        }),
    ]
}

fn any_request() -> impl Strategy<Value = Vec<u8>> {
    let version =
        prop_oneof![8 => one_of(&["HTTP/1.1"]), 1 => one_of(&["HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "", "HTTP/1.1 "])];
    let host = prop_oneof![5 => one_of(&["Host: a\r\n"]), 1 => one_of(&[""])];
    let head = (any_method(), any_target(), version, host, prop::collection::vec(any_field(), 0..4));
    (head, bytes(40)).prop_map(|((method, target, version, host, fields), body)| {
        let line = [&method, b" ".as_slice(), &target, b" ", &version, b"\r\n"].concat();
        [line, host, fields.concat(), b"\r\n".to_vec(), body].concat()
    })
}

/// Sends these bytes, closes the sending side, and returns everything that the host answers.
async fn said(address: &str, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let mut answer = Vec::new();
    let talk = async {
        // A host that has read enough may close before it has read everything.
        let _ = stream.write_all(request).await;
        let _ = stream.shutdown().await;
        while stream.read_buf(&mut answer).await.is_ok_and(|read| read > 0) {}
    };
    let ended = tokio::time::timeout(Duration::from_secs(10), talk).await;
    assert!(ended.is_ok(), "it hangs on {:?}", String::from_utf8_lossy(request));
    answer
}

#[tokio::test]
async fn no_random_request_is_served_unpaid() {
    let builder = DevHost::builder().plugin("aurora.wasm", &guest("aurora"));
    let host = builder.plugin("declared.wasm", &guest("declared")).start().await;
    let address = host.url("").replace("http://", "");
    let (requests, mut runner) = (any_request(), TestRunner::default());
    let (until, mut offered, mut refused) = (Instant::now() + TIME_LIMIT, 0, 0);
    for _ in 0..REQUESTS {
        if Instant::now() > until {
            break;
        }
        let request = requests.new_tree(&mut runner).expect("a request").current();
        let answer = String::from_utf8_lossy(&said(&address, &request).await).into_owned();
        for status in answer.split("HTTP/1.").skip(1).map(|rest| rest.get(2..5).unwrap_or_default()) {
            let fine = match status {
                "100" => true,
                // A document of the host, which no plugin has made.
                "200" | "304" => answer.contains("\r\netag: ") && answer.contains("\r\ncache-control: no-cache\r\n"),
                "204" => request.windows(7).any(|word| word == b"OPTIONS"),
                _ => status.starts_with('4'),
            };
            assert!(fine, "{:?} gets {answer:?}", String::from_utf8_lossy(&request));
            offered += usize::from(status == "402");
            refused += usize::from(status == "400" || status == "404");
        }
    }
    assert!(offered > 20 && refused > 20, "{offered} offers and {refused} refusals: the requests are too uniform");
    assert_eq!(host.client().get(host.url("/declared")).send().await.expect("an answer").status(), 402);
    assert_eq!(host.ledger(), [""; 0]);
    assert_eq!(host.chain().balance(host.seller()).await, U256::ZERO);
    assert!(!host.log().contains("panicked") && !host.log().contains("ERROR"), "{}", host.log());
}
