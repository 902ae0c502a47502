//! One guest's store: everything it can see or exhaust.
//!
//! WASI is linked whole and denied here: no directory, no environment, no socket. A guest's only
//! ways out are its answer, its log, the imports of `coinslot:plugin`, and what its plugin is granted.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::body::{HostOutgoingBody, StreamContext};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::PaymentReceipt;
use crate::capabilities::config::Capabilities;
use crate::capabilities::egress::{Egress, LoopGuard};
use crate::capabilities::log::{GuestLog, LogStream, OutputPipe};
use crate::instance::context::{RequestContext, RequestContexts};
use crate::instance::meter::{GuestMeter, MemoryLimiter};

/// Live handles a guest may hold, and entries of its resource table.
const HANDLES: usize = 1_000;
/// What one call from the guest may make the host allocate, in bytes.
const CALL_BYTES: usize = 8 << 20;
/// Headers or trailers of one message, in bytes, bookkeeping included.
const FIELDS: usize = 32 << 10;
/// Random bytes of one call.
const RANDOM: u64 = 1 << 20;

/// What is granted to one guest.
#[derive(Debug)]
pub(crate) struct StoreConfig {
    pub(crate) plugin: Arc<str>,
    /// Linear memory, in bytes.
    pub(crate) memory: usize,
    /// CPU time.
    pub(crate) cpu: Duration,
    /// Where it waits for its turn if it computes for long.
    pub(crate) turns: Arc<Semaphore>,
    /// What it may print, in bytes.
    pub(crate) log: usize,
    pub(crate) receipt: Option<PaymentReceipt>,
    /// What it may do while it handles a request; none while it answers a question.
    pub(crate) serving: Option<RequestGrant>,
}

/// A request being handled, as opposed to a question asked.
#[derive(Clone, Debug)]
pub(crate) struct RequestGrant {
    pub(crate) granted: Arc<Capabilities>,
    /// Outgoing requests, at most.
    pub(crate) outgoing: u32,
    /// How the request came here.
    pub(crate) trail: LoopGuard,
}

pub(crate) struct GuestState {
    /// For whom it works.
    pub(crate) visits: RequestContexts,
    /// Of the instance.
    pub(crate) meter: Arc<GuestMeter>,
    /// Where its standard streams find the meter.
    printing: Arc<ArcSwap<GuestMeter>>,
    pub(crate) granted: Arc<Capabilities>,
    limiter: MemoryLimiter,
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
}

/// Builds an empty store with every limit armed.
pub(crate) fn store(engine: &Engine, grant: StoreConfig) -> (Store<GuestState>, Arc<GuestMeter>) {
    let meter = GuestMeter::new(grant.cpu, grant.turns, GuestLog::new(grant.plugin.clone(), grant.log));
    let printing = Arc::new(ArcSwap::from(meter.clone()));
    let (granted, visit) = visit(grant.receipt, grant.serving, grant.plugin, meter.clone());
    let mut table = ResourceTable::new();
    table.set_max_capacity(HANDLES);
    let mut http = WasiHttpCtx::new();
    http.set_field_size_limit(FIELDS);
    let state = GuestState {
        visits: RequestContexts::sole(visit),
        meter: meter.clone(),
        wasi: denied(&printing),
        printing,
        granted,
        limiter: MemoryLimiter { memory: grant.memory, used: 0, taken: 0, meter: meter.clone() },
        table,
        http,
    };
    let mut store = Store::new(engine, state);
    store.limiter_async(|state| &mut state.limiter);
    store.set_hostcall_fuel(CALL_BYTES);
    store.set_max_component_handles(HANDLES);
    store.epoch_deadline_callback(|context| {
        let meter = &context.data().meter;
        if meter.tick() {
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(meter.clone().next_turn())))
        } else {
            Ok(UpdateDeadline::Interrupt)
        }
    });
    // With 0 every guest would be interrupted once at its first instruction.
    store.set_epoch_deadline(1);
    (store, meter)
}

/// Makes a store ready for another request: nothing that the host counts or tells is left of the one before.
pub(crate) fn renew(store: &mut Store<GuestState>, grant: StoreConfig) -> Arc<GuestMeter> {
    let meter = GuestMeter::new(grant.cpu, grant.turns, GuestLog::new(grant.plugin.clone(), grant.log));
    let (granted, visit) = visit(grant.receipt, grant.serving, grant.plugin, meter.clone());
    let state = store.data_mut();
    (state.granted, state.visits) = (granted, RequestContexts::sole(visit));
    meter.weigh(state.limiter.taken);
    state.limiter.meter = meter.clone();
    state.printing.store(meter.clone());
    state.meter = meter.clone();
    store.set_hostcall_fuel(CALL_BYTES);
    store.set_epoch_deadline(1);
    meter
}

/// What an instance is granted for one request or question, and what that one is told.
pub(crate) fn visit(
    receipt: Option<PaymentReceipt>,
    serving: Option<RequestGrant>,
    plugin: Arc<str>,
    meter: Arc<GuestMeter>,
) -> (Arc<Capabilities>, RequestContext) {
    match serving {
        Some(RequestGrant { granted, outgoing, trail }) => {
            let egress = Egress::by(granted.outgoing.clone(), plugin, outgoing, trail);
            (granted, RequestContext { receipt, serving: true, meter, egress })
        }
        None => {
            (Capabilities::none(), RequestContext { receipt, serving: false, meter, egress: Egress::denied(plugin) })
        }
    }
}

/// Lets several requests into a store at once, and none yet: each brings its own part of what is bounded.
pub(crate) fn share(store: &mut Store<GuestState>, at_once: usize) {
    let handles = HANDLES.saturating_mul(at_once);
    store.set_max_component_handles(handles);
    let state = store.data_mut();
    state.table.set_max_capacity(handles);
    state.visits = RequestContexts::many();
}

fn denied(meter: &Arc<ArcSwap<GuestMeter>>) -> WasiCtx {
    WasiCtxBuilder::new()
        .stdout(OutputPipe { stream: LogStream::Stdout, meter: meter.clone() })
        .stderr(OutputPipe { stream: LogStream::Stderr, meter: meter.clone() })
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(RANDOM)
        .build()
}

impl GuestState {
    /// Linear memory, in bytes.
    pub(crate) fn used_memory(&self) -> usize {
        self.limiter.used
    }

    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// Aborts what a guest of WASI 0.2 that has ended left unfinished, or it would count as whole when its store ends.
    /// Source: `wasi:http/types`, `outgoing-body`: one that is dropped without `finish` is corrupted.
    pub(crate) fn abort_bodies(&mut self) {
        for body in self.table.iter_mut().filter_map(|entry| (entry as &mut dyn Any).downcast_mut()) {
            let (none, _) = HostOutgoingBody::new(StreamContext::Response, None, 1, 1);
            std::mem::replace::<HostOutgoingBody>(body, none).abort();
        }
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for GuestState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.visits, table: &mut self.table, ctx: &mut self.http }
    }
}
