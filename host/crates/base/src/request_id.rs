//! Names each request, and tells code at work for a request that name.
//!
//! An id is the field `x-request-id` of an answer, and stands in everything that is written about the request. Code
//! that logs has no request at hand, so the id goes with the task: [`RequestId::scope`] sets it around a future, and
//! [`RequestId::current`] reads it.

use std::fmt;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The most bytes of an id that another server has made.
const MAX: usize = 64;

/// The bytes of an id that is made here.
const MADE: usize = 32;

/// The name of one request: 32 hexadecimal digits, or what a trusted proxy has called it.
#[derive(Clone, Copy)]
pub struct RequestId {
    /// ASCII.
    text: [u8; MAX],
    length: u8,
}

impl RequestId {
    /// Makes an id that no other request has.
    pub fn random() -> Self {
        Self::of_bits(rand::random())
    }

    /// The id of these bits, as the id of a trace has them.
    pub fn of_bits(bits: u128) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; MAX];
        for (pair, byte) in text[..MADE].chunks_exact_mut(2).zip(bits.to_be_bytes()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self { text, length: MADE as u8 }
    }

    /// Reads an id that a proxy has made. None unless it has 1 to 64 letters, digits and `-._~:/+=`: an id stands in
    /// logs, headers and addresses of pages.
    pub fn parse(said: &[u8]) -> Option<Self> {
        let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:/+=".contains(byte);
        if said.is_empty() || said.len() > MAX || !said.iter().all(is_allowed) {
            return None;
        }
        let mut text = [0; MAX];
        text[..said.len()].copy_from_slice(said);
        Some(Self { text, length: u8::try_from(said.len()).ok()? })
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.length)]
    }

    /// The id of the request that the code is at work for.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|id| *id).ok()
    }

    /// Sets the current id around a future, which takes it to other threads and not to tasks that it spawns.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, work)
    }

    /// Gives a future that is about to be spawned the current id.
    pub fn inherited<F: Future>(work: F) -> impl Future<Output = F::Output> {
        let current = Self::current();
        async move {
            match current {
                Some(id) => id.scope(work).await,
                None => work.await,
            }
        }
    }

    /// Sets the current id around a call.
    pub fn within<T>(self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, work)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq for RequestId {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for RequestId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_made_is_the_hexadecimal_form_of_its_bits() {
        assert_eq!(RequestId::of_bits(0xff01).as_str(), format!("{:032x}", 0xff01));
        assert_ne!(RequestId::random(), RequestId::random());
    }

    #[test]
    fn an_id_of_a_proxy_is_short_and_can_neither_end_a_line_nor_a_field() {
        let longest = "x".repeat(64);
        for taken in ["7b1c-4", "Root=1-67891233-abcdef012345678912345678", longest.as_str()] {
            assert_eq!(RequestId::parse(taken.as_bytes()).map(|id| id.to_string()).as_deref(), Some(taken));
        }
        for refused in ["", "a b", "a\n", "a\"", "ä", "\u{1b}[1m", &"x".repeat(65)] {
            assert_eq!(RequestId::parse(refused.as_bytes()), None, "{refused:?}");
        }
    }

    #[tokio::test]
    async fn the_current_id_goes_with_its_future() {
        let (one, other) = (RequestId::of_bits(1), RequestId::of_bits(2));
        assert_eq!(RequestId::current(), None);
        one.scope(async {
            tokio::task::yield_now().await;
            assert_eq!(RequestId::current(), Some(one));
            assert_eq!(other.within(RequestId::current), Some(other));
        })
        .await;
        assert_eq!(RequestId::current(), None);
    }
}
