//! The imports of the component.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;

use super::Receipt;
use crate::bindings::coinslot::plugin as contract;
use crate::bindings::wasi::config;
use crate::body::Body;
use crate::wasi_body::IncomingBody;

/// The key-value store.
pub(crate) mod store;

/// The payment of the request being handled; none on a free route.
pub(crate) fn payment() -> Option<Receipt> {
    let receipt = contract::payment::current()?;
    Some(Receipt {
        payer: receipt.payer,
        amount: receipt.amount,
        asset: receipt.asset,
        network: receipt.network,
        payment_id: receipt.payment_id,
    })
}

/// Sets the charge of the request being handled.
pub(crate) fn charge(amount: &str) -> Result<(), String> {
    contract::usage::charge(amount)
}

/// A value of the plugin's configuration.
pub(crate) fn configured(key: &str) -> Option<String> {
    // No host of this contract fails here. Another host's error is an absent key.
    config::store::get(key).ok().flatten()
}

/// Sends a request to another server, and waits for the head of its answer.
pub(crate) async fn send(
    request: http::Request<Bytes>,
    timeout: Option<Duration>,
) -> Result<http::Response<Body>, Box<dyn Error + Send + Sync>> {
    let mut client = wstd::http::Client::new();
    if let Some(timeout) = timeout {
        client.set_connect_timeout(timeout);
        client.set_first_byte_timeout(timeout);
        client.set_between_bytes_timeout(timeout);
    }
    let mut request = request;
    // Without a length a host would send chunks, which some servers refuse for a short body or for none.
    let length = request.body().len().into();
    request.headers_mut().insert(http::header::CONTENT_LENGTH, length);
    let response = client.send(request).await?;
    Ok(response.map(|body| Body::chunks(IncomingBody::new(body))))
}
