//! Shows what newcomers read where a command cannot do what they ask for, and in its `--help`.

use std::time::{Duration, Instant};

use alloy::primitives::U256;
use coinslot_tests::{DevHost, TestChain, guest, run};
use serde_json::Value;

use crate::pages::fences::blocks;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The answer of a paid endpoint that redirects was empty, and nothing said where it leads.
#[tokio::test]
async fn pay_names_the_target_of_a_redirect_that_was_paid_for() {
    let builder = DevHost::builder();
    let source = "import { get } from 'coinslot';\n\
        get('/moved', { price: '0.01', summary: 'Moved' }, () => \
        Response.redirect('https://elsewhere.example/new', 303));\n";
    std::fs::write(builder.path("plugins/moved.ts"), source).expect("a file");
    let host = builder.start().await;
    let paid = run(&host.path("."), &["pay", "/moved"]);
    let said = text(&paid.stderr);
    assert!(paid.status.success(), "{said}");
    assert!(
        said.contains("the answer is a redirect to https://elsewhere.example/new, which was not followed"),
        "{said}"
    );
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(10_000));
}

/// A rollback put the build that serves with its former configuration in its own place, and waited for a host to take it.
#[tokio::test]
async fn a_rollback_says_that_a_refused_configuration_is_what_has_to_be_mended() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["keeper"], "[plugin.keeper.config]\nmost = \"0.50\"\n").await;
    let config = host.configuration();
    host.write_configuration(&config.replace("most = \"0.50\"", "refuse = \"the moon is not full\""));
    let begun = Instant::now();
    while !text(&run(&host.path(""), &["plugins", "--format", "table"]).stdout)
        .contains("serves with its former `config`")
    {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", host.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let refused = run(&host.path(""), &["plugins", "rollback", "keeper"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    for part in [
        "keeper.wasm: there is no previous build to go back to",
        "serves with its former `config`, because it cannot use the present one",
        "the moon is not full",
        "Mend [plugin.keeper.config]",
    ] {
        assert!(said.contains(part), "{part} is missing from: {said}");
    }
}

/// A plugin that used none of them was said to ask for outgoing HTTP, the configuration and the store.
#[test]
fn inspect_says_that_an_engine_imports_what_its_plugin_may_not_use() {
    let dir = tempfile::tempdir().expect("a directory");
    let source = "import { get } from 'coinslot';\n\
        get('/hello', { free: true, summary: 'Says hello' }, () => 'Hello');\n";
    std::fs::write(dir.path().join("hello.ts"), source).expect("a file");
    let built = run(dir.path(), &["build", "hello.ts"]);
    assert!(built.status.success(), "{}", text(&built.stderr));
    let rows = |file: &str| -> Vec<(String, bool)> {
        let shown = text(&run(dir.path(), &["inspect", file]).stdout);
        let document = text(&run(dir.path(), &["inspect", "--json", file]).stdout);
        let document: Value = serde_json::from_str(&document).expect("one JSON object");
        ["outgoing HTTP", "configuration", "key-value store"]
            .iter()
            .zip(document["capabilities"].as_array().expect("the capabilities"))
            .map(|(name, row)| {
                let line = shown.lines().find(|line| line.starts_with(name)).expect("a line");
                (line.to_owned(), row["byEngine"] == true)
            })
            .collect()
    };
    for (line, by_engine) in rows("hello.wasm") {
        assert!(by_engine && line.contains("imported by the engine, used or not (wasi:"), "{line}");
        assert!(line.ends_with("; granted: nothing"), "{line}");
    }
    // What a compiler has linked is what the plugin calls.
    let keeper = guest("keeper");
    for (line, by_engine) in rows(keeper.to_str().expect("a path")) {
        assert!(!by_engine && !line.contains("engine"), "{line}");
    }
}

/// The first endpoint of the page whose input is validated had 21 lines.
#[test]
fn a_validated_endpoint_in_rust_has_at_most_twenty_lines() {
    let all = blocks("host/docs/rust.md");
    let block = all.iter().find(|block| block.text.contains("#[schemars(") && block.text.contains("#[endpoint("));
    let lines = block.expect("a validated endpoint").text.lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines <= 20, "{lines} lines");
}

/// The names in the list of commands of a `--help`.
fn commands(help: &str) -> Vec<String> {
    let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default().lines();
    let listed = listed.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("     "));
    let names = listed.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    names.map(str::to_owned).collect()
}

#[test]
fn the_help_of_every_command_says_how_it_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let help = |command: &[&str]| text(&run(dir.path(), &[command, &["--help"]].concat()).stdout);
    let mut all = vec![vec!["compile".to_owned()]];
    for command in commands(&help(&[])) {
        let own = commands(&help(&[&command])).into_iter().map(|inner| vec![command.clone(), inner]);
        all.extend(own);
        all.push(vec![command]);
    }
    assert!(all.len() > 20, "{all:?}");
    for command in all {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let said = help(&words).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("Ends with 0 ") && said.contains(" 2 for wrong usage"), "{command:?}: {said}");
    }
}

/// `ledger -c FILE revenue` was refused: the options stood behind the name of the report only.
#[tokio::test]
async fn the_options_of_a_ledger_stand_before_or_behind_the_name_of_the_report() {
    let host = DevHost::builder().start().await;
    let ledger = host.path(".coinslot/dev-ledger.db");
    let file = ledger.to_str().expect("UTF-8");
    for report in ["payments", "revenue", "owed", "failed", "export"] {
        let run = |arguments: &[&str]| {
            let done = run(&host.path("."), &[&["ledger"], arguments].concat());
            (done.status.code(), text(&done.stdout), text(&done.stderr))
        };
        let behind = run(&[report, "--file", file, "--format", "table"]);
        assert_eq!(behind.0, Some(0), "{behind:?}");
        assert_eq!(run(&["--file", file, "--format", "table", report]), behind);
        assert_eq!(run(&["--format", "table", report, "--file", file]), behind);
        let missing = run(&["-c", "missing.toml", report]);
        assert_eq!((missing.0, missing.2.contains("missing.toml:")), (Some(2), true), "{missing:?}");
        assert_eq!(run(&[report, "-c", "missing.toml"]), missing);
        let both = run(&["-c", "coinslot.toml", report, "--file", file]);
        assert_eq!((both.0, both.2.contains("--config")), (Some(2), true), "{both:?}");
    }
}
