//! Checks that a plugin which its operator has paused is asked for nothing, and that nothing is lost over it.

use std::time::Duration;

use coinslot_tests::{ServeHost, TestChain, run};
use serde_json::{Value, json};

use crate::admin::ask;

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

/// Runs `coinslot plugins` against the admin listener of a host.
fn plugins(host: &ServeHost, arguments: &[&str]) -> (Option<i32>, String) {
    let url = host.admin();
    let all = [&["plugins"], arguments, &["--url", &url]].concat();
    let ended = run(&host.path(""), &all);
    let said = [&ended.stdout[..], &ended.stderr].concat();
    (ended.status.code(), String::from_utf8_lossy(&said).into_owned())
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, reqwest::header::HeaderMap, Value) {
    let answer = request.send().await.expect("an answer");
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, headers, answer.json().await.unwrap_or_default())
}

#[tokio::test]
async fn a_paused_plugin_is_asked_for_nothing_until_it_is_resumed() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["echo", "status"], ADMIN).await;
    let client = reqwest::Client::new();
    let post = |host: &ServeHost| client.post(host.url("/echo"));
    let challenge = post(&host).send().await.expect("a challenge");
    let bought = chain.payer(0).pay(&challenge).header();
    let signed = chain.payer(1).pay(&challenge).header();
    let (status, _, _) = answer(post(&host).header("PAYMENT-SIGNATURE", &bought).body("mine")).await;
    assert_eq!(status, 200, "{}", host.log());

    let (code, said) = plugins(&host, &["pause", "echo", "--dry-run"]);
    assert_eq!((code, said.trim()), (Some(0), "echo would be paused: nothing is changed"));
    assert_eq!(answer(post(&host)).await.0, 402, "a dry run changes nothing");
    let (code, said) = plugins(&host, &["pause", "echo.wasm"]);
    assert!(code == Some(0) && said.contains("echo is paused"), "{said}");
    assert!(plugins(&host, &["pause", "echo"]).1.contains("echo is paused already"));

    for round in ["the process that was told", "the next one", "another build"] {
        let (status, headers, problem) = answer(post(&host)).await;
        assert_eq!(
            (status, &problem["error"], &headers["retry-after"]),
            (503, &json!("plugin_paused"), &"60".parse().expect("a value")),
            "{round}: {problem}"
        );
        assert!(!headers.contains_key("payment-required"), "{round}: no money is asked for");
        let (status, headers, problem) = answer(post(&host).header("PAYMENT-SIGNATURE", &signed)).await;
        assert_eq!(
            (status, &headers["x-coinslot-charged"]),
            (503, &"no".parse().expect("a value")),
            "{round}: {problem}"
        );
        assert_eq!(answer(client.post(host.url("/status"))).await.0, 402, "{round}: the other plugin sells");
        assert!(plugins(&host, &["--format", "table"]).1.contains("paused"), "{round}");
        match round {
            "the process that was told" => {
                // Its answer is stored, and the plugin is not asked for it.
                let again = post(&host).header("PAYMENT-SIGNATURE", &bought).body("mine").send().await;
                assert_eq!(again.expect("an answer").status(), 200);
                assert_eq!(host.runs_of("echo"), 1);
                host.restart(&[]).await;
            }
            "the next one" => {
                host.install_another_build("echo");
                host.wait_for_log("echo.wasm", 2).await;
            }
            _ => {}
        }
    }
    assert_eq!(chain.payments_received().await, 1);

    let (code, said) = plugins(&host, &["resume", "echo", "--dry-run"]);
    assert_eq!((code, said.trim()), (Some(0), "echo would be asked again: nothing is changed"));
    let (code, said) = plugins(&host, &["resume", "echo"]);
    assert!(code == Some(0) && said.contains("echo is asked again"), "{said}");
    let (status, _, problem) = answer(post(&host).header("PAYMENT-SIGNATURE", &signed)).await;
    assert_eq!(status, 200, "{problem}\n{}", host.log());
    assert_eq!(chain.payments_received().await, 2);
}

#[tokio::test]
async fn a_request_at_work_ends_after_the_pause() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["crowd"], ADMIN).await;
    let at_work = tokio::spawn(reqwest::get(host.url("/crowd?wait=3000")));
    let started = std::time::Instant::now();
    while ask(&host, "/api/v1/plugins").await[0]["usage"]["instances"] != 1 {
        assert!(started.elapsed() < Duration::from_secs(60), "{}", host.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(plugins(&host, &["pause", "crowd"]).0, Some(0));
    assert_eq!(reqwest::get(host.url("/crowd?wait=1")).await.expect("an answer").status(), 503);
    assert_eq!(at_work.await.expect("a task").expect("an answer").status(), 200, "{}", host.log());
}

#[tokio::test]
async fn a_pause_is_taken_from_a_page_of_the_listener_alone_and_of_a_known_plugin() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], ADMIN).await;
    let shown = reqwest::get(format!("{}/plugins", host.admin())).await.expect("a page").text().await.expect("text");
    let proof = shown.split("name=\"proof\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a proof");
    let send = async |proof: &str, verb: &str| {
        let body = format!("proof={proof}");
        let post = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        let post = post.post(format!("{}/plugins/echo%2Ewasm/{verb}", host.admin()));
        let post = post.header("content-type", "application/x-www-form-urlencoded").body(body);
        post.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(send("", "pause").await, 403);
    assert_eq!(ask(&host, "/api/v1/plugins").await[0]["paused"], false);
    assert_eq!(send(proof, "pause").await, 303);
    assert_eq!(ask(&host, "/api/v1/plugins").await[0]["paused"], true);
    assert_eq!(send(proof, "resume").await, 303);
    assert_eq!(ask(&host, "/api/v1/plugins").await[0]["paused"], false);
    let (code, said) = plugins(&host, &["pause", "shoe"]);
    assert!(code == Some(2) && said.contains("no plugin is called shoe; there are: echo"), "{said}");
}
