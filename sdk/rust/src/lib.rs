//! The SDK for Coinslot plugins in Rust. A plugin is functions, plain or async, each with a route and a price.
//!
//! ```
//! use coinslot_sdk::{Query, Text, endpoint, model};
//!
//! #[model]
//! struct Who {
//!     /// Whom to greet.
//!     name: String,
//! }
//!
//! #[endpoint(get, "/hello", price = "0.001", summary = "Says hello to somebody")]
//! fn hello(Query(who): Query<Who>) -> Text {
//!     Text(format!("Hello, {}!\n", who.name))
//! }
//!
//! # fn main() {
//! // A unit test, on any target:
//! let answer = coinslot_sdk::testing::get("/hello?name=Ada").send();
//! assert_eq!((answer.status(), answer.text()), (200, "Hello, Ada!\n"));
//! // A request that cannot be answered is refused before it is paid:
//! let refusal = coinslot_sdk::testing::get("/hello?nome=Ada").quote().unwrap_err();
//! assert_eq!((refusal.status(), refusal.code()), (400, "invalid_query"));
//! # }
//! ```
//!
//! The crate is a `cdylib` built for `wasm32-wasip2`, and `coinslot-sdk` is its only dependency. There is nothing else
//! to export or to register: the plugin's name and version are the crate's, routes and prices come from the attributes,
//! and the JSON Schemas of input and output from the types.
//!
//! - **[`endpoint`]** is the attribute and lists its options; **[`model`]** makes types of inputs and answers.
//! - **Arguments** are types that implement [`Extract`]: [`Path`], [`Query`], [`Json`], [`Form`], [`Multipart`],
//!   [`String`], [`Bytes`], [`Body`] (streamed), [`Headers`], [`ClientAddress`], [`Payment`], and `Option` or `Result`
//!   of them. Every one of them is also read in the host's `quote` call, so that a request with bad input is refused
//!   before it is paid.
//! - **Answers** are types that implement [`Answer`]: [`Text`], [`String`], [`Html`], [`Json`], [`Bytes`], [`Stream`],
//!   [`Sse`], [`Redirect`], [`Media`], `(StatusCode, T)`, [`Response`], `Option<T>`, and `Result<T, E>` with a
//!   [`Refusal`] or any error ([`Failure`]).
//! - **[`http`]** sends requests to the servers that the operator allows, [`join!`] waits for several at once,
//!   [`config`] reads the operator's configuration, [`keyvalue`] stores values between requests, [`log`] writes lines
//!   to the operator's log, and [`usage`] charges for metered requests.
//! - **[`testing`]** runs endpoints in a plain `cargo test`.
//!
//! With the feature `wasi3` the component has a handler of WASI 0.3 in place of one of WASI 0.2, so that an operator can
//! let several requests into one instance at once. Nothing else changes for an author.
//!
//! The host does everything about money. When an endpoint runs, its payment is verified and claimed, or the endpoint is
//! free. The caller does not pay for an answer with a status of 400 or more, for an error, or for a panic.

extern crate self as coinslot_sdk;

/// Reads the arguments of an endpoint.
mod extract;
pub use extract::{ClientAddress, Extract, Field, Form, Headers, Multipart, Path, Payment, Query, Request};

#[cfg(feature = "typed-header")]
pub use extract::TypedHeader;
#[cfg(feature = "typed-header")]
#[doc(no_inline)]
pub use headers;

/// Reads and writes JSON.
mod json;
pub use json::Json;

/// Holds bodies, whole and streamed.
mod body;
pub use body::{Body, BodyError, Sink, Stream};

/// Makes the answers of an endpoint.
mod answer;
pub use answer::{Answer, Event, EventSink, Html, Media, Redirect, Response, Sse, Text};

/// Refuses requests.
mod refusal;
pub use refusal::Refusal;

/// Passes errors of endpoints on.
mod error;
pub use error::{Context, Error, Failure, Result};

/// Waits for several futures at once.
mod join;
pub use join::join_all;

/// Holds amounts of money as text.
mod amount;
pub use amount::{Amount, BadAmount};

/// Defines the types of inputs and answers.
mod model;
pub use model::{Input, Output};

/// Reads path parameters and queries into types.
mod form;

/// Makes JSON Schemas of an endpoint's input and output.
#[cfg_attr(
    target_family = "wasm",
    allow(unreachable_pub, reason = "public through `testing`, which a component has not")
)]
mod schema;
pub use schema::Schemas;

/// Collects the registered endpoints, and describes them in the manifest.
#[cfg_attr(
    target_family = "wasm",
    allow(unreachable_pub, reason = "public through `testing`, which a component has not")
)]
mod registry;

/// Finds the endpoint of a request.
mod router;

/// Runs endpoints and quotes.
mod dispatch;

/// Calls the host.
mod imports;
pub use imports::Receipt;

pub mod config;

pub mod http;

pub mod keyvalue;

pub mod log;

pub mod usage;

/// Waits.
mod time;
pub use time::sleep;

/// Holds the bindings that are generated from the contract.
#[cfg(target_family = "wasm")]
mod bindings;

/// Implements what differs between versions of `wasi:http`.
#[cfg(target_family = "wasm")]
mod wasi;

/// Exports the manifest and the quote.
#[cfg(target_family = "wasm")]
mod exports;

#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
pub use bytes::Bytes;
#[doc(no_inline)]
pub use schemars::{self, JsonSchema};
#[doc(no_inline)]
pub use serde::{self, Deserialize, Serialize};
#[doc(no_inline)]
pub use serde_json::{self, Value, json};

/// Refuses to load this plugin with a configuration that it cannot use: the operator learns of a mistake when the host
/// starts or its configuration changes, and not from a payer.
///
/// ```
/// use coinslot_sdk::{check_config, config};
///
/// #[check_config]
/// fn knows_its_currency() -> Result<(), String> {
///     match config::get("currency").as_deref() {
///         None | Some("USD" | "EUR") => Ok(()),
///         Some(other) => Err(format!("`currency` is {other:?}: write \"USD\" or \"EUR\"")),
///     }
/// }
/// # fn main() {}
/// ```
///
/// The function has no arguments and returns a `Result<(), E>` whose error can be displayed. It runs when the plugin is
/// loaded, and whenever its configuration changes, without network or key-value store. A host learns the plugin's name
/// after that, so a plugin that insists on some configuration has to be in a file of its own name (`rates.wasm` for
/// `rates`), or in the `file` of its table.
pub use coinslot_sdk_macros::check_config;
/// Makes a function, plain or async, an endpoint of this plugin.
///
/// ```
/// # use coinslot_sdk::{Amount, Deserialize, Json, JsonSchema, Refusal, Text, endpoint};
/// # #[derive(Deserialize, JsonSchema)] struct Page { text: String }
/// #[endpoint(post, "/api/translate", quoted = "0.50", quote = by_length, summary = "Translates a page")]
/// async fn translate(Json(page): Json<Page>) -> Result<Text, Refusal> {
///     Ok(Text(page.text))
/// }
///
/// fn by_length(page: &Json<Page>) -> Result<Amount, Refusal> {
///     match page.text.len() as u64 {
///         0 => Err(Refusal::new(400, "empty_page", "put something to translate into `text`")),
///         length => Ok(Amount::micros(10 * length.min(50_000))),
///     }
/// }
/// # fn main() {}
/// ```
///
/// The first word is a method (`get`, `post`, `put`, `patch`, `delete`), the second a path, in which `{name}` stands
/// for one segment and a final `{*name}` for the rest. Options follow in any order:
///
/// | option | |
/// |---|---|
/// | `price = "0.01"` | the same for every request, in US dollars, or with an asset's symbol: `"0.01 USDC"` |
/// | `free` or `price = free` | no price |
/// | `up_to = "0.50"` | metered: at most this amount; [`usage::charge`] sets it |
/// | `quoted = "0.50", quote = f` | per request, at most this: `fn f(&A, &B) -> Result<impl Into<Amount>, Refusal>` |
/// | `quote_headers = "x-tier, accept-language"` | the header fields that `quote` and `check` see, beside `content-type`: lower case, at most 15; required if they are given [`Headers`], and empty if they read none |
/// | `summary = ".."` | one line, at most 120 characters; required |
/// | `description = ".."` | at most 2,000 characters; without it, the function's doc comment |
/// | `mime_type = ".."` | the media type of a successful answer; without it, the answer type's own |
/// | `flow = "upfront"` | the payment is settled before the function runs: for side effects and for answers that stream; without it the operator decides, and the default is to settle after |
/// | `pass = { seconds = 3600, requests = 100 }` | a payment buys its payer so many further requests within this time; the operator may change it |
/// | `check = f` | refuses bad input before payment: `fn f(&A, &B) -> Result<(), Refusal>` |
///
/// Exactly one of the four prices is required. `check` and `quote` name plain functions that take a reference to each
/// argument of the endpoint, in order; a reference to an extractor's content (`&Page` for `&Json<Page>`) will do. They
/// run before the payment, within 50 ms and without network, and their result may depend on nothing but their
/// arguments; a [`Payment`] among these is empty.
pub use coinslot_sdk_macros::endpoint;

/// Makes a struct or an enum a type of inputs and answers: it derives [`Deserialize`], [`Serialize`] and
/// [`JsonSchema`], so that a plugin needs no dependency but this crate.
///
/// ```
/// use coinslot_sdk::{Json, endpoint, model, testing};
///
/// /// What to draw.
/// #[model]
/// #[serde(rename_all = "camelCase", deny_unknown_fields)]
/// struct Drawing {
///     /// The number of lines.
///     #[schemars(range(min = 1, max = 100))]
///     line_count: u8,
///     #[serde(default)]
///     style: Style,
/// }
///
/// #[model]
/// #[derive(Clone, Copy, Debug, Default)]
/// #[serde(rename_all = "lowercase")]
/// enum Style {
///     #[default]
///     Thin,
///     Bold,
/// }
///
/// #[endpoint(post, "/draw", price = "0.01", summary = "Draws lines")]
/// fn draw(Json(drawing): Json<Drawing>) -> Json<Vec<Style>> {
///     Json(vec![drawing.style; drawing.line_count.into()])
/// }
/// # fn main() {
/// let drawing = coinslot_sdk::json!({ "lineCount": 2, "style": "bold" });
/// assert_eq!(testing::post("/draw").json(&drawing).send().text(), r#"["bold","bold"]"#);
/// # }
/// ```
///
/// The attributes `#[serde(..)]` and `#[schemars(..)]` work as they do with these crates; they stand below `#[model]`.
/// Doc comments are the schema's descriptions. `#[model(input)]` leaves `Serialize` out, and `#[model(output)]`
/// `Deserialize`, for types that cannot be both. Other derives stand beside it as usual.
pub use coinslot_sdk_macros::model;

/// Names for the attribute's code. Not for authors: they may change with any version.
#[doc(hidden)]
pub mod __private {
    pub use crate::join::{Joined, join, try_join};
    pub use crate::registry::{ConfigCheck, DeclaredEndpoint, Price, QuoteFuture, Registration, ServeFuture};
    pub use inventory;

    /// Converts the result of an author's `quote` function.
    pub fn quoted(amount: impl Into<crate::Amount>) -> crate::Amount {
        amount.into()
    }
}

/// The project's first page.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct FirstPage;

/// The page for authors of plugins in Rust: its snippets are compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../host/docs/rust.md")]
struct RustPage;
