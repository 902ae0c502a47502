//! Adds, replaces and removes plugin files in the ways that tools do, and checks what clients see meanwhile.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use coinslot_tests::{ServeHost, TestChain, component, guest};

async fn status(host: &ServeHost, path: &str) -> u16 {
    reqwest::get(host.url(path)).await.map_or(0, |reply| reply.status().as_u16())
}

async fn becomes(host: &ServeHost, path: &str, wanted: u16) -> Duration {
    let begun = Instant::now();
    while status(host, path).await != wanted {
        assert!(begun.elapsed() < Duration::from_secs(90), "{path} is not {wanted}:\n{}", host.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    begun.elapsed()
}

/// Replaces a link by another in one step, as Kubernetes does.
fn relink(to: &str, link: &Path) {
    let part = link.with_file_name("..part");
    symlink(to, &part).expect("a link");
    std::fs::rename(part, link).expect("a rename");
}

fn volume(dir: &Path, version: &str, component: &str) {
    std::fs::create_dir(dir.join(version)).expect("a folder");
    std::fs::copy(guest(component), dir.join(version).join("shop.wasm")).expect("a component");
}

/// An answer that was bought from a plugin that is gone: the host said "not found", and that nothing was charged.
#[tokio::test]
async fn a_payment_for_a_plugin_that_is_gone_is_not_called_uncharged_and_is_served_when_it_is_back() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let client = reqwest::Client::new();
    let ask = || client.post(host.url("/echo")).body("mine");
    let payment = chain.payer(0).pay(&ask().send().await.expect("a challenge")).header();
    let paid = ask().header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
    assert_eq!(paid.status(), 200);
    let answer = paid.bytes().await.expect("a body");
    let (file, away) = (host.plugin_dir().join("echo.wasm"), host.path("echo.wasm"));
    std::fs::rename(&file, &away).expect("a move");
    becomes(&host, "/echo", 404).await;
    let charged = async |request: reqwest::RequestBuilder| {
        let reply = request.send().await.expect("an answer");
        assert_eq!(reply.status(), 404);
        let error: serde_json::Value = reply.json().await.expect("JSON");
        error["charged"].as_str().expect("a word").to_owned()
    };
    assert_eq!(charged(ask().header("PAYMENT-SIGNATURE", &payment)).await, "unknown");
    assert_eq!(charged(ask()).await, "no");
    std::fs::rename(&away, &file).expect("a move");
    becomes(&host, "/echo", 200).await;
    let again = ask().header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
    assert_eq!((again.status().as_u16(), again.bytes().await.expect("a body")), (200, answer));
    assert_eq!(chain.payments_received().await, 1);
}

#[tokio::test]
async fn a_swapped_kubernetes_volume_is_reloaded_without_a_gap() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    // The layout of a Kubernetes volume: the file is a link through `..data`, and an update replaces `..data`.
    let folder = host.plugin_dir();
    volume(&folder, "..2026_01", "status");
    relink("..2026_01", &folder.join("..data"));
    symlink("..data/shop.wasm", folder.join("shop.wasm")).expect("a link");
    becomes(&host, "/status", 200).await;

    volume(&folder, "..2026_02", "unruly");
    let over = Arc::new(AtomicBool::new(false));
    let watching = {
        let (over, url) = (Arc::clone(&over), host.url("/echo"));
        tokio::spawn(async move {
            let mut failures = 0;
            while !over.load(Relaxed) {
                failures += usize::from(reqwest::get(&url).await.map_or(0, |reply| reply.status().as_u16()) != 200);
            }
            failures
        })
    };
    relink("..2026_02", &folder.join("..data"));
    std::fs::remove_dir_all(folder.join("..2026_01")).expect("removed");
    becomes(&host, "/status", 404).await;
    assert_eq!(status(&host, "/unruly").await, 200, "{}", host.log());
    over.store(true, Relaxed);
    assert_eq!(watching.await.expect("no panic"), 0, "the other plugin was served all the time");
    assert!(!host.log().contains("no longer active"), "it was replaced and never removed:\n{}", host.log());
}

#[tokio::test]
async fn a_plugin_folder_replaced_by_a_link_is_followed() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let folder = host.plugin_dir();
    let (first, second) = (folder.with_extension("v1"), folder.with_extension("v2"));
    std::fs::create_dir(&second).expect("a folder");
    std::fs::copy(guest("status"), second.join("status.wasm")).expect("a component");
    std::fs::rename(&folder, &first).expect("a rename");
    symlink("plugins.v2", &folder).expect("a link");
    becomes(&host, "/status", 200).await;
    becomes(&host, "/echo", 404).await;
    // Later changes in the new folder are seen as well.
    std::fs::copy(guest("unruly"), second.join("unruly.wasm")).expect("a component");
    becomes(&host, "/unruly", 200).await;
}

/// The new folder often has the inode of the former one, and was taken for it: the events of the former one had ended.
#[tokio::test]
async fn a_plugin_folder_that_is_removed_and_made_anew_is_followed() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let folder = host.plugin_dir();
    std::fs::remove_dir_all(&folder).expect("removed");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::copy(guest("status"), folder.join("status.wasm")).expect("a component");
    becomes(&host, "/status", 200).await;
    becomes(&host, "/echo", 404).await;
    // The scans that follow a change are over.
    tokio::time::sleep(Duration::from_secs(3)).await;
    std::fs::copy(guest("unruly"), folder.join("unruly.wasm")).expect("a component");
    becomes(&host, "/unruly", 200).await;
    std::fs::remove_file(folder.join("status.wasm")).expect("removed");
    becomes(&host, "/status", 404).await;
}

#[tokio::test]
async fn a_file_that_is_written_slowly_is_loaded_once_it_is_whole() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo", "status"], "").await;
    let whole = component("unruly");
    // Written in place, as `cp` does.
    let mut file = std::fs::File::create(host.plugin_dir().join("status.wasm")).expect("a file");
    for piece in whole.chunks(whole.len() / 8) {
        file.write_all(piece).expect("written");
        tokio::time::sleep(Duration::from_millis(120)).await;
        assert_eq!(status(&host, "/echo").await, 200);
        if file.metadata().expect("a file").len() < whole.len() as u64 {
            assert_eq!(status(&host, "/status").await, 200, "the old build serves:\n{}", host.log());
        }
    }
    becomes(&host, "/unruly", 200).await;
    assert_eq!(status(&host, "/status").await, 404);
}

#[tokio::test]
async fn a_file_that_is_missing_for_a_moment_stays_loaded() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let (file, aside) = (host.plugin_dir().join("echo.wasm"), host.plugin_dir().join("echo.old"));
    let mut rounds = 0;
    while rounds < 3 {
        let missing = Instant::now();
        std::fs::rename(&file, &aside).expect("a rename");
        tokio::time::sleep(Duration::from_millis(150)).await;
        let answered = status(&host, "/echo").await;
        let missing = missing.elapsed();
        std::fs::rename(&aside, &file).expect("a rename");
        // On a busy machine the file was missing for longer than the host waits, and the round shows nothing.
        if missing < Duration::from_millis(350) {
            assert_eq!(answered, 200, "{}", host.log());
            rounds += 1;
        }
        becomes(&host, "/echo", 200).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    std::fs::remove_file(&file).expect("removed");
    becomes(&host, "/echo", 404).await;
    std::fs::copy(guest("echo"), &file).expect("a component");
    becomes(&host, "/echo", 200).await;
}

#[tokio::test]
async fn a_streaming_answer_finishes_on_the_build_that_started_it() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["ticker"], "").await;
    let steps = format!("event {} event", ["wait"; 100].join(" "));
    let streaming = reqwest::Client::new().get(host.url("/ticker")).header("x-do", steps).send();
    let mut streaming = streaming.await.expect("an answer");
    let first = streaming.chunk().await.expect("an open stream").expect("an event");
    assert_eq!(&first[..], b"data: 1\n\n");
    // Another plugin replaces the file, and the old route goes.
    host.install("ticker.wasm", &component("status"));
    becomes(&host, "/status", 200).await;
    assert_eq!(status(&host, "/ticker").await, 404);
    let rest = streaming.bytes().await.expect("the rest");
    assert_eq!(&rest[..], b"data: 2\n\n");
}
