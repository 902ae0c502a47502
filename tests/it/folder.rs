//! The ways in which files come into a plugin folder and leave it, and what clients see meanwhile.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use coinslot_tests::{Market, Shop, guest};

async fn status(shop: &Shop, path: &str) -> u16 {
    reqwest::get(shop.url(path)).await.map_or(0, |reply| reply.status().as_u16())
}

async fn becomes(shop: &Shop, path: &str, wanted: u16) -> Duration {
    let begun = Instant::now();
    while status(shop, path).await != wanted {
        assert!(begun.elapsed() < Duration::from_secs(90), "{path} is not {wanted}:\n{}", shop.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    begun.elapsed()
}

/// Puts a link in the place of another in one step, as Kubernetes does.
fn relink(to: &str, link: &Path) {
    let part = link.with_file_name("..part");
    symlink(to, &part).expect("a link");
    std::fs::rename(part, link).expect("a rename");
}

fn volume(dir: &Path, version: &str, component: &str) {
    std::fs::create_dir(dir.join(version)).expect("a folder");
    std::fs::copy(guest(component), dir.join(version).join("shop.wasm")).expect("a component");
}

#[tokio::test]
async fn a_mounted_volume_that_is_swapped_is_served_without_a_gap() {
    let market = Market::open().await;
    let shop = market.shop(&["echo"], "").await;
    // As a volume of Kubernetes is laid out: the file is a link through `..data`, which is what changes.
    let folder = shop.folder();
    volume(&folder, "..2026_01", "status");
    relink("..2026_01", &folder.join("..data"));
    symlink("..data/shop.wasm", folder.join("shop.wasm")).expect("a link");
    becomes(&shop, "/status", 200).await;

    volume(&folder, "..2026_02", "unruly");
    let over = Arc::new(AtomicBool::new(false));
    let watching = {
        let (over, url) = (Arc::clone(&over), shop.url("/echo"));
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
    becomes(&shop, "/status", 404).await;
    assert_eq!(status(&shop, "/unruly").await, 200, "{}", shop.log());
    over.store(true, Relaxed);
    assert_eq!(watching.await.expect("no panic"), 0, "neighbours were served all the time");
    assert!(!shop.log().contains("no longer active"), "it was replaced, and never gone:\n{}", shop.log());
}

#[tokio::test]
async fn a_folder_whose_name_comes_to_mean_another_is_followed() {
    let market = Market::open().await;
    let shop = market.shop(&["echo"], "").await;
    let folder = shop.folder();
    let (first, second) = (folder.with_extension("v1"), folder.with_extension("v2"));
    std::fs::create_dir(&second).expect("a folder");
    std::fs::copy(guest("status"), second.join("status.wasm")).expect("a component");
    std::fs::rename(&folder, &first).expect("a rename");
    symlink("plugins.v2", &folder).expect("a link");
    becomes(&shop, "/status", 200).await;
    becomes(&shop, "/echo", 404).await;
    // And what happens in there from now on, too.
    std::fs::copy(guest("unruly"), second.join("unruly.wasm")).expect("a component");
    becomes(&shop, "/unruly", 200).await;
}

#[tokio::test]
async fn a_file_that_is_written_slowly_is_loaded_once_it_is_whole() {
    let market = Market::open().await;
    let shop = market.shop(&["echo", "status"], "").await;
    let whole = std::fs::read(guest("unruly")).expect("a component");
    // In place, from the first byte on, as `cp` does it.
    let mut file = std::fs::File::create(shop.folder().join("status.wasm")).expect("a file");
    for piece in whole.chunks(whole.len() / 8) {
        file.write_all(piece).expect("written");
        tokio::time::sleep(Duration::from_millis(120)).await;
        assert_eq!(status(&shop, "/echo").await, 200);
        if file.metadata().expect("a file").len() < whole.len() as u64 {
            assert_eq!(status(&shop, "/status").await, 200, "the old build serves:\n{}", shop.log());
        }
    }
    becomes(&shop, "/unruly", 200).await;
    assert_eq!(status(&shop, "/status").await, 404);
}

#[tokio::test]
async fn a_file_that_is_gone_for_a_moment_was_never_gone() {
    let market = Market::open().await;
    let shop = market.shop(&["echo"], "").await;
    let (file, aside) = (shop.folder().join("echo.wasm"), shop.folder().join("echo.old"));
    for _ in 0..3 {
        std::fs::rename(&file, &aside).expect("a rename");
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(status(&shop, "/echo").await, 200, "{}", shop.log());
        std::fs::rename(&aside, &file).expect("a rename");
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(status(&shop, "/echo").await, 200, "{}", shop.log());
    }
    std::fs::remove_file(&file).expect("removed");
    becomes(&shop, "/echo", 404).await;
    std::fs::copy(guest("echo"), &file).expect("a component");
    becomes(&shop, "/echo", 200).await;
}

#[tokio::test]
async fn an_answer_that_streams_ends_on_the_build_that_began_it() {
    let market = Market::open().await;
    let shop = market.shop(&["ticker"], "").await;
    let steps = format!("event {} event", ["wait"; 100].join(" "));
    let streaming = reqwest::Client::new().get(shop.url("/ticker")).header("x-do", steps).send();
    let mut streaming = streaming.await.expect("an answer");
    let first = streaming.chunk().await.expect("an open stream").expect("an event");
    assert_eq!(&first[..], b"data: 1\n\n");
    // Another plugin takes its file, and its route goes.
    shop.install("ticker.wasm", &std::fs::read(guest("status")).expect("a component"));
    becomes(&shop, "/status", 200).await;
    assert_eq!(status(&shop, "/ticker").await, 404);
    let rest = streaming.bytes().await.expect("the rest");
    assert_eq!(&rest[..], b"data: 2\n\n");
}
