//! Tells a client how an answer grows while it is written.

use bytes::Bytes;
use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::Peer;

/// The longest text of one notice of progress, in bytes.
const MAX_NOTICE: usize = 16 << 10;

/// Sends the pieces of an answer to the client while it is written.
pub(super) struct Progress {
    peer: Peer<RoleServer>,
    token: ProgressToken,
    /// The bytes so far.
    pub(super) sent: usize,
}

impl Progress {
    pub(super) fn new(peer: Peer<RoleServer>, token: ProgressToken) -> Self {
        Self { peer, token, sent: 0 }
    }

    /// Sends one piece, in several notices if it is long. The progress is the number of bytes so far.
    pub(super) async fn send(&mut self, piece: &Bytes) {
        for part in piece.chunks(MAX_NOTICE) {
            self.sent += part.len();
            // Far fewer bytes than a float counts exactly.
            let sent = self.sent as f64;
            let text = String::from_utf8_lossy(part);
            let notice = ProgressNotificationParam::new(self.token.clone(), sent).with_message(text);
            // A client that has left is noticed elsewhere.
            let _ = self.peer.notify_progress(notice).await;
        }
    }
}
