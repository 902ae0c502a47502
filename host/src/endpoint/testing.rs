//! Makes declarations of endpoints for tests.

use coinslot_plugin::{DeclaredPrice, EndpointInfo, Template};
use http::Method;

/// A declaration of a route, free and without texts and schemas.
pub(crate) fn free_endpoint(method: Method, path: &str) -> EndpointInfo {
    EndpointInfo {
        method,
        path: Template::parse(path).expect("a template"),
        price: DeclaredPrice::Free,
        summary: String::new(),
        description: String::new(),
        mime_type: String::new(),
        input_schema: None,
        output_schema: None,
        quote_headers: Vec::new(),
        extensions: Vec::new(),
    }
}
