//! Runs a tool and reads its output line by line, within a time.
//!
//! The end of the tool is not the end of its output: a test may leave a process behind that has stdout and stderr open.
//! So the run waits for the tool, and for its output only as long as that may take to arrive.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// The end of stderr that is kept, in bytes.
const KEPT: usize = 64 << 10;
/// Lines that were read and not yet taken, at most.
const QUEUED: usize = 256;
/// The longest wait for output that was written before the tool ended, and the most bytes of it: more than a pipe and the
/// queue hold. A process that is left behind may print without end.
const LAST_OUTPUT: Duration = Duration::from_secs(2);
const LAST_BYTES: usize = 4 << 20;

/// The end of a tool.
#[derive(Debug)]
pub(super) struct ProcessEnd {
    /// None if a signal ended it.
    pub(super) code: Option<i32>,
    /// The end of what it wrote to stderr.
    pub(super) stderr: String,
    /// The tool was ended because its time was over.
    pub(super) is_late: bool,
}

/// An event of a tool that runs.
enum Event {
    /// A line of stdout.
    Line(Vec<u8>),
    /// Stdout or stderr has ended.
    StreamEnded,
    Exited(std::io::Result<Exit>),
}

struct Exit {
    status: ExitStatus,
    is_late: bool,
}

/// Runs a command in a process group of its own, and calls `line` for each line of stdout. When the tool has ended or
/// its time is over, the whole group is ended: a test may have started processes.
pub(super) fn run(mut command: Command, limit: Duration, mut line: impl FnMut(&str)) -> std::io::Result<ProcessEnd> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let errors = Arc::new(Mutex::new(Vec::new()));
    // The threads that read end with their streams, which a process left behind may hold open beyond this run.
    let (events, happened) = mpsc::sync_channel(QUEUED);
    let (to_lines, to_errors, kept) = (events.clone(), events.clone(), Arc::clone(&errors));
    std::thread::spawn(move || read_lines(stdout, &to_lines));
    std::thread::spawn(move || {
        stderr.into_iter().for_each(|stream| keep_last_bytes(stream, &kept));
        to_errors.send(Event::StreamEnded)
    });
    std::thread::spawn(move || events.send(Event::Exited(wait(child, limit))));
    let (mut streams, mut exit, mut left) = (2, None, LAST_BYTES);
    while streams > 0 || exit.is_none() {
        let event = match &exit {
            None => happened.recv().ok(),
            Some(_) => happened.recv_timeout(LAST_OUTPUT).ok(),
        };
        match event {
            Some(Event::Line(text)) => {
                line(String::from_utf8_lossy(&text).trim_end_matches('\r'));
                left = left.saturating_sub(if exit.is_some() { text.len() + 1 } else { 0 });
            }
            Some(Event::StreamEnded) => streams -= 1,
            Some(Event::Exited(ended)) => exit = Some(ended?),
            None => break,
        }
        if left == 0 {
            break;
        }
    }
    let exit = exit.ok_or_else(|| std::io::Error::other("the end of the tool is not known"))?;
    let stderr = String::from_utf8_lossy(&errors.lock()).into_owned();
    Ok(ProcessEnd { code: exit.status.code(), stderr, is_late: exit.is_late })
}

/// Waits for a child, and ends its group. The child is taken off the table of processes afterwards: until then no other
/// process can have its number, which is that of the group.
fn wait(mut child: Child, limit: Duration) -> std::io::Result<Exit> {
    let group = Pid::from_child(&child);
    let watch = Watch::start(group, limit);
    let ended = waitid(WaitId::Pid(group), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    let is_late = watch.end();
    // Without processes there is no group.
    let _ = kill_process_group(group, Signal::KILL);
    let status = child.wait()?;
    ended?;
    Ok(Exit { status, is_late })
}

fn read_lines(stream: Option<impl Read>, events: &SyncSender<Event>) {
    for line in stream.into_iter().flat_map(|stream| BufReader::new(stream).split(b'\n')).map_while(Result::ok) {
        if events.send(Event::Line(line)).is_err() {
            return;
        }
    }
    // Without a receiver the run is over.
    let _ = events.send(Event::StreamEnded);
}

fn keep_last_bytes(mut stream: impl Read, kept: &Mutex<Vec<u8>>) {
    let mut piece = [0; 8192];
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        let mut kept = kept.lock();
        kept.extend_from_slice(&piece[..read]);
        let surplus = kept.len().saturating_sub(KEPT);
        kept.drain(..surplus);
    }
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
    fn start(group: Pid, limit: Duration) -> Self {
        let shared = Arc::new((Mutex::new(WatchState::Running), Condvar::new()));
        let watched = Arc::clone(&shared);
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

    /// The run waited for stderr, which a process that was left behind held open for as long as it ran. One in a session
    /// of its own is not ended with the group.
    #[test]
    fn a_process_that_is_left_behind_holds_up_nothing() {
        for script in ["sleep 600 & echo a; echo wrong >&2", "setsid sleep 60 & echo a; echo wrong >&2"] {
            let (begun, mut lines) = (Instant::now(), Vec::new());
            let end =
                run(sh(script), Duration::from_secs(50), |line| lines.push(line.to_owned())).expect("sh is there");
            assert_eq!((end.code, end.stderr.as_str(), end.is_late), (Some(0), "wrong\n", false), "{script}");
            assert_eq!(lines, ["a"], "{script}");
            assert!(begun.elapsed() < Duration::from_secs(45), "{script}: {:?}", begun.elapsed());
        }
    }
}
