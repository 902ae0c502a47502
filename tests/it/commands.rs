//! Runs the commands and checks their output and exit codes.

use std::process::Command;

use alloy::primitives::U256;
use coinslot_tests::{DevHost, RunningCommand, binary, decode, guest, run};
use serde_json::Value;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const PAY_TO: &str = "0xC0140eEa19bD90a7cA75882d5218eFaF20426e42";

#[tokio::test]
async fn pay_prints_the_answer_and_its_cost() {
    let host = DevHost::builder().plugin("aurora.wasm", &guest("aurora")).start().await;
    let url = host.url("/api/gitignore?stack=rust");
    let paid = run(&host.path("."), &["pay", &url]);
    assert!(paid.status.success(), "{}", text(&paid.stderr));
    assert!(text(&paid.stdout).contains("target"));
    let receipt = text(&paid.stderr);
    assert!(receipt.contains("0.01 USDC") && receipt.contains("0x"), "{receipt}");
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(10_000));
    let json = run(&host.path("."), &["pay", &url, "--json"]);
    let document: Value = serde_json::from_slice(&json.stdout).expect("one JSON object");
    assert_eq!(document["status"], 200);
    assert!(document["receipt"]["transaction"].is_string(), "{document}");
    let expensive = run(&host.path("."), &["pay", &url, "--max", "0.001"]);
    assert_eq!(expensive.status.code(), Some(3), "{}", text(&expensive.stderr));
    assert!(text(&expensive.stderr).contains("0.01"), "{}", text(&expensive.stderr));
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(20_000), "a price above the maximum is not paid");
}

#[tokio::test]
async fn inspect_shows_routes_prices_and_imports() {
    let dir = tempfile::tempdir().expect("a directory");
    let shown = run(dir.path(), &["inspect", guest("aurora").to_str().expect("a path")]);
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let shown = text(&shown.stdout);
    for part in ["/api/code-review", "0.05", "wasi:http", "sha256"] {
        assert!(shown.contains(part), "{part} is missing from:\n{shown}");
    }
    let json = run(dir.path(), &["inspect", "--json", guest("status").to_str().expect("a path")]);
    let document: Value = serde_json::from_slice(&json.stdout).expect("one JSON object");
    assert_eq!(document["plugin"]["endpoints"][0]["path"], "/status");
    let file = dir.path().join("x.wasm");
    std::fs::write(&file, "no component").expect("a file");
    let refused = run(dir.path(), &["inspect", "x.wasm"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("x.wasm"), "{}", text(&refused.stderr));
}

#[tokio::test]
async fn inspect_shows_what_is_paid_first_what_a_quote_reads_and_pins_that_do_not_fit() {
    let dir = tempfile::tempdir().expect("a directory");
    let inspect = |name: &str, more: &[&str]| {
        let file = guest(name);
        run(dir.path(), &[&["inspect", file.to_str().expect("a path")], more].concat())
    };
    for (name, note) in [("upfront", "(paid first)"), ("quoter", "(quote reads x-pages)")] {
        let shown = text(&inspect(name, &[]).stdout);
        assert!(shown.contains(note), "{note} is missing from:\n{shown}");
    }
    let document = |name: &str| -> Value { serde_json::from_slice(&inspect(name, &["--json"]).stdout).expect("JSON") };
    assert_eq!(document("upfront")["plugin"]["endpoints"][1]["flow"], "upfront");
    assert_eq!(document("quoter")["plugin"]["endpoints"][0]["quoteHeaders"][0], "x-pages");

    std::fs::write(dir.path().join("pins.toml"), format!("[plugin.quoter]\nsha256 = \"{}\"\n", "0".repeat(64)))
        .expect("a file");
    let foreign = inspect("quoter", &["-c", "pins.toml"]);
    assert_eq!(foreign.status.code(), Some(1), "this host would not load it");
    let reason = text(&foreign.stderr);
    assert!(reason.contains("plugin.quoter: `sha256` does not have "), "{reason}");
}

/// A command whose reader had gone ended with a panic and a backtrace.
#[test]
fn a_command_that_prints_into_a_closed_pipe_ends_without_a_word() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("plugins")).expect("a folder");
    let config = format!(
        "[[accept]]\nnetwork = \"base\"\npay_to = \"{PAY_TO}\"\n[facilitator.far]\nurl = \"https://far.example\"\n"
    );
    std::fs::write(dir.path().join("coinslot.toml"), config).expect("a file");
    let file = guest("echo");
    let file = file.to_str().expect("a path");
    for arguments in [&["inspect", file][..], &["inspect", "--json", file], &["plugins"], &["plugins", "--json"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(binary());
        let ended = command.current_dir(dir.path()).args(arguments).stdout(writer).output().expect("the binary");
        assert!(ended.status.success() && ended.stderr.is_empty(), "{arguments:?}: {}", text(&ended.stderr));
    }
}

#[tokio::test]
async fn an_invalid_configuration_is_refused_with_all_its_problems() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(
        dir.path().join("coinslot.toml"),
        "listen = \"x\"\n[[accept]]\nnetwork = \"mars\"\npay_to = \"me\"\n",
    )
    .expect("a file");
    for command in ["check", "serve"] {
        let refused = run(dir.path(), &[command]);
        assert_eq!(refused.status.code(), Some(2), "{command}");
        let said = text(&refused.stderr);
        for key in ["listen", "accept[0].network", "accept[0].pay_to", "facilitator"] {
            assert!(said.contains(key), "{command} says nothing of {key}:\n{said}");
        }
    }
}

#[tokio::test]
async fn serve_refuses_the_embedded_chain() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("plugins")).expect("a folder");
    let key = dir.path().join("key");
    std::fs::write(&key, host.gas_key()).expect("a key file");
    let rpc = host.dev_json()["rpc"].as_str().expect("rpc");
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[[accept]]\nnetwork = \"base-sepolia\"\npay_to = \"{PAY_TO}\"\n[facilitator.own]\nrpc = \"{rpc}\"\nkey_file = \"key\"\n"
    );
    std::fs::write(dir.path().join("coinslot.toml"), config).expect("a file");
    let refused = run(dir.path(), &["serve"]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("development chain"), "{}", text(&refused.stderr));
}

#[tokio::test]
async fn serve_settles_only_through_a_facilitator_that_supports_its_network() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("plugins")).expect("a folder");
    std::fs::copy(guest("status"), dir.path().join("plugins/status.wasm")).expect("a component");
    let facilitator = host.facilitator_with(&["--gas-budget-per-day", "1", "--gas-journal", "gas.json"]);
    let config = |network: &str| {
        let text = format!(
            "listen = \"127.0.0.1:0\"\n[[accept]]\nnetwork = \"{network}\"\npay_to = \"{PAY_TO}\"\n[facilitator.far]\nurl = \"{}\"\n",
            facilitator.url("")
        );
        std::fs::write(dir.path().join("coinslot.toml"), text).expect("a file");
    };
    config("base");
    let refused = run(dir.path(), &["check"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("does not support exact on eip155:8453"), "{said}");
    config("base-sepolia");
    let served = RunningCommand::start(dir.path(), &["serve"], &[]);
    let url = served.url("/status?200");
    let challenge = host.client().post(&url).send().await.expect("an answer");
    assert_eq!(challenge.status(), 402);
    let payment = host.payer(0).pay(&challenge);
    let reply = host.client().post(&url).header("PAYMENT-SIGNATURE", payment.header()).send().await.expect("an answer");
    assert_eq!(reply.status(), 200, "{}", reply.text().await.unwrap_or_default());
    let receipt = decode(reply.headers()["payment-response"].to_str().expect("ASCII"));
    assert_eq!(receipt["success"], true);
    assert_eq!(host.chain().balance(PAY_TO.parse().expect("an address")).await, U256::from(10_000));
    let journal = std::fs::read(host.path("gas.json")).expect("what gas cost today");
    let journal: Value = serde_json::from_slice(&journal).expect("JSON");
    assert_ne!(journal["spent"].as_str().expect("wei").parse::<u128>().expect("a number"), 0);
    drop(facilitator);
    let challenge = host.client().post(&url).send().await.expect("an answer");
    let payment = host.payer(0).pay(&challenge);
    let reply = host.client().post(&url).header("PAYMENT-SIGNATURE", payment.header()).send().await.expect("an answer");
    assert_eq!(reply.status(), 503, "without a facilitator it is neither a refusal nor a new challenge");
    assert!(reply.headers().contains_key("retry-after") && !reply.headers().contains_key("payment-required"));
}

#[tokio::test]
async fn facilitator_options_out_of_range_are_refused_with_advice() {
    let dir = tempfile::tempdir().expect("a directory");
    for (flag, value, advice) in [
        ("--confirmations", "0", "--confirmations"),
        ("--batch-payments", "201", "1..=200"),
        ("--batch-delay", "5001ms", "at most 5s"),
        ("--batch-delay", "40", "write a number and its unit"),
        ("--max-gas-price", "0", "gwei above 0"),
        ("--gas-budget-per-day", "1e18", "decimal number of ether"),
        ("--low-balance", "-1", "decimal number of ether"),
        ("--gas-journal", "gas.json", "--gas-budget-per-day"),
    ] {
        let option = format!("{flag}={value}");
        let refused = run(dir.path(), &["facilitator", "--rpc", "http://127.0.0.1:1", &option]);
        let said = text(&refused.stderr);
        assert!(!refused.status.success() && said.contains(advice), "{option}: {said}");
    }
    let help = text(&run(dir.path(), &["facilitator", "--help"]).stdout);
    assert!(help.contains("--batch-payments") && help.contains("[default: 100]"), "{help}");
}
