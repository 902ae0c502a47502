//! Serves over TLS with a certificate that the operator renews while payments come in.

use std::path::Path;
use std::time::{Duration, Instant};

use alloy::primitives::U256;
use coinslot_tests::{DevHost, RunningCommand, decode, guest, run};
use reqwest::{Certificate, Client, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PAY_TO: &str = "0xC0140eEa19bD90a7cA75882d5218eFaF20426e42";

/// A self-signed certificate for this machine and its key, both PEM.
struct Issued {
    certificate: String,
    key: String,
}

impl Issued {
    fn new() -> Self {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let issued = rcgen::generate_simple_self_signed(names).expect("a certificate");
        Self { certificate: issued.cert.pem(), key: issued.signing_key.serialize_pem() }
    }

    fn write(&self, dir: &Path) {
        std::fs::write(dir.join("cert.pem"), &self.certificate).expect("a file");
        std::fs::write(dir.join("key.pem"), &self.key).expect("a file");
    }

    /// A client with connections of its own that trusts only this certificate.
    fn client(&self) -> Client {
        let certificate = Certificate::from_pem(self.certificate.as_bytes()).expect("PEM");
        Client::builder().tls_certs_only([certificate]).build().expect("a client")
    }
}

fn folder(facilitator: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("plugins")).expect("a folder");
    std::fs::copy(guest("echo"), dir.path().join("plugins/echo.wasm")).expect("a component");
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\nhsts = \"180d\"\n[[accept]]\nnetwork = \"base-sepolia\"\npay_to = \"{PAY_TO}\"\n[facilitator.far]\nurl = \"{facilitator}\"\n"
    );
    std::fs::write(dir.path().join("coinslot.toml"), config).expect("a file");
    dir
}

#[tokio::test]
async fn a_payment_over_tls_works_and_a_renewed_certificate_is_picked_up() {
    let chain = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let facilitator = chain.facilitator();
    let dir = folder(&facilitator.url(""));
    let first = Issued::new();
    first.write(dir.path());
    let served = RunningCommand::start(dir.path(), &["serve"], &[]);
    let (url, client) = (served.url("/echo"), first.client());
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let health = |more: &[&str]| run(dir.path(), &[&["health", &*served.url("/")], more].concat());
    assert_eq!(health(&[]).status.code(), Some(1), "nobody has signed the certificate");
    let ready = health(&["--ca", "cert.pem"]);
    assert!(ready.status.success(), "{}", String::from_utf8_lossy(&ready.stderr));
    let unread = health(&["--ca", "key.pem"]);
    let said = String::from_utf8_lossy(&unread.stderr).into_owned();
    assert!(unread.status.code() == Some(2) && said.contains("key.pem: it has no certificate"), "{said}");

    let challenge = client.post(&url).send().await.expect("an answer");
    assert_eq!((challenge.status().as_u16(), challenge.version()), (402, Version::HTTP_2));
    assert_eq!(challenge.headers()["strict-transport-security"], "max-age=15552000");
    let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
    assert_eq!(required["resource"]["url"], url);
    let payment = chain.payer(0).pay(&challenge).header();
    let paid = client.post(&url).header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
    assert_eq!(paid.status(), 200, "{}", served.log());
    assert_eq!(chain.chain().balance(PAY_TO.parse().expect("an address")).await, U256::from(10_000));
    let old = Client::builder().tls_certs_only([Certificate::from_pem(first.certificate.as_bytes()).expect("PEM")]);
    let old = old.http1_only().build().expect("a client");
    assert_eq!(old.get(&url).send().await.expect("an answer").version(), Version::HTTP_11);

    // A client without TLS is refused and disturbs no other.
    let mut plain = TcpStream::connect(url.split('/').nth(2).expect("an authority")).await.expect("connected");
    plain.write_all(b"GET /echo HTTP/1.1\r\nhost: a.example\r\n\r\n").await.expect("sent");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&answer));

    // Renewed in two steps: between them certificate and key do not match, and the old certificate is used.
    let second = Issued::new();
    std::fs::write(dir.path().join("cert.pem"), &second.certificate).expect("a file");
    let start = Instant::now();
    while !served.log().contains("cannot be used") {
        assert!(start.elapsed() < Duration::from_secs(30), "{}", served.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(first.client().get(&url).send().await.expect("the old certificate").status(), 200);
    second.write(dir.path());
    let start = Instant::now();
    while second.client().get(&url).send().await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(30), "{}", served.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    first.client().get(&url).send().await.expect_err("the old certificate is not used any more");
    assert_eq!(client.get(&url).send().await.expect("an open connection stays").status(), 200);
}

#[tokio::test]
async fn an_unusable_certificate_is_refused_by_file_name() {
    let dir = folder("http://127.0.0.1:1");
    let (one, other) = (Issued::new(), Issued::new());
    let said = || {
        let refused = run(dir.path(), &["check"]);
        assert_eq!(refused.status.code(), Some(2));
        String::from_utf8_lossy(&refused.stderr).into_owned()
    };
    assert!(said().contains("cert.pem: No such file"), "{}", said());
    one.write(dir.path());
    std::fs::write(dir.path().join("key.pem"), &other.key).expect("a file");
    let mismatch = said();
    assert!(mismatch.contains("cert.pem and ") && mismatch.contains("do not fit together"), "{mismatch}");
    std::fs::write(dir.path().join("key.pem"), "no key").expect("a file");
    assert!(said().contains("key.pem: no PEM private key"), "{}", said());
    one.write(dir.path());
    std::fs::write(dir.path().join("cert.pem"), &one.key).expect("a file");
    assert!(said().contains("cert.pem: no PEM certificate"), "{}", said());
}

/// The doctor trusts the authority that it is told, finds the same challenge by HTTP/2, and does not go on without trust.
#[tokio::test]
async fn the_doctor_examines_a_host_over_tls_and_http2() {
    let chain = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let facilitator = chain.facilitator();
    let dir = folder(&facilitator.url(""));
    Issued::new().write(dir.path());
    let served = RunningCommand::start(dir.path(), &["serve"], &[]);
    let url = served.url("/echo");
    let examined = run(dir.path(), &["doctor", &url, "--ca", "cert.pem", "--json", "--strict"]);
    let report: serde_json::Value = serde_json::from_slice(&examined.stdout).expect("one JSON object");
    let checks = report["endpoints"][0]["checks"].as_array().expect("checks");
    let outcome = |name: &str| &checks.iter().find(|check| check["check"] == name).expect("a check")["outcome"];
    assert!(examined.status.success(), "{report:#}");
    assert!(outcome("http2") == "ok" && outcome("https") == "ok" && outcome("challenge") == "ok", "{report:#}");
    let distrusted = run(dir.path(), &["doctor", &url]);
    let said = String::from_utf8_lossy(&distrusted.stdout).into_owned();
    assert!(distrusted.status.code() == Some(3) && said.contains("no TLS: "), "{said}");
}
