//! Checks that a host with a public name answers to its configured names only, and names no other in a challenge.

use alloy::primitives::U256;
use coinslot_tests::{DevHost, Http2, RunningCommand, decode, guest, raw};
use hyper::Request;

/// A `coinslot serve` with the public name shop.example.com that settles on the chain of a `coinslot dev`.
struct NamedHost {
    chain_host: DevHost,
    served: RunningCommand,
    _facilitator: RunningCommand,
    _dir: tempfile::TempDir,
}

impl NamedHost {
    async fn open() -> Self {
        Self::open_at("https://shop.example.com").await
    }

    async fn open_at(public_url: &str) -> Self {
        let chain_host = DevHost::builder().start().await;
        let facilitator = chain_host.facilitator();
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("plugins")).expect("a folder");
        std::fs::copy(guest("echo"), dir.path().join("plugins/echo.wasm")).expect("a component");
        let config = format!(
            "listen = \"127.0.0.1:0\"\npublic_url = \"{public_url}\"\nhosts = [\"health.example\"]\n\
             [[accept]]\nnetwork = \"base-sepolia\"\npay_to = \"{}\"\n[facilitator.far]\nurl = \"{}\"\n",
            chain_host.seller(),
            facilitator.url(""),
        );
        std::fs::write(dir.path().join("coinslot.toml"), config).expect("a file");
        let served = RunningCommand::start(dir.path(), &["serve"], &[]);
        Self { chain_host, served, _facilitator: facilitator, _dir: dir }
    }

    /// The whole answer to a request for this target with this `Host` header.
    async fn ask(&self, method: &str, target: &str, host: &str) -> String {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        raw(&self.served.url(""), request.as_bytes()).await
    }
}

#[tokio::test]
async fn a_foreign_host_name_gets_421_and_no_challenge() {
    let named = NamedHost::open().await;
    let listening = named.served.url("").replace("http://", "");
    for name in [
        "evil.example",
        "evil.example:443",
        "shop.example.com.evil.example",
        "evil.shop.example.com",
        "shop.example.com:8402",
        "shop.example.com.",
        "localhost",
        &listening,
    ] {
        for method in ["GET", "POST"] {
            for target in ["/echo".to_owned(), format!("http://{name}/echo"), format!("https://{name}/echo")] {
                let answer = named.ask(method, &target, name).await;
                assert!(answer.starts_with("HTTP/1.1 421 "), "{method} {target}, Host: {name}: {answer}");
                let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
                assert!(!head.contains("payment-required") && !head.contains(name), "{target}: {answer}");
                for said in [&format!("`{name}`"), "`shop.example.com`", "`hosts`"] {
                    assert!(body.contains(said), "{target}: {said} in {answer}");
                }
            }
        }
    }
    let line = "a request for another host name was refused with 421";
    assert_eq!(named.served.log().matches(line).count(), 1, "it is not said for each request");
    let mut http2 = Http2::connect(&named.served.url("")).await;
    let reply = http2.send(Request::post("http://evil.example/echo")).await;
    assert_eq!(reply.status(), 421);
    assert!(!reply.headers().contains_key("payment-required"));
    assert!(!named.served.log().contains("echo got"));
}

#[tokio::test]
async fn a_request_that_names_two_hosts_is_refused() {
    let named = NamedHost::open().await;
    for (target, host) in [
        ("http://evil.example/echo", "shop.example.com"),
        ("http://shop.example.com/echo", "evil.example"),
        ("/echo", "shop.example.com@evil.example"),
        ("/echo", "evil.example@shop.example.com"),
        ("http://shop.example.com@evil.example/echo", "shop.example.com@evil.example"),
        ("http://evil.example@shop.example.com/echo", "evil.example@shop.example.com"),
        ("http://evil.example@shop.example.com/echo", "shop.example.com"),
        ("//evil.example/echo", "shop.example.com"),
        ("/echo", "shop.example.com\r\nHost: evil.example"),
        ("/echo", "shop.example.com, evil.example"),
    ] {
        for method in ["GET", "POST"] {
            let answer = named.ask(method, target, host).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{method} {target}, Host: {host}: {answer}");
            assert!(!answer.contains("payment-required") && !answer.contains("evil"), "{target}: {answer}");
        }
    }
    let mut http2 = Http2::connect(&named.served.url("")).await;
    let reply = http2.send(Request::post("http://shop.example.com/echo").header("host", "evil.example")).await;
    assert_eq!(reply.status(), 400);
    assert!(!named.served.log().contains("echo got"));
}

#[tokio::test]
async fn configured_names_are_served_and_challenges_carry_the_public_name() {
    let named = NamedHost::open().await;
    let url = named.served.url("/echo");
    for name in ["shop.example.com", "SHOP.Example.com", "shop.example.com:443", "health.example"] {
        let free = named.ask("GET", "/echo", name).await;
        assert!(free.starts_with("HTTP/1.1 200 "), "{name}: {free}");
        let absolute = named.ask("POST", &format!("http://{name}/echo"), name).await;
        assert!(absolute.starts_with("HTTP/1.1 402 "), "{name}: {absolute}");
        let challenge = named.chain_host.client().post(&url).header("host", name).send().await.expect("an answer");
        assert_eq!(challenge.status(), 402, "{name}");
        let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
        assert_eq!(required["resource"]["url"], "https://shop.example.com/echo", "{name}");
    }
    let mut http2 = Http2::connect(&url).await;
    let challenge = http2.send(Request::post("http://shop.example.com/echo")).await;
    let payment = named.chain_host.payer(0).pay(&challenge).header();
    let reply = http2.send(Request::post("http://shop.example.com/echo").header("payment-signature", payment)).await;
    assert_eq!(reply.status(), 200);
    assert!(named.served.log().contains("echo got"));
    assert_eq!(named.chain_host.chain().balance(named.chain_host.seller()).await, U256::from(10_000));
}

/// Behind a proxy that serves the host below a path and removes it, as Caddy's `handle_path` does, challenges named
/// another address than clients call: such a `public_url` was refused.
#[tokio::test]
async fn a_path_that_a_proxy_removes_is_in_challenges_and_in_no_route() {
    let named = NamedHost::open_at("https://shop.example.com/paid/").await;
    let url = named.served.url("/echo");
    let send = || named.chain_host.client().post(&url).header("host", "shop.example.com");
    let challenge = send().send().await.expect("an answer");
    assert_eq!(challenge.status(), 402);
    let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
    assert_eq!(required["resource"]["url"], "https://shop.example.com/paid/echo");
    let payment = named.chain_host.payer(0).pay(&challenge).header();
    assert_eq!(send().header("payment-signature", payment).send().await.expect("an answer").status(), 200);
    for (target, name, status) in [
        ("/paid/echo", "shop.example.com", 404),
        ("/echo", "shop.example.com/paid", 400),
        ("/echo", "evil.example", 421),
    ] {
        let answer = named.ask("POST", target, name).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{target}, Host: {name}: {answer}");
    }
}
