//! Runs a tool and reads its output line by line, within a time.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::process::{Pid, Signal, kill_process_group};

/// The end of stderr that is kept, in bytes.
const KEPT: usize = 64 << 10;

/// The end of a tool.
#[derive(Debug)]
pub(super) struct ProcessEnd {
    /// None if a signal ended it.
    pub(super) code: Option<i32>,
    /// The end of what it wrote to stderr.
    pub(super) stderr: String,
    /// It was ended because its time was over.
    pub(super) is_late: bool,
}

/// Runs a command in a process group of its own, and calls `line` for each line of stdout. When the time is over, the
/// whole group is ended: a test may have started processes.
pub(super) fn run(mut command: Command, limit: Duration, mut line: impl FnMut(&str)) -> std::io::Result<ProcessEnd> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let watch = Watch::start(&child, limit);
    let errors = std::thread::spawn(move || stderr.map(last_bytes).unwrap_or_default());
    if let Some(stdout) = stdout {
        for text in BufReader::new(stdout).split(b'\n') {
            match text {
                Ok(text) => line(String::from_utf8_lossy(&text).trim_end_matches('\r')),
                Err(_) => break,
            }
        }
    }
    let status = child.wait()?;
    let is_late = watch.end();
    let stderr = errors.join().unwrap_or_default();
    Ok(ProcessEnd { code: status.code(), stderr: String::from_utf8_lossy(&stderr).into_owned(), is_late })
}

fn last_bytes(mut stream: impl Read) -> Vec<u8> {
    let (mut kept, mut piece) = (Vec::new(), [0; 8192]);
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        kept.extend_from_slice(&piece[..read]);
        let surplus = kept.len().saturating_sub(KEPT);
        kept.drain(..surplus);
    }
    kept
}

/// Ends a process group when its time is over.
struct Watch(Arc<(Mutex<WatchState>, Condvar)>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum WatchState {
    Running,
    Ended,
    Killed,
}

impl Watch {
    fn start(child: &Child, limit: Duration) -> Self {
        let shared = Arc::new((Mutex::new(WatchState::Running), Condvar::new()));
        let (watched, group) = (Arc::clone(&shared), Pid::from_child(child));
        std::thread::spawn(move || {
            let (end, (state, changed)) = (Instant::now() + limit, &*watched);
            let mut state = state.lock();
            while *state == WatchState::Running {
                if changed.wait_until(&mut state, end).timed_out() && *state == WatchState::Running {
                    let _ = kill_process_group(group, Signal::KILL);
                    *state = WatchState::Killed;
                }
            }
        });
        Self(shared)
    }

    /// Ends the watch, and tells whether it ended the group.
    fn end(self) -> bool {
        let (state, changed) = &*self.0;
        let mut state = state.lock();
        let was_killed = *state == WatchState::Killed;
        *state = WatchState::Ended;
        changed.notify_all();
        was_killed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn lines_arrive_in_their_order_and_the_end_of_stderr_is_kept() {
        let mut lines = Vec::new();
        let end = run(sh("echo a; echo b; echo wrong >&2; exit 3"), Duration::from_secs(60), |line| {
            lines.push(line.to_owned());
        });
        let end = end.expect("sh is there");
        assert_eq!(
            (lines, end.code, end.stderr.as_str(), end.is_late),
            (vec!["a".into(), "b".into()], Some(3), "wrong\n", false)
        );
    }

    #[test]
    fn a_tool_that_does_not_end_is_ended_with_what_it_started() {
        let end = run(sh("sleep 600 & sleep 600"), Duration::from_millis(50), |_| {}).expect("sh is there");
        assert!(end.is_late && end.code.is_none(), "{end:?}");
    }
}
