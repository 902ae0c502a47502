//! The host under load: started and ended on one port, and asked for its books by its own commands.

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

/// A host that has not begun to serve by then, or not ended, never will.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Host {
    binary: PathBuf,
    dir: PathBuf,
    port: u16,
    child: Option<Child>,
    /// Of the running process; 0 while there is none.
    pub(crate) process: Arc<AtomicU32>,
}

/// From one start to the next.
#[derive(Debug)]
pub(crate) struct Life {
    /// Until it served.
    pub(crate) starting: Duration,
    /// Memory when it began to serve and right before it was ended, in KiB.
    pub(crate) memory: [u64; 2],
    pub(crate) signal: Option<Signal>,
    /// From the signal to the end.
    pub(crate) ending: Duration,
    /// How it ended.
    pub(crate) status: Option<String>,
    /// Payments that were at work when it had ended at its leisure.
    pub(crate) left: usize,
}

/// At work. What is left so is taken up at the next start.
const AT_WORK: &[&str] = &["reserved", "executing", "settling"];
/// Sent, and nobody knows what became of it.
const UNKNOWN: &[&str] = &["unknown"];

impl Host {
    /// The port is chosen here and stays, so that clients find the host again. It is below those that the
    /// kernel gives to clients: one of them could take it while the host is down, or connect to itself.
    pub(crate) fn new(binary: &Path, dir: &Path) -> Self {
        let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let port = (18_402..32_000).find(free).expect("a free port");
        Self { binary: binary.to_owned(), dir: dir.to_owned(), port, child: None, process: Arc::default() }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts it, and waits until it serves.
    pub(crate) async fn start(&mut self) -> Life {
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
        let mut said = BufReader::new(child.stdout.take().expect("its output")).lines();
        let serves = async {
            while let Some(line) = said.next_line().await.expect("text") {
                if line.starts_with("serving on ") {
                    return;
                }
            }
            panic!("the host ended before it served: see host.log");
        };
        tokio::time::timeout(PATIENCE, serves).await.expect("a host that serves");
        // A host whose reader has gone cannot print.
        tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
        let id = child.id().expect("a living process");
        self.process.store(id, Ordering::Relaxed);
        self.child = Some(child);
        let memory = [resident(id).unwrap_or_default(), 0];
        Life { starting: begun.elapsed(), memory, signal: None, ending: Duration::ZERO, status: None, left: 0 }
    }

    /// Ends it by this signal, and waits for that.
    pub(crate) async fn end(&mut self, signal: Signal, life: &mut Life) {
        let begun = Instant::now();
        let mut child = self.child.take().expect("a host that lives");
        let id = child.id().expect("a living process");
        life.memory[1] = resident(id).unwrap_or_default();
        self.process.store(0, Ordering::Relaxed);
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("a living process");
        let status = tokio::time::timeout(PATIENCE, child.wait()).await.expect("a host that ends");
        life.signal = Some(signal);
        life.status = status.ok().map(|status| status.to_string());
        life.ending = begun.elapsed();
        // After a SIGKILL nobody looks: the host itself has to put its ledger in order.
        if signal == Signal::TERM {
            life.left = self.payments(AT_WORK).len();
        }
    }

    /// Waits until no payment is at work or unknown. Gives those that still are.
    pub(crate) async fn wait_until_settled(&self, at_most: Duration) -> Vec<Value> {
        let until = Instant::now() + at_most;
        loop {
            let open = self.payments(&[AT_WORK, UNKNOWN].concat());
            if open.is_empty() || Instant::now() > until {
                return open;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Those in these states.
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

    /// What it says of ledger and chain; none if they could not be compared.
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
    // `reconcile` ends with 3 where there are differences, which it writes all the same.
    let failed = !output.status.success() && output.status.code() != Some(3);
    assert!(!failed, "coinslot ledger: {}", String::from_utf8_lossy(&output.stderr));
    let text = std::str::from_utf8(&output.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON object in each line")).collect()
}

/// Resident memory of a process in KiB, where /proc tells it.
pub(crate) fn resident(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
