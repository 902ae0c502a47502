//! The commands, one file each. What they share: how they fail, and how a host is put together.

pub mod check;

pub mod compile;

#[cfg(feature = "dev")]
pub mod dev;

pub mod facilitator;

pub mod inspect;

pub mod ledger;

pub mod pay;

pub mod plugins;

pub mod serve;

mod assemble;
mod signals;

/// How a command ends when it does not succeed: exit code and one message for stderr. 1 is a
/// failure, 2 wrong usage; a command documents any other code of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub code: u8,
    pub message: String,
}

impl Failure {
    /// The command did not do what it should.
    pub fn new(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// The arguments make no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }
}
