//! Defines the reports of a plugin's own tests. Each runner writes them as lines of JSON, as soon as they are known.

use serde::Deserialize;

/// A report of a run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum TestReport {
    /// The run begins, with this many tests.
    Start { tests: usize },
    /// A test begins.
    Begin {
        name: String,
        #[serde(default)]
        at: Option<String>,
    },
    /// A test has ended.
    Test(TestResult),
    /// Every test has ended.
    End { passed: usize, failed: usize, skipped: usize },
}

/// The end of one test.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TestResult {
    pub name: String,
    pub outcome: TestOutcome,
    #[serde(default)]
    pub milliseconds: Option<f64>,
    /// The place of the test, as `plugin.test.ts:7:3`.
    #[serde(default)]
    pub at: Option<String>,
    #[serde(default)]
    pub error: Option<TestError>,
    /// The output of the test and the plugin.
    #[serde(default)]
    pub output: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TestOutcome {
    Passed,
    Failed,
    Skipped,
}

/// The reason of a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct TestError {
    /// It may have several lines.
    pub message: String,
    /// Frames of the author, the innermost first, as `at plugin.test.ts:13:13`.
    #[serde(default)]
    pub frames: Vec<String>,
}
