//! The attribute of `coinslot-sdk`.
//!
//! Owns what an author may write in `#[endpoint(..)]` and the code that comes of it. It knows
//! nothing of requests and answers: it names the traits of `coinslot-sdk` and leaves types to the
//! compiler. Invariant: whatever the host would refuse at load because of the attribute's own
//! words is a compile error here, at those words.

use proc_macro::TokenStream;

/// The options: a method, a path and `name = value` pairs.
mod options;

/// Path templates.
mod path;

/// Prices.
mod price;

/// The generated code.
mod expand;

/// Makes an async function an endpoint of this plugin.
///
/// `#[endpoint(METHOD, "PATH", PRICE, summary = "..", ..)]`. The documentation of
/// `coinslot_sdk::endpoint` lists what may stand there.
#[proc_macro_attribute]
pub fn endpoint(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let function = syn::parse_macro_input!(item as syn::ItemFn);
    match syn::parse::<options::Options>(attribute).and_then(|o| expand::endpoint(o, &function)) {
        Ok(tokens) => tokens.into(),
        Err(error) => {
            // The function stays, so that one mistake in the attribute is one error.
            let error = error.to_compile_error();
            quote::quote! { #error #[allow(dead_code)] #function }.into()
        }
    }
}
