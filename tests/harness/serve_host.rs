//! Starts, restarts and observes `coinslot serve`, and buys its answers as a patient client does.

use std::io::PipeReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{FaultyNode, Wallet, binary, component, decode};

/// A running `coinslot serve`. Dropping it kills the process; its log is printed when a test fails.
#[derive(Debug)]
pub struct ServeHost {
    child: Child,
    dir: tempfile::TempDir,
    url: String,
    /// The node that the host settles through, if no test holds it.
    node: Option<FaultyNode>,
}

/// The result of buying one answer, with repetitions of the same payment where the host asked for them.
#[derive(Clone, Debug)]
pub struct PurchaseOutcome {
    /// The statuses of all tries with the payment, equal neighbours merged; 0 stands for no answer in time.
    pub statuses: Vec<u16>,
    /// The body, if the last try was answered with 200.
    pub answer: Option<String>,
}

/// A row of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    pub state: String,
    pub flow: String,
    pub transaction: Option<String>,
}

impl ServeHost {
    /// Starts a host on these plugins, as file name and component, with this configuration and this gas key in the
    /// file `key`.
    pub(crate) async fn start(components: &[(String, PathBuf)], config: &str, gas_key: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("plugins")).expect("a folder");
        for (name, component) in components {
            std::fs::copy(component, dir.path().join("plugins").join(name)).expect("a component");
        }
        std::fs::write(dir.path().join("key"), gas_key).expect("a key file");
        std::fs::write(dir.path().join("coinslot.toml"), config).expect("a file");
        let child = spawn(dir.path(), &[]);
        let mut host = Self { child, dir, url: String::new(), node: None };
        host.wait_until_serving(0).await;
        host
    }

    /// Keeps this node running for as long as the host.
    pub(crate) fn keeping(mut self, node: FaultyNode) -> Self {
        self.node = Some(node);
        self
    }

    /// Waits for the line that says that the host serves, after this many bytes of its log.
    async fn wait_until_serving(&mut self, logged: usize) {
        // Components of interpreters are compiled beside whatever else the machine does.
        let deadline = Instant::now() + Duration::from_secs(900);
        loop {
            if let Some((_, rest)) = self.log()[logged..].split_once("serving on ")
                && let Some((url, _)) = rest.split_once(',')
            {
                url.clone_into(&mut self.url);
                return;
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("coinslot ended with {status}:\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "coinslot does not serve in time:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The URL of its listener for operators, which its configuration has.
    pub fn admin(&self) -> String {
        let log = self.log();
        let (_, rest) = log.rsplit_once("admin on ").unwrap_or_else(|| panic!("no listener for operators:\n{log}"));
        rest.lines().next().expect("an address").trim().to_owned()
    }

    /// Waits until the process has ended.
    pub async fn wait_for_exit(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !matches!(self.child.try_wait(), Ok(Some(_))) {
            assert!(Instant::now() < deadline, "coinslot does not end in time:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills the process if it runs, and starts another on the same files, with these environment variables.
    pub async fn restart(&mut self, variables: &[(&str, &str)]) {
        let logged = self.respawn(variables);
        self.wait_until_serving(logged).await;
    }

    /// Kills the process if it runs, starts another, and asserts that it ends by itself and logs this reason.
    pub async fn fails_to_start(&mut self, reason: &str) {
        let logged = self.respawn(&[]);
        self.wait_for_exit().await;
        assert!(self.log()[logged..].contains(reason), "the log does not say {reason}:\n{}", self.log());
    }

    /// Kills the process if it runs, and starts another, whose stderr is a pipe. Only its stdout gets into the log.
    pub async fn restart_with_piped_log(&mut self) -> PipeReader {
        let logged = self.kill();
        let (reader, writer) = std::io::pipe().expect("a pipe");
        self.child = serve(self.dir.path()).stderr(writer).spawn().expect("the coinslot binary");
        self.wait_until_serving(logged).await;
        reader
    }

    /// Kills the process if it runs, and starts another, which may have this many bytes of addresses.
    pub async fn restart_with_addresses(&mut self, bytes: u64) {
        let logged = self.kill();
        let mut limited = Command::new("prlimit");
        limited.arg(format!("--as={bytes}")).arg(binary()).arg("serve");
        self.child = in_directory(limited, self.dir.path()).spawn().expect("prlimit");
        self.wait_until_serving(logged).await;
    }

    /// Returns the length of the log before the new process.
    fn respawn(&mut self, variables: &[(&str, &str)]) -> usize {
        let logged = self.kill();
        self.child = spawn(self.dir.path(), variables);
        logged
    }

    /// Kills the process if it runs. Returns the length of its log.
    fn kill(&mut self) -> usize {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.log().len()
    }

    /// The path of a file below the host's directory.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// `http://127.0.0.1:PORT` and this path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The output and the log so far, of all processes of this host.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits until the log contains this text at least so many times.
    pub async fn wait_for_log(&self, text: &str, times: usize) {
        let deadline = Instant::now() + Duration::from_secs(90);
        while self.log().matches(text).count() < times {
            assert!(Instant::now() < deadline, "the log does not have {times} times {text:?}:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The text of the configuration file.
    pub fn configuration(&self) -> String {
        std::fs::read_to_string(self.path("coinslot.toml")).expect("a file")
    }

    /// Replaces the configuration file in one step.
    pub fn write_configuration(&self, text: &str) {
        let part = self.path("part.toml");
        std::fs::write(&part, text).expect("a file");
        std::fs::rename(part, self.path("coinslot.toml")).expect("a rename");
    }

    /// The plugin folder.
    pub fn plugin_dir(&self) -> PathBuf {
        self.path("plugins")
    }

    /// Replaces a guest's file by one with other bytes and the same behaviour.
    pub fn install_another_build(&self, name: &str) {
        let mut bytes = component(name);
        // A custom section of one byte, named `x`.
        bytes.extend([0, 3, 1, b'x', 0]);
        self.install(&format!("{name}.wasm"), &bytes);
    }

    /// Puts a component into the plugin folder in one step. Returns the time of that step.
    pub fn install(&self, file: &str, bytes: &[u8]) -> Instant {
        let part = self.path("part");
        std::fs::write(&part, bytes).expect("a file");
        let now = Instant::now();
        std::fs::rename(part, self.plugin_dir().join(file)).expect("a rename");
        now
    }

    /// Sends the process a signal by its short name, such as `TERM` or `HUP`.
    pub fn signal(&self, name: &str) {
        let kill = Command::new("kill").args([format!("-{name}"), self.process().to_string()]).status();
        assert!(kill.expect("kill").success());
    }

    /// The process id.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// The resident memory of the process in bytes, without mapped files. Resets what [`Self::peak_memory`] reads.
    pub fn resident_memory(&self) -> u64 {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").expect("our own process");
        self.status("RssAnon:")
    }

    /// The highest resident memory since [`Self::resident_memory`], in bytes, without the files that are mapped now.
    pub fn peak_memory(&self) -> u64 {
        self.status("VmHWM:") - self.status("RssFile:")
    }

    fn status(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("Linux says so");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    /// The number of runs of the guest `echo`.
    pub fn runs(&self) -> usize {
        self.runs_of("echo")
    }

    /// The number of runs of a guest, by the line that it prints when it runs.
    pub fn runs_of(&self, guest: &str) -> usize {
        let printed = match guest {
            "echo" => "echo got",
            "answers" => "answers ran",
            "upfront" => "upfront ran",
            "ticker" => "ticker ran",
            "trap" => "about to trap",
            other => panic!("{other} prints no line when it runs"),
        };
        self.log().matches(printed).count()
    }

    /// All payments of the ledger, oldest first.
    pub fn ledger(&self) -> Vec<LedgerRow> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let file = self.path(".coinslot/ledger.db");
        let ledger = rusqlite::Connection::open_with_flags(file, flags).expect("the ledger");
        let mut rows = ledger.prepare("SELECT state, tx, flow FROM payment ORDER BY created_at").expect("the payments");
        let rows =
            rows.query_map([], |row| Ok(LedgerRow { state: row.get(0)?, transaction: row.get(1)?, flow: row.get(2)? }));
        rows.expect("the rows").collect::<Result<_, _>>().expect("the rows")
    }

    /// The number of payments in this state.
    pub fn count(&self, state: &str) -> usize {
        self.ledger().iter().filter(|row| row.state == state).count()
    }

    /// Buys one answer with one payment.
    ///
    /// The payment is signed once. It is sent again while the host answers 503 or 409 with `Retry-After`, or does not
    /// answer within five seconds, until `limit` has passed.
    pub async fn buy(&self, payer: &Wallet, path: &str, limit: Duration) -> PurchaseOutcome {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(40)).build().expect("a client");
        let ask = || client.post(self.url(path)).body("mine");
        let challenge = ask().send().await.expect("a challenge");
        assert_eq!(challenge.status(), 402, "{}", self.log());
        let payment = payer.pay(&challenge).header();
        let deadline = Instant::now() + limit;
        let mut statuses = Vec::new();
        loop {
            let reply = ask().header("PAYMENT-SIGNATURE", &payment).send().await;
            let (status, again) = match &reply {
                Ok(reply) => {
                    let status = reply.status().as_u16();
                    (status, matches!(status, 503 | 409) && reply.headers().contains_key("retry-after"))
                }
                Err(error) => {
                    assert!(error.is_timeout(), "the host hung up: {error:?}");
                    (0, true)
                }
            };
            if statuses.last() != Some(&status) {
                statuses.push(status);
            }
            if again && Instant::now() < deadline {
                // A test cannot wait as long as `Retry-After` says.
                tokio::time::sleep(Duration::from_millis(300)).await;
                continue;
            }
            let Ok(reply) = reply else { return PurchaseOutcome { statuses, answer: None } };
            let paid = reply.status() == 200;
            if paid {
                let receipt = decode(reply.headers()["payment-response"].to_str().expect("ASCII"));
                assert_eq!(receipt["success"], true, "{receipt}");
            }
            let body = reply.text().await.expect("a body");
            return PurchaseOutcome { statuses, answer: paid.then_some(body) };
        }
    }
}

/// Starts `coinslot serve` in this directory.
fn spawn(dir: &Path, variables: &[(&str, &str)]) -> Child {
    serve(dir).envs(variables.iter().copied()).spawn().expect("the coinslot binary")
}

fn serve(dir: &Path) -> Command {
    let mut serve = Command::new(binary());
    serve.arg("serve");
    in_directory(serve, dir)
}

/// Runs the command in this directory, and appends its output to the file `log` there.
fn in_directory(mut command: Command, dir: &Path) -> Command {
    let log = std::fs::File::options().create(true).append(true).open(dir.join("log")).expect("a log file");
    command.current_dir(dir).stdin(Stdio::null());
    command.stdout(log.try_clone().expect("a second handle")).stderr(log);
    command
}

impl Drop for ServeHost {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the host's log ---\n{}", self.log());
        }
    }
}
