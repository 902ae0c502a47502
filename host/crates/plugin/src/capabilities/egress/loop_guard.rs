//! The servers that a request has been through, so that plugins that call each other in a circle end.

use http::{HeaderMap, HeaderValue};

use super::CDN_LOOP;

/// How this program is called in the trail. All hosts share it, so a circle of several hosts ends too.
const OWN: &str = "coinslot";
/// A request that plugins have passed on so often is not passed on again.
const HOPS: usize = 3;
/// What others wrote is kept up to this size, in bytes.
const OTHERS: usize = 1 << 10;

/// Of one incoming request.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoopGuard {
    hops: usize,
    /// What stood in the header, if anything.
    before: String,
}

impl LoopGuard {
    /// Reads the header of an incoming request.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let lines: Vec<&str> = headers.get_all(CDN_LOOP).iter().filter_map(|value| value.to_str().ok()).collect();
        let before = lines.join(", ");
        let own = |entry: &&str| entry.split(';').next().is_some_and(|id| id.trim().eq_ignore_ascii_case(OWN));
        let hops = before.split(',').filter(own).count();
        let before = if before.len() <= OTHERS { before } else { vec![OWN; hops.min(HOPS)].join(", ") };
        Self { hops, before }
    }

    /// The header of an outgoing request; none if there have been enough.
    pub(crate) fn next(&self) -> Option<HeaderValue> {
        if self.hops >= HOPS {
            return None;
        }
        let comma = if self.before.is_empty() { "" } else { ", " };
        HeaderValue::try_from(format!("{}{comma}{OWN}", self.before)).ok()
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
    fn a_request_is_passed_on_three_times_and_not_more() {
        assert_eq!(next(&[]).unwrap(), "coinslot");
        assert_eq!(next(&["coinslot"]).unwrap(), "coinslot, coinslot");
        assert_eq!(next(&["coinslot, other;v=1", "Coinslot;x"]).unwrap(), "coinslot, other;v=1, Coinslot;x, coinslot");
        assert_eq!(next(&["coinslot, coinslot", "other", "coinslot"]), None);
        assert_eq!(next(&[&format!("{}coinslot", "coinslot,".repeat(2_000))]), None);
    }

    #[test]
    fn what_others_wrote_is_kept_unless_it_is_large() {
        assert_eq!(next(&["a.example; n=2"]).unwrap(), "a.example; n=2, coinslot");
        assert_eq!(next(&[&"x,".repeat(600)]).unwrap(), "coinslot");
    }
}
