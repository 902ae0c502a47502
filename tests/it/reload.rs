//! Adds, changes and removes plugins of a running `coinslot dev` and waits until clients see it.

use std::time::{Duration, Instant};

use coinslot_tests::{DevHost, TestChain, component, guest};

/// Waits until a path answers with this status. Returns the time that it took.
async fn becomes(host: &DevHost, path: &str, status: u16) -> Duration {
    let start = Instant::now();
    loop {
        let reply = host.client().get(host.url(path)).send().await.expect("an answer");
        if reply.status() == status {
            return start.elapsed();
        }
        assert!(start.elapsed() < Duration::from_secs(90), "{path} stays {}\n{}", reply.status(), host.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Puts a component into the plugin folder in one step.
fn install(host: &DevHost, file: &str, component: &std::path::Path) {
    let part = host.path(&format!(".coinslot/plugins/{file}.part"));
    std::fs::copy(component, &part).expect("a copy");
    std::fs::rename(part, host.path(&format!(".coinslot/plugins/{file}"))).expect("a rename");
}

#[tokio::test]
async fn an_added_component_is_served_and_a_removed_one_is_not() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    becomes(&host, "/status", 404).await;
    install(&host, "status.wasm", &guest("status"));
    becomes(&host, "/status", 200).await;
    std::fs::remove_file(host.path(".coinslot/plugins/status.wasm")).expect("a file to remove");
    becomes(&host, "/status", 404).await;
    assert_eq!(host.client().get(host.url("/echo")).send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn a_broken_component_leaves_the_old_build_serving_and_logs_the_reason() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let good = component("echo");
    for (bad, file) in
        [(&good[..good.len() / 2], "cut"), (b"not wasm at all".as_slice(), "text"), (b"".as_slice(), "empty")]
    {
        let broken = host.path(file);
        std::fs::write(&broken, bad).expect("a broken file");
        let known = host.log().matches("was not loaded").count();
        install(&host, "echo.wasm", &broken);
        let start = Instant::now();
        while host.log().matches("was not loaded").count() == known {
            assert!(start.elapsed() < Duration::from_secs(60), "the log does not mention {file}\n{}", host.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(host.client().get(host.url("/echo")).send().await.expect("an answer").status(), 200, "{file}");
    }
}

/// Installs builds and broken files by turns while two clients request a free answer and an offer without a pause.
#[tokio::test]
async fn a_swap_under_load_fails_no_request() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let good = component("echo");
    let asking = (0..2).map(|number| {
        let (client, url) = (host.client().clone(), host.url("/echo"));
        tokio::spawn(async move {
            for asked in 0_usize.. {
                let paid = (number + asked) % 2 == 1;
                let request = if paid { client.post(&url) } else { client.get(&url) };
                tokio::time::sleep(Duration::from_millis(2)).await;
                let status = request.send().await.map_err(|error| error.to_string())?.status();
                if status != if paid { 402 } else { 200 } {
                    return Err(format!("answer {asked} is {status}"));
                }
            }
            Ok(0)
        })
    });
    let asking: Vec<_> = asking.collect();
    for build in 1..=3_u8 {
        let (next, broken) = (host.path("next"), host.path("broken"));
        // A custom section of two bytes.
        std::fs::write(&next, [&good[..], &[0, 3, 1, b'x', build]].concat()).expect("a build");
        std::fs::write(&broken, &good[..good.len() - usize::from(build)]).expect("a broken build");
        let said = |what: &str| host.log().matches(what).count();
        for (file, what) in [(&next, "echo.wasm is active"), (&broken, "echo.wasm was not loaded")] {
            let known = said(what);
            install(&host, "echo.wasm", file);
            let start = Instant::now();
            while said(what) == known {
                assert!(start.elapsed() < Duration::from_secs(30), "not \"{what}\"\n{}", host.log());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    for task in asking {
        task.abort();
        match task.await {
            Err(error) if error.is_cancelled() => {}
            ended => panic!("a request failed: {ended:?}\n{}", host.log()),
        }
    }
}

#[tokio::test]
async fn an_active_plugin_keeps_its_route() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    install(&host, "a-copy.wasm", &guest("echo"));
    let start = Instant::now();
    while !host.log().contains("a-copy.wasm was not loaded") {
        assert!(start.elapsed() < Duration::from_secs(60), "{}", host.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(host.client().get(host.url("/echo")).send().await.expect("an answer").status(), 200);
    std::fs::remove_file(host.path(".coinslot/plugins/echo.wasm")).expect("a file to remove");
    let start = Instant::now();
    while !host.log().contains("a-copy.wasm is active") {
        assert!(start.elapsed() < Duration::from_secs(60), "{}", host.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    becomes(&host, "/echo", 200).await;
}

#[tokio::test]
async fn dev_exits_with_0_and_removes_dev_json() {
    let mut host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    assert_eq!(host.stop().await, Some(0));
    assert!(!host.path(".coinslot/dev.json").exists(), "dev.json speaks of a host that is gone");
}

#[tokio::test]
async fn an_edited_plugin_is_rebuilt_and_reloaded() {
    let builder = DevHost::builder();
    // A plugin in any language: the folder's own script builds it.
    let source = builder.path("plugins/mine");
    std::fs::create_dir(&source).expect("a folder");
    let script =
        format!("cp \"$(cat \"$(dirname \"$0\")/which\")\" \"$1\"\n# {}\n", "built by the folder's own script");
    std::fs::write(source.join("build.sh"), script).expect("a script");
    std::fs::write(source.join("which"), guest("echo").to_str().expect("a path")).expect("a source");
    let host = builder.start().await;
    becomes(&host, "/echo", 200).await;
    becomes(&host, "/status", 404).await;
    std::fs::write(source.join("which"), guest("status").to_str().expect("a path")).expect("an edit");
    becomes(&host, "/status", 200).await;
    becomes(&host, "/echo", 404).await;
}

#[tokio::test]
async fn a_plugin_without_its_toolchain_is_skipped_by_name() {
    let builder = DevHost::builder().plugin("echo.wasm", &guest("echo"));
    let source = builder.path("plugins/cobol");
    std::fs::create_dir(&source).expect("a folder");
    std::fs::write(source.join("build.sh"), "echo 'cobol needs a compiler: get one' >&2; exit 69\n").expect("a script");
    let host = builder.start().await;
    assert!(host.log().contains("skipped cobol: cobol needs a compiler: get one"), "{}", host.log());
    assert_eq!(host.client().get(host.url("/echo")).send().await.expect("an answer").status(), 200);
}

/// A secret whose file was being replaced at the moment of a reload was not read again until the configuration changed.
#[tokio::test]
async fn a_configuration_that_failed_for_a_reason_outside_of_it_is_tried_again() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let secret = "{ origin = \"https://a.example\", header = \"x-api-key\", value_file = \"late\" }";
    let grants = format!("[plugin.echo]\nhttp = [\"https://a.example\"]\nsecrets = [{secret}]\n");
    host.write_configuration(&format!("{}{grants}", host.configuration()));
    host.wait_for_log("the changed configuration is not used; the former one stays", 1).await;
    std::fs::write(host.path("late"), "value").expect("a secret");
    host.wait_for_log("the configuration is active", 1).await;
    assert_eq!(
        host.log().matches("the changed configuration is not used; the former one stays").count(),
        1,
        "{}",
        host.log()
    );
}
