//! Runs each command that changes something with `--dry-run`: it says what would change, refuses what would be refused with
//! the same exit code, and changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use coinslot_tests::{ServeHost, TestChain, run};
use serde_json::{Value, json};

use crate::admin::ask;

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

/// Runs a command in a folder. Returns its exit code, its output and its errors.
fn command(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = run(folder, arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The files below a folder, with their bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            found.insert(format!("{name}/"), Vec::new());
            found.extend(files(&path).into_iter().map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        } else {
            found.insert(name, std::fs::read(path).expect("a file"));
        }
    }
    found
}

/// Asserts that both runs end with this code, and give this reason.
fn refused_alike(folder: &Path, arguments: &[&str], code: i32, reason: &str) {
    for dry in [&["--dry-run"][..], &[]] {
        let (ended, out, said) = command(folder, &[arguments, dry].concat());
        assert!(ended == Some(code) && said.contains(reason), "{arguments:?} {dry:?}: {ended:?} {out}{said}");
    }
}

async fn becomes_written(host: &ServeHost, path: &str) -> Value {
    crate::admin::becomes(host, path, |found| !found[0].is_null()).await
}

#[tokio::test]
async fn keys_are_made_and_revoked_by_a_run_that_is_not_dry_alone() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], ADMIN).await;
    let folder = host.path("");
    let add = ["keys", "add", "acme", "--plugin", "echo", "--quota", "5", "--every", "1d"];
    let (code, out, said) = command(&folder, &[&add[..], &["--dry-run"]].concat());
    let would: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{said}"));
    assert_eq!((code, &would["name"], &would["plugin"]), (Some(0), &json!("acme"), &json!("echo")));
    assert_eq!((&would["applied"], &would["key"], &would["shown"]), (&json!(false), &Value::Null, &Value::Null));
    assert_eq!(ask(&host, "/api/v1/keys").await, json!([]));
    refused_alike(&folder, &["keys", "revoke", "acme"], 1, "no key that counts is named acme");
    refused_alike(&folder, &["keys", "add", " acme"], 2, "a name has 1 to 64 characters");

    let (code, out, _) = command(&folder, &add);
    let made: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &made["applied"], made["key"].is_string()), (Some(0), &json!(true), true));
    refused_alike(&folder, &add, 1, "a key that counts has the name acme");
    let (code, out, _) = command(&folder, &["keys", "revoke", "acme", "--dry-run"]);
    let would: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &would["applied"], &would["state"]), (Some(0), &json!(false), &json!("active")));
    let (code, out, _) = command(&folder, &["keys", "revoke", "acme", "--dry-run", "--format", "table"]);
    assert!(code == Some(0) && out.contains("would be revoked: nothing is changed"), "{out}");
    assert_eq!(ask(&host, "/api/v1/keys").await[0]["state"], "active");
    assert_eq!(command(&folder, &["keys", "revoke", "acme"]).0, Some(0));
    assert_eq!(ask(&host, "/api/v1/keys").await[0]["state"], "revoked");
    let changes = ask(&host, "/api/v1/audit?kind=key").await;
    assert_eq!(changes.as_array().map(Vec::len), Some(2), "one that was made and one that was revoked: {changes}");
}

#[test]
fn without_a_ledger_a_dry_run_makes_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = coinslot_tests::run(
        folder.path(),
        &["init", "--yes", "--no-check", "--network", "base-sepolia", "--pay-to", PAY_TO, "--facilitator", FACILITATOR],
    );
    assert!(config.status.success(), "{config:?}");
    let before = files(folder.path());
    let (code, out, said) = command(folder.path(), &["keys", "add", "acme", "--dry-run", "--format", "table"]);
    assert_eq!((code, out.trim()), (Some(0), "acme would get a key for everything: nothing is changed"), "{said}");
    refused_alike_once(folder.path(), &["keys", "revoke", "acme", "--dry-run"], 1, "no key that counts is named acme");
    refused_alike_once(folder.path(), &["backup", "b.tar", "--dry-run"], 1, "there is no ledger at");
    assert_eq!(files(folder.path()), before);
}

const PAY_TO: &str = "0x00000000000000000000000000000000005E11E5";
const FACILITATOR: &str = "https://facilitator.example";

fn refused_alike_once(folder: &Path, arguments: &[&str], code: i32, reason: &str) {
    let (ended, _, said) = command(folder, arguments);
    assert!(ended == Some(code) && said.contains(reason), "{arguments:?}: {ended:?} {said}");
}

#[test]
fn init_prints_the_file_that_it_would_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let init =
        ["init", "--yes", "--no-check", "--network", "base-sepolia", "--pay-to", PAY_TO, "--facilitator", FACILITATOR];
    let (code, would, said) = command(folder.path(), &[&init[..], &["--dry-run"]].concat());
    assert!(code == Some(0) && said.contains("coinslot.toml would be written"), "{said}");
    assert!(files(folder.path()).is_empty());
    refused_alike(folder.path(), &["init", "--yes", "--network", "base-sepolia"], 2, "");
    assert_eq!(command(folder.path(), &init).0, Some(0));
    let written = std::fs::read_to_string(folder.path().join("coinslot.toml")).expect("a file");
    assert_eq!(would.trim_end(), written.trim_end());
    refused_alike(folder.path(), &init, 1, "is there already: --force replaces it");
}

#[tokio::test]
async fn the_level_of_a_plugin_is_set_by_a_run_that_is_not_dry_alone() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], ADMIN).await;
    let url = host.admin();
    let level = |arguments: &[&str]| {
        command(&host.path(""), &[&["log-level"], arguments, &["--url", &url, "--format", "json"]].concat())
    };
    for _ in 0..2 {
        let (code, out, _) = level(&["echo", "off", "--for", "10m", "--dry-run"]);
        let would: Value = serde_json::from_str(&out).expect("JSON");
        let expected =
            json!({ "plugin": "echo", "before": "info", "level": "off", "forSeconds": 600, "applied": false });
        assert_eq!((code, would), (Some(0), expected));
    }
    for dry in [&["--dry-run"][..], &[]] {
        for (arguments, reason) in [(["nobody", "off"], "no plugin is called nobody"), (["echo", "loud"], "no level")] {
            let (code, _, said) = level(&[&arguments[..], dry].concat());
            assert!(code == Some(2) && said.contains(reason), "{arguments:?}: {code:?} {said}");
        }
    }
    assert_eq!(ask(&host, "/api/v1/audit?kind=log_level").await, json!([]));
    let (_, out, _) = level(&["echo", "off"]);
    assert_eq!(serde_json::from_str::<Value>(&out).expect("JSON")["applied"], true);
    becomes_written(&host, "/api/v1/audit?kind=log_level").await;
    let (_, out, _) = level(&["echo", "info", "--dry-run"]);
    assert_eq!(serde_json::from_str::<Value>(&out).expect("JSON")["before"], "off");
}

#[tokio::test]
async fn a_backup_and_a_restore_say_what_they_would_write() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["status"], ADMIN).await;
    host.buy(chain.payer(0), "/status", std::time::Duration::from_secs(60)).await;
    let folder = host.path("");
    let (code, out, said) = command(&folder, &["backup", "b.tar", "--dry-run"]);
    assert!(code == Some(0) && out.contains("b.tar would be written"), "{out}{said}");
    assert!(out.contains("a ledger of 1 payment") && !host.path("b.tar").exists(), "{out}");
    assert_eq!(command(&folder, &["backup", "b.tar"]).0, Some(0));
    let saved = std::fs::read(host.path("b.tar")).expect("a file");
    refused_alike(&folder, &["backup", "b.tar"], 1, "is there already: --force replaces it");
    let (code, ..) = command(&folder, &["backup", "b.tar", "--force", "--dry-run"]);
    assert_eq!((code, std::fs::read(host.path("b.tar")).expect("a file")), (Some(0), saved.clone()));
    let changes = becomes_written(&host, "/api/v1/audit?kind=backup").await;
    assert_eq!(changes.as_array().map(Vec::len), Some(1), "{changes}");

    refused_alike(&folder, &["restore", "b.tar"], 1, "a host runs on");
    host.signal("TERM");
    host.wait_for_exit().await;
    refused_alike(&folder, &["restore", "b.tar"], 1, "nothing replaces a ledger");
    std::fs::write(host.path("cut.tar"), &saved[..saved.len() / 2]).expect("a file");
    let other = format!("state = \"other\"\n{}", host.configuration());
    std::fs::write(host.path("other.toml"), other).expect("a file");
    refused_alike(&folder, &["restore", "cut.tar", "-c", "other.toml"], 1, "is no backup of Coinslot");
    std::fs::remove_dir_all(host.path("other")).expect("what the run that was not dry has made");
    let before = files(&folder);
    let (code, out, said) = command(&folder, &["restore", "b.tar", "-c", "other.toml", "--dry-run"]);
    assert!(code == Some(0) && out.contains("would restore") && out.contains("nothing is changed"), "{out}{said}");
    assert_eq!(files(&folder), before);
    let (code, done, _) = command(&folder, &["restore", "b.tar", "-c", "other.toml"]);
    assert_eq!(code, Some(0));
    let first = |text: &str| text.lines().next().expect("a line").replace("would restore", "restored");
    assert_eq!(first(&out), first(&done));
}
