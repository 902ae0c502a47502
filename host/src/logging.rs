//! Writes the log to stderr without waiting for its reader.
//!
//! A line is written at once, by the thread that logs it, as long as stderr takes it without a wait. So the lines of a
//! host that is killed are out, and an answer never comes before the lines about it. When stderr takes nothing, because
//! it is a pipe whose reader has stopped, lines are queued, and a thread writes them when it can. The queue is bounded:
//! lines beyond it are dropped and counted, and the log says how many when it moves again.
//!
//! [`FlushAtEnd`] flushes the last lines of a program, for a second at most. A panic is a line like any other: the host
//! goes on after one in a task, and must not stand still for it. One that ends the program drops [`FlushAtEnd`].

use std::backtrace::{Backtrace, BacktraceStatus};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use coinslot_base::request_id::RequestId;
use coinslot_base::text::{escaped_json, printable, printable_lines};
use parking_lot::{Condvar, Mutex, MutexGuard};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, reload};

/// Bytes that are queued at most. It is some thousand lines.
const CAPACITY: usize = 1 << 20;
/// Bytes of the queue that lines of guests may take. The rest is left to what the host itself has to say.
const GUEST_CAPACITY: usize = CAPACITY / 2;
/// The target of the events that are lines of guests.
const GUEST_TARGET: &str = "coinslot::guest";
/// Bytes that a pipe takes without a wait when it takes any (PIPE_BUF).
const PIECE: usize = 4096;
/// The longest wait for a reader when the program ends.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// The filter of the log, unless another is asked for.
pub const DEFAULT_LEVEL: &str = "coinslot=info,warn";

/// The library of MCP, which writes errors for whatever a client does, such as hanging up: any client could fill the
/// log with them. What the host itself has to say of such a client is in its answers and metrics.
const NOISY: &str = "rmcp";

/// Puts another filter in the place of the log's. Not set: the command line has chosen the filter.
static SET_FILTER: OnceLock<SetFilter> = OnceLock::new();

/// Puts another filter in the place of the one of the log.
type SetFilter = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// Lets [`set_level`] change the filter of the log.
pub fn may_change<S: 'static>(filter: reload::Handle<EnvFilter, S>) {
    let set = move |next| filter.reload(next).map_err(|error: reload::Error| error.to_string());
    // A second log of one process keeps its filter.
    let _ = SET_FILTER.set(Box::new(set));
}

/// Says what is wrong with a filter of the log.
pub fn check_level(text: &str) -> Result<(), String> {
    EnvFilter::try_new(text).map(drop).map_err(|error| {
        format!("{error}: write error, warn, info, debug, trace, or a filter such as \"coinslot=debug,warn\"")
    })
}

/// Sets the filter of the log, or the default. Does nothing if the command line has chosen one.
pub fn set_level(text: Option<&str>) -> Result<(), String> {
    let Some(set) = SET_FILTER.get() else { return Ok(()) };
    let text = text.unwrap_or(DEFAULT_LEVEL);
    set(filter(text)?)
}

/// The filter of a text. Errors that any client can cause are in the log only if the text names their target, or asks
/// for debugging of everything.
pub fn filter(text: &str) -> Result<EnvFilter, String> {
    check_level(text)?;
    let directives = || text.split(',').map(str::trim);
    let is_named = directives().any(|directive| directive.split(['=', '[', ':']).next() == Some(NOISY));
    let is_all = directives().any(|directive| ["debug", "trace"].contains(&&*directive.to_ascii_lowercase()));
    let text = if is_named || is_all { text.to_owned() } else { format!("{text},{NOISY}=off") };
    EnvFilter::try_new(text).map_err(|error| error.to_string())
}

static STDERR: LogOutput = LogOutput::new(None);

/// The pipe that the log is written to, and the lines that wait for it.
#[derive(Debug)]
struct LogOutput {
    /// None: stderr.
    pipe: Option<OwnedFd>,
    queue: Mutex<LogQueue>,
    queued: Condvar,
    written: Condvar,
}

#[derive(Debug)]
struct LogQueue {
    lines: VecDeque<Vec<u8>>,
    /// Bytes of the lines, with that of the line which the thread is writing.
    bytes: usize,
    /// Lines that were dropped and not reported.
    dropped: u64,
    has_thread: bool,
}

impl LogOutput {
    const fn new(pipe: Option<OwnedFd>) -> Self {
        let queue = LogQueue { lines: VecDeque::new(), bytes: 0, dropped: 0, has_thread: false };
        Self { pipe, queue: Mutex::new(queue), queued: Condvar::new(), written: Condvar::new() }
    }

    /// Writes a line, or queues it if no more than `capacity` bytes are queued then, or drops it.
    fn line(&'static self, line: &[u8], capacity: usize) {
        let mut queue = self.queue.lock();
        let rest = if queue.bytes == 0 { self.write(line, false) } else { line };
        if rest.is_empty() {
            return;
        }
        if queue.bytes > 0 && queue.bytes + rest.len() > capacity {
            queue.dropped += 1;
            return;
        }
        queue.bytes += rest.len();
        queue.lines.push_back(rest.to_owned());
        if !queue.has_thread {
            let thread = std::thread::Builder::new().name("coinslot-log".into());
            // Without a thread the lines wait for the next one that is logged.
            queue.has_thread = thread.spawn(|| self.write_queue()).is_ok();
        }
        self.queued.notify_one();
    }

    /// The work of the thread.
    fn write_queue(&self) {
        let mut queue = self.queue.lock();
        loop {
            let Some(line) = queue.lines.pop_front() else {
                self.written.notify_all();
                self.queued.wait(&mut queue);
                continue;
            };
            MutexGuard::unlocked(&mut queue, || self.write(&line, true));
            queue.bytes -= line.len();
            if queue.bytes <= GUEST_CAPACITY {
                let lines = std::mem::take(&mut queue.dropped);
                if lines > 0 {
                    // A line like any other: it may be queued itself.
                    MutexGuard::unlocked(&mut queue, || tracing::warn!(lines, "dropped: nobody read the log"));
                }
            }
        }
    }

    /// Writes as much as is taken without a wait, or all. Returns the rest. What cannot be written at all, because the
    /// reader is gone or the disk is full, is lost.
    fn write<'l>(&self, mut line: &'l [u8], waits: bool) -> &'l [u8] {
        let stderr = io::stderr();
        let fd = self.pipe.as_ref().map_or_else(|| stderr.as_fd(), AsFd::as_fd);
        let timeout = if waits { None } else { Some(&Timespec { tv_sec: 0, tv_nsec: 0 }) };
        while !line.is_empty() {
            // Asked before each piece: a write itself would wait. An error of `poll` is one of the write, too.
            if let Ok(0) | Err(Errno::INTR) = poll(&mut [PollFd::new(&fd, PollFlags::OUT)], timeout) {
                if waits { continue } else { break }
            }
            match rustix::io::write(fd, &line[..line.len().min(PIECE)]) {
                Ok(written @ 1..) => line = &line[written..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if waits => {}
                Err(Errno::AGAIN) => break,
                Ok(0) | Err(_) => return &[],
            }
        }
        line
    }

    /// Waits until everything that was logged is written, at most this long.
    fn flush(&self, at_most: Duration) {
        let until = Instant::now() + at_most;
        let mut queue = self.queue.lock();
        while queue.bytes > 0 && !self.written.wait_until(&mut queue, until).timed_out() {}
    }
}

/// Writes a text for the person who runs the program, without the form of the log. It may quote a file, a server or a
/// compiler, so nothing in it may drive the terminal.
pub fn say(text: &str) {
    STDERR.line(format!("{}\n", printable_lines(text)).as_bytes(), CAPACITY);
}

/// Flushes the log when it is dropped: it is the last value that `main` drops.
#[derive(Debug)]
#[must_use]
pub struct FlushAtEnd(());

impl FlushAtEnd {
    /// Begins to log panics, too.
    pub fn begin() -> Self {
        std::panic::set_hook(Box::new(|panic| log_panic(panic, &STDERR)));
        Self(())
    }
}

fn log_panic(panic: &PanicHookInfo<'_>, output: &'static LogOutput) {
    let thread = std::thread::current();
    let backtrace = Backtrace::capture();
    let mut text = format!("thread '{}' {panic}\n", thread.name().unwrap_or("<unnamed>"));
    if backtrace.status() == BacktraceStatus::Captured {
        text = format!("{text}{backtrace}\n");
    }
    // A panic may quote what a client sent.
    output.line(format!("{}\n", printable_lines(&text)).as_bytes(), CAPACITY);
}

impl Drop for FlushAtEnd {
    fn drop(&mut self) {
        STDERR.flush(LAST_WAIT);
    }
}

/// Makes the writers of the log's events.
#[derive(Clone, Copy, Debug)]
pub struct StderrLog;

/// Writes one event.
#[derive(Debug)]
pub struct EventWriter {
    capacity: usize,
}

impl MakeWriter<'_> for StderrLog {
    type Writer = EventWriter;

    fn make_writer(&self) -> EventWriter {
        EventWriter { capacity: CAPACITY }
    }

    fn make_writer_for(&self, event: &Metadata<'_>) -> EventWriter {
        EventWriter { capacity: if event.target() == GUEST_TARGET { GUEST_CAPACITY } else { CAPACITY } }
    }
}

impl Write for EventWriter {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        STDERR.line(event, self.capacity);
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the fields of an event so that nothing in them can drive the terminal, and so that the name of a file with a line
/// break makes no line of its own. Messages alone may have several lines.
pub fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let text = format!("{value:?}");
    match field.name() {
        // What the crate `log` says of where it was called.
        name if name.starts_with("log.") => Ok(()),
        "message" => writer.write_str(&printable_lines(&text)),
        name => write!(writer, "{}={}", name.trim_start_matches("r#"), printable(&text)),
    }
}

/// Writes events as `F` does, whose lines are JSON, with escapes for what [drives a terminal](escaped_json): such a log is
/// often read on one.
#[derive(Clone, Copy, Debug)]
pub struct EscapedJson<F>(pub F);

impl<S, N, F> FormatEvent<S, N> for EscapedJson<F>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        if let Some(id) = RequestId::current()
            && let Some(end) = line.rfind('}')
        {
            // No character of an id needs an escape.
            line.insert_str(end, &format!(",\"request_id\":\"{id}\""));
        }
        writer.write_str(&escaped_json(&line))
    }
}

/// Writes events as `F` does, and names the request that the code is at work for.
///
/// The id comes from the task and not from a span: a span for each request costs more than the log lines of most.
#[derive(Clone, Copy, Debug)]
pub struct WithRequestId<F>(pub F);

impl<S, N, F> FormatEvent<S, N> for WithRequestId<F>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Some(id) = RequestId::current() else { return self.0.format_event(context, writer, event) };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        writeln!(writer, "{} request_id={id}", line.trim_end_matches('\n'))
    }
}

/// Writes lines of guests as their author reads them, `hello | text`, and every other event as `F` does.
#[derive(Clone, Copy, Debug)]
pub struct GuestLines<F>(pub F);

impl<S, N, F> FormatEvent<S, N> for GuestLines<F>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if event.metadata().target() != GUEST_TARGET {
            return self.0.format_event(context, writer, event);
        }
        let mut line = GuestLine::default();
        event.record(&mut line);
        writeln!(writer, "{} | {}", line.plugin, line.text)
    }
}

/// A line of a guest, and the plugin's name.
#[derive(Debug, Default)]
struct GuestLine {
    plugin: String,
    text: String,
}

impl Visit for GuestLine {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "plugin" {
            value.clone_into(&mut self.plugin);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.text = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read};

    use super::*;

    fn pipe() -> (PipeReader, &'static LogOutput) {
        let (reader, writer) = io::pipe().expect("a pipe");
        (reader, Box::leak(Box::new(LogOutput::new(Some(writer.into())))))
    }

    /// Everything that is written until the last line ends.
    fn read(mut reader: PipeReader, last: &str) -> String {
        let mut text = Vec::new();
        while !text.ends_with(last.as_bytes()) {
            let mut piece = [0; 64 << 10];
            let length = reader.read(&mut piece).expect("read");
            text.extend_from_slice(&piece[..length]);
        }
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn a_line_is_written_at_once_while_it_is_taken() {
        let (mut reader, output) = pipe();
        output.line(b"one\n", CAPACITY);
        let mut line = [0; 4];
        reader.read_exact(&mut line).expect("the line");
        assert!(line == *b"one\n" && !output.queue.lock().has_thread);
    }

    #[test]
    fn nobody_waits_for_the_reader_and_all_comes_in_order() {
        let (reader, output) = pipe();
        let lines: Vec<String> = (0..60).map(|number| format!("{number} {}\n", "x".repeat(8 << 10))).collect();
        for line in &lines {
            output.line(line.as_bytes(), CAPACITY);
        }
        assert!(output.queue.lock().bytes > 256 << 10);
        output.flush(Duration::from_millis(10));
        let read = std::thread::spawn(move || read(reader, "x\nend\n"));
        output.line(b"end\n", CAPACITY);
        assert_eq!(read.join().expect("no panic"), lines.concat() + "end\n");
        output.flush(Duration::from_secs(10));
        assert_eq!(output.queue.lock().bytes, 0);
    }

    #[test]
    fn what_is_queued_is_bounded_and_guests_leave_room_to_the_host() {
        let (reader, output) = pipe();
        for _ in 0..2_000 {
            output.line(&[b'g'; 1_000], GUEST_CAPACITY);
        }
        let queued = output.queue.lock().bytes;
        assert!(queued <= GUEST_CAPACITY && output.queue.lock().dropped > 1_000);
        output.line(b"the host\n", CAPACITY);
        assert_eq!(output.queue.lock().bytes, queued + 9);
        assert!(read(reader, "the host\n").len() < GUEST_CAPACITY + (128 << 10));
    }

    #[test]
    fn json_is_the_same_and_does_not_drive_the_terminal_that_shows_it() {
        let (mut reader, pipe) = io::pipe().expect("a pipe");
        let json = tracing_subscriber::fmt()
            .json()
            .map_event_format(EscapedJson)
            .with_writer(move || pipe.try_clone().expect("a pipe"))
            .finish();
        let name = "a\u{1b}[2J\u{9b}2J\u{202e}gpj.\"wasm\"\nforged";
        tracing::subscriber::with_default(json, || tracing::warn!(file = %name, "{name}"));
        let mut line = String::new();
        reader.read_to_string(&mut line).expect("a line");
        assert!(line.trim_end_matches('\n').chars().all(|c| c.is_ascii() && !c.is_control()), "{line}");
        let event: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!((&event["fields"]["file"], &event["fields"]["message"]), (&name.into(), &name.into()));
    }

    /// Clients wrote lines of errors at will, by hanging up and by methods that do not exist.
    #[test]
    fn what_a_client_makes_the_library_of_mcp_say_is_logged_where_an_operator_asks_for_it() {
        use tracing_subscriber::layer::SubscriberExt as _;

        #[derive(Clone, Default)]
        struct Count(std::sync::Arc<std::sync::atomic::AtomicUsize>);
        impl<S: Subscriber> tracing_subscriber::Layer<S> for Count {
            fn on_event(&self, _: &Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
                self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let logged = |text: &str| {
            let count = Count::default();
            let log = tracing_subscriber::registry().with(filter(text).expect("a filter")).with(count.clone());
            tracing::subscriber::with_default(log, || {
                tracing::error!(target: "rmcp::service", "a client hung up");
                tracing::warn!(target: "another", "another");
            });
            count.0.load(std::sync::atomic::Ordering::Relaxed)
        };
        for (text, lines) in [
            (DEFAULT_LEVEL, 1),
            ("info", 1),
            ("coinslot=debug,warn", 1),
            ("warn,rmcp=error", 2),
            ("rmcp::service=debug", 1),
            ("debug", 2),
        ] {
            assert_eq!(logged(text), lines, "{text}");
        }
        assert!(filter("coinslot=loud").is_err());
    }

    #[test]
    fn a_reader_that_is_gone_holds_up_nobody() {
        let (reader, output) = pipe();
        output.line(&[b'x'; 200 << 10], CAPACITY);
        drop(reader);
        output.flush(Duration::from_secs(10));
        output.line(b"lost\n", CAPACITY);
        assert_eq!(output.queue.lock().bytes, 0);
    }

    #[test]
    fn a_field_of_the_log_makes_no_line_of_its_own() {
        use tracing_subscriber::field::MakeExt;
        use tracing_subscriber::fmt::format::debug_fn;

        #[derive(Clone, Default)]
        struct Lines(std::sync::Arc<Mutex<Vec<u8>>>);
        impl Write for Lines {
            fn write(&mut self, line: &[u8]) -> io::Result<usize> {
                self.0.lock().extend_from_slice(line);
                Ok(line.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::default();
        let to = lines.clone();
        let log = tracing_subscriber::fmt().with_writer(move || to.clone()).with_ansi(false).without_time();
        let log = log.compact().with_target(false).fmt_fields(debug_fn(write_field).delimited(" ")).finish();
        tracing::subscriber::with_default(log, || {
            let file = std::path::Path::new("a\u{1b}[31m\n WARN forged\u{202e}");
            tracing::info!(file = %file.display(), count = 2, "two lines:\nthe second");
        });
        let text = String::from_utf8(lines.0.lock().clone()).expect("text");
        assert_eq!(text, " INFO two lines:\nthe second file=a\u{fffd}[31m\u{fffd} WARN forged\u{fffd} count=2\n");
    }

    /// A panic of a task stopped its worker for a second when nobody read the log.
    #[test]
    fn a_panic_waits_for_no_reader_and_is_logged() {
        let (reader, output) = pipe();
        output.line(&[b'x'; 200 << 10], CAPACITY);
        let former = std::panic::take_hook();
        std::panic::set_hook(Box::new(|panic| log_panic(panic, output)));
        // The first backtrace of a process reads its symbols, which takes as long as the machine does.
        let _ = std::backtrace::Backtrace::force_capture().to_string();
        let begun = Instant::now();
        let caught = std::panic::catch_unwind(|| panic!("of a task"));
        let took = begun.elapsed();
        std::panic::set_hook(former);
        assert!(caught.is_err() && took < LAST_WAIT / 2, "{took:?}");
        output.line(b"end\n", CAPACITY);
        assert!(read(reader, "end\n").contains("of a task\n"));
    }
}
