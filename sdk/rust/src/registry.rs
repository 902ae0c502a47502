//! Collects the endpoints that the attribute has registered, and describes them in the manifest.
//!
//! Invariant: the manifest lists endpoints by path and method, so `describe` answers the same each time that it has the
//! same configuration.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::Amount;
use crate::answer::Response;
use crate::extract::Request;
use crate::refusal::Refusal;
use crate::router;
use crate::schema::{SchemaError, Schemas};

/// A running endpoint. A refusal is kept apart from a response because it has its own media type.
pub type ServeFuture = Pin<Box<dyn Future<Output = Result<Response, Refusal>>>>;
/// A running quote, which is ready at its first poll.
pub type QuoteFuture = Pin<Box<dyn Future<Output = Result<Amount, Refusal>>>>;

/// The registration that one attribute makes.
#[derive(Debug)]
pub struct Registration {
    /// The declaration without its schemas, which [`describe`] adds.
    pub declared: DeclaredEndpoint,
    pub package: &'static str,
    pub version: &'static str,
    pub serve: fn(Request) -> ServeFuture,
    pub quote: fn(Request) -> QuoteFuture,
    pub describe: fn(&mut Schemas),
}

inventory::collect!(Registration);

/// A check of the plugin's configuration, which one attribute registers. Its error keeps the plugin from being loaded.
#[derive(Debug)]
pub struct ConfigCheck(pub fn() -> Result<(), String>);

inventory::collect!(ConfigCheck);

/// A declared price, as in `coinslot:plugin/manifest.price`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Price {
    Free,
    Exact(&'static str),
    UpTo(&'static str),
    Quoted(&'static str),
}

/// The answer of `describe`: the plugin's name, its version and its endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    /// Sorted by path, then by method.
    pub endpoints: Vec<DeclaredEndpoint>,
}

/// One endpoint of a [`Manifest`], as in `coinslot:plugin/manifest.endpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredEndpoint {
    pub method: &'static str,
    /// The path template.
    pub path: &'static str,
    pub price: Price,
    pub summary: &'static str,
    pub description: &'static str,
    pub mime_type: &'static str,
    /// `authorization` or `upfront`; none leaves the choice to the operator.
    pub flow: Option<&'static str>,
    /// What a payment buys beside its answer, as in `seconds=3600; requests=100`.
    pub pass: Option<&'static str>,
    /// The header fields that `check` and `quote` see beside `content-type`, between commas.
    pub quote_headers: Cow<'static, str>,
    /// JSON Schema of the path's parameters, the query and the body; none if the endpoint reads none of them.
    pub input_schema: Option<String>,
    /// JSON Schema of a successful answer's body; none if the answer is not JSON.
    pub output_schema: Option<String>,
}

impl DeclaredEndpoint {
    /// The names in [`Self::quote_headers`].
    pub(crate) fn quoted_headers(&self) -> impl Iterator<Item = &str> {
        self.quote_headers.split(',').map(str::trim).filter(|name| !name.is_empty())
    }
}

/// A mistake that no single attribute shows and that keeps the plugin from being loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DescribeError {
    /// No function has the attribute.
    NoEndpoint,
    /// A library that the plugin links has endpoints too.
    TwoPackages { one: &'static str, other: &'static str },
    /// The package's name cannot be a plugin's.
    BadName { name: String },
    /// A function with the attribute `check_config` refuses the configuration.
    Config { reason: String },
    /// The types of an endpoint have no usable schema.
    Schema { method: &'static str, path: &'static str, error: SchemaError },
}

/// All registrations, in no particular order.
pub(crate) fn registrations() -> impl Iterator<Item = &'static Registration> {
    inventory::iter::<Registration>.into_iter()
}

/// True if an endpoint of this plugin is metered.
pub(crate) fn is_metered() -> bool {
    registrations().any(|registration| matches!(registration.declared.price, Price::UpTo(_)))
}

/// Builds the manifest of this plugin.
pub(crate) fn describe() -> Result<Manifest, DescribeError> {
    let mut all: Vec<_> = registrations().collect();
    all.sort_by_key(|registration| (registration.declared.path, registration.declared.method));
    let first = *all.first().ok_or(DescribeError::NoEndpoint)?;
    if let Some(other) = all.iter().find(|registration| registration.package != first.package) {
        return Err(DescribeError::TwoPackages { one: first.package, other: other.package });
    }
    let name = first.package.to_ascii_lowercase().replace('_', "-");
    if name.len() > 64 || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err(DescribeError::BadName { name });
    }
    let endpoints = all.into_iter().map(Registration::declare).collect::<Result<_, _>>()?;
    for ConfigCheck(check) in inventory::iter::<ConfigCheck> {
        check().map_err(|reason| DescribeError::Config { reason })?;
    }
    Ok(Manifest { name, version: first.version.to_owned(), endpoints })
}

impl Registration {
    /// The declaration with its schemas.
    pub(crate) fn declare(&self) -> Result<DeclaredEndpoint, DescribeError> {
        let mut schemas = Schemas::new();
        (self.describe)(&mut schemas);
        let read = schemas.take_headers();
        let params: Vec<_> = router::parameters(self.declared.path).collect();
        let (input_schema, output_schema) = schemas.finish(&params).map_err(|error| DescribeError::Schema {
            method: self.declared.method,
            path: self.declared.path,
            error,
        })?;
        let mut declared = DeclaredEndpoint { input_schema, output_schema, ..self.declared.clone() };
        for name in read {
            if !declared.quoted_headers().any(|known| known == name.as_str()) {
                declared.quote_headers = format!("{},{name}", declared.quote_headers).into();
            }
        }
        Ok(declared)
    }
}

impl fmt::Display for DescribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEndpoint => f.write_str(
                "this plugin has no endpoint: write #[endpoint(get, \"/hello\", price = \"0.001\", summary = \"Says \
                 hello\")] above a function",
            ),
            Self::TwoPackages { one, other } => {
                write!(
                    f,
                    "the packages {one} and {other} both have endpoints, but a plugin has one name: move them into one"
                )
            }
            Self::BadName { name } => {
                write!(
                    f,
                    "a plugin's name starts with a letter and has at most 64 characters; rename the package {name:?}"
                )
            }
            Self::Config { reason } => write!(f, "its configuration is not usable: {reason}"),
            Self::Schema { method, path, error } => write!(f, "{method} {path}: {error}"),
        }
    }
}

impl std::error::Error for DescribeError {}
