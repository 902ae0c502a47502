//! Answers requests that no endpoint will see.

use http::header::ALLOW;
use http::{Method, StatusCode};

use super::error::{ErrorRow, error, passing, row};
use super::{Reply, allow, with_cors};
use crate::payment::Charged;
use crate::route::PathError;

/// The reason why a request reaches no endpoint.
#[derive(Debug)]
pub enum Unroutable {
    /// The path has no meaning here.
    Path(PathError),
    /// Nothing is at this path.
    NotFound,
    /// The path exists, with other methods.
    Method(Vec<Method>),
    /// No `Host`, several, or one that is not a host.
    Host(&'static str),
    /// The plugin that served the path before the start is being loaded.
    Loading,
    /// A host that is not ours, and the one that is.
    Misdirected { named: String, served: String },
    /// The host is shutting down.
    Closing,
}

const NOT_FOUND: ErrorRow = row(StatusCode::NOT_FOUND, "not_found", "nothing is served at this path");
const METHOD_NOT_ALLOWED: ErrorRow =
    row(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path is served with other methods: see Allow");
const LOADING: ErrorRow =
    passing(StatusCode::SERVICE_UNAVAILABLE, "plugin_loading", "the plugin of this path is still being loaded")
        .advising("send the request again");
const CLOSING: ErrorRow = passing(StatusCode::SERVICE_UNAVAILABLE, "closing", "the server is shutting down")
    .advising("send the request again");

/// The response to a request that no endpoint will see. Its payment, if it carries one, was not looked at.
pub fn unroutable(why: &Unroutable, charged: Charged) -> Reply {
    with_cors(match why {
        Unroutable::Path(path @ PathError::TooLong) => {
            error(StatusCode::URI_TOO_LONG, "path_too_long", &path.to_string(), charged)
        }
        Unroutable::Path(
            path @ (PathError::NotAbsolute
            | PathError::EmptySegment
            | PathError::DotSegment
            | PathError::Forbidden
            | PathError::BadEncoding),
        ) => error(StatusCode::BAD_REQUEST, "bad_path", &path.to_string(), charged),
        Unroutable::NotFound => NOT_FOUND.reply(charged),
        Unroutable::Method(methods) => {
            let mut reply = METHOD_NOT_ALLOWED.reply(charged);
            reply.headers_mut().insert(ALLOW, allow(methods));
            reply
        }
        Unroutable::Host(why) => error(StatusCode::BAD_REQUEST, "bad_host", why, charged),
        Unroutable::Misdirected { named, served } => {
            let message = format!(
                "`{named}` is not served here, `{served}` is: use it; operators let their proxy pass on the Host \
                 header, or add the name to `hosts`"
            );
            error(StatusCode::MISDIRECTED_REQUEST, "misdirected", &message, charged)
        }
        Unroutable::Loading => LOADING.reply(charged),
        Unroutable::Closing => CLOSING.reply(charged),
    })
}
