//! Tests of components with many tables and memories, which take more of wasmtime's pool than others.

use super::*;
use crate::load::component::ComponentInfo;

/// A core module with one table of so many elements.
fn table(elements: u32) -> Vec<u8> {
    module(4, &[vec![1, 0x70, 0], leb128(elements)].concat())
}

/// A core module with one memory of so many pages.
fn memory(pages: u32) -> Vec<u8> {
    module(5, &[vec![1, 0], leb128(pages)].concat())
}

/// A number as WebAssembly writes it.
pub(super) fn leb128(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(0x80 | (number & 0x7f) as u8);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A section of this number.
pub(super) fn section(id: u8, bytes: &[u8]) -> Vec<u8> {
    [&[id], &*leb128(u32::try_from(bytes.len()).expect("a section")), bytes].concat()
}

fn module(id: u8, bytes: &[u8]) -> Vec<u8> {
    [b"\0asm\x01\0\0\0", &*section(id, bytes)].concat()
}

/// A guest with so many more instances of this core module.
pub(super) fn with_modules(name: &str, instances: u8, module: &[u8]) -> Vec<u8> {
    let wasm = guest(name);
    let index = u8::try_from(ComponentInfo::read(&wasm).expect("a component").modules).expect("few");
    let instances = [vec![instances], [0, index, 0].repeat(instances.into())].concat();
    [wasm, section(1, module), section(2, &instances)].concat()
}

fn small_runtime() -> Arc<Runtime> {
    let config = RuntimeConfig { instances: 8, wait: Duration::from_millis(100), ..config(artifacts()) };
    Runtime::new(config).expect("a runtime")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_of_many_tables_leaves_the_pool_to_others() {
    let runtime = small_runtime();
    let limits = Limits { instances: 4, ..Limits::default() };
    let wide = with_modules("spin", 16, &table(1));
    let wide = runtime.load(&wide, &limits.clone().into()).await.expect("loaded");
    let echo = runtime.load(&guest("echo"), &limits.into()).await.expect("loaded");
    let mut asleep: Vec<_> = (0..4)
        .map(|_| {
            let wide = wide.clone();
            tokio::spawn(async move { wide.invoke(paid_by("0xa"), get("/?how=sleep")).await.map(drop) })
        })
        .collect();
    while free_instances(&wide) > 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..20 {
        call(&echo, get("/")).await.expect("a neighbour is served");
    }
    for asleep in &mut asleep {
        let early = tokio::time::timeout(Duration::from_millis(10), asleep).await;
        assert!(early.is_err(), "the pool holds all of them: {early:?}");
    }
    asleep.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn an_instance_of_many_memories_takes_several_permits() {
    let runtime = small_runtime();
    let wide = with_modules("spin", 2, &memory(1));
    let wide = runtime.load(&wide, &Limits::default().into()).await.expect("loaded");
    let asleep = wide.invoke(paid_by("0xa"), get("/?how=sleep"));
    let pool = &runtime.resources.instances;
    let held = async {
        while pool.free() == 8 {
            tokio::task::yield_now().await;
        }
        pool.free()
    };
    tokio::select! {
        ended = asleep => panic!("{:?}", ended.map(drop)),
        free = held => assert_eq!(free, 6),
    }
    assert_eq!(pool.free(), 8);
}

#[tokio::test]
async fn tables_count_as_memory() {
    let wide = with_modules("echo", 8, &table(100_000));
    for (memory, fits) in [(4 << 20, false), (16 << 20, true)] {
        let limits = Limits { memory, ..Limits::default() };
        let plugin = runtime().load(&wide, &limits.into()).await.expect("loaded");
        let answered = call(&plugin, get("/")).await;
        assert_eq!(answered.is_ok(), fits, "{answered:?}");
        assert!(fits || answered.is_err_and(|fault| fault == Fault::Memory));
    }
}

#[test]
fn instances_beyond_the_machine_s_addresses_are_refused() {
    let config = RuntimeConfig { instances: MAX_INSTANCES + 1, ..config(artifacts()) };
    let error = Runtime::new(config).map(drop).expect_err("too many").to_string();
    assert!(error.contains("more than 4000"), "{error}");
}

#[tokio::test]
async fn a_description_may_use_as_much_memory_as_a_plugin() {
    // 70 MiB from the beginning.
    let large = with_modules("echo", 1, &memory(70 * 16));
    let limits = |memory| Limits { memory, ..Limits::default() };
    runtime().load(&large, &limits(80 << 20).into()).await.expect("within its limit");
    let own = |name: &str, memory| {
        let policy = PluginPolicy { limits: Some(limits(memory)), ..PluginPolicy::default() };
        PluginPolicies { limits: limits(32 << 20), plugins: [(name.to_owned(), policy)].into() }
    };
    runtime().load(&large, &own("echo", 80 << 20)).await.expect("within its own limit");
    for policies in [limits(32 << 20).into(), own("other", 80 << 20)] {
        let error = runtime().load(&large, &policies).await.expect_err("above its limit").to_string();
        assert!(error.contains("memory") && error.contains("raise `memory` in ["), "{error}");
    }
}

#[tokio::test]
async fn a_runtime_of_one_instance_takes_every_shape() {
    // As `coinslot inspect` has it.
    let config = RuntimeConfig { instances: 1, ..config(artifacts()) };
    let runtime = Runtime::new(config).expect("a runtime");
    for wide in [with_modules("echo", 16, &table(1)), with_modules("echo", 3, &memory(1))] {
        let plugin = runtime.load(&wide, &Limits::default().into()).await.expect("loaded");
        call(&plugin, get("/")).await.expect("an answer");
    }
}
