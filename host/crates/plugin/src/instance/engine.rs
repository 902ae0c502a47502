//! The two engines and their pools.
//!
//! Both engines are configured by the same function, in the server and in the compiling process, because a compiled
//! component loads only into an engine of the same configuration. Guests of WASI 0.2 run in an engine without
//! concurrency support (2.3 times faster per request); such an engine cannot run WASI 0.3, so there is a second engine
//! with it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::{
    CacheStore, Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails,
};

/// The interval between interruptions of guests. A guest that computes yields to its neighbours this often, so this is
/// the most that a neighbour waits for it. A shorter interval wakes the machine for little.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Linear memory that a slot of the pool can hold, in bytes. No plugin's limit can be above it.
pub(crate) const MAX_MEMORY: usize = 256 << 20;

/// The stack that the calls of a guest may take, in bytes. It is wasmtime's default: a fiber has four times as much.
pub(crate) const STACK: usize = 512 << 10;

/// The most elements of one table. A Python component has 5,768 and a JavaScript one 7,786.
pub(crate) const TABLE_ELEMENTS: usize = 100_000;

/// The most core instances, tables and memories of one component. A Python component has 14 core modules.
pub(crate) const CORE_INSTANCES: u32 = 50;
pub(crate) const TABLES: u32 = 20;
pub(crate) const MEMORIES: u32 = 4;
/// Memories of the pool for each of its slots. A memory reserves 4 GiB of addresses, and few components have more than
/// one; a component with more than these takes several permits. Core instances and tables reserve little, so the pool
/// has as many for each slot as a component may have.
const SLOT_MEMORIES: u32 = 2;

/// The most instances at once, for which both pools can be reserved in 47 bits of addresses.
pub const MAX_INSTANCES: usize = 4_000;

/// The permits that one instance of a component takes, so that as many instances as there are permits fit the pool.
/// An instance takes at most [`MAX_WEIGHT`].
pub(crate) fn weight(component: &Component) -> usize {
    let memories = component.resources_required().map_or(MEMORIES, |resources| resources.num_memories);
    usize::try_from(memories.div_ceil(SLOT_MEMORIES).max(1)).unwrap_or(MAX_WEIGHT)
}

/// The largest weight of a component that the pool can hold.
pub(crate) const MAX_WEIGHT: usize = MEMORIES.div_ceil(SLOT_MEMORIES) as usize;

/// The generation of WASI that a plugin's handler speaks. It selects the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wasi {
    /// `wasi:http/incoming-handler@0.2`.
    P2,
    /// `wasi:http/handler@0.3`.
    P3,
}

impl Wasi {
    /// The version as the command line of the compiling process states it.
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::P2 => "0.2",
            Self::P3 => "0.3",
        }
    }

    pub(crate) fn from_version(version: &str) -> Option<Self> {
        [Self::P2, Self::P3].into_iter().find(|wasi| wasi.version() == version)
    }
}

/// The way in which an engine allocates its instances. Memories on demand are small, and checked by the code itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allocation {
    Pooled,
    OnDemand,
}

/// The engine that code is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EngineKind {
    pub(crate) wasi: Wasi,
    pub(crate) allocation: Allocation,
}

/// Addresses that a memory on demand has in reserve when it begins and when it has grown, in bytes, so that it moves
/// less often.
const RESERVED_FOR_GROWTH: u64 = 1 << 20;

/// The part of the configuration that compiled code depends on, equal wherever code is compiled or run.
fn config(EngineKind { wasi, allocation }: EngineKind) -> Config {
    let mut config = Config::new();
    if allocation == Allocation::OnDemand {
        // Memories would reserve 4 GiB of addresses each, of which there are too few where the pool cannot be reserved.
        config
            .memory_reservation(0)
            .memory_reservation_for_growth(RESERVED_FOR_GROWTH)
            .memory_guard_size(64 << 10)
            .guard_before_linear_memory(false);
    }
    config
        .epoch_interruption(true)
        .max_wasm_stack(STACK)
        .wasm_component_model_async(wasi == Wasi::P3)
        .concurrency_support(wasi == Wasi::P3)
        .shared_memory(false)
        .wasm_memory64(false)
        .relaxed_simd_deterministic(true)
        // Backtraces in the operator's log name functions, never source lines of the author's machine.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

/// An engine that only compiles. It takes functions that were compiled before from the store, and adds the others.
/// Dropping it frees what the compiler retains.
pub(crate) fn compiler(kind: EngineKind, functions: Option<Arc<dyn CacheStore>>) -> wasmtime::Result<Engine> {
    compiler_of(config(kind), functions)
}

/// An engine that compiles as [`compiler`] does, for a system and a processor with these features, by cranelift's names.
pub(crate) fn compiler_for(
    kind: EngineKind,
    target: &str,
    features: impl IntoIterator<Item = &'static str>,
    functions: Option<Arc<dyn CacheStore>>,
) -> wasmtime::Result<Engine> {
    let mut config = config(kind);
    config.target(target)?;
    for feature in features {
        // SAFETY: the code does not run in this engine. It is kept by the features, and a host looks for code that has
        // those of its own processor.
        #[allow(unsafe_code, reason = "naming the features of another processor, see above")]
        unsafe {
            config.cranelift_flag_enable(feature);
        }
    }
    compiler_of(config, functions)
}

fn compiler_of(mut config: Config, functions: Option<Arc<dyn CacheStore>>) -> wasmtime::Result<Engine> {
    if let Some(functions) = functions {
        config.enable_incremental_compilation(functions)?;
    }
    Engine::new(&config)
}

/// An engine that runs up to `slots` instances at once, and the way in which it allocates them.
///
/// Where the pool's address space cannot be reserved (a container with a small `ulimit -v`, a 39-bit address space)
/// instances are allocated on demand, which is slower, and a warning says so.
pub(crate) fn runner(wasi: Wasi, slots: u32) -> wasmtime::Result<(Engine, Allocation)> {
    let mut pooled = config(EngineKind { wasi, allocation: Allocation::Pooled });
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots)));
    match Engine::new(&pooled) {
        Ok(engine) => Ok((engine, Allocation::Pooled)),
        Err(error) => {
            let allocation = Allocation::OnDemand;
            let engine = Engine::new(&config(EngineKind { wasi, allocation }))?;
            tracing::warn!(
                wasi = wasi.version(),
                error = %format_args!("{error:#}"),
                "the instance pool cannot be reserved: plugins run slower; allow more virtual memory"
            );
            Ok((engine, allocation))
        }
    }
}

/// A pool whose sizes fit Rust, JavaScript and Python guests, whatever their shapes are.
fn pool(slots: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(CORE_INSTANCES))
        .total_memories(slots.saturating_mul(SLOT_MEMORIES))
        .total_tables(slots.saturating_mul(TABLES))
        .total_stacks(slots.saturating_mul(2))
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(1 << 20)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(MAX_MEMORY)
        // Resetting this much by copying is cheaper than giving it back to the kernel and faulting it in again. Each
        // warm slot keeps as much resident.
        .linear_memory_keep_resident(2 << 20)
        .table_keep_resident(64 << 10)
        // Linux 6.7 reports which pages were written, and only those are reset. It does not report a page that was
        // written and then swapped out (bytecodealliance/wasmtime#14357): the next guest of the slot would read it.
        .pagemap_scan(if swaps() { Enabled::No } else { Enabled::Auto })
        .max_unused_warm_slots(64);
    pool
}

/// True if the kernel may write memory to a swap device, or if it does not say.
fn swaps() -> bool {
    std::fs::read_to_string("/proc/swaps").map_or(true, |swaps| names_a_device(&swaps))
}

/// True if `/proc/swaps` lists a device. Its first line has the names of the columns.
fn names_a_device(swaps: &str) -> bool {
    swaps.lines().skip(1).any(|line| !line.trim().is_empty())
}

/// Names the configuration of an engine in a file name. A clash is harmless: wasmtime checks the artifact's own
/// header.
pub(crate) fn fingerprint(engine: &Engine) -> String {
    struct Sha(Sha256);
    impl Hasher for Sha {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut sha = Sha(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut sha);
    hex::encode(&sha.0.finalize()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_device_is_one_line_below_the_head() {
        let head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        assert!(!names_a_device(head));
        assert!(!names_a_device(""));
        assert!(names_a_device(&format!("{head}/dev/dm-1 partition\t2097148\t0\t-2\n")));
    }
}
