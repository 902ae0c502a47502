//! Generates the registration of a check of the configuration.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, ItemFn, Result, ReturnType};

/// Generates everything that stands in place of the attribute and its function.
pub(crate) fn check_config(attribute: TokenStream, function: &ItemFn) -> Result<TokenStream> {
    if !attribute.is_empty() {
        return Err(Error::new_spanned(attribute, "`check_config` has no options"));
    }
    let signature = &function.sig;
    if let Some(asynchronous) = &signature.asyncness {
        return Err(Error::new_spanned(asynchronous, "a check of the configuration waits for nothing: write `fn`"));
    }
    if !signature.inputs.is_empty() {
        let message = "a check of the configuration has no arguments: it reads `config::get`";
        return Err(Error::new_spanned(&signature.inputs, message));
    }
    if matches!(signature.output, ReturnType::Default) {
        return Err(Error::new_spanned(signature, "a check of the configuration returns a `Result<(), E>`"));
    }
    let check = &signature.ident;
    Ok(quote! {
        #function
        const _: () = {
            fn check() -> ::core::result::Result<(), ::std::string::String> {
                #check().map_err(|error| ::std::format!("{error:#}"))
            }
            ::coinslot_sdk::__private::inventory::submit! { ::coinslot_sdk::__private::ConfigCheck(check) }
        };
    })
}
