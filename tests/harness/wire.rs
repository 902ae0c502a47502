//! Sends requests without a client library that would refuse, repair or repeat them.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::http::request::Builder;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends these bytes and returns everything that comes until the host closes the connection.
///
/// # Panics
/// If the host keeps the connection open for 20 seconds.
pub async fn raw(url: &str, request: &[u8]) -> String {
    let mut stream = connect(url).await;
    // A host that has read enough may close before it has read everything.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), async {
        while stream.read_buf(&mut answer).await.is_ok_and(|read| read > 0) {}
    });
    let ended = ended.await.is_ok();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(ended, "{:?} leaves the connection open after {answer:?}", String::from_utf8_lossy(request));
    answer
}

/// An HTTP/2 connection without TLS and without an upgrade from HTTP/1.
#[derive(Debug)]
pub struct Http2 {
    sender: SendRequest<Full<Bytes>>,
}

impl Http2 {
    /// Connects to the host and port of this address.
    ///
    /// # Panics
    /// If the host does not speak HTTP/2 there.
    pub async fn connect(url: &str) -> Self {
        let stream = TokioIo::new(connect(url).await);
        let (sender, connection) = handshake(TokioExecutor::new(), stream).await.expect("a connection");
        tokio::spawn(connection);
        Self { sender }
    }

    /// Sends one request without a body, whichever host its URI names, and returns the whole answer.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn send(&mut self, request: Builder) -> reqwest::Response {
        let request = request.body(Full::new(Bytes::new())).expect("a request");
        let (head, body) = self.sender.send_request(request).await.expect("an answer").into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        hyper::Response::from_parts(head, body).into()
    }
}

/// Sends a request whose body is produced while the answer is read, and returns the answer's body.
///
/// # Panics
/// If the status is not 200.
pub async fn open_body<B>(request: Request<B>) -> Incoming
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    let (mut head, body) = request.into_parts();
    let stream = TokioIo::new(connect(&head.uri.to_string()).await);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.expect("a connection");
    tokio::spawn(connection);
    let authority = head.uri.authority().expect("a host").as_str();
    head.headers.insert(hyper::header::HOST, authority.parse().expect("ASCII"));
    head.uri = head.uri.path_and_query().expect("a path").as_str().parse().expect("a target");
    let answer = sender.send_request(Request::from_parts(head, body)).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    answer.into_body()
}

async fn connect(url: &str) -> TcpStream {
    let url = url::Url::parse(url).expect("an address");
    let addresses = url.socket_addrs(|| None).expect("a host and a port");
    TcpStream::connect(&*addresses).await.expect("a connection")
}
