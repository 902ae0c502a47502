//! Chooses how many blocks one question for logs spans.
//!
//! Nodes limit the range, at 10 to 10,000 blocks or by the size of the answer, and a refusal does not say which. So a
//! range that is refused is asked for again in halves, and after some answers it may grow again.

use std::time::Duration;

use crate::call_error::CallError;

/// Answers in a row after which the span is doubled.
const ANSWERS_BEFORE_DOUBLING: u32 = 8;

/// The pause after a refusal, which may be about the number of requests.
const PAUSE: Duration = Duration::from_millis(100);

/// The span of the next question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogSpan {
    most: u64,
    blocks: u64,
    answers: u32,
}

impl LogSpan {
    /// Begins with the most blocks that may be asked for at once.
    pub(crate) fn new(most: u64) -> Self {
        let most = most.max(1);
        Self { most, blocks: most, answers: 0 }
    }

    /// The number of blocks to ask for: at least 1.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Learns from the answer to a question for this many blocks. None after a refusal: the question is to be asked
    /// again for fewer blocks. A refusal of one block is an error.
    pub(crate) async fn learn<T>(&mut self, asked: u64, answer: Result<T, CallError>) -> Result<Option<T>, CallError> {
        match answer {
            Ok(answer) => {
                self.answers += 1;
                if self.answers >= ANSWERS_BEFORE_DOUBLING {
                    self.answers = 0;
                    self.blocks = self.blocks.saturating_mul(2).min(self.most);
                }
                Ok(Some(answer))
            }
            Err(CallError::Refused(reason)) if asked > 1 => {
                tracing::debug!(reason, asked, "the node refused a range of blocks");
                self.answers = 0;
                self.blocks = (asked.min(self.blocks) / 2).max(1);
                tokio::time::sleep(PAUSE).await;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refused_range_is_halved_and_grows_again() {
        let mut span = LogSpan::new(2_000);
        let refusal = || Err::<(), _>(CallError::Refused("ranges over 10 blocks are not supported".to_owned()));
        while span.blocks() > 10 {
            assert_eq!(span.learn(span.blocks(), refusal()).await, Ok(None));
        }
        let small = span.blocks();
        for _ in 0..ANSWERS_BEFORE_DOUBLING {
            assert_eq!(span.learn(small, Ok(())).await, Ok(Some(())));
        }
        assert_eq!(span.blocks(), 2 * small);
        assert_eq!(span.learn(1, refusal()).await, refusal().map(Some), "one block cannot be halved");
    }
}
