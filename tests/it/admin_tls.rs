//! Checks the admin listener with TLS: its certificate, and the certificates that it asks operators for.

use std::path::PathBuf;

use coinslot_tests::{ServeHost, TestChain, run};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use reqwest::{Certificate, Client, Identity};

/// A certificate authority of the operator.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate and its key, in PEM.
    fn issue(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> (String, String) {
        let mut params = CertificateParams::new([name.to_owned(), "127.0.0.1".to_owned()]).expect("names");
        params.extended_key_usages = vec![purpose];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

struct Files {
    host: ServeHost,
    authority: Authority,
}

impl Files {
    fn url(&self) -> String {
        self.host.admin().replace("0.0.0.0", "127.0.0.1")
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.host.path(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    fn client(&self, identity: Option<(String, String)>) -> Client {
        let trusted = Certificate::from_pem(self.authority.pem().as_bytes()).expect("a certificate");
        let mut client = Client::builder().tls_certs_only([trusted]);
        if let Some((certificate, key)) = identity {
            client =
                client.identity(Identity::from_pem(format!("{certificate}{key}").as_bytes()).expect("an identity"));
        }
        client.build().expect("a client")
    }

    async fn status(&self, identity: Option<(String, String)>) -> Option<u16> {
        let url = format!("{}/api/v1/status", self.url());
        self.client(identity).get(url).send().await.ok().map(|answer| answer.status().as_u16())
    }
}

/// A host whose admin listener is reached from everywhere, with these keys of `[admin]` and of `[admin.tls]`.
async fn host(chain: &TestChain, admin: &str, tls: &str) -> Files {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("localhost", ExtendedKeyUsagePurpose::ServerAuth);
    let folder = tempfile::tempdir().expect("a folder").keep();
    for (name, text) in [("cert.pem", certificate), ("key.pem", key), ("ca.pem", authority.pem())] {
        std::fs::write(folder.join(name), text).expect("a file");
    }
    let config = format!(
        "[admin]\nlisten = \"0.0.0.0:0\"\n{admin}[admin.tls]\ncert = \"F/cert.pem\"\nkey = \"F/key.pem\"\n{tls}"
    );
    let host = chain.serve(&["echo"], &config.replace("F/", &format!("{}/", folder.display()))).await;
    Files { host, authority }
}

#[tokio::test]
async fn a_listener_that_asks_for_certificates_answers_those_of_its_authority_alone() {
    let chain = TestChain::start().await;
    let files = host(&chain, "", "client_ca = \"F/ca.pem\"\n").await;
    let own = files.authority.issue("operator", ExtendedKeyUsagePurpose::ClientAuth);
    assert_eq!(files.status(Some(own.clone())).await, Some(200), "{}", files.host.log());
    assert_eq!(files.status(None).await, None, "without a certificate there is no connection");
    let foreign = Authority::new().issue("operator", ExtendedKeyUsagePurpose::ClientAuth);
    assert_eq!(files.status(Some(foreign)).await, None);
    let of_a_server = files.authority.issue("operator", ExtendedKeyUsagePurpose::ServerAuth);
    assert_eq!(files.status(Some(of_a_server)).await, None);
    // A client that says nothing keeps no other one waiting.
    let address = files.url().trim_start_matches("https://").to_owned();
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(tokio::net::TcpStream::connect(&address).await.expect("a connection"));
    }
    assert_eq!(files.status(Some(own.clone())).await, Some(200), "beside those that say nothing");
    drop(silent);

    let (ca, cert) =
        (files.write("ca.pem", &files.authority.pem()), files.write("operator.pem", &format!("{}{}", own.0, own.1)));
    let url = files.url();
    let shown = |more: &[&str]| {
        let all = [&["status", "--url", &*url, "--ca", ca.to_str().expect("a path")], more].concat();
        let ended = run(&files.host.path(""), &all);
        (ended.status.code(), String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned())
    };
    let (code, said) = shown(&["--cert", cert.to_str().expect("a path")]);
    assert!(code == Some(0) && said.contains("\"ready\":true"), "{said}");
    let (code, said) = shown(&[]);
    assert!(code == Some(1) && said.to_lowercase().contains("certificate"), "{said}");
}

#[tokio::test]
async fn a_token_is_asked_for_beside_a_certificate_where_both_are_configured() {
    let chain = TestChain::start().await;
    let token = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(token.path(), "correct-horse-battery").expect("written");
    let admin = format!("token_file = \"{}\"\n", token.path().display());
    let files = host(&chain, &admin, "client_ca = \"F/ca.pem\"\n").await;
    let own = files.authority.issue("operator", ExtendedKeyUsagePurpose::ClientAuth);
    assert_eq!(files.status(Some(own.clone())).await, Some(401), "{}", files.host.log());
    let url = format!("{}/api/v1/status", files.url());
    let answer = files.client(Some(own)).get(url).bearer_auth("correct-horse-battery").send().await;
    assert_eq!(answer.expect("an answer").status(), 200);
}

/// An operator who was admitted by a certificate alone was written down as one without a token: nobody knew who.
#[tokio::test]
async fn the_audit_log_names_the_certificate_of_an_operator() {
    let chain = TestChain::start().await;
    let token = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(token.path(), "correct-horse-battery").expect("written");
    let with_token = format!("token_file = \"{}\"\n", token.path().display());
    for (admin, how) in [("", "by certificate"), (&*with_token, "by token and certificate")] {
        let files = host(&chain, admin, "client_ca = \"F/ca.pem\"\n").await;
        for name in ["ada", "grace"] {
            let client = files.client(Some(files.authority.issue(name, ExtendedKeyUsagePurpose::ClientAuth)));
            let verb = if name == "ada" { "pause" } else { "resume" };
            let post =
                client.post(format!("{}/api/v1/plugins/{verb}", files.url())).bearer_auth("correct-horse-battery");
            let answer = post.json(&serde_json::json!({ "plugin": "echo" })).send().await.expect("an answer");
            assert_eq!(answer.status(), 200, "{}", files.host.log());
            let kind = format!("{}/api/v1/audit?kind=plugin_{verb}d", files.url());
            let start = std::time::Instant::now();
            let who = loop {
                let asked = client.get(&kind).bearer_auth("correct-horse-battery").send().await.expect("an answer");
                let found: serde_json::Value = asked.json().await.expect("JSON");
                if let Some(who) = found[0]["who"].as_str() {
                    break who.to_owned();
                }
                assert!(start.elapsed().as_secs() < 60, "{found}\n{}", files.host.log());
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            };
            assert_eq!(who, format!("operator {how} \"CN={name}\" from 127.0.0.1"));
        }
    }
}

#[tokio::test]
async fn a_session_of_an_encrypted_listener_stays_on_encrypted_connections() {
    let chain = TestChain::start().await;
    let token = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(token.path(), "correct-horse-battery").expect("written");
    let files = host(&chain, &format!("token_file = \"{}\"\n", token.path().display()), "").await;
    let raw = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .tls_certs_only([Certificate::from_pem(files.authority.pem().as_bytes()).expect("a certificate")])
        .build()
        .expect("a client");
    let post = raw.post(format!("{}/login", files.url()));
    let post = post.header("content-type", "application/x-www-form-urlencoded").body("token=correct-horse-battery");
    let response = post.send().await.expect("an answer");
    let cookie = response.headers()["set-cookie"].to_str().expect("ASCII").to_owned();
    assert!(cookie.contains("Secure") && cookie.contains("HttpOnly"), "{cookie}");
}

#[tokio::test]
async fn an_address_that_others_reach_needs_a_token_or_certificates() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let good = host.configuration();
    for (tls, problem) in [
        ("", "can be reached from other machines"),
        ("[admin.tls]\ncert = \"c.pem\"\nkey = \"k.pem\"\n", "can be reached from other machines"),
        ("[admin.tls]\ncert = \"c.pem\"\n", "name the PEM file with the certificate's private key"),
    ] {
        std::fs::write(host.path("other.toml"), format!("{good}[admin]\nlisten = \"0.0.0.0:0\"\n{tls}"))
            .expect("a file");
        let refused = run(&host.path(""), &["check", "--config", "other.toml"]);
        let said = String::from_utf8_lossy(&[refused.stdout, refused.stderr].concat()).into_owned();
        assert!(refused.status.code() == Some(2) && said.contains(problem), "{tls}: {said}");
    }
}

/// Half a request held a connection and its descriptor for ever, and enough of them stopped the sale.
#[tokio::test]
async fn strangers_who_send_half_a_request_keep_nobody_out_and_are_closed() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "[admin]\nlisten = \"127.0.0.1:0\"\n").await;
    let address = host.admin().trim_start_matches("http://").to_owned();
    let half = b"GET /api/v1/status HTTP/1.1\r\nhost: localhost\r\nx-a: ";
    let mut held = Vec::new();
    for _ in 0..50 {
        let mut stranger = tokio::net::TcpStream::connect(&address).await.expect("a connection");
        stranger.write_all(half).await.expect("sent");
        held.push(stranger);
    }
    let large = format!("token={}", "x".repeat(100_000));
    let post = Client::new().post(format!("{}/login", host.admin()));
    let post = post.header("content-type", "application/x-www-form-urlencoded").body(large);
    assert_eq!(post.send().await.expect("an answer").status(), 413);
    let answer = reqwest::get(format!("{}/api/v1/status", host.admin())).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    for mut stranger in held {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(std::time::Duration::from_secs(60), stranger.read_to_end(&mut rest)).await;
        ended.expect("it is closed").expect("read");
    }
}

#[tokio::test]
async fn a_check_finds_what_would_keep_a_host_with_operators_from_starting() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let good = host.configuration();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(host.path("cert.pem"), made.cert.pem()).expect("a file");
    std::fs::write(host.path("key.pem"), made.signing_key.serialize_pem()).expect("a file");
    let tls = "[admin.tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n";
    for (more, problem) in [
        (format!("[admin]\n{tls}client_ca = \"none.pem\"\n"), "none.pem"),
        (format!("[admin]\n{tls}client_ca = \"key.pem\"\n"), "key.pem: no PEM certificate in it"),
        ("[admin]\ntoken_env = \"NOT_SET_AT_ALL\"\n".to_owned(), "NOT_SET_AT_ALL"),
        ("[[webhook]]\nurl = \"https://x.example\"\nsecret_env = \"NOT_SET_AT_ALL\"\n".to_owned(), "NOT_SET_AT_ALL"),
    ] {
        std::fs::write(host.path("other.toml"), format!("{good}{more}")).expect("a file");
        let (dir, arguments) = (host.path(""), ["check", "--config", "other.toml"]);
        let refused = tokio::task::spawn_blocking(move || run(&dir, &arguments)).await.expect("a command");
        let said = String::from_utf8_lossy(&[refused.stdout, refused.stderr].concat()).into_owned();
        assert!(refused.status.code() == Some(2) && said.contains(problem), "{more}: {said}");
    }
}
