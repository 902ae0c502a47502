//! Asks a server over connections that are kept, and takes the times of the answers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

/// A connection.
pub(crate) type Client = SendRequest<Empty<Bytes>>;

/// The address from which an attacker asks.
pub(crate) const ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
/// The address from which a neighbour asks: another client than the attacker.
const NEIGHBOUR: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Connects from this address.
pub(crate) async fn connect(from: IpAddr, address: &str) -> Option<Client> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind(SocketAddr::new(from, 0)).ok()?;
    let stream = socket.connect(address.parse().ok()?).await.ok()?;
    let _ = stream.set_nodelay(true);
    let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    Some(sender)
}

/// Reads one answer to its end. `None` if the connection cannot be used any more.
pub(crate) async fn ask(client: &mut Client, path: &str) -> Option<u16> {
    client.ready().await.ok()?;
    // The routes with a quoted price are POSTs.
    let method = if path.starts_with("/quoter") || path.starts_with("/keeper") { Method::POST } else { Method::GET };
    let request = Request::builder().method(method).uri(path).header("host", "h").body(Empty::new()).ok()?;
    let answer = client.send_request(request).await.ok()?;
    let status = answer.status().as_u16();
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        frame.ok()?;
    }
    Some(status)
}

/// Calls a guest without a pause until dropped.
pub(crate) async fn call_forever(address: String, path: &str) -> std::convert::Infallible {
    loop {
        let Some(mut client) = connect(ATTACKER, &address).await else {
            // A server that takes no connection is asked again, but not in a loop that keeps the processor.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        while ask(&mut client, path).await.is_some() {}
    }
}

/// The times of all answers in microseconds, sorted. Each connection asks again after a pause. Panics if an answer is
/// not 200: a neighbour is served, whatever others do.
pub(crate) async fn times(
    address: &str,
    path: &'static str,
    connections: usize,
    pause: Duration,
    time: Duration,
) -> Vec<u128> {
    let mut clients = JoinSet::new();
    let end = Instant::now() + time;
    for _ in 0..connections {
        let mut client = connect(NEIGHBOUR, address).await.expect("a connection");
        clients.spawn(async move {
            let mut took = Vec::new();
            while Instant::now() < end {
                let begun = Instant::now();
                assert_eq!(ask(&mut client, path).await, Some(200), "a neighbour is not served");
                took.push(begun.elapsed().as_micros());
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
            }
            took
        });
    }
    let mut all: Vec<u128> = clients.join_all().await.into_iter().flatten().collect();
    all.sort_unstable();
    all
}

/// The 99th percentile in milliseconds.
pub(crate) fn p99(sorted: &[u128]) -> f64 {
    sorted[sorted.len() * 99 / 100] as f64 / 1000.0
}
