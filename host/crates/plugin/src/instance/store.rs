//! The store of one guest: everything that the guest can see or exhaust.
//!
//! WASI is linked whole and denied here: there is no directory, no environment and no socket. A guest's only ways out
//! are its response, its log, the imports of `coinslot:plugin`, and what its plugin is granted.

mod refusals;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use coinslot_base::request_id::RequestId;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::{Deterministic, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::body::{HostOutgoingBody, StreamContext};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::capabilities::Capabilities;
use crate::capabilities::egress::{Egress, Provenance};
use crate::capabilities::log::{GuestLog, LogStream, PluginLog};
use crate::contract::PaymentReceipt;
use crate::instance::context::{Charging, RequestContext, RequestContexts};
use crate::instance::host_memory::{self, FIELDS, HOST_MEMORY};
use crate::instance::limiter::MemoryLimiter;
use crate::instance::meter::GuestMeter;
use crate::instance::output::OutputPipe;
use crate::instance::permits::{InstanceMemory, InstancePermits};
use crate::instance::processors::{AfterTick, PluginCpu};

/// Live handles that a guest may hold for one request, and entries of its resource table.
const REQUEST_HANDLES: usize = 1_000;
/// Bytes that one call from the guest may make the host allocate.
const CALL_BYTES: usize = 8 << 20;
/// Random bytes of one call.
const RANDOM: u64 = 1 << 20;

/// The limits and grants of one store.
#[derive(Debug)]
pub(crate) struct StoreConfig {
    /// Linear memory, in bytes.
    pub(crate) memory: usize,
    /// CPU time.
    pub(crate) cpu: Duration,
    pub(crate) plugin_cpu: Arc<PluginCpu>,
    /// Bytes that the guest may print.
    pub(crate) log: usize,
    pub(crate) plugin_log: Arc<PluginLog>,
    pub(crate) world: OutsideWorld,
    pub(crate) receipt: Option<PaymentReceipt>,
    /// The permits that work which outlives the guest has to hold. None for a shared instance, which holds its own.
    pub(crate) permits: Option<InstancePermits>,
    /// The instance's part of the memory of its plugin, unless the store exists already. None while a component is
    /// loaded: then there is no plugin yet.
    pub(crate) counted: Option<Arc<InstanceMemory>>,
    pub(crate) grant: Grant,
}

/// The time and the random numbers that a guest sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutsideWorld {
    Real,
    /// Always the same, so that a guest says the same whenever it is asked.
    Fixed,
}

/// A clock that stands still, in 2026.
struct FixedClock;

impl HostWallClock for FixedClock {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::from_secs(1_767_225_600)
    }
}

/// The capabilities of a guest, and the work that it does with them.
#[derive(Clone, Debug)]
pub(crate) enum Grant {
    /// It handles requests.
    Requests(RequestGrant),
    /// It answers `describe` or `quote`: it charges nothing and sends nothing.
    Question(Arc<Capabilities>),
}

impl Grant {
    /// The request that the guest handles, which its lines in the log name.
    fn request_id(&self) -> Option<RequestId> {
        match self {
            Self::Requests(grant) => grant.provenance.request_id(),
            Self::Question(_) => None,
        }
    }
}

/// The capabilities of a guest while it handles a request.
#[derive(Clone, Debug)]
pub(crate) struct RequestGrant {
    pub(crate) capabilities: Arc<Capabilities>,
    /// The most outgoing requests.
    pub(crate) outgoing: u32,
    /// The request that its outgoing requests are sent for.
    pub(crate) provenance: Provenance,
    /// It may set what is charged.
    pub(crate) is_metered: bool,
}

/// The host's data in a store.
pub(crate) struct GuestState {
    /// The requests that the instance has at the moment.
    pub(crate) contexts: RequestContexts,
    /// The meter of the instance.
    pub(crate) meter: Arc<GuestMeter>,
    /// The same meter, where the standard streams find it.
    printing: Arc<ArcSwap<GuestMeter>>,
    pub(crate) capabilities: Arc<Capabilities>,
    /// The permits of the instance while it has a request.
    pub(crate) permits: Option<InstancePermits>,
    limiter: MemoryLimiter,
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
}

/// Builds an empty store with every limit armed.
pub(crate) fn store(engine: &Engine, config: StoreConfig) -> (Store<GuestState>, Arc<GuestMeter>) {
    let log = GuestLog::new(config.plugin_log, config.log).of_request(config.grant.request_id());
    let meter = GuestMeter::new(config.cpu, config.plugin_cpu, log);
    let printing = Arc::new(ArcSwap::from(meter.clone()));
    let world = config.world;
    if config.receipt.is_some() {
        meter.set_paid();
    }
    let (capabilities, context) = context(config.receipt, config.grant, meter.clone());
    let mut table = ResourceTable::new();
    table.set_max_capacity(REQUEST_HANDLES);
    let mut http = WasiHttpCtx::new();
    http.set_field_size_limit(FIELDS);
    let state = GuestState {
        contexts: RequestContexts::one(context),
        meter: meter.clone(),
        wasi: denied(&printing, world),
        printing,
        capabilities,
        permits: config.permits,
        limiter: MemoryLimiter::new(config.memory, config.counted, meter.clone()),
        table,
        http,
    };
    let mut store = Store::new(engine, state);
    store.limiter_async(|state| state);
    store.set_hostcall_fuel(CALL_BYTES);
    store.set_max_component_handles(REQUEST_HANDLES);
    // A guest that computes for long yields at each tick, and goes on when it has a CPU slot; over its budget it is
    // ended.
    store.epoch_deadline_callback(|mut context| {
        let state = context.data_mut();
        let meter = &state.meter;
        let host = host_memory::measure(&mut state.table);
        if host > HOST_MEMORY.saturating_mul(state.contexts.count()) {
            meter.refuse_host_memory();
            state.contexts.note_refusal(meter);
            return Ok(UpdateDeadline::Interrupt);
        }
        if !state.limiter.recount(host) {
            state.note_refusal();
            return Ok(UpdateDeadline::Interrupt);
        }
        Ok(match meter.tick() {
            AfterTick::GoOn => UpdateDeadline::Continue(1),
            AfterTick::Queue => UpdateDeadline::YieldCustom(1, Box::pin(meter.clone().wait_for_cpu_slot())),
            AfterTick::End => UpdateDeadline::Interrupt,
        })
    });
    // With 0 every guest would be interrupted once at its first instruction.
    store.set_epoch_deadline(1);
    (store, meter)
}

/// Makes a store ready for another request. Nothing is left of the host's counts, grants and receipt of the request
/// before.
pub(crate) fn renew(store: &mut Store<GuestState>, config: StoreConfig) -> Arc<GuestMeter> {
    let log = GuestLog::new(config.plugin_log, config.log).of_request(config.grant.request_id());
    let meter = GuestMeter::new(config.cpu, config.plugin_cpu, log);
    if config.receipt.is_some() {
        meter.set_paid();
    }
    let (capabilities, context) = context(config.receipt, config.grant, meter.clone());
    let state = store.data_mut();
    (state.capabilities, state.contexts) = (capabilities, RequestContexts::one(context));
    state.permits = config.permits;
    state.limiter.set_meter(meter.clone());
    state.printing.store(meter.clone());
    state.meter = meter.clone();
    store.set_hostcall_fuel(CALL_BYTES);
    store.set_epoch_deadline(1);
    meter
}

/// The context of one request or question, and the capabilities of the instance for it.
pub(crate) fn context(
    receipt: Option<PaymentReceipt>,
    grant: Grant,
    meter: Arc<GuestMeter>,
) -> (Arc<Capabilities>, RequestContext) {
    let log = meter.log().of_plugin();
    match grant {
        Grant::Requests(RequestGrant { capabilities, outgoing, provenance, is_metered }) => {
            let egress = Egress::new(capabilities.outgoing.clone(), log, outgoing, provenance);
            (capabilities, RequestContext { receipt, charging: Charging::of_request(is_metered), meter, egress })
        }
        Grant::Question(capabilities) => {
            let egress = Egress::denied(log);
            (capabilities, RequestContext { receipt, charging: Charging::NoRequest, meter, egress })
        }
    }
}

/// Prepares a store for several requests at once, and none yet. Each request brings its own share of the limits.
pub(crate) fn share(store: &mut Store<GuestState>, at_once: usize) {
    let handles = REQUEST_HANDLES.saturating_mul(at_once);
    store.set_max_component_handles(handles);
    let state = store.data_mut();
    state.table.set_max_capacity(handles);
    state.contexts = RequestContexts::many();
}

/// A context of WASI that grants the standard streams, clocks and random numbers, and nothing else.
fn denied(printing: &Arc<ArcSwap<GuestMeter>>, world: OutsideWorld) -> WasiCtx {
    let mut wasi = WasiCtxBuilder::new();
    if world == OutsideWorld::Fixed {
        wasi.wall_clock(FixedClock)
            .secure_random(Deterministic::new(vec![4]))
            .insecure_random(Deterministic::new(vec![4]))
            .insecure_random_seed(4);
    }
    wasi.stdout(OutputPipe { stream: LogStream::Stdout, meter: printing.clone() })
        .stderr(OutputPipe { stream: LogStream::Stderr, meter: printing.clone() })
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(RANDOM)
        .build()
}

impl GuestState {
    /// Linear memory, in bytes.
    pub(crate) fn used_memory(&self) -> usize {
        self.limiter.used()
    }

    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// Aborts response bodies that a guest of WASI 0.2 left unfinished when it ended; they would count as whole when
    /// the store is dropped. Source: `wasi:http/types`, `outgoing-body`: a body that is dropped without `finish` is
    /// corrupted.
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
        WasiHttpCtxView { hooks: &mut self.contexts, table: &mut self.table, ctx: &mut self.http }
    }
}
