//! Checks what operators see of every setting: the value in force, the default, what waits, and never a secret; and that
//! each setting that a reload changes is in the audit log.

use std::process::Output;

use coinslot_tests::{ServeHost, TestChain, look_at_opened, run};
use serde_json::{Value, json};

use crate::admin::{ask, becomes};
use crate::audit::{changes, text};

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn page(host: &ServeHost) -> String {
    let page = reqwest::get(format!("{}/config", host.admin())).await.expect("an answer");
    assert_eq!(page.status(), 200);
    page.text().await.expect("a page")
}

/// One setting of a report.
fn setting<'r>(report: &'r Value, key: &str) -> &'r Value {
    let all = report["settings"].as_array().expect("settings");
    all.iter().find(|setting| setting["key"] == key).unwrap_or_else(|| panic!("no {key} in {report}"))
}

/// The report showed nine settings; an operator who wanted to know the others read the documentation and guessed.
#[tokio::test]
async fn every_setting_is_shown_with_its_value_in_force_and_the_one_that_waits() {
    let chain = TestChain::start().await;
    let more = "[server]\nkeep_alive = \"20s\"\n[plugin.echo.limits]\ncpu_time = \"2s\"\n";
    let host = chain.serve(&["echo"], &format!("{ADMIN}{more}")).await;
    let report = ask(&host, "/api/v1/config").await;
    let sections: std::collections::BTreeSet<&str> = report["settings"]
        .as_array()
        .expect("settings")
        .iter()
        .filter_map(|setting| setting["section"].as_str())
        .collect();
    for section in [
        "",
        "accept[eip155:84532/USDC]",
        "admin",
        "answers",
        "health",
        "ledger",
        "limits",
        "log",
        "payers",
        "plugin.echo",
        "rate_limits",
        "receipts",
        "refunds",
        "server",
        "telemetry",
        "tls",
    ] {
        assert!(sections.contains(section), "{section} is missing from {sections:?}");
    }
    let expected = json!({
        "section": "server", "key": "server.keep_alive", "value": "20s", "default": "75s", "isDefault": false,
        "takesEffect": "restart", "waiting": null,
    });
    assert_eq!(setting(&report, "server.keep_alive"), &expected);
    assert_eq!(setting(&report, "limits.cpu_time")["isDefault"], true);
    assert_eq!(setting(&report, "plugin.echo.limits.cpu_time")["value"], "2s");

    // One takes effect, and the other waits: the value in force stays the one of the start.
    let changed = host.configuration().replace("\"20s\"", "\"7s\"").replace("\"2s\"", "\"3s\"");
    host.write_configuration(&changed);
    let is_read = |report: &Value| report["waitingForRestart"] == json!(["server.keep_alive"]);
    let report = becomes(&host, "/api/v1/config", is_read).await;
    let keep_alive = setting(&report, "server.keep_alive");
    assert_eq!((&keep_alive["value"], &keep_alive["waiting"]), (&json!("20s"), &json!("7s")), "{keep_alive}");
    let cpu = setting(&report, "plugin.echo.limits.cpu_time");
    assert_eq!((&cpu["value"], &cpu["takesEffect"]), (&json!("3s"), &json!("reload")), "{cpu}");
    let shown = page(&host).await;
    for part in ["id=\"settings-server\"", "keep_alive", "1 waits for a restart", "id=\"settings-plugin%2Eecho\""] {
        assert!(shown.contains(part), "{part} is missing from\n{shown}");
    }
    let (own, usual) = (shown.find("settings-server").expect("it"), shown.find("settings-answers").expect("it"));
    assert!(own < usual, "what differs from the defaults comes first");

    let url = host.admin();
    let config = |arguments: &[&str]| {
        let all: Vec<&str> = ["config", "--url", &url].iter().chain(arguments).copied().collect();
        said(&run(&host.path("."), &all))
    };
    let short = config(&["--format", "table"]);
    assert!(short.contains("server.keep_alive") && short.contains("--all shows them"), "{short}");
    assert!(!short.contains("server.drain_timeout"), "{short}");
    let long = config(&["--format", "table", "--all"]);
    assert!(long.contains("server.drain_timeout") && long.contains("limits.outgoing_requests"), "{long}");
}

#[tokio::test]
async fn no_secret_is_shown_where_settings_are() {
    let chain = TestChain::start().await;
    let word = "a-word-that-nobody-may-read";
    let more = format!(
        "{ADMIN}[plugin.echo.config]\ntoken = \"{word}\"\n[plugin.echo]\nhttp = [\"https://a.example\"]\n\
         [[plugin.echo.secrets]]\norigin = \"https://a.example\"\nheader = \"x-key\"\nvalue_file = \"word\"\n\
         [[webhook]]\nurl = \"http://127.0.0.1:9/{word}\"\nsecret_file = \"word\"\n"
    );
    let mut host = chain.serve(&["echo"], "").await;
    std::fs::write(host.path("word"), word).expect("a secret");
    let config = host.configuration();
    host.write_configuration(&format!("{config}{more}"));
    host.restart(&[]).await;
    let report = ask(&host, "/api/v1/config").await;
    assert_eq!(setting(&report, "plugin.echo.config.token")["value"], "set", "{report}");
    let place = setting(&report, "plugin.echo.secrets[https://a.example x-key].value_file");
    assert_eq!(place["value"], "word", "the name of the file: {place}");
    host.write_configuration(&format!("{config}{}", more.replace(word, &format!("{word}-2"))));
    let told = changes(&host, "setting", 1).await;
    assert!(told.iter().any(|change| text(change, "after") == "set, to another value"), "{told:?}");
    let audit = ask(&host, "/api/v1/audit?limit=1000").await;
    let printed = said(&run(&host.path("."), &["config", "--url", &host.admin(), "--format", "table", "--all"]));
    for (place, shown) in [
        ("report", ask(&host, "/api/v1/config").await.to_string()),
        ("page", page(&host).await),
        ("command", printed),
        ("audit log", audit.to_string()),
    ] {
        assert!(!shown.contains(word), "the {place} shows it: {shown}");
    }
}

/// The audit log had the digest of the file: who raised a limit, opened an origin or gave requests away was not to be
/// found in it.
#[tokio::test]
async fn each_setting_that_a_reload_changes_is_in_the_audit_log_with_its_value_before() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], ADMIN).await;
    let config = host.configuration();
    let payer = "0x00000000000000000000000000000000000000AA";
    std::fs::write(host.path("denied.txt"), format!("{payer}\n")).expect("a list");
    host.write_configuration(&format!(
        "{config}[limits]\nmemory = \"64MiB\"\n[plugin.echo]\nhttp = [\"https://a.example\"]\n[[allow]]\n\
         plugin = \"echo\"\nrequests = 3\nper = \"address\"\nevery = \"1d\"\n[payers]\ndeny_file = \"denied.txt\"\n\
         [ledger]\nkeep_for = \"500d\"\n"
    ));
    // The limit, the origin, four keys of the allowance, the file of payers and its content.
    let told = changes(&host, "setting", 8).await;
    let of = |subject: &str| {
        let change = told.iter().find(|change| text(change, "subject") == subject);
        let change = change.unwrap_or_else(|| panic!("no {subject} in {told:?}"));
        assert_eq!(text(change, "who"), "configuration file", "{change}");
        (text(change, "before"), text(change, "after"))
    };
    assert_eq!(of("limits.memory"), ("128MiB", "64MiB"));
    assert_eq!(of("plugin.echo.http"), ("none", "https://a.example"));
    assert_eq!(of("allow[echo, every route, per address].requests"), ("", "3"));
    assert!(told.iter().any(|change| text(change, "after") == payer), "{told:?}");
    let waits = changes(&host, "restart_needed", 1).await;
    let row = |change: &Value| ["subject", "before", "after"].map(|field| text(change, field).to_owned());
    assert_eq!(row(&waits[0]), ["ledger.keep_for", "400d", "500d"]);
    assert_eq!(told.len(), 8, "what waits is not told as changed: {told:?}");

    // What is read again and is the same is no change; a payer who is added to the file is one.
    host.signal("HUP");
    changes(&host, "configuration", 3).await;
    assert_eq!(changes(&host, "setting", 8).await.len(), 8);
    let other = "0x00000000000000000000000000000000000000bB";
    std::fs::write(host.path("denied.txt"), format!("{payer}\n{other}\n")).expect("a list");
    host.signal("HUP");
    let added = changes(&host, "setting", 9).await[0].clone();
    assert_eq!(text(&added, "subject"), "payers.deny_file");
    assert!(text(&added, "after").to_lowercase().contains(&other.to_lowercase()), "{added}");
    assert_eq!(text(&added, "who"), "signal");
}

/// Needs Chromium, as the other pictures do.
#[tokio::test(flavor = "multi_thread")]
async fn the_opened_settings_fit_every_window() {
    let chain = TestChain::start().await;
    let more = "[server]\nkeep_alive = \"20s\"\n[plugin.echo]\nhttp = [\"https://a-rather-long-name.of.a-server.example:8443\"]\n";
    let host = chain.serve(&["echo"], &format!("{ADMIN}{more}")).await;
    host.write_configuration(&host.configuration().replace("\"20s\"", "\"7s\""));
    becomes(&host, "/api/v1/config", |report| report["waitingForRestart"] == json!(["server.keep_alive"])).await;
    let page = ("opened-config".to_owned(), format!("{}/config", host.admin()));
    let seen = look_at_opened(&[page], "details");
    let faults: Vec<_> = seen.iter().flat_map(|page| page.faults.iter().map(|fault| (&page.name, fault))).collect();
    assert!(faults.is_empty() && seen.iter().all(|page| page.status == 200), "{faults:?}");
    assert!(seen.iter().all(|page| page.text.contains("keep_alive") && page.text.contains("7s")));
}
