//! Starts `coinslot dev` with plugins to build, and checks that each is served once it is built.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coinslot_tests::{binary, guest};
use serde_json::Value;

/// A `coinslot dev` in a directory. Killed when dropped.
struct Dev {
    child: Child,
    dir: tempfile::TempDir,
}

impl Dev {
    fn start(dir: tempfile::TempDir) -> Self {
        let log = std::fs::File::create(dir.path().join("log")).expect("a log file");
        let child = Command::new(binary())
            .current_dir(dir.path())
            .args(["dev", "--listen", "127.0.0.1:0"])
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
