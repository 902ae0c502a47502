//! Why there is no guest, or no answer from it.

use std::time::Duration;

/// Why a guest gave no usable answer. Nothing it said reaches a client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It trapped or exited; the text is for the operator's log.
    #[error("the plugin trapped: {0}")]
    Trap(String),
    /// It used up its CPU time.
    #[error("the plugin used more CPU time than its limit")]
    Cpu,
    /// It took too long.
    #[error("the plugin took longer than its limit")]
    Deadline,
    /// It wanted more memory than its limit.
    #[error("the plugin wanted more memory than its limit")]
    Memory,
    /// Its answer was larger than its limit.
    #[error("the plugin's answer is larger than its limit")]
    ResponseTooLarge,
    /// It returned without an answer, or with one that HTTP forbids.
    #[error("the plugin gave no valid response: {0}")]
    NoResponse(String),
    /// As many instances as allowed are running.
    #[error("the plugin is at its limit of instances")]
    Busy,
    /// It waited for a request's body that did not come in time: no fault of the guest's.
    #[error("the request's body did not come in time")]
    SlowRequest,
    /// Its answer was not read for too long: no fault of the guest's.
    #[error("the client did not take the answer in time")]
    Unread,
    /// It failed again and again, and is left alone for so long.
    #[error("the plugin failed again and again and is left alone")]
    CircuitOpen { retry: Duration },
}

/// Whether a plugin is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// It is, as far as is known.
    Closed,
    /// It failed again and again: it is left alone for so long, or another request is trying it.
    Open { retry: Duration },
}

/// Why a component cannot be loaded. The sentence says what to do; it is for operators and authors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Not a component, or not one that this host can run.
    #[error("{0}")]
    Invalid(String),
    /// `describe` failed, refused, or said something that breaks the contract.
    #[error("{0}")]
    Describe(String),
}
