//! Tests of the budget of memory that all instances of a plugin share, with real guests.

use super::shape::{leb128, section, with_modules};
use super::*;

const MIB: usize = 1 << 20;

/// A guest with 8 MiB of first contents, to which it writes when it begins, or not.
fn with_data(name: &str, writes: bool) -> Vec<u8> {
    let size = leb128(u32::try_from(8 * MIB).expect("32 bits"));
    // Fills the memory twenty times: `(loop (memory.fill ..) (br_if 0 (i32.lt_s (local.tee 0 ..) (i32.const 20))))`.
    let fill = [b"\x41\0\x41\x07\x41".as_slice(), &size, b"\xfc\x0b\0"].concat();
    let count = b"\x20\0\x41\x01\x6a\x22\0\x41\x14\x48\x0d\0";
    let body = [b"\x01\x01\x7f\x03\x40".as_slice(), &fill, count, b"\x0b\x0b"].concat();
    let body = [leb128(u32::try_from(body.len()).expect("short")), body].concat();
    let start = if writes { section(8, &[0]) } else { Vec::new() };
    let data = [b"\x01\0\x41\0\x0b".as_slice(), &size, &vec![1; 8 * MIB]].concat();
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, b"\x01\x60\0\0"),
        section(3, &[1, 0]),
        section(5, &[&[1, 0], &*leb128(128)].concat()),
        start,
        section(10, &[vec![1], body].concat()),
        section(11, &data),
    ];
    with_modules(name, 1, &module.concat())
}

fn limits(plugin_memory: usize) -> Limits {
    Limits { memory: 16 * MIB, plugin_memory, ..Limits::default() }
}

fn memory_in_use(plugin: &Plugin) -> usize {
    plugin.loaded.instances.spec.permits.memory_in_use()
}

/// Starts guests that sleep, one after another, and returns those that run and the faults of the others.
async fn sleepers(plugin: &Plugin, count: usize) -> (Vec<tokio::task::JoinHandle<Option<Fault>>>, Vec<Fault>) {
    let (mut running, mut ended) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let asleep = plugin.clone();
        let mut guest = tokio::spawn(async move { asleep.invoke(paid_by("0xa"), get("/?how=sleep")).await.err() });
        // A guest that sleeps says nothing; one that is ended is so within its 20 rounds.
        match tokio::time::timeout(Duration::from_secs(2), &mut guest).await {
            Ok(fault) => ended.push(fault.expect("no panic").expect("a fault")),
            Err(_) => running.push(guest),
        }
    }
    (running, ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn first_contents_of_a_memory_count_when_they_have_been_written_to() {
    // A guest with 8.3 MiB, of which more than two count in any case.
    for (writes, fit) in [(false, 4), (true, 2)] {
        let plugin = runtime().load(&with_data("spin", writes), &limits(20 * MIB).into()).await.expect("loaded");
        let (running, ended) = sleepers(&plugin, 4).await;
        let used = memory_in_use(&plugin);
        assert!(used >= running.len() * if writes { 8 * MIB } else { 2 * MIB } && used <= 20 * MIB, "{used}");
        assert!(running.len() == fit && ended.iter().all(|fault| *fault == Fault::PluginMemory), "{writes}: {ended:?}");
        for guest in running {
            guest.abort();
            assert!(guest.await.is_err_and(|error| error.is_cancelled()));
        }
        assert_eq!(memory_in_use(&plugin), 0, "a client that leaves gives it back");
    }
}

#[tokio::test]
async fn a_guest_is_refused_what_others_of_its_plugin_have_and_gives_back_what_it_had() {
    let [plugin, neighbour] = ["unruly", "echo"].map(guest);
    let policies = PluginPolicies::from(Limits { memory: 32 * MIB, ..limits(32 * MIB) });
    let plugin = runtime().load(&plugin, &policies).await.expect("loaded");
    let neighbour = runtime().load(&neighbour, &policies).await.expect("loaded");
    let held = plugin.loaded.instances.spec.permits.try_acquire(crate::instance::permits::Demand::Paid).expect("room");
    let grow = runtime().load(&guest("grow"), &policies).await.expect("loaded");
    let other = grow.loaded.instances.spec.permits.try_acquire(crate::instance::permits::Demand::Paid).expect("room");
    assert!(held.memory().resize(32 * MIB) && other.memory().resize(24 * MIB));
    assert_eq!(call(&grow, get("/")).await.map(drop), Err(Fault::PluginMemory), "it traps");
    assert_eq!(memory_in_use(&grow), 24 * MIB);
    assert_eq!(call(&plugin, get("/")).await.map(drop), Err(Fault::Busy), "there is no memory to begin with");
    call(&neighbour, get("/")).await.expect("it has a budget of its own");
    drop((held, other));
    assert_eq!(call(&grow, get("/")).await.map(drop), Err(Fault::Memory), "its own limit");
    assert_eq!(memory_in_use(&grow), 0);
    call(&plugin, get("/")).await.expect("an answer");
}

#[tokio::test]
async fn an_instance_that_waits_for_a_request_keeps_its_memory_counted() {
    let limits = Limits { reuse: Some(Reuse { total: 9, concurrent: 1 }), ..limits(64 * MIB) };
    let plugin = load_with("echo", limits).await;
    call(&plugin, get("/")).await.expect("an answer");
    let idle = memory_in_use(&plugin);
    assert!(idle > 0);
    call(&plugin, get("/")).await.expect("an answer");
    // What the host keeps for its handles differs by a few hundred bytes.
    assert!(memory_in_use(&plugin).abs_diff(idle) < 64 << 10, "the same instance");
    let instances = Arc::clone(&plugin.loaded.instances);
    drop(instances.reuse.pool().expect("reused").take());
    assert_eq!(memory_in_use(&plugin), 0);
}
