//! Examines servers with `coinslot doctor`: good ones, broken ones, and hostile ones.

mod broken_server;
mod defects;
mod unusual;

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use alloy::primitives::U256;
use coinslot_tests::{DevHost, binary, guest, run};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use broken_server::BrokenServer;
use defects::{DEFECTS, Defect};

/// A key without money: the prepared server takes its payments without a chain.
const KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs the command in an empty folder, with the key.
async fn doctor(arguments: &[&str]) -> Output {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let run = move || {
        let dir = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(binary());
        command.current_dir(dir.path()).arg("doctor").args(arguments).env("DOCTOR_KEY", KEY);
        command.env("XDG_STATE_HOME", dir.path().join("state")).stdin(Stdio::null());
        command.output().expect("the coinslot binary")
    };
    tokio::task::spawn_blocking(run).await.expect("an end")
}

/// The findings of one endpoint: check, outcome and detail.
fn findings(output: &Output) -> Vec<(String, String, String)> {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    let checks = report["endpoints"][0]["checks"].as_array().expect("checks");
    let field = |check: &Value, key: &str| check[key].as_str().expect("a text").to_owned();
    checks.iter().map(|check| (field(check, "check"), field(check, "outcome"), field(check, "detail"))).collect()
}

fn outcome(output: &Output, check: &str) -> (String, String) {
    let found = findings(output).into_iter().find(|(name, ..)| name == check);
    let (_, outcome, detail) = found.unwrap_or_else(|| panic!("no check is called {check}"));
    (outcome, detail)
}

#[tokio::test]
async fn a_development_host_is_clean_and_a_payment_there_buys_one_answer() {
    let host =
        DevHost::builder().plugin("aurora.wasm", &guest("aurora")).plugin("hello.wasm", &guest("hello")).start().await;
    for (target, paid) in [("/api/gitignore?stack=rust", 10_000), ("/hello?name=Ada", 11_000)] {
        let examined = run(&host.path("."), &["doctor", target, "--strict", "--json"]);
        assert!(examined.status.success(), "{}\n{}", text(&examined.stderr), text(&examined.stdout));
        for check in [
            "challenge",
            "payment",
            "receipt",
            "transfer",
            "repeat",
            "stranger",
            "token-contract",
            "fresh-secret",
            "cache-paid",
        ] {
            let (outcome, detail) = outcome(&examined, check);
            assert_eq!(outcome, "ok", "{check}: {detail}");
        }
        assert_eq!(host.chain().balance(host.seller()).await, U256::from(paid), "paid once, though it was sent thrice");
    }
    let for_people = run(&host.path("."), &["doctor", &host.url("/hello?name=Ada")]);
    let shown = text(&for_people.stdout);
    assert!(for_people.status.success() && shown.contains("0 warnings, 0 failed"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no colours in a pipe: {shown}");
    let saved = std::fs::read_dir(host.path("state/coinslot/payments")).expect("the folder of payments");
    assert_eq!(saved.count(), 0, "what is settled is not kept");
}

/// Examines a prepared server with a facilitator and a key.
async fn examine(defect: Option<Defect>) -> Output {
    let server = BrokenServer::start(defect).await;
    let (url, facilitator) = (server.url("/weather"), server.url("/facilitator"));
    doctor(&["--json", "--key-env", "DOCTOR_KEY", "--facilitator", &facilitator, &url]).await
}

/// Each row: the defect, and the check that names it. All other checks stay as they are at the good server.
#[tokio::test]
async fn each_defect_of_a_prepared_server_is_named_by_its_check() {
    let good = examine(None).await;
    let usual = findings(&good);
    let bad: Vec<_> = usual.iter().filter(|(_, outcome, _)| ["warning", "failed"].contains(&&**outcome)).collect();
    assert!(bad.is_empty() && good.status.success(), "{bad:?}\n{}", text(&good.stderr));
    let skipped: Vec<_> = usual.iter().filter(|(_, outcome, _)| outcome == "skipped").map(|(name, ..)| name).collect();
    assert_eq!(skipped, ["https", "extensions", "http2", "token-contract", "transfer"]);

    let mut missed = Vec::new();
    for some in DEFECTS.chunks(4) {
        let examined = some.iter().map(|(defect, ..)| tokio::spawn(examine(Some(*defect))));
        let examined: Vec<_> = examined.collect();
        for ((defect, check, expected), examined) in some.iter().zip(examined) {
            let examined = examined.await.expect("an end");
            let (outcome, detail) = outcome(&examined, check);
            let has_failed = findings(&examined).iter().any(|(_, outcome, _)| outcome == "failed");
            let code = examined.status.code();
            if outcome != *expected || code != Some(if has_failed { 3 } else { 0 }) {
                missed.push(format!("{defect:?}: {check} is {outcome}, {code:?}: {detail} {}", text(&examined.stderr)));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[tokio::test]
async fn an_origin_is_examined_by_its_description_and_its_warnings_fail_where_they_are_to() {
    let server = BrokenServer::start(Some(Defect::NoCacheControl)).await;
    let lenient = doctor(&[&server.url("/")]).await;
    let shown = text(&lenient.stdout);
    assert!(lenient.status.success(), "{}", text(&lenient.stderr));
    assert!(shown.starts_with(&format!("GET {}", server.url("/weather"))), "{shown}");
    for part in ["warning", "cache-challenge", "why: ", "do:  send Cache-Control: no-store", "skipped  payment"] {
        assert!(shown.contains(part), "{part} is missing from:\n{shown}");
    }
    let strict = doctor(&[&server.url("/"), "--strict"]).await;
    assert_eq!(strict.status.code(), Some(3));

    let without = BrokenServer::start(Some(Defect::NoOpenApi)).await;
    let unknown = doctor(&[&without.url("/")]).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("name the URL of an endpoint"), "{}", text(&unknown.stderr));
    let usage = doctor(&["ftp://a.example/"]).await;
    assert_eq!(usage.status.code(), Some(2));
    let nobody = doctor(&["http://127.0.0.1:1/weather"]).await;
    assert_eq!(nobody.status.code(), Some(3));
    assert!(text(&nobody.stdout).contains("cannot connect"), "{}", text(&nobody.stdout));
}

/// The dearest thing that a stranger's server may do is to take the time that was given.
#[tokio::test]
async fn a_hostile_server_can_neither_hold_the_doctor_nor_drive_its_terminal() {
    let endless = "HTTP/1.1 402 Payment Required\r\n\r\n";
    let loops = "HTTP/1.1 302 Found\r\nlocation: /weather\r\ncontent-length: 0\r\n\r\n";
    let control = "HTTP/1.1 402 \u{1b}[2J\r\npayment-required: \u{1b}[31m\u{9b}2J\r\ncontent-length: 5\r\n\
                   x: \u{202e}\r\n\r\n\u{1b}[2Jx";
    let servers = [
        (endless, "x".repeat(1 << 16), 0),
        ("HTTP/1.1 402 Payment Required\r\n", "x-more: 1\r\n".repeat(1 << 10), 0),
        ("HTTP/1.1 402 Payment Required\r\nx-long: ", "x".repeat(1 << 16), 0),
        ("HTTP/1.1 402 Payment Required\r\ncontent-length: 1000000\r\n\r\n", "x".to_owned(), 50),
        ("HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n".to_owned(), 5),
        (loops, String::new(), 0),
        (control, String::new(), 0),
        ("\u{1b}[2J\0\0\0", "\0".repeat(100), 0),
    ];
    let examined = servers.map(|(begins, goes_on, pause)| {
        tokio::spawn(async move {
            let url = hostile(begins.to_owned(), goes_on, Duration::from_millis(pause)).await;
            let begun = Instant::now();
            let examined = doctor(&[&url, "--timeout", "1", "--method", "GET"]).await;
            (begins, text_of(&examined), examined.status.code(), begun.elapsed())
        })
    });
    for examined in examined {
        let (begins, said, code, took) = examined.await.expect("an end");
        assert_eq!(code, Some(3), "{begins:?}: {said}");
        assert!(!said.contains(['\u{1b}', '\u{202e}', '\u{9b}']), "{said:?}");
        assert!(said.len() < 64 << 10, "{begins:?}: {} bytes", said.len());
        assert!(took < Duration::from_secs(60), "{begins:?} took {took:?}");
    }
}

/// A server that answers each connection with these bytes, and goes on with others for ever.
async fn hostile(begins: String, goes_on: String, pause: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/weather", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (begins, goes_on) = (begins.clone(), goes_on.clone());
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(begins.as_bytes()).await;
                while !goes_on.is_empty() && stream.write_all(goes_on.as_bytes()).await.is_ok() {
                    tokio::time::sleep(pause).await;
                }
            });
        }
    });
    url
}

/// `check` judges the challenges that the configured host would send, without a network.
#[tokio::test]
async fn check_names_prices_that_stock_clients_do_not_pay() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let facilitator = host.facilitator();
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(dir.path().join("plugins")).expect("a folder");
    std::fs::copy(guest("echo"), dir.path().join("plugins/echo.wasm")).expect("a component");
    let config = |more: &str| {
        let text = format!(
            "public_url = \"https://api.example.com\"\n[[accept]]\nnetwork = \"base-sepolia\"\npay_to = \"{}\"\n\
             [facilitator.far]\nurl = \"{}\"\n{more}",
            host.seller(),
            facilitator.url("")
        );
        std::fs::write(dir.path().join("coinslot.toml"), text).expect("a file");
        text_of(&run(dir.path(), &["check"]))
    };
    let usual = config("");
    assert!(!usual.contains("client-caps"), "{usual}");
    let dear = config("[plugin.echo.routes.\"POST /echo\"]\nprice = \"2.50\"\n");
    assert!(dear.contains("POST /echo: challenge: client-caps: 2.5 USDC"), "{dear}");
}

fn text_of(output: &Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}
