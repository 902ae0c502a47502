//! Implements the imports of `coinslot:plugin`: the receipt of the request, and metered charges.

use wasmtime::AsContextMut;
use wasmtime::component::{Access, HasSelf};

use crate::bindings::{is_amount, payment, usage};
use crate::instance::context::{Charging, RequestContext};
use crate::instance::guest_task::calling_task;
use crate::instance::store::GuestState;

/// The error of a charge for a request whose price its plugin does not set.
const NOT_METERED: &str = "this request is not metered: only an endpoint whose price is `up-to` charges, and this one's \
                           price is collected without a charge";

impl payment::Host for GuestState {}

impl<T: 'static> payment::HostWithStore<T> for HasSelf<GuestState> {
    fn current(mut store: Access<'_, T, Self>) -> Option<payment::Receipt> {
        let receipt = context(&mut store)?.receipt.as_ref();
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
    /// Checks that the request is metered, and the notation. Whether the amount is within the maximum is decided when
    /// the response is settled, outside of this package.
    fn charge(mut store: Access<'_, T, Self>, amount: String) -> Result<(), String> {
        let context = context(&mut store);
        let meter = match context.as_ref().map(|context| context.charging) {
            None | Some(Charging::NoRequest) => return Err("no request is being handled".into()),
            Some(Charging::Fixed) => return Err(NOT_METERED.into()),
            Some(Charging::Metered) => context.map(|context| &context.meter),
        };
        if !is_amount(&amount) {
            return Err("not an amount: write digits, optionally a dot and more digits, optionally \
                 one space and the asset's symbol, as in `0.01 USDC`"
                .into());
        }
        if let Some(meter) = meter {
            meter.charge(amount);
        }
        Ok(())
    }
}

/// The context of the request for which the guest calls. An engine without tasks has one request at a time, and
/// wasmtime refuses to name a task there.
fn context<'a, T: 'static>(store: &'a mut Access<'_, T, HasSelf<GuestState>>) -> Option<&'a mut RequestContext> {
    let task = if store.get().contexts.are_by_task() { calling_task(store.as_context_mut()) } else { None };
    store.get().contexts.of(task)
}
