//! Declares the contract calls that go through the sequencer, and reports their progress to their callers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::call_error::CallError;
use crate::receipt::TxReceipt;

/// A contract call that changes the chain.
#[derive(Clone, Debug)]
pub struct TxCall {
    pub to: Address,
    pub data: Bytes,
    /// Gives the call a transaction of its own. It is for calls that may take more gas than they need when they are
    /// simulated, at the cost of their neighbours.
    pub alone: bool,
    /// The most gas that a transaction of its own is given. None: the limit of all transactions.
    pub max_gas: Option<u64>,
}

/// The transaction of a call, in a block.
#[derive(Clone, Debug)]
pub struct Inclusion {
    pub receipt: Arc<TxReceipt>,
    /// The transaction made several calls. Its success then says nothing about this one.
    pub shared: bool,
}

/// The reason for which a call was not sent, and will not be. Each is a proof: where a node may have the transaction
/// all the same, the end is [`TxStatus::Abandoned`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The contract would revert.
    #[error("the transaction would revert: {0}")]
    Reverts(String),
    /// Our account, our limits or the node do not allow it.
    #[error("the transaction cannot be sent: {0}")]
    Refused(String),
    /// The node did not answer before anything was sent.
    #[error("{0}")]
    Unreachable(CallError),
}

/// The state of a call after a wait.
#[derive(Clone, Debug)]
pub enum TxStatus {
    Included(Inclusion),
    NotSent(SendError),
    /// The end is not known yet: the hash of the newest transaction, once there is one. The call may be waited for
    /// again.
    Pending(Option<B256>),
    /// Nothing follows the call any more, and a node may have a transaction of it, whose hash was the last one known.
    Abandoned {
        transaction: Option<B256>,
        why: String,
    },
}

/// A handle on a call that was submitted. Dropping it does not stop the call.
#[derive(Clone, Debug)]
pub struct TxHandle {
    progress: watch::Receiver<CallProgress>,
}

impl TxHandle {
    /// Waits for the end of the call, at most this long. The call goes on in any case.
    pub async fn wait(&self, at_most: Duration) -> TxStatus {
        let mut progress = self.progress.clone();
        let ended = tokio::time::timeout(at_most, progress.wait_for(CallProgress::is_end)).await;
        // The sender is dropped with the call; if the last progress is no end, no task follows the call any more.
        let abandoned = matches!(ended, Ok(Err(_)));
        drop(ended);
        match (progress.borrow().clone(), abandoned) {
            (CallProgress::Included(inclusion), _) => TxStatus::Included(inclusion),
            (CallProgress::NotSent(error), _) => TxStatus::NotSent(error),
            (CallProgress::Doubtful { transaction, why }, _) => {
                TxStatus::Abandoned { transaction: Some(transaction), why }
            }
            (CallProgress::Queued, false) => TxStatus::Pending(None),
            (CallProgress::Sent(hash), false) => TxStatus::Pending(Some(hash)),
            (CallProgress::Queued, true) => TxStatus::Abandoned { transaction: None, why: stopped() },
            (CallProgress::Sent(hash), true) => TxStatus::Abandoned { transaction: Some(hash), why: stopped() },
        }
    }
}

fn stopped() -> String {
    "the sequencer stopped before the transaction was in a block".to_owned()
}

#[derive(Clone, Debug)]
pub(super) enum CallProgress {
    Queued,
    /// The node may have the transaction with this hash, the newest of the call.
    Sent(B256),
    Included(Inclusion),
    NotSent(SendError),
    /// It is given up, and a node may have this transaction.
    Doubtful {
        transaction: B256,
        why: String,
    },
}

impl CallProgress {
    fn is_end(&self) -> bool {
        matches!(self, Self::Included(_) | Self::NotSent(_) | Self::Doubtful { .. })
    }
}

/// The number of calls that one lane has taken and not ended.
pub(super) type OpenCalls = Arc<AtomicUsize>;

/// A call that was submitted. It counts as open until it is dropped.
#[derive(Debug)]
pub(super) struct QueuedCall {
    pub(super) call: TxCall,
    /// Times that the transaction of the call lost its nonce to a foreign one.
    pub(super) nonces_lost: u32,
    /// The last transaction of the call that a node may have, although the call is not followed by it any more.
    pub(super) perhaps_sent: Option<B256>,
    pub(super) since: Instant,
    progress: watch::Sender<CallProgress>,
    open: OpenCalls,
}

impl QueuedCall {
    pub(super) fn new(call: TxCall, open: OpenCalls) -> (Self, TxHandle) {
        open.fetch_add(1, Ordering::Relaxed);
        let (sender, progress) = watch::channel(CallProgress::Queued);
        let queued = Self { call, nonces_lost: 0, perhaps_sent: None, since: Instant::now(), progress: sender, open };
        (queued, TxHandle { progress })
    }

    pub(super) fn report(&self, progress: CallProgress) {
        self.progress.send_replace(progress);
    }

    pub(super) fn end(self, progress: CallProgress) {
        self.report(progress);
    }

    /// Ends a call that is not sent now. It counts as not sent only if no node may have an earlier transaction of it.
    pub(super) fn give_up(self, error: SendError) {
        self.report(match self.perhaps_sent {
            None => CallProgress::NotSent(error),
            Some(transaction) => CallProgress::Doubtful { transaction, why: error.to_string() },
        });
    }
}

impl Drop for QueuedCall {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Ends every call with this error.
pub(super) fn end_all(calls: Vec<QueuedCall>, error: &SendError) {
    for call in calls {
        call.give_up(error.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_that_a_node_may_have_is_never_called_unsent() {
        let call = TxCall { to: Address::ZERO, data: Bytes::new(), alone: false, max_gas: None };
        let refused = || SendError::Refused("no money".to_owned());
        let (queued, handle) = QueuedCall::new(call.clone(), OpenCalls::default());
        queued.give_up(refused());
        assert!(matches!(handle.wait(Duration::ZERO).await, TxStatus::NotSent(error) if error == refused()));
        let (mut queued, handle) = QueuedCall::new(call, OpenCalls::default());
        queued.perhaps_sent = Some(B256::repeat_byte(1));
        queued.give_up(refused());
        let status = handle.wait(Duration::ZERO).await;
        assert!(matches!(status, TxStatus::Abandoned { transaction, .. } if transaction == Some(B256::repeat_byte(1))));
    }
}
