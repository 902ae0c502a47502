//! A request that its plugin has quoted as free.

use bytes::Bytes;
use coinslot_plugin::RequestBody;
use http::Request;
use http_body_util::{BodyExt, Full};

/// A request to a quoted endpoint that costs nothing: it is served as on a free route.
#[derive(Debug)]
pub struct FreeRequest(Request<Bytes>);

impl FreeRequest {
    /// The request with its whole body.
    pub(super) fn new(request: Request<Bytes>) -> Self {
        Self(request)
    }

    /// The request for the guest. Its body counts for the budget until the guest has read it.
    pub fn into_request(self) -> Request<RequestBody> {
        self.0.map(|bytes| Full::new(bytes).map_err(|never| match never {}).boxed_unsync())
    }
}
