//! Tests the facilitator's server over real sockets, against the embedded chain. The client is our own `remote`, and a
//! plain HTTP client for requests that `remote` does not send.

use std::sync::Arc;
use std::time::Duration;

use coinslot_x402::{Network, Reason, Versions};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::{Service, serve};
use crate::local::Local;
use crate::pool::{FacilitatorPool, MEMBER_BREAKER, Member};
use crate::remote::{Credential, Remote, RemoteConfig};
use crate::testing::{PRICE, ProxyFault, SELLER, World, parse};
use crate::{Facilitator, Finality, Proof, Readiness, Settlement, Verification};

struct Server {
    url: String,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

async fn start(world: &World, bearer: Option<&str>) -> Server {
    let mut service = Service::new(Arc::new(world.local().await));
    if let Some(token) = bearer {
        service = service.with_bearer(token);
    }
    serve_at_any_port(service).await
}

async fn serve_at_any_port(service: Service) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(serve(listener, service, async move {
        let _ = stopped.await;
    }));
    Server { url, stop, task }
}

fn remote(server: &Server) -> Remote {
    Remote::new(RemoteConfig::new(parse(&server.url))).expect("usable")
}

async fn post(url: String, body: impl Into<reqwest::Body>) -> (StatusCode, Value) {
    let answer = reqwest::Client::new().post(url).body(body).send().await;
    let answer = answer.expect("answered");
    (answer.status(), answer.json().await.expect("JSON"))
}

#[tokio::test]
async fn our_own_client_verifies_and_settles_over_the_wire() {
    let world = World::start().await;
    let server = start(&world, None).await;
    let remote = remote(&server);
    assert_eq!(remote.versions("exact", &[Network::eip155(84532)]).await, Ok(vec![Versions::Both]));
    let v1 = world.payment_v1(&world.authorization());
    for (count, payment) in [(1, world.payment()), (2, v1)] {
        let verified = remote.verify(&payment).await;
        assert!(matches!(verified, Verification::Valid { .. }), "{verified:?}");
        let settled = remote.settle(&payment).await;
        let Settlement::Settled { settlement: settled, .. } = settled else {
            panic!("{settled:?}");
        };
        assert_eq!(world.usdc(SELLER).await, count * PRICE);
        // The success is reported once. Whether the repeat is another server's is for its caller to know.
        let repeat = remote.settle(&payment).await;
        let Settlement::Refused { transaction, finality: Finality::UsedBefore, .. } = repeat else {
            panic!("{repeat:?}");
        };
        assert_eq!(transaction, settled.transaction);
        let verified = remote.verify(&payment).await;
        assert!(
            matches!(&verified, Verification::Invalid { reason, .. }
                if reason == Reason::NonceAlreadyUsed.as_str()),
            "{verified:?}"
        );
    }
    server.stop.send(()).expect("still serving");
    tokio::time::timeout(Duration::from_secs(5), server.task).await.expect("stops").expect("without a panic");
}

/// A second payment with the transaction of a first was never believed, so a host behind our own facilitator, which
/// settles many in one, charged customers and never served them.
#[tokio::test]
async fn many_payments_at_once_through_our_own_facilitator_are_all_settled() {
    let world = World::start().await;
    let service = Service::new(Arc::new(Local::connect(world.config_for_many()).await.expect("connected")));
    let server = serve_at_any_port(service).await;
    let remote = Arc::new(remote(&server));
    remote.supported().await.expect("an answer");
    let pool = Arc::new(FacilitatorPool::new(vec![Member::remote("own", remote, MEMBER_BREAKER)]));
    let payments: Vec<_> = (0..12).map(|_| world.payment()).collect();
    let mut settling = tokio::task::JoinSet::new();
    for payment in payments {
        let pool = pool.clone();
        settling.spawn(async move { pool.settle(&payment).await });
    }
    let mut transactions = std::collections::HashSet::new();
    while let Some(settlement) = settling.join_next().await {
        let settlement = settlement.expect("no panic");
        let Settlement::Settled { settlement, proof } = settlement else { panic!("{settlement:?}") };
        assert_eq!(proof, Proof::Word { alone: false });
        transactions.insert(settlement.transaction);
    }
    assert!(transactions.len() < 12, "some share one");
    assert_eq!(world.usdc(SELLER).await, 12 * PRICE);
    assert_eq!(pool.readiness(), Readiness::Ready);
}

#[tokio::test]
async fn a_request_with_null_extra_is_read_and_a_wrong_type_is_named() {
    let world = World::start().await;
    let server = start(&world, None).await;
    let mut body = serde_json::to_value(world.payment()).expect("JSON");
    body["paymentRequirements"]["extra"] = Value::Null;
    let (status, answer) = post(format!("{}/verify", server.url), body.to_string()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["invalidReason"], Reason::MissingEip712Domain.as_str());
    for (pointer, part) in [
        ("/paymentRequirements/maxTimeoutSeconds", "paymentRequirements: "),
        ("/paymentPayload/accepted", "paymentPayload: "),
    ] {
        let mut body = serde_json::to_value(world.payment()).expect("JSON");
        *body.pointer_mut(pointer).expect(pointer) = json!("sixty");
        for path in ["verify", "settle"] {
            let (status, answer) = post(format!("{}/{path}", server.url), body.to_string()).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{pointer}");
            let error = answer["error"].as_str().expect("text");
            assert!(error.contains(part) && error.contains("invalid type"), "{error}");
        }
    }
}

#[tokio::test]
async fn refusals_are_answers_with_payer_and_reason() {
    let world = World::start().await;
    let server = start(&world, None).await;
    let mut body = serde_json::to_value(world.payment()).expect("JSON");
    body["paymentPayload"]["payload"]["authorization"]["value"] = json!("1");
    let (status, answer) = post(format!("{}/verify", server.url), body.to_string()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["isValid"], false);
    assert_eq!(answer["payer"], world.payer.address().to_string());
    assert_eq!(answer["invalidReason"], Reason::InvalidSignature.as_str());
    let (status, answer) = post(format!("{}/settle", server.url), body.to_string()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["success"], false);
    assert_eq!(answer["transaction"], "");
    assert_eq!(answer["network"], "eip155:84532");
    assert_eq!(answer["errorReason"], Reason::InvalidSignature.as_str());
    assert!(answer["payer"].is_string());
}

#[tokio::test]
async fn what_is_no_payment_request_is_a_400_that_says_so() {
    let world = World::start().await;
    let server = start(&world, None).await;
    let mut mixed = serde_json::to_value(world.payment()).expect("JSON");
    mixed["x402Version"] = json!(1);
    for body in ["", "{", "[]", "{}", "null", &mixed.to_string()] {
        for path in ["verify", "settle"] {
            let (status, answer) = post(format!("{}/{path}", server.url), body.to_owned()).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
            assert!(answer["error"].as_str().expect("text").contains("x402Version"));
        }
    }
    let large = "x".repeat(65 * 1024);
    let (status, _) = post(format!("{}/verify", server.url), large).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let (status, _) = post(format!("{}/supported", server.url), "").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    let (status, _) = post(format!("{}/nothing", server.url), "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_chain_that_cannot_be_asked_is_a_503_and_health_tells() {
    let world = World::start().await;
    let server = start(&world, None).await;
    let health = || async {
        let answer = reqwest::get(format!("{}/health", server.url)).await;
        answer.expect("answered").status()
    };
    assert_eq!(health().await, StatusCode::OK);
    world.proxy.set(&[("*", ProxyFault::Request)]);
    assert_eq!(health().await, StatusCode::SERVICE_UNAVAILABLE);
    let body = serde_json::to_string(&world.payment()).expect("JSON");
    for path in ["verify", "settle"] {
        let (status, answer) = post(format!("{}/{path}", server.url), body.clone()).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.get("success").is_none() && answer.get("isValid").is_none());
    }
    world.proxy.set(&[]);
    let wallet = world.gas.address();
    world.rpc("anvil_setBalance", json!([wallet, "0x0"])).await;
    assert_eq!(health().await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn without_the_token_nothing_is_settled() {
    let world = World::start().await;
    let server = start(&world, Some("s3cret")).await;
    let body = serde_json::to_string(&world.payment()).expect("JSON");
    let (status, _) = post(format!("{}/settle", server.url), body).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let settled = remote(&server).settle(&world.payment()).await;
    assert!(matches!(settled, Settlement::Unknown { .. }));
    assert_eq!(world.usdc(SELLER).await, 0);
    let mut config = RemoteConfig::new(parse(&server.url));
    config.credential = Credential::Bearer("s3cret".to_owned());
    let settled = Remote::new(config).expect("usable").settle(&world.payment()).await;
    assert!(matches!(settled, Settlement::Settled { .. }), "{settled:?}");
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_stop_its_settlement() {
    let world = World::start().await;
    let server = start(&world, None).await;
    world.rpc("evm_setAutomine", json!([false])).await;
    let body = serde_json::to_string(&world.payment()).expect("JSON");
    let request = reqwest::Client::new()
        .post(format!("{}/settle", server.url))
        .body(body)
        .timeout(Duration::from_millis(150))
        .send();
    assert!(request.await.is_err());
    server.stop.send(()).expect("still serving");
    // The shutdown waits for the settlement.
    while !server.task.is_finished() {
        world.rpc("evm_mine", json!([])).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(world.usdc(SELLER).await, PRICE);
}
