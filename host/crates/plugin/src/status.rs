//! What a guest says by a status code. What follows from it is decided elsewhere.

use crate::Fault;

/// What the status of an answer says about the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Below 400: it is done.
    Done,
    /// 400 and above: it is not done.
    Failed,
    /// 402, which is the host's word: the guest breaks its contract.
    Forbidden,
}

impl Verdict {
    /// Reads an answer's status.
    pub fn of(status: u16) -> Self {
        match status {
            402 => Self::Forbidden,
            400.. => Self::Failed,
            _ => Self::Done,
        }
    }
}

/// The status of a refusal: the asker's fault, from 400 to 499.
pub(crate) fn refusal(status: u16) -> Result<u16, Fault> {
    match (Verdict::of(status), status) {
        (Verdict::Failed, ..=499) => Ok(status),
        _ => Err(Fault::NoResponse(format!("it refused with status {status}: use one from 400 to 499, but not 402"))),
    }
}
