//! Counts the servers that a request has been through (`CDN-Loop`, RFC 8586), so that plugins that call each other in a
//! circle come to an end.

use http::{HeaderMap, HeaderValue};

use crate::headers::CDN_LOOP;

/// The identifier of this program in the header. All hosts share it, so that a circle of several hosts ends, too.
const OWN: &str = "coinslot";
/// The most entries of this program in a request that is passed on.
const HOPS: usize = 3;
/// The most bytes of other servers' entries that are kept.
const OTHERS: usize = 1 << 10;

/// The servers that one incoming request has been through.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoopGuard {
    hops: usize,
    /// The header as it came, or empty.
    received: String,
}

impl LoopGuard {
    /// Reads the header of an incoming request.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let lines: Vec<&str> = headers.get_all(CDN_LOOP).iter().filter_map(|value| value.to_str().ok()).collect();
        let received = lines.join(", ");
        let own = |entry: &&str| entry.split(';').next().is_some_and(|id| id.trim().eq_ignore_ascii_case(OWN));
        let hops = received.split(',').filter(own).count();
        // A header that is too long is cut to this program's own entries: the count is what ends a circle.
        let received = if received.len() <= OTHERS { received } else { vec![OWN; hops.min(HOPS)].join(", ") };
        Self { hops, received }
    }

    /// The header of an outgoing request. None if the request has been passed on often enough.
    pub(crate) fn next(&self) -> Option<HeaderValue> {
        if self.hops >= HOPS {
            return None;
        }
        let comma = if self.received.is_empty() { "" } else { ", " };
        HeaderValue::try_from(format!("{}{comma}{OWN}", self.received)).ok()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn next(lines: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CDN_LOOP, HeaderValue::try_from(*line).unwrap());
        }
        LoopGuard::of(&headers).next().map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_request_is_passed_on_at_most_three_times() {
        assert_eq!(next(&[]).unwrap(), "coinslot");
        assert_eq!(next(&["coinslot"]).unwrap(), "coinslot, coinslot");
        assert_eq!(next(&["coinslot, other;v=1", "Coinslot;x"]).unwrap(), "coinslot, other;v=1, Coinslot;x, coinslot");
        assert_eq!(next(&["coinslot, coinslot", "other", "coinslot"]), None);
        assert_eq!(next(&[&format!("{}coinslot", "coinslot,".repeat(2_000))]), None);
    }

    #[test]
    fn entries_of_other_servers_are_kept_unless_they_are_large() {
        assert_eq!(next(&["a.example; n=2"]).unwrap(), "a.example; n=2, coinslot");
        assert_eq!(next(&[&"x,".repeat(600)]).unwrap(), "coinslot");
    }
}
