//! Runs the tests of a TypeScript or JavaScript plugin in the engine that serves it.
//!
//! A file of tests is evaluated as a plugin is, and then called in the same instance, without a snapshot between: a
//! snapshot would have to be compiled, which takes longer than most tests. What a component has not, the run has not:
//! the module loader is closed, and there is no network.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi_http::{WasiHttpView, p3};

use super::deadline::{Deadline, Ticker};
use super::engine::CompiledEngine;
use super::evaluate::{self, EvaluatedEngine, State};
use super::guest_output::GuestOutput;
use super::modules::{Modules, TESTS_SOURCE};
use super::{EXTENSIONS, package};
use crate::testing::{TestError, TestOutcome, TestReport, TestResult};
use crate::{BuildError, files};

/// The time beyond a test's own in which the engine can end a test that waits, before the engine itself is stopped.
const GRACE: Duration = Duration::from_secs(1);

/// The longest timer of an engine of JavaScript, in milliseconds.
const LONGEST_TIMER: u128 = (1 << 31) - 1;

/// The files of tests of a plugin, sorted: those of a folder and the folders in it, or those beside a module that have
/// its name.
pub fn test_files(plugin: &Path) -> Vec<PathBuf> {
    if !plugin.is_dir() {
        let beside = EXTENSIONS.iter().map(|extension| plugin.with_extension(format!("test.{extension}")));
        return beside.filter(|path| path.is_file()).collect();
    }
    let is_test = |name: &str| EXTENSIONS.iter().any(|extension| name.ends_with(&format!(".test.{extension}")));
    files::below(plugin, &is_test)
}

/// Runs the tests of one file whose names contain `only`, and reports each as soon as it has ended. `plugin` is the
/// module of the plugin or its folder, and `timeout` the longest time of one test. Fails if the file cannot be evaluated.
///
/// A test that waits for longer has failed. So has one that computes for longer, or that ends the engine, and no test
/// after it runs: then the last report is that failure. Blocks the thread.
pub fn run_tests(
    file: &Path,
    plugin: &Path,
    only: &str,
    timeout: Duration,
    cache: Option<&Path>,
    mut report: impl FnMut(TestReport),
) -> Result<(), BuildError> {
    let file = file.canonicalize().map_err(BuildError::file(file))?;
    let plugin = plugin.canonicalize().map_err(BuildError::file(plugin))?;
    let root = if plugin.is_dir() { plugin.as_path() } else { plugin.parent().unwrap_or(Path::new("/")) };
    let module = super::module_at(&plugin).unwrap_or_else(|| file.clone());
    let modules = Modules::new(&file, root, &package::of(&module)?);
    let engine = CompiledEngine::load(cache)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|error| BuildError::Engine(error.to_string()))?;
    runtime.block_on(async {
        modules.shake();
        if let Some(exceeded) = modules.exceeded() {
            return Err(BuildError::Source(exceeded));
        }
        let evaluated = match evaluate::begin(&engine, &modules, TESTS_SOURCE).await {
            Err(BuildError::Source(_)) if modules.unshake() => evaluate::begin(&engine, &modules, TESTS_SOURCE).await?,
            evaluated => evaluated?,
        };
        modules.close();
        let limit = timeout.saturating_add(GRACE);
        let mut run = Run { timeout, limit, printed: GuestOutput::default(), running: None, report: &mut report };
        run.printed.write(evaluated.output.as_bytes());
        run.drive(&engine, evaluated, only).await
    })
}

/// A run, as far as it has come.
struct Run<'r> {
    /// The longest time of one test. The engine itself ends a test that waits for longer, and goes on with the next.
    timeout: Duration,
    /// After this time the engine is stopped: the test computes without end.
    limit: Duration,
    printed: GuestOutput,
    /// The name and the place of the test that runs.
    running: Option<(String, Option<String>)>,
    report: &'r mut dyn FnMut(TestReport),
}

impl Run<'_> {
    /// Calls the tests, and reads their reports.
    async fn drive(
        &mut self,
        engine: &CompiledEngine,
        evaluated: EvaluatedEngine,
        only: &str,
    ) -> Result<(), BuildError> {
        let EvaluatedEngine { mut store, instance, .. } = evaluated;
        store.data_mut().wasi = WasiCtxBuilder::new().stdout(self.printed.clone()).stderr(self.printed.clone()).build();
        let deadline = Deadline::after(self.limit);
        deadline.watch(&mut store);
        let _ticker = Ticker::start(&engine.engine);
        let service = p3::bindings::Service::new(&mut store, &instance)?;
        let query = only.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let timeout = self.timeout.as_millis().min(LONGEST_TIMER);
        let url = format!("http://plugin.test/tests?only={query}&timeout={timeout}");
        let request = Request::post(url).body(Empty::<Bytes>::new());
        let request = request.map_err(|error| BuildError::Engine(error.to_string()))?;
        let (request, _sent) = p3::Request::from_http(store.data_mut().http().hooks, request);
        let called = store
            .run_concurrent(async |accessor| {
                let ran = async {
                    let answer = service.handle(accessor, request).await?;
                    let answer = answer.map_err(|code| wasmtime::Error::msg(format!("the tests gave {code:?}")))?;
                    let answer = accessor.with(|mut store| answer.into_http::<State>(&mut store, async { Ok(()) }))?;
                    let mut body = answer.into_body();
                    let mut lines = Lines::default();
                    while let Some(frame) = body.frame().await {
                        let frame = frame.map_err(|error| wasmtime::Error::msg(error.to_string()))?;
                        for report in lines.add(frame.data_ref().map(|data| &data[..]).unwrap_or_default())? {
                            deadline.extend(self.limit);
                            self.take(report);
                        }
                    }
                    wasmtime::Result::<()>::Ok(())
                };
                tokio::select! {
                    ran = ran => ran,
                    // A test that waits for a timer has no code that could be interrupted.
                    () = deadline.passed() => Err(wasmtime::Error::msg("its time is over")),
                }
            })
            .await;
        match (called.and_then(|called| called), self.running.take()) {
            (Ok(()), None) => Ok(()),
            (Ok(()), Some(running)) => {
                self.stopped(running, "the engine ended before it");
                Ok(())
            }
            (Err(_), Some(running)) if deadline.has_passed() => {
                self.stopped(running, &format!("it did not end within {} seconds", self.timeout.as_secs_f64()));
                Ok(())
            }
            (Err(error), Some(running)) => {
                self.stopped(running, &format!("it ended the engine: {}", error.root_cause()));
                Ok(())
            }
            (Err(error), None) => Err(error.into()),
        }
    }

    fn take(&mut self, report: TestReport) {
        match report {
            TestReport::Begin { name, at } => {
                self.running = Some((name.clone(), at.clone()));
                (self.report)(TestReport::Begin { name, at });
            }
            TestReport::Test(mut result) => {
                self.running = None;
                result.output = self.printed.take();
                (self.report)(TestReport::Test(result));
            }
            other => (self.report)(other),
        }
    }

    /// Reports the test that ended the run.
    fn stopped(&mut self, (name, at): (String, Option<String>), reason: &str) {
        let message = format!("{reason}; no test after it has run");
        (self.report)(TestReport::Test(TestResult {
            name,
            outcome: TestOutcome::Failed,
            milliseconds: None,
            at,
            error: Some(TestError { message, frames: Vec::new() }),
            output: self.printed.take(),
        }));
    }
}

/// Reports that arrive in pieces.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    /// Adds a piece, and returns the reports that are complete.
    fn add(&mut self, piece: &[u8]) -> wasmtime::Result<Vec<TestReport>> {
        // Only the piece is searched: a report may have millions of bytes, and comes in small pieces.
        let Some(end) = piece.iter().rposition(|byte| *byte == b'\n') else {
            self.0.extend_from_slice(piece);
            return Ok(Vec::new());
        };
        self.0.extend_from_slice(&piece[..=end]);
        let complete = std::mem::replace(&mut self.0, piece[end + 1..].to_vec());
        let lines = complete.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let read = |line| serde_json::from_slice(line).map_err(|error| wasmtime::Error::msg(error.to_string()));
        lines.map(read).collect()
    }
}
