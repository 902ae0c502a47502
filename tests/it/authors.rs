//! Makes plugins as their authors do: `coinslot new`, `coinslot build`, and `coinslot dev` of sources.

use std::fs;
use std::path::Path;
use std::process::Output;

use coinslot_tests::{DevHost, run};
use serde_json::Value;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn succeeds(dir: &Path, arguments: &[&str]) -> Output {
    let output = run(dir, arguments);
    assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    output
}

/// Makes a plugin, builds it, and pays for an answer. Returns the folder, which has the component.
async fn made_and_paid_for(lang: &str, file: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let made = text(&succeeds(dir.path(), &["new", "word-count", "--lang", lang]).stdout);
    assert!(made.contains(&format!("word-count/{file}")) && made.contains("coinslot dev"), "{made}");
    let again = run(dir.path(), &["new", "word-count", "--lang", lang]);
    assert_eq!(again.status.code(), Some(1), "what is there stays");
    let built = text(&succeeds(dir.path(), &["build", "word-count"]).stdout);
    assert!(built.contains("word-count/word-count.wasm") && built.contains("sha256"), "{built}");

    let component = dir.path().join("word-count/word-count.wasm");
    let host = DevHost::builder().plugin("word-count.wasm", &component).start().await;
    let free = reqwest::get(host.url("/word-count")).await.expect("an answer");
    assert_eq!(free.text().await.expect("text"), "POST a text to /word-count/count\n");
    let url = host.url("/word-count/count");
    let paid = run(&host.path("."), &["pay", &url, "-d", r#"{"text":"one three"}"#, "--json"]);
    let document: Value = serde_json::from_slice(&paid.stdout).expect("one JSON object");
    assert_eq!(document["status"], 200, "{document}");
    assert!(document.to_string().contains("three"), "{document}");
    let refused = reqwest::Client::new().post(&url).header("content-type", "application/json").body(r#"{"text":""}"#);
    let refused = refused.send().await.expect("an answer");
    assert_eq!(refused.status(), 400, "wrong input is refused before it is paid for");
    assert!(refused.text().await.expect("text").contains("text"));
    dir
}

#[tokio::test]
async fn a_new_plugin_in_typescript_or_javascript_needs_nothing_but_the_binary() {
    for (lang, file) in [("ts", "plugin.ts"), ("js", "plugin.js")] {
        let dir = made_and_paid_for(lang, file).await;
        let component = dir.path().join("word-count/word-count.wasm");
        let bytes = fs::read(&component).expect("a component");
        succeeds(dir.path(), &["build", "word-count"]);
        assert!(fs::read(&component).expect("a component") == bytes, "the same sources give the same bytes");
    }
}

#[tokio::test]
async fn a_new_plugin_in_python_is_built_and_paid_for() {
    made_and_paid_for("python", "app.py").await;
}

#[tokio::test]
async fn a_new_plugin_in_rust_is_built_and_paid_for() {
    made_and_paid_for("rust", "src/lib.rs").await;
}

/// A module, and what its author reads, with the place of the mistake.
const MISTAKES: &[(&str, &[&str])] = &[
    ("import { get } from 'coinslot';\nget('/a', { summary: 'A' }, () => 'a');\n", &["GET /a", "price", "plugin.ts:2"]),
    (
        "import { get } from 'coinslot';\nget('a', { price: '0.01', summary: 'A' }, () => 'a');\n",
        &["slash", "plugin.ts:2"],
    ),
    ("const a = (;\n", &["plugin.ts:1:12: ", "\n  const a = (;\n"]),
    (
        "import { load } from 'yaml';\nload('');\n",
        &["plugin.ts:1:22: the package `yaml` is not installed: npm install yaml"],
    ),
    ("import fs from 'node:fs';\nfs.readFileSync('');\n", &["plugin.ts:1:16: `node:fs` is part of Node.js"]),
    ("import './missing';\n", &["plugin.ts:1:8: there is no file `./missing`"]),
    ("interface A { b: number }\nconst a: A = null!;\na.b;\n", &["cannot read property 'b' of null", "plugin.ts:3:1"]),
    ("const now = Date.now();\n", &["runs once, when the plugin is built", "plugin.ts:1:"]),
    ("export const a = 1;\n", &["endpoint"]),
    ("for (;;) {}\n", &["did not end within"]),
];

#[test]
fn a_mistake_is_told_with_its_line_and_what_to_write() {
    let dir = tempfile::tempdir().expect("a folder");
    for (source, expected) in MISTAKES {
        fs::write(dir.path().join("plugin.ts"), source).expect("written");
        let output = run(dir.path(), &["build"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(65), "{source}: {said}");
        for part in *expected {
            assert!(said.contains(part), "{source}\nshould say {part:?}:\n{said}");
        }
        assert!(!said.contains("coinslot.js") && !said.contains("wasm"), "frames of the SDK say nothing: {said}");
    }
    let nothing = run(dir.path(), &["build", "other"]);
    assert_eq!(nothing.status.code(), Some(2));
}

/// Enums and parameter properties are more than types, and node_modules and JSON are found as bundlers find them.
#[tokio::test]
async fn a_plugin_is_made_of_several_modules_and_packages() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("written");
    };
    write("package.json", r#"{ "name": "@me/Many_Parts", "version": "1.2.3" }"#);
    write(
        "plugin.ts",
        "import { get } from 'coinslot';\nimport { Size, type Kind, Box } from './lib/sizes.js';\n\
        import { twice } from 'doubling';\nimport table from './table.json';\n\
        const kind: Kind = 'box';\n\
        get('/parts', { free: true, summary: 'All parts' }, () => ({ size: Size.Large, kind, doubled: twice(table.n), \
        box: new Box(3).width }));\n",
    );
    write(
        "lib/sizes.ts",
        "export enum Size { Small = 1, Large = 2 }\nexport type Kind = 'box' | 'bag';\n\
        export class Box { constructor(readonly width: number) {} }\n",
    );
    write("table.json", r#"{ "n": 21 }"#);
    write("node_modules/doubling/package.json", r#"{ "name": "doubling", "type": "module", "exports": "./main.js" }"#);
    write("node_modules/doubling/main.js", "export { twice } from './twice.js';\n");
    write("node_modules/doubling/twice.js", "export const twice = (n) => 2 * n;\n");
    succeeds(dir.path(), &["build", "-o", "parts.wasm"]);
    let shown = text(&succeeds(dir.path(), &["inspect", "parts.wasm"]).stdout);
    assert!(shown.contains("many-parts") && shown.contains("1.2.3"), "{shown}");
    let host = DevHost::builder().plugin("parts.wasm", &dir.path().join("parts.wasm")).start().await;
    let answer: Value = reqwest::get(host.url("/parts")).await.expect("an answer").json().await.expect("JSON");
    assert_eq!(answer, serde_json::json!({ "size": 2, "kind": "box", "doubled": 42, "box": 3 }));
}

#[tokio::test]
async fn random_numbers_and_the_clock_are_fresh_in_each_request() {
    let dir = tempfile::tempdir().expect("a folder");
    let source = "import { get } from 'coinslot';\nget('/fresh', { free: true, summary: 'Fresh' }, () => \
        ({ random: Math.random(), key: crypto.randomUUID(), now: Date.now() }));\n";
    fs::write(dir.path().join("plugin.ts"), source).expect("written");
    succeeds(dir.path(), &["build", "-o", "fresh.wasm"]);
    let host = DevHost::builder().plugin("fresh.wasm", &dir.path().join("fresh.wasm")).start().await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..4 {
        let answer: Value = reqwest::get(host.url("/fresh")).await.expect("an answer").json().await.expect("JSON");
        assert!(answer["now"].as_f64().expect("a number") > 1.7e12, "{answer}");
        seen.insert(answer["random"].to_string());
        seen.insert(answer["key"].to_string());
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
}
