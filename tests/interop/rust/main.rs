//! Pays every order with the published Rust client (`x402-reqwest`), at its default settings.
//!
//! An example of `coinslot-tests` and not a binary, because cargo builds examples with the tests and their features:
//! so nothing is compiled twice. `tests/run` runs it.
//!
//!     pay-x402-reqwest --dev-json dev.json --orders orders.json [--plugin NAME]... [--payer N]
//!
//! The same orders and the same checks as `purchases.mjs`: 402 and then 200, the receipt, the one Transfer on chain,
//! and both balances. Prints one JSON line per order, and exits with 1 at the first check that fails.

mod chain;
mod orders;

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use alloy_primitives::{B256, U256};
use alloy_signer_local::PrivateKeySigner;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Request, Response, StatusCode};
use reqwest_middleware::{ClientWithMiddleware, Middleware, Next};
use serde::Deserialize;
use serde_json::json;
use x402_chain_eip155::V2Eip155ExactClient;
use x402_reqwest::{ReqwestWithPayments, ReqwestWithPaymentsBuild, X402Client};
use x402_types::util::Base64Bytes;

use crate::chain::{Chain, Transfer};
use crate::orders::{Host, Order, Problem, check};

const CLIENT: &str = "x402-reqwest 2.0.2";

/// The fields of the receipt that are checked.
#[derive(Deserialize)]
struct Receipt {
    success: bool,
    transaction: String,
    payer: String,
}

/// Records the statuses below the client, which has to see 402 and then 200.
#[derive(Clone, Default)]
struct Statuses(Arc<Mutex<Vec<StatusCode>>>);

impl Statuses {
    fn take(&self) -> Vec<StatusCode> {
        std::mem::take(&mut self.0.lock().expect("the lock is not poisoned"))
    }
}

#[async_trait::async_trait]
impl Middleware for Statuses {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut http::Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let response = next.run(request, extensions).await?;
        self.0.lock().expect("the lock is not poisoned").push(response.status());
        Ok(response)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match buy_all().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

async fn buy_all() -> Result<(), Problem> {
    let host = Host::open(std::env::args().skip(1))?;
    let chain = Chain::new(&host.rpc, host.asset);
    let signer: PrivateKeySigner = host.payer.private_key.parse()?;
    let statuses = Statuses::default();
    let client = Client::new()
        .with_payments(X402Client::new().register(V2Eip155ExactClient::new(Arc::new(signer))))
        .builder()
        .with(statuses.clone())
        .build();
    for order in &host.orders {
        buy(&host, &chain, &client, &statuses, order)
            .await
            .map_err(|problem| format!("{} {}: {problem}", order.method, order.path))?;
    }
    Ok(())
}

async fn buy(
    host: &Host,
    chain: &Chain,
    client: &ClientWithMiddleware,
    statuses: &Statuses,
    order: &Order,
) -> Result<(), Problem> {
    let (payer, seller) = (host.payer.address, host.pay_to);
    let before = (chain.balance_of(payer).await?, chain.balance_of(seller).await?);

    let mut request = client.request(order.method.parse()?, format!("{}{}", host.url, order.path));
    if let Some(body) = &order.body {
        request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
    } else if let Some(text) = &order.text {
        request = request.header(CONTENT_TYPE, "text/markdown").body(text.clone());
    }
    statuses.take();
    let started = Instant::now();
    let response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let answer = response.text().await?;
    let ms = started.elapsed().as_millis();

    check(status == StatusCode::OK, || format!("answered {status}: {answer}"))?;
    let seen = statuses.take();
    check(seen == [StatusCode::PAYMENT_REQUIRED, StatusCode::OK], || {
        format!("the client saw {seen:?}, not 402 and then 200")
    })?;
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    check(kind.starts_with(&order.kind), || format!("content-type is {kind}, not {}", order.kind))?;
    for part in &order.contains {
        check(answer.contains(part), || format!("the answer has no {part:?}: {answer}"))?;
    }

    let header = headers.get("PAYMENT-RESPONSE").ok_or("the answer has no PAYMENT-RESPONSE header")?;
    let receipt: Receipt = serde_json::from_slice(&Base64Bytes::from(header.as_bytes()).decode()?)?;
    check(receipt.success, || "the receipt says success: false".into())?;
    check(receipt.payer.parse() == Ok(payer), || format!("the receipt names the payer {}", receipt.payer))?;
    let transaction: B256 = receipt.transaction.parse()?;

    let price = U256::from_str_radix(&order.price, 10)?;
    let transfers = chain.transfers(transaction).await?;
    check(transfers == [Transfer { from: payer, to: seller, value: price }], || {
        format!("{transaction} does not move {price} from payer to seller alone: {transfers:?}")
    })?;
    let after = (chain.balance_of(payer).await?, chain.balance_of(seller).await?);
    check(before.0 - after.0 == price, || format!("the payer had {} and has {}", before.0, after.0))?;
    check(after.1 - before.1 == price, || format!("the seller had {} and has {}", before.1, after.1))?;

    let line = json!({
        "client": CLIENT,
        "order": format!("{} {}", order.method, order.path),
        "status": status.as_u16(),
        "paid": order.price,
        "transaction": transaction,
        "ms": ms,
    });
    println!("{line}");
    Ok(())
}
