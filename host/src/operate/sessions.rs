//! Remembers the browsers that have signed in, in memory: a restart of the host signs all of them out.
//!
//! A browser holds a random number in a cookie, never the token. The host keeps its digest and its end. The cookie has
//! the port in its name, because browsers send a cookie to every port of a machine, and a machine may have two hosts.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use axum::http::header::COOKIE;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;

use super::access::digest;

/// The time for which a browser stays signed in.
const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// The most browsers that are signed in. One more signs the oldest out.
const MOST: usize = 256;

/// The sessions, by the digests of their ids.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<[u8; 32], Instant>>);

impl Sessions {
    /// Begins a session. Returns its id.
    pub(super) fn begin(&self, now: Instant) -> String {
        let id = hex::encode(secp256k1::rand::random::<[u8; 32]>());
        let mut sessions = self.0.lock();
        sessions.retain(|_, end| *end > now);
        while sessions.len() >= MOST
            && let Some(oldest) = sessions.iter().min_by_key(|(_, end)| **end).map(|(id, _)| *id)
        {
            sessions.remove(&oldest);
        }
        sessions.insert(digest(&id), now + LIFETIME);
        id
    }

    /// True if the session is there and has not ended.
    pub(super) fn has(&self, id: &str, now: Instant) -> bool {
        self.0.lock().get(&digest(id)).is_some_and(|end| *end > now)
    }

    /// Ends a session.
    pub(super) fn end(&self, id: &str) {
        self.0.lock().remove(&digest(id));
    }
}

/// The session id that a request to this host carries.
pub(super) fn session_id<'h>(headers: &'h HeaderMap, host: &Authority) -> Option<&'h str> {
    let name = cookie_name(host);
    let pairs = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = pairs.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(key, id)| (key == name).then_some(id))
}

/// The field that gives a session to the browser. On an encrypted connection it is sent on such connections alone.
pub(super) fn cookie(host: &Authority, id: &str, is_encrypted: bool) -> Option<HeaderValue> {
    set_cookie(host, id, LIFETIME.as_secs(), is_encrypted)
}

/// The field that takes the session from the browser.
pub(super) fn no_cookie(host: &Authority) -> Option<HeaderValue> {
    set_cookie(host, "", 0, false)
}

fn set_cookie(host: &Authority, id: &str, seconds: u64, is_encrypted: bool) -> Option<HeaderValue> {
    let (name, secure) = (cookie_name(host), if is_encrypted { "; Secure" } else { "" });
    format!("{name}={id}; HttpOnly; SameSite=Strict; Path=/; Max-Age={seconds}{secure}").parse().ok()
}

/// The name of the cookie for this host.
pub(super) fn cookie_name(host: &Authority) -> String {
    format!("coinslot-admin-{}", host.port_u16().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_by_itself_and_the_oldest_makes_room() {
        let (sessions, begun) = (Sessions::default(), Instant::now());
        let first = sessions.begin(begun);
        assert!(sessions.has(&first, begun) && !sessions.has("", begun) && !sessions.has(&first[1..], begun));
        assert!(!sessions.has(&first, begun + LIFETIME));
        let later = begun + Duration::from_secs(1);
        let others: Vec<String> = (0..MOST).map(|_| sessions.begin(later)).collect();
        assert!(!sessions.has(&first, later));
        assert!(others.iter().all(|id| sessions.has(id, later)));
        sessions.end(&others[0]);
        assert!(!sessions.has(&others[0], later));
    }

    #[test]
    fn a_cookie_of_another_port_is_another_cookie() {
        let host: Authority = "127.0.0.1:8403".parse().expect("an authority");
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_static("coinslot-admin-8404=b; a=1; coinslot-admin-8403=c"));
        assert_eq!(session_id(&headers, &host), Some("c"));
        let set = cookie(&host, "x", false).expect("a field");
        assert_eq!(set, "coinslot-admin-8403=x; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200");
    }
}
