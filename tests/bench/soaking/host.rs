//! Starts and ends the host under load on one port, and reads its ledger with the host's own commands.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The longest time for a start or an end.
const TIME_LIMIT: Duration = Duration::from_secs(120);

pub(crate) struct SoakHost {
    binary: PathBuf,
    dir: PathBuf,
    port: u16,
    child: Option<Child>,
    /// The id of the running process, 0 while there is none.
    pub(crate) process: Arc<AtomicU32>,
}

/// One run of the host, from its start to its end.
#[derive(Debug)]
pub(crate) struct HostRun {
    /// The time until it served.
    pub(crate) starting: Duration,
    /// Resident memory at the beginning and right before the signal, in KiB.
    pub(crate) memory: [u64; 2],
    pub(crate) signal: Option<Signal>,
    /// The time from the signal to the end.
    pub(crate) ending: Duration,
    /// The exit status.
    pub(crate) status: Option<String>,
    /// Payments in progress after an end by SIGTERM.
    pub(crate) left: usize,
}

/// States of payments in progress. The next start recovers them.
const IN_PROGRESS: &[&str] = &["reserved", "executing", "settling"];
/// The state of payments whose settlement was sent and whose end is unknown.
const UNKNOWN: &[&str] = &["unknown"];

impl SoakHost {
    /// Chooses a port that stays the same, so that clients find the host again. The port is below those that the kernel
    /// gives to clients: a client could take such a port while the host is down, or connect to itself.
    pub(crate) fn new(binary: &Path, dir: &Path) -> Self {
        let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let port = (18_402..32_000).find(free).expect("a free port");
        Self { binary: binary.to_owned(), dir: dir.to_owned(), port, child: None, process: Arc::default() }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts the host and waits until it serves.
    pub(crate) async fn start(&mut self) -> HostRun {
        let begun = Instant::now();
        let log = std::fs::File::options().create(true).append(true).open(self.dir.join("host.log")).expect("a log");
        let mut child = Command::new(&self.binary)
            .current_dir(&self.dir)
            .args(["serve", "--listen", &format!("127.0.0.1:{}", self.port)])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the coinslot binary");
        let mut output = BufReader::new(child.stdout.take().expect("its output")).lines();
        let serves = async {
            while let Some(line) = output.next_line().await.expect("text") {
                if line.starts_with("serving on ") {
                    return;
                }
            }
            panic!("the host ended before it served: see host.log");
        };
        tokio::time::timeout(TIME_LIMIT, serves).await.expect("a host that serves");
        // The host cannot print into a closed pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = output.next_line().await {} });
        let id = child.id().expect("a living process");
        self.process.store(id, Ordering::Relaxed);
        self.child = Some(child);
        let memory = [resident(id).unwrap_or_default(), 0];
        HostRun { starting: begun.elapsed(), memory, signal: None, ending: Duration::ZERO, status: None, left: 0 }
    }

    /// Sends this signal and waits for the end.
    pub(crate) async fn end(&mut self, signal: Signal, run: &mut HostRun) {
        let begun = Instant::now();
        let mut child = self.child.take().expect("a host that runs");
        let id = child.id().expect("a living process");
        run.memory[1] = resident(id).unwrap_or_default();
        self.process.store(0, Ordering::Relaxed);
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("a living process");
        let status = tokio::time::timeout(TIME_LIMIT, child.wait()).await.expect("a host that ends");
        run.signal = Some(signal);
        run.status = status.ok().map(|status| status.to_string());
        run.ending = begun.elapsed();
        // After a SIGKILL the next start has to recover the ledger, so nothing is counted here.
        if signal == Signal::TERM {
            run.left = self.payments(IN_PROGRESS).len();
        }
    }

    /// Waits until no payment is in progress or unknown. Returns the payments that still are.
    pub(crate) async fn wait_until_settled(&self, at_most: Duration) -> Vec<Value> {
        let until = Instant::now() + at_most;
        loop {
            let open = self.payments(&[IN_PROGRESS, UNKNOWN].concat());
            if open.is_empty() || Instant::now() > until {
                return open;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// The payments in these states.
    fn payments(&self, states: &[&str]) -> Vec<Value> {
        let states = states.iter().flat_map(|state| ["--state", state]);
        let arguments: Vec<&str> =
            ["payments", "--format", "json", "--limit", "10000"].into_iter().chain(states).collect();
        lines(&self.ledger(&arguments))
    }

    /// Every payment in the ledger.
    pub(crate) fn export(&self) -> Vec<Value> {
        lines(&self.ledger(&["export", "--format", "json"]))
    }

    /// The report of `coinslot ledger reconcile`, if ledger and chain could be compared.
    pub(crate) fn reconcile(&self) -> Option<Value> {
        lines(&self.ledger(&["reconcile", "--format", "json"])).pop()
    }

    fn ledger(&self, arguments: &[&str]) -> Output {
        std::process::Command::new(&self.binary)
            .current_dir(&self.dir)
            .arg("ledger")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the coinslot binary")
    }
}

fn lines(output: &Output) -> Vec<Value> {
    // `reconcile` ends with 3 when it has printed differences.
    let failed = !output.status.success() && output.status.code() != Some(3);
    assert!(!failed, "coinslot ledger: {}", String::from_utf8_lossy(&output.stderr));
    let text = std::str::from_utf8(&output.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON object in each line")).collect()
}

/// The resident memory of a process in KiB, if /proc has it.
pub(crate) fn resident(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
