//! Checks what plugins print: their last lines are kept, and an operator decides which get into the log.

use std::time::{Duration, Instant};

use coinslot_tests::{ServeHost, TestChain, run};
use serde_json::{Value, json};

use crate::admin::ask;

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

/// Has the guest print a line with this word.
async fn say(host: &ServeHost, word: &str) {
    let answer = reqwest::get(host.url(&format!("/echo?{word}"))).await.expect("an answer");
    assert_eq!(answer.status(), 200, "{}", host.log());
}

/// The texts that `coinslot plugins logs` prints.
fn shown(host: &ServeHost, arguments: &[&str]) -> Vec<String> {
    let url = host.admin();
    let words: Vec<&str> =
        ["plugins", "logs"].iter().chain(arguments).copied().chain(["--url", &url, "--json"]).collect();
    let shown = run(&host.path("."), &words);
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let lines = serde_json::Deserializer::from_slice(&shown.stdout).into_iter::<Value>();
    lines.map(|line| line.expect("JSON")["text"].as_str().expect("a text").to_owned()).collect()
}

#[tokio::test]
async fn the_lines_of_a_plugin_are_kept_whatever_the_log_shows_of_them() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], ADMIN).await;
    say(&host, "first").await;
    host.wait_for_log("first", 1).await;
    let url = host.admin();
    let set = run(&host.path("."), &["log-level", "echo", "off", "--for", "10m", "--url", &url]);
    assert_eq!(String::from_utf8_lossy(&set.stdout).trim(), "echo: off for 600 seconds, before info");
    say(&host, "second").await;
    let lines = shown(&host, &["echo"]);
    assert!(lines[0].contains("first") && lines[lines.len() - 1].contains("second"), "{lines:?}");
    assert!(!host.log().contains("second"), "{}", host.log());
    let page = reqwest::get(format!("{url}/plugins")).await.expect("an answer").text().await.expect("a page");
    assert!(page.contains("second"), "the page of plugins shows them");

    let after = ask(&host, "/api/v1/plugins/echo/logs").await[0]["number"].as_u64().expect("a number");
    let later = ask(&host, &format!("/api/v1/plugins/echo.wasm/logs?after={after}")).await;
    assert!(!later.to_string().contains("first") && later.to_string().contains("second"), "{later}");
    let change = ask(&host, "/api/v1/audit?kind=log_level").await;
    assert_eq!((&change[0]["before"], &change[0]["after"]), (&json!("info"), &json!("off for 600 seconds")));

    for (words, code, said) in [
        (["log-level", "shoe", "off"], 2, "there are: echo"),
        (["log-level", "echo", "loud"], 2, "off, warn, info"),
        (["plugins", "logs", "shoe"], 2, "there are: echo"),
    ] {
        let wrong = run(&host.path("."), &[&words[..], &["--url", &url]].concat());
        let error = String::from_utf8_lossy(&wrong.stderr).into_owned();
        assert!(wrong.status.code() == Some(code) && error.contains(said), "{words:?}: {error}");
    }
}

#[tokio::test]
async fn the_configuration_sets_the_levels_of_the_log_without_a_restart() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], ADMIN).await;
    let config = host.configuration();
    say(&host, "loud").await;
    host.wait_for_log("loud", 1).await;
    let reload = async |more: &str, times: usize| {
        host.write_configuration(&format!("{config}{more}"));
        let start = Instant::now();
        // The start has a line of its own.
        while ask(&host, "/api/v1/audit?kind=configuration").await.as_array().expect("a list").len() < times + 1 {
            assert!(start.elapsed() < Duration::from_secs(60), "{}", host.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    reload("[plugin.echo]\nlog = \"warn\"\n", 1).await;
    say(&host, "hushed").await;
    assert!(shown(&host, &["echo"]).iter().any(|line| line.contains("hushed")));
    assert!(!host.log().contains("hushed"), "{}", host.log());

    // At `error` the log does not have what it has at `info`.
    reload("[log]\nlevel = \"error\"\n", 2).await;
    say(&host, "silent").await;
    assert!(shown(&host, &["echo"]).iter().any(|line| line.contains("silent")));
    reload("", 3).await;
    say(&host, "again").await;
    host.wait_for_log("again", 1).await;
    assert!(!host.log().contains("silent"), "{}", host.log());

    host.write_configuration(&format!("{config}[log]\nlevel = \"coinslot=loud\"\n"));
    host.wait_for_log("log.level", 1).await;
    host.write_configuration(&format!("{config}[plugin.echo]\nlog = \"loud\"\n"));
    host.wait_for_log("plugin.echo.log", 1).await;
}
