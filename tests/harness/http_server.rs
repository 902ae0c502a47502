//! A small HTTP/1.1 server for the faulty proxies, which can also close a connection without an answer.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// An answer. `None` closes the connection without one.
pub(crate) type Reply = Option<Response<Full<Bytes>>>;

/// A running server. Dropping it closes every connection.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    listening: watch::Sender<Listening>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listening {
    Yes,
    Stopping,
    Stopped,
}

/// Stops a server from accepting connections, also from within one of its answers.
#[derive(Clone, Debug)]
pub(crate) struct Closer(watch::Sender<Listening>);

impl Closer {
    /// Closes the listening port, which is done when this returns. Open connections stay.
    pub(crate) async fn close(&self) {
        let mut seen = self.0.subscribe();
        self.0.send_replace(Listening::Stopping);
        let _ = seen.wait_for(|state| *state == Listening::Stopped).await;
    }
}

impl Server {
    /// Binds a free port and serves. `answer` gets the path and the whole body of each request.
    pub(crate) async fn start<F, R>(answer: impl FnOnce(Closer) -> F) -> Self
    where
        F: Fn(String, Bytes) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let listening = watch::Sender::new(Listening::Yes);
        let answer = answer(Closer(listening.clone()));
        let task = tokio::spawn(accept(listener, listening.clone(), answer));
        Self { address, listening, task }
    }

    /// Closes the listening port, which is done when this returns. Open connections stay.
    pub(crate) async fn close(&self) {
        Closer(self.listening.clone()).close().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept<F, R>(listener: TcpListener, listening: watch::Sender<Listening>, answer: F)
where
    F: Fn(String, Bytes) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Reply> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let mut state = listening.subscribe();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.expect("a connection").0,
            _ = state.wait_for(|state| *state == Listening::Stopping) => break,
        };
        let answer = answer.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = answer.clone();
            async move {
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
                answer(path, body).await.ok_or_else(|| "closed without an answer".to_owned())
            }
        });
        connections.spawn(async move {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
    drop(listener);
    listening.send_replace(Listening::Stopped);
    while connections.join_next().await.is_some() {}
}

/// An answer of this status whose content type says JSON.
pub(crate) fn reply(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    response
}
