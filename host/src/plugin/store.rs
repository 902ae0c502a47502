//! One guest's store: everything it can see or exhaust.
//!
//! WASI is linked whole and denied here: no directory, no environment, no socket. A guest's only
//! ways out are its answer, its log, the imports of `coinslot:plugin`, and what its plugin is granted.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use wasmtime::component::{GuestTaskId, ResourceTable};
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::Receipt;
use super::egress::{Egress, Trail};
use super::grants::Capabilities;
use super::log::{Log, Pipe, Stream};
use super::watch::{Limiter, Watch};

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
pub(super) struct Grant {
    pub(super) plugin: Arc<str>,
    /// Linear memory, in bytes.
    pub(super) memory: usize,
    /// CPU time.
    pub(super) cpu: Duration,
    /// Where it waits for its turn if it computes for long.
    pub(super) turns: Arc<Semaphore>,
    /// What it may print, in bytes.
    pub(super) log: usize,
    pub(super) receipt: Option<Receipt>,
    /// What it may do while it handles a request; none while it answers a question.
    pub(super) serving: Option<Serving>,
}

/// A request being handled, as opposed to a question asked.
#[derive(Clone, Debug)]
pub(super) struct Serving {
    pub(super) granted: Arc<Capabilities>,
    /// Outgoing requests, at most.
    pub(super) outgoing: u32,
    /// How the request came here.
    pub(super) trail: Trail,
}

pub(super) struct State {
    pub(super) receipt: Option<Receipt>,
    pub(super) serving: bool,
    pub(super) watch: Arc<Watch>,
    /// Where its standard streams find the watch.
    printing: Arc<ArcSwap<Watch>>,
    /// The task that answers the request, in an engine that has tasks.
    task: Option<GuestTaskId>,
    pub(super) granted: Arc<Capabilities>,
    limiter: Limiter,
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    egress: Egress,
}

/// Builds an empty store with every limit armed.
pub(super) fn store(engine: &Engine, grant: Grant) -> (Store<State>, Arc<Watch>) {
    let watch = Watch::new(grant.cpu, grant.turns, Log::new(grant.plugin.clone(), grant.log));
    let printing = Arc::new(ArcSwap::from(watch.clone()));
    let serving = grant.serving.is_some();
    let (granted, egress) = reach(grant.serving, grant.plugin);
    let mut table = ResourceTable::new();
    table.set_max_capacity(HANDLES);
    let mut http = WasiHttpCtx::new();
    http.set_field_size_limit(FIELDS);
    let state = State {
        receipt: grant.receipt,
        serving,
        watch: watch.clone(),
        wasi: denied(&printing),
        printing,
        task: None,
        granted,
        limiter: Limiter { memory: grant.memory, used: 0, taken: 0, watch: watch.clone() },
        table,
        http,
        egress,
    };
    let mut store = Store::new(engine, state);
    store.limiter_async(|state| &mut state.limiter);
    store.set_hostcall_fuel(CALL_BYTES);
    store.set_max_component_handles(HANDLES);
    store.epoch_deadline_callback(|context| {
        let watch = &context.data().watch;
        if watch.tick() {
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(watch.clone().next_turn())))
        } else {
            Ok(UpdateDeadline::Interrupt)
        }
    });
    // With 0 every guest would be interrupted once at its first instruction.
    store.set_epoch_deadline(1);
    (store, watch)
}

/// Makes a store ready for another request: nothing that the host counts or tells is left of the one before.
pub(super) fn renew(store: &mut Store<State>, grant: Grant) -> Arc<Watch> {
    let watch = Watch::new(grant.cpu, grant.turns, Log::new(grant.plugin.clone(), grant.log));
    let state = store.data_mut();
    state.receipt = grant.receipt;
    state.serving = grant.serving.is_some();
    state.task = None;
    (state.granted, state.egress) = reach(grant.serving, grant.plugin);
    watch.weigh(state.limiter.taken);
    state.limiter.watch = watch.clone();
    state.printing.store(watch.clone());
    state.watch = watch.clone();
    store.set_hostcall_fuel(CALL_BYTES);
    store.set_epoch_deadline(1);
    watch
}

fn reach(serving: Option<Serving>, plugin: Arc<str>) -> (Arc<Capabilities>, Egress) {
    match serving {
        Some(Serving { granted, outgoing, trail }) => {
            let egress = Egress::by(granted.outgoing.clone(), plugin, outgoing, trail);
            (granted, egress)
        }
        None => (Capabilities::none(), Egress::denied(plugin)),
    }
}

fn denied(watch: &Arc<ArcSwap<Watch>>) -> WasiCtx {
    WasiCtxBuilder::new()
        .stdout(Pipe { stream: Stream::Stdout, watch: watch.clone() })
        .stderr(Pipe { stream: Stream::Stderr, watch: watch.clone() })
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(RANDOM)
        .build()
}

impl State {
    /// This task answers the request. Others that call the host were left behind by an earlier one.
    pub(super) fn answered_by(&mut self, task: GuestTaskId) {
        self.task = Some(task);
    }

    /// None in an engine without tasks, or while a question is asked.
    pub(super) fn task(&self) -> Option<GuestTaskId> {
        self.task
    }

    /// Linear memory, in bytes.
    pub(super) fn used_memory(&self) -> usize {
        self.limiter.used
    }

    pub(super) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.egress, table: &mut self.table, ctx: &mut self.http }
    }
}
