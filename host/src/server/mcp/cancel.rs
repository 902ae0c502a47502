//! Knows the calls that a client can cancel: those at work for clients that `initialize` has named.
//!
//! A name is 128 random bits, so that nobody else can cancel a call. Names are not kept: a call at work is.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rmcp::model::NumberOrString;
use tokio_util::sync::CancellationToken;

/// The longest name of a client that is taken. Those that are given are shorter.
pub(super) const MAX_SESSION: usize = 64;

/// The calls at work, by the name of their client and their id.
#[derive(Debug, Default)]
pub(super) struct CallsAtWork(Mutex<HashMap<String, Vec<(NumberOrString, CancellationToken)>>>);

/// A call at work, until this is dropped.
#[derive(Debug)]
pub(super) struct CallAtWork {
    calls: Arc<CallsAtWork>,
    session: String,
    id: NumberOrString,
    pub(super) cancelled: CancellationToken,
}

/// The name of a new client.
pub(super) fn new_session() -> String {
    hex::encode(secp256k1::rand::random::<[u8; 16]>())
}

impl CallsAtWork {
    /// Notes a call of a client.
    pub(super) fn begin(self: &Arc<Self>, session: &str, id: NumberOrString) -> CallAtWork {
        let cancelled = CancellationToken::new();
        self.0.lock().entry(session.to_owned()).or_default().push((id.clone(), cancelled.clone()));
        CallAtWork { calls: Arc::clone(self), session: session.to_owned(), id, cancelled }
    }

    /// Cancels one call of a client. A client gives each of its calls an id of its own.
    pub(super) fn cancel(&self, session: &str, id: &NumberOrString) {
        let calls = self.0.lock();
        calls.get(session).into_iter().flatten().filter(|(other, _)| other == id).for_each(|(_, token)| token.cancel());
    }

    /// Cancels all calls of a client.
    pub(super) fn cancel_all(&self, session: &str) {
        self.0.lock().get(session).into_iter().flatten().for_each(|(_, token)| token.cancel());
    }
}

impl Drop for CallAtWork {
    fn drop(&mut self) {
        let mut calls = self.calls.0.lock();
        if let Some(of_client) = calls.get_mut(&self.session) {
            if let Some(at) = of_client.iter().position(|(id, _)| *id == self.id) {
                of_client.swap_remove(at);
            }
            if of_client.is_empty() {
                calls.remove(&self.session);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_cancels_its_own_calls_and_ended_ones_are_forgotten() {
        let calls = Arc::<CallsAtWork>::default();
        let (one, two) = (new_session(), new_session());
        assert!(one != two && one.len() <= MAX_SESSION);
        let id = NumberOrString::Number(1);
        let (first, other) = (calls.begin(&one, id.clone()), calls.begin(&two, id.clone()));
        let second = calls.begin(&one, NumberOrString::Number(2));
        calls.cancel(&one, &id);
        assert!(first.cancelled.is_cancelled() && !other.cancelled.is_cancelled() && !second.cancelled.is_cancelled());
        calls.cancel_all(&one);
        assert!(second.cancelled.is_cancelled() && !other.cancelled.is_cancelled());
        drop((first, second, other));
        assert!(calls.0.lock().is_empty());
    }
}
