//! Evaluates a plugin's module once, and takes a snapshot of the engine's memory.

use std::time::Duration;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Instance, Linker, ResourceTable, ResourceType};
use wasmtime::{Store, StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use super::deadline::{Ticker, limit_evaluation};
use super::engine::{BINDINGS, CompiledEngine};
use super::explain;
use super::guest_output::GuestOutput;
use super::modules::{ENTRY, ENTRY_SOURCE, Modules};
use crate::BuildError;

wasmtime::component::bindgen!({
    inline: "
        package local:init;
        world init {
          export init: func(shim: string, script: string, entry-path: option<string>, disable-gc: bool) -> result<_, string>;
        }
    ",
    exports: { default: async },
});

/// The memory that a module may use, which becomes part of the component, in bytes.
pub(super) const MOST_MEMORY: usize = 256 << 20;

/// The most evaluations of one plugin, each without a further module that fails.
const MOST_TRIES: usize = 16;

/// The reason why an evaluation failed.
enum Failure {
    /// The error of the engine, and what the modules had printed.
    Thrown(String, String),
    Other(BuildError),
}

impl<E: Into<BuildError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// An evaluated plugin.
pub(super) struct Evaluated {
    pub(super) component: Vec<u8>,
    pub(super) output: String,
}

/// An engine in which an entry and its modules have been evaluated.
pub(super) struct EvaluatedEngine {
    pub(super) store: Store<State>,
    pub(super) instance: Instance,
    /// The output of the modules.
    pub(super) output: String,
}

pub(super) struct State {
    pub(super) wasi: WasiCtx,
    table: ResourceTable,
    http: WasiHttpCtx,
    network: NoNetwork,
    limits: StoreLimits,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.network, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Refuses every outgoing request.
struct NoNetwork;

type Sent<T> = Box<dyn Future<Output = Result<T, wasmtime_wasi_http::Error>> + Send>;

impl WasiHttpHooks for NoNetwork {
    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _sent: Sent<()>,
    ) -> Sent<(http::Response<WasiBody>, Sent<()>)> {
        Box::new(async { Err(wasmtime_wasi_http::Error::HttpRequestDenied) })
    }
}

/// Evaluates the author's module, and takes the snapshot. Blocks the thread.
pub(super) fn evaluate(engine: &CompiledEngine, modules: &Modules) -> Result<Evaluated, BuildError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| BuildError::Engine(error.to_string()))?;
    runtime.block_on(async {
        let EvaluatedEngine { mut store, instance, output } = begin(engine, modules, ENTRY_SOURCE).await?;
        // The snapshot is the host's work, and has no deadline.
        store.set_epoch_deadline(u64::MAX / 2);
        let mut memory = super::snapshot::Memory { store: &mut store, instance };
        let component = engine.wizer.snapshot_component(&engine.context, &mut memory).await?;
        Ok(Evaluated { component, output })
    })
}

/// Evaluates an entry, which imports the author's module: again without the modules that only a call asks for and that
/// fail.
pub(super) async fn begin(
    engine: &CompiledEngine,
    modules: &Modules,
    entry: &str,
) -> Result<EvaluatedEngine, BuildError> {
    for _ in 0..MOST_TRIES {
        match begin_once(engine, modules, entry).await {
            Err(Failure::Thrown(text, output)) => {
                if let Some(exceeded) = modules.exceeded() {
                    return Err(BuildError::Source(exceeded));
                }
                let message = modules.failed().unwrap_or_else(|| explain::error(&text, modules));
                if !modules.leave_out(&explain::stack(&text), &message) {
                    return Err(BuildError::Source(with_output(message, &output)));
                }
                tracing::debug!(%message, "the modules are evaluated again without the one that fails");
            }
            Err(Failure::Other(error)) => return Err(error),
            Ok(evaluated) => {
                return modules.exceeded().map_or(Ok(evaluated), |exceeded| Err(BuildError::Source(exceeded)));
            }
        }
    }
    Err(BuildError::Source(format!("more than {MOST_TRIES} modules fail that are only loaded on demand")))
}

async fn begin_once(engine: &CompiledEngine, modules: &Modules, entry: &str) -> Result<EvaluatedEngine, Failure> {
    let printed = GuestOutput::default();
    let wasi = WasiCtxBuilder::new()
        .stdout(printed.clone())
        .stderr(printed.clone())
        // Constant, so that the same sources give the same bytes.
        .secure_random(Deterministic::new(vec![0x5a]))
        .insecure_random(Deterministic::new(vec![0x5a]))
        .insecure_random_seed(0)
        .wall_clock(Constant)
        .monotonic_clock(Constant)
        .build();
    let limits = StoreLimitsBuilder::new().memory_size(MOST_MEMORY).build();
    let state = State { wasi, table: ResourceTable::new(), http: WasiHttpCtx::new(), network: NoNetwork, limits };
    let mut store = Store::new(&engine.engine, state);
    store.limiter(|state| &mut state.limits);
    limit_evaluation(&mut store);
    let _ticker = Ticker::start(&engine.engine);
    let linker = linker(engine, modules)?;
    let instance = linker.instantiate_async(&mut store, &engine.component).await?;
    let init = Init::new(&mut store, &instance)?;
    let evaluated = init.call_init(&mut store, BINDINGS, entry, Some(ENTRY), false).await;
    let output = printed.take().trim_end().to_owned();
    match evaluated {
        Ok(Ok(())) => Ok(EvaluatedEngine { store, instance, output }),
        Ok(Err(error)) => Err(Failure::Thrown(error, output)),
        Err(trap) => Err(BuildError::Source(with_output(explain::trap(&trap, modules), &output)).into()),
    }
}

/// An error, and below it what the module had printed.
fn with_output(error: String, output: &str) -> String {
    if output.is_empty() {
        return error;
    }
    let lines: String = output.lines().map(|line| format!("\n  {line}")).collect();
    format!("{error}\nbefore that, the module printed:{lines}")
}

/// The host of an evaluation: WASI without files, network, arguments and environment, and the modules.
fn linker(engine: &CompiledEngine, modules: &Modules) -> Result<Linker<State>, BuildError> {
    let mut linker: Linker<State> = Linker::new(&engine.engine);
    linker.allow_shadowing(true);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    let mut loader = linker.instance("local:init/module-loader")?;
    let (resolving, loading) = (modules.clone(), modules.clone());
    loader.func_wrap("resolve", move |_, (referrer, specifier): (String, String)| {
        Ok((resolving.resolve(&referrer, &specifier),))
    })?;
    loader.func_wrap("load", move |_, (name,): (String,)| Ok((loading.load(&name),)))?;
    refuse_what_plugins_are_granted(engine, &mut linker)?;
    Ok(linker)
}

/// Defines payments, configuration and key-value stores. The SDK refuses them before they are called.
fn refuse_what_plugins_are_granted(engine: &CompiledEngine, linker: &mut Linker<State>) -> Result<(), BuildError> {
    for (name, import) in engine.component.component_type().imports(&engine.engine) {
        let is_granted = ["coinslot:", "wasi:config/", "wasi:keyvalue/"].iter().any(|prefix| name.starts_with(prefix));
        let ComponentItem::ComponentInstance(interface) = import.ty else { continue };
        if !is_granted {
            continue;
        }
        let mut instance = linker.instance(name)?;
        for (item, export) in interface.exports(&engine.engine) {
            match export.ty {
                ComponentItem::Resource(_) => instance.resource(item, ResourceType::host::<()>(), |_, _| Ok(()))?,
                ComponentItem::ComponentFunc(_) => {
                    let text = format!("{name} has no {item} while a plugin is built");
                    instance.func_new(item, move |_, _, _, _| Err(wasmtime::Error::msg(text.clone())))?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// A clock whose time never changes.
struct Constant;

impl HostWallClock for Constant {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Constant {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}
