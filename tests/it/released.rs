//! Loads and pays components that were built for each released contract, kept in `tests/fixtures`.
//!
//! Components of JavaScript and Python are too large to be kept; `tests/run` builds and pays current ones.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alloy::primitives::U256;
use coinslot_tests::{DevHost, decode, run};
use serde_json::Value;

/// The files of each release.
const KEPT: [&str; 5] =
    ["rust-config-keyvalue.wasm", "rust-quote.wasm", "rust-sdk.wasm", "rust-wasi-0.2.wasm", "rust-wasi-0.3.wasm"];

fn entries(dir: &Path) -> Vec<PathBuf> {
    let read = std::fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut entries: Vec<_> =
        read.map(|entry| entry.expect("an entry").path()).filter(|path| !path.is_file()).collect();
    entries.sort();
    entries
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folders of all releases.
fn fixtures() -> Vec<PathBuf> {
    let is_version = |dir: &PathBuf| dir.file_name().is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit());
    entries(&root().join("tests/fixtures")).into_iter().filter(is_version).collect()
}

#[test]
fn every_released_contract_has_components_that_were_built_for_it() {
    let name = |dir: &PathBuf| dir.file_name().and_then(|name| name.to_str()).expect("a version").to_owned();
    let versions: Vec<_> = entries(&root().join("wit/released")).iter().map(name).collect();
    assert_eq!(fixtures().iter().map(name).collect::<Vec<_>>(), versions, "run tests/fixtures/build VERSION");
    for dir in fixtures() {
        for file in KEPT {
            let wasm = std::fs::read(dir.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            let speaks = format!("coinslot:plugin/manifest@{}", name(&dir));
            let found = wasm.windows(speaks.len()).any(|bytes| bytes == speaks.as_bytes());
            assert!(found, "{} does not speak {speaks}", dir.join(file).display());
        }
    }
}

/// Pays for one request of this price and returns the answer.
async fn buy(host: &DevHost, method: &str, path: &str, body: &'static str, atomic: &str) -> reqwest::Response {
    let ask = || host.client().request(method.parse().expect("a method"), host.url(path)).body(body);
    let challenge = ask().send().await.expect("an answer");
    assert_eq!(challenge.status(), 402, "{path}");
    let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
    assert_eq!(required["accepts"][0]["amount"], atomic, "{path}");
    let payment = host.payer(0).pay(&challenge).header();
    let reply = ask().header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
    assert_eq!(reply.status(), 200, "{path}: {}", host.log());
    let receipt = decode(reply.headers()["payment-response"].to_str().expect("ASCII"));
    assert_eq!(receipt["success"], true, "{path}");
    reply
}

#[tokio::test]
async fn components_of_every_release_load_and_sell() {
    for dir in fixtures() {
        let mut builder = DevHost::builder();
        for file in KEPT {
            builder = builder.plugin(file, &dir.join(file));
        }
        let config = "[plugin.keeper]\nkeyvalue = true\n[plugin.keeper.config]\ngreeting = \"hello\"\n";
        std::fs::write(builder.path("coinslot.toml"), config).expect("a file");
        let host = builder.arguments(&["--config", "coinslot.toml"]).start().await;

        let hello = buy(&host, "GET", "/hello?name=Ada", "", "1000").await;
        assert_eq!(hello.text().await.expect("text"), "Hello, Ada!\n");
        let echo: Value = buy(&host, "POST", "/echo", "mine", "10000").await.json().await.expect("JSON");
        assert_eq!((&echo["body"], &echo["receipt"]["amount"]), (&"mine".into(), &"0.01".into()), "{echo}");
        let echo3 = buy(&host, "POST", "/echo3", "mine", "10000").await;
        assert_eq!(echo3.headers()["x-payer"], host.payer(0).address().to_checksum(None));
        assert_eq!(echo3.text().await.expect("text"), "mine");
        buy(&host, "POST", "/quoter/x", "12345", "5000").await;
        let refused = host.client().post(host.url("/quoter/x?params")).send().await.expect("an answer");
        assert_eq!(refused.status(), 422, "a refusal before payment");
        let keeper = host.client().post(host.url("/keeper")).body("config greeting\nset a 1\nget a\nincrement n 2");
        let said = keeper.send().await.expect("an answer").text().await.expect("text");
        assert_eq!(said, "Ok(Some(\"hello\"))\nOk(())\nOk(Some(\"1\"))\nOk(2)");
        assert_eq!(host.chain().balance(host.seller()).await, U256::from(26_000));
    }
}

/// The component with a later version of the contract in its imports and exports.
fn for_a_later_contract(component: &Path) -> Vec<u8> {
    let (ours, theirs) = (b"coinslot:plugin/manifest@0.2.0", b"coinslot:plugin/manifest@0.3.0");
    let mut wasm = std::fs::read(component).expect("a component");
    let mut found = 0;
    for at in 0..wasm.len() - ours.len() {
        if wasm[at..].starts_with(ours) {
            wasm[at..at + theirs.len()].copy_from_slice(theirs);
            found += 1;
        }
    }
    assert!(found > 0, "{}", component.display());
    wasm
}

#[tokio::test]
async fn a_component_for_a_newer_contract_is_refused_with_both_versions() {
    const SENTENCE: &str = "it was built for coinslot:plugin@0.3.0, and this host speaks coinslot:plugin@0.2.0";
    let kept = root().join("tests/fixtures/0.2.0");
    let host = DevHost::builder().plugin("echo.wasm", &kept.join("rust-wasi-0.2.wasm")).start().await;
    // Once over the active file and then beside it, for both versions of WASI.
    for (file, of) in
        [("echo.wasm", "rust-wasi-0.2.wasm"), ("echo3.wasm", "rust-wasi-0.3.wasm"), ("hello.wasm", "rust-sdk.wasm")]
    {
        std::fs::write(host.path("newer"), for_a_later_contract(&kept.join(of))).expect("a file");
        let inspected = run(&host.path("."), &["inspect", "newer"]);
        let said = [inspected.stdout, inspected.stderr].concat();
        assert!(String::from_utf8_lossy(&said).contains(SENTENCE), "{of}: {}", String::from_utf8_lossy(&said));
        std::fs::rename(host.path("newer"), host.path(&format!(".coinslot/plugins/{file}"))).expect("a rename");
        let start = Instant::now();
        let line = loop {
            let log = host.log();
            if let Some(line) = log.lines().find(|line| line.contains(&format!("{file} was not loaded"))) {
                break line.to_owned();
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(line.contains(SENTENCE) && line.contains("or upgrade the host"), "{line}");
    }
    assert_eq!(
        host.client().get(host.url("/echo")).send().await.expect("an answer").status(),
        200,
        "the active build is served"
    );
    for path in ["/echo3", "/hello"] {
        assert_eq!(host.client().post(host.url(path)).send().await.expect("an answer").status(), 404, "{path}");
    }
}
