//! Starts `coinslot dev` with plugins to build, and checks that each is served once it is built.

mod addresses;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coinslot_tests::{binary, guest, run};
use serde_json::Value;

/// A `coinslot dev` in a directory. Killed when dropped.
struct Dev {
    child: Child,
    dir: tempfile::TempDir,
}

impl Dev {
    fn start(dir: tempfile::TempDir) -> Self {
        Self::start_with(dir, &[])
    }

    fn start_with(dir: tempfile::TempDir, variables: &[(&str, &str)]) -> Self {
        Self::start_in(dir, "", &[], variables)
    }

    /// Starts it in a folder of the directory.
    fn start_in(dir: tempfile::TempDir, folder: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let log = std::fs::File::create(dir.path().join("log")).expect("a log file");
        let child = Command::new(binary())
            .current_dir(dir.path().join(folder))
            .args(["dev", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .env("XDG_STATE_HOME", dir.path().join("state"))
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the coinslot binary");
        Self { child, dir }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// dev.json, if it is there.
    fn facts(&self) -> Option<Value> {
        let text = std::fs::read_to_string(self.dir.path().join(".coinslot/dev.json")).ok()?;
        Some(serde_json::from_str(&text).expect("dev.json is JSON"))
    }

    /// Waits until dev.json is as it should be.
    async fn becomes(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            if let Some(facts) = self.facts().filter(|facts| is_so(facts)) {
                return facts;
            }
            assert!(Instant::now() < deadline, "dev.json is not {what}: {:?}\n{}", self.facts(), self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A plugin whose `build.sh` waits for a file and then takes a component that is built already.
fn source(dir: &Path, name: &str, waits_for: &str) {
    let source = dir.join("plugins").join(name);
    std::fs::create_dir_all(&source).expect("a folder");
    let component = guest(name);
    let script = format!("while [ ! -e '{waits_for}' ]; do sleep 0.05; done\ncp '{}' \"$1\"\n", component.display());
    std::fs::write(source.join("build.sh"), script).expect("a script");
}

#[tokio::test]
async fn the_first_plugin_is_served_while_the_others_are_built() {
    let dir = tempfile::tempdir().expect("a directory");
    let gate = dir.path().join("gate");
    source(dir.path(), "echo", "/");
    source(dir.path(), "quoter", &gate.display().to_string());
    let dev = Dev::start(dir);

    let facts = dev.becomes("there", |_| true).await;
    assert_eq!(facts["complete"], false, "{}", dev.log());
    let url = facts["url"].as_str().expect("a URL").to_owned();
    let client = reqwest::Client::new();
    let post = async |path: &str| client.post(format!("{url}{path}")).send().await.expect("an answer").status();
    assert_eq!((post("/echo").await.as_u16(), post("/quoter/x").await.as_u16()), (402, 404), "{}", dev.log());
    assert!(dev.log().contains("now pay for one:"), "{}", dev.log());

    std::fs::write(gate, "").expect("a file");
    let facts = dev.becomes("complete", |facts| facts["complete"] == true).await;
    let routes = facts["routes"].as_array().expect("routes");
    assert!(routes.iter().any(|route| route["path"].as_str().is_some_and(|path| path.starts_with("/quoter"))));
    assert!(dev.log().contains("quoter.wasm is active"), "{}", dev.log());
    assert_ne!(post("/quoter/x").await.as_u16(), 404, "{}", dev.log());
    assert_eq!(dev.log().matches("now pay for one:").count(), 1, "{}", dev.log());
}

/// A second `dev` in the folder took the first one's plugins and its dev.json away, before it failed itself.
#[tokio::test]
async fn a_second_dev_in_a_folder_does_the_first_no_harm() {
    let dir = tempfile::tempdir().expect("a directory");
    source(dir.path(), "echo", "/");
    let dev = Dev::start(dir);
    let facts = dev.becomes("complete", |facts| facts["complete"] == true).await;
    let other = dev.dir.path().join("other");
    std::fs::create_dir(&other).expect("a folder");
    let second = Command::new(binary())
        .current_dir(dev.dir.path())
        .args(["dev", "--listen", "127.0.0.1:0", "--plugins", "other"])
        .stdin(Stdio::null())
        .output()
        .expect("the coinslot binary");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("another `coinslot dev` runs in .coinslot"), "{said}");
    assert_eq!(dev.facts(), Some(facts.clone()));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let url = facts["url"].as_str().expect("a URL");
    assert_eq!(reqwest::get(format!("{url}/echo")).await.expect("an answer").status(), 200, "{}", dev.log());
}

/// `dev` and `serve` shared one history and one data folder: a rollback of `serve` led to a build of `dev`.
#[tokio::test]
async fn dev_keeps_its_history_and_data_apart_from_those_of_serve() {
    let dir = tempfile::tempdir().expect("a directory");
    source(dir.path(), "echo", "/");
    let mut dev = Dev::start(dir);
    dev.becomes("complete", |facts| facts["complete"] == true).await;
    for name in ["served", "keyvalue", "quote.key", "ledger.db", "artifacts"] {
        assert!(!dev.dir.path().join(".coinslot").join(name).exists(), "{name}");
    }
    assert!(dev.dir.path().join(".coinslot/dev/served/plugins.json").is_file());
    // After its end its history can still be read: `plugins` said that there was no coinslot.toml.
    dev.child.kill().expect("it runs");
    dev.child.wait().expect("it ends");
    std::fs::remove_file(dev.dir.path().join(".coinslot/dev.json")).expect("what an end by a signal removes");
    let shown = run(dev.dir.path(), &["plugins", "--format", "table"]);
    let said = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.status.success() && said.contains("echo.wasm"), "{said}");
    assert!(said.contains("no `coinslot dev` is running: this is what the last one wrote"), "{said}");
}

#[test]
fn dev_in_the_folder_of_a_plugin_says_how_it_is_served() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = dir.path().join("shop");
    assert!(run(dir.path(), &["new", "shop"]).status.success());
    let output = run(&shop, &["dev", "--listen", "127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("there is no folder `plugins`: this folder is the plugin shop, which `--plugins ..`"),
        "{said}"
    );
}

/// The component that `coinslot build` had put beside its source was served in its place, and hid every edit.
#[tokio::test]
async fn a_component_beside_its_source_hides_no_edit_of_it() {
    let module = |price: &str| {
        format!("import {{ get }} from 'coinslot';\nget('/a', {{ price: '{price}', summary: 'A' }}, () => 'a');\n")
    };
    let build = format!("cp '{}' \"$1\"\n", guest("echo").display());
    for (file, first, broken, edited) in [
        ("plugin.ts", module("0.001"), "get(", module("0.005")),
        ("build.sh", build.clone(), "exit 1\n", format!("# edited\n{build}")),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let shop = dir.path().join("shop");
        std::fs::create_dir(&shop).expect("a folder");
        std::fs::write(shop.join(file), first).expect("a source");
        assert!(run(&shop, &["build"]).status.success());
        assert!(shop.join("shop.wasm").is_file());
        std::fs::write(shop.join(file), broken).expect("a source");
        let dev = Dev::start_in(dir, "shop", &["--plugins", ".", "--state", "../.coinslot"], &[]);
        let facts = dev.becomes("complete", |facts| facts["complete"] == true).await;
        assert_eq!(facts["routes"], serde_json::json!([]), "nothing old is served: {}", dev.log());
        assert!(dev.log().contains("shop.wasm is left out: "), "{}", dev.log());
        assert!(dev.log().contains(" does not build:"), "{}", dev.log());
        std::fs::write(shop.join(file), edited).expect("a source");
        let facts = dev.becomes("served", |facts| facts["routes"].as_array().is_some_and(|all| !all.is_empty())).await;
        if file == "plugin.ts" {
            assert_eq!(facts["routes"][0]["amount"], "5000", "{facts}");
        }
        assert!(!dev.log().contains("is not served: another file"), "{}", dev.log());
    }
}

#[tokio::test]
async fn what_plugins_share_is_no_plugin_and_a_helper_is_told_its_place() {
    let dir = tempfile::tempdir().expect("a directory");
    let plugins = dir.path().join("plugins");
    std::fs::create_dir_all(plugins.join("_lib")).expect("folders");
    let shop = "import { get } from 'coinslot';\nimport { a } from './_shared.ts';\nimport { b } from './words.ts';\n\
                get('/a', { price: '0.01', summary: 'A' }, () => a + b);\n";
    for (file, text) in [
        ("shop.ts", shop),
        ("_shared.ts", "export const a = 'a';\n"),
        ("words.ts", "export const b = 'b';\n"),
        ("_lib/readme", "text"),
    ] {
        std::fs::write(plugins.join(file), text).expect("a file");
    }
    std::fs::write(dir.path().join("coinslot.toml"), "[plugin.shop]\nkeyvalue = true\n").expect("a configuration");
    let dev = Dev::start(dir);
    let facts = dev.becomes("complete", |facts| facts["complete"] == true).await;
    assert_eq!(facts["routes"].as_array().map(Vec::len), Some(1), "{}", dev.log());
    let log = dev.log();
    assert!(!log.contains("_shared") && !log.contains("_lib"), "{log}");
    assert!(log.contains("if words.ts is for other modules to import, call it _words.ts"), "{log}");
    assert!(log.contains("coinslot.toml of this folder is not read: add --config coinslot.toml"), "{log}");
    assert!(!log.contains("INFO active"), "dev has lines of its own: {log}");
    // A configuration that only grants something is no host's: `plugins` shows those of this `dev`.
    let listed = run(dev.dir.path(), &["plugins", "--format", "table"]);
    let said = String::from_utf8_lossy(&listed.stdout);
    assert!(listed.status.success() && said.contains("shop.wasm"), "{said}{}", String::from_utf8_lossy(&listed.stderr));
}

#[test]
fn a_folder_of_plugins_an_empty_one_and_a_missing_file_are_told_with_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("a.ts"), "export const a = 'a';\n").expect("a module");
    std::fs::write(dir.path().join("b.py"), "").expect("a module");
    std::fs::write(dir.path().join("_c.ts"), "").expect("a module");
    for (arguments, code, expected) in [
        (&["build", "."][..], 2, "name one of the plugins in it: a.ts, b.py\n"),
        (
            &["inspect", "a.ts"][..],
            1,
            "it is not WebAssembly: of a plugin's source, `coinslot build` makes a component",
        ),
        (&["dev", "-c", "nope.toml"][..], 2, "`coinslot init` writes one"),
        (&["dev", "--plugins", "none"][..], 2, "or make one: coinslot new none/shop"),
    ] {
        let output = run(dir.path(), arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

/// A build that wrote into a folder beside its sources was repeated without end, and once at each start.
#[tokio::test]
async fn a_build_that_writes_beside_its_sources_is_not_repeated() {
    let dir = tempfile::tempdir().expect("a directory");
    let folder = dir.path().join("plugins/mine");
    std::fs::create_dir_all(&folder).expect("a folder");
    let script = "cd \"$(dirname \"$0\")\"\nmkdir -p dist\ndate +%s%N > dist/made\n";
    let script = format!("{script}cp '{}' \"$1\"\n", guest("echo").display());
    std::fs::write(folder.join("build.sh"), script).expect("a script");
    let mut dev = Dev::start(dir);
    let builds = |dev: &Dev| dev.log().matches("built mine in").count();
    dev.becomes("complete", |facts| facts["complete"] == true).await;
    // Longer than events take, and looks without events.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(builds(&dev), 1, "{}", dev.log());
    std::fs::write(dev.dir.path().join("plugins/mine/source"), "saved").expect("a source");
    let begun = Instant::now();
    while builds(&dev) < 2 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", dev.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(builds(&dev), 2, "{}", dev.log());
    let dir = std::mem::replace(&mut dev.dir, tempfile::tempdir().expect("a directory"));
    drop(dev);
    let dev = Dev::start(dir);
    dev.becomes("complete", |facts| facts["complete"] == true).await;
    assert_eq!(builds(&dev), 0, "nothing has changed: {}", dev.log());
}

/// A new crate was built twice: its build makes the lock file, which counted as saved meanwhile.
#[tokio::test]
async fn a_new_crate_is_built_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let folder = dir.path().join("plugins/mine");
    std::fs::create_dir_all(folder.join("src")).expect("a folder");
    let manifest = "[package]\nname = \"mine\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n[lib]\n\
                    crate-type = [\"cdylib\"]\n";
    std::fs::write(folder.join("Cargo.toml"), manifest).expect("a manifest");
    std::fs::write(folder.join("src/lib.rs"), "#[unsafe(no_mangle)]\npub extern \"C\" fn one() -> u8 {\n    1\n}\n")
        .expect("a source");
    let cache = dir.path().join("cache").display().to_string();
    let dev = Dev::start_with(dir, &[("XDG_CACHE_HOME", &cache)]);
    let builds = || dev.log().matches("building mine").count();
    dev.becomes("complete", |facts| facts["complete"] == true).await;
    assert!(dev.dir.path().join("plugins/mine/Cargo.lock").is_file(), "{}", dev.log());
    // Longer than events take, and looks without events.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(builds(), 1, "{}", dev.log());

    // cargo adds the dependency to the lock file.
    let other = dev.dir.path().join("other");
    std::fs::create_dir_all(other.join("src")).expect("a folder");
    std::fs::write(other.join("Cargo.toml"), manifest.replace("mine", "other").replace("cdylib", "rlib"))
        .expect("a manifest");
    std::fs::write(other.join("src/lib.rs"), "").expect("a source");
    let more = format!("{manifest}[dependencies]\nother = {{ path = \"{}\" }}\n", other.display());
    std::fs::write(dev.dir.path().join("plugins/mine/Cargo.toml"), more).expect("a manifest");
    let begun = Instant::now();
    while dev.log().matches("built mine in").count() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", dev.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(builds(), 2, "{}", dev.log());
}

/// A link to the whole disk was walked for minutes, at each look anew, and one to a folder above forty times.
#[tokio::test]
async fn links_in_a_plugin_are_followed_as_far_as_there_can_be_sources() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().expect("a directory");
    source(dir.path(), "echo", "/");
    std::fs::create_dir(dir.path().join("shared")).expect("a folder");
    for (target, link) in [("/", "all"), ("..", "up"), ("../../shared", "lib")] {
        symlink(target, dir.path().join("plugins/echo").join(link)).expect("a link");
    }
    let dev = Dev::start(dir);
    dev.becomes("complete", |facts| facts["complete"] == true).await;
    let names = dev.log().matches("echo: `echo/all` has more than 20000 files and folders").count();
    assert_eq!(names, 1, "{}", dev.log());
    assert!(!dev.log().contains("`echo/up`") && !dev.log().contains("`echo/lib`"), "{}", dev.log());
    std::fs::write(dev.dir.path().join("shared/part"), "saved").expect("a source");
    let begun = Instant::now();
    while dev.log().matches("built echo in").count() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", dev.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
