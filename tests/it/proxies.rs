//! Puts nginx and Caddy with TLS in front of a host, with the files of `host/deploy`, and buys through them.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coinslot_tests::{ServeHost, TestChain, debian_program, decode, encode};
use reqwest::{Certificate, Client, Version};
use serde_json::{Value, json};

/// The name in the files, for which the certificate is.
const NAME: &str = "api.example.com";

/// A proxy in a folder of its own. Dropping it ends the process; its log is printed when a test fails.
struct Proxy {
    child: Child,
    dir: tempfile::TempDir,
    https: SocketAddr,
    /// The port that redirects to TLS.
    http: Option<SocketAddr>,
    certificate: String,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // SIGTERM, so that nginx ends its workers, too.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!(
                "--- the proxy's log ---\n{}",
                std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
            );
        }
    }
}

/// An address that nothing listens on.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

/// A file of `host/deploy`, with these parts of it replaced. Each of them is there.
fn deployed(file: &str, replaced: &[(&str, &str)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/deploy").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    replaced.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{file} has no {from}");
        text.replace(from, to)
    })
}

/// A folder with a certificate for the name.
fn with_certificate() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().expect("a folder");
    let pair = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    std::fs::write(dir.path().join("fullchain.pem"), pair.cert.pem()).expect("a file");
    std::fs::write(dir.path().join("privkey.pem"), pair.signing_key.serialize_pem()).expect("a file");
    (dir, pair.cert.pem())
}

fn start(program: PathBuf, arguments: &[&str], dir: &Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(dir.join("log")).expect("a log");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(dir).stdin(Stdio::null()).env("HOME", dir).env("XDG_DATA_HOME", dir);
    command.stdout(log.try_clone().expect("a second handle")).stderr(log).spawn().expect("the proxy")
}

impl Proxy {
    /// nginx with `nginx/coinslot.conf`, as it is included into the block `http` of its own configuration.
    fn nginx(host: &ServeHost, https: SocketAddr) -> Self {
        let program = debian_program("nginx", "nginx-light");
        let ((dir, certificate), http) = (with_certificate(), free());
        let folder = dir.path().display().to_string();
        let conf = deployed(
            "nginx/coinslot.conf",
            &[
                ("server 127.0.0.1:8402;", &format!("server {};", host.url("").trim_start_matches("http://"))),
                ("listen 80;", &format!("listen {http};")),
                ("listen 443 ssl http2;", &format!("listen {https} ssl http2;")),
                ("    listen [::]:80;\n", ""),
                ("    listen [::]:443 ssl http2;\n", ""),
                ("/etc/letsencrypt/live/api.example.com/", &format!("{folder}/")),
            ],
        );
        std::fs::write(dir.path().join("coinslot.conf"), conf).expect("a file");
        let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {folder}/{kind};\n"))
            .concat();
        let root = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
        let main = format!(
            "{root}daemon off;\npid {folder}/pid;\nerror_log {folder}/log;\nevents {{}}\n\
             http {{\naccess_log off;\n{places}include {folder}/coinslot.conf;\n}}\n"
        );
        std::fs::write(dir.path().join("nginx.conf"), main).expect("a file");
        let conf = format!("{folder}/nginx.conf");
        let child = start(program, &["-p", &folder, "-c", &conf, "-e", &format!("{folder}/log")], dir.path());
        Self { child, dir, https, http: Some(http), certificate }
    }

    /// Caddy with `caddy/Caddyfile`. The certificate is given to it: no authority is asked.
    fn caddy(host: &ServeHost, https: SocketAddr) -> Self {
        let program = debian_program("caddy", "caddy");
        let (dir, certificate) = with_certificate();
        let folder = dir.path().display().to_string();
        let global = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n\n";
        let site = format!(
            "{global}https://{NAME}:{} {{\n\tbind 127.0.0.1\n\ttls {folder}/fullchain.pem {folder}/privkey.pem\n",
            https.port()
        );
        let upstream = host.url("");
        let upstream = format!("reverse_proxy {} {{", upstream.trim_start_matches("http://"));
        let text = deployed(
            "caddy/Caddyfile",
            &[("api.example.com {\n", &site), ("reverse_proxy 127.0.0.1:8402 {", &upstream)],
        );
        // The options of all sites stand before everything else.
        let text = text.split_once(global).map(|(before, after)| format!("{global}{before}{after}")).expect("options");
        std::fs::write(dir.path().join("Caddyfile"), text).expect("a file");
        let child = start(program, &["run", "--config", "Caddyfile", "--adapter", "caddyfile"], dir.path());
        Self { child, dir, https, http: None, certificate }
    }

    /// A client that trusts the certificate and finds the name here.
    fn client(&self) -> Client {
        let certificate = Certificate::from_pem(self.certificate.as_bytes()).expect("PEM");
        let client = Client::builder().tls_certs_only([certificate]).redirect(reqwest::redirect::Policy::none());
        client.resolve(NAME, self.https).timeout(Duration::from_secs(60)).build().expect("a client")
    }

    fn url(&self, path: &str) -> String {
        format!("https://{NAME}:{}{path}", self.https.port())
    }

    async fn wait(&mut self) {
        let (client, deadline) = (self.client(), Instant::now() + Duration::from_secs(60));
        while client.get(self.url("/.well-known/coinslot/ready")).send().await.is_err() {
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none() && Instant::now() < deadline, "the proxy does not serve: {ended:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A host with the configuration that both files name, which finds no folder to write into but its state. `public_url` has
/// the port of the proxy, which is not that of HTTPS here: a proxy that drops it has every request refused.
async fn host(chain: &TestChain, https: SocketAddr) -> ServeHost {
    let more = "[server]\ntrusted_proxies = [\"127.0.0.1/32\"]\n[rate_limits]\nfailures_per_second = 0.1\n";
    let mut host = chain.serve(&["echo", "ticker"], more).await;
    let state = host.path("state");
    host.write_configuration(&format!(
        "public_url = \"https://{NAME}:{}\"\nstate = \"{}\"\n{}",
        https.port(),
        state.display(),
        host.configuration()
    ));
    host.restart(&[("TMPDIR", "/nonexistent"), ("HOME", "/nonexistent"), ("XDG_CACHE_HOME", "")]).await;
    host
}

async fn sells_behind(chain: &TestChain, host: &ServeHost, proxy: &mut Proxy) {
    proxy.wait().await;
    let (client, echo) = (proxy.client(), proxy.url("/echo"));
    let challenge = client.post(&echo).body("mine").send().await.expect("an answer");
    assert_eq!((challenge.status().as_u16(), challenge.version()), (402, Version::HTTP_2), "{}", host.log());
    let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
    assert_eq!(required["resource"]["url"], echo);
    let payment = chain.payer(0).pay(&challenge).header();
    let paid = client.post(&echo).body("mine").header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
    assert_eq!(paid.status(), 200, "{}", host.log());
    assert!(paid.headers().contains_key("payment-response"));
    assert_eq!(chain.payments_received().await, 1);

    // The largest payment that the host reads arrives, and the answer is the host's own.
    let large = "A".repeat(15 << 10);
    let refused = client.post(&echo).header("PAYMENT-SIGNATURE", large).send().await.expect("an answer");
    let error: Value = refused.json().await.expect("the host's own document");
    assert_eq!((&error["error"], &error["charged"]), (&"invalid_payload".into(), &"no".into()), "{error}");
    // nginx refuses it by its length, and through Caddy the host does, because nobody has paid for it.
    let too_large = client.post(&echo).body(vec![0; 11 << 20]).send().await;
    assert!(too_large.is_err() || too_large.is_ok_and(|reply| matches!(reply.status().as_u16(), 402 | 413)));
    streams(chain, proxy).await;

    // One client has one address, whatever it writes.
    let bad = encode(&json!({ "x402Version": 2, "accepted": {}, "payload": {} }));
    let mut statuses = Vec::new();
    for forged in ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"] {
        let request = client.post(&echo).header("PAYMENT-SIGNATURE", &bad).header("X-Forwarded-For", forged);
        let request = request.header("Forwarded", format!("for={forged}"));
        statuses.push(request.send().await.expect("an answer").status().as_u16());
    }
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
}

/// The first event arrives while the guest sleeps, which it does for an hour.
async fn streams(chain: &TestChain, proxy: &Proxy) {
    let (client, ticker) = (proxy.client(), proxy.url("/ticker"));
    let challenge = client.post(&ticker).send().await.expect("a challenge");
    let payment = chain.payer(1).pay(&challenge).header();
    let request = client.post(&ticker).header("x-do", "event sleep event").header("PAYMENT-SIGNATURE", payment);
    let mut reply = request.send().await.expect("an answer");
    assert_eq!(reply.status(), 200);
    let mut seen = String::new();
    while !seen.contains("data: 1\n\n") {
        let part = tokio::time::timeout(Duration::from_secs(30), reply.chunk()).await.expect("the event is held back");
        seen.push_str(&String::from_utf8_lossy(&part.expect("an open stream").expect("more to come")));
    }
}

#[tokio::test]
async fn a_host_sells_and_streams_behind_nginx_with_tls() {
    let (chain, https) = (TestChain::start().await, free());
    let host = host(&chain, https).await;
    let mut proxy = Proxy::nginx(&host, https);
    sells_behind(&chain, &host, &mut proxy).await;
    let plain = format!("http://{}/echo?a=b", proxy.http.expect("a port"));
    let moved = proxy.client().post(plain).header("Host", NAME).send().await.expect("an answer");
    assert_eq!(moved.status(), 308);
    assert_eq!(moved.headers()["location"], format!("https://{NAME}/echo?a=b"));
}

#[tokio::test]
async fn a_host_sells_and_streams_behind_caddy_with_tls() {
    let (chain, https) = (TestChain::start().await, free());
    let host = host(&chain, https).await;
    let mut proxy = Proxy::caddy(&host, https);
    sells_behind(&chain, &host, &mut proxy).await;
}
