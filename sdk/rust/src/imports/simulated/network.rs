//! Simulates the other servers in a unit test by a function that answers requests.

use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};

use crate::body::Body;
use crate::http::HttpError;
use crate::testing::NoAnswer;

/// Answers a request, whose body is whole.
pub(crate) type Network = Box<dyn FnMut(Request<Bytes>) -> Result<Response<Body>, NoAnswer>>;

thread_local! {
    static NETWORK: RefCell<Option<Network>> = const { RefCell::new(None) };
}

/// Replaces the other servers of this thread.
pub(crate) fn replace(network: Network) {
    NETWORK.set(Some(network));
}

/// Sends a request to another server, and waits for the head of its answer.
pub(crate) async fn send(request: Request<Body>, _timeout: Option<Duration>) -> Result<Response<Body>, HttpError> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|error| HttpError::Failed(error.into()))?;
    // The function may send requests, too, so it is not borrowed while it runs.
    let mut network = NETWORK.take().ok_or(HttpError::NoNetwork)?;
    let answer = network(Request::from_parts(head, body));
    NETWORK.with_borrow_mut(|current| {
        current.get_or_insert(network);
    });
    answer.map_err(|error| HttpError::Failed(error.into()))
}
