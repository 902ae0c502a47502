//! A small seller with one switch for each defect. It takes payments without looking at a chain.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE};
use bytes::Bytes;
use coinslot_tests::{SELLER, encode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::defects::Defect::{self, *};

const USDC: &str = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";
/// The case of the first letter is not that of EIP-55.
const WRONG_CHECKSUM: &str = "0xc0140eEa19bD90a7cA75882d5218eFaF20426e42";
const ANSWER: &str = "{\"weather\":\"sunny\"}";

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub(super) struct BrokenServer {
    url: String,
    task: JoinHandle<()>,
}

/// What the requests of one server share.
#[derive(Debug)]
struct Seller {
    defect: Option<Defect>,
    /// The transaction that receipts name.
    transaction: String,
    url: String,
    challenges: AtomicUsize,
    /// The payments that were taken, by nonce, with the secrets of their challenges.
    taken: Mutex<HashMap<String, Value>>,
}

impl BrokenServer {
    pub(super) async fn start(defect: Option<Defect>) -> Self {
        Self::start_naming(defect, format!("0x{}", "ab".repeat(32))).await
    }

    /// A server whose receipts name this transaction.
    pub(super) async fn start_naming(defect: Option<Defect>, transaction: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let seller = Arc::new(Seller {
            defect,
            transaction,
            url: url.clone(),
            challenges: AtomicUsize::default(),
            taken: Mutex::default(),
        });
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seller, count) = (Arc::clone(&seller), AtomicUsize::default());
                tokio::spawn(async move {
                    let service = service_fn(|request| {
                        let is_first = count.fetch_add(1, Ordering::SeqCst) == 0;
                        let seller = Arc::clone(&seller);
                        async move { seller.answer(request, is_first).await.ok_or("the connection breaks") }
                    });
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url, task }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

impl Drop for BrokenServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Reply = Response<Full<Bytes>>;

fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
    let reply = Response::builder().status(status).header("content-type", "application/json");
    reply.body(Full::new(body.into())).expect("an answer")
}

fn set(reply: &mut Reply, name: &'static str, value: &str) {
    reply.headers_mut().insert(name, value.parse().expect("a value"));
}

impl Seller {
    fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    /// Answers, or closes the connection.
    async fn answer(&self, request: Request<Incoming>, is_first: bool) -> Option<Reply> {
        if self.has(BreaksConnections) && !is_first {
            return None;
        }
        let (head, body) = request.into_parts();
        let length = head.headers.get("content-length").and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if self.has(BreaksOnLargeBody) && length.is_some_and(|length| length > 1 << 20) {
            return None;
        }
        let body = body.collect().await.ok()?.to_bytes();
        let mut answered = self.route(&head.method, head.uri.path(), &head.headers, &body);
        if !self.has(NothingExposed) {
            set(&mut answered, "access-control-allow-origin", "*");
            set(
                &mut answered,
                "access-control-expose-headers",
                "PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-PAYMENT-RESPONSE",
            );
        }
        if self.has(Credentials) {
            set(&mut answered, "access-control-allow-credentials", "true");
        }
        if self.has(WrongClock) {
            set(&mut answered, "date", "Sun, 06 Nov 1994 08:49:37 GMT");
        }
        Some(answered)
    }

    fn route(&self, method: &Method, path: &str, headers: &hyper::HeaderMap, body: &[u8]) -> Reply {
        match path {
            "/weather" => self.weather(method, headers, body),
            "/openapi.json" if !self.has(NoOpenApi) => reply(200, self.openapi().to_string()),
            "/.well-known/x402" => {
                let listed = if self.has(NotListed) { "/elsewhere" } else { "/weather" };
                reply(200, json!({ "version": 1, "resources": [format!("{}{listed}", self.url)] }).to_string())
            }
            "/catalog.json" => {
                let amount = if self.has(CatalogPrice) { "20000" } else { self.amount() };
                let prices = json!([{ "amount": amount, "network": "eip155:84532" }]);
                reply(
                    200,
                    json!({ "endpoints": [{ "method": "GET", "path": "/weather", "prices": prices }] }).to_string(),
                )
            }
            "/facilitator/supported" => {
                let network = if self.has(UnsupportedKind) { "eip155:8453" } else { "eip155:84532" };
                let kind = |version: u8, network: &str| json!({ "x402Version": version, "scheme": "exact", "network": network });
                reply(200, json!({ "kinds": [kind(2, network), kind(1, "base-sepolia")] }).to_string())
            }
            _ if self.has(EveryPathCosts) => self.challenge("Payment required"),
            _ => reply(404, "{\"error\":\"not_found\"}"),
        }
    }

    fn weather(&self, method: &Method, headers: &hyper::HeaderMap, body: &[u8]) -> Reply {
        if *method == Method::OPTIONS {
            return self.preflight();
        }
        if self.has(Redirects) {
            let mut moved = reply(301, "");
            set(&mut moved, "location", "/elsewhere");
            return moved;
        }
        if self.has(ServerError) && *method == Method::PUT {
            return reply(500, "{}");
        }
        if *method == Method::HEAD && self.has(HeadIsFree) || self.has(Free) {
            return reply(200, ANSWER);
        }
        let checks_first = self.has(ChecksInputFirst) && *method == Method::POST;
        if !([Method::GET, Method::HEAD].contains(method) || checks_first) {
            return reply(405, "{\"error\":\"method_not_allowed\"}");
        }
        if self.has(ChecksInputFirst) && body.is_empty() {
            return reply(400, "{\"error\":\"a body is needed\"}");
        }
        let payment = headers.get("payment-signature").or_else(|| headers.get("x-payment"));
        let Some(payment) = payment else { return self.challenge("Payment required") };
        let document: Option<Value> =
            BASE64_STANDARD.decode(payment).ok().and_then(|json| serde_json::from_slice(&json).ok());
        if self.has(SmallHeaders) && payment.len() > 1_500 && document.as_ref().is_some_and(|it| it["pad"].is_string())
        {
            return reply(431, "{\"error\":\"too_large\"}");
        }
        let nonce = document.as_ref().and_then(|it| it["payload"]["authorization"]["nonce"].as_str());
        match (nonce, &document) {
            (Some(nonce), Some(document)) => self.paid(nonce, document),
            _ if self.has(GarbageCrashes) => reply(500, "{\"error\":\"TypeError\"}"),
            _ if self.has(GarbagePays) => reply(200, ANSWER),
            _ => self.challenge("invalid_payload"),
        }
    }

    fn preflight(&self) -> Reply {
        if self.has(OptionsCost) {
            return self.challenge("Payment required");
        }
        if self.has(NoPreflight) {
            return reply(405, "{}");
        }
        let mut allowed = reply(204, "");
        let names = "PAYMENT-SIGNATURE, X-PAYMENT, Content-Type, Access-Control-Expose-Headers";
        set(&mut allowed, "access-control-allow-headers", names);
        set(&mut allowed, "access-control-allow-methods", "GET, POST");
        allowed
    }

    /// Takes a payment once, and gives its answer again to who shows the secret.
    fn paid(&self, nonce: &str, document: &Value) -> Reply {
        let secret = document["accepted"]["extra"]["secret"].clone();
        let earlier = self.taken.lock().expect("no panic").insert(nonce.to_owned(), secret.clone());
        if let Some(earlier) = &earlier {
            if self.has(NewChallengeOnRepeat) {
                return self.challenge("invalid_exact_evm_nonce_already_used");
            }
            if *earlier != secret && !self.has(ServesStrangers) {
                return reply(409, "{\"error\":\"payment_already_used\"}");
            }
        }
        let payer = document["payload"]["authorization"]["from"].clone();
        let payer = if self.has(ReceiptOfAnother) { json!(SELLER) } else { payer };
        let transaction = &self.transaction;
        let receipt = json!({ "success": true, "transaction": transaction, "network": "eip155:84532", "payer": payer });
        let mut paid =
            if self.has(ChargesAndFails) { reply(500, "{\"error\":\"it broke\"}") } else { reply(200, ANSWER) };
        if !self.has(NoReceipt) {
            set(&mut paid, "payment-response", &encode(&receipt));
        }
        set(&mut paid, "cache-control", if self.has(PublicAnswer) { "public, max-age=60" } else { "private" });
        paid
    }

    fn amount(&self) -> &'static str {
        match self.defect {
            Some(DecimalAmount) => "0.01",
            Some(WrongUnits) => "10000000000",
            Some(Dear) => "2500000",
            Some(_) | None => "10000",
        }
    }

    fn challenge(&self, error: &str) -> Reply {
        let count = self.challenges.fetch_add(1, Ordering::SeqCst);
        let (v2, v1) = self.documents(error, count);
        let body = match self.defect {
            Some(BodyOnly) => v2.to_string(),
            Some(Html) => "<!doctype html><title>pay</title>".to_owned(),
            _ => v1.to_string(),
        };
        let mut challenge = reply(402, body);
        let json = v2.to_string();
        let header = match self.defect {
            Some(BodyOnly | V1Only) => None,
            // A length that is no multiple of three needs padding.
            Some(Unpadded) => Some(BASE64_STANDARD_NO_PAD.encode(format!("{json}{}", " ".repeat(4 - json.len() % 3)))),
            Some(UrlSafe) => Some(BASE64_URL_SAFE.encode(json)),
            _ => Some(encode(&v2)),
        };
        if let Some(header) = header {
            set(&mut challenge, "payment-required", &header);
        }
        match self.defect {
            Some(Html) => set(&mut challenge, "content-type", "text/html"),
            Some(CachedChallenge) => set(&mut challenge, "age", "30"),
            _ => {}
        }
        match self.defect {
            Some(NoCacheControl) => {}
            Some(PublicChallenge) => set(&mut challenge, "cache-control", "public, max-age=60"),
            _ => set(&mut challenge, "cache-control", "no-store"),
        }
        challenge
    }

    /// The documents of versions 2 and 1.
    fn documents(&self, error: &str, count: usize) -> (Value, Value) {
        let url = format!("{}/weather", self.url);
        let secret = if self.has(SameSecret) { 7 } else { count };
        let name = if self.has(WrongDomain) { "USD Coin" } else { "USDC" };
        let amount = if self.has(OtherPriceEachTime) { (10_000 + count).to_string() } else { self.amount().to_owned() };
        let asset = if self.has(OtherToken) { SELLER.to_string() } else { USDC.to_owned() };
        let pay_to = SELLER.to_string();
        // `>>>` and `???` are encoded with the characters in which the alphabets differ.
        let description = match self.defect {
            Some(UrlSafe) => "The weather >>>???>>>???".to_owned(),
            Some(LargeHeader | LongDescription) => "The weather ".repeat(if self.has(LargeHeader) { 500 } else { 60 }),
            Some(HugeHeader) => "The weather ".repeat(1_200),
            _ => "The weather".to_owned(),
        };
        let entry = json!({
            "scheme": "exact", "network": "eip155:84532", "amount": amount, "asset": asset, "payTo": pay_to,
            "maxTimeoutSeconds": if self.has(ShortTimeout) { 5 } else { 60 },
            "extra": { "name": name, "version": "2", "secret": format!("{secret:032x}") },
        });
        let mut v2 = json!({
            "x402Version": 2, "error": error,
            "resource": { "url": url, "description": description, "mimeType": "application/json" },
            "accepts": [entry],
        });
        let mut v1 = json!({
            "x402Version": 1, "error": error,
            "accepts": [{
                "scheme": "exact", "network": "base-sepolia", "maxAmountRequired": amount, "asset": asset,
                "payTo": pay_to, "resource": url, "description": "The weather", "mimeType": "application/json", "maxTimeoutSeconds": 60,
                "extra": { "name": name, "version": "2" },
            }],
        });
        self.bend(&mut v2, &mut v1);
        (v2, v1)
    }

    /// Changes one member of the documents.
    fn bend(&self, v2: &mut Value, v1: &mut Value) {
        let entry = &mut v2["accepts"][0];
        match self.defect {
            Some(NumericAmount) => entry["amount"] = json!(10_000),
            Some(NullExtra) => entry["extra"] = Value::Null,
            Some(WrongChecksum) => entry["payTo"] = WRONG_CHECKSUM.into(),
            Some(NetworkOfV1) => entry["network"] = "base-sepolia".into(),
            Some(NoResource) => drop(v2.as_object_mut().expect("an object").remove("resource")),
            Some(NullExtensions) => v2["extensions"] = Value::Null,
            Some(OtherUrl) => v2["resource"]["url"] = "https://localhost:3000/weather".into(),
            Some(V1Null) => v1["accepts"][0]["mimeType"] = Value::Null,
            Some(VersionsDisagree) => v1["accepts"][0]["maxAmountRequired"] = "20000".into(),
            Some(_) | None => {}
        }
    }

    fn openapi(&self) -> Value {
        let amount = if self.has(OpenApiPrice) { "0.001".to_owned() } else { self.dollars() };
        let mut operation = json!({
            "summary": "The weather", "security": [],
            "parameters": [{ "name": "city", "in": "query", "schema": { "type": "string" } }],
            "responses": {
                "200": { "description": "", "content": { "application/json": { "schema": { "type": "object" } } } },
                "402": { "description": "Payment required" },
            },
            "x-payment-info": {
                "price": { "mode": "fixed", "currency": "USD", "amount": amount }, "protocols": [{ "x402": {} }],
            },
        });
        if self.has(NoInputSchema) {
            operation["parameters"] = json!([]);
        }
        let method = if self.has(ChecksInputFirst) { "post" } else { "get" };
        if self.has(ChecksInputFirst) {
            operation["requestBody"] = json!({ "content": { "application/json": { "example": { "city": "Rome" } } } });
        }
        let info = json!({ "title": "Weather", "version": "1" });
        json!({ "openapi": "3.1.0", "info": info, "paths": { "/weather": { (method): operation } } })
    }

    fn dollars(&self) -> String {
        match self.defect {
            Some(Dear) => "2.5".to_owned(),
            Some(WrongUnits) => "10000".to_owned(),
            _ => "0.01".to_owned(),
        }
    }
}
