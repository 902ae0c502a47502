//! `/login` and `/logout`: a browser signs in with the token of the listener, and gets a session for it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::{ConnectInfo, Form, Request};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::{PageError, plain};
use super::payments::encoded;
use super::write::sentence;
use crate::operate::access::{AdminAccess, Visitor, authority, digest, is_same, with_wait};
use crate::operate::api::ApiError;
use crate::operate::api::payments::Query;
use crate::operate::sessions::{cookie, no_cookie, session_id};

/// The page to which a browser goes when it has signed in.
#[derive(Clone, Debug, Default, Deserialize)]
pub(in crate::operate) struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(in crate::operate) struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    next: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Proof {
    #[serde(default)]
    proof: String,
}

pub(super) async fn page(
    Extension(access): Extension<Arc<AdminAccess>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Query(Next { next }): Query<Next>,
    request: Request,
) -> Response {
    if access.admit(&request, client.ip(), Instant::now()).is_ok() {
        return Redirect::to(own_path(&next)).into_response();
    }
    form(&next, None).into_response()
}

/// Signs a browser in.
pub(super) async fn sign_in(
    Extension(access): Extension<Arc<AdminAccess>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Form(Token { token, next }): Form<Token>,
) -> Response {
    if !access.asks_for_token() {
        return Redirect::to(own_path(&next)).into_response();
    }
    let session = match access.sign_in(&token, client.ip(), Instant::now()) {
        Ok(session) => session,
        Err(error) if error.status == StatusCode::UNAUTHORIZED => {
            return (StatusCode::UNAUTHORIZED, form(&next, Some("This is not the token of [admin]."))).into_response();
        }
        Err(error) => return with_wait((error.status, form(&next, Some(&error.message))).into_response()),
    };
    let mut response = Redirect::to(own_path(&next)).into_response();
    if let Some(cookie) = authority(&headers).and_then(|host| cookie(&host, &session, access.is_encrypted())) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// Signs a browser out.
pub(super) async fn sign_out(
    Extension(access): Extension<Arc<AdminAccess>>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(Proof { proof }): Form<Proof>,
) -> Result<Response, PageError> {
    check_proof(&visitor, &proof)?;
    let mut response = Redirect::to("/login").into_response();
    if let Some(host) = authority(&headers) {
        if let Some(id) = session_id(&headers, &host) {
            access.sign_out(id);
        }
        response.headers_mut().extend(no_cookie(&host).map(|cookie| (SET_COOKIE, cookie)));
    }
    Ok(response)
}

/// Refuses a form that is of no page that this visitor was shown.
pub(super) fn check_proof(visitor: &Visitor, proof: &str) -> Result<(), PageError> {
    if is_same(&digest(proof), &digest(&visitor.form_proof)) {
        return Ok(());
    }
    let message = "This form is of no page of this session: load the page again, and send it from there.";
    Err(PageError(ApiError::new(StatusCode::FORBIDDEN, "form_proof", message)))
}

/// Answers a browser that has not signed in, or not for now.
pub(in crate::operate) fn refused(error: ApiError, uri: &Uri, client: IpAddr) -> Response {
    if error.status != StatusCode::UNAUTHORIZED {
        tracing::debug!(%client, error = error.code, "a page was refused");
        return with_wait(PageError(error).into_response());
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    if path == "/" { Redirect::to("/login") } else { Redirect::to(&format!("/login?next={}", encoded(path))) }
        .into_response()
}

fn form(next: &str, problem: Option<&str>) -> Markup {
    plain(
        "Sign in",
        html! {
            @if let Some(problem) = problem { p #problem .note.bad role="alert" { (sentence(problem)) } }
            form.login method="post" action="/login" {
                input type="hidden" name="next" value=(own_path(next));
                label for="token" { "Token of " code { "[admin]" } }
                input #token name="token" type="password" autocomplete="current-password" required autofocus
                    aria-describedby=[problem.is_some().then_some("problem")];
                button type="submit" { "Sign in" }
            }
            p.quiet {
                "It is in the file or the variable that " code { "token_file" } " or " code { "token_env" }
                " of the configuration names. You stay signed in for 12 hours, or until the host restarts."
            }
        },
    )
}

/// A path of this listener. Anything that a browser could take for another place is the first page.
fn own_path(next: &str) -> &str {
    let is_own = next.starts_with('/')
        && !next[1..].starts_with(['/', '\\'])
        && next.len() <= 500
        && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_own { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere_after_the_sign_in() {
        for path in ["/", "/payments?q=a%20b", "/money?period=7d"] {
            assert_eq!(own_path(path), path);
        }
        for path in ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a\nb", "/a\\b", "javascript:x"]
        {
            assert_eq!(own_path(path), "/", "{path:?}");
        }
    }
}
