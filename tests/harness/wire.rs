//! Talking to a host with nothing between that would refuse, repair or repeat a request.

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

/// Sends bytes as they are, and gives everything that comes until the host closes the connection.
///
/// # Panics
/// If it keeps the connection open.
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

/// A connection that speaks HTTP/2 from its first byte, without TLS.
#[derive(Debug)]
pub struct Http2 {
    sender: SendRequest<Full<Bytes>>,
}

impl Http2 {
    /// Connects to the host and port of this address.
    ///
    /// # Panics
    /// If nobody there speaks HTTP/2.
    pub async fn connect(url: &str) -> Self {
        let stream = TokioIo::new(connect(url).await);
        let (sender, connection) = handshake(TokioExecutor::new(), stream).await.expect("a connection");
        tokio::spawn(connection);
        Self { sender }
    }

    /// One request without a body, whichever host it names, and its whole answer.
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

/// Sends a request whose body is made while the answer's is read, and gives that.
///
/// # Panics
/// If it is not answered with 200.
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
