//! Asks a plugin for the price of one request, or for its refusal, before a payment.

use std::sync::Arc;
use std::time::Duration;

use coinslot_base::text::{excerpt, printable};
use wasmtime::Store;

use crate::bindings::{is_amount, quote as wit};
use crate::capabilities::Capabilities;
use crate::contract::{QuoteRefusal, QuoteRequest, QuotedPrice};
use crate::fault::Fault;
use crate::headers::is_kept_from_guests;
use crate::instance::permits::{Demand, PermitRequest};
use crate::instance::spec::InstanceSpec;
use crate::instance::store::{Grant, GuestState, OutsideWorld, StoreConfig, store};
use crate::instance::timed::call_with_limits;
use crate::permit::Client;
use crate::status;

/// CPU time of a quote, and for each MiB of the body that it reads, from `wit/plugin.wit`.
const CPU: Duration = Duration::from_millis(50);
/// The time that a quote may wait, and for each MiB of the body. A guest that sleeps is ended.
const PATIENCE: Duration = Duration::from_millis(250);
/// The longest message of a refusal, in characters.
const MESSAGE: usize = 2_000;
/// The longest text of a failure, in characters.
const FAILURE: usize = 400;
/// The longest code of a refusal, in bytes.
const CODE: usize = 64;
/// The longest pointer of a refusal, in characters.
const POINTER: usize = 300;

/// Calls `quote`. The guest has a fresh instance, which is granted nothing.
pub(crate) async fn quote(
    spec: &InstanceSpec,
    client: Client,
    request: QuoteRequest,
) -> Result<Result<QuotedPrice, QuoteRefusal>, Fault> {
    let Some(indices) = &spec.component.quote else {
        return Err(Fault::NoResponse("it does not export `quote`".into()));
    };
    // Quotes are asked for without a payment: they never take more than their part of the plugin's places.
    let _quoting = tokio::time::timeout(spec.wait, spec.quotes.acquire()).await.map_err(|_| Fault::Busy)?;
    let asked = PermitRequest { demand: Demand::Quote, client };
    // Declared before the store, and so held until the store has been dropped.
    let permits = spec.permits.acquire(asked, spec.wait).await?;
    let budget = 1 + u32::try_from(request.body.len() >> 20).unwrap_or(u32::MAX >> 1);
    let config = StoreConfig {
        memory: spec.limits.memory,
        cpu: CPU.saturating_mul(budget),
        plugin_cpu: spec.plugin_cpu.clone(),
        log: spec.limits.log,
        plugin_log: spec.log.clone(),
        world: OutsideWorld::Real,
        receipt: None,
        permits: None,
        counted: Some(Arc::clone(permits.memory())),
        grant: Grant::Question(Capabilities::none()),
    };
    let (mut store, meter) = store(&spec.engine, config);
    meter.set_quote();
    let request = wit::Request {
        method: request.method.as_str().to_owned(),
        route: request.route,
        params: request.params,
        query: request.query,
        headers: request
            .headers
            .iter()
            .filter(|(name, _)| !is_kept_from_guests(name, spec.is_host_only))
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect(),
        body: request.body.to_vec(),
        extensions: Vec::new(),
    };
    let call = async move {
        let instance = spec.component.pre.instantiate_async(&mut store).await?;
        let guest = indices.load(&mut store, &instance)?;
        guest.call_quote::<&mut Store<GuestState>>(&mut store, &request).await
    };
    let (cpu, patience) = (CPU.saturating_mul(budget), PATIENCE.saturating_mul(budget));
    match call_with_limits(&meter, patience, call).await.map_err(|fault| explain(fault, cpu, patience))? {
        Ok(quotation) => match quotation.price {
            wit::QuotedPrice::Free => Ok(Ok(QuotedPrice::Free)),
            wit::QuotedPrice::Amount(amount) if is_amount(&amount) => Ok(Ok(QuotedPrice::Amount(amount))),
            wit::QuotedPrice::Amount(_) => Err(Fault::NoResponse("its quote is not an amount".into())),
        },
        Err(refusal) => check(refusal).map(Err),
    }
}

/// Names the bound that a quote exceeded, which is the contract's and not one of the operator's limits.
fn explain(fault: Fault, cpu: Duration, patience: Duration) -> Fault {
    match fault {
        Fault::Cpu => Fault::SlowQuote(format!(
            "`quote` used more than {} ms of CPU time, which is all that it has before a payment: compute less in it",
            cpu.as_millis()
        )),
        Fault::Deadline => Fault::SlowQuote(format!(
            "`quote` waited for more than {} ms, which is all that it may before a payment: wait for nothing in it",
            patience.as_millis()
        )),
        other => other,
    }
}

fn check(refusal: wit::Refusal) -> Result<QuoteRefusal, Fault> {
    // An SDK tells a failure of its author's code so: a trap would have the text of the engine.
    if (500..600).contains(&refusal.status) && !refusal.message.is_empty() {
        let failure = refusal.message.lines().next().unwrap_or_default();
        return Err(Fault::NoResponse(format!("its quote failed: {}", excerpt(&printable(failure), FAILURE))));
    }
    let status = status::refusal(refusal.status)?;
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if refusal.code.is_empty() || refusal.code.len() > CODE || !refusal.code.bytes().all(word) {
        return Err(Fault::NoResponse(
            "it refused with a code that is not a word of lower-case letters, digits and `_`".into(),
        ));
    }
    let message: String = refusal.message.chars().take(MESSAGE).collect();
    let fact = |wanted: &str, most: usize| {
        let (_, value) = refusal.extensions.iter().find(|(key, _)| key == wanted)?;
        (value.chars().count() <= most).then(|| printable(value))
    };
    let pointer = fact("pointer", POINTER).filter(|pointer| pointer.is_empty() || pointer.starts_with('/'));
    let rule = fact("code", CODE);
    Ok(QuoteRefusal { status, code: refusal.code, message: printable(&message), pointer, rule })
}
