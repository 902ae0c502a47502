//! Lists active and previous builds with `coinslot plugins`, and rolls back.

use std::path::Path;
use std::time::{Duration, Instant};

use coinslot_tests::{DevHost, RunningCommand, component, guest, run};
use serde_json::{Value, json};

/// A directory with a configuration and one plugin file, `shop.wasm`.
fn folder(facilitator: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("plugins")).expect("a folder");
    install(dir.path(), &component("echo"));
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[[accept]]\nnetwork = \"base-sepolia\"\npay_to = \"0xC0140eEa19bD90a7cA75882d5218eFaF20426e42\"\n[facilitator.far]\nurl = \"{facilitator}\"\n"
    );
    std::fs::write(dir.path().join("coinslot.toml"), config).expect("a file");
    dir
}

fn install(dir: &Path, bytes: &[u8]) {
    let part = dir.join("plugins/.part");
    std::fs::write(&part, bytes).expect("a file");
    std::fs::rename(part, dir.join("plugins/shop.wasm")).expect("a rename");
}

/// The files of the plugin folder by name, as `coinslot plugins` prints them for programs.
fn plugins(dir: &Path) -> Value {
    let shown = run(dir, &["plugins", "--json"]);
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let records = serde_json::Deserializer::from_slice(&shown.stdout).into_iter::<Value>();
    let named = records.map(|record| record.expect("JSON")).map(|record| (text(&record["file"]), record));
    Value::Object(named.collect())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

async fn becomes(served: &RunningCommand, path: &str, status: u16) {
    let start = Instant::now();
    while reqwest::get(served.url(path)).await.expect("an answer").status() != status {
        assert!(start.elapsed() < Duration::from_secs(90), "{path} is not {status}\n{}", served.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn rollback_activates_the_previous_build() {
    let chain = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let facilitator = chain.facilitator();
    let dir = folder(&facilitator.url(""));
    let served = RunningCommand::start(dir.path(), &["serve"], &[]);
    becomes(&served, "/echo", 200).await;
    let first = plugins(dir.path())["shop.wasm"].clone();
    assert_eq!((&first["active"]["name"], &first["previous"]), (&json!("echo"), &Value::Null));
    let nothing = run(dir.path(), &["plugins", "rollback", "shop"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("there is no previous build"));

    install(dir.path(), &component("status"));
    becomes(&served, "/status", 200).await;
    becomes(&served, "/echo", 404).await;
    // A broken third build neither serves nor replaces the previous one.
    install(dir.path(), b"not a component");
    let start = Instant::now();
    while plugins(dir.path())["shop.wasm"]["failure"].is_null() {
        assert!(start.elapsed() < Duration::from_secs(90), "{}", served.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let shown = run(dir.path(), &["plugins", "--format", "table"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for part in ["shop.wasm", "status 1.0.0", "echo 1.0.0", "not loaded: it is not WebAssembly"] {
        assert!(shown.contains(part), "{part} is missing from:\n{shown}");
    }
    assert_eq!(reqwest::get(served.url("/status")).await.expect("an answer").status(), 200);

    // From a broken file the way back leads to what serves, and from there to the build before it.
    for (plugin, path, gone) in [("status 1.0.0", "/status", "/echo"), ("echo 1.0.0", "/echo", "/status")] {
        let back = run(dir.path(), &["plugins", "rollback", "shop"]);
        let said = String::from_utf8_lossy(&back.stdout).into_owned();
        assert!(back.status.success() && said.contains(plugin) && said.contains("is active"), "{said}");
        becomes(&served, path, 200).await;
        becomes(&served, gone, 404).await;
        assert!(plugins(dir.path())["shop.wasm"]["failure"].is_null());
    }
    // A second rollback returns to the first build, and the history survives a restart.
    let forth = run(dir.path(), &["plugins", "rollback", "echo"]);
    assert!(forth.status.success(), "{}", String::from_utf8_lossy(&forth.stderr));
    becomes(&served, "/status", 200).await;
    drop(served);
    let stopped = run(dir.path(), &["plugins", "rollback", "shop.wasm", "--json"]);
    let said: Value = serde_json::from_slice(&stopped.stdout).expect("JSON");
    assert_eq!(said["active"], false, "no host is running");
    let served = RunningCommand::start(dir.path(), &["serve"], &[]);
    becomes(&served, "/echo", 200).await;
    assert_eq!(plugins(dir.path())["shop.wasm"]["previous"]["name"], "status");

    let unknown = run(dir.path(), &["plugins", "rollback", "shoe"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("there are: shop.wasm"));
}

/// Waits until `coinslot plugins` shows this state of a file.
async fn becomes_shown(dir: &Path, state: &str) -> String {
    let start = Instant::now();
    loop {
        let shown = String::from_utf8_lossy(&run(dir, &["plugins", "--format", "table"]).stdout).into_owned();
        if shown.contains(state) {
            return shown;
        }
        assert!(start.elapsed() < Duration::from_secs(90), "{state} is missing from:\n{shown}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One row stood for a plugin whose former build serves and for one of which nothing serves, and a rollback put a build
/// into the folder that the host refused.
#[tokio::test]
async fn a_plugin_that_its_pins_forbid_is_shown_as_it_serves_and_is_not_put_back() {
    let chain = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let facilitator = chain.facilitator();
    let dir = folder(&facilitator.url(""));
    let file = dir.path().join("coinslot.toml");
    let config = std::fs::read_to_string(&file).expect("a file");
    let pin = |sha256: &str| {
        std::fs::write(&file, format!("{config}[plugin.echo]\nsha256 = \"{sha256}\"\n")).expect("a file");
    };
    let served = RunningCommand::start(dir.path(), &["serve"], &[]);
    becomes(&served, "/echo", 200).await;
    let shown = becomes_shown(dir.path(), "active").await;
    assert!(!shown.contains("no host is running"), "{shown}");
    install(dir.path(), b"not a component");
    becomes_shown(dir.path(), "1.0.0 serves; the file is not loaded: it is not WebAssembly").await;

    // The build that serves is forbidden after a restart: neither it nor the file is served.
    drop(served);
    pin(&"0".repeat(64));
    let served = RunningCommand::start(dir.path(), &["serve"], &[]);
    becomes_shown(dir.path(), "nothing serves; the file is not loaded: ").await;
    becomes(&served, "/echo", 404).await;
    let refused = run(dir.path(), &["plugins", "rollback", "shop"]);
    let reason = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{reason}");
    assert!(reason.contains("the host would refuse plugin.echo: `sha256` does not have"), "{reason}");
    let present = std::fs::read(dir.path().join("plugins/shop.wasm")).expect("a file");
    assert_eq!(present, b"not a component", "the file is left as it is");
    drop(served);
    becomes_shown(dir.path(), "no host is running: this is what the last one wrote").await;
}

/// A build that the running host refused stayed in the folder, in the place of the one that served.
#[tokio::test]
async fn a_build_that_the_running_host_refuses_is_taken_out_again() {
    let chain = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let facilitator = chain.facilitator();
    let dir = folder(&facilitator.url(""));
    let served = RunningCommand::start(dir.path(), &["serve"], &[]);
    becomes(&served, "/echo", 200).await;
    install(dir.path(), &component("status"));
    becomes(&served, "/status", 200).await;
    // Another file has the name and the routes of the build before it by now.
    std::fs::write(dir.path().join("plugins/other.wasm"), component("echo")).expect("a file");
    becomes(&served, "/echo", 200).await;
    let back = run(dir.path(), &["plugins", "rollback", "shop"]);
    let said = String::from_utf8_lossy(&back.stderr).into_owned();
    assert_eq!(back.status.code(), Some(1), "{said}");
    let refused =
        "shop.wasm: the running host refuses echo 1.0.0: another file, other.wasm, is a plugin of the same name";
    assert!(said.contains(refused) && said.contains("the file is as it was before"), "{said}");
    assert_eq!(std::fs::read(dir.path().join("plugins/shop.wasm")).expect("a file"), component("status"));
    let start = Instant::now();
    while !plugins(dir.path())["shop.wasm"]["failure"].is_null() {
        assert!(start.elapsed() < Duration::from_secs(90), "{}", served.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(plugins(dir.path())["shop.wasm"]["active"]["name"], "status");
    assert_eq!(reqwest::get(served.url("/status")).await.expect("an answer").status(), 200);
}

/// Waits until `coinslot plugins` lists a file, or no longer lists it.
async fn becomes_listed(dir: &Path, file: &str, listed: bool) {
    let start = Instant::now();
    while plugins(dir)[file].is_null() == listed {
        assert!(start.elapsed() < Duration::from_secs(90), "{file}: {}", plugins(dir));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn becomes_logged(served: &RunningCommand, text: &str) {
    let start = Instant::now();
    while !served.log().contains(text) {
        assert!(start.elapsed() < Duration::from_secs(90), "{text} is missing from:\n{}", served.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A refused file stayed in the list for ever after it was removed: the history forgot only files that had served.
#[tokio::test]
async fn a_file_that_is_removed_is_listed_no_longer_whether_it_served_or_not() {
    let chain = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let facilitator = chain.facilitator();
    let dir = folder(&facilitator.url(""));
    let bad = dir.path().join("plugins/bad.wasm");
    let served = RunningCommand::start(dir.path(), &["serve"], &[]);
    becomes(&served, "/echo", 200).await;
    std::fs::write(&bad, "not a component").expect("a file");
    becomes_listed(dir.path(), "bad.wasm", true).await;
    assert!(plugins(dir.path())["bad.wasm"]["failure"].is_string());
    becomes_logged(&served, "not active file=bad.wasm").await;
    assert!(!served.log().contains("what served before"), "nothing served before: {}", served.log());
    std::fs::remove_file(&bad).expect("removed");
    becomes_listed(dir.path(), "bad.wasm", false).await;

    // The same while no host runs. The build of the other file can be rolled back to, and no longer counts as active.
    std::fs::write(&bad, "not a component").expect("a file");
    becomes_listed(dir.path(), "bad.wasm", true).await;
    drop(served);
    std::fs::remove_file(&bad).expect("removed");
    std::fs::remove_file(dir.path().join("plugins/shop.wasm")).expect("removed");
    let served = RunningCommand::start(dir.path(), &["serve"], &[]);
    becomes_listed(dir.path(), "bad.wasm", false).await;
    let shop = plugins(dir.path())["shop.wasm"].clone();
    assert_eq!((&shop["active"], &shop["previous"]["name"]), (&Value::Null, &json!("echo")), "{shop}");
    install(dir.path(), &component("echo"));
    becomes(&served, "/echo", 200).await;
    let shop = plugins(dir.path())["shop.wasm"].clone();
    assert_eq!((&shop["active"]["name"], &shop["previous"]), (&json!("echo"), &Value::Null), "{shop}");
}

/// Another build of a guest: a custom section at its end has no meaning.
fn another_build(guest: &str) -> Vec<u8> {
    let mut bytes = component(guest);
    bytes.extend([0, 3, 1, b'x', 1]);
    bytes
}

/// The host refused the build for the reason for which it had refused the file before. The command took the new refusal
/// for the old one, ended with success, and left the refused build in the place of the file.
#[tokio::test]
async fn a_refusal_with_the_words_of_the_one_before_it_is_an_answer() {
    let chain = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let facilitator = chain.facilitator();
    let dir = folder(&facilitator.url(""));
    let served = RunningCommand::start(dir.path(), &["serve"], &[]);
    becomes(&served, "/echo", 200).await;
    drop(served);
    // No build of this guest can be served so.
    let file = dir.path().join("coinslot.toml");
    let config = std::fs::read_to_string(&file).expect("a file");
    std::fs::write(&file, format!("{config}[plugin.echo]\nreuse = {{ total = 9, concurrent = 2 }}\n")).expect("a file");
    let present = another_build("echo");
    install(dir.path(), &present);
    let _served = RunningCommand::start(dir.path(), &["serve"], &[]);
    let reason = "which takes one request at a time";
    becomes_shown(dir.path(), reason).await;
    // The file holds another build than the one that is put back, and then the same.
    for present in [present, component("echo")] {
        install(dir.path(), &present);
        let listed = || plugins(dir.path())["shop.wasm"]["failure"].to_string();
        becomes_shown(dir.path(), reason).await;
        let back = run(dir.path(), &["plugins", "rollback", "shop"]);
        let said = String::from_utf8_lossy(&back.stderr).into_owned();
        assert_eq!(back.status.code(), Some(1), "{said}{}", String::from_utf8_lossy(&back.stdout));
        assert!(said.contains("the running host refuses echo 1.0.0: ") && said.contains(reason), "{said}");
        assert_eq!(std::fs::read(dir.path().join("plugins/shop.wasm")).expect("a file"), present);
        assert!(listed().contains(reason), "{}", listed());
    }
}

/// A deployment that switches links keeps the bytes of its releases elsewhere: the command replaces no link.
#[tokio::test]
async fn a_file_that_is_a_link_is_not_rolled_back_by_the_command() {
    let chain = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let facilitator = chain.facilitator();
    let dir = folder(&facilitator.url(""));
    let target = dir.path().join("plugins/shop.wasm");
    std::fs::create_dir(dir.path().join("releases")).expect("a folder");
    let switch = |guest: &str| {
        let release = dir.path().join("releases").join(guest);
        std::fs::write(&release, component(guest)).expect("a file");
        let part = dir.path().join("plugins/.link");
        std::os::unix::fs::symlink(&release, &part).expect("a link");
        std::fs::rename(part, &target).expect("a rename");
        release
    };
    switch("echo");
    let served = RunningCommand::start(dir.path(), &["serve"], &[]);
    becomes(&served, "/echo", 200).await;
    let release = switch("status");
    becomes(&served, "/status", 200).await;
    let back = run(dir.path(), &["plugins", "rollback", "shop"]);
    let said = String::from_utf8_lossy(&back.stderr).into_owned();
    assert_eq!(back.status.code(), Some(1), "{said}");
    assert!(said.contains("shop.wasm is a link, which is not replaced: change what it leads to"), "{said}");
    assert_eq!(std::fs::read_link(&target).expect("a link"), release);
    assert_eq!(std::fs::read(&release).expect("a file"), component("status"));
    assert_eq!(reqwest::get(served.url("/status")).await.expect("an answer").status(), 200);
}
