//! Starts the process that compiles a component, and says why it failed.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use coinslot_base::text::printable;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::arguments::{FUNCTIONS, LOW_PRIORITY, ON_DEMAND, WASI};
use super::{CompilePriority, OUTSIDE};
use crate::fault::LoadError;
use crate::instance::engine::{Allocation, EngineKind};

/// Signals that end a compilation from outside: the host is stopped (HUP, INT, QUIT, TERM), or the kernel is out of
/// memory (KILL).
const OUTSIDE_SIGNALS: [i32; 5] = [1, 2, 3, 9, 15];
/// Wall time of the compiling process.
const COMPILE_TIMEOUT: Duration = Duration::from_secs(600);
/// Bytes of the error output of the compiling process that are read.
const EXPLANATION: u64 = 4 << 10;

/// Compiles in a child process of `executable`, whose path is absolute, into `draft`. `functions` is the directory of
/// compiled functions.
pub(crate) async fn in_process_of(
    executable: &Path,
    priority: CompilePriority,
    wasm: &[u8],
    kind: EngineKind,
    functions: &Path,
    draft: &NamedTempFile,
) -> Result<(), LoadError> {
    let failed =
        |error: io::Error| LoadError::Unavailable(format!("cannot run the compiler {}: {error}", executable.display()));
    let mut child = tokio::process::Command::new(executable)
        .args(["compile", WASI, kind.wasi.version()])
        .args((kind.allocation == Allocation::OnDemand).then_some(ON_DEMAND))
        .args((priority == CompilePriority::Low).then_some(LOW_PRIORITY))
        // A path of this process, such as one below `/proc/self/fd`, leads there only until the child is started.
        .current_dir(functions)
        .args([FUNCTIONS, "."])
        // The executable may be `/proc/self/exe`, which is no name for a list of processes.
        .arg0("coinslot")
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::from(draft.as_file().try_clone().map_err(failed)?))
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        // Else a Ctrl-C for the host, which finishes its work first, would end it at once.
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let (mut stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let feed = async {
        if let Some(stdin) = &mut stdin {
            // A child that gave up early closes the pipe, and its exit status reports the failure.
            let _ = stdin.write_all(wasm).await;
        }
        drop(stdin.take());
    };
    let listen = async {
        let mut text = Vec::new();
        if let Some(stderr) = stderr {
            let _ = stderr.take(EXPLANATION).read_to_end(&mut text).await;
        }
        text
    };
    let finished = async { tokio::join!(feed, listen, child.wait()) };
    let Ok(((), text, status)) = tokio::time::timeout(COMPILE_TIMEOUT, finished).await else {
        return Err(LoadError::Invalid(format!(
            "it did not compile within {} seconds: make it smaller",
            COMPILE_TIMEOUT.as_secs()
        )));
    };
    let status = status.map_err(failed)?;
    if status.success() {
        tracing::debug!(functions = %printable(String::from_utf8_lossy(&text).trim()), "a component is compiled");
        return Ok(());
    }
    Err(failure(status, &text))
}

/// The reason of a compilation that ended with this status, and wrote this explanation.
fn failure(status: ExitStatus, text: &[u8]) -> LoadError {
    let text = printable(String::from_utf8_lossy(text).trim());
    if status.code() == Some(i32::from(OUTSIDE)) {
        return LoadError::Unavailable(text);
    }
    if status.signal().is_some_and(|signal| OUTSIDE_SIGNALS.contains(&signal)) {
        return LoadError::Unavailable(format!("its compilation was stopped from outside ({status})"));
    }
    LoadError::Invalid(if status.code().is_some() && !text.is_empty() {
        text
    } else {
        format!(
            "its compilation was stopped ({status}), most likely at its limit of memory or CPU time: make it smaller"
        )
    })
}
