//! Moves routes and names between plugins, by files and by the configuration.

use super::*;

/// The policies of [`keepers`], and pins by which these plugins serve only below a prefix.
fn below(prefixes: &[(&str, &str)]) -> SalesPolicy {
    let pins = |prefix: &str| PluginPins { prefix: Some(prefix.to_owned()), ..PluginPins::default() };
    let pins = prefixes.iter().map(|(name, prefix)| ((*name).to_owned(), pins(prefix))).collect();
    SalesPolicy { pins, ..policy() }
}

/// The plugin that had to make room for one that must move lost its new route to the file that comes first by name, and
/// so the whole configuration was refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_makes_room_for_one_that_must_move_goes_before_one_that_only_wants_to() {
    let (staged, mut folder) = StagedFolder::new();
    folder.reconfigure(keepers(&[("a", "/one"), ("b", "/two"), ("c", "/three")]), policy()).await.unwrap();
    for file in ["a.wasm", "b.wasm", "c.wasm"] {
        staged.install(file, &component("keeper"));
    }
    folder.settle().await.unwrap();
    let routes = || ["a.wasm", "b.wasm", "c.wasm"].map(|file| staged.endpoint(file, 1).label.clone());
    assert_eq!(routes(), ["POST /one", "POST /two", "POST /three"]);

    // `b` may serve nothing but what `c` serves, which leaves it for a route that `a` wants, too.
    let mut wanted = keepers(&[("a", "/new"), ("b", "/three"), ("c", "/new")]);
    let root = ("root".to_owned(), "/three/own".to_owned());
    let config = &mut wanted.plugins.get_mut("b").unwrap().grants.config;
    config.retain(|(key, _)| key != "root");
    config.push(root);
    let done = folder.reconfigure(wanted, below(&[("b", "/three")])).await.unwrap();
    let taken = "POST /new is already served; c.wasm serves it".to_owned();
    assert_eq!(done.refused, [("a.wasm".to_owned(), taken)]);
    assert_eq!(routes(), ["POST /one", "POST /three", "POST /new"]);
}

/// Where there is no such room, the error names the plugin that could not make it, with both of its reasons.
#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_can_neither_stay_nor_make_room_is_named_with_both_reasons() {
    let (staged, mut folder) = StagedFolder::new();
    folder.reconfigure(keepers(&[("b", "/two"), ("c", "/three")]), policy()).await.unwrap();
    for file in ["b.wasm", "c.wasm"] {
        staged.install(file, &component("keeper"));
    }
    staged.install("echo.wasm", &component("echo"));
    folder.settle().await.unwrap();
    let mut wanted = keepers(&[("b", "/three"), ("c", "/echo")]);
    let config = &mut wanted.plugins.get_mut("b").unwrap().grants.config;
    config.retain(|(key, _)| key != "root");
    config.push(("root".to_owned(), "/three/own".to_owned()));
    let error = folder.reconfigure(wanted, below(&[("b", "/three")])).await.unwrap_err();
    let reasons = "POST /echo is already served; echo.wasm serves it; with the former values of its `config`: POST \
                   /three is already served; b.wasm serves it";
    assert_eq!(error, format!("c.wasm: {reasons}"));
    assert_eq!(staged.endpoint("c.wasm", 1).label, "POST /three", "nothing has changed");
}
