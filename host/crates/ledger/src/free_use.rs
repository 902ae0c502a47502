//! Free requests: what is counted for them, and how their counting ends.

use std::time::Duration;

use coinslot_x402::UnixTime;

use crate::{ApiKey, Fingerprint, PassQuery, PassRefusal};

/// The proof of who asks for a free request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FreeKind {
    /// An account that has signed in.
    Payer,
    /// The address of the client.
    Address,
    /// Nothing: the allowance is for everybody together.
    Everyone,
    /// A key of the operator's own customer.
    Key,
    /// A pass that a payment has bought.
    Pass,
}

impl FreeKind {
    pub const ALL: [Self; 5] = [Self::Payer, Self::Address, Self::Everyone, Self::Key, Self::Pass];

    /// Its name in the ledger and in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Payer => "payer",
            Self::Address => "address",
            Self::Everyone => "everyone",
            Self::Key => "key",
            Self::Pass => "pass",
        }
    }

    /// The kind of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// So many free requests in a window, which begins with the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeQuota {
    pub requests: u64,
    /// The length of the window. None: it never ends.
    pub every: Option<Duration>,
}

/// A count of free requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeCounter {
    /// The hash of the rule and of who is counted.
    pub id: Fingerprint,
    pub quota: FreeQuota,
    /// Clients can make as many of these counters as they like, so that their number is bounded.
    pub is_per_client: bool,
}

/// A free request that is to be counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeClaim {
    pub kind: FreeKind,
    /// The account, the network of the client, or the name of the key. Of a pass: its payer.
    pub who: String,
    pub plugin: String,
    /// The method and the path template.
    pub endpoint: String,
    /// The id of the HTTP request, as answers, logs and traces have it.
    pub request_id: Option<String>,
    pub grant: FreeGrant,
}

/// The grounds for a free request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FreeGrant {
    /// An allowance: every counter must have one left. The first one is that of the client.
    Counters {
        counters: Vec<FreeCounter>,
        /// A nonce that is good once, until a time.
        nonce: Option<(Vec<u8>, UnixTime)>,
    },
    /// The key with this hash.
    Key(Fingerprint),
    /// A pass.
    Pass(PassQuery),
}

/// The outcome of counting a free request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FreeCounted {
    /// It is counted. The hold ends with [`crate::Ledger::end_free`].
    Counted(FreeHold, Option<FreeLeft>),
    /// None is left.
    Exhausted(FreeLeft),
    /// The nonce was used before.
    NonceUsed,
    /// The key does not count any more.
    KeyGone,
    /// No pass serves it.
    NoPass(PassRefusal),
    /// As many clients are counted as the ledger keeps counts for.
    Full,
}

/// A free request that is counted and whose guest may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FreeHold(pub(crate) i64);

/// The remainder of an allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeLeft {
    pub quota: FreeQuota,
    pub left: u64,
    /// The time at which the window ends. None: never.
    pub resets_at: Option<UnixTime>,
}

/// The end of a free request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreeEnd {
    /// It is answered.
    Served,
    /// The guest ran and did not answer, or answered with a status of 400 or above, or its answer broke off, also after
    /// [`Self::Served`]. It is given back, but not oftener in a window than there are requests in it: a client could
    /// have guests run for ever otherwise.
    Failed,
    /// The guest did not run. It is given back.
    NotRun,
    /// The client left before its answer.
    HungUp,
    /// The host has ended before the whole answer, also after [`Self::Served`]. It is given back.
    Interrupted,
}

impl FreeEnd {
    /// Its name in the ledger and in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Failed => "failed",
            Self::NotRun => "not_run",
            Self::HungUp => "hung_up",
            Self::Interrupted => "interrupted",
        }
    }
}

/// The state of a key, as a request finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyLookup {
    pub key: ApiKey,
    /// The remainder of its quota. None: it has none.
    pub left: Option<FreeLeft>,
}
