//! Generates the derives of a type of inputs and answers.
//!
//! The derives are those of `serde` and `schemars`, through the SDK's own copies of these crates, so a plugin depends
//! on neither. A derive that the author has written is not written again.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Attribute, Error, Ident, Item, Meta, Path, Result, Token};

/// The options of `#[model(..)]`: what the type is used for.
pub(crate) struct Directions {
    /// It is read: an argument of an endpoint, or a part of one.
    input: bool,
    /// It is written: an answer, or a part of one.
    output: bool,
}

impl Parse for Directions {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let words = Punctuated::<Ident, Token![,]>::parse_terminated(input)?;
        let mut directions = Self { input: words.is_empty(), output: words.is_empty() };
        for word in words {
            if word == "input" {
                directions.input = true;
            } else if word == "output" {
                directions.output = true;
            } else {
                let message = format!(
                    "unknown option `{word}`; there are `input` (the type is only read) and `output` (it is only \
                     written), and `#[model]` alone is both"
                );
                return Err(Error::new(word.span(), message));
            }
        }
        Ok(directions)
    }
}

/// Generates everything that stands in place of the attribute and its type.
pub(crate) fn model(directions: Directions, item: TokenStream) -> Result<TokenStream> {
    let attributes = match syn::parse2::<Item>(item.clone())? {
        Item::Struct(structure) => structure.attrs,
        Item::Enum(enumeration) => enumeration.attrs,
        other => {
            let message = "`#[model]` stands before a struct or an enum: the type of an endpoint's input or answer";
            return Err(Error::new_spanned(first_line(&other), message));
        }
    };
    let wanted = [("Deserialize", directions.input), ("Serialize", directions.output), ("JsonSchema", true)];
    let derived = derived(&attributes);
    let derives = wanted.iter().filter(|(name, wanted)| *wanted && !derived.iter().any(|known| known == name));
    let derives = derives.map(|(name, _)| {
        let name = Ident::new(name, proc_macro2::Span::call_site());
        quote!(::coinslot_sdk::#name)
    });
    let serde = (!names_crate(&attributes, "serde")).then(|| quote!(#[serde(crate = "::coinslot_sdk::serde")]));
    let schemars =
        (!names_crate(&attributes, "schemars")).then(|| quote!(#[schemars(crate = "::coinslot_sdk::schemars")]));
    Ok(quote! {
        #[derive(#(#derives),*)]
        #serde
        #schemars
        #item
    })
}

/// The item up to its body, where an error points.
fn first_line(item: &Item) -> TokenStream {
    match item {
        Item::Fn(function) => function.sig.to_token_stream(),
        Item::Union(union) => union.union_token.to_token_stream(),
        other => other.to_token_stream(),
    }
}

/// The names of the derives that stand between the attribute and the type.
fn derived(attributes: &[Attribute]) -> Vec<String> {
    let derives = attributes.iter().filter(|attribute| attribute.path().is_ident("derive"));
    let paths =
        derives.filter_map(|derive| derive.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated).ok());
    paths.flatten().filter_map(|path| path.segments.last().map(|last| last.ident.to_string())).collect()
}

/// True if the author has named the crate that the derive of this attribute uses.
fn names_crate(attributes: &[Attribute], attribute: &str) -> bool {
    let own = attributes.iter().filter(|known| known.path().is_ident(attribute));
    let metas = own.filter_map(|own| own.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok());
    metas.flatten().any(|meta| meta.path().is_ident("crate"))
}
