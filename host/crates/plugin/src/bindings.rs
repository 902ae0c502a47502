//! The Rust face of `coinslot:plugin`: types generated from `wit/`, and what its imports do.
//!
//! Only our own interfaces are generated here; `wasi:http` comes from `wasmtime-wasi-http`, so that
//! there is one set of its types. Both imports are synchronous on purpose: an asynchronous host
//! function would hold a 0.3 guest's store and stall its other tasks.

use wasmtime::AsContextMut;
use wasmtime::component::{Access, HasSelf};

use crate::instance::context::RequestContext;
use crate::instance::guest_task::caller;
use crate::instance::store::GuestState;

#[allow(
    unreachable_pub,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
mod generated {
    wasmtime::component::bindgen!({
        path: "../../../wit",
        world: "coinslot:plugin/narrow-quoting",
        imports: {
            "coinslot:plugin/payment.current": store,
            "coinslot:plugin/usage.charge": store,
        },
        exports: { default: async },
    });
}

pub(crate) use generated::NarrowQuoting;
pub(crate) use generated::exports::coinslot::plugin::{manifest, quote};

use generated::coinslot::plugin::{payment, usage};

impl payment::Host for GuestState {}

impl<T: 'static> payment::HostWithStore<T> for HasSelf<GuestState> {
    fn current(mut store: Access<'_, T, Self>) -> Option<payment::Receipt> {
        let receipt = visit(&mut store)?.receipt.as_ref();
        receipt.map(|receipt| payment::Receipt {
            payer: receipt.payer.clone(),
            amount: receipt.amount.clone(),
            asset: receipt.asset.clone(),
            network: receipt.network.clone(),
            payment_id: receipt.payment_id.clone(),
            extensions: Vec::new(),
        })
    }
}

impl usage::Host for GuestState {}

impl<T: 'static> usage::HostWithStore<T> for HasSelf<GuestState> {
    /// Checks the notation only. Whether the amount may be charged is decided where money is
    /// understood, when the answer is settled.
    fn charge(mut store: Access<'_, T, Self>, amount: String) -> Result<(), String> {
        let Some(visit) = visit(&mut store).filter(|visit| visit.serving) else {
            return Err("no request is being handled".into());
        };
        if !is_amount(&amount) {
            return Err("not an amount: write digits, optionally a dot and more digits, optionally \
                 one space and the asset's symbol, as in `0.01 USDC`"
                .into());
        }
        visit.meter.charge(amount);
        Ok(())
    }
}

/// The request for which the guest calls. An engine without tasks has one at a time, and cannot be asked.
fn visit<'a, T: 'static>(store: &'a mut Access<'_, T, HasSelf<GuestState>>) -> Option<&'a mut RequestContext> {
    let caller = if store.get().visits.are_by_task() { caller(store.as_context_mut()) } else { None };
    store.get().visits.of(caller)
}

/// The notation of `manifest.amount` in `wit/plugin.wit`, at most 80 bytes.
pub(crate) fn is_amount(text: &str) -> bool {
    let (number, symbol) = match text.split_once(' ') {
        Some((number, symbol)) => (number, Some(symbol)),
        None => (text, None),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let number = match number.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(number),
    };
    let symbol = symbol.is_none_or(|symbol| !symbol.is_empty() && symbol.bytes().all(|b| b.is_ascii_graphic()));
    text.len() <= 80 && number && symbol
}
