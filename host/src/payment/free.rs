//! A request that its plugin has quoted as free.

use bytes::Bytes;
use coinslot_plugin::RequestBody;
use http::Request;
use http_body_util::{BodyExt, Full};

use super::budget::HeldBytes;

/// A request to a quoted endpoint that costs nothing: it is served as on a free route.
#[derive(Debug)]
pub struct FreeRequest {
    request: Request<Bytes>,
    held: HeldBytes,
}

impl FreeRequest {
    /// The request with its whole body, which has this part of the budget.
    pub(super) fn new(request: Request<Bytes>, held: HeldBytes) -> Self {
        Self { request, held }
    }

    /// The request for the guest. Its body counts for the budget until the guest has read it.
    pub fn into_request(self) -> Request<RequestBody> {
        let Self { request, held } = self;
        request.map(|bytes| Full::new(held.counted(bytes)).map_err(|never| match never {}).boxed_unsync())
    }
}
