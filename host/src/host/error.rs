//! The reasons why a host cannot be built.

use std::io;
use std::path::PathBuf;

/// The reason why a host cannot be built. Each message says what is wrong and, where it can, what to do.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The configuration names something that is missing or contradicts itself: a key, a secret, a certificate, a
    /// facilitator.
    #[error("{0}")]
    Config(String),
    /// A chain or a facilitator does not answer, or does not support what is configured.
    #[error("{0}")]
    Facilitator(String),
    #[error("the plugin runtime cannot start: {0}")]
    Runtime(String),
    #[error("the plugin folder {} cannot be read: {source}", dir.display())]
    PluginFolder { dir: PathBuf, source: io::Error },
    /// A file or a folder of the host's own state.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Ledger(String),
}

impl HostError {
    /// One error for several: that of the configuration, which has to be mended first, or else all of them.
    pub(super) fn joined(mut problems: Vec<Self>) -> Option<Self> {
        if let Some(at) = problems.iter().position(|problem| matches!(problem, Self::Config(_))) {
            return Some(problems.swap_remove(at));
        }
        if problems.len() < 2 {
            return problems.pop();
        }
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Some(Self::Facilitator(said.join("; ")))
    }

    /// An error of the ledger, whose message names its file.
    pub(super) fn ledger(error: impl std::fmt::Display) -> Self {
        Self::Ledger(error.to_string())
    }

    /// An error of one facilitator that its configuration causes.
    pub(super) fn misconfigured(name: &str, problem: impl std::fmt::Display) -> Self {
        Self::Config(format!("facilitator.{name}: {problem}"))
    }

    /// An error of one facilitator that its surroundings cause.
    pub(super) fn unavailable(name: &str, problem: impl std::fmt::Display) -> Self {
        Self::Facilitator(format!("facilitator.{name}: {problem}"))
    }
}
