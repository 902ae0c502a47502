//! Backs up a host beside its sales, loses its state, and goes on with what was restored: what was bought and is owed is
//! fetched, and nothing is charged twice.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use coinslot_tests::{ServeHost, TestChain, Wallet, guest, run};
use serde_json::Value;

/// The price of one answer, in atomic units.
const CENT: u64 = 10_000;

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a command that ends well. Returns what it said.
#[track_caller]
fn good(host: &ServeHost, arguments: &[&str]) -> String {
    let output = run(&host.path(""), arguments);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    said(&output)
}

/// Runs a command that is refused, with a reason that has this text.
#[track_caller]
fn refused(host: &ServeHost, arguments: &[&str], reason: &str) {
    let output = run(&host.path(""), arguments);
    let said = said(&output);
    assert!(output.status.code() == Some(1) && said.contains(reason), "{arguments:?}: {said}");
}

async fn sign(payer: &Wallet, host: &ServeHost, path: &str) -> String {
    let challenge = reqwest::Client::new().post(host.url(path)).body("mine").send().await.expect("a challenge");
    payer.pay(&challenge).header()
}

/// Presents a payment, again while the host asks for that. `order` tells the guest what to do.
async fn present(host: &ServeHost, path: &str, payment: &str, order: &str) -> (u16, String) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let request = reqwest::Client::new().post(host.url(path)).body("mine").header("PAYMENT-SIGNATURE", payment);
        let reply = request.header("x-do", order).send().await.expect("an answer");
        let status = reply.status().as_u16();
        if matches!(status, 503 | 409) && reply.headers().contains_key("retry-after") && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        }
        return (status, reply.text().await.expect("a body"));
    }
}

async fn keeper(host: &ServeHost, plan: &'static str) -> String {
    let reply = reqwest::Client::new().post(host.url("/keeper")).body(plan).send().await.expect("an answer");
    reply.text().await.expect("text")
}

/// Ends the host, as a service manager does.
async fn stop(host: &mut ServeHost) {
    host.signal("TERM");
    host.wait_for_exit().await;
}

/// Loses the state of a host that does not run.
fn lose_state(host: &ServeHost) {
    std::fs::remove_dir_all(host.path(".coinslot")).expect("a folder");
}

// The chain answers in this process while a command runs.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_bought_and_is_owed_survives_a_restore_and_nothing_is_charged_twice() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["echo", "upfront", "keeper"], "[plugin.keeper]\nkeyvalue = true\n").await;
    let (bought, owed) = (sign(chain.payer(0), &host, "/echo").await, sign(chain.payer(1), &host, "/upfront").await);
    let (status, answer) = present(&host, "/echo", &bought, "").await;
    assert_eq!((status, present(&host, "/upfront", &owed, "trap").await.0), (200, 500));
    assert_eq!(keeper(&host, "set a 1").await, "Ok(())");

    let wrote = good(&host, &["backup", "night.tar"]);
    assert!(wrote.contains("a ledger of 2 payments (1 ") && wrote.contains("1 owed"), "{wrote}");
    assert!(wrote.contains("3 components of plugins, what is kept by keeper"), "{wrote}");
    let mode = std::fs::metadata(host.path("night.tar")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds answers that were paid for");
    refused(&host, &["backup", "night.tar"], "night.tar is there already: --force replaces it");
    refused(&host, &["backup", "plugins", "--force"], "plugins is no file");
    good(&host, &["backup", "night.tar", "--force"]);

    // Sold after the backup.
    let late = sign(chain.payer(2), &host, "/echo").await;
    assert_eq!(present(&host, "/echo", &late, "").await.0, 200);
    refused(&host, &["restore", "night.tar"], "a host runs on .coinslot/ledger.db: stop it first");
    stop(&mut host).await;
    refused(&host, &["restore", "night.tar"], "ledger.db is there already: nothing replaces a ledger");
    lose_state(&host);
    let restored = good(&host, &["restore", "night.tar"]);
    assert!(restored.contains("a ledger of 2 payments") && restored.contains("ledger reconcile --since"), "{restored}");
    assert!(
        good(&host, &["plugins", "--format", "table"]).contains("echo.wasm"),
        "the builds that served are known before the start"
    );
    host.restart(&[]).await;

    let runs = host.runs();
    assert_eq!(present(&host, "/echo", &bought, "").await, (200, answer), "the answer is fetched again");
    assert_eq!(present(&host, "/upfront", &owed, "").await.0, 200, "the debt is paid");
    assert_eq!(keeper(&host, "get a").await, "Ok(Some(\"1\"))");
    let (status, body) = present(&host, "/echo", &late, "").await;
    let error: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &error["error"]), (402, &"invalid_exact_evm_nonce_already_used".into()), "{body}");
    assert_eq!(host.runs(), runs, "nothing of this runs a guest once more");
    assert_eq!(chain.payments_received().await, 3, "nothing is charged twice");

    // The operator hears of the sale that the backup does not have.
    let compared = run(&host.path(""), &["ledger", "reconcile", "--since", "1h", "--format", "json"]);
    assert_eq!(compared.status.code(), Some(3), "{}", said(&compared));
    let payer = chain.payer(2).address().to_string().to_ascii_lowercase();
    let missing = String::from_utf8_lossy(&compared.stdout).to_ascii_lowercase();
    assert!(missing.contains(&payer) && !missing.contains(&chain.payer(0).address().to_string().to_ascii_lowercase()));
}

/// The backup was made while a settlement was under way: the chain tells the restored host how it ended.
#[tokio::test]
async fn a_settlement_that_was_under_way_is_found_on_the_chain_after_a_restore() {
    let chain = TestChain::start().await;
    let (node, component) = (chain.node().await, guest("echo"));
    let mut host = chain.serve_on(&component, &node).await;
    host.restart(&[("COINSLOT_CRASH_AT", "after:settlement")]).await;
    let payment = sign(chain.payer(0), &host, "/echo").await;
    let request = reqwest::Client::new().post(host.url("/echo")).body("mine").header("PAYMENT-SIGNATURE", &payment);
    request.send().await.expect_err("the host dies when the money has moved");
    host.wait_for_exit().await;
    let wrote = good(&host, &["backup", "dead.tar"]);
    assert!(wrote.contains("(1 settling)"), "{wrote}");
    lose_state(&host);
    good(&host, &["restore", "dead.tar"]);
    host.restart(&[]).await;
    let (status, body) = present(&host, "/echo", &payment, "").await;
    assert_eq!((status, chain.payments_received().await, host.runs()), (200, 1, 1), "{body}");
    assert_eq!(chain.balance(coinslot_tests::SELLER).await, CENT);
}

/// A copy of a few steps would begin anew at every sale, and the host would wait for it, or it for the host.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_sells_while_it_is_backed_up_again_and_again() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["echo"], "").await;
    let dir = host.path("");
    let backing_up = tokio::task::spawn_blocking(move || {
        for number in 0..5 {
            let output = run(&dir, &["backup", &format!("{number}.tar")]);
            assert!(output.status.success(), "{}", said(&output));
        }
    });
    let mut sold = 0;
    while !backing_up.is_finished() || sold == 0 {
        let payment = sign(chain.payer(sold % 4), &host, "/echo").await;
        assert_eq!(present(&host, "/echo", &payment, "").await.0, 200);
        sold += 1;
    }
    backing_up.await.expect("five backups");
    stop(&mut host).await;
    for number in 0..5 {
        lose_state(&host);
        good(&host, &["restore", &format!("{number}.tar")]);
        assert!(host.ledger().len() <= sold);
    }
}

#[tokio::test]
async fn a_backup_that_is_cut_short_or_altered_restores_nothing() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["echo"], "").await;
    let payment = sign(chain.payer(0), &host, "/echo").await;
    assert_eq!(present(&host, "/echo", &payment, "").await.0, 200);
    good(&host, &["backup", "whole.tar"]);
    stop(&mut host).await;
    lose_state(&host);
    let whole = std::fs::read(host.path("whole.tar")).expect("a file");
    let nothing_is_there = |path: &Path| {
        let left: Vec<_> =
            std::fs::read_dir(path).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
        assert!(left == ["ledger.lock"], "{left:?}");
    };
    // The last two blocks of a tar are empty: without them it is whole.
    for length in [0, 100, 512, 5_000, whole.len() / 2, whole.len() - 2_000] {
        std::fs::write(host.path("part.tar"), &whole[..length]).expect("a file");
        refused(&host, &["restore", "part.tar"], "part.tar is no backup of Coinslot");
        nothing_is_there(&host.path(".coinslot"));
    }
    let mut altered = whole.clone();
    altered[512 + 4_000] ^= 1;
    std::fs::write(host.path("altered.tar"), &altered).expect("a file");
    refused(&host, &["restore", "altered.tar"], "ledger.db is not what was backed up");
    nothing_is_there(&host.path(".coinslot"));
    std::fs::write(host.path("text.tar"), "no archive").expect("a file");
    refused(&host, &["restore", "text.tar"], "is no backup of Coinslot");
    refused(&host, &["restore", "none.tar"], "none.tar: No such file");
    refused(&host, &["backup", "of-nothing.tar"], "there is no ledger at .coinslot/ledger.db");
    good(&host, &["restore", "whole.tar"]);
}

/// What is there is newer than the backup. Only the ledger was lost.
#[tokio::test]
async fn a_restore_leaves_stores_and_builds_that_are_there() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["keeper"], "[plugin.keeper]\nkeyvalue = true\n").await;
    keeper(&host, "set a old").await;
    good(&host, &["backup", "old.tar"]);
    keeper(&host, "set a new").await;
    stop(&mut host).await;
    for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::remove_file(host.path(".coinslot").join(file));
    }
    let restored = good(&host, &["restore", "old.tar"]);
    assert!(restored.contains("left as they were, because they were there: served, keyvalue/keeper.db"), "{restored}");
    host.restart(&[]).await;
    assert_eq!(keeper(&host, "get a").await, "Ok(Some(\"new\"))");
}

/// The host runs as a user of its own, and could not open what root had restored.
#[tokio::test]
async fn what_root_restores_belongs_to_the_owner_of_the_state_folder() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("only root can give files away");
        return;
    }
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["keeper"], "[plugin.keeper]\nkeyvalue = true\n").await;
    keeper(&host, "set a 1").await;
    good(&host, &["backup", "night.tar"]);
    stop(&mut host).await;
    lose_state(&host);
    let state = host.path(".coinslot");
    std::fs::create_dir(&state).expect("a folder");
    std::os::unix::fs::chown(&state, Some(1_234), Some(2_345)).expect("another owner");
    good(&host, &["restore", "night.tar"]);
    for path in
        ["ledger.db", "ledger.lock", "keyvalue", "keyvalue/keeper.db", "served/components", "served/plugins.json"]
    {
        let meta = std::fs::metadata(state.join(path)).expect("a file");
        assert_eq!((meta.uid(), meta.gid()), (1_234, 2_345), "{path}");
    }
}

/// The drafts of a backup that was killed stayed for ever: copies of the ledger, beside the backups.
#[tokio::test]
async fn what_killed_backups_and_restores_have_left_is_removed_by_the_next() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["echo"], "").await;
    std::fs::create_dir(host.path("nightly")).expect("a folder");
    let drafts = |name: &str| {
        let folder = host.path(&format!("nightly/.backup-{name}"));
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(folder.join(".draft-ledger"), "a part of a ledger").expect("a file");
        (std::fs::File::create(folder.join("lock")).expect("a file"), folder)
    };
    let ((_, killed), (at_work, running)) = (drafts("killed"), drafts("running"));
    at_work.lock().expect("the lock of a backup that runs");
    good(&host, &["backup", "nightly/night.tar"]);
    assert!(!killed.exists() && running.exists());
    stop(&mut host).await;
    lose_state(&host);
    let unpacked = host.path(".coinslot/.restore-killed");
    std::fs::create_dir_all(&unpacked).expect("a folder");
    std::fs::write(unpacked.join("ledger.db"), "a part of a ledger").expect("a file");
    good(&host, &["restore", "nightly/night.tar"]);
    assert!(!unpacked.exists());
    let mut left: Vec<_> = std::fs::read_dir(host.path("nightly")).expect("a folder").flatten().collect();
    left.retain(|entry| entry.path() != running);
    assert_eq!(left.len(), 1, "the backup alone: {left:?}");
}

/// A file that is no plugin's store was backed up, and every restore of the archive was refused for it.
#[tokio::test]
async fn whatever_is_backed_up_is_restored_whatever_its_name() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["keeper"], "[plugin.keeper]\nkeyvalue = true\n").await;
    keeper(&host, "set a 1").await;
    stop(&mut host).await;
    // The format of tar has room for a hundred characters.
    let long = format!("keyvalue/{}.db", "a".repeat(200));
    let stores = |name: &str| host.path(&format!(".coinslot/{name}"));
    for name in ["keyvalue/.odd.db", &long] {
        std::fs::copy(stores("keyvalue/keeper.db"), stores(name)).expect("a copy");
    }
    std::fs::create_dir(stores("keyvalue/folder.db")).expect("a folder");
    let wrote = good(&host, &["backup", "night.tar"]);
    assert!(!wrote.contains(".odd"), "{wrote}");
    lose_state(&host);
    good(&host, &["restore", "night.tar"]);
    assert!(stores(&long).exists() && stores("keyvalue/keeper.db").exists() && !stores("keyvalue/.odd.db").exists());
}
