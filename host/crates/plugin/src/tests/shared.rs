//! Instances that answer several requests at once.

use std::time::Instant;

use serde_json::Value;

use super::*;

fn shared(total: u32, concurrent: u32) -> Limits {
    let patience = BreakerSettings { failures: 0, ..BreakerSettings::default() };
    Limits { reuse: Some(Reuse { total, concurrent }), instances: 1, patience, ..Limits::default() }
}

/// The guest that has many at once, in a runtime of its own.
async fn crowd(limits: Limits) -> Plugin {
    let mut config = RuntimeConfig::new(target().join("guests/artifacts"));
    config.wait = Duration::from_secs(20);
    let runtime = Runtime::new(config).expect("a runtime");
    runtime.load(&guest("crowd"), &limits.into()).await.expect("loaded")
}

/// What a request by this payer was answered with, and what was charged for it.
async fn ask(plugin: &Plugin, payer: &str, steps: &str) -> Result<(Value, Option<String>), Fault> {
    let permit = if payer.is_empty() { free() } else { paid_by(payer) };
    let (parts, body) = plugin.invoke(permit, get(&format!("/crowd?{steps}"))).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    let charged = parts.extensions.get::<MeteredAmount>().expect("a bill").amount();
    Ok((serde_json::from_slice(&body).expect("JSON"), charged))
}

/// Asks in a task of its own.
fn begin(
    plugin: &Plugin,
    payer: impl Into<String>,
    steps: impl Into<String>,
) -> tokio::task::JoinHandle<Result<(Value, Option<String>), Fault>> {
    let (plugin, payer, steps) = (plugin.clone(), payer.into(), steps.into());
    tokio::spawn(async move { ask(&plugin, &payer, &steps).await })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_in_one_instance_sees_its_own_payment_and_its_charge_is_its_own() {
    let plugin = crowd(shared(1000, 8)).await;
    for round in 0..4 {
        let asked: Vec<_> = (0..8)
            .map(|index| {
                let steps = format!("meet=in{round}:8&charge=0.{round}{index}&meet=out{round}:8");
                // One of them has not paid.
                let payer = if index == 5 { String::new() } else { format!("0x{round}{index}") };
                (index, payer.clone(), begin(&plugin, payer, steps))
            })
            .collect();
        for (index, payer, asked) in asked {
            let (said, charged) = asked.await.expect("no panic").expect("an answer");
            assert_eq!(said["payers"], serde_json::json!([payer, payer]), "{said}");
            assert_eq!(charged, Some(format!("0.{round}{index}")));
            assert_eq!(said["most"], 8, "all of them were in it at once");
        }
    }
    let (said, _) = ask(&plugin, "", "").await.expect("an answer");
    assert_eq!(said["calls"], 33, "all of it was one instance");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_never_has_more_than_it_may_at_once_nor_in_its_life() {
    let plugin = crowd(Limits { instances: 2, ..shared(10, 3) }).await;
    let asked: Vec<_> = (0..60).map(|_| begin(&plugin, "", "wait")).collect();
    let (mut lives, mut most) = (0, 0);
    for asked in asked {
        let (said, _) = asked.await.expect("no panic").expect("an answer");
        let (calls, together) = (said["calls"].as_u64().expect("a number"), said["most"].as_u64().expect("a number"));
        assert!(calls <= 10 && together <= 3, "{said}");
        lives += u32::from(calls == 10);
        most = most.max(together);
    }
    // Either six had their ten, or five had and two share what was left and wait for more.
    let waiting = match (lives, most) {
        (6, 3) => 0,
        (5, 3) => 2,
        other => panic!("{other:?}"),
    };
    let (places, spares) = (&plugin.inner.places, &plugin.inner.runtime.spares);
    // Nobody waits with nothing left to give.
    settles(|| places.available_permits() == 2 && spares.available_permits() == 256 / 4 + 1 - waiting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_fails_all_that_are_in_it_once_and_the_next_gets_a_new_instance() {
    let patience = BreakerSettings { failures: 2, ..BreakerSettings::default() };
    let plugin = crowd(Limits { patience, ..shared(1000, 8) }).await;
    let asked: Vec<_> = (0..5)
        .map(|index| begin(&plugin, format!("0x{index}"), if index == 2 { "meet=a:5&trap" } else { "meet=a:5&sleep" }))
        .collect();
    for asked in asked {
        let fault = asked.await.expect("no panic").expect_err("a trap");
        assert!(matches!(&fault, Fault::Trap(text) if text.contains("unreachable")), "{fault:?}");
    }
    assert_eq!(plugin.circuit(), Circuit::Closed, "five requests failed, and one instance");
    assert_eq!(ask(&plugin, "0xa", "").await.expect("an answer").0["calls"], 1);
    ask(&plugin, "", "grow=200").await.expect_err("memory");
    assert_eq!(ask(&plugin, "0xa", "").await.expect("an answer").0["calls"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_does_right_after_its_last_byte_is_still_of_its_request() {
    let plugin = crowd(shared(1000, 8)).await;
    let fault = ask(&plugin, "0xa", "after=trap").await.expect_err("a trap");
    assert!(matches!(fault, Fault::Trap(_)), "{fault:?}");
    let (said, charged) = ask(&plugin, "0xa", "after=charge=0.07").await.expect("an answer");
    assert_eq!((said["calls"].as_u64(), charged.as_deref()), (Some(1), Some("0.07")));
    // Later it works for nobody: it charges nobody, and who pays then is not its business.
    let (_, charged) = ask(&plugin, "0xb", "after=wait&after=charge=0.08").await.expect("an answer");
    let (said, other) = ask(&plugin, "0xc", "wait&wait&wait").await.expect("an answer");
    assert_eq!((charged, other, said["payers"][1].as_str()), (None, None, Some("0xc")));
    assert_eq!(said["calls"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_past_its_deadline_fails_alone() {
    for steps in ["sleep", "meet=never:2"] {
        let plugin = crowd(Limits { first_byte: Duration::from_secs(3), ..shared(1000, 8) }).await;
        let late = begin(&plugin, "0xlate", steps);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let early = begin(&plugin, "0xa", "wait=1800");
        assert_eq!(late.await.expect("no panic").expect_err("too late"), Fault::Deadline);
        // Its task is still in there, so nobody else comes in.
        let next = begin(&plugin, "0xb", "");
        let (said, _) = early.await.expect("no panic").expect("an answer");
        assert_eq!((said["payers"][1].as_str(), said["calls"].as_u64()), (Some("0xa"), Some(2)));
        let (said, _) = next.await.expect("no panic").expect("an answer");
        assert_eq!((said["payers"][0].as_str(), said["calls"].as_u64()), (Some("0xb"), Some(1)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_blocks_or_computes_takes_those_in_it_along_and_its_place_is_free_again() {
    let limits = Limits { cpu: Duration::from_millis(200), first_byte: Duration::from_secs(4), ..shared(1000, 8) };
    let plugin = crowd(limits).await;
    let both = [begin(&plugin, "0xa", "meet=a:2&spin"), begin(&plugin, "0xb", "meet=a:2&sleep")];
    for asked in both {
        assert_eq!(asked.await.expect("no panic").expect_err("too much"), Fault::Cpu);
    }
    // Together they have the time of both, and what the first did not use it takes along.
    ask(&plugin, "", "").await.expect("an answer");
    let start = Instant::now();
    assert_eq!(ask(&plugin, "", "spin").await.expect_err("too much"), Fault::Cpu);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    let blocked = [begin(&plugin, "0xa", "meet=b:2&block"), begin(&plugin, "0xb", "meet=b:2&sleep")];
    for asked in blocked {
        assert_eq!(asked.await.expect("no panic").expect_err("too late"), Fault::Deadline);
    }
    let places = &plugin.inner.places;
    settles(|| places.available_permits() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_takes_nothing_along_and_frees_its_instance() {
    let plugin = crowd(shared(1000, 8)).await;
    let gone = begin(&plugin, "0xa", "meet=a:3&sleep");
    let stays = begin(&plugin, "0xb", "meet=a:3&wait=100");
    ask(&plugin, "0xc", "meet=a:3").await.expect("an answer");
    gone.abort();
    let (said, _) = stays.await.expect("no panic").expect("an answer");
    assert_eq!(said["payers"], serde_json::json!(["0xb", "0xb"]));
    assert_eq!(ask(&plugin, "", "").await.expect("an answer").0["calls"], 1, "a new instance");
    // A guest that says it has no answer has ended well, and so has its instance.
    assert!(matches!(ask(&plugin, "", "fail").await, Err(Fault::NoResponse(_))));
    assert_eq!(ask(&plugin, "", "").await.expect("an answer").0["calls"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_goes_takes_along_the_instances_that_nobody_uses() {
    let plugin = crowd(shared(1000, 8)).await;
    let runtime = Arc::clone(&plugin.inner.runtime);
    let (places, spares) = (runtime.places.available_permits(), runtime.spares.available_permits());
    ask(&plugin, "0xa", "").await.expect("an answer");
    settles(|| runtime.spares.available_permits() == spares - 1).await;
    assert_eq!(runtime.places.available_permits(), places, "what waits takes no place");
    // Other terms, other instances; who is there is answered by the old one.
    let old = begin(&plugin, "0xb", "meet=a:2&wait=100");
    ask(&plugin, "0xc", "meet=a:2").await.expect("an answer");
    let new = plugin.with_policies(&shared(9, 2).into()).expect("other terms");
    drop(plugin);
    assert_eq!(ask(&new, "0xd", "").await.expect("an answer").0["calls"], 1);
    assert_ne!(old.await.expect("no panic").expect("an answer").0["calls"], 1);
    settles(|| runtime.spares.available_permits() == spares - 1).await;
    drop(new);
    settles(|| runtime.spares.available_permits() == spares && runtime.places.available_permits() == places).await;
}

#[tokio::test]
async fn more_than_one_at_once_takes_a_handler_of_wasi_0_3() {
    let terms: PluginPolicies = shared(10, 2).into();
    let error = runtime().load(&guest("echo"), &terms).await.expect_err("0.2").to_string();
    assert!(error.contains("WASI 0.2, which takes one request at a time"), "{error}");
    let loaded = load("echo").await;
    assert!(loaded.with_policies(&terms).is_err(), "and not by a change of terms");
    load("echo3").await.with_policies(&terms).expect("0.3");
}

async fn settles(done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "it does not settle");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
