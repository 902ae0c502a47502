//! Sends exports over HTTP, with the client that the rest of the host uses, so that there is one TLS.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;

use super::TelemetryError;

/// The most bytes of a collector's answer that are read.
const MAX_ANSWER: usize = 64 << 10;

/// An HTTP client that threads without a runtime can use: the export of metrics has one of its own.
#[derive(Clone, Debug)]
pub(super) struct OtlpClient {
    client: reqwest::Client,
    runtime: Handle,
}

impl OtlpClient {
    pub(super) fn new(timeout: Duration) -> Result<Self, TelemetryError> {
        let client = reqwest::Client::builder().timeout(timeout).redirect(reqwest::redirect::Policy::none()).build();
        let client = client.map_err(|error| TelemetryError(error.to_string()))?;
        let runtime = Handle::try_current().map_err(|error| TelemetryError(error.to_string()))?;
        Ok(Self { client, runtime })
    }
}

#[async_trait]
impl HttpClient for OtlpClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let exchange = async move {
            let mut answer = client.execute(request.try_into()?).await?;
            let mut head = Response::builder().status(answer.status());
            if let Some(headers) = head.headers_mut() {
                *headers = std::mem::take(answer.headers_mut());
            }
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await? {
                if body.len() + chunk.len() > MAX_ANSWER {
                    return Err("the answer of the collector is too long".into());
                }
                body.extend_from_slice(&chunk);
            }
            Ok::<_, HttpError>(head.body(Bytes::from(body))?)
        };
        self.runtime.spawn(exchange).await?
    }
}
