//! Makes plugins in C, C++ and Zig, and of core modules, and pays for their answers.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use alloy::primitives::U256;
use coinslot_tests::{DevHost, DevHostBuilder, binary, decode, run, zig_folder};
use http_body_util::{BodyExt, Full};
use hyper::Response;
use serde_json::{Value, json};
use wit_component::{StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

use crate::grants::serve;
use crate::pages::fences::blocks;

/// Everything that coinslot.h has.
const FEATURES: &str = include_str!("c/features.c");

/// The smallest module of a plugin that is written by hand, without the SDK.
const HELLO: &str = "#include \"coinslot.h\"\n\
    static void hello(coinslot_request *request) {\n\
    \x20 coinslot_print(request, \"Hello, %s!\\n\", coinslot_param(request, \"name\"));\n\
    }\n\
    void coinslot_plugin(void) {\n\
    \x20 coinslot_get(\"/hello/{name}\", \"0.001\", \"Says hello\", hello);\n\
    }\n";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs `coinslot` with these folders of programs and no others.
fn run_with(programs: &[&Path], dir: &Path, arguments: &[&str]) -> Output {
    let path = std::env::join_paths(programs).expect("a PATH");
    let mut command = Command::new(binary());
    command.current_dir(dir).args(arguments).env("PATH", path).stdin(Stdio::null());
    command.output().expect("the coinslot binary")
}

/// Builds with the pinned zig.
fn builds(dir: &Path, arguments: &[&str]) -> String {
    let output = run_with(&[&zig_folder()], dir, &[&["build"], arguments].concat());
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

/// Builds sources that have a mistake, and returns what the author reads.
fn mistake(dir: &Path, arguments: &[&str]) -> String {
    let output = run_with(&[&zig_folder()], dir, &[&["build"], arguments].concat());
    assert_eq!(output.status.code(), Some(65), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stderr)
}

#[tokio::test]
async fn a_new_plugin_in_c_or_cpp_or_zig_is_built_and_paid_for() {
    for (lang, file) in [("c", "plugin.c"), ("cpp", "plugin.cpp"), ("zig", "plugin.zig")] {
        let dir = tempfile::tempdir().expect("a folder");
        let made = text(&run(dir.path(), &["new", "word-count", "--lang", lang]).stdout);
        assert!(made.contains(&format!("word-count/{file}")), "{made}");
        builds(dir.path(), &["word-count"]);
        let component = dir.path().join("word-count/word-count.wasm");
        let bytes = fs::read(&component).expect("a component");
        builds(dir.path(), &["word-count"]);
        assert!(fs::read(&component).expect("a component") == bytes, "the same sources give the same bytes");

        let host = DevHost::builder().plugin("word-count.wasm", &component).start().await;
        let free = reqwest::get(host.url("/word-count")).await.expect("an answer");
        assert_eq!(free.text().await.expect("text"), "POST a text to /word-count/count\n");
        let url = host.url("/word-count/count");
        let ask =
            |body: &'static str| host.client().post(&url).header("content-type", "application/json").body(body).send();
        let refused = ask(r#"{"text":""}"#).await.expect("an answer");
        assert_eq!(refused.status(), 400, "wrong input is refused before it is paid for");
        let paid = run(&host.path("."), &["pay", &url, "-d", r#"{"text":"one  three two"}"#, "--json"]);
        let document: Value = serde_json::from_slice(&paid.stdout).expect("one JSON object");
        assert_eq!(document["status"], 200, "{lang}: {document}");
        assert!(document.to_string().contains("three"), "{lang}: {document}");
        assert_eq!(host.chain().balance(host.seller()).await, U256::from(1_000));
    }
}

/// A host with the plugin of [`FEATURES`].
async fn features(arguments: &[&str], config: &str) -> DevHost {
    features_with(config).arguments(arguments).start().await
}

fn features_with(config: &str) -> DevHostBuilder {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("features.c"), FEATURES).expect("written");
    builds(dir.path(), &["features.c"]);
    let builder = DevHost::builder().plugin("features.wasm", &dir.path().join("features.wasm"));
    fs::write(builder.path("coinslot.toml"), config).expect("written");
    builder
}

/// Pays for one request, and returns the answer.
async fn paid(host: &DevHost, request: impl Fn() -> reqwest::RequestBuilder) -> reqwest::Response {
    let challenge = request().send().await.expect("an answer");
    assert_eq!(challenge.status(), 402);
    let payment = host.payer(0).pay(&challenge).header();
    request().header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer")
}

#[tokio::test]
async fn a_plugin_in_c_reads_the_request_and_the_receipt_and_writes_headers_and_json() {
    let host = features(&[], "").await;
    let hello = host.client().get(host.url("/c/hello/A%20d%C3%A9?lang=en&x&lang=de+at"));
    let hello = hello.send().await.expect("an answer");
    assert_eq!((&hello.headers()["x-greeting"], hello.content_length()), (&"yes".parse().expect("a value"), Some(21)));
    assert_eq!(hello.text().await.expect("text"), "GET A d\u{e9}, en, de at\n");

    let receipt = paid(&host, || host.client().get(host.url("/c/receipt"))).await;
    assert_eq!(receipt.headers()["content-type"], "application/json");
    let receipt: Value = receipt.json().await.expect("JSON");
    assert_eq!(
        (&receipt["amount"], &receipt["named"], &receipt["charged"]),
        (&json!("0.002"), &json!(true), &json!(false))
    );
    assert!(receipt["payer"].as_str().expect("text").starts_with("0x"), "{receipt}");
    assert!(!receipt["why"].as_str().expect("text").is_empty(), "what is no amount cannot be charged: {receipt}");

    let numbers = |body: &'static str| {
        let post = host.client().post(host.url("/c/numbers"));
        move || post.try_clone().expect("a body in memory").header("content-type", "application/json").body(body)
    };
    let refused = numbers("[1, \"2\"]")().send().await.expect("an answer");
    assert_eq!(refused.status(), 400, "a schema with references into itself is enforced");
    let sum: Value = paid(&host, numbers("[0.1, 0.2, 1e3]")).await.json().await.expect("JSON");
    assert_eq!(sum, json!({ "sum": 1000.3 }));

    let big: Vec<u8> = (0..300_000_u32).map(|i| (i % 251) as u8).collect();
    let sum: u64 = big.iter().map(|byte| u64::from(*byte)).sum();
    let upload = host.client().put(host.url("/c/upload")).body(big.clone()).send().await.expect("an answer");
    assert_eq!(upload.text().await.expect("text"), format!("300000 {sum}"));
    let mirror = host.client().patch(host.url("/c/mirror")).body(big.clone()).send().await.expect("an answer");
    assert_eq!(mirror.status(), 201);
    assert!(mirror.bytes().await.expect("a body") == big, "bytes come as they are");
}

#[tokio::test]
async fn a_plugin_in_c_quotes_and_refuses_before_payment() {
    let host = features(&[], "").await;
    let ask = |pages: u32, tier: Option<&'static str>| {
        let post = host.client().post(host.url("/c/pages")).json(&json!({ "pages": pages }));
        if let Some(tier) = tier { post.header("x-tier", tier) } else { post }
    };
    for (tier, amount) in [(None, "12000"), (Some("gold"), "24000")] {
        let challenge = ask(12, tier).send().await.expect("an answer");
        assert_eq!(challenge.status(), 402);
        let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
        assert_eq!(required["accepts"][0]["amount"], amount);
    }
    assert_eq!(paid(&host, || ask(12, None)).await.text().await.expect("text"), "printed\n");
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(12_000));
    let refused = ask(101, None).send().await.expect("an answer");
    assert_eq!(refused.status(), 422);
    let refused: Value = refused.json().await.expect("JSON");
    assert_eq!((&refused["error"], &refused["message"]), (&json!("too_many"), &json!("Send at most 100 pages.")));
    assert_eq!(
        ask(0, None).send().await.expect("an answer").text().await.expect("text"),
        "printed\n",
        "quoted as free"
    );

    let odd = host.client().get(host.url("/c/even/3")).send().await.expect("an answer");
    assert_eq!(odd.status(), 400, "an exact price has a check, too");
    let even = paid(&host, || host.client().get(host.url("/c/even/4"))).await;
    assert_eq!(even.text().await.expect("text"), "4 is even\n");
}

#[tokio::test]
async fn a_plugin_in_c_streams_more_than_its_memory_and_is_not_paid_for_a_trap_or_for_nothing() {
    let host = features(&["--config", "coinslot.toml"], "[limits]\nmemory = \"4MiB\"\n").await;
    let large = reqwest::get(host.url("/c/large")).await.expect("an answer");
    assert_eq!(large.bytes().await.expect("a whole body").len(), 8 << 20);
    let events = paid(&host, || host.client().get(host.url("/c/events"))).await;
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let events = events.text().await.expect("text");
    let expected: String = (1..=3).map(|i| format!("event: tick\ndata: {i}\ndata: of 3\n\n")).collect();
    assert_eq!(events, expected);
    let before = host.chain().balance(host.seller()).await;
    let trap = paid(&host, || host.client().get(host.url("/c/trap"))).await;
    assert_eq!(trap.status(), 500);
    assert_eq!(host.chain().balance(host.seller()).await, before, "nothing is charged");
    assert!(host.log().contains("trap"), "the log names the function: {}", host.log());
    let nothing = host.client().delete(host.url("/c/nothing")).send().await.expect("an answer");
    assert_eq!(nothing.status(), 500);
    assert!(host.log().contains("DELETE /c/nothing: the handler wrote no answer"), "{}", host.log());
}

#[tokio::test]
async fn a_plugin_in_c_keeps_values_reads_its_configuration_and_logs_if_the_operator_grants_it() {
    let config = "[plugin.features]\nkeyvalue = true\nconfig = { greeting = \"servus\" }\n";
    let host = features(&["--config", "coinslot.toml"], config).await;
    let visit = async || -> Value {
        let answer = host.client().get(host.url("/c/visits")).send().await.expect("an answer");
        answer.json().await.expect("JSON")
    };
    let first = visit().await;
    assert_eq!(
        (&first["visits"], &first["last"], &first["size"], &first["swapped"]),
        (&json!(1), &json!(""), &json!(0), &json!(true))
    );
    assert_eq!((&first["greeting"], &first["deleted"]), (&json!("servus"), &json!(true)));
    let second = visit().await;
    assert_eq!((&second["visits"], &second["last"], &second["size"]), (&json!(2), &json!("a"), &json!(3)));
    assert_eq!(second["keys"], json!(["visits", "last", "once"]));
    assert!(host.log().contains("warn: visit 2 of many"), "one call is one line: {}", host.log());

    let denied = features(&[], "").await;
    let answer = denied.client().get(denied.url("/c/visits")).send().await.expect("an answer");
    assert_eq!(answer.status(), 503);
    assert!(answer.text().await.expect("text").contains("key-value store"));
}

#[tokio::test]
async fn a_plugin_in_c_asks_other_servers_that_the_operator_grants() {
    let server = serve(|request| async move {
        let (head, body) = request.into_parts();
        let size = body.collect().await.expect("a body").to_bytes().len();
        let field = |name: &str| head.headers.get(name).map_or("-", |value| value.to_str().expect("ASCII")).to_owned();
        let said = format!("{} {} {size} {} {}", head.method, head.uri, field("x-own"), field("x-api-key"));
        Response::builder().status(207).header("content-type", "text/plain").body(Full::from(said)).expect("an answer")
    })
    .await;
    let config = format!(
        "[plugin.features]\nhttp = [\"{server}\"]\n\
         secrets = [{{ origin = \"{server}\", header = \"x-api-key\", value_file = \"key\" }}]\n"
    );
    let builder = features_with(&config);
    fs::write(builder.path("key"), "hunter2\n").expect("written");
    let host = builder.arguments(&["--config", "coinslot.toml"]).start().await;
    let fetch = async |query: &str| -> Value {
        let answer = host.client().get(host.url(&format!("/c/fetch?{query}"))).send().await.expect("an answer");
        answer.json().await.expect("JSON")
    };
    let got = fetch(&format!("url={server}/x%3Fa=1%23fragment")).await;
    assert_eq!(got, json!({ "status": 207, "size": 22, "body": "GET /x?a=1 0 c hunter2", "type": "text/plain" }));
    let posted = fetch(&format!("url={server}&size=300000")).await;
    assert_eq!(posted["body"], "POST / 300000 c hunter2");
    let denied = fetch("url=http://127.0.0.1:9/").await;
    assert_eq!(denied["message"], "denied: the operator has not granted this origin");
    assert!(fetch("url=ftp://example.org/").await["message"].as_str().expect("text").contains("https://"));
}

/// Memory of an earlier request was never released, so that an instance that is used again would end at its limit.
#[tokio::test]
async fn an_instance_that_is_used_again_has_its_memory_back() {
    let config = "[limits]\nmemory = \"4MiB\"\n[plugin.features]\nreuse = { total = 100 }\n";
    let host = features(&["--config", "coinslot.toml"], config).await;
    for count in 1..=30 {
        let again = reqwest::get(host.url("/c/again")).await.expect("an answer").text().await.expect("text");
        assert_eq!(again, format!("{count} 0"), "it is the same instance, and its memory is zero");
    }
}

/// What a plugin does not use it does not import, so an operator who looks at it sees what it can do.
#[tokio::test]
async fn a_small_plugin_imports_no_more_than_it_calls() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("hello.c"), HELLO).expect("written");
    builds(dir.path(), &["hello.c"]);
    let component = dir.path().join("hello.wasm");
    assert!(fs::metadata(&component).expect("a component").len() < 100_000);
    let decoded = wit_component::decode(&fs::read(&component).expect("a component")).expect("a component");
    let resolve = decoded.resolve();
    let world = &resolve.worlds.iter().next().expect("a world").1;
    let imports: Vec<String> = world.imports.keys().map(|key| resolve.name_world_key(key)).collect();
    let exports: Vec<String> = world.exports.keys().map(|key| resolve.name_world_key(key)).collect();
    for unused in ["keyvalue", "config", "payment", "filesystem", "sockets", "environment", "quote"] {
        assert!(!imports.iter().any(|name| name.contains(unused)), "{unused}: {imports:?}");
    }
    assert!(!exports.iter().any(|name| name.contains("quote")), "no quote, no call before a payment: {exports:?}");
    let host = DevHost::builder().plugin("hello.wasm", &component).start().await;
    let hello = paid(&host, || host.client().get(host.url("/hello/Ada"))).await;
    assert_eq!(hello.text().await.expect("text"), "Hello, Ada!\n");
}

#[tokio::test]
async fn a_folder_has_several_sources_and_flags_and_dev_builds_it_anew_when_a_header_is_saved() {
    let builder = DevHost::builder();
    let folder = builder.path("plugins/many");
    fs::create_dir(&folder).expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("written");
    write("greeting.h", "#define GREETING \"first\"\n");
    write(
        "plugin.cpp",
        "#include <string>\n#include \"coinslot.h\"\n#include \"greeting.h\"\nextern \"C\" int forty_two(void);\n\
         static void answer(coinslot_request *request) {\n\
           static std::string greeting = GREETING;\n\
           coinslot_print(request, \"%s %d %s\", BRAND, forty_two(), greeting.c_str());\n}\n\
         void coinslot_plugin() { coinslot_get(\"/many\", \"free\", \"Many\", answer); }\n",
    );
    write("other.c", "int forty_two(void) { return 42; }\n");
    write("other_test.c", "int main(void) { not C }\n");
    write("compile_flags.txt", "--target=wasm32-wasi\n# the operator's brand\n-DBRAND=\"shop\"\n");
    let path = std::env::join_paths([zig_folder()]).expect("a PATH");
    let host = builder.environment("PATH", path.to_str().expect("text")).start().await;
    let answer = async || reqwest::get(host.url("/many")).await.expect("an answer").text().await.expect("text");
    assert_eq!(answer().await, "shop 42 first");
    write("greeting.h", "#define GREETING \"second\"\n");
    for _ in 0..600 {
        if answer().await == "shop 42 second" {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the edit is not served:\n{}", host.log());
}

/// A source, and what its author reads.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    ("a.c", "#include \"coinslot.h\"\nvoid coinslot_plugin(void) { return 1 }\n", &["a.c:2:"]),
    (
        "a.c",
        "#include \"coinslot.h\"\nvoid coinslot_plugin(void) { coinslot_got(\"/\"); }\n",
        &["a.c:2:", "coinslot_got"],
    ),
    ("a.c", "#include \"coinslot.h\"\n", &["coinslot_plugin", "Define `void coinslot_plugin(void)`"]),
    (
        "a.c",
        "#include \"coinslot.h\"\nvoid elsewhere(coinslot_request *);\n\
         void coinslot_plugin(void) { coinslot_get(\"/\", \"free\", \"Root\", elsewhere); }\n",
        &["undefined symbol: elsewhere"],
    ),
    (
        "a.c",
        "#include \"coinslot.h\"\nstatic void f(coinslot_request *r) { coinslot_print(r, \"%s\", 1); }\n\
         void coinslot_plugin(void) { coinslot_get(\"/\", \"free\", \"Root\", f); }\n",
        &["a.c:2:", "format"],
    ),
    ("a.cpp", "#include \"coinslot.h\"\nvoid coinslot_plugin() { throw 1; }\n", &["a.cpp:2:", "exception"]),
    ("a.zig", "export fn coinslot_plugin() void { const a = ; }\n", &["a.zig:1:"]),
];

#[test]
fn a_mistake_in_c_is_told_with_its_line() {
    let dir = tempfile::tempdir().expect("a folder");
    for (file, source, expected) in MISTAKES {
        fs::write(dir.path().join(file), source).expect("written");
        let said = mistake(dir.path(), &[file]);
        for part in *expected {
            assert!(said.contains(part), "{source}\nshould say {part:?}:\n{said}");
        }
    }
}

/// Declarations that compile, and what the operator and the author read when the plugin is loaded.
#[test]
fn a_declaration_that_is_wrong_is_told_with_its_endpoint() {
    let dir = tempfile::tempdir().expect("a folder");
    for (declared, expected) in [
        ("coinslot_get(\"/a\", NULL, \"A\", f)", "GET /a: it has no price: write \"0.001\""),
        ("coinslot_get(\"/a\", \"quoted 0.1\", \"A\", f)", "GET /a: its price is quoted, and nothing quotes it"),
        ("coinslot_get(\"a\", \"free\", \"A\", f)", "slash"),
        ("(void)f", "it declares no endpoint: call coinslot_get"),
        ("coinslot_post(\"/a\", \"free\", \"A\", f)->body = \"{\"", "POST /a: the schema of its body is not JSON: {"),
    ] {
        let source = format!(
            "#include \"coinslot.h\"\nstatic void f(coinslot_request *r) {{ coinslot_text(r, \"a\"); }}\n\
             void coinslot_plugin(void) {{ {declared}; }}\n"
        );
        fs::write(dir.path().join("a.c"), source).expect("written");
        let said = mistake(dir.path(), &["a.c"]);
        assert!(said.contains(expected), "{declared} should say {expected:?}:\n{said}");
    }
}

/// `test` sent a form to an endpoint whose schema names none, and the host answered 400.
#[test]
fn a_body_with_a_file_in_json_passes_its_test() {
    let dir = tempfile::tempdir().expect("a folder");
    let source = "#include \"coinslot.h\"\n\
        static void size(coinslot_request *r) {\n\
        \x20 coinslot_print(r, \"%zu\", strlen(coinslot_json_string(coinslot_json_body(r), \"/image\")));\n\
        }\n\
        void coinslot_plugin(void) {\n\
        \x20 coinslot_post(\"/size\", \"0.01\", \"Its size\", size)->body = COINSLOT_JSON({ \"type\": \"object\",\n\
        \x20   \"required\": [\"image\"], \"properties\": { \"image\": { \"type\": \"string\", \"format\": \"binary\" } } });\n\
        }\n";
    let source = source.replace("strlen", "__builtin_strlen");
    fs::write(dir.path().join("size.c"), source).expect("written");
    let tested = run_with(&[&zig_folder()], dir.path(), &["test", "size.c"]);
    assert!(tested.status.success(), "{}{}", text(&tested.stdout), text(&tested.stderr));
}

/// The first mistake was reported alone, without its line.
#[test]
fn every_mistake_of_a_declaration_is_told_with_its_line() {
    let dir = tempfile::tempdir().expect("a folder");
    let source = "#include \"coinslot.h\"\n\
        static void f(coinslot_request *r) { coinslot_text(r, \"a\"); }\n\
        void coinslot_plugin(void) {\n\
        \x20 coinslot_get(\"/a\", NULL, \"A\", f);\n\
        \x20 coinslot_post(\"/b\", \"free\", \"B\", f)->body = COINSLOT_JSON({ \"type\": });\n\
        \x20 coinslot_put(\"c\", \"1e3\", \"C\", f);\n\
        \x20 coinslot_get(\"/d\", \"free\", \"D\", f);\n\
        \x20 coinslot_get(\"/d\", \"0.00000001\", \"D\", NULL);\n\
        }\n";
    for name in ["a.c", "a.cpp"] {
        fs::write(dir.path().join(name), source).expect("written");
        let said = mistake(dir.path(), &[name]);
        for (line, expected) in [
            (4, "GET /a: it has no price: write \"0.001\""),
            (5, "POST /b: the schema of its body is not JSON: {"),
            (6, "PUT c: its path is none: start it with a slash"),
            (6, "PUT c: its price \"1e3\" is no amount: write \"0.001\""),
            (8, &format!("GET /d: it is declared twice, first at {name}:7: ")),
            (8, "GET /d: its price \"0.00000001\" is finer than the smallest unit of USDC"),
            (8, "GET /d: it has no handler"),
        ] {
            let begin = format!("  {name}:{line}: {expected}");
            assert!(said.lines().any(|line| line.starts_with(&begin)), "no line {begin:?}:\n{said}");
        }
    }
}

#[test]
fn a_compiler_that_is_missing_is_named_with_how_to_get_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let none = dir.path().join("none");
    fs::create_dir(&none).expect("a folder");
    for (lang, file) in [("c", "plugin.c"), ("zig", "plugin.zig")] {
        fs::create_dir(dir.path().join(lang)).expect("a folder");
        fs::write(dir.path().join(lang).join(file), HELLO).expect("written");
        let output = run_with(&[&none], dir.path(), &["build", lang]);
        assert_eq!(output.status.code(), Some(69), "{}", text(&output.stderr));
        let said = text(&output.stderr);
        assert!(said.contains("install zig (https://ziglang.org/download, or `pip install ziglang`)"), "{said}");
        assert_eq!(said.contains("clang with lld"), lang == "c", "{said}");
        assert!(!dir.path().join(lang).join(format!("{lang}.wasm")).exists());
    }
}

/// `python3 -m ziglang`, which is tried where there is no zig, ran the file of the folder in which somebody built.
#[test]
fn a_module_of_the_current_folder_is_not_run_for_zig() {
    let dir = tempfile::tempdir().expect("a folder");
    let programs = dir.path().join("programs");
    fs::create_dir(&programs).expect("a folder");
    let python = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().expect("Python");
    symlink(text(&python.stdout).trim(), programs.join("python3")).expect("a link");
    fs::write(dir.path().join("plugin.c"), HELLO).expect("written");
    for name in ["ziglang", "runpy", "sitecustomize"] {
        let module = format!("open({:?}, 'w').close()\n", dir.path().join(format!("ran-{name}")));
        fs::write(dir.path().join(format!("{name}.py")), module).expect("written");
    }
    let output = run_with(&[&programs], dir.path(), &["build", "plugin.c"]);
    let ran: Vec<_> = ["ziglang", "runpy", "sitecustomize"].map(|name| dir.path().join(format!("ran-{name}"))).into();
    assert!(!ran.iter().any(|file| file.exists()), "{}", text(&output.stderr));
}

/// A build called these good, and the host that was to serve them refused them.
#[test]
fn what_no_host_loads_is_refused_by_its_build() {
    let dir = tempfile::tempdir().expect("a folder");
    let cases = [
        ("coinslot_get(\"/a\", \"1e3\", \"A\", a);", "1e3"),
        ("coinslot_get(\"/a\", NULL, \"A\", a);", "it has no price: write"),
        (
            "coinslot_get(\"/a\", \"0.00000001\", \"A\", a);",
            "is finer than the smallest unit of USDC, which has 6 decimals",
        ),
        ("coinslot_get(\"a\", \"0.01\", \"A\", a);", "start it with a slash"),
        ("(void)a;", "it declares no endpoint: call coinslot_get("),
    ];
    for (declarations, expected) in cases {
        let source = format!(
            "#include \"coinslot.h\"\nstatic void a(coinslot_request *request) {{ coinslot_print(request, \"a\"); }}\n\
             void coinslot_plugin(void) {{ coinslot_name(\"shop\", \"1.0.0\"); {declarations} }}\n"
        );
        fs::write(dir.path().join("shop.c"), source).expect("written");
        let said = mistake(dir.path(), &["shop.c"]);
        assert!(said.contains("shop.c: ") && said.contains(expected), "should say {expected:?}:\n{said}");
        assert!(!dir.path().join("shop.wasm").exists());
    }
    let metered = "#include \"coinslot.h\"\nstatic void a(coinslot_request *request) { coinslot_print(request, \"a\"); }\n\
        void coinslot_plugin(void) { coinslot_name(\"shop\", \"1.0.0\"); \
        coinslot_get(\"/a\", \"up-to 0.05\", \"A\", a); }\n";
    fs::write(dir.path().join("shop.c"), metered).expect("written");
    let said = builds(dir.path(), &["shop.c"]);
    assert!(said.contains("warning: shop.c: GET /a: this version sells nothing at a metered price"), "{said}");
}

/// The programs of clang alone, if this machine has them. Some clangs want `wasm-ld-14`, with their version.
fn clang_alone(dir: &Path) -> Option<PathBuf> {
    let alone = dir.join("programs");
    fs::create_dir(&alone).ok()?;
    for folder in std::env::split_paths(&std::env::var_os("PATH")?).filter(|folder| folder.is_dir()) {
        for program in folder.read_dir().ok()?.flatten() {
            let name = program.file_name();
            let is_of_clang = name == "clang" || name == "clang++" || name.to_string_lossy().starts_with("wasm-ld");
            if is_of_clang && !alone.join(&name).exists() {
                symlink(program.path().canonicalize().ok()?, alone.join(name)).ok()?;
            }
        }
    }
    (alone.join("clang").exists() && alone.join("wasm-ld").exists()).then_some(alone)
}

#[tokio::test]
async fn clang_builds_a_plugin_where_it_is_installed() {
    let dir = tempfile::tempdir().expect("a folder");
    let Some(clang) = clang_alone(dir.path()) else {
        eprintln!("there is no clang with lld on this machine; zig is tested everywhere");
        return;
    };
    fs::write(dir.path().join("features.c"), FEATURES).expect("written");
    let output = run_with(&[&clang], dir.path(), &["build", "features.c"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let host = DevHost::builder().plugin("features.wasm", &dir.path().join("features.wasm")).start().await;
    let hello = reqwest::get(host.url("/c/hello/Ada?lang=a&lang=b")).await.expect("an answer");
    assert_eq!(hello.text().await.expect("text"), "GET Ada, a, b\n");
    let receipt: Value = paid(&host, || host.client().get(host.url("/c/receipt"))).await.json().await.expect("JSON");
    assert_eq!(receipt["amount"], "0.002");
}

/// A module in the text format, as an assembler makes it.
fn module(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).expect("a module")
}

#[test]
fn a_core_module_that_is_no_plugin_is_told_what_it_lacks() {
    let dir = tempfile::tempdir().expect("a folder");
    let describe = "(memory (export \"memory\") 1) \
        (func (export \"coinslot:plugin/manifest@0.2.0#describe\") (result i32) i32.const 0) \
        (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) i32.const 0)";
    let handle = "(func (export \"wasi:http/incoming-handler@0.2.12#handle\") (param i32 i32))";
    let cases = [
        (b"\x7fELF not a module".to_vec(), "no WebAssembly"),
        (b"\0asm\x01\0\0\0\x01\xff".to_vec(), "damaged"),
        (module("(module)"), "does not export `coinslot:plugin/manifest@0.2.0#describe`"),
        (module("(module (func (export \"_start\")))"), "a program with `main`"),
        (module(&format!("(module {describe})")), "does not export `wasi:http/incoming-handler@0.2.12#handle`"),
        (
            module(&format!("(module (import \"env\" \"sqrtl\" (func)) {describe} {handle})")),
            "imports `sqrtl` from `env`",
        ),
        (
            module(&format!("(module (import \"my:own/thing@1.0.0\" \"f\" (func)) {describe} {handle})")),
            "my:own/thing@1.0.0",
        ),
        (
            module(&format!("(module {describe} (func (export \"wasi:http/incoming-handler@0.2.12#handle\")))")),
            "incoming-handler@0.2.12#handle",
        ),
    ];
    for (bytes, expected) in cases {
        fs::write(dir.path().join("core.wasm"), bytes).expect("written");
        let output = run(dir.path(), &["build", "core.wasm"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(65), "{said}");
        assert!(said.contains(expected), "should say {expected:?}:\n{said}");
        assert!(!dir.path().join("core.component.wasm").exists());
    }
}

/// A module that does nothing, with the types of a world in it, as wit-bindgen and a linker make one.
fn bound_to(wit: &str, world: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("wit");
    resolve.push_dir(&folder).expect("the contract");
    let package = resolve.push_str("own.wit", wit).expect("WIT");
    let world = resolve.select_world(&[package], Some(world)).expect("a world");
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).expect("types");
    module
}

#[test]
fn a_core_module_that_brings_its_types_along_becomes_a_component_of_its_world() {
    let dir = tempfile::tempdir().expect("a folder");
    let worlds = "package my:bound; \
        world shop { include coinslot:plugin/endpoint@0.2.0; import wasi:http/outgoing-handler@0.2.12; } \
        world proxy { include wasi:http/proxy@0.2.12; }";
    fs::write(dir.path().join("shop.wasm"), bound_to(worlds, "shop")).expect("written");
    let built = run(dir.path(), &["build", "shop.wasm"]);
    assert!(built.status.success(), "{}", text(&built.stderr));
    let component = fs::read(dir.path().join("shop.component.wasm")).expect("a component");
    let decoded = wit_component::decode(&component).expect("a component");
    let (_, world) = decoded.resolve().worlds.iter().next().expect("a world");
    let exports: Vec<String> = world.exports.keys().map(|key| decoded.resolve().name_world_key(key)).collect();
    assert!(exports.iter().any(|name| name.starts_with("coinslot:plugin/manifest")), "{exports:?}");

    fs::write(dir.path().join("proxy.wasm"), bound_to(worlds, "proxy")).expect("written");
    let refused = run(dir.path(), &["build", "proxy.wasm"]);
    assert_eq!(refused.status.code(), Some(65));
    let said = text(&refused.stderr);
    assert!(said.contains("does not export `coinslot:plugin/manifest@0.2.0#describe`"), "{said}");
    assert!(said.contains("coinslot wit"), "{said}");
}

/// A module of another build, with a library of C that asks for WASI preview 1, becomes a plugin that is paid.
#[tokio::test]
async fn a_core_module_of_another_build_becomes_a_component() {
    let dir = tempfile::tempdir().expect("a folder");
    let source = "#include <time.h>\n#include \"coinslot.h\"\n\
        static void now(coinslot_request *request) { coinslot_print(request, \"%lld\", (long long)time(NULL)); }\n\
        void coinslot_plugin(void) {\n\
          coinslot_name(\"clock\", \"1.0.0\");\n\
          coinslot_get(\"/now\", \"0.001\", \"The time\", now);\n}\n";
    fs::write(dir.path().join("clock.c"), source).expect("written");
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("sdk/c");
    let sources = fs::read_dir(&sdk).expect("the SDK").flatten().map(|entry| entry.path());
    let sources = sources.filter(|path| {
        path.extension().is_some_and(|extension| extension == "c")
            && !path.ends_with("quote.c")
            && !path.ends_with("libc.c")
    });
    let mut zig = Command::new(zig_folder().join("zig"));
    zig.current_dir(dir.path()).args(["cc", "-target", "wasm32-wasi", "-mexec-model=reactor", "-O1", "-I"]).arg(&sdk);
    let made = zig.args(sources).args(["clock.c", "-o", "clock.wasm"]).output().expect("zig");
    assert!(made.status.success(), "{}", text(&made.stderr));
    let built = run(dir.path(), &["build", "clock.wasm"]);
    assert!(text(&built.stdout).starts_with("clock.component.wasm"), "{}{}", text(&built.stdout), text(&built.stderr));

    // Under `dev` the module itself is built, and the component beside it is no second plugin.
    let builder = DevHost::builder().plugin("clock.wasm", &dir.path().join("clock.wasm"));
    let host = builder.plugin("clock.component.wasm", &dir.path().join("clock.component.wasm")).start().await;
    let now = paid(&host, || host.client().get(host.url("/now"))).await.text().await.expect("text");
    assert!(now.parse::<u64>().expect("a number") > 1_700_000_000, "{now}");
    // A component stays as it is.
    let copied = run(dir.path(), &["build", "clock.component.wasm", "-o", "copy.wasm"]);
    assert!(copied.status.success(), "{}", text(&copied.stderr));
    let read = |name: &str| fs::read(dir.path().join(name)).expect("a component");
    assert!(read("copy.wasm") == read("clock.component.wasm"));
}

/// Each source of the page, by the name in its first line, is a plugin that loads.
#[test]
fn the_examples_of_the_page_are_plugins() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut built = 0;
    for block in blocks("host/docs/c.md") {
        let is_source = ["c", "cpp", "zig"].contains(&&*block.language);
        let Some(name) = block.file().filter(|_| is_source) else { continue };
        fs::write(dir.path().join(name), &block.text).expect("written");
        let said = builds(dir.path(), &[name]);
        assert!(!said.contains("warning"), "{name}: {said}");
        let component = Path::new(name).with_extension("wasm");
        let inspected = run(dir.path(), &["inspect", component.to_str().expect("text")]);
        assert!(inspected.status.success(), "{name}: {}{}", text(&inspected.stdout), text(&inspected.stderr));
        built += 1;
    }
    assert_eq!(built, 10, "examples of the page");
}

#[test]
fn the_header_is_c11_and_cpp17() {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("sdk/c");
    let dir = tempfile::tempdir().expect("a folder");
    for (driver, file, standard) in [("cc", "a.c", "-std=c11"), ("c++", "a.cpp", "-std=c++17")] {
        fs::write(dir.path().join(file), "#include \"coinslot.h\"\n").expect("written");
        let mut zig = Command::new(zig_folder().join("zig"));
        zig.current_dir(dir.path()).args([driver, "-target", "wasm32-wasi", "-c", file, "-o", "a.o", standard]);
        zig.args(["-Wall", "-Wextra", "-Werror", "-pedantic-errors", "-I"]).arg(&sdk);
        let checked = zig.output().expect("zig");
        assert!(checked.status.success(), "{standard}: {}", text(&checked.stderr));
    }
}
