//! `GET /api/v1/openapi.json`: the description of the API, made from its handlers, with what all of them share: who is
//! admitted, and how a request is refused before its handler is asked.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::{Extension, Json};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, Content, OpenApi, Ref, RefOr, Response, ResponseBuilder};

use crate::operate::access::{AdminAccess, authority};
use crate::operate::sessions::cookie_name;

/// The ways in which a visitor is admitted.
const TOKEN: &str = "token";
const SESSION: &str = "session";
const CERTIFICATE: &str = "certificate";

/// The refusals that every path has: their names, statuses, and when they come.
const REFUSALS: [(&str, &str, &str); 6] = [
    ("Invalid", "400", "The request makes no sense (`invalid_request`), or names no host (`no_host`)."),
    (
        "NotAdmitted",
        "401",
        "The listener asks for a token, and the request has none (`token_missing`) or a wrong one (`token_wrong`).",
    ),
    ("OfAnotherOrigin", "403", "A page of another origin sends the request (`cross_origin`)."),
    ("WrongMethod", "405", "The path takes no such method (`method_not_allowed`). `Allow` has those that it takes."),
    ("UnknownHost", "421", "The request names a host that is no name of this listener (`unknown_host`)."),
    ("TooManyTokens", "429", "The address has sent many wrong tokens (`too_many_tokens`). `Retry-After` has seconds."),
];

/// The other answers, by their statuses.
const ANSWERS: [(&str, &str); 6] = [
    ("200", "What was asked for."),
    ("202", "It is accepted, and done from now on."),
    ("404", "What is named is not there: `error` says what."),
    ("409", "It is refused as things are: `message` has the reason."),
    ("500", "It failed: `message` has the reason."),
    ("503", "The ledger or the state cannot be read or written now, or other reports are being made: ask again."),
];

/// The description of this API, with the ways to be admitted that this listener asks for.
#[utoipa::path(get, path = "/api/v1/openapi.json",
    responses((status = 200, body = serde_json::Value, description = "OpenAPI 3.1")))]
pub(crate) async fn openapi(
    Extension(document): Extension<Arc<OpenApi>>,
    Extension(access): Extension<Arc<AdminAccess>>,
    headers: HeaderMap,
) -> Json<OpenApi> {
    let mut document = (*document).clone();
    if let Some(components) = &mut document.components {
        // Listeners at several ports of one name share its cookies: each has a name of its own.
        let cookie = authority(&headers).map(|host| cookie_name(&host)).unwrap_or_default();
        add_schemes(components, &cookie);
    }
    document.security = Some(requirements(&access));
    Json(document)
}

/// Adds the refusals to every operation, and says what each answer means.
pub(in crate::operate) fn complete(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_default();
    for (name, status, when) in REFUSALS {
        components.responses.insert(name.to_owned(), refusal(status, when).into());
    }
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        add_refusals(operation);
        describe_answers(operation);
    }
    document
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = path;
    [get, put, post, delete, patch].into_iter().flatten()
}

fn add_refusals(operation: &mut Operation) {
    for (name, status, _) in REFUSALS {
        let shared = || Ref::from_response_name(name).into();
        operation.responses.responses.entry(status.to_owned()).or_insert_with(shared);
    }
}

fn describe_answers(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let meaning = ANSWERS.iter().find(|(known, _)| known == status);
        if let (RefOr::T(response), Some((_, meaning))) = (response, meaning)
            && response.description.is_empty()
        {
            (*meaning).clone_into(&mut response.description);
        }
    }
}

fn refusal(status: &str, when: &str) -> Response {
    let error = Content::new(Some(Ref::from_schema_name("ApiError")));
    let response = ResponseBuilder::new().description(when).content("application/json", error);
    let field = match status {
        "401" => Some(("WWW-Authenticate", "`Bearer realm=\"coinslot\"`")),
        "405" => Some(("Allow", "The methods of the path")),
        "429" => Some(("Retry-After", "Seconds to wait")),
        _ => None,
    };
    let response = match field {
        Some((name, what)) => response.header(name, HeaderBuilder::new().description(Some(what)).build()),
        None => response,
    };
    response.build()
}

fn add_schemes(components: &mut Components, cookie: &str) {
    let mut token = Http::new(HttpAuthScheme::Bearer);
    token.description = Some("The token of `[admin]`, by `token_env` or `token_file`.".to_owned());
    let session = "A browser that has signed in at `/login` with the token. It lasts 12 hours, or until the host ends.";
    let certificate = "A client certificate that an authority of `client_ca` in `[admin.tls]` has signed.";
    let schemes = [
        (TOKEN, SecurityScheme::Http(token)),
        (SESSION, SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(cookie, session)))),
        (
            CERTIFICATE,
            SecurityScheme::MutualTls { description: Some(certificate.to_owned()), deprecated: None, extensions: None },
        ),
    ];
    for (name, scheme) in schemes {
        components.add_security_scheme(name, scheme);
    }
}

/// The ways to be admitted by this listener, any of which is enough.
fn requirements(access: &AdminAccess) -> Vec<SecurityRequirement> {
    let with = |requirement: SecurityRequirement| match access.asks_for_certificate() {
        true => requirement.add(CERTIFICATE, [""; 0]),
        false => requirement,
    };
    let ways: &[Option<&str>] = if access.asks_for_token() { &[Some(TOKEN), Some(SESSION)] } else { &[None] };
    let requirement = |way: &Option<&str>| match way {
        Some(way) => with(SecurityRequirement::new(*way, [""; 0])),
        None => with(SecurityRequirement::default()),
    };
    ways.iter().map(requirement).collect()
}
