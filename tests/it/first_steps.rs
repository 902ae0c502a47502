//! Begins as an operator without a configuration: `coinslot init`, and what other commands say without one.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use coinslot_tests::{DevHost, RunningCommand, binary, guest, run};
use serde_json::Value;

const PAY_TO: &str = "0xC0140eEa19bD90a7cA75882d5218eFaF20426e42";

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn init(dir: &Path, arguments: &[&str]) -> Output {
    run(dir, &[&["init"], arguments].concat())
}

fn written(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("coinslot.toml")).expect("a configuration")
}

/// Types these lines on a terminal that the command is started on. Returns whether it ended well, and what the terminal
/// showed.
fn on_a_terminal(dir: &Path, arguments: &str, lines: &[&str]) -> (bool, String) {
    let command = format!("'{}' {arguments}", binary().display());
    let mut script = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("script, of Debian's package bsdutils");
    let mut keys = script.stdin.take().expect("a pipe");
    for line in lines {
        writeln!(keys, "{line}").expect("typed");
    }
    // The end of the input is one key, too.
    let _ = keys.write_all(b"\x04");
    let output = script.wait_with_output().expect("script");
    (output.status.success(), said(&output))
}

/// From nothing to a sale with three flags, a component and `serve`.
#[tokio::test]
async fn a_host_sells_with_the_configuration_that_init_wrote() {
    let chain = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let facilitator = chain.facilitator();
    let dir = tempfile::tempdir().expect("a folder");
    let flags = ["--yes", "--network", "base-sepolia", "--pay-to", PAY_TO, "--facilitator", &facilitator.url("")];
    let done = init(dir.path(), &flags);
    let shown = said(&done);
    assert!(done.status.success(), "{shown}");
    for part in [
        "wrote coinslot.toml: base-sepolia is a test network, and USDC there is worth nothing",
        "made plugins: put your plugins there",
        "coinslot.toml is good",
        "now:  cp YOUR.wasm plugins/",
        "coinslot serve",
    ] {
        assert!(shown.contains(part), "{part} is missing from\n{shown}");
    }
    assert!(!dir.path().join(".gitignore").exists(), "the folder is no working tree");
    std::fs::copy(guest("echo"), dir.path().join("plugins/echo.wasm")).expect("a component");
    let again = said(&init(dir.path(), &[&flags[..], &["--force"]].concat()));
    assert!(again.contains("now:  coinslot check") && !again.contains("YOUR.wasm"), "a plugin is there: {again}");
    let served = RunningCommand::start(dir.path(), &["serve", "--listen", "127.0.0.1:0"], &[]);
    let client = reqwest::Client::new();
    let challenge = client.post(served.url("/echo")).send().await.expect("a challenge");
    assert_eq!(challenge.status(), 402);
    let payment = chain.payer(0).pay(&challenge).header();
    let paid = client.post(served.url("/echo")).header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
    assert_eq!(paid.status(), 200, "{}", served.log());
}

#[test]
fn what_init_needs_is_named_and_what_is_there_is_not_replaced() {
    let dir = tempfile::tempdir().expect("a folder");
    let slip = PAY_TO.replace("C014", "c014");
    let no_rpc = ["--yes", "--network", "base", "--pay-to", PAY_TO, "--facilitator", "own"];
    let refusals: [(&[&str], &str); 9] = [
        (&[], "--network is missing"),
        (&["--yes"], "--network is missing"),
        (&["--yes", "--network", "base"], "--pay-to is missing"),
        (&["--yes", "--network", "base", "--pay-to", PAY_TO], "--facilitator or --rpc is missing"),
        (&no_rpc, "--rpc is missing"),
        (&["--yes", "--network", "bass", "--pay-to", PAY_TO], "`bass` is not a network"),
        (&["--yes", "--network", "base", "--pay-to", &slip], "--pay-to: "),
        (
            &["--yes", "--network", "base", "--pay-to", "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"],
            "this is the contract of USDC",
        ),
        (&["--yes", "--network", "ethereum", "--pay-to", PAY_TO, "--facilitator", "ftp://a.example"], "of ftp"),
    ];
    for (arguments, reason) in refusals {
        let done = init(dir.path(), arguments);
        assert!(done.status.code() == Some(2) && said(&done).contains(reason), "{arguments:?}: {}", said(&done));
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 0, "nothing is written: {arguments:?}");
    }

    let real = ["--yes", "--no-check", "--network", "base", "--pay-to", PAY_TO, "--rpc", "http://127.0.0.1:9"];
    let done = init(dir.path(), &real);
    let shown = said(&done);
    assert!(done.status.success() && shown.contains("base carries REAL MONEY"), "{shown}");
    assert!(shown.contains("export COINSLOT_GAS_KEY="), "{shown}");
    let text = written(dir.path());
    assert!(text.contains("This is real money: USDC on eip155:8453."), "{text}");
    std::fs::write(dir.path().join("coinslot.toml"), "mine").expect("a file");
    let again = init(dir.path(), &real);
    assert_eq!(again.status.code(), Some(1));
    assert!(said(&again).contains("coinslot.toml is there already: --force replaces it"), "{}", said(&again));
    assert_eq!(written(dir.path()), "mine");
    assert!(init(dir.path(), &[&real[..], &["--force"]].concat()).status.success());
    assert_eq!(written(dir.path()), text);
}

/// A gas key that is not set yet, or a node that does not answer, is a finding, and no reason to write nothing.
#[test]
fn what_the_check_finds_is_said_and_the_file_stays() {
    let dir = tempfile::tempdir().expect("a folder");
    let done = init(
        dir.path(),
        &["--yes", "--network", "base", "--pay-to", PAY_TO, "--rpc", "http://127.0.0.1:9", "-c", "shop/host.toml"],
    );
    let shown = said(&done);
    assert!(done.status.success() && shown.contains("`coinslot check` finds: "), "{shown}");
    assert!(shown.contains("COINSLOT_GAS_KEY") && shown.contains("coinslot serve -c shop/host.toml"), "{shown}");
    assert!(dir.path().join("shop/plugins").is_dir(), "beside the configuration");
}

#[test]
fn on_a_terminal_init_asks_until_the_answers_are_good() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(dir.path().join(".git")).expect("a folder");
    std::fs::write(dir.path().join(".gitignore"), "/target\n").expect("a file");
    let slip = PAY_TO.replace("C014", "c014");
    let lines = ["bass", "", &slip, PAY_TO, "own", "no url", "http://127.0.0.1:9"];
    let (is_good, shown) = on_a_terminal(dir.path(), "init --no-check", &lines);
    assert!(is_good, "{shown}");
    for part in [
        "Network: base carries real money, base-sepolia is a test network [base-sepolia]: ",
        "`bass` is not a network",
        "Address on base-sepolia that receives the money: ",
        "checksum",
        "[https://x402.org/facilitator]: ",
        "URL of a node of base-sepolia, for JSON-RPC: ",
        "`no url` is not a URL",
        "added .coinslot/, *.key, .env to .gitignore",
    ] {
        assert!(shown.contains(part), "{part} is missing from\n{shown}");
    }
    let text = written(dir.path());
    assert!(text.contains("network = \"base-sepolia\"") && text.contains(PAY_TO), "{text}");
    assert!(text.contains("[facilitator.own]\n") && text.contains("rpc = \"http://127.0.0.1:9/\""), "{text}");
    let ignored = std::fs::read_to_string(dir.path().join(".gitignore")).expect("a file");
    assert_eq!(ignored, "/target\n.coinslot/\n*.key\n.env\n");

    std::fs::remove_file(dir.path().join("coinslot.toml")).expect("a file");
    let (is_good, shown) = on_a_terminal(dir.path(), "init", &["base"]);
    assert!(!is_good && shown.contains("no answer came, and nothing is written"), "{shown}");
    assert!(!dir.path().join("coinslot.toml").exists());
}

#[test]
fn commands_without_a_configuration_say_how_to_get_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let commands: [&[&str]; 7] = [
        &["serve"],
        &["check"],
        &["plugins"],
        &["plugins", "rollback", "x"],
        &["ledger", "payments"],
        &["backup", "b.tar"],
        &["restore", "b.tar"],
    ];
    for command in commands {
        let refused = run(dir.path(), command);
        let said = said(&refused);
        assert_eq!(refused.status.code(), Some(2), "{command:?}: {said}");
        for part in ["coinslot.toml:", "there is no such file", "`coinslot init`", "`coinslot dev`", "--config"] {
            assert!(said.contains(part), "{command:?}: {part} is missing from\n{said}");
        }
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 0);
}

#[tokio::test]
async fn in_the_folder_of_dev_plugins_and_ledger_speak_of_that_host() {
    let mut host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let challenge = host.client().post(host.url("/echo")).send().await.expect("a challenge");
    let payment = host.payer(0).pay(&challenge).header();
    let paid = host.client().post(host.url("/echo")).header("PAYMENT-SIGNATURE", payment).send().await;
    assert_eq!(paid.expect("an answer").status(), 200);
    host.wait_for_ledger(&["delivered"]).await;
    let here = host.path(".");
    let payments = run(&here, &["ledger", "payments"]);
    let rows: Value = serde_json::from_slice(&payments.stdout).expect("one line of JSON");
    assert_eq!(rows["state"], "delivered", "{rows}");
    assert!(
        said(&payments).contains("the ledger of the `coinslot dev` that runs in this folder"),
        "{}",
        said(&payments)
    );
    let compared = run(&here, &["ledger", "reconcile"]);
    assert!(compared.status.success(), "its own chain is asked: {}", said(&compared));
    assert!(said(&run(&here, &["plugins"])).contains("echo.wasm"));
    let refused = run(&here, &["plugins", "rollback", "echo"]);
    assert!(refused.status.code() == Some(2) && said(&refused).contains("change those instead"), "{}", said(&refused));

    assert_eq!(host.stop().await, Some(0));
    let payments = run(&here, &["ledger", "payments"]);
    assert!(said(&payments).contains("no `coinslot dev` is running: this is the ledger of the last one"));
    // A host that sells has a ledger of its own, once it has served.
    assert!(init(&here, &["--yes", "--no-check", "--network", "base-sepolia", "--pay-to", PAY_TO]).status.success());
    assert!(said(&run(&here, &["ledger", "payments"])).contains("this is the ledger of the last one"));
    let named = run(&here, &["ledger", "payments", "-c", "./coinslot.toml"]);
    assert!(named.status.code() == Some(1) && said(&named).contains("there is no ledger at"), "{}", said(&named));
}

/// `serve` and `check` asked for a configuration, and did not say that a host runs there which has none.
#[tokio::test]
async fn in_the_folder_of_dev_serve_and_check_speak_of_that_host() {
    let mut host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let (here, url) = (host.path("."), host.url(""));
    for command in ["serve", "check"] {
        let refused = run(&here, &[command]);
        let text = said(&refused);
        assert_eq!(refused.status.code(), Some(2), "{command}: {text}");
        for part in ["there is no such file", "`coinslot init`", "the `coinslot dev` that runs in this folder", &url] {
            assert!(text.contains(part), "{command}: {part} is missing from\n{text}");
        }
        let named = said(&run(&here, &[command, "-c", "other.toml"]));
        assert!(named.contains("no such file") && !named.contains("runs in this folder"), "{command}: {named}");
    }
    // A configuration beside it is of another host.
    assert!(init(&here, &["--yes", "--no-check", "--network", "base-sepolia", "--pay-to", PAY_TO]).status.success());
    let checked = said(&run(&here, &["check"]));
    assert!(checked.contains(&format!("a `coinslot dev` runs in this folder, at {url}: it is another")), "{checked}");
    assert_eq!(host.stop().await, Some(0));
    std::fs::remove_file(here.join("coinslot.toml")).expect("a file");
    let alone = said(&run(&here, &["serve"]));
    assert!(alone.contains("no such file") && !alone.contains("runs in this folder"), "{alone}");
}

#[tokio::test]
async fn health_tells_whether_a_host_is_ready() {
    let mut host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let dir = host.path(".");
    let ready = run(&dir, &["health", &host.url("")]);
    assert_eq!((ready.status.code(), &*said(&ready)), (Some(0), "ready\n"));
    let other = run(&dir, &["health", &host.url("/echo")]);
    assert!(other.status.code() == Some(1) && said(&other).contains("is no readiness page"), "{}", said(&other));
    let wallet = host.chain();
    let url = host.url("");
    assert_eq!(host.stop().await, Some(0));
    drop(wallet);
    let gone = run(&dir, &["health", &url]);
    assert!(gone.status.code() == Some(1) && said(&gone).contains("does not answer: "), "{}", said(&gone));
    let nonsense = run(&dir, &["health", "file:///etc/passwd"]);
    assert!(nonsense.status.code() == Some(2), "{}", said(&nonsense));
}
