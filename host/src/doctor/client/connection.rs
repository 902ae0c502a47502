//! Holds one connection to a server under examination.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::{HeaderValue, Request, Uri, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use url::{Host, Url};

use super::{Answer, DoctorRequest, Unanswered, reason};

/// The largest head of an answer that is read, in bytes: eight times what Node.js reads.
pub(super) const MOST_HEAD: usize = 128 << 10;

/// The most fields in the head of an answer.
const MOST_FIELDS: usize = 256;

/// The limits of one exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerLimits {
    /// The most bytes of a body.
    pub(super) most: usize,
    pub(super) begun: Instant,
    /// The time until which a body is read.
    pub(super) until: Instant,
}

/// An open connection. Dropping it closes it.
#[derive(Debug)]
pub(in crate::doctor) struct Connection {
    sender: Sender,
    task: JoinHandle<Result<(), hyper::Error>>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    /// Opens a connection for HTTP/1.1.
    pub(super) async fn open(url: &Url, tls: &Arc<ClientConfig>) -> Result<Self, Unanswered> {
        let stream = connect(url).await?;
        if url.scheme() == "https" {
            Self::http1(encrypt(url, stream, tls).await?).await
        } else {
            Self::http1(stream).await
        }
    }

    /// Opens a connection for HTTP/2 over TLS. None if the server does not agree to it.
    pub(super) async fn open_http2(url: &Url, tls: &Arc<ClientConfig>) -> Result<Option<Self>, Unanswered> {
        let mut config = ClientConfig::clone(tls);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = encrypt(url, connect(url).await?, &Arc::new(config)).await?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Ok(None);
        }
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| broken(&error))?;
        Ok(Some(Self { sender: Sender::Http2(sender), task: tokio::spawn(connection) }))
    }

    async fn http1(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Self, Unanswered> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(MOST_HEAD).max_headers(MOST_FIELDS);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        Ok(Self { sender: Sender::Http1(sender), task: tokio::spawn(connection) })
    }

    /// Sends a request, and reads as much of the answer's body as the limits allow.
    pub(super) async fn exchange(
        &mut self,
        request: &DoctorRequest,
        limits: AnswerLimits,
    ) -> Result<Answer, Unanswered> {
        let answer = match &mut self.sender {
            Sender::Http1(sender) => {
                let request = of_version(request, Version::HTTP_11)?;
                sender.ready().await.map_err(|error| broken(&error))?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => sender.send_request(of_version(request, Version::HTTP_2)?).await,
        };
        let answer = answer
            .map_err(|error| if error.is_parse_too_large() { Unanswered::HeadTooLarge } else { broken(&error) })?;
        let took = limits.begun.elapsed();
        let (head, body) = answer.into_parts();
        let (body, is_whole) = read(body, &limits).await;
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body, is_whole, version: head.version, took })
    }
}

/// Reads the start of a body. An error in it ends it, and so does the end of its time.
async fn read(mut body: Incoming, limits: &AnswerLimits) -> (Bytes, bool) {
    let mut bytes = BytesMut::new();
    let until = limits.until.into();
    loop {
        match tokio::time::timeout_at(until, body.frame()).await {
            Ok(None) => return (bytes.freeze(), true),
            Ok(Some(Err(_))) | Err(_) => return (bytes.freeze(), false),
            Ok(Some(Ok(frame))) => {
                let Some(data) = frame.data_ref() else { continue };
                bytes.extend_from_slice(&data[..data.len().min(limits.most - bytes.len())]);
                if bytes.len() == limits.most {
                    return (bytes.freeze(), false);
                }
            }
        }
    }
}

async fn connect(url: &Url) -> Result<TcpStream, Unanswered> {
    let failed = |why: String| Unanswered::Connect(why);
    let port = url.port_or_known_default().ok_or_else(|| failed("the URL has no port".to_owned()))?;
    let stream = match url.host() {
        Some(Host::Domain(name)) => TcpStream::connect((name, port)).await,
        Some(Host::Ipv4(address)) => TcpStream::connect((address, port)).await,
        Some(Host::Ipv6(address)) => TcpStream::connect((address, port)).await,
        None => return Err(failed("the URL has no host".to_owned())),
    };
    let stream = stream.map_err(|error| failed(error.to_string()))?;
    // A request is one segment or two, and waits for none.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

async fn encrypt(url: &Url, stream: TcpStream, tls: &Arc<ClientConfig>) -> Result<TlsStream<TcpStream>, Unanswered> {
    let name = match url.host() {
        Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).map_err(|error| tls_failed(&error))?,
        Some(Host::Ipv4(address)) => ServerName::IpAddress(std::net::IpAddr::from(address).into()),
        Some(Host::Ipv6(address)) => ServerName::IpAddress(std::net::IpAddr::from(address).into()),
        None => return Err(Unanswered::Connect("the URL has no host".to_owned())),
    };
    TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.map_err(|error| tls_failed(&error))
}

fn of_version(request: &DoctorRequest, version: Version) -> Result<Request<Full<Bytes>>, Unanswered> {
    let unsendable = |error: &dyn std::error::Error| Unanswered::Broken(reason(error));
    let url = &request.url;
    let target = if version == Version::HTTP_2 {
        &url[..url::Position::AfterQuery]
    } else {
        &url[url::Position::BeforePath..url::Position::AfterQuery]
    };
    let uri: Uri = target.parse().map_err(|error| unsendable(&error))?;
    let mut built = Request::new(Full::new(request.body.clone()));
    *built.method_mut() = request.method.clone();
    *built.uri_mut() = uri;
    *built.version_mut() = version;
    *built.headers_mut() = request.headers.clone();
    if version != Version::HTTP_2 {
        let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let host = HeaderValue::from_str(authority).map_err(|error| unsendable(&error))?;
        built.headers_mut().insert(HOST, host);
    }
    Ok(built)
}

fn broken(error: &hyper::Error) -> Unanswered {
    Unanswered::Broken(reason(error))
}

fn tls_failed(error: &dyn std::error::Error) -> Unanswered {
    Unanswered::Tls(reason(error))
}
