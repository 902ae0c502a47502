//! Defines the attributes of `coinslot-sdk`.
//!
//! Parses the options in `#[endpoint(..)]` and generates the code of an endpoint; derives what `#[model]` stands for.
//! The crate has no types of requests and answers: the generated code names the traits of `coinslot-sdk` and leaves
//! types to the compiler. Invariant: options that the loader of a host would refuse are a compile error that points at
//! them.

use proc_macro::TokenStream;

/// Parses the options: a method, a path and `name = value` pairs.
mod options;

/// Checks path templates.
mod path;

/// Checks prices.
mod price;

/// Checks the signature of an endpoint.
mod signature;

/// Remembers the routes of the crate.
mod routes;

/// Generates the code of an endpoint.
mod expand;

/// Generates the registration of a check of the configuration.
mod config_check;

/// Generates the derives of a type of inputs and answers.
mod model;

/// Makes a function an endpoint of this plugin.
///
/// `#[endpoint(METHOD, "PATH", PRICE, summary = "..", ..)]`. The documentation of
/// `coinslot_sdk::endpoint` lists the options.
#[proc_macro_attribute]
pub fn endpoint(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let function = syn::parse_macro_input!(item as syn::ItemFn);
    let expanded = syn::parse::<options::Options>(attribute).and_then(|options| {
        routes::claim(&options)?;
        expand::endpoint(options, &function)
    });
    match expanded {
        Ok(tokens) => tokens.into(),
        Err(error) => {
            // The function stays, so that one mistake in the attribute is one error.
            let error = error.to_compile_error();
            quote::quote! { #error #[allow(dead_code)] #function }.into()
        }
    }
}

/// Refuses to load this plugin with a configuration that it cannot use.
///
/// Stands before `fn name() -> Result<(), E>`, whose error the operator reads. The documentation of
/// `coinslot_sdk::check_config` says more.
#[proc_macro_attribute]
pub fn check_config(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let function = syn::parse_macro_input!(item as syn::ItemFn);
    match config_check::check_config(attribute.into(), &function) {
        Ok(tokens) => tokens.into(),
        Err(error) => {
            let error = error.to_compile_error();
            quote::quote! { #error #[allow(dead_code)] #function }.into()
        }
    }
}

/// Makes a struct or an enum a type of inputs and answers.
///
/// The documentation of `coinslot_sdk::model` says more.
#[proc_macro_attribute]
pub fn model(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let kept = proc_macro2::TokenStream::from(item.clone());
    match syn::parse::<model::Directions>(attribute).and_then(|directions| model::model(directions, item.into())) {
        Ok(tokens) => tokens.into(),
        Err(error) => {
            let error = error.to_compile_error();
            quote::quote! { #error #kept }.into()
        }
    }
}
