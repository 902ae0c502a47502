//! Asking a plugin for the price of one request, or for its refusal, before anyone pays.

use std::sync::Arc;
use std::time::Duration;

use crate::bindings::{is_amount, quote};
use crate::capabilities::log::printable;
use crate::instance::store::{GuestState, StoreConfig, store};
use crate::instance::timed::limited;
use crate::invoke::request::is_kept_back;
use crate::{Fault, Inner, QuoteRefusal, QuoteRequest, status};

/// CPU time of a quote, from `wit/plugin.wit`.
const CPU: Duration = Duration::from_millis(50);
/// Wall time of a quote. Above the CPU time, so that a busy machine alone breaks no quote; a guest
/// that sleeps is still ended.
const WALL: Duration = Duration::from_millis(250);
/// The longest message and code of a refusal: characters and bytes.
const MESSAGE: usize = 2_000;
const CODE: usize = 64;

pub(crate) async fn ask(plugin: &Arc<Inner>, request: QuoteRequest) -> Result<Result<String, QuoteRefusal>, Fault> {
    let Some(indices) = &plugin.linked.quote else {
        return Err(Fault::NoResponse("it does not export `quote`".into()));
    };
    let _slots = plugin.place(plugin.runtime.wait).await?;
    let grant = StoreConfig {
        plugin: plugin.name.clone(),
        memory: plugin.limits.memory,
        cpu: CPU,
        turns: plugin.runtime.turns.clone(),
        log: plugin.limits.log,
        receipt: None,
        serving: None,
    };
    let (mut store, meter) = store(plugin.engine(), grant);
    let request = quote::Request {
        method: request.method.as_str().to_owned(),
        route: request.route,
        params: request.params,
        query: request.query,
        headers: request
            .headers
            .iter()
            .filter(|(name, _)| !is_kept_back(name))
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect(),
        body: request.body.to_vec(),
    };
    let call = async move {
        let instance = plugin.linked.pre.instantiate_async(&mut store).await?;
        let guest = indices.load(&mut store, &instance)?;
        guest.call_quote::<&mut wasmtime::Store<GuestState>>(&mut store, &request).await
    };
    match limited(&meter, WALL, call).await? {
        Ok(amount) if is_amount(&amount) => Ok(Ok(amount)),
        Ok(_) => Err(Fault::NoResponse("its quote is not an amount".into())),
        Err(refusal) => check(refusal).map(Err),
    }
}

fn check(refusal: quote::Refusal) -> Result<QuoteRefusal, Fault> {
    let status = status::refusal(refusal.status)?;
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if refusal.code.is_empty() || refusal.code.len() > CODE || !refusal.code.bytes().all(word) {
        return Err(Fault::NoResponse(
            "it refused with a code that is not a word of lower-case letters, digits and `_`".into(),
        ));
    }
    let message: String = refusal.message.chars().take(MESSAGE).collect();
    Ok(QuoteRefusal { status, code: refusal.code, message: printable(&message) })
}
