//! Write a Coinslot plugin: plain async functions, each with a route and a price.
//!
//! ```
//! use coinslot_sdk::{Deserialize, JsonSchema, Query, Refusal, Text, endpoint};
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Who {
//!     /// Whom to greet.
//!     name: String,
//! }
//!
//! #[endpoint(get, "/hello", price = "0.001", summary = "Says hello to somebody")]
//! async fn hello(Query(who): Query<Who>) -> Result<Text, Refusal> {
//!     Ok(Text(format!("Hello, {}!\n", who.name)))
//! }
//!
//! # fn main() {
//! // What a unit test sees, on any target:
//! let answer = coinslot_sdk::testing::get("/hello?name=Ada").send();
//! assert_eq!((answer.status(), answer.text()), (200, "Hello, Ada!\n"));
//! // A request that cannot be answered is refused before anybody pays for it:
//! let refusal = coinslot_sdk::testing::get("/hello?nome=Ada").quote().unwrap_err();
//! assert_eq!((refusal.status(), refusal.code()), (400, "invalid_query"));
//! # }
//! ```
//!
//! The crate is a `cdylib` built for `wasm32-wasip2`; `coinslot-sdk`, `serde` and `schemars` are its
//! dependencies. There is nothing else to export or to register: name and version are the crate's,
//! routes and prices are the attributes', and the JSON Schemas of input and output come from the types.
//!
//! - **[`endpoint`]** is the attribute and lists its options.
//! - **Arguments** are what [`Extract`] reads: [`Path`], [`Query`], [`Json`], [`Bytes`], [`Body`]
//!   (streamed), [`Headers`], [`Payment`]. Every one of them is also read in the host's `quote` call,
//!   so that a request with bad input is refused before it is paid.
//! - **Answers** are what [`Answer`] writes: [`Text`], [`Html`], [`Json`], [`Bytes`], [`Stream`],
//!   [`Media`], `(StatusCode, T)`, [`Response`], and `Result<T, Refusal>`.
//! - **[`http`]** sends requests to the servers that the operator allows, [`config`] reads what the operator
//!   says, [`keyvalue`] keeps things between requests, [`log`] writes lines to the operator's log,
//!   [`usage`] says what a metered request cost.
//! - **[`testing`]** runs endpoints in a plain `cargo test`.
//!
//! The host does everything about money. A plugin that runs has been paid, or is free; an answer
//! with a status of 400 or more, or a panic, gives the payment back.

extern crate self as coinslot_sdk;

/// What an endpoint reads: the request, and the trait of arguments.
mod extract;
pub use extract::{Extract, Headers, Path, Payment, Query, Receipt, Request};

/// JSON in and out.
mod json;
pub use json::Json;

/// Bodies, whole and streamed.
mod body;
pub use body::{Body, BodyError, Sink, Stream};

/// What an endpoint answers.
mod answer;
pub use answer::{Answer, Html, Media, Refusal, Response, Text};

/// Amounts of money, as text.
mod amount;
pub use amount::{Amount, BadAmount};

/// Path parameters and queries into types.
mod form;

/// JSON Schemas of an endpoint's input and output.
#[cfg_attr(
    target_family = "wasm",
    allow(unreachable_pub, reason = "public through `testing`, which a component has not")
)]
mod schema;
pub use schema::Schemas;

/// The registered endpoints: describe, match, serve, quote.
#[cfg_attr(
    target_family = "wasm",
    allow(unreachable_pub, reason = "public through `testing`, which a component has not")
)]
mod registry;

pub mod config;

pub mod http;

pub mod keyvalue;

pub mod log;

pub mod usage;

/// Time that passes.
mod time;
pub use time::sleep;

/// The exports of the component.
#[cfg(target_family = "wasm")]
mod component;

#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
pub use bytes::Bytes;
#[doc(no_inline)]
pub use schemars::JsonSchema;
#[doc(no_inline)]
pub use serde::{Deserialize, Serialize};

/// Makes an async function an endpoint of this plugin.
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
/// First a method (`get`, `post`, `put`, `patch`, `delete`) and a path, in which `{name}` stands for
/// one segment and a final `{*name}` for the rest. Then, in any order:
///
/// | option | |
/// |---|---|
/// | `price = "0.01"` | the same for every request, in US dollars, or with an asset's symbol: `"0.01 USDC"` |
/// | `free` or `price = free` | nothing |
/// | `up_to = "0.50"` | metered: at most this, [`usage::charge`] says how much |
/// | `quoted = "0.50", quote = f` | asked per request, at most this: `fn f(&A, &B) -> Result<impl Into<Amount>, Refusal>` |
/// | `summary = ".."` | one line, at most 120 characters; required |
/// | `description = ".."` | at most 2,000 characters; without it, the function's doc comment |
/// | `mime_type = ".."` | of a successful answer; without it, the answer type's own |
/// | `flow = "upfront"` | the payment is settled before the function runs: for side effects and for answers that stream; without it the operator decides, usually after |
/// | `check = f` | refuses bad input before anybody pays: `fn f(&A, &B) -> Result<(), Refusal>` |
///
/// Exactly one of the four prices must be there. `check` and `quote` name plain functions that take
/// a reference to each argument of the endpoint, in order; a reference to what an extractor holds
/// (`&Page` for `&Json<Page>`) will do. They run before the payment, within 50 ms and without
/// network, and must depend on nothing but their arguments; a [`Payment`] among those is empty.
pub use coinslot_sdk_macros::endpoint;

/// What the attribute's code needs. Not for authors: it may change with any version.
#[doc(hidden)]
pub mod __private {
    pub use crate::registry::{Endpoint, Price, Quoting, Serving};
    pub use inventory;

    /// The amount that an author's `quote` function answered.
    pub fn quoted(amount: impl Into<crate::Amount>) -> crate::Amount {
        amount.into()
    }
}
