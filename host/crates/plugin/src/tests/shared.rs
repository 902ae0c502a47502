//! Tests of instances that answer several requests at once.

use std::time::Instant;

use serde_json::Value;

use super::*;

fn shared(total: u32, concurrent: u32) -> Limits {
    Limits { reuse: Some(Reuse { total, concurrent }), instances: 1, breaker: opens_after(0), ..Limits::default() }
}

/// The guest `crowd`, in a runtime of its own.
async fn crowd(limits: Limits) -> Plugin {
    let mut config = super::config(artifacts());
    config.wait = Duration::from_secs(20);
    let runtime = Runtime::new(config).expect("a runtime");
    runtime.load(&guest("crowd"), &limits.into()).await.expect("loaded")
}

/// The response to a request by this payer, and the amount that was charged for it.
async fn ask(plugin: &Plugin, payer: &str, steps: &str) -> Result<(Value, Option<String>), Fault> {
    let permit = if payer.is_empty() { free() } else { paid_by(payer) };
    let (parts, body) = plugin.invoke(permit.metered(), get(&format!("/crowd?{steps}"))).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    let charged = parts.extensions.get::<MeteredAmount>().expect("a bill").amount();
    Ok((serde_json::from_slice(&body).expect("JSON"), charged))
}

/// Sends a request in a task of its own.
fn begin(
    plugin: &Plugin,
    payer: impl Into<String>,
    steps: impl Into<String>,
) -> tokio::task::JoinHandle<Result<(Value, Option<String>), Fault>> {
    let (plugin, payer, steps) = (plugin.clone(), payer.into(), steps.into());
    tokio::spawn(async move { ask(&plugin, &payer, &steps).await })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_in_a_shared_instance_sees_its_own_payment_and_charges_for_itself() {
    // A quarter is for paid requests alone.
    let plugin = crowd(shared(1000, 12)).await;
    for round in 0..4 {
        let asked: Vec<_> = (0..8)
            .map(|index| {
                let steps = format!("meet=in{round}:8&charge=0.{round}{index}&meet=out{round}:8");
                // One of the requests is free.
                let payer = if index == 5 { String::new() } else { format!("0x{round}{index}") };
                (index, payer.clone(), begin(&plugin, payer, steps))
            })
            .collect();
        for (index, payer, asked) in asked {
            let (said, charged) = asked.await.expect("no panic").expect("an answer");
            assert_eq!(said["payers"], serde_json::json!([payer, payer]), "{said}");
            assert_eq!(charged, Some(format!("0.{round}{index}")));
            assert_eq!(said["most"], 8, "all requests were in it at once");
        }
    }
    let (said, _) = ask(&plugin, "", "").await.expect("an answer");
    assert_eq!(said["calls"], 33, "all requests were in one instance");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_never_has_more_requests_than_allowed_at_once_or_in_its_life() {
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
    // Sixty requests used up six instances; or five, and two instances share the last ten and are idle.
    let idle_instances = match (lives, most) {
        (6, 3) => 0,
        (5, 3) => 2,
        other => panic!("{other:?}"),
    };
    let idle = &plugin.loaded.resources.idle_instances;
    // An instance that is used up is not idle.
    settles(|| free_instances(&plugin) == 2 && idle.available_permits() == 256 / 4 + 1 - idle_instances).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_fails_every_request_in_its_instance_and_counts_as_one_failure() {
    let plugin = crowd(Limits { breaker: opens_after(2), ..shared(1000, 8) }).await;
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

/// The meter of a request did not know what its instance was refused: a plugin that always answered 500 for want of
/// memory stayed in service in a shared instance. In an instance of its own its circuit opened.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_500_over_refused_memory_is_a_failure_in_a_shared_instance_as_it_is_alone() {
    for reuse in [None, Some(Reuse { total: 1000, concurrent: 8 })] {
        let plugin = crowd(Limits { breaker: opens_after(1), reuse, ..shared(1000, 8) }).await;
        ask(&plugin, "", "").await.expect("an answer");
        assert_eq!(ask(&plugin, "", "try=200").await.expect_err("memory"), Fault::Memory, "{reuse:?}");
        assert_ne!(plugin.unpaid_circuit(), Circuit::Closed, "{reuse:?}");
    }
    // The refusal counts for the requests that were in the instance then, and for no later one.
    let plugin = crowd(shared(1000, 8)).await;
    let together = [begin(&plugin, "", "meet=a:2&try=200"), begin(&plugin, "", "meet=a:2&wait=200")];
    let [refused, other] = together;
    assert_eq!(refused.await.expect("no panic").expect_err("memory"), Fault::Memory);
    other.await.expect("no panic").expect("its own answer is none of 500");
    let (said, _) = ask(&plugin, "", "room=200").await.expect("it can do without");
    assert_eq!((&said["calls"], &said["said"][0]), (&1.into(), &"false".into()), "{said}");
    let (parts, body) = plugin.invoke(free(), get("/crowd?status=500")).await.expect("an answer of 500").into_parts();
    let said: Value = serde_json::from_slice(&body.collect().await.expect("a body").to_bytes()).expect("JSON");
    assert_eq!((parts.status.as_u16(), &said["calls"]), (500, &2.into()), "in the same instance: {said}");
}

/// A free request that trapped ended paid ones in its instance, one of which counted as a failure: any client could
/// open the circuit of the paid calls.
#[tokio::test(flavor = "multi_thread")]
async fn a_trap_of_an_unpaid_request_counts_for_no_paid_one_in_its_instance() {
    let plugin = crowd(Limits { breaker: opens_after(2), ..shared(1000, 12) }).await;
    for round in 0..2 {
        let others: Vec<_> = (0..4)
            .map(|payer| begin(&plugin, format!("0x{round}{payer}"), format!("meet=in{round}:5&sleep")))
            .collect();
        let fault = ask(&plugin, "", &format!("meet=in{round}:5&trap")).await.expect_err("a trap");
        assert!(matches!(fault, Fault::Trap(_)), "{fault}");
        for other in others {
            other.await.expect("no panic").expect_err("the instance is gone");
        }
        assert_eq!(plugin.paid_circuit(), Circuit::Closed);
    }
    assert_ne!(plugin.unpaid_circuit(), Circuit::Closed);
}

/// One payer whose calls trap is in the instance of others, which fail with it. It was refused by no circuit, and took
/// every instance that it was in from payers whose calls succeed.
#[tokio::test(flavor = "multi_thread")]
async fn a_payer_that_traps_is_refused_and_the_payers_in_its_instance_do_not_count_for_it() {
    let plugin = crowd(Limits { breaker: opens_after(2), ..shared(1000, 12) }).await;
    for round in 0..2 {
        let others: Vec<_> = (0..4)
            .map(|payer| begin(&plugin, format!("0x{round}{payer}"), format!("meet=in{round}:5&sleep")))
            .collect();
        ask(&plugin, "0xbad", &format!("meet=in{round}:5&trap")).await.expect_err("a trap");
        for other in others {
            other.await.expect("no panic").expect_err("the instance is gone");
        }
        assert_eq!(plugin.paid_circuit(), Circuit::Closed, "round {round}");
    }
    let refused = ask(&plugin, "0xbad", "").await.expect_err("its own circuit is open");
    assert!(matches!(refused, Fault::CircuitOpen { .. }), "{refused}");
    // Failures that have no payer in common are no longer those of one payer.
    ask(&plugin, "0xelse", "trap").await.expect_err("a trap");
    assert_ne!(plugin.paid_circuit(), Circuit::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_or_charge_right_after_the_last_byte_belongs_to_its_request() {
    let plugin = crowd(shared(1000, 8)).await;
    let fault = ask(&plugin, "0xa", "after=trap").await.expect_err("a trap");
    assert!(matches!(fault, Fault::Trap(_)), "{fault:?}");
    let (said, charged) = ask(&plugin, "0xa", "after=charge=0.07").await.expect("an answer");
    assert_eq!((said["calls"].as_u64(), charged.as_deref()), (Some(1), Some("0.07")));
    // After the guest is drained, its task belongs to no request: it charges none, and sees no receipt.
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
        // Its task is still in the instance, which therefore accepts no further request.
        let next = begin(&plugin, "0xb", "");
        let (said, _) = early.await.expect("no panic").expect("an answer");
        assert_eq!((said["payers"][1].as_str(), said["calls"].as_u64()), (Some("0xa"), Some(2)));
        let (said, _) = next.await.expect("no panic").expect("an answer");
        assert_eq!((said["payers"][0].as_str(), said["calls"].as_u64()), (Some("0xb"), Some(1)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_blocks_or_computes_fails_every_request_in_its_instance_and_its_permits_are_returned() {
    let limits = Limits { cpu: Duration::from_millis(200), first_byte: Duration::from_secs(4), ..shared(1000, 8) };
    let plugin = crowd(limits).await;
    let both = [begin(&plugin, "0xa", "meet=a:2&spin"), begin(&plugin, "0xb", "meet=a:2&sleep")];
    for asked in both {
        assert_eq!(asked.await.expect("no panic").expect_err("too much"), Fault::Cpu);
    }
    // Two requests have the CPU time of both, and a request takes its unused time with it.
    ask(&plugin, "", "").await.expect("an answer");
    let start = Instant::now();
    assert_eq!(ask(&plugin, "", "spin").await.expect_err("too much"), Fault::Cpu);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    let blocked = [begin(&plugin, "0xa", "meet=b:2&block"), begin(&plugin, "0xb", "meet=b:2&sleep")];
    for asked in blocked {
        assert_eq!(asked.await.expect("no panic").expect_err("too late"), Fault::Deadline);
    }
    settles(|| free_instances(&plugin) == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_dropped_fails_no_other_and_retires_its_instance() {
    let plugin = crowd(shared(1000, 8)).await;
    let gone = begin(&plugin, "0xa", "meet=a:3&sleep");
    let stays = begin(&plugin, "0xb", "meet=a:3&wait=100");
    ask(&plugin, "0xc", "meet=a:3").await.expect("an answer");
    gone.abort();
    let (said, _) = stays.await.expect("no panic").expect("an answer");
    assert_eq!(said["payers"], serde_json::json!(["0xb", "0xb"]));
    assert_eq!(ask(&plugin, "", "").await.expect("an answer").0["calls"], 1, "a new instance");
    // An error instead of a response is an answer: the instance stays.
    assert!(matches!(ask(&plugin, "", "fail").await, Err(Fault::NoResponse(_))));
    assert_eq!(ask(&plugin, "", "").await.expect("an answer").0["calls"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_plugin_drops_its_idle_instances() {
    let plugin = crowd(shared(1000, 8)).await;
    let resources = Arc::clone(&plugin.loaded.resources);
    let (running, idle) = (|| resources.instances.free(), || resources.idle_instances.available_permits());
    let (all_running, all_idle) = (running(), idle());
    ask(&plugin, "0xa", "").await.expect("an answer");
    settles(|| idle() == all_idle - 1).await;
    assert_eq!(running(), all_running, "an idle instance takes no permit of a running one");
    // Another policy has other instances. A request that runs is answered by its old one.
    let old = begin(&plugin, "0xb", "meet=a:2&wait=100");
    ask(&plugin, "0xc", "meet=a:2").await.expect("an answer");
    let new = plugin.with_policies(&shared(9, 2).into()).await.expect("another policy");
    drop(plugin);
    assert_eq!(ask(&new, "0xd", "").await.expect("an answer").0["calls"], 1);
    assert_ne!(old.await.expect("no panic").expect("an answer").0["calls"], 1);
    settles(|| idle() == all_idle - 1).await;
    drop(new);
    settles(|| idle() == all_idle && running() == all_running).await;
}

#[tokio::test]
async fn concurrent_requests_need_a_handler_of_wasi_0_3() {
    let terms: PluginPolicies = shared(10, 2).into();
    let error = runtime().load(&guest("echo"), &terms).await.expect_err("0.2").to_string();
    assert!(error.contains("WASI 0.2, which takes one request at a time"), "{error}");
    let loaded = load("echo").await;
    assert!(loaded.with_policies(&terms).await.is_err(), "nor by a change of policy");
    load("echo3").await.with_policies(&terms).await.expect("0.3");
}

/// Waits until a condition holds.
async fn settles(done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "it does not settle");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The body of a client that goes away when the sender is used.
struct BrokenBody(tokio::sync::oneshot::Receiver<()>);

impl http_body::Body for BrokenBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, RequestBodyError>>> {
        std::pin::Pin::new(&mut self.0).poll(cx).map(|_| Some(Err("the client has gone".into())))
    }
}

/// A client that broke off its body opened the circuit of a plugin whose instances are shared: the trap counted as the
/// failure of another request in the instance.
#[tokio::test(flavor = "multi_thread")]
async fn a_trap_over_the_broken_body_of_one_request_counts_for_no_other_request_of_the_instance() {
    let plugin = crowd(Limits { breaker: opens_after(1), ..shared(1000, 12) }).await;
    for round in 0..6 {
        let others: Vec<_> = (0..4).map(|_| begin(&plugin, "0x1", format!("meet=in{round}:5&sleep"))).collect();
        let (breaks, broken) = tokio::sync::oneshot::channel();
        let uri = format!("/crowd?meet=in{round}:5&read");
        let request = Request::get(uri).header("host", "shop.example").body(BrokenBody(broken).boxed_unsync());
        let (failing, request) = (plugin.clone(), request.expect("a request"));
        let failing = tokio::spawn(async move { failing.invoke(free(), request).await.map(drop) });
        breaks.send(()).expect("its guest reads it");
        let fault = failing.await.expect("no panic").expect_err("its guest panics");
        assert!(matches!(fault, Fault::RequestEndedEarly(_)), "{fault}");
        for other in others {
            let fault = other.await.expect("no panic").expect_err("the instance is gone");
            assert!(matches!(fault, Fault::Trap(_)), "{fault}");
        }
        assert_eq!((plugin.paid_circuit(), plugin.unpaid_circuit()), (Circuit::Closed, Circuit::Closed));
    }
    for payer in ["", "0x1"] {
        assert!(matches!(ask(&plugin, payer, "trap").await, Err(Fault::Trap(_))));
    }
    assert!(plugin.paid_circuit() != Circuit::Closed && plugin.unpaid_circuit() != Circuit::Closed, "its own traps");
}
