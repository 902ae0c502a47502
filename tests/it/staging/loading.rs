//! Answers for routes whose plugins are still being loaded after a start.

use coinslot::route::RequestPath;
use http::Method;

use super::*;

/// A route that served before a start was 404 until its plugin was compiled, or was served by the fallback of another
/// plugin, for money or for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_route_whose_plugin_is_being_loaded_is_neither_missing_nor_taken_by_a_fallback() {
    let (staged, mut folder) = StagedFolder::new();
    std::fs::write(staged.path("go"), "").unwrap();
    staged.install("a-slow.wasm", &slow(component("echo")));
    staged.install("z-rest.wasm", &declaring("POST:/{*rest} free"));
    folder.settle().await.unwrap();
    let path = |text: &str| RequestPath::parse(text).unwrap();
    let served_by = |text: &str| {
        let live = staged.live.load();
        live.find(&Method::POST, &path(text)).map(|found| found.target.plugin.info().name.clone())
    };
    let is_loading = |method: Method, text: &str| staged.live.load().is_loading(&method, &path(text));
    assert_eq!(served_by("/echo").as_deref(), Some("echo"));
    let methods = staged.live.load().methods(&path("/echo"));

    // While no host runs, what is compiled is lost.
    std::fs::remove_file(staged.path("go")).unwrap();
    std::fs::remove_dir_all(staged.path("artifacts")).unwrap();
    let mut folder = staged.restart();
    folder.begin().await.unwrap();
    while staged.active().is_empty() {
        folder.wait_for_staged().await;
        folder.scan().await.unwrap();
    }
    assert_eq!(staged.active(), ["z-rest.wasm"]);
    assert_eq!((served_by("/echo"), is_loading(Method::POST, "/echo")), (None, true));
    assert_eq!(staged.live.load().methods(&path("/echo")), methods, "as before");
    assert!(served_by("/other").is_some() && !is_loading(Method::POST, "/other"), "the fallback serves the rest");
    assert!(!is_loading(Method::DELETE, "/echo") && !is_loading(Method::GET, "/never"));

    std::fs::write(staged.path("go"), "").unwrap();
    folder.settle().await.unwrap();
    assert_eq!((served_by("/echo").as_deref(), is_loading(Method::POST, "/echo")), (Some("echo"), false));
}
