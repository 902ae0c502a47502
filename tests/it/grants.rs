//! Checks what plugins may do that the operator grants: outgoing HTTP, secrets, key-value store, configuration.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use coinslot_tests::{DevHost, TestChain, component, guest, run};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

/// Starts a server that answers with this function while the test runs. Returns its URL.
pub(crate) async fn serve<F, R>(answer: F) -> String
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answered = answer(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    format!("http://{address}")
}

/// Lets the guest `fetch` send one request and returns its report.
async fn fetch(host: &DevHost, line: &str) -> Value {
    let answer = host.client().post(host.url("/fetch")).body(line.to_owned()).send().await.expect("an answer");
    let said: Value = answer.json().await.expect("JSON");
    said[0].clone()
}

#[tokio::test]
async fn outgoing_http_and_secrets_are_granted_by_name_and_denied_by_default() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keys = Arc::clone(&seen);
    let server = serve(move |request| {
        let key = request.headers().get("x-api-key").map(|value| value.to_str().expect("ASCII").to_owned());
        keys.lock().expect("the keys").push(key);
        async { Response::new(Full::from("served")) }
    })
    .await;
    let line = format!("GET {server}/rates");

    let denied = DevHost::builder().plugin("fetch.wasm", &guest("fetch")).start().await;
    assert_eq!(fetch(&denied, &line).await["error"], "ErrorCode::HttpRequestDenied");
    assert!(seen.lock().expect("the keys").is_empty());

    let builder = DevHost::builder().plugin("fetch.wasm", &guest("fetch"));
    let config = builder.path("coinslot.toml");
    let text = format!(
        "[plugin.fetch]\nhttp = [\"{server}\"]\nsecrets = [{{ origin = \"{server}\", header = \"x-api-key\", value_file = \"key\" }}]\n[plugin.missing]\nkeyvalue = true\n"
    );
    std::fs::write(&config, text).expect("a file");
    std::fs::write(builder.path("key"), "hunter2\n").expect("a file");
    let host = builder.arguments(&["--config", "coinslot.toml"]).start().await;
    let said = fetch(&host, &line).await;
    assert_eq!((said["status"].as_u64(), said["body"].as_str()), (Some(200), Some("served")), "{said}");
    assert_eq!(*seen.lock().expect("the keys"), [Some("hunter2".to_owned())]);
    assert!(!said.to_string().contains("hunter2"), "the plugin saw the secret: {said}");
    assert!(!host.log().contains("hunter2"), "the log has the secret");
    assert!(host.log().contains("plugin.missing: no plugin of this name is active"), "{}", host.log());
    // Another port is another origin.
    assert_eq!(fetch(&host, &format!("GET {}/", host.url(""))).await["error"], "ErrorCode::HttpRequestDenied");
}

/// A plugin that passes answers on would otherwise hand the mark of an SDK to the host, and another server could take it
/// off sale.
#[tokio::test]
async fn another_server_cannot_mark_an_answer_as_a_failure_of_the_plugin() {
    let server = serve(|_| async {
        let marked =
            Response::builder().status(500).header("x-coinslot-failed", "1").header("payment-response", "e30=");
        marked.body(Full::from("no")).expect("an answer")
    })
    .await;
    let builder = DevHost::builder().plugin("fetch.wasm", &guest("fetch"));
    std::fs::write(builder.path("coinslot.toml"), format!("[plugin.fetch]\nhttp = [\"{server}\"]\n")).expect("a file");
    let host = builder.arguments(&["--config", "coinslot.toml"]).start().await;
    let said = fetch(&host, &format!("GET {server}/")).await;
    assert_eq!(said["status"], 500, "{said}");
    let fields = said["headers"].to_string();
    assert!(fields.contains("payment-response") && !fields.contains("failed"), "{said}");
}

/// Starts a TLS server with a certificate for `localhost`. Returns its address and the certificate.
async fn serve_tls(answer: &'static str) -> (std::net::SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a key for its certificate");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let service =
                service_fn(move |_| async move { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(answer))) });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, made.cert.pem())
}

#[tokio::test]
async fn an_outgoing_tls_certificate_must_be_trusted_and_match_the_name() {
    let (address, certificate) = serve_tls("served").await;
    let (named, bare) = (format!("https://localhost:{}", address.port()), format!("https://{address}"));
    let start = async |trusted: bool| {
        let builder =
            DevHost::builder().plugin("fetch.wasm", &guest("fetch")).arguments(&["--config", "coinslot.toml"]);
        let config = format!("[plugin.fetch]\nhttp = [\"{named}\", \"{bare}\"]\n");
        std::fs::write(builder.path("coinslot.toml"), config).expect("a file");
        let file = builder.path("trusted.pem");
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        std::fs::write(&file, if trusted { certificate.clone() } else { other.cert.pem() }).expect("a file");
        builder.environment("SSL_CERT_FILE", file.to_str().expect("a path")).start().await
    };
    let host = start(true).await;
    let said = fetch(&host, &format!("GET {named}/")).await;
    assert_eq!((said["status"].as_u64(), said["body"].as_str()), (Some(200), Some("served")), "{said}\n{}", host.log());
    let said = fetch(&host, &format!("GET {bare}/")).await;
    assert_eq!(said["error"], "ErrorCode::TlsCertificateError", "its certificate is for another name");
    let host = start(false).await;
    assert_eq!(fetch(&host, &format!("GET {named}/")).await["error"], "ErrorCode::TlsCertificateError");
}

#[tokio::test]
async fn plugins_that_call_each_other_in_a_loop_are_stopped() {
    // A proxy in front of the host, as under a public address.
    let target = Arc::new(Mutex::new(String::new()));
    let (client, behind) = (reqwest::Client::new(), Arc::clone(&target));
    let front = serve(move |request| {
        let (client, to) = (client.clone(), behind.lock().expect("the address").clone());
        async move {
            let url = format!("{to}{}", request.uri());
            let answer = client.get(url).headers(request.headers().clone()).send().await.expect("the host");
            let status = answer.status();
            let mut passed_on = Response::new(Full::new(answer.bytes().await.expect("a body")));
            *passed_on.status_mut() = status;
            passed_on
        }
    })
    .await;
    let builder = DevHost::builder().plugin("fetch.wasm", &guest("fetch"));
    std::fs::write(builder.path("coinslot.toml"), format!("[plugin.fetch]\nhttp = [\"{front}\"]\n")).expect("a file");
    let host = builder.arguments(&["--config", "coinslot.toml"]).start().await;
    *target.lock().expect("the address") = host.url("");
    let said: Value =
        host.client().get(format!("{front}/fetch?again")).send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(said.to_string(), r#"{"inner":{"inner":{"inner":{"end":"ErrorCode::LoopDetected"}}}}"#);
}

#[tokio::test]
async fn stored_keys_survive_a_new_build_of_the_plugin() {
    let builder = DevHost::builder().plugin("keeper.wasm", &guest("keeper"));
    let config = "[plugin.keeper]\nkeyvalue = { keys = 2 }\n[plugin.keeper.config]\ngreeting = \"hello\"\n";
    std::fs::write(builder.path("coinslot.toml"), config).expect("a file");
    let host = builder.arguments(&["--config", "coinslot.toml"]).start().await;
    let steps = async |plan: &'static str| {
        let answer = host.client().post(host.url("/keeper")).body(plan).send().await.expect("an answer");
        answer.text().await.expect("text")
    };
    let said = steps("config greeting\nset a 1\nincrement n 41\nset b 1").await;
    let (first, last) = said.rsplit_once('\n').expect("four lines");
    assert_eq!(first, "Ok(Some(\"hello\"))\nOk(())\nOk(41)");
    assert!(last.contains("may keep 2 keys"), "{said}");
    // Another build of the plugin: the same component with one more section.
    let mut other = component("keeper");
    other.extend([0, 2, 1, b'x']);
    let active = || host.log().matches("keeper.wasm is active").count();
    let before = active();
    std::fs::write(host.path("plugins/new"), other).expect("a component");
    std::fs::rename(host.path("plugins/new"), host.path("plugins/keeper.wasm")).expect("a rename");
    let deadline = Instant::now() + Duration::from_secs(60);
    while active() == before {
        assert!(Instant::now() < deadline, "the new build is not active");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(steps("get a\nincrement n 1").await, "Ok(Some(\"1\"))\nOk(42)");
}

#[tokio::test]
async fn inspect_shows_imported_and_granted_capabilities() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = r#"
[plugin.keeper]
http = ["https://api.example.com", { origin = "http://billing.internal", private = true }]
secrets = [{ origin = "https://api.example.com", header = "Authorization", value_env = "UNSET_VARIABLE" }]
[plugin.keeper.config]
greeting = "private words"
"#;
    std::fs::write(dir.path().join("coinslot.toml"), config).expect("a file");
    let keeper = guest("keeper");
    let keeper = keeper.to_str().expect("a path");
    let shown = run(dir.path(), &["inspect", keeper, "-c", "coinslot.toml"]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.status.success(), "{text}{}", String::from_utf8_lossy(&shown.stderr));
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    let http = line("outgoing HTTP");
    for part in
        ["; granted: https://api.example.com", "http://billing.internal (private)", "authorization", "UNSET_VARIABLE"]
    {
        assert!(http.contains(part), "{part}: {text}");
    }
    assert!(line("configuration").ends_with("granted: greeting"), "{text}");
    // What a plugin says of itself is public: this one tells what it reads.
    let by_the_host = text.lines().filter(|line| !line.trim_start().starts_with("about"));
    assert!(!by_the_host.collect::<String>().contains("private words"), "{text}");
    let keyvalue = line("key-value store");
    assert!(keyvalue.contains("asked (wasi:keyvalue/") && keyvalue.ends_with("granted: nothing"), "{text}");
    let plain = run(dir.path(), &["inspect", "--json", guest("echo").to_str().expect("a path")]);
    let document: Value = serde_json::from_slice(&plain.stdout).expect("one JSON object");
    for capability in document["capabilities"].as_array().expect("a list") {
        assert_eq!(capability["granted"], serde_json::json!([]), "{document}");
    }
}

#[tokio::test]
async fn check_warns_about_an_unknown_plugin_and_refuses_a_missing_secret() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let facilitator = host.facilitator();
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("plugins")).expect("a folder");
    std::fs::copy(guest("fetch"), dir.path().join("plugins/fetch.wasm")).expect("a component");
    let check = |tables: &str| {
        let text = format!(
            "[[accept]]\nnetwork = \"base-sepolia\"\npay_to = \"0xC0140eEa19bD90a7cA75882d5218eFaF20426e42\"\n[facilitator.far]\nurl = \"{}\"\n{tables}",
            facilitator.url("")
        );
        std::fs::write(dir.path().join("coinslot.toml"), text).expect("a file");
        let checked = run(dir.path(), &["check"]);
        let said = [checked.stdout, checked.stderr].concat();
        (checked.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let (code, said) = check("[plugin.fetch]\nkeyvalue = true\n[plugin.fetcher]\nkeyvalue = true\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("warning: plugin.fetcher: no plugin of this name"), "{said}");
    let lacks = "warning: plugin.fetch: it asks for outgoing HTTP and is granted none: what needs it will fail; in \
                 [plugin.fetch] write http = [\"https://api.example.com\"]";
    assert!(said.contains(lacks), "{said}");
    let (_, said) = check("[plugin.fetch]\nhttp = [\"https://api.example.com\"]\n");
    assert!(!said.contains("plugin.fetch:"), "{said}");
    let (code, said) = check(
        "[plugin.fetch]\nhttp = [\"https://api.example.com\"]\nsecrets = [{ origin = \"https://api.example.com\", header = \"x-key\", value_env = \"UNSET_VARIABLE\" }]\n",
    );
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("plugin.fetch.secrets[0]: the variable UNSET_VARIABLE is not set"), "{said}");
}

#[tokio::test]
async fn an_sdk_plugin_uses_its_key_value_store_and_its_configuration() {
    let visit = async |config: &str| {
        let builder = DevHost::builder().plugin("visits.wasm", &guest("visits"));
        std::fs::write(builder.path("coinslot.toml"), config).expect("a file");
        let host = builder.arguments(&["--config", "coinslot.toml"]).start().await;
        let mut answers = Vec::new();
        for name in ["ada", "bob", "ada"] {
            let answer = host.client().post(host.url(&format!("/visits/{name}"))).send().await.expect("an answer");
            answers.push((answer.status().as_u16(), answer.text().await.expect("text")));
        }
        answers
    };
    let granted = "[plugin.guest-visits]\nkeyvalue = true\n[plugin.guest-visits.config]\ngreeting = \"Ahoy\"\n";
    let expected = ["Ahoy, ada: 1 of ada last", "Ahoy, bob: 1 of ada last bob", "Ahoy, ada: 2 of ada last bob"];
    assert_eq!(visit(granted).await, expected.map(|text| (200, text.to_owned())));
    for (status, text) in visit("[plugin.guest-visits]\nhttp = []\n").await {
        assert!(status == 503 && text.contains("has not granted a key-value store"), "{status} {text}");
    }
}

#[tokio::test]
async fn a_replaced_secret_is_used_after_sighup() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keys = Arc::clone(&seen);
    let server = serve(move |request| {
        let key = request.headers().get("x-api-key").map(|value| value.to_str().expect("ASCII").to_owned());
        keys.lock().expect("the keys").push(key.unwrap_or_default());
        async { Response::new(Full::from("served")) }
    })
    .await;
    let chain = TestChain::start().await;
    let host = chain.serve(&["fetch"], "").await;
    let secret = host.plugin_dir().with_file_name("secret");
    std::fs::write(&secret, "first").expect("a file");
    let grants = format!(
        "[plugin.fetch]\nhttp = [\"{server}\"]\nsecrets = [{{ origin = \"{server}\", header = \"x-api-key\", value_file = \"secret\" }}]\n"
    );
    host.write_configuration(&format!("{}{grants}", host.configuration()));
    host.wait_for_log("the configuration is active", 1).await;
    let ask = async || {
        let asked = reqwest::Client::new().post(host.url("/fetch")).body(format!("GET {server}/rates")).send().await;
        assert_eq!(asked.expect("an answer").status(), 200, "{}", host.log());
    };
    ask().await;
    std::fs::write(&secret, "second").expect("a file");
    ask().await;
    host.signal("HUP");
    host.wait_for_log("the configuration is active", 2).await;
    ask().await;
    assert_eq!(*seen.lock().expect("the keys"), ["first", "first", "second"]);
}
