//! Checks a host in operation: unreliable facilitators, an empty gas wallet, signals, logs and readiness.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use coinslot_tests::{DevHost, TestChain, Wallet, binary, decode, guest};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// A command in a directory of its own with a plugin folder. Dropping it kills the process.
struct HostProcess {
    child: Child,
    dir: tempfile::TempDir,
}

impl HostProcess {
    fn start(dir: tempfile::TempDir, arguments: &[&str]) -> Self {
        let log = std::fs::File::create(dir.path().join("log")).expect("a log file");
        let child = Command::new(binary())
            .current_dir(dir.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the coinslot binary");
        Self { child, dir }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Waits until the log contains this text, and returns the rest of that line.
    async fn wait_for_log(&mut self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let said = self.log();
            // A line without its end may still grow.
            if let Some((rest, _)) = said.split_once(text).and_then(|(_, rest)| rest.split_once('\n')) {
                return rest.trim().to_owned();
            }
            let ended = self.child.try_wait().expect("a child").is_some();
            assert!(!ended && Instant::now() < deadline, "the log does not have {text:?}:\n{said}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("a living process");
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn folder(plugins: &[(&str, &Path)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("plugins")).expect("a folder");
    for (file, component) in plugins {
        std::fs::copy(component, dir.path().join("plugins").join(file)).expect("a component");
    }
    dir
}

/// Starts a facilitator that answers every request with this document of supported kinds. Returns its URL.
async fn facilitator(supported: Value) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let body = Bytes::from(supported.to_string());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let body = body.clone();
            let service = service_fn(move |_| {
                let answer = hyper::Response::new(Full::new(body.clone()));
                async move { Ok::<_, std::convert::Infallible>(answer) }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_protocol_version_that_the_facilitator_lacks_is_neither_offered_nor_accepted() {
    let kind = |version: u64, network: &str| json!({ "kinds": [{ "x402Version": version, "scheme": "exact", "network": network }] });
    let serve = async |supported: Value| {
        let dir = folder(&[("echo.wasm", &guest("echo"))]);
        let config = format!(
            "listen = \"127.0.0.1:0\"\n[[accept]]\nnetwork = \"base-sepolia\"\npay_to = \"0xC0140eEa19bD90a7cA75882d5218eFaF20426e42\"\n[facilitator.far]\nurl = \"{}\"\n",
            facilitator(supported).await
        );
        std::fs::write(dir.path().join("coinslot.toml"), config).expect("a file");
        let mut served = HostProcess::start(dir, &["serve"]);
        let url = served.wait_for_log("serving on ").await;
        let url = url.split(',').next().expect("an address").to_owned();
        (served, format!("{url}/echo"))
    };
    let client = reqwest::Client::new();

    let (_second, url) = serve(kind(2, "eip155:84532")).await;
    let challenge = client.post(&url).send().await.expect("an answer");
    assert_eq!(challenge.status(), 402);
    let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
    let body: Value = challenge.json().await.expect("JSON");
    assert!(body.get("accepts").is_none() && body.get("x402Version").is_none(), "{body}");
    // A payment in version 1 is refused with the supported version.
    let mut entry = required["accepts"][0].clone();
    entry["maxAmountRequired"] = entry["amount"].clone();
    entry["network"] = "base-sepolia".into();
    let payment = Wallet::poor().pay_v1(&entry);
    let refused = client.post(&url).header("x-payment", payment.header()).send().await.expect("an answer");
    assert_eq!(refused.status(), 400);
    assert!(refused.headers().contains_key("payment-required"));
    let body: Value = refused.json().await.expect("JSON");
    assert_eq!((&body["error"], &body["charged"]), (&json!("invalid_x402_version"), &json!("no")));
    assert!(body["message"].as_str().expect("text").contains("version 2 only"), "{body}");

    let (_first, url) = serve(kind(1, "base-sepolia")).await;
    let challenge = client.post(&url).send().await.expect("an answer");
    assert_eq!(challenge.status(), 402);
    assert!(!challenge.headers().contains_key("payment-required"));
    let body: Value = challenge.json().await.expect("JSON");
    assert_eq!(body["accepts"][0]["network"], "base-sepolia");
    let payment = Wallet::poor().pay_entry(&required["accepts"][0]);
    let refused = client.post(&url).header("payment-signature", payment.header()).send().await.expect("an answer");
    assert_eq!(refused.status(), 400);
    let body: Value = refused.json().await.expect("JSON");
    assert!(body["message"].as_str().expect("text").contains("version 1 only"), "{body}");
    assert_eq!(body["accepts"][0]["network"], "base-sepolia");
}

/// Two hosts that start together both find the ledger free, and the one that opened it later failed.
#[tokio::test]
async fn a_start_waits_for_a_host_that_opened_the_ledger_meanwhile() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (asked, mut is_asked) = tokio::sync::mpsc::channel(16);
    let serving = tokio::spawn(async move {
        let body = json!({ "kinds": [{ "x402Version": 2, "scheme": "exact", "network": "eip155:84532" }] }).to_string();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 4096]).await;
            let _ = asked.try_send(());
            tokio::time::sleep(Duration::from_millis(500)).await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    let dir = folder(&[("echo.wasm", &guest("echo"))]);
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[[accept]]\nnetwork = \"base-sepolia\"\npay_to = \"0xC0140eEa19bD90a7cA75882d5218eFaF20426e42\"\n[facilitator.far]\nurl = \"http://{address}\"\n"
    );
    std::fs::write(dir.path().join("coinslot.toml"), config).expect("a file");
    let mut host = HostProcess::start(dir, &["serve"]);
    is_asked.recv().await.expect("the host connects its facilitator before it opens the ledger");
    let lock = std::fs::File::options().write(true).open(host.dir.path().join(".coinslot/ledger.lock"));
    let lock = lock.expect("the lock's file");
    lock.lock().expect("the lock");
    host.wait_for_log("in use by another Coinslot: waiting at most").await;
    drop(lock);
    host.wait_for_log("serving on ").await;
    serving.abort();
}

/// A host must not guess what its facilitator supports, because it could then ask for payments that nothing settles.
#[tokio::test]
async fn a_host_does_not_start_when_its_facilitator_reports_no_supported_kind() {
    let whole = json!({ "kinds": [{ "x402Version": 2, "scheme": "exact", "network": "eip155:84532" }] }).to_string();
    let http = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    };
    let answers = [
        http("500 Internal Server Error", &whole),
        http("404 Not Found", &whole),
        http("401 Unauthorized", ""),
        http("302 Found\r\nlocation: http://127.0.0.1:1/", ""),
        http("200 OK", ""),
        http("200 OK", "<html>supported</html>"),
        http("200 OK", "{}"),
        http("200 OK", r#"{"kinds": []}"#),
        http("200 OK", r#"{"kinds": null}"#),
        http("200 OK", &whole.replace("exact", "upto")),
        http("200 OK", &whole.replace("84532", "8453")),
        http("200 OK", &whole.replace(":2", ":3")),
        http("200 OK", &whole[..whole.len() - 2]),
        // A truncated answer, and a connection that is closed without one.
        http("200 OK", &whole).replace("content-length: ", "content-length: 9"),
        String::new(),
    ];
    for answer in answers {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let said = answer.clone();
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut request).await;
                let _ = stream.write_all(said.as_bytes()).await;
            }
        });
        let dir = folder(&[("echo.wasm", &guest("echo"))]);
        let config = format!(
            "listen = \"127.0.0.1:0\"\n[[accept]]\nnetwork = \"base-sepolia\"\npay_to = \"0xC0140eEa19bD90a7cA75882d5218eFaF20426e42\"\n[facilitator.far]\nurl = \"http://{address}\"\n"
        );
        std::fs::write(dir.path().join("coinslot.toml"), config).expect("a file");
        let mut refused = HostProcess::start(dir, &["serve"]);
        let start = Instant::now();
        let status = loop {
            if let Some(status) = refused.child.try_wait().expect("a child") {
                break status;
            }
            assert!(
                start.elapsed() < Duration::from_secs(40),
                "{answer:?}: the host keeps running:\n{}",
                refused.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let said = refused.log();
        assert_eq!(status.code(), Some(1), "{answer:?}: {said}");
        let named = said.contains(&format!("facilitator http://{address}"));
        assert!(named && !said.contains("serving on"), "{answer:?}: {said}");
        serving.abort();
    }
}

#[tokio::test]
async fn an_empty_gas_wallet_closes_paid_routes_until_it_is_funded() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let (chain, payer) = (host.chain(), host.payer(0));
    let pay = async |payment: Option<&str>| {
        let mut request = host.client().post(host.url("/echo"));
        if let Some(payment) = payment {
            request = request.header("PAYMENT-SIGNATURE", payment);
        }
        request.send().await.expect("an answer")
    };
    let becomes = async |status: u16| {
        let start = Instant::now();
        while pay(None).await.status() != status {
            assert!(start.elapsed() < Duration::from_secs(40), "not {status}\n{}", host.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let challenge = pay(None).await;
    let (first, second) = (payer.pay(&challenge).header(), payer.pay(&challenge).header());
    let bought = pay(Some(&first)).await;
    assert_eq!(bought.status(), 200);
    let receipt = decode(bought.headers()["payment-response"].to_str().expect("ASCII"));
    let transaction = chain.receipt(receipt["transaction"].as_str().expect("a transaction")).await;
    let wallet = transaction["from"].as_str().expect("the gas wallet").to_owned();
    let full = chain.call("eth_getBalance", json!([wallet, "latest"])).await;

    chain.call("anvil_setBalance", json!([wallet, "0x0"])).await;
    becomes(503).await;
    for payment in [None, Some(second.as_str())] {
        let closed = pay(payment).await;
        assert_eq!(closed.status(), 503, "{payment:?}");
        assert!(closed.headers().contains_key("retry-after") && !closed.headers().contains_key("payment-required"));
        let body: Value = closed.json().await.expect("JSON");
        assert_eq!((&body["error"], &body["charged"]), (&json!("cannot_settle"), &json!("no")));
    }
    assert_eq!(host.client().head(host.url("/echo")).send().await.expect("an answer").status(), 200, "GET is free");
    assert_eq!(host.client().get(host.url("/echo")).send().await.expect("an answer").status(), 200);
    assert_eq!(pay(Some(&first)).await.status(), 200, "a settled payment is delivered");
    host.wait_for_ledger(&["delivered"]).await;
    let asked = host.log();
    let line = asked.lines().find(|line| line.contains("the gas wallet is empty")).expect("the log asks for money");
    assert!(line.to_ascii_lowercase().contains(&wallet.to_ascii_lowercase()), "{line}");

    chain.call("anvil_setBalance", json!([wallet, full])).await;
    becomes(402).await;
    assert_eq!(pay(Some(&second)).await.status(), 200);
    host.wait_for_ledger(&["delivered", "delivered"]).await;
}

#[tokio::test]
async fn a_second_signal_ends_a_host_that_drains() {
    let mut host =
        HostProcess::start(folder(&[("quoter.wasm", &guest("quoter"))]), &["dev", "--listen", "127.0.0.1:0"]);
    let url = host.wait_for_log("serving on ").await;
    let nothing = reqwest::get(format!("{url}/nothing")).await.expect("it serves");
    assert_eq!(nothing.status(), 404);
    // A request without its body stays in progress until its time is over.
    let mut slow = TcpStream::connect(url.trim_start_matches("http://")).await.expect("connected");
    let head = b"POST /quoter/x HTTP/1.1\r\nhost: a.example\r\ncontent-length: 10\r\n\r\nhalf";
    slow.write_all(head).await.expect("sent");
    tokio::time::sleep(Duration::from_millis(300)).await;
    host.signal(Signal::TERM);
    host.wait_for_log("a second signal").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(
        host.child.try_wait().expect("a child").is_none(),
        "the first signal lets the request finish:\n{}",
        host.log()
    );
    let asked = Instant::now();
    host.signal(Signal::INT);
    let status = loop {
        if let Some(status) = host.child.try_wait().expect("a child") {
            break status;
        }
        assert!(asked.elapsed() < Duration::from_secs(10), "the host keeps draining:\n{}", host.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(status.code(), Some(130));
    assert!(host.log().contains("ended at once by a second signal"), "{}", host.log());
}

#[tokio::test]
async fn the_pay_command_that_dev_prints_works_with_any_state_directory() {
    let dir = folder(&[("aurora.wasm", &guest("aurora"))]);
    let mut host = HostProcess::start(dir, &["dev", "--listen", "127.0.0.1:0", "--state", "my state"]);
    let line = host.wait_for_log("now pay for one:\n\n").await;
    assert!(line.contains("--dev-json 'my state/dev.json'"), "{line}");
    let paid = Command::new("sh")
        .args(["-c", &line])
        .current_dir(host.dir.path())
        .env("COINSLOT_STATE_DIR", host.dir.path().join("payments"))
        .output()
        .expect("a shell");
    assert!(paid.status.success(), "{line}: {}", String::from_utf8_lossy(&paid.stderr));
    assert!(String::from_utf8_lossy(&paid.stderr).contains("USDC"), "{}", String::from_utf8_lossy(&paid.stderr));
    let elsewhere = Command::new(binary())
        .args(["pay", "--dev-json", "my state/dev.json", "http://127.0.0.1:1/"])
        .current_dir(host.dir.path())
        .output()
        .expect("the coinslot binary");
    assert!(!elsewhere.status.success());
}

/// This failed as follows: every line of a log file contained escape codes of a terminal, so that `grep` and log
/// collectors did not find the words. Colours are now used only when stderr is a terminal, and NO_COLOR is honoured.
#[tokio::test]
async fn a_log_written_to_a_file_has_no_colour_codes() {
    let host = DevHost::builder().plugin("trap.wasm", &guest("trap")).start().await;
    assert_eq!(host.client().get(host.url("/trap")).send().await.expect("an answer").status(), 500);
    let log = host.log();
    assert!(log.contains("WARN") && !log.contains('\x1b'), "{log:?}");
}

#[tokio::test]
async fn a_host_that_shuts_down_reports_not_ready_first_and_keeps_serving() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "[server]\nshutdown_delay = \"6s\"\n").await;
    let ready = async |method: reqwest::Method| {
        let asked = reqwest::Client::new().request(method, host.url("/.well-known/coinslot/ready"));
        let reply = asked.header("host", "10.0.0.7:8402").send().await.expect("an answer");
        (reply.status().as_u16(), reply.text().await.expect("a body"))
    };
    assert_eq!(ready(reqwest::Method::GET).await, (200, r#"{"ready":true,"obstacles":[]}"#.to_owned()));
    assert_eq!(ready(reqwest::Method::HEAD).await, (200, String::new()));
    assert_eq!(ready(reqwest::Method::POST).await.0, 404);
    host.signal("TERM");
    let asked = Instant::now();
    while ready(reqwest::Method::GET).await
        != (503, r#"{"ready":false,"obstacles":["this host is shutting down"]}"#.to_owned())
    {
        assert!(asked.elapsed() < Duration::from_secs(5), "{}", host.log());
    }
    let sold = host.buy(chain.payer(0), "/echo", Duration::from_secs(1)).await;
    assert_eq!(sold.statuses, [200], "{}", host.log());
    let mut host = host;
    host.wait_for_exit().await;
    assert!(asked.elapsed() >= Duration::from_secs(6));
}
