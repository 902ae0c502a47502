//! Passes: what a settled payment buys beside its answer, so many further requests to its endpoint within a time.
//!
//! The terms of a pass stand in the row of the claim, and the commit that writes down the settlement makes the pass: no
//! crash between the two leaves a payer without it. A pass counts while its payment is settled or delivered; one whose
//! payment is owed, or was paid back, does not.

use std::fmt;
use std::time::Duration;

use coinslot_base::units::shown_duration;
use coinslot_x402::price::Amount;
use coinslot_x402::{Network, UnixTime};

use crate::{Fingerprint, FreeLeft};

/// The extent of a pass: so many requests within so many seconds from the settlement on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PassTerms {
    seconds: u64,
    requests: u64,
}

/// Why a text or two numbers are no terms of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassTermsError {
    #[error("write the time and the number of requests, such as `seconds=3600; requests=100`")]
    Malformed,
    #[error("`seconds` is from 1 to {}", PassTerms::MAX_SECONDS)]
    Seconds,
    #[error("`requests` is from 1 to {}", PassTerms::MAX_REQUESTS)]
    Requests,
}

impl PassTerms {
    /// 366 days. The row of the payment is kept for as long as its pass.
    pub const MAX_SECONDS: u64 = 366 * 86_400;
    pub const MAX_REQUESTS: u64 = 1_000_000;

    pub fn new(seconds: u64, requests: u64) -> Result<Self, PassTermsError> {
        if !(1..=Self::MAX_SECONDS).contains(&seconds) {
            return Err(PassTermsError::Seconds);
        }
        if !(1..=Self::MAX_REQUESTS).contains(&requests) {
            return Err(PassTermsError::Requests);
        }
        Ok(Self { seconds, requests })
    }

    /// Reads `seconds=3600; requests=100`: both words once, in any order, with spaces around them.
    pub fn parse(text: &str) -> Result<Self, PassTermsError> {
        let (mut seconds, mut requests) = (None, None);
        for part in text.split(';') {
            let (name, number) = part.split_once('=').ok_or(PassTermsError::Malformed)?;
            let number = number.trim();
            if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(PassTermsError::Malformed);
            }
            let slot = match name.trim() {
                "seconds" => &mut seconds,
                "requests" => &mut requests,
                _ => return Err(PassTermsError::Malformed),
            };
            // A number that is too large for its type is out of its range.
            if slot.replace(number.parse().unwrap_or(u64::MAX)).is_some() {
                return Err(PassTermsError::Malformed);
            }
        }
        Self::new(seconds.ok_or(PassTermsError::Malformed)?, requests.ok_or(PassTermsError::Malformed)?)
    }

    /// The text that [`Self::parse`] reads.
    pub fn written(self) -> String {
        format!("seconds={}; requests={}", self.seconds, self.requests)
    }

    pub fn seconds(self) -> u64 {
        self.seconds
    }

    pub fn requests(self) -> u64 {
        self.requests
    }
}

impl fmt::Display for PassTerms {
    /// `100 requests in 1h`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests = if self.requests == 1 { "request" } else { "requests" };
        write!(f, "{} {requests} in {}", self.requests, shown_duration(Duration::from_secs(self.seconds)))
    }
}

/// The pass that a claim buys if its payment is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoldPass {
    pub terms: PassTerms,
    /// The hash of the token that a browser shows instead of a signature.
    pub token: Fingerprint,
}

/// A request that asks for the use of a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassQuery {
    pub proof: PassProof,
    pub plugin: String,
    /// The method and the path template.
    pub endpoint: String,
    /// The prices of this very request, where its plugin quotes it: the payment of the pass must have been at least one
    /// of them.
    pub price: Option<Vec<PassPrice>>,
}

/// A price of a request, which the payment of a pass is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassPrice {
    pub network: Network,
    pub asset: String,
    pub amount: Amount,
}

/// The proof that a request is of the holder of a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassProof {
    /// An account that has signed in.
    Account {
        /// In lower case.
        payer: String,
        /// Only passes of this network: a contract that accepts a signature on one network says nothing of another.
        only_on: Option<Network>,
        /// A nonce that is good once, until a time.
        nonce: (Vec<u8>, UnixTime),
    },
    /// The hash of the token of a browser.
    Token(Fingerprint),
}

/// The result of a look for a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassFound {
    /// A use is left.
    Left { network: Network, payer: String, left: FreeLeft },
    /// None is.
    Refused(PassRefusal),
}

/// The reason why no pass serves a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassRefusal {
    /// The holder has bought none for this endpoint, or so long ago that its row is pruned.
    Unknown,
    Expired,
    UsedUp,
    /// Its payment is owed an answer, or was paid back.
    Ended,
    /// Its payment was below the price of this request.
    BelowPrice,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_written_and_read_in_one_grammar() {
        let terms = PassTerms::new(3_600, 100).expect("terms");
        assert_eq!(PassTerms::parse(&terms.written()), Ok(terms));
        assert_eq!(terms.to_string(), "100 requests in 1h");
        for text in ["requests=100;seconds=3600", " seconds = 3600 ; requests = 100 ", "seconds=03600;requests=100"] {
            assert_eq!(PassTerms::parse(text), Ok(terms), "{text}");
        }
        for (text, problem) in [
            ("", PassTermsError::Malformed),
            ("3600/100", PassTermsError::Malformed),
            ("seconds=3600", PassTermsError::Malformed),
            ("seconds=3600;seconds=3600", PassTermsError::Malformed),
            ("seconds=3600;requests=100;", PassTermsError::Malformed),
            ("seconds=3600;requests=100;more=1", PassTermsError::Malformed),
            ("seconds=+3600;requests=100", PassTermsError::Malformed),
            ("seconds=1h;requests=100", PassTermsError::Malformed),
            ("seconds=0;requests=100", PassTermsError::Seconds),
            ("seconds=31622401;requests=100", PassTermsError::Seconds),
            ("seconds=99999999999999999999999;requests=100", PassTermsError::Seconds),
            ("seconds=3600;requests=0", PassTermsError::Requests),
            ("seconds=3600;requests=1000001", PassTermsError::Requests),
        ] {
            assert_eq!(PassTerms::parse(text), Err(problem), "{text:?}");
        }
    }
}
