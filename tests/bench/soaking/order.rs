//! One signed payment with the request that it is for, as its client sends it again and again.

use std::time::Duration;

use coinslot_tests::decode;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The pause between two attempts while the host is down.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// A request with its payment. Every attempt sends the same bytes.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) route: &'static str,
    pub(crate) version: Version,
    /// The value of the payment header.
    pub(crate) payment: String,
    /// The payment's nonce, which is the request's body, too.
    pub(crate) nonce: String,
}

/// The protocol version that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

/// The end of a payment for its client.
#[derive(Debug)]
pub(crate) enum End {
    /// An answer with a receipt, and the time and the number of attempts that it took.
    Bought { transaction: String, waited: Duration, attempts: u32 },
    /// Refused for good, without a charge.
    Refused(String),
    /// The client hung up and did not come back before all others had ended.
    Gone(Order),
    /// The host does not give the answer again. Only a version 1 client may hear this, and only if the host handed the
    /// answer over whole and two minutes have passed: version 1 has no secret that proves who asks.
    HandedOver,
    /// An answer that no host may give.
    Wrong(String),
}

/// The moment at which a client drops its connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HangUp {
    InTheRequest,
    AfterTheRequest,
    Waiting(Duration),
    InTheAnswer,
}

/// The result of one attempt.
pub(crate) enum Attempt {
    End(End),
    Again { why: String, pause: Duration },
}

impl Version {
    /// The request header with the payment.
    pub(crate) fn payment_header(self) -> &'static str {
        match self {
            Self::One => "x-payment",
            Self::Two => "payment-signature",
        }
    }

    /// The response header with the receipt.
    pub(crate) fn receipt_header(self) -> &'static str {
        match self {
            Self::One => "x-payment-response",
            Self::Two => "payment-response",
        }
    }
}

impl Order {
    /// Sends the request once and waits for the whole answer.
    pub(crate) async fn attempt(&self, http: &reqwest::Client, url: &str) -> Attempt {
        let request = http.post(format!("{url}{}", self.route)).header(self.version.payment_header(), &self.payment);
        let request = request.header("content-type", "text/plain").body(self.nonce.clone());
        let lost = |_| Attempt::Again { why: "no connection, or a lost one".to_owned(), pause: RETRY_PAUSE };
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return lost(error),
        };
        let (status, fields) = (answer.status().as_u16(), answer.headers().clone());
        let field = |name| fields.get(name).and_then(|value| value.to_str().ok());
        let body = match answer.text().await {
            Ok(body) => body,
            Err(error) => return lost(error),
        };
        let receipt = field(self.version.receipt_header()).map(decode);
        let error: Value = serde_json::from_str(&body).unwrap_or_default();
        let named = error["error"].as_str().unwrap_or("unnamed").to_owned();
        match (status, receipt) {
            (200, Some(receipt)) => Attempt::End(self.bought(&body, &receipt)),
            (402, _) => Attempt::End(End::Refused(named)),
            (409, _) if named == "payment_already_used" && self.version == Version::One => {
                Attempt::End(End::HandedOver)
            }
            (409, _) if named != "payment_in_flight" => Attempt::End(End::Wrong(format!("409 {named}"))),
            (409 | 429 | 500 | 502..=504, _) => {
                let pause = field("retry-after").and_then(|seconds| seconds.parse().ok());
                Attempt::Again {
                    why: format!("{status} {named}"),
                    pause: pause.map_or(RETRY_PAUSE, Duration::from_secs),
                }
            }
            _ => Attempt::End(End::Wrong(format!("{status} {body}"))),
        }
    }

    /// Accepts a 200 only with the right body and a receipt that names a transaction.
    fn bought(&self, body: &str, receipt: &Value) -> End {
        let right = match self.route {
            "/status" => body == "as asked",
            _ => serde_json::from_str::<Value>(body).is_ok_and(|body| body["paid"].as_str() > Some("")),
        };
        match (right, receipt["success"].as_bool(), receipt["transaction"].as_str()) {
            (true, Some(true), Some(transaction)) if !transaction.is_empty() => {
                End::Bought { transaction: transaction.to_lowercase(), waited: Duration::ZERO, attempts: 0 }
            }
            _ => End::Wrong(format!("200 with the body {body:?} and the receipt {receipt}")),
        }
    }

    /// Sends the request, or half of it, and drops the connection. The host may be down.
    pub(crate) async fn hang_up(&self, url: &str, at: HangUp) {
        let address = url.trim_start_matches("http://");
        let (Self { route, payment, nonce, .. }, header) = (self, self.version.payment_header());
        let request = format!(
            "POST {route} HTTP/1.1\r\nhost: {address}\r\n{header}: {payment}\r\ncontent-type: text/plain\r\n\
             content-length: {}\r\n\r\n{nonce}",
            nonce.len()
        );
        let Ok(mut stream) = TcpStream::connect(address).await else { return };
        // The head is complete, so that the host has seen the payment; the body is not.
        let sent = match at {
            HangUp::InTheRequest => request.len() - nonce.len() / 2,
            _ => request.len(),
        };
        if stream.write_all(&request.as_bytes()[..sent]).await.is_err() {
            return;
        }
        match at {
            HangUp::InTheRequest | HangUp::AfterTheRequest => {}
            HangUp::Waiting(pause) => tokio::time::sleep(pause).await,
            HangUp::InTheAnswer => {
                let _ = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut [0; 16])).await;
            }
        }
    }
}
