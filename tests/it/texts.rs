//! Checks that hostile text in paths, headers and bodies stays inert in answers and in the log.

use coinslot_tests::{DevHost, decode, guest, raw};
use serde_json::Value;

/// An HTML attribute, a script, a forged log line and a forged header, percent-encoded.
const HOSTILE: &str = "%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E%0d%0aERROR%20forged%20line%0d%0aset-cookie:%20a=b";

#[tokio::test]
async fn a_hostile_path_is_echoed_only_as_json_and_forges_no_log_line() {
    let host = DevHost::builder()
        .plugin("quoter.wasm", &guest("quoter"))
        .plugin("echo.wasm", &guest("echo"))
        .arguments(&["--log", "debug"])
        .start()
        .await;
    let encoded = HOSTILE.replace("%2F", "");
    for (method, path) in [
        ("GET", format!("/nowhere/{encoded}")),
        ("POST", format!("/quoter/{encoded}")),
        ("POST", format!("/quoter/x?{encoded}")),
        ("GET", format!("/echo?{HOSTILE}")),
        ("POST", format!("/echo?{HOSTILE}")),
    ] {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
        let answer = raw(&host.url(""), request.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains("content-type: application/json"), "{path}: {head}");
        assert!(!head.contains("set-cookie"), "{path}: {head}");
        assert!(!body.contains("<script"), "{path}: {body}");
    }
    let log = host.log();
    assert!(log.contains("echo got"), "the guest says what it was asked:\n{log}");
    assert!(!log.lines().any(|line| line.trim_start().starts_with("ERROR forged")), "{log}");
    assert!(!log.contains("<script"), "{log}");
}

#[tokio::test]
async fn a_challenge_carries_a_hostile_path_escaped() {
    let host = DevHost::builder().plugin("quoter.wasm", &guest("quoter")).start().await;
    // A path with a line break is refused.
    let path = format!("/quoter/{}", HOSTILE.replace("%2F", "").replace("%0d%0a", ""));
    let reply = host.client().post(host.url(&path)).body("text").send().await.expect("an answer");
    assert_eq!(reply.status(), 402);
    let required = decode(reply.headers()["payment-required"].to_str().expect("ASCII"));
    let url = required["resource"]["url"].as_str().expect("a URL");
    assert!(!url.contains(['<', '>', '"', '\r', '\n']), "{url}");
    let body: Value = reply.json().await.expect("JSON");
    assert_eq!(body["x402Version"], 1);
}

#[tokio::test]
async fn output_of_a_failing_guest_goes_only_to_the_log() {
    let host = DevHost::builder().plugin("trap.wasm", &guest("trap")).start().await;
    for path in ["/trap", "/trap?when=exit", "/trap?when=head"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = raw(&host.url(""), request.as_bytes()).await;
        for word in ["wasm", "unreachable", "as asked", "about to trap", "src/lib.rs", "guest", "exited"] {
            assert!(!answer.contains(word), "{path} says {word}: {answer}");
        }
    }
    assert!(host.log().contains("about to trap") && host.log().contains("trapped"), "{}", host.log());
}
