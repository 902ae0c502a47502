//! Repeats failed requests.
//!
//! Invariant: what may have taken effect is repeated only if it may take effect twice.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, Method, Request, Response, StatusCode};

use super::HttpError;
use crate::body::Body;
use crate::log;

/// The first wait, half of which is random, so that plugins that failed together do not come back together.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait of our own. Several of them fit into the host's limit on a request (30 seconds).
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// The longest wait that another server may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(5);

/// The attempts at one request.
pub(super) struct Attempts {
    /// The request, for the log.
    name: String,
    /// The repetitions that are left.
    left: u32,
    /// The next wait.
    wait: Duration,
}

impl Attempts {
    /// The attempts at a request that is to be repeated up to `retries` times.
    pub(super) fn of(request: &Request<Body>, retries: u32) -> Self {
        let may_repeat = match *request.method() {
            Method::POST | Method::PATCH => request.headers().contains_key("idempotency-key"),
            _ => true,
        };
        let name = format!("{} {}", request.method(), request.uri().host().unwrap_or_default());
        Self { name, left: if may_repeat { retries } else { 0 }, wait: FIRST_WAIT }
    }

    /// The request once more; none if it cannot be repeated.
    pub(super) fn copy(&self, request: &Request<Body>) -> Option<Request<Body>> {
        let body = request.body().whole().filter(|_| self.left > 0)?;
        let mut copy = Request::new(Body::from(body.clone()));
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        Some(copy)
    }

    /// The wait before the next attempt; none if this one is the last.
    pub(super) fn wait_after(&mut self, sent: &Result<Response<Body>, HttpError>) -> Option<Duration> {
        let (reason, asked) = match sent {
            Err(error @ HttpError::Failed(_)) => (log::chain(error), None),
            Ok(response) if is_passing(response.status()) => {
                (format!("status {}", response.status()), retry_after(response.headers()))
            }
            Ok(_) | Err(_) => return None,
        };
        if asked.is_some_and(|asked| asked > LONGEST_RETRY_AFTER) {
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        let own = self.wait;
        self.wait = LONGEST_WAIT.min(self.wait * 2);
        let wait = asked.unwrap_or_else(|| own / 2 + random_part(own / 2));
        log::warn(format_args!("{}: {reason}; again in {} ms", self.name, wait.as_millis()));
        Some(wait)
    }
}

/// True for a status that another attempt may not have.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// The time that the answer asks to wait, if it is in seconds (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// A random time up to `most`.
fn random_part(most: Duration) -> Duration {
    let random = u32::try_from(RandomState::new().hash_one(0_u8) % 1_000).unwrap_or(0);
    most * random / 1_000
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    use super::{Attempts, random_part};
    use crate::http::{self, ClientRequest, HttpError};
    use crate::testing::{self, NoAnswer};
    use crate::{Body, StatusCode};

    /// The last status, and the number of attempts, against a server that fails `failures` times.
    fn attempts(request: ClientRequest, failures: u32, status: Option<u16>) -> (Option<u16>, u32) {
        let count = Rc::new(Cell::new(0));
        let counted = Rc::clone(&count);
        testing::network(move |_| {
            counted.set(counted.get() + 1);
            match status {
                _ if counted.get() > failures => Ok((StatusCode::OK, "")),
                Some(status) => Ok((StatusCode::from_u16(status).expect("a status"), "")),
                None => Err(NoAnswer),
            }
        });
        let answer = testing::block_on(request.send());
        (answer.ok().map(|answer| answer.status().as_u16()), count.get())
    }

    #[test]
    fn what_passes_is_tried_again_as_often_as_the_author_says() {
        let url = "https://api.example";
        assert_eq!(attempts(http::get(url).retries(2), 1, None), (Some(200), 2));
        assert_eq!(attempts(http::get(url).retries(1), 5, None), (None, 2));
        assert_eq!(attempts(http::put(url).body("x").retries(1), 1, Some(503)), (Some(200), 2));
        assert_eq!(attempts(http::get(url).retries(1), 5, Some(429)), (Some(429), 2));
        assert_eq!(attempts(http::get(url).retries(3), 5, Some(500)), (Some(500), 1));
        assert_eq!(attempts(http::get(url), 5, Some(503)), (Some(503), 1));
    }

    #[test]
    fn what_may_have_taken_effect_is_not_repeated() {
        let post = || http::post("https://api.example").retries(2);
        assert_eq!(attempts(post(), 1, None), (None, 1));
        assert_eq!(attempts(post().header("idempotency-key", "7"), 1, None), (Some(200), 2));
        let streamed = crate::Stream::writer(async |mut sink| {
            sink.send("x").await;
            Ok(())
        });
        let streamed = http::put("https://api.example").stream(streamed.into()).retries(2);
        assert_eq!(attempts(streamed, 1, None), (None, 1));
    }

    #[test]
    fn the_other_server_says_how_long_to_wait() {
        let asks = |seconds: &str| {
            let mut response = ::http::Response::new(Body::empty());
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response.headers_mut().insert("retry-after", seconds.parse().expect("a value"));
            Attempts::of(&::http::Request::new(Body::empty()), 1).wait_after(&Ok::<_, HttpError>(response))
        };
        assert_eq!(asks("3"), Some(Duration::from_secs(3)));
        assert_eq!(asks("6"), None);
        assert!(asks("Wed, 21 Oct 2026 07:28:00 GMT").is_some_and(|wait| wait <= Duration::from_millis(100)));
        assert!(random_part(Duration::from_secs(1)) < Duration::from_secs(1));
    }
}
