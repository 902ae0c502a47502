//! Shows authors what their plugins do: a line for each request, what a reload changes, and the limit behind a fault.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use alloy::primitives::U256;
use coinslot_tests::{DevHost, TestChain, binary, declaring, guest, run};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn host(guests: &[&str], arguments: &[&str]) -> DevHost {
    let mut builder = DevHost::builder().arguments(arguments);
    for name in guests {
        builder = builder.plugin(&format!("{name}.wasm"), &guest(name));
    }
    builder.start().await
}

/// Waits for a line of the host's output that has all of these parts, and returns it.
async fn line(host: &DevHost, parts: &[&str]) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let log = host.log();
        if let Some(line) = log.lines().find(|line| parts.iter().all(|part| line.contains(part))) {
            return line.to_owned();
        }
        assert!(Instant::now() < deadline, "no line has {parts:?}:\n{log}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Pays for a POST of this path.
async fn pay(host: &DevHost, path: &str) -> u16 {
    let ask = || host.client().post(host.url(path));
    let challenge = ask().send().await.expect("an answer");
    let payment = host.payer(0).pay(&challenge).header();
    let reply = ask().header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
    let status = reply.status().as_u16();
    let _ = reply.bytes().await;
    status
}

#[tokio::test]
async fn each_request_has_a_line_with_its_price_its_payer_its_end_and_its_times() {
    let host = host(&["echo", "status", "schemas", "quoter", "upfront"], &[]).await;
    let payer = host.payer(0).address().to_string();
    let short = format!("{}..{}", &payer[..6], &payer[payer.len() - 4..]);

    host.client().get(host.url("/echo?hello")).send().await.expect("an answer");
    let free = line(&host, &["200 GET /echo?hello  free  answered", "plugin ", "total "]).await;
    assert!(!free.contains("chain"), "{free}");
    line(&host, &["echo | echo got hello"]).await;

    assert_eq!(pay(&host, "/status?200").await, 200);
    let asked = line(&host, &["402 POST /status?200  0.01 USDC  payment asked"]).await;
    assert!(!asked.contains("plugin"), "nothing ran for it: {asked}");
    line(&host, &["200 POST /status?200  0.01 USDC from", &short, "paid and answered", "plugin ", "chain ", "total "])
        .await;
    assert_eq!(pay(&host, "/status?404").await, 404);
    line(&host, &["404 POST /status?404  0.01 USDC from", &short, "failed and not charged"]).await;
    assert_eq!(pay(&host, "/upfront").await, 200);
    line(&host, &["200 POST /upfront  0.01 USDC from", &short, "paid and answered"]).await;

    host.client().post(host.url("/schemas/order")).body(r#"{"count":2}"#).send().await.expect("an answer");
    line(&host, &["400 POST /schemas/order  0.01 USDC  refused before payment: invalid_body: ", "/body/item"]).await;
    assert_eq!(pay(&host, "/quoter/word").await, 200);
    line(&host, &["200 POST /quoter/word (/quoter/{kind})  0.004 USDC from", "paid and answered"]).await;
    host.client().get(host.url("/nothing/%1b[2J")).send().await.expect("an answer");
    line(&host, &["400 GET /nothing/%1b[2J  bad_path: "]).await;
}

/// Clients choose an endpoint by its declared media type, and only `coinslot test` compared an answer with it.
#[tokio::test]
async fn an_answer_of_another_media_type_than_the_declared_one_has_a_warning_on_its_line() {
    let host = host(&["status", "crowd"], &[]).await;
    assert_eq!(pay(&host, "/status?200").await, 200);
    let warned = line(&host, &["200 POST /status?200", "paid and answered", "total "]).await;
    let warning = "warning: the answer's media type is text/plain, and application/json is declared";
    assert!(warned.contains(warning), "{warned}");
    host.client().get(host.url("/crowd")).send().await.expect("an answer");
    let untyped = line(&host, &["200 GET /crowd", "total "]).await;
    assert!(untyped.contains("media type is missing, and application/json is declared"), "{untyped}");
    // The challenge is the host's answer, and has no warning about the plugin.
    let asked = line(&host, &["402 POST /status?200", "payment asked"]).await;
    assert!(!asked.contains("warning"), "{asked}");
}

#[tokio::test]
async fn a_payment_that_is_refused_or_presented_again_is_told_as_such() {
    let host = host(&["status"], &[]).await;
    let ask = || host.client().post(host.url("/status?200"));
    let challenge = ask().send().await.expect("an answer");
    let payment = host.payer(1).pay(&challenge).header();
    for _ in 0..2 {
        let reply = ask().header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
        assert_eq!(reply.status(), 200);
    }
    line(&host, &["200 POST /status?200", "paid and answered"]).await;
    line(&host, &["200 POST /status?200", "paid before, answered again"]).await;
    let poor = coinslot_tests::Wallet::poor().pay(&challenge).header();
    assert_eq!(ask().header("PAYMENT-SIGNATURE", &poor).send().await.expect("an answer").status(), 402);
    line(&host, &["402 POST /status?200", "refused before payment: ", "insufficient_balance"]).await;
}

/// Requests that no limit explains sent authors into the documentation: "more CPU time than its limit".
#[tokio::test]
async fn a_fault_names_the_plugin_the_route_and_the_limit_with_its_key() {
    let dir = tempfile::tempdir().expect("a directory");
    let limits = "[limits]\ncpu_time = \"100ms\"\nfirst_byte_timeout = \"2s\"\ntotal_timeout = \"3s\"\n\
                  memory = \"32MiB\"\nresponse_body = \"512KiB\"\nlog = \"4KiB\"\n[health]\nfailures = 0\n";
    let config = dir.path().join("limits.toml");
    std::fs::write(&config, limits).expect("a file");
    let guests = ["spin", "grow", "flood", "trap", "unruly", "quoter"];
    let host = host(&guests, &["--config", config.to_str().expect("a path")]).await;
    for (path, fault) in [
        ("/spin", "the plugin used more CPU time than its limit (limits.cpu_time = 100ms)"),
        ("/spin?how=sleep", "the plugin took longer than its limit (limits.first_byte_timeout = 2s)"),
        ("/grow", "the plugin wanted more memory than its limit (limits.memory = 32MiB)"),
        ("/flood", "the plugin's answer is larger than its limit (limits.response_body = 512KiB)"),
        (
            "/trap",
            "the plugin trapped: wasm trap: wasm `unreachable` instruction executed: it panicked at trap/src/lib.rs:",
        ),
    ] {
        assert!(pay(&host, path).await >= 500, "{path}");
        line(&host, &[&format!("POST {path}  0.01 USDC from"), "failed and not charged: ", fault]).await;
    }
    // The text of a panic was in the plugin's log alone.
    line(&host, &["POST /trap  0.01 USDC from", "it panicked at trap/src/lib.rs:", ": as asked"]).await;
    // The host's own log has the same in fields.
    line(&host, &["plugin=\"spin\"", "endpoint=\"POST /spin\"", "limit=limits.cpu_time = 100ms", "a plugin failed"])
        .await;
    let cut = host.client().get(host.url("/spin?how=late")).send().await.expect("a head");
    cut.bytes().await.expect_err("it is cut off");
    line(&host, &["200 GET /spin?how=late  free  broke off: ", "(limits.total_timeout = 3s)"]).await;
    host.client().get(host.url("/unruly?chatter")).send().await.expect("an answer");
    line(&host, &["unruly | it printed more than 4096 bytes, its `limits.log`,"]).await;
    let quoted = host.client().post(host.url("/quoter/x?sleep")).body("x").send().await.expect("an answer");
    assert_eq!(quoted.status(), 504);
    line(&host, &["504 POST /quoter/x?sleep", "`quote` waited for more than 250 ms"]).await;
}

/// The guest saw an error code, and the log said nothing.
#[tokio::test]
async fn a_refused_outgoing_request_names_the_grant_that_it_lacks() {
    let host = host(&["fetch"], &[]).await;
    let plan = "GET https://api.example.com/rates";
    host.client().post(host.url("/fetch")).body(plan).send().await.expect("an answer");
    line(
        &host,
        &[
            "fetch | outgoing request to https://api.example.com refused: ",
            "`plugin.fetch.http = [\"https://api.example.com\"]`",
        ],
    )
    .await;
}

/// A trap showed addresses of the stripped component.
#[tokio::test]
async fn the_backtrace_of_a_rust_plugin_has_the_names_of_its_functions() {
    // What the plugins of the workspace are made of is compiled already.
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("target");
    let host = DevHost::builder().environment("CARGO_TARGET_DIR", target.to_str().expect("a path"));
    let crate_dir = host.path("plugins/boom");
    crate_of(
        &crate_dir,
        "fn surprising_helper(n: usize) -> String { [\"a\"][n].to_owned() }",
        "surprising_helper(std::hint::black_box(3))",
    );
    let host = host.start().await;
    let reply = host.client().get(host.url("/boom")).send().await.expect("an answer");
    assert_eq!(reply.status(), 500, "{}", host.log());
    let log = line(&host, &["a plugin failed", "backtrace="]).await;
    assert!(log.contains("surprising_helper"), "{log}");
    line(&host, &["boom | ", "panicked at src/lib.rs:"]).await;
}

/// Each new plugin compiled the SDK again, for a minute and more.
#[tokio::test]
async fn crates_on_their_own_share_the_folder_for_compiled_code() {
    let cache = tempfile::tempdir().expect("a directory");
    let host = DevHost::builder().environment("XDG_CACHE_HOME", cache.path().to_str().expect("a path"));
    let source = |folder: &str, text: &str| {
        let dir = host.path("plugins").join(folder);
        std::fs::create_dir_all(dir.join("src")).expect("a folder");
        // Both have one name, and so would overwrite each other where cargo puts what it has made.
        let manifest = "[package]\nname = \"same\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n[lib]\n\
                        crate-type = [\"cdylib\"]\n";
        std::fs::write(dir.join("Cargo.toml"), manifest).expect("a manifest");
        let source =
            format!("#[unsafe(no_mangle)]\npub extern \"C\" fn text() -> *const u8 {{\n    \"{text}\".as_ptr()\n}}\n");
        std::fs::write(dir.join("src/lib.rs"), source).expect("a source");
    };
    source("one", "the first of one");
    source("two", "the first of two");
    let host = host.start().await;
    let has = |file: &str, text: &str| {
        let component = std::fs::read(host.path(".coinslot/plugins").join(file)).unwrap_or_default();
        component.windows(text.len()).any(|found| found == text.as_bytes())
    };
    assert!(has("one.wasm", "the first of one") && has("two.wasm", "the first of two"), "{}", host.log());
    for folder in ["one", "two"] {
        assert!(!host.path("plugins").join(folder).join("target").exists(), "{folder} has a folder of its own");
    }
    let shared = std::fs::read_dir(cache.path().join("coinslot")).expect("the cache").flatten();
    assert!(shared.map(|version| version.path()).any(|version| version.join("cargo/wasm32-wasip2/plugin").is_dir()));
    let edited = host.path("plugins/one/src/lib.rs");
    let text = std::fs::read_to_string(&edited).expect("a source").replace("the first of one", "the next of one");
    std::fs::write(&edited, text).expect("a source");
    let deadline = Instant::now() + Duration::from_secs(120);
    while !has("one.wasm", "the next of one") {
        assert!(Instant::now() < deadline, "{}", host.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(has("two.wasm", "the first of two"));
}

/// A crate with one free endpoint, `/boom`, that builds against the SDK of this repository.
fn crate_of(dir: &Path, helper: &str, body: &str) {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("sdk/rust");
    std::fs::create_dir_all(dir.join("src")).expect("a folder");
    let manifest = format!(
        "[package]\nname = \"boom\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n[lib]\ncrate-type = [\"cdylib\"]\n\
         [dependencies]\ncoinslot-sdk = {{ path = \"{}\" }}\n[profile.plugin]\ninherits = \"release\"\nopt-level = \"s\"\n\
         lto = true\ncodegen-units = 1\npanic = \"abort\"\nstrip = true\n",
        sdk.display()
    );
    std::fs::write(dir.join("Cargo.toml"), manifest).expect("a manifest");
    let source = format!(
        "use coinslot_sdk::{{Text, endpoint}};\n\n#[inline(never)]\n{helper}\n\n\
         #[endpoint(get, \"/boom\", free, summary = \"Fails\")]\nfn boom() -> Text {{\n    Text({body})\n}}\n"
    );
    std::fs::write(dir.join("src/lib.rs"), source).expect("a source");
}

#[tokio::test]
async fn a_reload_says_what_it_changed() {
    let host = DevHost::builder();
    let file = host.path("plugins/shop.wasm");
    std::fs::write(&file, declaring("GET:/a exact 0.002;GET:/b free")).expect("a component");
    let host = host.start().await;
    let change = |declaration: &str| std::fs::write(&file, declaring(declaration)).expect("a component");
    change("GET:/a exact 0.004;GET:/c exact 1");
    line(&host, &["GET /a  price 0.002 USDC -> 0.004 USDC"]).await;
    line(&host, &["added GET /c  1 USDC"]).await;
    line(&host, &["removed GET /b"]).await;
    // Another build with the same endpoints: a custom section named `x`.
    let again = [declaring("GET:/a exact 0.004;GET:/c exact 1"), vec![0, 2, 1, b'x']].concat();
    std::fs::write(&file, again).expect("a component");
    line(&host, &["shop.wasm is active, with the same endpoints"]).await;
    std::fs::write(&file, "no component").expect("a broken file");
    line(&host, &["shop.wasm was not loaded, the build before it stays active: "]).await;
    std::fs::write(file.with_file_name("other.wasm"), "no component").expect("a broken file");
    line(&host, &["other.wasm was not loaded: "]).await;
    // The host's log had each reason a second time.
    let told = host.log().matches("it is not WebAssembly").count();
    assert_eq!(told, 2, "once for each file: {}", host.log());
    std::fs::remove_file(&file).expect("removed");
    line(&host, &["shop.wasm is no longer active; removed: GET /a  0.004 USDC, GET /c  1 USDC"]).await;
}

/// The line had `{name}` unfilled, and no body, although the schema tells both; and `pay` refused a price above a tenth
/// of a dollar.
#[tokio::test]
async fn the_line_that_dev_prints_pays_as_it_is() {
    let import = "import { get, post } from \"coinslot\";\n";
    for (endpoint, answer) in [
        (
            "get(\"/hello/{name}\", { price: \"0.01\", summary: \"A\" }, ({ path }) => `Hello ${path.name}`);",
            "Hello example",
        ),
        (
            "get(\"/size/{size}\", { price: \"0.01\", summary: \"A\", path: { type: \"object\", properties: \
             { size: { type: \"string\", enum: [\"very large\", \"small\"] } }, required: [\"size\"] } }, \
             ({ path }) => `It is ${path.size}`);",
            "It is very large",
        ),
        (
            "post(\"/count\", { price: \"2.50\", summary: \"A\", body: { type: \"object\", properties: { text: \
             { type: \"string\", minLength: 9 }, times: { type: \"integer\", minimum: 3 } }, required: [\"text\", \
             \"times\"] } }, ({ body }) => `${body.text} ${body.times}`);",
            "exampleee 3",
        ),
    ] {
        let host = DevHost::builder();
        std::fs::write(host.path("plugins/shop.ts"), format!("{import}{endpoint}\n")).expect("a module");
        let host = host.start().await;
        line(&host, &["now pay for one:"]).await;
        let command = line(&host, &[" pay ", &host.url("/")]).await;
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]).current_dir(host.path(".")).env("XDG_STATE_HOME", host.path("state"));
        let paid = shell.stdin(Stdio::null()).output().expect("a shell");
        assert!(paid.status.success(), "{command}: {}", text(&paid.stderr));
        assert_eq!(text(&paid.stdout).trim(), answer, "{command}");
    }
}

/// `coinslot pay` in a directory, with the user's own folder for state in another one.
fn pay_in(dir: &Path, home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.current_dir(dir).arg("pay").args(arguments).env("XDG_STATE_HOME", home).env_remove("COINSLOT_PAYER_KEY");
    command.stdin(Stdio::null()).output().expect("the coinslot binary")
}

#[tokio::test]
async fn pay_finds_the_running_dev_from_below_its_folder_and_from_anywhere() {
    let home = tempfile::tempdir().expect("a directory");
    let start = || {
        let builder = DevHost::builder().plugin("status.wasm", &guest("status"));
        builder.environment("XDG_STATE_HOME", home.path().to_str().expect("a path")).start()
    };
    let mut host = start().await;
    let elsewhere = tempfile::tempdir().expect("a directory");
    let below = host.path("plugins");
    let url = host.url("/status?200");
    for (dir, target) in
        [(below.as_path(), "/status?200"), (elsewhere.path(), "/status?200"), (elsewhere.path(), &*url)]
    {
        let paid = pay_in(dir, home.path(), &["-X", "POST", target]);
        assert!(paid.status.success(), "{target}: {}", text(&paid.stderr));
        assert!(text(&paid.stderr).contains("paid 0.01 USDC"), "{}", text(&paid.stderr));
        let is_elsewhere = dir == elsewhere.path() && target == "/status?200";
        let names_it =
            text(&paid.stderr).contains(&format!("no `coinslot dev` runs in this folder: {}", host.url("/")));
        assert_eq!(names_it, is_elsewhere, "{}", text(&paid.stderr));
    }
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(30_000));

    let mut second = start().await;
    let unclear = pay_in(elsewhere.path(), home.path(), &["-X", "POST", "/status?200"]);
    assert_eq!(unclear.status.code(), Some(2));
    let said = text(&unclear.stderr);
    assert!(said.contains("several `coinslot dev`") && said.contains(&second.url("")), "{said}");
    second.stop().await;
    host.stop().await;
    let gone = pay_in(elsewhere.path(), home.path(), &["/status"]);
    assert_eq!(gone.status.code(), Some(2));
    assert!(text(&gone.stderr).contains("no `coinslot dev` of yours is running"), "{}", text(&gone.stderr));
    assert_eq!(std::fs::read_dir(home.path().join("coinslot/dev")).expect("the notes").count(), 0);
}

/// After each failure of a plugin its author read that the outcome was unknown, and a file stayed behind.
#[tokio::test]
async fn pay_says_that_nothing_was_charged_and_keeps_nothing_for_a_failure_in_development() {
    let host = host(&["status", "trap"], &[]).await;
    for (path, status) in [("/status?500", "500"), ("/trap", "500"), ("/status?404", "404")] {
        let failed = run(&host.path("."), &["pay", "-X", "POST", path]);
        assert_eq!(failed.status.code(), Some(1), "{path}");
        let said = text(&failed.stderr);
        assert!(said.contains(&format!("the server answered {status}, and says that nothing was charged")), "{said}");
        assert!(!said.contains("--resume"), "{said}");
    }
    let kept = std::fs::read_dir(host.path("state/coinslot/payments")).expect("a folder").count();
    assert_eq!(kept, 0, "another payment costs nothing here");
}

/// A call of an endpoint that is paid first, and fails.
const OWED: &[&str] = &["-X", "POST", "/upfront", "-H", "x-do: trap"];

/// A payment that was kept outlived the chain of its `coinslot dev`: another one on the same port warned of it for
/// ever, and to send it again ended with a refusal, or with the advice not to pay again.
#[tokio::test]
async fn a_payment_on_a_chain_that_has_ended_is_forgotten() {
    let home = tempfile::tempdir().expect("a directory");
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    let address = format!("127.0.0.1:{port}");
    let start = || {
        let builder = DevHost::builder().plugin("upfront.wasm", &guest("upfront")).arguments(&["--listen", &address]);
        builder.environment("XDG_STATE_HOME", home.path().to_str().expect("a path")).start()
    };
    let kept = || -> Vec<_> {
        let files = std::fs::read_dir(home.path().join("coinslot/payments")).into_iter().flatten();
        files.flatten().map(|entry| entry.path().display().to_string()).collect()
    };
    let mut host = start().await;
    let pay = |host: &DevHost, arguments: &[&str]| pay_in(&host.path("."), home.path(), arguments);
    let owed = pay(&host, OWED);
    assert!(text(&owed.stderr).contains("it owes the answer"), "{}", text(&owed.stderr));
    let first = kept();
    assert_eq!(first.len(), 1);
    let again = pay(&host, &["--resume", &first[0]]);
    assert!(text(&again.stderr).contains("it owes the answer") && kept() == first, "{}", text(&again.stderr));
    host.stop().await;

    let mut host = start().await;
    let other = pay(&host, OWED);
    assert!(!text(&other.stderr).contains("warning: a payment"), "{}", text(&other.stderr));
    let second = kept();
    assert!(second.len() == 1 && second != first, "{second:?}");
    host.stop().await;
    let gone = pay(&host, &["--resume", &second[0]]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(text(&gone.stderr).contains("on the chain of a `coinslot dev` that has ended"), "{}", text(&gone.stderr));
    assert!(kept().is_empty());
}

/// Output of a module that is only evaluated could clear the author's terminal, or forge a line of `dev`.
#[test]
fn what_a_module_prints_while_it_is_built_drives_no_terminal() {
    let dir = tempfile::tempdir().expect("a directory");
    let source = "import { get } from \"coinslot\";\nconsole.log(\"one\\u001b[2J\\u009b2J\\r\");\n\
                  get(\"/a\", { price: \"0.01\", summary: \"A\" }, () => \"a\");\n";
    std::fs::write(dir.path().join("shop.ts"), source).expect("a module");
    let built = run(dir.path(), &["build", "shop.ts"]);
    assert!(built.status.success(), "{}", text(&built.stderr));
    let said = text(&[built.stdout, built.stderr].concat());
    assert!(said.contains("shop | one\u{fffd}[2J"), "{said:?}");
    std::fs::write(dir.path().join("shop.ts"), "throw new Error(\"no\\u001b[2J\");\n").expect("a module");
    let failed = run(dir.path(), &["build", "shop.ts"]);
    assert_eq!(failed.status.code(), Some(65));
    for said in [said, text(&failed.stderr)] {
        assert!(!said.contains(['\u{1b}', '\u{9b}', '\r']), "{said:?}");
    }
    std::fs::create_dir(dir.path().join("sh")).expect("a folder");
    std::fs::write(dir.path().join("sh/build.sh"), "printf 'no \\033[2J' >&2\nexit 1\n").expect("a script");
    let failed = run(dir.path(), &["build", "sh"]);
    assert!(text(&failed.stderr).contains("no \u{fffd}[2J"), "{:?}", text(&failed.stderr));
}

/// A pipe and a link to itself were passed over in silence, and a folder was missing in the list.
#[tokio::test]
async fn names_of_plugins_that_lead_to_no_plugin_are_named_with_the_reason() {
    let host = DevHost::builder().plugin("status.wasm", &guest("status"));
    let plugins = host.path("plugins");
    let made = std::process::Command::new("mkfifo").arg(plugins.join("pipe.wasm")).status().expect("mkfifo");
    assert!(made.success());
    std::os::unix::fs::symlink("loop.wasm", plugins.join("loop.wasm")).expect("a link");
    std::os::unix::fs::symlink("nowhere", plugins.join("gone.ts")).expect("a link");
    std::fs::create_dir(plugins.join("dir.wasm")).expect("a folder");
    std::fs::write(plugins.join("shop.test.ts"), "test").expect("a file");
    let host = host.start().await;
    for parts in [
        ["pipe.wasm is not built: it is a pipe", ""],
        ["loop.wasm is not built: it cannot be read", "symbolic links"],
        ["gone.ts is not built: it cannot be read", "No such file"],
        ["dir.wasm is not built: a plugin is a folder with", ""],
        ["not served  dir.wasm, gone.ts, loop.wasm, pipe.wasm: see above", ""],
    ] {
        line(&host, &parts).await;
        assert_eq!(host.log().matches(parts[0]).count(), 1, "{}", host.log());
    }
    assert!(!host.log().contains("shop.test.ts"), "the tests of a plugin are no plugin: {}", host.log());
}

#[tokio::test]
async fn what_dev_does_not_serve_is_named_once_and_with_its_remedy() {
    let host = DevHost::builder().plugin("status.wasm", &guest("status"));
    let put = |name: &str, content: &str| {
        let path = host.path("plugins").join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, content).expect("a file");
    };
    put("notes/readme.txt", "no plugin");
    put("strange/build.sh", "echo 'install the strange compiler' >&2\nexit 69\n");
    put("broken/build.sh", "echo 'line 3 is wrong' >&2\nexit 1\n");
    put(
        "twin.js",
        "import { get } from \"coinslot\";\nget(\"/twin\", { price: \"0.01\", summary: \"A\" }, () => \"a\");\n",
    );
    put("twin/build.sh", "exit 1\n");
    let host = host.start().await;
    for (parts, times) in [
        (["notes is not built: a plugin is a folder with", "build.sh"], 1),
        (["skipped strange: install the strange compiler", ""], 1),
        (["broken does not build:", ""], 1),
        (["twin.js is not built: twin has the same name", ""], 1),
        (["not served  broken, strange", ""], 1),
    ] {
        line(&host, &parts).await;
        assert_eq!(host.log().matches(parts[0]).count(), times, "{}", host.log());
    }
    // A folder that comes later is named, too.
    std::fs::create_dir(host.path("plugins/later")).expect("a folder");
    std::fs::write(host.path("plugins/later/build.sh"), "echo 'install the later compiler' >&2\nexit 69\n")
        .expect("a file");
    line(&host, &["skipped later: install the later compiler"]).await;
}

#[tokio::test]
async fn inspect_shows_the_language_and_everything_that_an_endpoint_declares() {
    let dir = tempfile::tempdir().expect("a directory");
    let source = "import { get } from \"coinslot\";\nconst path = { type: \"object\", properties: { name: { type: \"string\" } } };\n\
                  get(\"/hello/{name}\", { price: \"0.01\", summary: \"Says hello\", path }, ({ path }) => `Hello ${path.name}`);\n";
    std::fs::write(dir.path().join("shop.ts"), source).expect("a module");
    assert!(run(dir.path(), &["build", "shop.ts"]).status.success());
    let shown = text(&run(dir.path(), &["inspect", "shop.wasm"]).stdout);
    assert!(shown.contains("language    TypeScript\n"), "{shown}");
    assert!(!shown.contains("denied"), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("basics ") && line.contains("wasi:http/types")), "{shown}");
    for part in
        ["         input    {\n", "\n                    \"properties\": {\n", "\n         flow     authorization"]
    {
        assert!(shown.contains(part), "{part:?} is missing from:\n{shown}");
    }
    let rust = text(&run(dir.path(), &["inspect", guest("schemas").to_str().expect("a path")]).stdout);
    assert!(rust.contains("language    Rust\n"), "{rust}");
    let mime = text(&run(dir.path(), &["inspect", guest("quoter").to_str().expect("a path")]).stdout);
    assert!(mime.contains("         answers  text/plain; charset=utf-8\n"), "{mime}");
}

/// The paths began in another column for each method.
#[test]
fn the_endpoints_that_inspect_shows_stand_in_columns() {
    let dir = tempfile::tempdir().expect("a directory");
    let source = "import { get, post, del } from \"coinslot\";\n\
                  get(\"/a\", { free: true, summary: \"First\" }, () => \"a\");\n\
                  post(\"/a/rather/long/path/{with}/{parameters}\", { price: \"0.01\", summary: \"Second\" }, () => \"b\");\n\
                  del(\"/c\", { price: \"0.000001\", summary: \"Third\" }, () => \"c\");\n";
    std::fs::write(dir.path().join("shop.ts"), source).expect("a module");
    let built = run(dir.path(), &["build", "shop.ts"]);
    assert!(built.status.success(), "{}", text(&built.stderr));
    let shown = text(&run(dir.path(), &["inspect", "shop.wasm"]).stdout);
    for columns in [["/a ", "/a/rather", "/c "], [" free ", " 0.01 ", " 0.000001 "], [" First", " Second", " Third"]] {
        let at = columns.map(|part| {
            let line = shown.lines().find_map(|line| line.starts_with("  ").then(|| line.find(part)).flatten());
            line.unwrap_or_else(|| panic!("{part:?} is missing from:\n{shown}"))
        });
        assert!(at.iter().all(|column| *column == at[0]), "{columns:?}:\n{shown}");
    }
}

/// `serve` has no observer: its log has the limit all the same.
#[tokio::test]
async fn the_log_of_serve_names_the_limit_behind_a_fault() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["spin"], "[limits]\ncpu_time = \"200ms\"\n").await;
    assert_eq!(reqwest::get(host.url("/spin")).await.expect("an answer").status(), 504);
    host.wait_for_log("limit=limits.cpu_time = 200ms", 1).await;
}
