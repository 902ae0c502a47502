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

use crate::Receipt;
use crate::capabilities::config::Capabilities;
use crate::capabilities::egress::{Egress, Trail};
use crate::capabilities::log::{Log, Pipe, Stream};
use crate::instance::context::{Visit, Visits};
use crate::instance::meter::{Limiter, Watch};

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
pub(crate) struct Grant {
    pub(crate) plugin: Arc<str>,
    /// Linear memory, in bytes.
    pub(crate) memory: usize,
    /// CPU time.
    pub(crate) cpu: Duration,
    /// Where it waits for its turn if it computes for long.
    pub(crate) turns: Arc<Semaphore>,
    /// What it may print, in bytes.
    pub(crate) log: usize,
    pub(crate) receipt: Option<Receipt>,
    /// What it may do while it handles a request; none while it answers a question.
    pub(crate) serving: Option<Serving>,
}

/// A request being handled, as opposed to a question asked.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    pub(crate) granted: Arc<Capabilities>,
    /// Outgoing requests, at most.
    pub(crate) outgoing: u32,
    /// How the request came here.
    pub(crate) trail: Trail,
}

pub(crate) struct State {
    /// For whom it works.
    pub(crate) visits: Visits,
    /// Of the instance.
    pub(crate) watch: Arc<Watch>,
    /// Where its standard streams find the watch.
    printing: Arc<ArcSwap<Watch>>,
    pub(crate) granted: Arc<Capabilities>,
    limiter: Limiter,
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
}

/// Builds an empty store with every limit armed.
pub(crate) fn store(engine: &Engine, grant: Grant) -> (Store<State>, Arc<Watch>) {
    let watch = Watch::new(grant.cpu, grant.turns, Log::new(grant.plugin.clone(), grant.log));
    let printing = Arc::new(ArcSwap::from(watch.clone()));
    let (granted, visit) = visit(grant.receipt, grant.serving, grant.plugin, watch.clone());
    let mut table = ResourceTable::new();
    table.set_max_capacity(HANDLES);
    let mut http = WasiHttpCtx::new();
    http.set_field_size_limit(FIELDS);
    let state = State {
        visits: Visits::sole(visit),
        watch: watch.clone(),
        wasi: denied(&printing),
        printing,
        granted,
        limiter: Limiter { memory: grant.memory, used: 0, taken: 0, watch: watch.clone() },
        table,
        http,
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
pub(crate) fn renew(store: &mut Store<State>, grant: Grant) -> Arc<Watch> {
    let watch = Watch::new(grant.cpu, grant.turns, Log::new(grant.plugin.clone(), grant.log));
    let (granted, visit) = visit(grant.receipt, grant.serving, grant.plugin, watch.clone());
    let state = store.data_mut();
    (state.granted, state.visits) = (granted, Visits::sole(visit));
    watch.weigh(state.limiter.taken);
    state.limiter.watch = watch.clone();
    state.printing.store(watch.clone());
    state.watch = watch.clone();
    store.set_hostcall_fuel(CALL_BYTES);
    store.set_epoch_deadline(1);
    watch
}

/// What an instance is granted for one request or question, and what that one is told.
pub(crate) fn visit(
    receipt: Option<Receipt>,
    serving: Option<Serving>,
    plugin: Arc<str>,
    watch: Arc<Watch>,
) -> (Arc<Capabilities>, Visit) {
    match serving {
        Some(Serving { granted, outgoing, trail }) => {
            let egress = Egress::by(granted.outgoing.clone(), plugin, outgoing, trail);
            (granted, Visit { receipt, serving: true, watch, egress })
        }
        None => (Capabilities::none(), Visit { receipt, serving: false, watch, egress: Egress::denied(plugin) }),
    }
}

/// Lets several requests into a store at once, and none yet: each brings its own part of what is bounded.
pub(crate) fn share(store: &mut Store<State>, at_once: usize) {
    let handles = HANDLES.saturating_mul(at_once);
    store.set_max_component_handles(handles);
    let state = store.data_mut();
    state.table.set_max_capacity(handles);
    state.visits = Visits::many();
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

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.visits, table: &mut self.table, ctx: &mut self.http }
    }
}
