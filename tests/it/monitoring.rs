//! Checks the alert rules and the dashboard of `host/deploy` against the metrics of a host.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use coinslot_tests::{Collector, ServeHost, TestChain};
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

/// A host that has done something of everything that is counted.
async fn busy(chain: &TestChain, collector: &Collector) -> ServeHost {
    let config = format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[telemetry]\notlp_endpoint = \"{}\"\nsample = 1.0\n\
         [[allow]]\nplugin = \"status\"\nrequests = 1\nper = \"everyone\"\nevery = \"forever\"\n",
        collector.url()
    );
    let host = chain.serve(&["status", "unruly", "fetch"], &config).await;
    let free = reqwest::Client::new().post(host.url("/status")).send().await.expect("an answer");
    assert_eq!(free.status(), 200, "one is free: {}", host.log());
    for path in ["/status", "/unruly?recurse"] {
        host.buy(chain.payer(0), path, Duration::from_secs(60)).await;
    }
    let denied = reqwest::Client::new().post(host.url("/fetch")).body("GET http://127.0.0.1:1/");
    assert_eq!(denied.send().await.expect("an answer").status(), 200);
    host
}

/// The names of the metrics and labels that a host with a payment of each kind shows.
async fn shown() -> BTreeSet<String> {
    let (chain, collector) = (TestChain::start().await, Collector::start().await);
    let host = busy(&chain, &collector).await;
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

/// The value of the sample of a scrape that has this name and these labels.
fn sample(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let line = text.lines().find(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && labels.iter().all(|label| line.contains(label))
    });
    line?.rsplit(' ').next()?.parse().ok()
}

/// The amounts of tokens that only the configuration describes were missing: their decimals were looked for in the
/// table of well-known tokens.
#[tokio::test]
async fn amounts_of_a_token_of_the_configuration_are_counted_in_its_units() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["echo"], "[admin]\nlisten = \"127.0.0.1:0\"\n").await;
    let token = "asset = \"0x036CbD53842c5426634e7929541eC2318f3dCF7e\"\ndecimals = 3\n\
                 eip712_name = \"USDC\"\neip712_version = \"2\"\nsymbol = \"MILLI\"\n";
    let network = "network = \"eip155:84532\"\n";
    assert!(host.configuration().contains(network), "{}", host.configuration());
    host.write_configuration(&host.configuration().replacen(network, &format!("{network}{token}"), 1));
    host.restart(&[]).await;
    host.buy(chain.payer(0), "/echo", Duration::from_secs(60)).await;
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        let answer = reqwest::get(format!("{}/metrics", host.admin())).await.expect("an answer");
        let text = answer.text().await.expect("text");
        let labels = ["coinslot_state=\"paid\"", "coinslot_asset=\"MILLI\""];
        if let Some(amount) = sample(&text, "coinslot_payments_amount_total", &labels) {
            assert!((amount - 0.01).abs() < 1e-9, "{amount}");
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{text}\n{}", host.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_ledger_and_the_pool_are_measured_as_they_work() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo", "ticker"], "[admin]\nlisten = \"127.0.0.1:0\"\n").await;
    let scrape = async || {
        let answer = reqwest::get(format!("{}/metrics", host.admin())).await.expect("an answer");
        answer.text().await.expect("text")
    };
    let commits = |text: &str| {
        sample(text, "coinslot_ledger_commit_duration_seconds_count", &["coinslot_result=\"ok\""]).unwrap_or_default()
    };
    let before = commits(&scrape().await);
    host.buy(chain.payer(0), "/echo", Duration::from_secs(60)).await;
    let text = scrape().await;
    assert!(commits(&text) >= before + 2.0, "a claim and a settlement wait for the disk: {text}");
    let jobs = sample(&text, "coinslot_ledger_commit_jobs_sum", &[]).expect("a sum");
    assert!(jobs >= commits(&text), "each commit has a job: {text}");
    assert!(sample(&text, "coinslot_ledger_backlog", &[]).is_some_and(|jobs| jobs < 100.0), "{text}");
    assert_eq!(sample(&text, "coinslot_permits_limit", &[]), Some(256.0), "the default of max_instances");
    assert_eq!(sample(&text, "coinslot_plugin_instance_permits", &["coinslot_plugin=\"echo\""]), Some(1.0));
    assert_eq!(sample(&text, "coinslot_permits", &[]), Some(0.0), "nothing runs");
    let open = reqwest::Client::new().get(host.url("/ticker")).header("x-do", "event sleep").send().await;
    assert_eq!(open.as_ref().expect("an answer").status(), 200);
    let text = scrape().await;
    assert_eq!(sample(&text, "coinslot_permits", &[]), Some(1.0), "one is held while it streams");
    assert_eq!(sample(&text, "coinslot_plugin_permits", &["coinslot_plugin=\"ticker\""]), Some(1.0));
    drop(open);
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

/// The metrics of a scrape with their labels. Histograms are named without their suffixes.
fn scraped(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let histograms: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" histogram")).collect();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let name = line.split(['{', ' ']).next().expect("a name");
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let name = base.filter(|base| histograms.contains(base)).unwrap_or(name);
        let labels = found.entry(name.to_owned()).or_default();
        let inside = line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(inside, _)| inside);
        let pairs = inside.split("\",").filter_map(|pair| pair.split_once("=\""));
        labels.extend(pairs.map(|(label, _)| label.to_owned()).filter(|label| label != "le"));
    }
    found
}

/// The metrics of the table in the documentation, with their labels.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let page = std::fs::read_to_string(deploy().join("../docs/admin.md")).expect("the page");
    let (_, table) = page.split_once("## Metrics").expect("the section");
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect::<Vec<_>>();
    let rows = table.lines().skip_while(|line| !line.starts_with("| metric")).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        let [name] = &quoted(cells[1])[..] else { panic!("a row names one metric: {row}") };
        (name.clone(), quoted(cells[2]).into_iter().collect())
    })
    .collect()
}

#[tokio::test]
async fn the_page_has_every_metric_with_its_labels_and_no_other() {
    let (chain, collector) = (TestChain::start().await, Collector::start().await);
    let host = busy(&chain, &collector).await;
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        let answer = reqwest::get(format!("{}/metrics", host.admin())).await.expect("an answer");
        let (scraped, documented) = (scraped(&answer.text().await.expect("text")), documented());
        if scraped == documented {
            return;
        }
        // Payments are counted a moment after they ended.
        assert!(std::time::Instant::now() < deadline, "{scraped:#?}\n{documented:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn no_client_and_no_reload_makes_series_without_bound() {
    let chain = TestChain::start().await;
    let host =
        chain.serve(&["echo"], "[admin]\nlisten = \"127.0.0.1:0\"\n[rate_limits]\nfailures_per_second = 0\n").await;
    let client = reqwest::Client::new();
    let series = async || {
        let answer = client.get(format!("{}/metrics", host.admin())).send().await.expect("an answer");
        let text = answer.text().await.expect("text");
        text.lines().filter(|line| !line.starts_with('#')).count()
    };
    let ask = async |number: usize| {
        let method = reqwest::Method::from_bytes(format!("M{number}").as_bytes()).expect("a method");
        let path = host.url(&format!("/of-a-client-{number}"));
        client.request(method, path).send().await.expect("an answer");
        let paid = client.post(host.url("/echo")).header("PAYMENT-SIGNATURE", format!("bad{number}"));
        let paid = paid.header("x-request-id", format!("id-{number}")).header("user-agent", format!("agent-{number}"));
        paid.send().await.expect("an answer");
    };
    ask(0).await;
    let before = series().await;
    for number in 1..5_000 {
        ask(number).await;
    }
    let after = series().await;
    assert!(after <= before + 40, "{before} series became {after}");
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
