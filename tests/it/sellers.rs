//! Checks that a seller makes `coinslot pay` neither print nor pay anything that the payer has not agreed to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;

use coinslot_evm::Key;
use coinslot_tests::{SELLER, binary, decode, encode};
use serde_json::{Value, json};

const NETWORK: &str = "eip155:84532";
const OWN_KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
const OTHER_KEY: &str = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a";

/// A seller that answers each request by a function, which gets the payment, if there is one. Returns its URL.
fn seller(answer: impl Fn(Option<Value>, &mut TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
            let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let payment = head.iter().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("payment-signature").then(|| decode(value.trim()))
            });
            answer(payment, &mut stream);
        }
    });
    url
}

fn send(stream: &mut TcpStream, status: &str, header: &str) {
    let answer = format!("HTTP/1.1 {status}\r\n{header}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    // The payer may have gone.
    let _ = stream.write_all(answer.as_bytes());
}

fn challenge(stream: &mut TcpStream) {
    let document = json!({
        "x402Version": 2,
        "error": "pay",
        "resource": {"url": "http://127.0.0.1/"},
        "accepts": [{
            "scheme": "exact",
            "network": NETWORK,
            "amount": "10000",
            "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "payTo": SELLER.to_string(),
            "maxTimeoutSeconds": 60,
            "extra": {"name": "USDC", "version": "2"},
        }],
    });
    send(stream, "402 Payment Required", &format!("payment-required: {}", encode(&document)));
}

fn pay(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.current_dir(dir).arg("pay").args(arguments).env("COINSLOT_PAYER_KEY", OWN_KEY);
    command.env("XDG_STATE_HOME", dir.join("state")).env("COINSLOT_STATE_DIR", dir.join("payments"));
    command.stdin(Stdio::null()).output().expect("the coinslot binary")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A body without end was held in memory until the machine had none left.
#[test]
fn a_body_without_end_is_cut_where_the_payer_wants_one_json_object() {
    let url = seller(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
        while stream.write_all(&[b'x'; 1 << 16]).is_ok() {}
    });
    let dir = tempfile::tempdir().expect("a folder");
    let got = pay(dir.path(), &[&url, "--json"]);
    let said = text(&got.stderr);
    assert_eq!(got.status.code(), Some(1), "{said}");
    assert!(said.contains("more than 64 MiB and was cut"), "{said}");
    let object: Value = serde_json::from_slice(&got.stdout).expect("one JSON object");
    assert_eq!(object["body"].as_str().map(str::len), Some(64 << 20));
}

/// A line break in the name of a transaction let a seller write lines of its own beside those of the command.
#[test]
fn the_texts_of_a_seller_stay_within_one_line_of_the_payer() {
    let forged = format!("0x1\npaid 0.00 USDC\r\n\u{1b}[2K{}", "a".repeat(5_000));
    let dir = tempfile::tempdir().expect("a folder");
    for (success, status, code, begins) in [
        (true, "200 OK", 0, "paid 0.01 USDC on eip155:84532 to "),
        (false, "402 Payment Required", 4, "coinslot: the payment was refused: 0x1"),
    ] {
        let forged = forged.clone();
        let url = seller(move |payment, stream| {
            let receipt = json!({
                "success": success, "transaction": forged, "errorReason": forged, "network": NETWORK,
            });
            match payment {
                None => challenge(stream),
                Some(_) => {
                    let charged = if success { "" } else { "\r\nx-coinslot-charged: no" };
                    send(stream, status, &format!("payment-response: {}{charged}", encode(&receipt)));
                }
            }
        });
        let got = pay(dir.path(), &[&url, "--max", "0.01"]);
        let said = text(&got.stderr);
        assert_eq!(got.status.code(), Some(code), "{said}");
        assert!(said.starts_with(begins) && said.contains("0x1"), "{said}");
        assert!(said.lines().count() == 1 && said.chars().count() < 1_000, "{said}");
        assert!(!said.contains('\u{1b}') && said.trim_end().ends_with("a..."), "{said}");
    }
}

/// The dev.json of a host that was killed stays behind, and another program may listen at its address.
#[test]
fn the_key_of_a_development_host_that_does_not_run_pays_nothing() {
    let (payers, paid_by) = mpsc::channel();
    let url = seller(move |payment, stream| match payment {
        None => challenge(stream),
        Some(payment) => {
            let payer = payment["payload"]["authorization"]["from"].as_str().map(str::to_owned);
            payers.send(payer.expect("a payer").to_lowercase()).expect("the test listens");
            let receipt = json!({"success": true, "transaction": "0x1", "network": NETWORK});
            send(stream, "200 OK", &format!("payment-response: {}", encode(&receipt)));
        }
    });
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(dir.path().join(".coinslot")).expect("a folder");
    let dev_json = dir.path().join(".coinslot/dev.json");
    let left_behind = json!({"url": url, "payers": [{"privateKey": OTHER_KEY}]});
    std::fs::write(&dev_json, left_behind.to_string()).expect("written");
    std::fs::set_permissions(&dev_json, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    let address = |key: &str| Key::parse(key, "the test").expect("a key").address().to_string().to_lowercase();

    let lock = std::fs::File::create(dir.path().join(".coinslot/dev.lock")).expect("a lock");
    let got = pay(dir.path(), &[&url, "--max", "0.01"]);
    assert!(got.status.success(), "{}", text(&got.stderr));
    assert_eq!(paid_by.recv().expect("a payment"), address(OWN_KEY), "that of the environment");

    lock.try_lock().expect("free, as `coinslot dev` finds it");
    let got = pay(dir.path(), &[&url, "--max", "0.01"]);
    assert!(got.status.success(), "{}", text(&got.stderr));
    assert_eq!(paid_by.recv().expect("a payment"), address(OTHER_KEY), "that of the host that runs");
}
