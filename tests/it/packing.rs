//! Packs components: what `coinslot pack` adds, what `coinslot inspect` shows, and what a host refuses.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use coinslot_tests::{DevHost, component, run};
use serde_json::Value;
use sha2::{Digest, Sha256};

const SECTION: &[u8] = b"coinslot.package";
const MODULE: &str = "import { get } from 'coinslot';\n\
    get('/hello', { price: '0.001', summary: 'Says hello' }, () => 'Hello!\\n');\n";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn succeeds(dir: &Path, arguments: &[&str]) -> Output {
    let output = run(dir, arguments);
    assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    output
}

fn inspected(dir: &Path, file: &str) -> Value {
    let output = run(dir, &["inspect", "--json", file]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)))
}

fn git(dir: &Path, arguments: &[&str]) {
    let git = Command::new("git")
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(dir)
        .output()
        .expect("git");
    assert!(git.status.success(), "{arguments:?}: {}", text(&git.stderr));
}

/// A packed component whose document was changed, with the sizes that belong to it.
fn changed(packed: &[u8], from: &str, to: &str) -> Vec<u8> {
    let at = packed.windows(SECTION.len()).rposition(|found| found == SECTION).expect("a section") + SECTION.len();
    let document = std::str::from_utf8(&packed[at..]).expect("JSON");
    assert!(document.contains(from), "{from} is not in {document}");
    let document = document.replacen(from, to, 1);
    let before = text_of_section(&packed[at..]);
    let bare = &packed[..packed.len() - before];
    let mut content = vec![u8::try_from(SECTION.len()).expect("short")];
    content.extend_from_slice(SECTION);
    content.extend_from_slice(document.as_bytes());
    [bare, &[0], &leb128(content.len()), &content].concat()
}

/// The bytes of a whole section with this document.
fn text_of_section(document: &[u8]) -> usize {
    let content = 1 + SECTION.len() + document.len();
    1 + leb128(content).len() + content
}

fn leb128(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits");
        value >>= 7;
        bytes.push(if value == 0 { low } else { low | 0x80 });
        if value == 0 {
            return bytes;
        }
    }
}

#[tokio::test]
async fn a_packed_plugin_says_what_it_is_and_is_sold() {
    let dir = tempfile::tempdir().expect("a folder");
    let shop = dir.path().join("shop");
    fs::create_dir(&shop).expect("a folder");
    fs::write(shop.join("plugin.ts"), MODULE).expect("written");
    fs::write(shop.join("package.json"), r#"{ "name": "shop", "version": "1.2.3", "license": "MIT" }"#)
        .expect("written");
    git(dir.path(), &["init"]);
    git(dir.path(), &["remote", "add", "origin", "https://ada:secret@example.com/shop.git"]);
    git(dir.path(), &["add", "."]);
    git(dir.path(), &["commit", "-m", "Begin"]);

    let said = text(&succeeds(dir.path(), &["pack", "shop"]).stdout);
    assert!(said.contains("shop/shop.wasm  shop 1.2.3, MIT, commit "), "{said}");
    let packed = fs::read(shop.join("shop.wasm")).expect("a component");
    succeeds(dir.path(), &["pack", "shop"]);
    assert!(fs::read(shop.join("shop.wasm")).expect("a component") == packed, "the same sources give the same bytes");

    let shown = inspected(dir.path(), "shop/shop.wasm");
    let package = &shown["package"];
    assert_eq!(package["license"], "MIT");
    assert_eq!(package["component"]["language"], "typescript");
    assert_eq!(package["source"]["repository"], "https://example.com/shop.git", "without the password");
    assert_eq!(package["source"]["path"], "shop");
    assert_eq!(package["source"]["modified"], Value::Null, "the component itself is no source");
    assert_eq!(package["manifest"]["endpoints"][0]["price"]["exact"], "0.001");
    succeeds(dir.path(), &["build", "shop", "-o", "bare.wasm"]);
    let bare = fs::read(dir.path().join("bare.wasm")).expect("a component");
    assert_eq!(package["component"]["sha256"], hex::encode(Sha256::digest(&bare)), "that of `coinslot build`");
    let lines = text(&succeeds(dir.path(), &["inspect", "shop/shop.wasm"]).stdout);
    assert!(lines.contains("packed      MIT, typescript, https://example.com/shop.git at "), "{lines}");

    fs::write(shop.join("plugin.ts"), format!("{MODULE}// more\n")).expect("written");
    succeeds(dir.path(), &["pack", "shop"]);
    assert_eq!(inspected(dir.path(), "shop/shop.wasm")["package"]["source"]["modified"], true);

    let host = DevHost::builder().plugin("shop.wasm", &shop.join("shop.wasm")).start().await;
    let paid = succeeds(&host.path("."), &["pay", &host.url("/hello")]);
    assert_eq!(text(&paid.stdout), "Hello!\n");
}

/// Only the plugin's own folder was compared with the commit, and there only what git does not ignore.
#[test]
fn a_file_that_the_commit_does_not_have_makes_a_package_modified_wherever_it_lies() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("written");
    };
    let module = "import { get } from 'coinslot';\nimport { word } from '../shared/word.js';\n\
                  import { other } from 'other';\nget('/a', { free: true }, () => word + other);\n";
    write("shop/plugin.js", module);
    write("shop/node_modules/other/index.js", "export const other = 'other';\n");
    write("shared/word.js", "export const word = 'a';\n");
    write("shared/unused.js", "");
    write(".gitignore", "*.wasm\nnode_modules\ngenerated.js\n");
    git(dir.path(), &["init"]);
    git(dir.path(), &["add", "."]);
    git(dir.path(), &["commit", "-m", "Begin"]);
    let modified = || {
        succeeds(dir.path(), &["pack", "shop"]);
        inspected(dir.path(), "shop/shop.wasm")["package"]["source"]["modified"].clone()
    };
    assert_eq!(modified(), Value::Null);
    write("shared/unused.js", "changed();\n");
    assert_eq!(modified(), Value::Null, "it is not part of the plugin");
    write("shared/word.js", "export const word = 'b';\n");
    assert_eq!(modified(), true, "a module beside the folder");
    write("shared/word.js", "export const word = 'a';\n");
    write("shop/generated.js", "export const word = 'c';\n");
    write("shop/plugin.js", &module.replace("../shared/word.js", "./generated.js"));
    git(dir.path(), &["commit", "-a", "-m", "Generate"]);
    assert_eq!(modified(), true, "a module that git ignores");
}

#[test]
fn a_component_is_packed_in_its_place_and_can_be_packed_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("numbered.wasm");
    let bare = component("numbered");
    fs::write(&file, &bare).expect("written");
    let said = succeeds(dir.path(), &["pack", "numbered.wasm"]);
    assert!(text(&said.stderr).contains("names no licence"), "{}", text(&said.stderr));
    let first = fs::read(&file).expect("a component");
    assert!(first.starts_with(&bare) && first.len() > bare.len());
    succeeds(dir.path(), &["pack", "numbered.wasm", "--license", "Apache-2.0"]);
    assert_eq!(inspected(dir.path(), "numbered.wasm")["package"]["license"], "Apache-2.0");
    let again = fs::read(&file).expect("a component");
    assert_eq!(again.windows(SECTION.len()).filter(|found| *found == SECTION).count(), 1, "one section");
    succeeds(dir.path(), &["pack", "numbered.wasm", "-o", "other.wasm"]);
    assert!(fs::read(dir.path().join("other.wasm")).expect("a component") == again, "what was known is kept");
    for (arguments, code) in [
        (vec!["pack", "nowhere.wasm"], 2),
        (vec!["pack", "numbered.wasm", "-o", "numbered.txt"], 2),
        (vec!["pack", "numbered.wasm", "--license", "two\nlines"], 2),
        (vec!["pack", "numbered.wasm", "--license", "Nonsense!!"], 2),
    ] {
        assert_eq!(run(dir.path(), &arguments).status.code(), Some(code), "{arguments:?}");
    }
    fs::write(&file, b"no component").expect("written");
    assert_eq!(run(dir.path(), &["pack", "numbered.wasm"]).status.code(), Some(65));
}

/// A change of the document, and what a host says of it.
const DISAGREEMENTS: &[(&str, &str, &str)] = &[
    ("\"exact\":\"0.001\"", "\"exact\":\"0.0001\"", "GET /hello: the price is {\"exact\":\"0.0001\"} in the package"),
    (
        "\"path\":\"/hello\"",
        "\"path\":\"/hallo\"",
        "the component has the endpoint GET /hello, and the package does not",
    ),
    ("\"name\":\"shop\"", "\"name\":\"stop\"", "the name is stop in the package, and shop in the component"),
    ("\"version\":\"0.1.0\"},\"tool\"", "\"version\":\"0.2.0\"},\"tool\"", "the version is 0.2.0 in the package"),
    ("\"format\":1", "\"format\":9", "has format 9, and this host reads format 1: update the host"),
    ("\"format\":1", "\"format\": 1", "is not in the form that `coinslot pack` writes"),
    ("\"sha256\":\"", "\"sha256\":\"0", "the file was changed after it was packed"),
];

#[tokio::test]
async fn a_host_does_not_load_a_component_that_disagrees_with_its_package() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("shop.ts"), MODULE).expect("written");
    succeeds(dir.path(), &["pack", "shop.ts"]);
    let packed = fs::read(dir.path().join("shop.wasm")).expect("a component");
    for (from, to, expected) in DISAGREEMENTS {
        fs::write(dir.path().join("shop.wasm"), changed(&packed, from, to)).expect("written");
        let inspect = run(dir.path(), &["inspect", "shop.wasm"]);
        assert_eq!(inspect.status.code(), Some(1), "{to}");
        assert!(text(&inspect.stderr).contains(expected), "{to}: {}", text(&inspect.stderr));
        let unread = run(dir.path(), &["test", "shop.wasm", "--json"]);
        assert_eq!(unread.status.code(), Some(1), "{to}: a host does not load it");
        let document: Value = serde_json::from_slice(&unread.stdout).expect("JSON");
        assert!(document["checks"][0]["detail"].as_str().expect("text").contains(expected), "{document:#}");
    }
    // What was added behind the section is not covered by it.
    fs::write(dir.path().join("shop.wasm"), [&packed[..], &[0, 2, 1, b'x']].concat()).expect("written");
    let inspect = run(dir.path(), &["inspect", "shop.wasm"]);
    assert!(text(&inspect.stderr).contains("is not the last section of the file"), "{}", text(&inspect.stderr));

    // A host that runs keeps what it serves.
    fs::write(dir.path().join("good.wasm"), &packed).expect("written");
    let host = DevHost::builder().plugin("shop.wasm", &dir.path().join("good.wasm")).start().await;
    let status = reqwest::get(host.url("/hello")).await.expect("an answer").status();
    assert_eq!(status, 402);
}

/// The operator's configuration may change what a plugin describes, and is no fault of its package.
#[test]
fn a_configuration_that_changes_the_manifest_is_no_disagreement() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("keeper.wasm"), component("keeper")).expect("written");
    fs::write(dir.path().join("coinslot.toml"), "[plugin.keeper.config]\nmost = \"2\"\n").expect("written");
    succeeds(dir.path(), &["pack", "keeper.wasm", "--license", "MIT"]);
    let shown = text(&succeeds(dir.path(), &["inspect", "keeper.wasm", "-c", "coinslot.toml"]).stdout);
    assert!(shown.contains("quoted <= 2"), "{shown}");
    let packed = fs::read(dir.path().join("keeper.wasm")).expect("a component");
    let other = changed(&packed, "\"quoted\":\"1\"", "\"quoted\":\"3\"");
    fs::write(dir.path().join("keeper.wasm"), other).expect("written");
    let refused = run(dir.path(), &["inspect", "keeper.wasm", "-c", "coinslot.toml"]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stdout));
    assert!(text(&refused.stderr).contains("the price is {\"quoted\":\"3\"}"), "{}", text(&refused.stderr));
}
