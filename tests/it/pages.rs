//! Runs the code blocks of the pages, or has them say why they do not run.
//!
//! A block runs in an empty folder outside of the repository. Modules are built by `coinslot build`, crates by cargo,
//! configurations are read by `coinslot check`, and commands run in bash, where what they print is compared with what
//! the page shows. A block that cannot run says so in its fence, as
//! in "```console not run: it changes the machine", and the number of such blocks is bounded.

mod console;
pub(crate) mod fences;
mod links;
mod modules;
mod shown;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use coinslot_tests::{DevHost, SELLER, TestChain, binary, guest, target};
use serde_json::Value;

use console::Terminal;
use fences::{Block, blocks, pages};

/// The most blocks that do not run, in all pages together. Raise it only for a block that needs what no test can have.
const MOST_NOT_RUN: usize = 19;

/// The languages of blocks, and whether a test below runs them. `text` is what a program prints.
const LANGUAGES: [(&str, bool); 13] = [
    ("c", true),
    ("console", true),
    ("cpp", true),
    ("js", true),
    ("json", true),
    ("python", true),
    ("rust", true),
    ("sh", true),
    ("text", false),
    ("toml", true),
    ("ts", true),
    ("yaml", false),
    ("zig", true),
];

#[test]
fn every_block_has_a_language_that_is_run_or_says_why_not() {
    let mut not_run = Vec::new();
    for block in pages().iter().flat_map(|page| blocks(page)) {
        assert!(!block.language.is_empty(), "{}: name the language, or `text`", block.place());
        let known = LANGUAGES.iter().find(|(language, _)| *language == block.language);
        let (_, is_run) = known.unwrap_or_else(|| panic!("{}: no test runs {}", block.place(), block.language));
        match &block.not_run {
            Some(reason) => {
                assert!(reason.len() > 10, "{}: say why it does not run", block.place());
                not_run.push(format!("{}: {} not run: {reason}", block.place(), block.language));
            }
            None => assert!(*is_run || block.language == "text", "{}: say why it does not run", block.place()),
        }
    }
    let shown = not_run.join("\n");
    assert!(not_run.len() <= MOST_NOT_RUN, "{} blocks do not run:\n{shown}", not_run.len());
}

/// The blocks of a language that run, of all pages.
fn running(languages: &[&str]) -> Vec<Block> {
    let all = pages().iter().flat_map(|page| blocks(page)).collect::<Vec<_>>();
    all.into_iter().filter(|block| block.not_run.is_none() && languages.contains(&&*block.language)).collect()
}

#[test]
fn json_is_json() {
    let blocks = running(&["json"]);
    assert!(blocks.len() > 8, "{}", blocks.len());
    for block in blocks {
        assert!(!shown::documents(&block.text).is_empty(), "{}", block.place());
    }
}

/// Values of pages that stand for those of a reader.
const STAND_INS: [(&str, &str); 8] = [
    ("0xYourAddress", "0xC0140eEa19bD90a7cA75882d5218eFaF20426e42"),
    ("\"9f86d081..\"", "\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\""),
    ("\"60303ae2..\"", "\"60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752\""),
    ("https://x402.org", "http://127.0.0.1:9"),
    ("https://sepolia.base.org", "http://127.0.0.1:9"),
    ("https://api.cdp.coinbase.com", "https://127.0.0.1:9"),
    ("/etc/letsencrypt/live/api.example.com/", ""),
    ("https://your-base-node.example.com", "http://127.0.0.1:9"),
];

/// What configurations of pages read from the environment. The pair of Ed25519 is test 1 of RFC 8032, section 7.1.
const SECRETS: [(&str, &str); 9] = [
    ("COINSLOT_ADMIN_TOKEN", "0123456789abcdef"),
    ("COINSLOT_WEBHOOK_SECRET", "0123456789abcdef"),
    ("API_KEY", "key"),
    ("WEATHER_KEY", "key"),
    ("COINSLOT_GAS_KEY", "0x1111111111111111111111111111111111111111111111111111111111111111"),
    ("COINSLOT_REFUND_KEY", "0x3333333333333333333333333333333333333333333333333333333333333333"),
    ("COINSLOT_RECEIPT_KEY", "0x2222222222222222222222222222222222222222222222222222222222222222"),
    ("CDP_API_KEY_ID", "key"),
    ("CDP_API_KEY_SECRET", "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg=="),
];

/// What a configuration needs beside the part that a page shows.
fn completed(part: &str) -> String {
    let mut text = STAND_INS.iter().fold(part.to_owned(), |text, (from, to)| text.replace(from, to));
    if !text.contains("[[accept]]") {
        text += &format!("\n[[accept]]\nnetwork = \"base\"\npay_to = \"{}\"\n", STAND_INS[0].1);
    }
    let is_local =
        text.contains("[facilitator.own]") && text.contains("rpc =") && !text.contains("key_env = \"COINSLOT");
    if is_local {
        text = text.replace("[facilitator.own]\n", "[facilitator.own]\nkey_env = \"COINSLOT_GAS_KEY\"\n");
    } else if text.contains("\"own\"") || !text.contains("[facilitator.") {
        text += "\n[facilitator.own]\nrpc = \"http://127.0.0.1:9\"\nkey_env = \"COINSLOT_GAS_KEY\"\n";
    }
    text
}

/// A configuration that is wrong ends `check` with 2; one whose chain does not answer, as here, with 1.
#[test]
fn configurations_are_accepted() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir(dir.path().join("plugins")).expect("a folder");
    let pair = rcgen::generate_simple_self_signed(["api.example.com".to_owned()]).expect("a certificate");
    for name in ["fullchain.pem", "admin.pem", "operators.pem"] {
        fs::write(dir.path().join(name), pair.cert.pem()).expect("a file");
    }
    for name in ["privkey.pem", "admin.key"] {
        fs::write(dir.path().join(name), pair.signing_key.serialize_pem()).expect("a file");
    }
    let blocks: Vec<Block> =
        running(&["toml"]).into_iter().filter(|block| block.file() != Some("Cargo.toml")).collect();
    assert!(blocks.len() > 9, "{}", blocks.len());
    for block in blocks {
        fs::write(dir.path().join("coinslot.toml"), completed(&block.text)).expect("a file");
        let mut command = std::process::Command::new(coinslot_tests::binary());
        let checked = command.current_dir(dir.path()).arg("check").envs(SECRETS).output().expect("the binary");
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert_eq!(checked.status.code(), Some(1), "{}: {said}\n{}", block.place(), completed(&block.text));
        assert!(said.contains("127.0.0.1"), "{}: {said}", block.place());
    }
}

#[test]
fn modules_are_built() {
    // tests/it/c.rs builds those in C, C++ and Zig.
    let blocks = running(&["ts", "js"]);
    assert!(blocks.len() > 8, "{}", blocks.len());
    // The plugin of StarlingMonkey is built by the commands of its page.
    let is_built_there = |block: &&Block| block.page == "host/docs/starlingmonkey.md" && block.file().is_some();
    for block in blocks.iter().filter(|block| !is_built_there(block)) {
        modules::build(block);
    }
}

#[test]
fn modules_of_python_are_one_plugin_together() {
    modules::build_python(&running(&["python"]));
}

#[test]
fn crates_are_built() {
    modules::build_rust(&running(&["rust"]));
}

/// The commands of a page without a host, in one folder, with the files that the page shows.
fn runs_by_itself(page: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut terminal = Terminal::new(dir.path());
    terminal.run_page(page);
}

#[test]
fn the_page_of_typescript_leads_to_a_payment() {
    runs_by_itself("host/docs/javascript.md");
}

#[test]
fn the_page_of_python_leads_to_a_payment() {
    runs_by_itself("host/docs/python.md");
}

#[test]
fn the_page_of_c_leads_to_a_payment() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut terminal = Terminal::new(dir.path());
    terminal.provide(&coinslot_tests::zig_folder().join("zig"));
    terminal.run_page("host/docs/c.md");
}

#[test]
fn the_page_of_rust_leads_to_a_payment() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut terminal = Terminal::new(dir.path());
    // What cargo has compiled for the page before need not be compiled again.
    terminal.set("CARGO_TARGET_DIR", &target().join("pages").display().to_string());
    terminal.run_page("host/docs/rust.md");
}

#[test]
fn the_page_of_plugins_leads_to_a_payment() {
    runs_by_itself("host/docs/plugins.md");
}

#[test]
fn the_page_of_starlingmonkey_builds() {
    runs_by_itself("host/docs/starlingmonkey.md");
}

#[test]
fn the_page_of_examples_leads_to_a_payment() {
    let dir = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink(fences::root().join("sdk"), dir.path().join("sdk")).expect("a link");
    Terminal::new(dir.path()).run_page("host/docs/examples.md");
}

/// The pages that speak to a running `coinslot dev` with the plugins of this repository.
#[tokio::test(flavor = "multi_thread")]
async fn pages_for_payers_tell_what_a_host_answers() {
    let host =
        DevHost::builder().plugin("hello.wasm", &guest("hello")).plugin("aurora.wasm", &guest("aurora")).start().await;
    let url = host.url("");
    let challenge = host.client().get(host.url("/hello?name=Ada")).send().await.expect("a challenge");
    let payment = host.payer(0).pay(&challenge);
    let reads = |page: &str| {
        let mut terminal = Terminal::new(host.path(".").as_path());
        terminal.served_at(&url);
        terminal.admin_at(host.dev_json()["admin"].as_str().expect("a URL").trim_start_matches("http://"));
        terminal.set("PAYMENT", &payment.header());
        terminal.run_page(page);
    };
    for page in ["README.md", "host/docs/x402.md", "host/docs/payers.md"] {
        reads(page);
    }
    reads("host/docs/doctor.md");
    let v1: Value = challenge.json().await.expect("JSON");
    let real = BTreeMap::from([("payload", &payment.document), ("maxAmountRequired", &v1)]);
    shown::x402_documents_are_real(&blocks("host/docs/x402.md"), &real);
}

/// The page about what a host publishes: its receiver proves that the host is its own.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_about_being_found_runs_beside_a_host() {
    let host = DevHost::builder().plugin("hello.wasm", &guest("hello")).start().await;
    let (receiver, dir) = (host.payer(1), tempfile::tempdir().expect("a directory"));
    let configuration = format!(
        "public_url = \"https://api.example.com\"\n[[accept]]\nnetwork = \"base\"\npay_to = \"{}\"\n\
         [facilitator.public]\nurl = \"https://facilitator.example.com\"\n",
        receiver.address()
    );
    std::fs::write(dir.path().join("coinslot.toml"), configuration).expect("a configuration");
    std::fs::write(dir.path().join("receiver.key"), receiver.key()).expect("a key");
    let prove = ["discover", "prove", "--key-file", "receiver.key"];
    let proved = Command::new(binary()).current_dir(dir.path()).args(prove).output().expect("the proof");
    let proved = String::from_utf8(proved.stdout).expect("UTF-8");
    let proof = proved.split('"').find(|part| part.starts_with("0x")).unwrap_or_else(|| panic!("no proof: {proved}"));
    let mut terminal = Terminal::new(dir.path());
    terminal.served_at(&host.url(""));
    terminal.replace("0x...", proof);
    terminal.run_page("host/docs/discovery.md");
}

/// The pages that look after a running `coinslot serve`.
#[tokio::test(flavor = "multi_thread")]
async fn pages_for_operators_tell_what_commands_print() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["hello"], "[admin]\nlisten = \"127.0.0.1:0\"\n").await;
    let url = host.url("");
    for page in [
        "host/docs/allowances.md",
        "host/docs/admin.md",
        "host/docs/books.md",
        "host/docs/plugin-runtime.md",
        "host/docs/troubleshooting.md",
        "host/docs/running.md",
    ] {
        let mut terminal = Terminal::new(host.path(".").as_path());
        terminal.served_at(&url);
        terminal.admin_at(host.admin().trim_start_matches("http://"));
        terminal.run_page(page);
    }
    assert_eq!(chain.balance(SELLER).await, 0, "looking costs nothing");
}

/// The page starts three processes that know each other by their addresses.
#[test]
fn the_page_about_serve_without_a_network_leads_to_a_payment() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut terminal = Terminal::new(dir.path());
    terminal.replace("0xYourAddress", STAND_INS[0].1);
    for address in ["127.0.0.1:8403", "127.0.0.1:8404", "127.0.0.1:8545"] {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        terminal.replace(address, &free.expect("a free port").to_string());
    }
    terminal.run_page("host/docs/offline.md");
}

/// The pages that no test above names.
#[test]
fn every_other_page_runs_by_itself() {
    let own = include_str!("pages.rs");
    let mut others: Vec<String> = running(&["console", "sh"]).into_iter().map(|block| block.page).collect();
    others.retain(|page| !own.contains(&format!("\"{page}\"")));
    others.dedup();
    for page in others {
        runs_by_itself(&page);
    }
}
