//! Tests of configuration and key-value stores: `describe` sees the configuration alone, and `quote` neither.

use super::*;

const QUOTA: Quota = Quota { bytes: 2_000, keys: 20, value: 1_000 };

/// The guest `keeper`, in a runtime of its own whose stores are in this directory.
async fn keeper(dir: &Path, grants: Grants) -> Plugin {
    load_in(&keeping_in(dir), grants).await
}

fn keeping_in(dir: &Path) -> Arc<Runtime> {
    let mut config = super::config(artifacts());
    (config.instances, config.keyvalue) = (4, dir.join("keyvalue"));
    Runtime::new(config).unwrap()
}

async fn load_in(runtime: &Arc<Runtime>, grants: Grants) -> Plugin {
    let plugins = [("keeper".to_owned(), PluginPolicy { grants, ..PluginPolicy::default() })].into();
    runtime.load(&guest("keeper"), &PluginPolicies { plugins, ..PluginPolicies::default() }).await.unwrap()
}

fn everything() -> Grants {
    Grants {
        http: vec![Allowed { origin: Origin::parse("http://127.0.0.1:9").unwrap(), private: false }],
        secrets: Vec::new(),
        config: vec![("greeting".to_owned(), "hello".to_owned()), ("loud".to_owned(), "true".to_owned())],
        keyvalue: Some(QUOTA),
    }
}

async fn steps(plugin: &Plugin, plan: &[&str]) -> Vec<String> {
    let request = Request::post("/keeper").body(body(plan.join("\n"))).unwrap();
    let (_, said, _) = call(plugin, request).await.unwrap();
    String::from_utf8_lossy(&said).lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn describe_and_quote_reach_no_capability_but_describe_its_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = keeper(dir.path(), everything()).await;
    let nothing = "config Ok(\"\") keyvalue Err(Error::AccessDenied) web Ok(\"ErrorCode::HttpRequestDenied\")";
    assert_eq!(plugin.info().endpoints[0].description, nothing.replace("\"\"", "\"hello\""));
    let question = QuoteRequest {
        method: http::Method::POST,
        route: "/keeper/quoted".into(),
        params: Vec::new(),
        query: None,
        headers: HeaderMap::new(),
        body: Bytes::new(),
    };
    assert_eq!(plugin.quote(None, question).await.unwrap().unwrap_err().message, nothing);
    assert!(!dir.path().join("keyvalue").exists(), "a quote leaves nothing behind");
    // The same calls, while it handles a request.
    let said = steps(&plugin, &["reach"]).await;
    assert!(said[0].starts_with("config Ok(\"hello\") keyvalue Ok(()) web Ok("), "{said:?}");
    assert!(!said[0].contains("HttpRequestDenied"), "{said:?}");
}

/// The policies under which a plugin of this name has this configuration.
fn configured(name: &str, config: &[(&str, &str)]) -> PluginPolicies {
    let config = config.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let grants = Grants { config, ..Grants::default() };
    let plugins = [(name.to_owned(), PluginPolicy { grants, ..PluginPolicy::default() })].into();
    PluginPolicies { plugins, ..PluginPolicies::default() }
}

fn most(plugin: &Plugin) -> &DeclaredPrice {
    &plugin.info().endpoints[1].price
}

#[tokio::test]
async fn a_plugin_describes_itself_with_its_configuration_and_anew_when_that_changes() {
    let (runtime, wasm) = (runtime(), guest("keeper"));
    let plugin = runtime.load(&wasm, &configured("keeper", &[("most", "0.5")])).await.unwrap();
    assert_eq!(most(&plugin), &DeclaredPrice::Quoted("0.5".into()), "its name was learnt from a first answer");
    let changed = plugin.with_policies(&configured("keeper", &[("most", "0.25")])).await.unwrap();
    assert_eq!(most(&changed), &DeclaredPrice::Quoted("0.25".into()));
    let without = changed.with_policies(&PluginPolicies::default()).await.unwrap();
    assert_eq!(most(&without), &DeclaredPrice::Quoted("1".into()));

    let wrong = configured("keeper", &[("refuse", "the moon is not full")]);
    let refused = "it refuses to be loaded: the moon is not full";
    assert_eq!(runtime.load(&wasm, &wrong).await.unwrap_err().to_string(), refused);
    assert_eq!(plugin.with_policies(&wrong).await.unwrap_err().to_string(), refused);
    // Of another plugin: it is not shown.
    let other = configured("other", &[("most", "0.5")]);
    assert_eq!(most(&runtime.load(&wasm, &other).await.unwrap()), &DeclaredPrice::Quoted("1".into()));
    let expected = runtime.load_expecting(Some("other"), &wasm, &other).await.unwrap();
    assert_eq!(most(&expected), &DeclaredPrice::Quoted("1".into()), "nor does it keep what it was shown by mistake");
}

/// A plugin that began to sell by a change of its configuration kept no instances for those who pay.
#[tokio::test]
async fn a_plugin_keeps_instances_for_paid_work_as_soon_as_it_sells_and_no_longer_than_that() {
    let runtime = runtime();
    let mut plugin = runtime.load(&guest("keeper"), &configured("keeper", &[("most", "free")])).await.unwrap();
    let sells = |plugin: &Plugin| plugin.loaded.instances.spec.permits.sells();
    assert!(!sells(&plugin));
    for most in ["0.5", "free", "0.25"] {
        plugin = plugin.with_policies(&configured("keeper", &[("most", most)])).await.unwrap();
        assert_eq!(sells(&plugin), most != "free", "{most}");
    }
}

#[tokio::test]
async fn a_plugin_that_refuses_its_configuration_can_keep_the_one_that_it_has() {
    let plugin = runtime().load(&guest("keeper"), &configured("keeper", &[("most", "0.5")])).await.unwrap();
    let mut wrong = configured("keeper", &[("refuse", "the moon is not full")]);
    wrong.limits.request_body = 70;
    for policies in [wrong, Limits { request_body: 70, ..Limits::default() }.into()] {
        let kept = plugin.with_policies_but_configuration(&policies).unwrap();
        assert_eq!((most(&kept), kept.limits().request_body), (&DeclaredPrice::Quoted("0.5".into()), 70));
        let said = steps(&kept, &["config-all"]).await;
        assert_eq!(said, ["[(\"most\", \"0.5\")]"]);
    }
}

#[tokio::test]
async fn a_name_does_not_depend_on_the_configuration() {
    let (runtime, wasm) = (runtime(), guest("keeper"));
    let renaming = configured("keeper", &[("name", "other")]);
    for expected in [None, Some("keeper")] {
        let error = runtime.load_expecting(expected, &wasm, &renaming).await.unwrap_err().to_string();
        assert!(error.contains("its name must not depend on `wasi:config`"), "{error}");
    }
    let plugin = runtime.load(&wasm, &PluginPolicies::default()).await.unwrap();
    let error = plugin.with_policies(&renaming).await.unwrap_err().to_string();
    assert!(error.contains("its name must not depend on `wasi:config`"), "{error}");
}

#[tokio::test]
async fn a_plugin_that_needs_its_configuration_loads_under_its_expected_name() {
    let (runtime, mut wasm) = (runtime(), guest("keeper"));
    let text = b"[needs]nothing";
    let at = wasm.windows(text.len()).position(|found| found == text).expect("its text");
    wasm[at..at + text.len()].copy_from_slice(b"[needs]setting");
    let policies = configured("keeper", &[("most", "0.5")]);
    let plugin = runtime.load_expecting(Some("keeper"), &wasm, &policies).await.unwrap();
    assert_eq!(most(&plugin), &DeclaredPrice::Quoted("0.5".into()));
    for expected in [None, Some("kept")] {
        let error = runtime.load_expecting(expected, &wasm, &policies).await.unwrap_err().to_string();
        assert!(error.starts_with("it refuses to be loaded: nothing is set (it was shown no configuration"), "{error}");
    }
}

#[tokio::test]
async fn a_plugin_without_a_grant_has_no_configuration_and_no_store() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = keeper(dir.path(), Grants::default()).await;
    let said = steps(&plugin, &["config greeting", "config-all", "open default", "set a 1"]).await;
    assert_eq!(said, ["Ok(None)", "[]", "Err(Error::AccessDenied)", "Error::AccessDenied"]);
    assert!(!dir.path().join("keyvalue").exists());
}

#[tokio::test]
async fn a_plugin_reads_its_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = keeper(dir.path(), everything()).await;
    let said = steps(&plugin, &["config greeting", "config nothing", "config-all"]).await;
    assert_eq!(said, ["Ok(Some(\"hello\"))", "Ok(None)", "[(\"greeting\", \"hello\"), (\"loud\", \"true\")]"]);
}

#[tokio::test]
async fn a_plugin_swaps_a_value_that_it_expects() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = keeper(dir.path(), everything()).await;
    let said = steps(&plugin, &["swap a - 1", "swap a - 2", "swap a 1 2", "get a", "swap a 2 -", "exists a"]).await;
    assert_eq!(said, ["Ok(true)", "Ok(false)", "Ok(true)", "Ok(Some(\"2\"))", "Ok(true)", "Ok(false)"]);
}

#[tokio::test]
async fn values_survive_the_instance_the_reload_and_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = keeping_in(dir.path());
    let plugin = load_in(&runtime, everything()).await;
    let said =
        steps(&plugin, &["set a 1", "get a", "exists a", "exists b", "increment n 5", "open default", "get a"]).await;
    assert_eq!(said, ["Ok(())", "Ok(Some(\"1\"))", "Ok(true)", "Ok(false)", "Ok(5)", "Ok(())", "Ok(Some(\"1\"))"]);
    assert_eq!(steps(&plugin, &["get a", "increment n 2", "list"]).await[..2], ["Ok(Some(\"1\"))", "Ok(7)"]);
    // Another generation beside the first, and then another host.
    let again = load_in(&runtime, everything()).await;
    assert_eq!(steps(&again, &["set a 2"]).await, ["Ok(())"]);
    assert_eq!(steps(&plugin, &["get a"]).await, ["Ok(Some(\"2\"))"]);
    drop((plugin, again, runtime));
    let later = keeper(dir.path(), everything()).await;
    let said = steps(&later, &["both a none", "neither a none", "list", "open other", "list"]).await;
    assert_eq!(said[0], "Ok([Some((\"a\", \"2\")), None])");
    assert_eq!(said[1..3], ["Ok(())", "Ok(([\"n\"], None))"]);
    assert_eq!(said[3..], ["Ok(())", "Ok(([], None))"], "another bucket has other keys");
}

#[tokio::test]
async fn a_quota_is_an_error_and_not_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = keeper(dir.path(), everything()).await;
    let said = steps(
        &plugin,
        &[
            "fill a 1001",
            "fill a 900",
            "fill b 900",
            "fill c 900",
            "flood 21",
            "flood 1001",
            "long-key 1025",
            "fill a 1",
        ],
    )
    .await;
    assert!(said[0].contains("more than 1000 bytes"), "{said:?}");
    assert_eq!(said[1..3], ["Ok(())", "Ok(())"]);
    assert!(said[3].contains("may keep 2000 bytes"), "{said:?}");
    assert!(said[4].contains("may keep 20 keys"), "{said:?}");
    assert!(said[5].contains("at most 1000 keys"), "{said:?}");
    assert!(said[6].contains("from 1 to 1024 bytes"), "{said:?}");
    assert_eq!(said[7], "Ok(())");
    assert_eq!(
        steps(&plugin, &["open xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]).await,
        ["Err(Error::NoSuchStore)"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_of_guests_that_are_gone_run_one_at_a_time_and_hold_their_instance() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = keeper(dir.path(), everything()).await;
    assert_eq!(steps(&plugin, &["set a 1"]).await.len(), 1);
    let store = plugin.loaded.resources.kv_stores.of("keeper");
    let held = store.hold();
    for _ in 0..6 {
        let plugin = plugin.clone();
        let gone = tokio::spawn(async move { steps(&plugin, &["set a 2"]).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        gone.abort();
        gone.await.expect_err("aborted");
    }
    assert_eq!(free_instances(&plugin), Limits::default().instances - 1, "the one whose operation runs");
    drop(held);
    assert_eq!(steps(&plugin, &["set a 3"]).await.len(), 1);
    assert_eq!(free_instances(&plugin), Limits::default().instances);
}
