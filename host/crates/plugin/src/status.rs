//! Classifies a guest's status code. The consequences are decided outside of this package.

use crate::fault::Fault;

/// A guest's own judgement of its work, by the status of its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Below 400: the work is done.
    Done,
    /// 400 and above: the work is not done.
    Failed,
    /// 402, which only the host may send: the guest breaks its contract.
    Forbidden,
}

impl Verdict {
    /// Reads the status of a response.
    pub fn of(status: u16) -> Self {
        match status {
            402 => Self::Forbidden,
            400.. => Self::Failed,
            _ => Self::Done,
        }
    }
}

/// Checks the status of a quote's refusal: a fault of the client's, from 400 to 499.
pub(crate) fn refusal(status: u16) -> Result<u16, Fault> {
    match (Verdict::of(status), status) {
        (Verdict::Failed, ..=499) => Ok(status),
        _ => Err(Fault::NoResponse(format!("it refused with status {status}: use one from 400 to 499, but not 402"))),
    }
}
