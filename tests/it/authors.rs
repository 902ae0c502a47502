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
    if lang == "rust" {
        // What git has of the crate is all that another machine gets.
        let manifest = fs::read_to_string(dir.path().join("word-count/Cargo.toml")).expect("a manifest");
        assert!(manifest.contains("coinslot-sdk = \"") && !manifest.contains("path"), "{manifest}");
        fs::remove_dir_all(dir.path().join("word-count/.cargo")).expect("the place of the SDK for editors");
    }
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

/// Of a package without side effects only what is used becomes part of the component.
#[tokio::test]
async fn what_a_package_has_and_nothing_uses_is_left_out_and_lines_stay() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("written");
    };
    let package = |effects: &str| format!(r#"{{ "name": "kit", "type": "module", "exports": "./main.js"{effects} }}"#);
    write(
        "plugin.ts",
        "import { get } from 'coinslot';\nimport { kit } from 'kit';\n\n\
        get('/kit', { free: true, summary: 'Kit' }, () => kit.used() + String(Reflect.get(globalThis, 'touched')));\n",
    );
    write(
        "node_modules/kit/main.js",
        "import * as kit from './all.js';\nexport { kit };\nexport default kit;\nexport * from './all.js';\n",
    );
    write(
        "node_modules/kit/all.js",
        "export * as words from './words.js';\nexport const unused = () => 'a marker of what is not used';\n\
        globalThis.touched = ' and touched';\n\n\
        export function used() {\n  return new Error().stack.match(/all.js:\\d+/)[0];\n}\n",
    );
    write("node_modules/kit/words.js", "throw new Error('a module that is not needed was evaluated');\n");
    write("node_modules/kit/package.json", &package(r#", "sideEffects": false"#));
    succeeds(dir.path(), &["build", "-o", "kit.wasm"]);
    let component = fs::read(dir.path().join("kit.wasm")).expect("a component");
    let has = |text: &str| component.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has(" and touched") && !has("a marker of what is not used"));
    let host = DevHost::builder().plugin("kit.wasm", &dir.path().join("kit.wasm")).start().await;
    let answer = reqwest::get(host.url("/kit")).await.expect("an answer").text().await.expect("text");
    assert_eq!(answer, "all.js:6 and touched", "the line is that of the package's file");

    // A package that does not say so is evaluated whole.
    write("node_modules/kit/package.json", &package(""));
    let output = run(dir.path(), &["build", "-o", "kit.wasm"]);
    assert!(text(&output.stderr).contains("a module that is not needed was evaluated"), "{}", text(&output.stderr));
}

/// A package may say that it has no side effects, and rely on one.
#[test]
fn a_package_that_is_wrong_about_its_side_effects_is_taken_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    let kit = dir.path().join("node_modules/kit");
    fs::create_dir_all(&kit).expect("a folder");
    let source = "import { get } from 'coinslot';\nimport { name } from 'kit';\n\
        get('/' + name(), { free: true, summary: 'Kit' }, () => 'a');\n";
    fs::write(dir.path().join("plugin.ts"), source).expect("written");
    let package = r#"{ "type": "module", "exports": "./main.js", "sideEffects": false }"#;
    fs::write(kit.join("package.json"), package).expect("written");
    let main = "import { setup } from './setup.js';\nexport const name = () => globalThis.kitName.trim();\n";
    fs::write(kit.join("main.js"), main).expect("written");
    fs::write(kit.join("setup.js"), "globalThis.kitName = 'kit';\nexport const setup = 1;\n").expect("written");
    succeeds(dir.path(), &["build", "-o", "kit.wasm"]);
    let shown = text(&succeeds(dir.path(), &["inspect", "kit.wasm"]).stdout);
    // The engine imports several interfaces for one thing, and each was listed.
    let can_use = shown.lines().find(|line| line.starts_with("can use")).expect("what it can use");
    assert!(can_use.matches("clocks").count() == 1 && can_use.matches("log lines").count() == 1, "{can_use}");
    assert!(shown.contains("/kit"), "{shown}");
}

/// Modules of a workspace are imported from beside the plugin's folder, and from packages that are linked.
#[tokio::test]
async fn modules_outside_of_the_folder_are_part_of_a_plugin() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("written");
    };
    write("shared/words.ts", "export const word: string = 'shared';\n");
    write("packages/linked/package.json", r#"{ "name": "linked", "type": "module", "exports": "./main.ts" }"#);
    write("packages/linked/main.ts", "export const other: string = 'linked';\n");
    write(
        "shop/plugin.ts",
        "import { get } from 'coinslot';\nimport { word } from '../shared/words.ts';\nimport { other } from 'linked';\n\
        get('/words', { free: true, summary: 'Words' }, () => `${word} and ${other}`);\n",
    );
    fs::create_dir(dir.path().join("shop/node_modules")).expect("a folder");
    std::os::unix::fs::symlink("../../packages/linked", dir.path().join("shop/node_modules/linked")).expect("a link");
    succeeds(dir.path(), &["build", "shop"]);
    let host = DevHost::builder().plugin("shop.wasm", &dir.path().join("shop/shop.wasm")).start().await;
    let answer = reqwest::get(host.url("/words")).await.expect("an answer").text().await.expect("text");
    assert_eq!(answer, "shared and linked");
}
