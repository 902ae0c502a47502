//! Runs the commands of a page in bash, in one folder, and compares what they print with what the page shows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coinslot_tests::binary;
use serde_json::Value;

use super::fences::{Block, blocks};
use super::shown::is_printed;

/// The addresses of the pages. The host under test listens on free ports.
const ADDRESS: &str = "127.0.0.1:8402";
const ADMIN: &str = "127.0.0.1:8405";

/// The dashboard of `coinslot dev` on the pages. Its port is another one at each start.
const DASHBOARD: &str = "127.0.0.1:43121";

/// A reader's terminal: a folder, what was exported, and the host that was started. Dropping it ends that host.
#[derive(Debug)]
pub(super) struct Terminal {
    dir: PathBuf,
    /// A folder of `PATH` with a link to the host under test, under its usual name.
    programs: tempfile::TempDir,
    exports: Vec<String>,
    /// Files of the page that are not written yet: `coinslot new` makes the folder that some belong into.
    files: Vec<(String, String)>,
    /// Where the host listens.
    address: Option<String>,
    /// Where it listens for operators.
    admin: Option<String>,
    host: Option<Child>,
    /// Texts of the page, and what stands in their place here.
    replaced: Vec<(String, String)>,
    /// Processes that run beside the host.
    beside: Vec<Child>,
}

impl Terminal {
    pub(super) fn new(dir: &Path) -> Self {
        let programs = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink(binary(), programs.path().join("coinslot")).expect("a link");
        let (exports, files) = (Vec::new(), Vec::new());
        let (replaced, beside) = (Vec::new(), Vec::new());
        Self { dir: dir.to_owned(), programs, exports, files, address: None, admin: None, host: None, replaced, beside }
    }

    /// Has a text of the page, such as an address, be another one in commands and files. A page with such texts may
    /// start several processes.
    pub(super) fn replace(&mut self, text: &str, by: &str) {
        self.replaced.push((text.to_owned(), by.to_owned()));
    }

    fn with_replaced(&self, text: &str) -> String {
        self.replaced.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    fn as_on_page(&self, text: &str) -> String {
        self.replaced.iter().fold(text.to_owned(), |text, (from, to)| text.replace(to, from))
    }

    /// Names a host that runs already, in this folder. Its files stay as they are.
    pub(super) fn served_at(&mut self, url: &str) {
        self.address = Some(url.trim_start_matches("http://").to_owned());
    }

    /// Names the listener for operators of that host.
    pub(super) fn admin_at(&mut self, address: &str) {
        self.admin = Some(address.to_owned());
    }

    /// Puts a program into `PATH`, under its own name.
    pub(super) fn provide(&self, program: &Path) {
        let name = program.file_name().expect("a program");
        std::os::unix::fs::symlink(program, self.programs.path().join(name)).expect("a link");
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.exports.push(format!("export {name}='{value}'"));
    }

    /// Runs what stands on the page, from the top to the bottom.
    pub(super) fn run_page(&mut self, page: &str) {
        let mut commands = 0;
        for block in blocks(page).iter().filter(|block| block.not_run.is_none()) {
            match &*block.language {
                "console" | "sh" => commands += self.run(block),
                "json" if block.text.contains("\"devDependencies\"") => {
                    self.files.push(("package.json".to_owned(), block.text.clone()));
                }
                _ => self.files.extend(block.file().map(|file| (file.to_owned(), block.text.clone()))),
            }
        }
        assert!(commands > 0, "{page}: no command ran");
    }

    /// Runs the commands of a block, and returns how many there were.
    fn run(&mut self, block: &Block) -> usize {
        let mut steps: Vec<(&str, Vec<&str>)> = Vec::new();
        for line in block.text.lines() {
            let command = if block.language == "sh" { Some(line) } else { line.strip_prefix("$ ") };
            if let Some(command) = command {
                steps.push((command, Vec::new()));
            } else {
                let (_, shown) =
                    steps.last_mut().unwrap_or_else(|| panic!("{}: no command printed this", block.place()));
                shown.push(line);
            }
        }
        for (command, shown) in &steps {
            self.step(&block.place(), command, shown);
        }
        steps.len()
    }

    fn step(&mut self, place: &str, command: &str, shown: &[&str]) {
        let command = command.replace("target/release/coinslot", "coinslot");
        let plain = command.split(" #").next().unwrap_or(&command).trim();
        if !plain.starts_with("coinslot new") && self.address.is_none() {
            self.write_files();
        }
        if plain.starts_with("coinslot facilitator") || (plain == "coinslot serve" && !self.replaced.is_empty()) {
            return self.start_beside(place, plain, shown);
        }
        if plain.starts_with("export ") {
            return self.exports.push(plain.to_owned());
        }
        if plain.starts_with("coinslot dev") || plain == "coinslot serve" || plain == "cargo run --release -- dev" {
            if self.address.is_none() {
                self.start(place, plain);
            }
            let log = fs::read_to_string(self.dir.join("log")).expect("the host's log");
            let log = self.admin.iter().fold(log, |log, admin| log.replace(admin, DASHBOARD));
            let log = self.address.iter().fold(log, |log, address| log.replace(address, ADDRESS));
            return is_printed(place, shown, &log);
        }
        let address = self.address.as_deref().unwrap_or(ADDRESS);
        let command = self.with_replaced(&command);
        let script = format!(
            "{}\n{}",
            self.exports.join("\n"),
            command.replace(ADDRESS, address).replace(ADMIN, self.admin.as_deref().unwrap_or(ADMIN))
        );
        let output = self.bash(&script).stderr(Stdio::inherit()).output().expect("bash");
        let printed = self.as_on_page(&String::from_utf8_lossy(&output.stdout).replace(address, ADDRESS));
        let is_refused = shown.iter().any(|line| line.starts_with("coinslot: "));
        assert_eq!(output.status.success(), !is_refused, "{place}: {command}\n{printed}");
        is_printed(place, shown, &printed);
    }

    /// A bash that runs a script, whose stderr goes where its stdout goes.
    fn bash(&self, script: &str) -> Command {
        let script = format!("exec 2>&1\nexport PATH='{}':\"$PATH\"\n{script}", self.programs.path().display());
        let mut bash = Command::new("bash");
        bash.args(["-c", &script]).current_dir(&self.dir).stdin(Stdio::null());
        bash
    }

    fn write_files(&mut self) {
        for (name, text) in std::mem::take(&mut self.files) {
            let path = self.dir.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, self.with_replaced(&text)).expect("a file");
        }
    }

    /// Starts a host on a free port, and waits until it serves all its plugins.
    fn start(&mut self, place: &str, command: &str) {
        let log = fs::File::create(self.dir.join("log")).expect("a log");
        let mut host = self.bash(&format!("exec {} --listen 127.0.0.1:0", self.with_replaced(command)));
        self.host = Some(host.stdout(log).spawn().expect("bash"));
        let deadline = Instant::now() + Duration::from_secs(300);
        while self.address.is_none() {
            let log = || fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            let ended = self.host.as_mut().and_then(|host| host.try_wait().ok().flatten());
            assert!(ended.is_none() && Instant::now() < deadline, "{place}: {command}: {ended:?}\n{}", log());
            std::thread::sleep(Duration::from_millis(50));
            let Ok(text) = fs::read_to_string(self.dir.join(".coinslot/dev.json")) else { continue };
            let facts: Value = serde_json::from_str(&text).expect("dev.json is JSON");
            if facts["complete"] == true {
                self.served_at(facts["url"].as_str().expect("a URL"));
                self.admin_at(facts["admin"].as_str().expect("a URL").trim_start_matches("http://"));
            }
        }
    }
}

impl Terminal {
    /// Starts a process beside the host, and waits until it says where it listens.
    fn start_beside(&mut self, place: &str, command: &str, shown: &[&str]) {
        let path = self.dir.join(format!("{}.log", command.split(' ').nth(1).expect("a command")));
        let log = fs::File::create(&path).expect("a log");
        let command = self.with_replaced(command);
        let mut process = self.bash(&format!("{}\nexec {command}", self.exports.join("\n")));
        self.beside.push(process.stdout(log).spawn().expect("bash"));
        let deadline = Instant::now() + Duration::from_secs(300);
        loop {
            let log = self.as_on_page(&fs::read_to_string(&path).unwrap_or_default());
            if log.lines().any(|line| line.contains(" on http://")) {
                return is_printed(place, shown, &log);
            }
            let ended = self.beside.last_mut().and_then(|process| process.try_wait().ok().flatten());
            assert!(ended.is_none() && Instant::now() < deadline, "{place}: {command}: {ended:?}\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        for process in &mut self.beside {
            let _ = process.kill();
            let _ = process.wait();
        }
        if let Some(host) = &mut self.host {
            let _ = host.kill();
            let _ = host.wait();
        }
    }
}
