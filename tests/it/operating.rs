//! Running a host: what it does when its surroundings fail it, and how it ends.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use coinslot_tests::{Host, Market, Wallet, binary, decode, guest};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// A command in a directory of its own, with a `plugins` folder. Killed when dropped.
struct Running {
    child: Child,
    dir: tempfile::TempDir,
}

impl Running {
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

    fn said(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Waits until it has said this, and gives what came after it in its line.
    async fn says(&mut self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let said = self.said();
            // A line that has no end yet may have more to come.
            if let Some((rest, _)) = said.split_once(text).and_then(|(_, rest)| rest.split_once('\n')) {
                return rest.trim().to_owned();
            }
            let ended = self.child.try_wait().expect("a child").is_some();
            assert!(!ended && Instant::now() < deadline, "it does not say {text:?}:\n{said}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("a living process");
    }
}

impl Drop for Running {
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

/// A facilitator that only says what it supports.
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
async fn a_version_that_the_facilitator_does_not_settle_is_neither_offered_nor_taken() {
    let kind = |version: u64, network: &str| json!({ "kinds": [{ "x402Version": version, "scheme": "exact", "network": network }] });
    let serve = async |supported: Value| {
        let dir = folder(&[("echo.wasm", &guest("echo"))]);
        let config = format!(
            "listen = \"127.0.0.1:0\"\n[[accept]]\nnetwork = \"base-sepolia\"\npay_to = \"0xC0140eEa19bD90a7cA75882d5218eFaF20426e42\"\n[facilitator.far]\nurl = \"{}\"\n",
            facilitator(supported).await
        );
        std::fs::write(dir.path().join("coinslot.toml"), config).expect("a file");
        let mut served = Running::start(dir, &["serve"]);
        let url = served.says("serving on ").await;
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
    // One who pays by version 1 all the same hears what is taken.
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

/// What is not known to be settled is not asked for: no guess about what a facilitator may support.
#[tokio::test]
async fn a_host_whose_facilitator_does_not_say_what_it_supports_does_not_start() {
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
        // Cut off, and nothing at all.
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
        let mut refused = Running::start(dir, &["serve"]);
        let start = Instant::now();
        let status = loop {
            if let Some(status) = refused.child.try_wait().expect("a child") {
                break status;
            }
            assert!(start.elapsed() < Duration::from_secs(40), "{answer:?}: it goes on:\n{}", refused.said());
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let said = refused.said();
        assert_eq!(status.code(), Some(1), "{answer:?}: {said}");
        let named = said.contains(&format!("facilitator http://{address}"));
        assert!(named && !said.contains("serving on"), "{answer:?}: {said}");
        serving.abort();
    }
}

#[tokio::test]
async fn an_empty_gas_wallet_closes_paid_routes_until_it_is_funded() {
    let host = Host::builder().plugin("echo.wasm", &guest("echo")).start().await;
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
    let wallet = transaction["from"].as_str().expect("who paid the gas").to_owned();
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
    assert_eq!(pay(Some(&first)).await.status(), 200, "what is paid for is delivered");
    host.ledger_becomes(&["delivered"]).await;
    let asked = host.log();
    let line = asked.lines().find(|line| line.contains("the gas wallet is empty")).expect("the log asks for money");
    assert!(line.to_ascii_lowercase().contains(&wallet.to_ascii_lowercase()), "{line}");

    chain.call("anvil_setBalance", json!([wallet, full])).await;
    becomes(402).await;
    assert_eq!(pay(Some(&second)).await.status(), 200);
    host.ledger_becomes(&["delivered", "delivered"]).await;
}

#[tokio::test]
async fn a_second_signal_ends_a_host_that_drains() {
    let mut host = Running::start(folder(&[("quoter.wasm", &guest("quoter"))]), &["dev", "--listen", "127.0.0.1:0"]);
    let url = host.says("serving on ").await;
    let nothing = reqwest::get(format!("{url}/nothing")).await.expect("it serves");
    assert_eq!(nothing.status(), 404);
    // A request whose body does not come is at work until its time is over.
    let mut slow = TcpStream::connect(url.trim_start_matches("http://")).await.expect("connected");
    let head = b"POST /quoter/x HTTP/1.1\r\nhost: a.example\r\ncontent-length: 10\r\n\r\nhalf";
    slow.write_all(head).await.expect("sent");
    tokio::time::sleep(Duration::from_millis(300)).await;
    host.signal(Signal::TERM);
    host.says("a second signal").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(host.child.try_wait().expect("a child").is_none(), "the first signal waits for it:\n{}", host.said());
    let asked = Instant::now();
    host.signal(Signal::INT);
    let status = loop {
        if let Some(status) = host.child.try_wait().expect("a child") {
            break status;
        }
        assert!(asked.elapsed() < Duration::from_secs(10), "it goes on draining:\n{}", host.said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(status.code(), Some(130));
    assert!(host.said().contains("ended at once by a second signal"), "{}", host.said());
}

#[tokio::test]
async fn the_line_that_dev_prints_pays_wherever_dev_keeps_its_state() {
    let dir = folder(&[("aurora.wasm", &guest("aurora"))]);
    let mut host = Running::start(dir, &["dev", "--listen", "127.0.0.1:0", "--state", "my state"]);
    let line = host.says("now pay for one:\n\n").await;
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

#[tokio::test]
async fn a_log_that_goes_into_a_file_is_plain_text() {
    let host = Host::builder().plugin("status.wasm", &guest("status")).start().await;
    let log = host.log();
    assert!(log.contains("INFO") && !log.contains('\x1b'), "{log:?}");
}

#[tokio::test]
async fn a_host_that_is_to_end_says_so_first_and_serves_on() {
    let market = Market::open().await;
    let shop = market.shop(&["echo"], "[server]\nlinger_seconds = 2\n").await;
    let ready = async |method: reqwest::Method| {
        let asked = reqwest::Client::new().request(method, shop.url("/.well-known/coinslot/ready"));
        let reply = asked.header("host", "10.0.0.7:8402").send().await.expect("an answer");
        (reply.status().as_u16(), reply.text().await.expect("a body"))
    };
    assert_eq!(ready(reqwest::Method::GET).await, (200, r#"{"ready":true,"obstacles":[]}"#.to_owned()));
    assert_eq!(ready(reqwest::Method::HEAD).await, (200, String::new()));
    assert_eq!(ready(reqwest::Method::POST).await.0, 404);
    shop.signal("TERM");
    let asked = Instant::now();
    while ready(reqwest::Method::GET).await
        != (503, r#"{"ready":false,"obstacles":["this host is shutting down"]}"#.to_owned())
    {
        assert!(asked.elapsed() < Duration::from_secs(1), "{}", shop.log());
    }
    let sold = shop.sell(market.payer(0), "/echo", Duration::from_secs(1)).await;
    assert_eq!(sold.statuses, [200], "{}", shop.log());
    let mut shop = shop;
    shop.died().await;
    assert!(asked.elapsed() >= Duration::from_secs(2));
}
