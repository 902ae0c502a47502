//! A peer of the load script without any work: hyper with a constant answer, on the port of the first argument or a
//! free one. It reads and discards what is sent. The path `/same` answers as many bytes as a challenge has, in as many fields.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let service = service_fn(|mut request: hyper::Request<hyper::body::Incoming>| async move {
                while let Some(frame) = request.body_mut().frame().await {
                    frame?;
                }
                if request.uri().path() != "/same" {
                    return Ok::<_, hyper::Error>(hyper::Response::new(Full::new(Bytes::from_static(b"as asked"))));
                }
                let mut reply = hyper::Response::new(Full::new(Bytes::from_static(&[b'x'; 403])));
                *reply.status_mut() = hyper::StatusCode::PAYMENT_REQUIRED;
                let fields: [(&'static str, &'static [u8]); 3] = [
                    ("content-type", b"application/json"),
                    ("cache-control", b"no-store"),
                    ("payment-required", &[b'x'; 1_148]),
                ];
                for (name, value) in fields {
                    let value = HeaderValue::from_bytes(value).expect("printable ASCII");
                    reply.headers_mut().insert(HeaderName::from_static(name), value);
                }
                Ok(reply)
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
