//! Reads what an origin publishes about its endpoints: `/openapi.json`, `/.well-known/x402` and `/catalog.json`.

use serde_json::Value;

use super::client::{Answer, Unanswered};

/// A document, or the reason why there is none.
pub(super) type FetchedDocument = Result<Value, NoDocument>;

/// The documents of an origin.
#[derive(Clone, Debug)]
pub struct Documents {
    pub openapi: FetchedDocument,
    pub well_known: FetchedDocument,
    pub catalog: FetchedDocument,
}

/// The reason why a document is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDocument {
    #[error("there is none")]
    Missing,
    #[error("the server answers {0}")]
    Status(u16),
    #[error("it is no JSON: {0}")]
    NotJson(String),
    #[error("it has more than 8 MiB, or breaks off")]
    NotWhole,
    #[error("{0}")]
    Unanswered(#[from] Unanswered),
}

impl NoDocument {
    /// Reads a document out of an answer.
    pub(super) fn or_json(answer: Result<Answer, Unanswered>) -> FetchedDocument {
        let answer = answer?;
        match answer.status {
            200 => {}
            404 | 410 => return Err(Self::Missing),
            status => return Err(Self::Status(status)),
        }
        if !answer.is_whole {
            return Err(Self::NotWhole);
        }
        serde_json::from_slice(&answer.body).map_err(|error| Self::NotJson(error.to_string()))
    }
}
