//! Checks the alert rules and the dashboard of `host/deploy` against the metrics of a host.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use coinslot_tests::TestChain;
use serde_json::Value;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/deploy")
}

/// The names in an expression of Prometheus that are metrics or labels of a host.
fn names(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    let ours = |word: &&str| ["coinslot_", "http_", "process_"].iter().any(|prefix| word.starts_with(prefix));
    words.filter(ours).map(ToOwned::to_owned).collect()
}

/// The names of the metrics and labels that a host with a payment of each kind shows.
async fn shown() -> BTreeSet<String> {
    let chain = TestChain::start().await;
    let host = chain.serve(&["status", "unruly"], "[admin]\nlisten = \"127.0.0.1:0\"\n").await;
    for path in ["/status", "/unruly?recurse"] {
        host.buy(chain.payer(0), path, Duration::from_secs(60)).await;
    }
    let ask = async || reqwest::get(format!("{}/metrics", host.admin())).await.expect("an answer").text().await;
    for _ in 0..500 {
        let text = ask().await.expect("text");
        if text.contains("coinslot_state=\"paid\"") {
            return text.lines().filter(|line| !line.starts_with('#')).flat_map(names).collect();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no payment is counted");
}

/// The expressions of the rules and of the dashboard, each with the place that it is from.
fn expressions() -> Vec<(String, String)> {
    let rules = std::fs::read_to_string(deploy().join("prometheus/rules/coinslot.yml")).expect("the rules");
    let mut found = Vec::new();
    for rule in rules.split("- alert: ").skip(1) {
        let name = rule.lines().next().unwrap_or_default();
        let (_, expression) = rule.split_once("expr: ").expect("an expression");
        let end = expression.find("\n        for:").or_else(|| expression.find("\n        labels:")).expect("its end");
        found.push((name.to_owned(), expression[..end].to_owned()));
    }
    let board = std::fs::read_to_string(deploy().join("grafana/dashboards/coinslot.json")).expect("the dashboard");
    let board: Value = serde_json::from_str(&board).expect("JSON");
    for panel in board["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().expect("targets") {
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            found.push((text(&panel["title"]), text(&target["expr"])));
        }
    }
    found
}

#[tokio::test]
async fn every_metric_of_the_alerts_and_of_the_dashboard_is_one_that_a_host_has() {
    let shown = shown().await;
    let expressions = expressions();
    assert!(expressions.len() > 20, "{}", expressions.len());
    for (place, expression) in expressions {
        let unknown: Vec<_> = names(&expression).into_iter().filter(|name| !shown.contains(name)).collect();
        assert!(unknown.is_empty(), "{place}: {unknown:?} of {expression}\n{shown:?}");
    }
}

#[test]
fn the_alerts_fire_when_they_should() {
    let promtool = |arguments: &[&str]| {
        let output = Command::new("promtool").args(arguments).current_dir(deploy().join("prometheus")).output();
        let output = output.expect("promtool, of the package prometheus");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    promtool(&["check", "rules", "rules/coinslot.yml"]);
    promtool(&["test", "rules", "coinslot.test.yml"]);
}
