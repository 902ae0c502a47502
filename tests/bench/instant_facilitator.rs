//! A facilitator without any work: it accepts every payment, moves no money, and answers at once, in both versions of
//! the protocol. So the time of a paid request is the server's own.
//!
//! The nonce of an authorisation serves as the hash of its transaction: it differs between payments and stays the same
//! when a request is repeated.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;

/// The fields of a request to `/verify` and `/settle` that the answer repeats.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked<'a> {
    #[serde(borrow)]
    payment_payload: PaymentPayload<'a>,
    #[serde(borrow)]
    payment_requirements: Requirements<'a>,
}

#[derive(Deserialize)]
struct PaymentPayload<'a> {
    #[serde(borrow)]
    payload: ExactPayload<'a>,
}

#[derive(Deserialize)]
struct ExactPayload<'a> {
    #[serde(borrow)]
    authorization: Authorization<'a>,
}

#[derive(Deserialize)]
struct Authorization<'a> {
    from: &'a str,
    nonce: &'a str,
}

#[derive(Deserialize)]
struct Requirements<'a> {
    network: &'a str,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let text = match head.uri.path() {
        "/supported" => Some(supported()),
        path => serde_json::from_slice(&body).ok().and_then(|asked| verdict(path, &asked)),
    };
    let status = if text.is_some() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let mut reply = Response::new(Full::new(Bytes::from(text.unwrap_or_default())));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(reply)
}

fn supported() -> String {
    json!({
        "kinds": [
            { "x402Version": 2, "scheme": "exact", "network": "eip155:84532" },
            { "x402Version": 1, "scheme": "exact", "network": "base-sepolia" },
        ],
        "extensions": [],
        "signers": { "eip155:*": ["0x00000000000000000000000000000000000000fa"] },
    })
    .to_string()
}

/// The answer, or `None` for an unknown path. A server has parsed the strings of the payment, so they need no escaping.
fn verdict(path: &str, asked: &Asked<'_>) -> Option<String> {
    let Authorization { from, nonce } = asked.payment_payload.payload.authorization;
    let network = asked.payment_requirements.network;
    match path {
        "/verify" => Some(format!(r#"{{"isValid":true,"payer":"{from}"}}"#)),
        "/settle" => {
            Some(format!(r#"{{"success":true,"payer":"{from}","transaction":"{nonce}","network":"{network}"}}"#))
        }
        _ => None,
    }
}
