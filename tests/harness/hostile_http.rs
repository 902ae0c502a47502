//! A small HTTP/1.1 server for the hostile ones, which may also hang up without a word.

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

/// An answer; none closes the connection.
pub(crate) type Reply = Option<Response<Full<Bytes>>>;

/// A running server; gone when dropped, with every connection.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    open: watch::Sender<Door>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Open,
    Closing,
    Closed,
}

/// Shuts a server's door from within an answer.
#[derive(Clone, Debug)]
pub(crate) struct Closer(watch::Sender<Door>);

impl Closer {
    /// From when this returns on, nobody can connect. What is connected stays.
    pub(crate) async fn close(&self) {
        let mut seen = self.0.subscribe();
        self.0.send_replace(Door::Closing);
        let _ = seen.wait_for(|door| *door == Door::Closed).await;
    }
}

impl Server {
    /// Binds a free port. `answer` gets path, headers and whole body of each request.
    pub(crate) async fn start<F, R>(answer: impl FnOnce(Closer) -> F) -> Self
    where
        F: Fn(String, Bytes) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let open = watch::Sender::new(Door::Open);
        let answer = answer(Closer(open.clone()));
        let task = tokio::spawn(accept(listener, open.clone(), answer));
        Self { address, open, task }
    }

    /// From when this returns on, nobody can connect.
    pub(crate) async fn close(&self) {
        Closer(self.open.clone()).close().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept<F, R>(listener: TcpListener, open: watch::Sender<Door>, answer: F)
where
    F: Fn(String, Bytes) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Reply> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let mut door = open.subscribe();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.expect("a connection").0,
            _ = door.wait_for(|door| *door == Door::Closing) => break,
        };
        let answer = answer.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = answer.clone();
            async move {
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
                answer(path, body).await.ok_or_else(|| "it hangs up".to_owned())
            }
        });
        connections.spawn(async move {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
    drop(listener);
    open.send_replace(Door::Closed);
    while connections.join_next().await.is_some() {}
}

/// An answer in JSON, or what is called so.
pub(crate) fn reply(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    response
}
