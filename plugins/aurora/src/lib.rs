//! Four endpoints for software agents: insights, code review, `.gitignore` files and help with errors.
//!
//! The modules are pure libraries and know nothing of requests or money; this file only has routes, prices and
//! refusals. `check` refuses every request that cannot be answered, before it is paid: an unknown stack, topic,
//! language or error costs nothing.

/// Makes `.gitignore` files.
pub mod gitignore;

/// Explains known errors.
pub mod errors;

/// Practices for operating agents.
pub mod insights;

/// Reviews one source file by static rules.
pub mod review;

use coinslot_sdk::{Deserialize, Json, JsonSchema, Query, Refusal, Text, endpoint};

/// The wanted stacks.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Stacks {
    /// One or more stacks, separated by commas or `+`, for example `rust,node,macos`. Aliases such as `js`,
    /// `py` and `k8s` are understood. An empty value is refused with the list of all stacks.
    #[serde(default)]
    #[schemars(extend("examples" = ["rust", "node,macos"]))]
    stack: String,
}

/// More than a hundred languages, frameworks, tools, editors and systems. A union has a headed section for
/// each, no pattern twice, and negations (`!keep`) that still hold in the merged file. An unknown stack is
/// refused with its nearest names, before payment.
#[endpoint(get, "/api/gitignore", price = "0.01", summary = "A .gitignore for any union of over 100 stacks", check = check_stacks)]
async fn gitignore_file(Query(wanted): Query<Stacks>) -> Result<Text, Refusal> {
    gitignore::parse(&wanted.stack).map(|stacks| Text(gitignore::render(&stacks))).map_err(bad_stacks)
}

fn check_stacks(wanted: &Query<Stacks>) -> Result<(), Refusal> {
    gitignore::parse(&wanted.stack).map(drop).map_err(bad_stacks)
}

fn bad_stacks(problem: gitignore::Problem) -> Refusal {
    Refusal::bad_request(problem.code(), problem.to_string())
}

/// One file of Rust, Python, JavaScript, TypeScript or Go, at most 128 KiB. More than twenty rules for each
/// language and nine for all, on a real tokenizer: strings and comments are never mistaken for code.
/// Findings carry rule, line, column, severity, message and suggestion; the answer adds counts, metrics and
/// a summary. Nothing is executed and nothing is stored.
#[endpoint(post, "/api/code-review", price = "0.05", summary = "Reviews a source file by static rules, with line numbers", check = check_code)]
async fn code_review(Json(submission): Json<review::Submission>) -> Result<Json<review::Review>, Refusal> {
    review::review(&submission).map(Json).map_err(bad_code)
}

fn check_code(submission: &Json<review::Submission>) -> Result<(), Refusal> {
    review::check(submission).map(drop).map_err(bad_code)
}

fn bad_code(problem: review::Problem) -> Refusal {
    Refusal::new(problem.status(), problem.code(), problem.to_string())
}

/// Over 250 well-known errors of Rust, Python, Node, TypeScript, Go, Java, C, Docker, Git, databases, HTTP,
/// TLS, Linux, Kubernetes, and EVM and x402 payments: causes, steps in order, and a command that checks.
/// The steps name the ports, paths and names of your message. An unknown error is refused with 422, before
/// payment.
#[endpoint(post, "/api/debug-error", price = "0.02", summary = "Causes and steps for a known error message", check = check_error)]
async fn debug_error(Json(question): Json<errors::Question>) -> Result<Json<errors::Diagnosis>, Refusal> {
    errors::diagnose(&question).map(Json).map_err(bad_error)
}

fn check_error(question: &Json<errors::Question>) -> Result<(), Refusal> {
    errors::diagnose(question).map(drop).map_err(bad_error)
}

fn bad_error(problem: errors::Problem) -> Refusal {
    Refusal::new(problem.status(), problem.code(), problem.to_string())
}

/// Over fifty practices for operating autonomous agents, each with one thing to do: payments, budgets,
/// retries, context, tooling, monitoring, safety, collaboration, quality, revenue. Filter with `topic`,
/// bound with `limit`. An unknown topic is refused with the list, before payment.
#[endpoint(get, "/api/agent-insights", price = "0.01", summary = "Practices for running autonomous agents, by topic", check = check_filter)]
async fn agent_insights(Query(filter): Query<insights::Filter>) -> Result<Json<insights::Insights>, Refusal> {
    insights::select(&filter).map(Json).map_err(bad_filter)
}

fn check_filter(filter: &Query<insights::Filter>) -> Result<(), Refusal> {
    insights::select(filter).map(drop).map_err(bad_filter)
}

fn bad_filter(problem: insights::Problem) -> Refusal {
    Refusal::bad_request(problem.code(), problem.to_string())
}

#[cfg(test)]
mod tests;
