//! The resources that all plugins of one runtime share.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::capabilities::egress::Resolve;
use crate::capabilities::keyvalue::KvStores;
use crate::capabilities::log::PluginLogs;
use crate::headers::HostOnly;
use crate::instance::engine::{self, EngineKind, MAX_INSTANCES, MAX_WEIGHT, Wasi};
use crate::instance::imports;
use crate::instance::permits::PermitPool;
use crate::instance::processors::Processors;
use crate::instance::store::GuestState;
use crate::output::GuestOutput;
use crate::pause::PausedPlugins;

/// Engines, linkers, permits and stores: one of each per runtime.
pub(crate) struct SharedResources {
    p2: EngineWithLinker,
    p3: EngineWithLinker,
    /// Permits of running instances.
    pub(crate) instances: Arc<PermitPool>,
    /// Permits of instances that describe themselves.
    pub(crate) descriptions: Semaphore,
    /// Permits of instances that wait for another request.
    pub(crate) idle_instances: Arc<Semaphore>,
    pub(crate) processors: Arc<Processors>,
    pub(crate) logs: PluginLogs,
    /// The longest wait for a permit of an instance.
    pub(crate) wait: Duration,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) kv_stores: KvStores,
    pub(crate) is_host_only: HostOnly,
    pub(crate) paused: Arc<PausedPlugins>,
}

struct EngineWithLinker {
    engine: Engine,
    kind: EngineKind,
    linker: Linker<GuestState>,
}

impl SharedResources {
    /// Builds both engines, and starts the thread that interrupts guests.
    pub(crate) fn new(
        instances: usize,
        wait: Duration,
        kv_stores: KvStores,
        resolver: Arc<dyn Resolve>,
        is_host_only: HostOnly,
        paused: Arc<PausedPlugins>,
        output: Arc<GuestOutput>,
    ) -> io::Result<Self> {
        if instances > MAX_INSTANCES {
            let problem = format!("{instances} instances at once are more than {MAX_INSTANCES}, the most that fit");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        // Components are loaded and reloaded under full load, so the pools are larger than the permits.
        let (idle, describing) = (instances / 4 + 1, instances / 4 + 2 * MAX_WEIGHT);
        let pool = instances + describing + idle;
        let pool = u32::try_from(pool).unwrap_or(u32::MAX);
        let engine = |wasi| {
            let (engine, allocation) = engine::runner(wasi, pool)?;
            let linker = imports::linker(&engine, wasi)?;
            Ok(EngineWithLinker { engine, kind: EngineKind { wasi, allocation }, linker })
        };
        let engine = |wasi| engine(wasi).map_err(|error: wasmtime::Error| io::Error::other(format!("{error:#}")));
        let (p2, p3) = (engine(Wasi::P2)?, engine(Wasi::P3)?);
        let processors = Processors::new(&[&p2.engine, &p3.engine])?;
        Ok(Self {
            p2,
            p3,
            instances: PermitPool::new(instances),
            descriptions: Semaphore::new(describing),
            idle_instances: Arc::new(Semaphore::new(idle)),
            processors,
            logs: PluginLogs::new(output),
            wait,
            resolver,
            kv_stores,
            is_host_only,
            paused,
        })
    }

    pub(crate) fn engine(&self, wasi: Wasi) -> &Engine {
        &self.of(wasi).engine
    }

    /// The engine for which components of this WASI are compiled.
    pub(crate) fn engine_kind(&self, wasi: Wasi) -> EngineKind {
        self.of(wasi).kind
    }

    pub(crate) fn linker(&self, wasi: Wasi) -> &Linker<GuestState> {
        &self.of(wasi).linker
    }

    fn of(&self, wasi: Wasi) -> &EngineWithLinker {
        match wasi {
            Wasi::P2 => &self.p2,
            Wasi::P3 => &self.p3,
        }
    }
}
