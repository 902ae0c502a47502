//! Failures of guests and of components.

use std::time::Duration;

use crate::instance::host_memory::HOST_MEMORY;

/// The reason why a guest gave no usable response. No text of a guest's reaches a client through it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The guest trapped or exited. The text is for the operator's log: the cause in the first line, and the backtrace
    /// in the others.
    #[error("the plugin trapped: {}", .0.lines().next().unwrap_or_default())]
    Trap(String),
    /// The guest's code ended with an error that it does not handle. Its SDK survived that, wrote the error into the
    /// plugin's log, and answered status 500 with the field [`FAILED`](crate::FAILED).
    #[error("the plugin's code ended with an error, which is in the plugin's log")]
    Error,
    /// The guest used up its CPU time.
    #[error("the plugin used more CPU time than its limit")]
    Cpu,
    /// The guest took too long to the head of its response.
    #[error("the plugin took longer than its limit")]
    Deadline,
    /// The guest took too long to the end of its response.
    #[error("the plugin took longer than its limit for a whole answer")]
    TotalTime,
    /// `quote` took longer than the contract allows. The text says what it exceeded.
    #[error("{0}")]
    SlowQuote(String),
    /// The guest asked for more memory than its limit.
    #[error("the plugin wanted more memory than its limit")]
    Memory,
    /// The host would have kept more for the guest's handles than it does: header fields, and messages that are not
    /// sent.
    #[error("the plugin made more headers and unsent messages than the host keeps for one request ({} KiB)", HOST_MEMORY >> 10)]
    HostMemory,
    /// The guest asked for more memory than the other instances of its plugin have left.
    #[error("the plugin's instances wanted more memory than their limit")]
    PluginMemory,
    /// The response is larger than its limit.
    #[error("the plugin's answer is larger than its limit")]
    ResponseTooLarge,
    /// The guest returned without a response, or with one that HTTP forbids.
    #[error("the plugin gave no valid response: {0}")]
    NoResponse(String),
    /// No instance was free in time: as many as allowed are running, of the plugin or of all plugins together, or they
    /// have as much memory as allowed.
    #[error("no instance was free in time: the plugin is at its limit of instances or of their memory, or all are")]
    Busy,
    /// The guest waited for a request body that did not come in time. The guest is not at fault.
    #[error("the request's body did not come in time")]
    SlowRequest,
    /// The request's body ended early, and the guest did not survive that. Any client can send such a body, so the guest
    /// is not at fault. The text is that of the guest's own fault.
    #[error("the request's body ended early, and the plugin failed over it: {0}")]
    RequestEndedEarly(String),
    /// The request's body is larger than its limit, and the guest did not survive that: as with
    /// [`Fault::RequestEndedEarly`].
    #[error("the request's body is too large, and the plugin failed over it: {0}")]
    RequestTooLarge(String),
    /// The response was not read for too long. The guest is not at fault.
    #[error("the client did not take the answer in time")]
    Unread,
    /// The plugin failed repeatedly, and its circuit is open for this long.
    #[error("the plugin failed repeatedly and its circuit is open")]
    CircuitOpen { retry: Duration },
    /// The operator has paused the plugin.
    #[error("the plugin is paused")]
    Paused,
}

impl Fault {
    /// The backtrace of a trap, in one line. Its module offsets mean something to the plugin's author alone, so it is
    /// not part of the fault's text, which is also the reason in the ledger.
    pub fn backtrace(&self) -> Option<String> {
        let Self::Trap(text) = self else { return None };
        let (_, frames) = text.split_once('\n')?;
        Some(frames.lines().map(str::trim).collect::<Vec<_>>().join("; "))
    }
}

/// The state of one of a plugin's circuits, for callers that send no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// Requests are answered.
    Closed,
    /// Requests are refused for this long, or until the trial request that runs has ended.
    Open { retry: Duration },
    /// Requests are refused until the operator resumes the plugin.
    Paused,
}

/// The reason why a component cannot be loaded. The sentence says what to do; it is for operators and authors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Not a component, or not one that this host can run.
    #[error("{0}")]
    Invalid(String),
    /// `describe` failed, refused, or broke the contract.
    #[error("{0}")]
    Describe(String),
    /// Something outside of the component failed: the disk, the compiler's process, a machine that is too busy. The
    /// same bytes may load later.
    #[error("{0}")]
    Unavailable(String),
}
