//! Restarts a host, and checks that what served before serves after it.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use coinslot_tests::{ServeHost, TestChain, component, run};
use serde_json::Value;
use sha2::{Digest, Sha256};

async fn status(host: &ServeHost, path: &str) -> u16 {
    reqwest::get(host.url(path)).await.map_or(0, |reply| reply.status().as_u16())
}

async fn becomes(host: &ServeHost, path: &str, wanted: u16) {
    let begun = Instant::now();
    while status(host, path).await != wanted {
        assert!(begun.elapsed() < Duration::from_secs(90), "{path} is not {wanted}:\n{}", host.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Another build of a guest: its last section is of no meaning.
fn build(guest: &str, number: u8) -> Vec<u8> {
    let mut bytes = component(guest);
    bytes.extend([0, 3, 1, b'x', number]);
    bytes
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The entry of a file in `coinslot plugins --json`.
fn entry(host: &ServeHost, file: &str) -> Value {
    let shown = run(&host.path(""), &["plugins", "--json"]);
    let records = serde_json::Deserializer::from_slice(&shown.stdout).into_iter::<Value>();
    records.map(|record| record.expect("JSON")).find(|record| record["file"] == file).unwrap_or_default()
}

/// The file whose name came first took name, grants and routes of the other one at the next restart.
#[tokio::test]
async fn a_newcomer_takes_nothing_of_what_served_before_a_restart() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["echo"], "").await;
    let (served, squatter) = (component("echo"), build("echo", 1));
    host.install("aaa.wasm", &squatter);
    let refused = "another file, echo.wasm, is a plugin of the same name";
    host.wait_for_log(refused, 1).await;
    for _ in 0..2 {
        host.restart(&[]).await;
        assert_eq!(status(&host, "/echo").await, 200);
        assert_eq!(entry(&host, "echo.wasm")["active"]["sha256"], sha256(&served).as_str(), "{}", host.log());
        assert!(entry(&host, "aaa.wasm")["failure"].as_str().is_some_and(|why| why.contains(refused)));
    }
    // It serves when the other one has gone, as before a restart.
    std::fs::remove_file(host.plugin_dir().join("echo.wasm")).expect("a file");
    host.wait_for_log("file=aaa.wasm", 1).await;
    let begun = Instant::now();
    while entry(&host, "aaa.wasm")["active"].is_null() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", host.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A bad deployment and a restart were an outage, although the host kept the build that served.
#[tokio::test]
async fn a_build_that_does_not_load_is_replaced_by_the_kept_one_at_the_start() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["echo", "status"], "").await;
    let served = sha256(&component("echo"));
    for junk in [b"not a component".as_slice(), b"nor is this"] {
        host.install("echo.wasm", junk);
        host.restart(&[]).await;
        assert_eq!((status(&host, "/echo").await, status(&host, "/status").await), (200, 200), "{}", host.log());
        let shop = entry(&host, "echo.wasm");
        assert_eq!(shop["active"]["sha256"], served.as_str());
        assert!(shop["failure"].is_string(), "{shop}");
        assert!(host.log().contains("the build that served before the restart does"), "{}", host.log());
    }
    // The present content counts: a build that loads takes its place, and one that came while no host ran, too.
    let next = build("echo", 2);
    host.install("echo.wasm", &next);
    host.restart(&[]).await;
    let shop = entry(&host, "echo.wasm");
    assert_eq!((&shop["active"]["sha256"], &shop["failure"]), (&sha256(&next).into(), &Value::Null), "{shop}");
    assert_eq!(shop["previous"]["sha256"], served.as_str());
}

#[tokio::test]
async fn a_component_that_does_not_fit_the_pins_of_its_name_is_refused_by_name() {
    let chain = TestChain::start().await;
    let status_pins = "[plugin.status]\nfile = \"status.wasm\"\nprefix = \"/status\"\n";
    let echo_pins = format!("[plugin.echo]\nsha256 = [\"{}\"]\nmax_price = 1\n", sha256(&component("echo")));
    let pins = format!("{status_pins}{echo_pins}");
    let host = chain.serve(&["echo"], &pins).await;
    host.install("aaa.wasm", &component("status"));
    host.wait_for_log("plugin.status: `file` is status.wasm", 1).await;
    assert_eq!(status(&host, "/status").await, 404);
    host.install("status.wasm", &component("status"));
    becomes(&host, "/status", 200).await;
    // Another build of a plugin whose builds are pinned.
    host.install("echo.wasm", &build("echo", 3));
    host.wait_for_log("plugin.echo: `sha256` does not have", 1).await;
    assert_eq!(status(&host, "/echo").await, 200);
    // Pins that what serves does not fit are refused, and what was configured before stays.
    host.write_configuration(&host.configuration().replace("max_price = 1", "max_price = 0.000001"));
    host.wait_for_log("and `max_price` is 0.000001 US dollars", 1).await;
    assert_eq!(status(&host, "/echo").await, 200);
}

/// A pipe ended all reloads and let no host start; a device without an end took all memory.
#[tokio::test]
async fn pipes_and_devices_in_the_plugin_folder_stop_neither_reloads_nor_a_start() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["echo"], "").await;
    let at = |name: &str| host.plugin_dir().join(name);
    rustix::fs::mkfifoat(rustix::fs::CWD, at("a.wasm"), rustix::fs::Mode::RWXU).expect("a pipe");
    symlink("/dev/zero", at("b.wasm")).expect("a link");
    std::fs::create_dir(at("c.wasm")).expect("a folder");
    for reason in ["it is a pipe", "it is a device", "it is a folder"] {
        host.wait_for_log(reason, 1).await;
    }
    host.install("status.wasm", &component("status"));
    becomes(&host, "/status", 200).await;
    host.restart(&[]).await;
    assert_eq!((status(&host, "/status").await, status(&host, "/echo").await), (200, 200), "{}", host.log());
    assert!(host.resident_memory() < 300 << 20, "{}", host.resident_memory());
}

/// A volume that was not mounted for a moment, and a deployment that empties the folder first, took everything out.
#[tokio::test]
async fn an_emptied_folder_is_not_believed_at_once() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo", "status"], "").await;
    let (folder, aside) = (host.plugin_dir(), host.path("aside"));
    let moved = |from: &Path, to: &Path| {
        for file in ["echo.wasm", "status.wasm"] {
            std::fs::rename(from.join(file), to.join(file)).expect("a move");
        }
    };
    std::fs::create_dir(&aside).expect("a folder");
    let begun = Instant::now();
    moved(&folder, &aside);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let answered = (status(&host, "/echo").await, status(&host, "/status").await);
    // On a busy machine this took longer than the host waits, and shows nothing.
    if begun.elapsed() < Duration::from_millis(4_500) {
        assert_eq!(answered, (200, 200), "{}", host.log());
    }
    moved(&aside, &folder);
    becomes(&host, "/echo", 200).await;
    becomes(&host, "/status", 200).await;
    moved(&folder, &aside);
    becomes(&host, "/echo", 404).await;
    becomes(&host, "/status", 404).await;
}

/// The first file that came back into an emptied folder took name, grants and routes of those that came after it: the
/// long wait held only while the folder was empty.
#[tokio::test]
async fn the_first_file_that_comes_back_into_an_emptied_folder_takes_nothing() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo", "status"], "").await;
    let refused = "another file, echo.wasm, is a plugin of the same name";
    host.install("aaa.wasm", &build("echo", 1));
    host.wait_for_log(refused, 1).await;
    let (folder, aside) = (host.plugin_dir(), host.path("aside"));
    std::fs::create_dir(&aside).expect("a folder");
    let moved = |files: &[&str], from: &Path, to: &Path| {
        for file in files {
            std::fs::rename(from.join(file), to.join(file)).expect("a move");
        }
    };
    let begun = Instant::now();
    moved(&["echo.wasm", "status.wasm", "aaa.wasm"], &folder, &aside);
    tokio::time::sleep(Duration::from_secs(1)).await;
    moved(&["aaa.wasm"], &aside, &folder);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let answered = status(&host, "/status").await;
    moved(&["echo.wasm", "status.wasm"], &aside, &folder);
    // On a busy machine this took longer than the host waits, and shows nothing.
    if begun.elapsed() < Duration::from_millis(4_500) {
        assert_eq!(answered, 200, "{}", host.log());
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(entry(&host, "echo.wasm")["active"]["sha256"], sha256(&component("echo")).as_str());
        assert!(entry(&host, "aaa.wasm")["failure"].as_str().is_some_and(|why| why.contains(refused)));
    }
}

/// A build that could not serve under a configuration is loaded once more when the configuration has changed. While the
/// build was compiled, its route was answered with 404, as if there were no such endpoint.
#[tokio::test]
async fn a_route_whose_plugin_is_loaded_once_more_after_a_reload_is_not_missing() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["echo", "status"], "").await;
    becomes(&host, "/echo", 200).await;
    let config = host.configuration();
    host.signal("TERM");
    host.wait_for_exit().await;
    host.write_configuration(&format!("{config}\n[plugin.echo]\nreuse = {{ total = 9, concurrent = 2 }}\n"));
    host.restart(&[]).await;
    host.wait_for_log("which takes one request at a time", 1).await;
    becomes(&host, "/echo", 404).await;
    // The compiled form is removed, so that loading the component takes a while.
    for compiled in std::fs::read_dir(host.path(".coinslot/artifacts")).expect("compiled components").flatten() {
        if !compiled.file_name().to_string_lossy().starts_with('.') {
            std::fs::remove_file(compiled.path()).expect("removed");
        }
    }
    host.write_configuration(&config);
    host.signal("HUP");
    let (begun, mut seen) = (Instant::now(), Vec::new());
    while seen.last() != Some(&200) {
        assert!(begun.elapsed() < Duration::from_secs(90), "{seen:?}\n{}", host.log());
        let reply = reqwest::get(host.url("/echo")).await.expect("an answer");
        let status = reply.status().as_u16();
        if status == 503 {
            assert!(reply.headers().contains_key("retry-after"));
            assert_eq!(reply.json::<Value>().await.expect("JSON")["error"], "plugin_loading");
        }
        seen.push(status);
        // The other plugins serve, so a load balancer may go on sending requests here.
        assert_eq!(self::status(&host, "/.well-known/coinslot/ready").await, 200, "{}", host.log());
    }
    seen.dedup();
    assert_eq!(seen, [404, 503, 200], "{}", host.log());
}

/// A start before its volume was mounted forgot what had served, and the file that came first took its name. Routes whose
/// plugins were still being loaded were answered with 404, as if there were no such endpoint.
#[tokio::test]
async fn a_start_in_an_empty_folder_waits_for_what_served() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["echo"], "").await;
    let (folder, aside) = (host.plugin_dir(), host.path("aside"));
    let other = reqwest::Client::new().delete(host.url("/echo")).send().await.expect("an answer");
    let allowed = other.headers()["allow"].clone();
    host.install("aaa.wasm", &build("echo", 1));
    host.wait_for_log("is a plugin of the same name", 1).await;
    host.signal("TERM");
    host.wait_for_exit().await;
    std::fs::rename(&folder, &aside).expect("a move");
    std::fs::create_dir(&folder).expect("a folder");
    let (log, line) = (host.path("log"), "requests are answered; other plugins are compiled address=");
    let before = host.log().len();
    let mounting = async {
        // Longer than an emptied folder is waited for.
        tokio::time::sleep(Duration::from_secs(8)).await;
        let logged = async || {
            loop {
                let logged = std::fs::read_to_string(&log).expect("a log").split_off(before);
                if logged.contains(line) && logged.ends_with('\n') {
                    return logged;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let logged = tokio::time::timeout(Duration::from_secs(60), logged()).await.expect("requests are answered");
        // Nothing serves, and no load balancer is to send anything.
        let (_, address) = logged.split_once(line).expect("the line");
        let address = address.split_whitespace().next().expect("an address");
        let ready = reqwest::get(format!("http://{address}/.well-known/coinslot/ready")).await.expect("an answer");
        assert_eq!(ready.status(), 503, "{logged}");
        let said = ready.text().await.expect("a body");
        assert!(said.contains("echo.wasm") && !said.contains("aaa.wasm"), "{said}");
        // Its route is known, and a client that finds it missing would forget it.
        let url = |path: &str| format!("http://{address}{path}");
        for (path, status, code) in [("/echo", 503, "plugin_loading"), ("/never", 404, "not_found")] {
            let reply = reqwest::get(url(path)).await.expect("an answer");
            assert_eq!((reply.status().as_u16(), reply.headers().contains_key("retry-after")), (status, status == 503));
            let said: Value = reply.json().await.expect("JSON");
            assert_eq!((&said["error"], &said["charged"]), (&code.into(), &"no".into()), "{path}");
        }
        let other = reqwest::Client::new().delete(url("/echo")).send().await.expect("an answer");
        assert_eq!((other.status().as_u16(), &other.headers()["allow"]), (405, &allowed), "as when it serves");
        for file in ["aaa.wasm", "echo.wasm"] {
            std::fs::rename(aside.join(file), folder.join(file)).expect("a move");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::join!(host.restart(&[]), mounting);
    becomes(&host, "/echo", 200).await;
    becomes(&host, "/.well-known/coinslot/ready", 200).await;
    assert_eq!(entry(&host, "echo.wasm")["active"]["sha256"], sha256(&component("echo")).as_str(), "{}", host.log());
}
