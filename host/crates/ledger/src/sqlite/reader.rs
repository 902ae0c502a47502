//! The reader thread, which answers questions from the last commit without waiting for the next one.

use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::open;
use crate::LedgerError;

/// The sending side of the reader thread. The thread ends when this is dropped and every question is answered.
#[derive(Debug)]
pub(super) struct LookupThread {
    questions: mpsc::Sender<Question>,
}

/// One question, which answers its caller itself.
type Question = Box<dyn FnOnce(&Connection) + Send>;

impl LookupThread {
    /// Starts the thread, with a connection that cannot write.
    pub(super) fn start(path: &Path) -> Result<(Self, JoinHandle<()>), LedgerError> {
        let connection = open::open_to_read(path)?;
        let (questions, queue) = mpsc::channel::<Question>();
        let thread = std::thread::Builder::new()
            .name("ledger-reader".to_owned())
            .spawn(move || {
                for question in queue {
                    question(&connection);
                }
            })
            .map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        Ok((Self { questions }, thread))
    }

    /// Asks one question, which should be a look-up by an index: others wait for its end.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let stopped = || LedgerError::Unavailable("the ledger's reader has stopped: restart the host".to_owned());
        let (reply, answer) = oneshot::channel();
        let question: Question = Box::new(move |connection| {
            // The caller may have been dropped.
            let _ = reply.send(read(connection));
        });
        self.questions.send(question).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}
