//! Looks at pages with Chromium and keeps pictures of them, and drives a page as a person does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::guests::target;
use crate::packages::browser_scripts;

/// A page, as a browser showed it.
#[derive(Clone, Debug)]
pub struct SeenPage {
    /// The name of its picture, without `.png`.
    pub name: String,
    pub status: u64,
    pub text: String,
    /// The faults of the page: it overflows its window, texts overlap or are cut off, a cell is hidden, axe finds a serious
    /// violation, or the browser reports an error.
    pub faults: Vec<String>,
}

/// The folder of the pictures.
pub fn pictures() -> PathBuf {
    let folder = target().join("pictures");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Looks at pages, given as the name of a picture and a URL, at 360 and 1440 pixels, in light and in dark.
///
/// # Panics
/// Without Node.js, npm and Chromium, which is at `/usr/bin/chromium` or where the variable `CHROMIUM` says.
pub fn look_at(pages: &[(String, String)], cookie: Option<&str>) -> Vec<SeenPage> {
    look(pages, cookie, None)
}

/// Looks at pages as [`look_at`] does, after what this selector finds was opened.
///
/// # Panics
/// As [`look_at`].
pub fn look_at_opened(pages: &[(String, String)], selector: &str) -> Vec<SeenPage> {
    look(pages, None, Some(selector))
}

fn look(pages: &[(String, String)], cookie: Option<&str>, open: Option<&str>) -> Vec<SeenPage> {
    let executable = chromium();
    let variants = [(360, "light"), (360, "dark"), (1440, "light"), (1440, "dark")];
    let jobs: Vec<Value> = pages
        .iter()
        .flat_map(|(name, url)| {
            variants.map(|(width, scheme)| {
                json!({ "name": format!("{name}-{width}-{scheme}"), "url": url, "width": width, "scheme": scheme })
            })
        })
        .collect();
    let job = json!({ "folder": pictures(), "executable": executable, "cookie": cookie, "open": open, "pages": jobs });
    let mut node = Command::new("node");
    node.arg("look.mjs").current_dir(browser_scripts()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut looking = node.spawn().expect("node: install Node.js 20 or newer");
    looking.stdin.take().expect("a pipe").write_all(job.to_string().as_bytes()).expect("a job");
    let output = looking.wait_with_output().expect("an end");
    assert!(output.status.success(), "the browser failed");
    let seen: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    seen.iter().map(SeenPage::of).collect()
}

impl SeenPage {
    fn of(seen: &Value) -> Self {
        let texts = |key: &str| -> Vec<String> {
            seen[key].as_array().expect("a list").iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
        };
        let mut faults = texts("violations");
        faults.extend(texts("errors"));
        faults.extend(texts("obstacles"));
        if seen["overflows"] == true {
            faults.push("it is wider than its window".to_owned());
        }
        let text = seen["text"].as_str().expect("a text").to_owned();
        faults.extend(
            ["undefined", "NaN", "Infinity", "[object"].into_iter().filter(|no| text.contains(no)).map(Into::into),
        );
        Self {
            name: seen["name"].as_str().expect("a name").to_owned(),
            status: seen["status"].as_u64().expect("a status"),
            text,
            faults,
        }
    }
}

/// The executable of Chromium.
fn chromium() -> String {
    let executable = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    assert!(
        std::path::Path::new(&executable).exists(),
        "there is no {executable}: install Debian's package chromium, or name a Chromium with CHROMIUM"
    );
    executable
}

/// One page in a browser, which a test drives. Dropping it ends the browser.
#[derive(Debug)]
pub struct BrowserPage {
    node: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl BrowserPage {
    /// Starts a browser. It needs what [`look_at`] needs.
    pub fn open() -> Self {
        let mut node = Command::new("node");
        node.arg("steer.mjs").arg(chromium()).current_dir(browser_scripts());
        let mut node =
            node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node: install Node.js 20 or newer");
        let answers = BufReader::new(node.stdout.take().expect("a pipe"));
        Self { commands: node.stdin.take(), answers, node }
    }

    /// Opens a URL.
    pub fn go(&mut self, url: &str) {
        self.obeys(&json!({ "go": url }));
    }

    /// Loads the page again.
    pub fn reload(&mut self) {
        self.obeys(&json!({ "reload": true }));
    }

    /// Gives the browser wallets, as `tests/browser/wallet.mjs` describes them, on the chain of this node.
    pub fn has_wallets(&mut self, wallets: &[Value], rpc: &str) {
        self.obeys(&json!({ "wallets": wallets, "rpc": rpc }));
    }

    /// Changes what a wallet does.
    pub fn tell_wallet(&mut self, wallet: usize, set: &Value) {
        self.obeys(&json!({ "wallet": wallet, "set": set }));
    }

    /// The number of times that pages have called this method of a wallet.
    pub fn calls(&mut self, wallet: usize, method: &str) -> usize {
        let calls = self.asks(&json!({ "calls": wallet }));
        calls.as_array().expect("a list").iter().filter(|call| *call == method).count()
    }

    /// Cuts the browser off from the network, or brings it back.
    pub fn set_offline(&mut self, offline: bool) {
        self.obeys(&json!({ "offline": offline }));
    }

    /// Chooses one of the values of a field.
    pub fn select(&mut self, selector: &str, value: &str) {
        self.obeys(&json!({ "select": selector, "text": value }));
    }

    /// Puts a file into a field.
    pub fn upload(&mut self, selector: &str, path: &std::path::Path) {
        self.obeys(&json!({ "upload": selector, "path": path }));
    }

    /// The text of an element.
    pub fn read(&mut self, selector: &str) -> String {
        self.asks(&json!({ "read": selector })).as_str().expect("a text").to_owned()
    }

    /// The value of an expression of JavaScript in the page.
    pub fn run(&mut self, expression: &str) -> Value {
        self.asks(&json!({ "run": expression }))
    }

    /// The name and the text of the file that a click saves.
    pub fn save(&mut self, selector: &str) -> (String, String) {
        let saved = self.asks(&json!({ "save": selector }));
        let text = |key: &str| saved[key].as_str().expect("a text").to_owned();
        (text("name"), text("text"))
    }

    /// Looks at the page as it is, at 360 and 1440 pixels, in light and in dark, and keeps pictures under this name.
    /// Returns its faults.
    pub fn look(&mut self, name: &str) -> Vec<String> {
        let mut faults = Vec::new();
        for (width, scheme) in [(360, "light"), (360, "dark"), (1440, "light"), (1440, "dark")] {
            let name = format!("{name}-{width}-{scheme}");
            let seen = self.asks(&json!({ "look": name, "folder": pictures(), "width": width, "scheme": scheme }));
            let seen = seen.as_array().expect("a list").iter();
            faults.extend(seen.map(|fault| format!("{name}: {}", fault.as_str().expect("a text"))));
        }
        faults
    }

    /// Waits until a visible element that the selector finds contains this text.
    pub fn sees(&mut self, selector: &str, text: &str) {
        self.obeys(&json!({ "see": selector, "text": text }));
    }

    /// Writes into a field.
    pub fn fill(&mut self, selector: &str, text: &str) {
        self.obeys(&json!({ "fill": selector, "text": text }));
    }

    /// Presses a key.
    pub fn press(&mut self, key: &str) {
        self.obeys(&json!({ "press": key }));
    }

    /// Clicks an element.
    pub fn click(&mut self, selector: &str) {
        self.obeys(&json!({ "click": selector }));
    }

    /// Tells the page that it is hidden or shown.
    pub fn hide(&mut self, hidden: bool) {
        self.obeys(&json!({ "hidden": hidden }));
    }

    fn obeys(&mut self, command: &Value) {
        assert_eq!(self.answer(command), json!({}), "{command}");
    }

    fn asks(&mut self, command: &Value) -> Value {
        let mut answer = self.answer(command);
        assert!(answer.get("value").is_some(), "{command}: {answer}");
        answer["value"].take()
    }

    fn answer(&mut self, command: &Value) -> Value {
        let commands = self.commands.as_mut().expect("an open browser");
        writeln!(commands, "{command}").expect("a browser that listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("an answer");
        serde_json::from_str(&answer).expect("an answer in JSON")
    }
}

impl Drop for BrowserPage {
    fn drop(&mut self) {
        // The end of its commands is the end of the browser.
        drop(self.commands.take());
        let _ = self.node.wait();
    }
}
