//! The reasons why a report cannot be made.

/// The reason why a report cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    #[error("there is no ledger at {0}: a host makes it when it first serves")]
    Missing(String),
    #[error("the ledger {path} cannot be read: {reason}")]
    Unreadable { path: String, reason: String },
    #[error("{0} is not a ledger but another program's file")]
    Foreign(String),
    #[error(
        "the ledger {path} has schema version {found}, and this Coinslot reads up to {known}: use the newer Coinslot that wrote it"
    )]
    Newer { path: String, found: i64, known: i64 },
    #[error(
        "the ledger {path} has schema version {found}, and this Coinslot reads {known}: start the host with it once, which upgrades the file"
    )]
    Older { path: String, found: i64, known: i64 },
    #[error("the ledger cannot be read: {0}")]
    Query(String),
    #[error("payment {payment}: `{value}` is no {column}")]
    Malformed { payment: String, column: &'static str, value: String },
    #[error("payments in {asset} to {pay_to} on {network} cannot be compared: it is no EVM network")]
    NotEvm { network: String, asset: String, pay_to: String },
    #[error(
        "the ledger has no payment {payment} after which a list could go on: it was given back or pruned. Begin the list anew, or go on with the `next` of an answer, which stays valid"
    )]
    Gone { payment: String },
    #[error("the sums have more than {0} groups: choose a shorter period, or another property to group by")]
    TooMany(usize),
    #[error("the report was stopped")]
    Stopped,
    #[error("a sum exceeds 256 bits")]
    Overflow,
}

impl From<rusqlite::Error> for ReportError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::OperationInterrupted) => Self::Stopped,
            _ => Self::Query(error.to_string()),
        }
    }
}
