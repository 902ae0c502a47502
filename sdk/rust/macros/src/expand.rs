//! The code that an endpoint becomes.
//!
//! The function stays as it was written, so a test can call it. Beside it come three private
//! functions (serve, quote, describe), the registration that names them, and a macro whose only
//! use is its name: two endpoints on one route define it twice.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, FnArg, ItemFn, LitStr, Result, ReturnType, Type};

use crate::options::{Options, Price};

/// Extractors that take the request's body, of which there is one.
const BODIES: [&str; 3] = ["Json", "Bytes", "Body"];

pub(crate) fn endpoint(options: Options, function: &ItemFn) -> Result<TokenStream> {
    let inputs = inputs(&options, function)?;
    let name = &function.sig.ident;
    let names: Vec<_> = (0..inputs.len()).map(|i| format_ident!("input{i}")).collect();

    let extract = names.iter().zip(&inputs).map(|(name, ty)| {
        quote_spanned! { at(ty)=> let #name = <#ty as ::coinslot_sdk::Extract>::extract(request).await?; }
    });
    let extract: Vec<_> = extract.collect();
    let describe_inputs = inputs.iter().map(|ty| {
        quote_spanned! { at(ty)=> <#ty as ::coinslot_sdk::Extract>::describe(schemas); }
    });
    let output: Type = match &function.sig.output {
        ReturnType::Type(_, ty) => (**ty).clone(),
        ReturnType::Default => syn::parse_quote_spanned!(function.sig.ident.span()=> ()),
    };
    let answer = quote_spanned! { at(&output)=> <#output as ::coinslot_sdk::Answer> };

    let check = options.check.as_ref().map(|check| quote_spanned! { at(check)=> #check(#(&#names),*)?; });
    let (price, amount) = match &options.price {
        Price::Free => (quote!(Free), quote!(::coinslot_sdk::Amount::ZERO)),
        Price::Exact(text) => (quote!(Exact(#text)), quote!(::coinslot_sdk::Amount::declared(#text))),
        Price::UpTo(text) => (quote!(UpTo(#text)), quote!(::coinslot_sdk::Amount::declared(#text))),
        Price::Quoted(text) => {
            let quoted = options.quote.as_ref().map(|f| quote_spanned! { at(f)=> #f(#(&#names),*)? });
            (quote!(Quoted(#text)), quote!(::coinslot_sdk::__private::quoted(#quoted)))
        }
    };

    let Options { method, path, summary, .. } = &options;
    let description = options.description.clone().unwrap_or_else(|| doc_comment(function));
    let mime_type = match &options.mime_type {
        Some(text) => quote!(#text),
        None => quote!(#answer::MIME_TYPE),
    };
    let guard = guard(&options);
    let flow = match &options.flow {
        Some(flow) => quote!(::core::option::Option::Some(#flow)),
        None => quote!(::core::option::Option::None),
    };
    Ok(quote! {
        #function
        #guard
        const _: () = {
            #[allow(unused_variables, reason = "an endpoint may have no argument")]
            fn serve(mut request: ::coinslot_sdk::Request) -> ::coinslot_sdk::__private::Serving {
                ::std::boxed::Box::pin(async move {
                    let request = &mut request;
                    #(#extract)*
                    let answer = #name(#(#names),*).await;
                    ::core::result::Result::Ok(#answer::into_response(answer))
                })
            }
            #[allow(unused_variables, reason = "an endpoint may have no argument")]
            fn quote(mut request: ::coinslot_sdk::Request) -> ::coinslot_sdk::__private::Quoting {
                ::std::boxed::Box::pin(async move {
                    let request = &mut request;
                    #(#extract)*
                    #(let _ = &#names;)*
                    #check
                    ::core::result::Result::Ok(#amount)
                })
            }
            fn describe(schemas: &mut ::coinslot_sdk::Schemas) {
                #(#describe_inputs)*
                #answer::describe(schemas);
            }
            ::coinslot_sdk::__private::inventory::submit! {
                ::coinslot_sdk::__private::Endpoint {
                    method: #method,
                    path: #path,
                    price: ::coinslot_sdk::__private::Price::#price,
                    summary: #summary,
                    description: #description,
                    mime_type: #mime_type,
                    flow: #flow,
                    package: ::core::env!("CARGO_PKG_NAME"),
                    version: ::core::env!("CARGO_PKG_VERSION"),
                    serve,
                    quote,
                    describe,
                }
            }
        };
    })
}

/// The types of the function's arguments, after everything that can be said about the signature.
fn inputs(options: &Options, function: &ItemFn) -> Result<Vec<Type>> {
    let signature = &function.sig;
    if signature.asyncness.is_none() {
        return Err(Error::new(signature.fn_token.span(), "an endpoint is an async function: write `async fn`"));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new_spanned(&signature.generics, "an endpoint has no generic parameters"));
    }
    if let Some(unsafety) = &signature.unsafety {
        return Err(Error::new_spanned(
            unsafety,
            "an endpoint is called with what strangers send: it cannot be unsafe",
        ));
    }
    let mut types = Vec::new();
    for argument in &signature.inputs {
        match argument {
            FnArg::Typed(typed) => types.push((*typed.ty).clone()),
            FnArg::Receiver(receiver) => {
                return Err(Error::new_spanned(receiver, "an endpoint is a free function: it has no `self`"));
            }
        }
    }
    let has_path = types.iter().any(|ty| last_word(ty).is_some_and(|word| word == "Path"));
    if let (Some(first), false) = (options.template.params.first(), has_path) {
        return Err(Error::new(
            options.path.span(),
            format!("nothing reads {{{first}}}: add an argument `Path({first}): Path<String>`"),
        ));
    }
    let mut body = None;
    for ty in &types {
        let Some(word) = last_word(ty) else { continue };
        if word == "Path" && options.template.params.is_empty() {
            return Err(Error::new_spanned(ty, "the path of this endpoint has no parameter, as `{name}` would be"));
        }
        if !BODIES.contains(&word.as_str()) {
            continue;
        }
        if options.method.value() == "GET" {
            return Err(Error::new_spanned(
                ty,
                "a GET request has no body: use `post`, or read the query with `Query`",
            ));
        }
        if let Some(first) = body.replace(word.clone()) {
            return Err(Error::new_spanned(ty, format!("a request has one body, and `{first}` takes it")));
        }
    }
    Ok(types)
}

/// Where an error about this piece of code points. Names in generated code resolve as if the author
/// had written them beside the function.
fn at(piece: &impl Spanned) -> Span {
    piece.span().resolved_at(Span::call_site())
}

/// The last segment of a type's path: `Json` of `coinslot_sdk::Json<Snippet>`.
fn last_word(ty: &Type) -> Option<String> {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        _ => None,
    }
}

/// An exported macro lives at the crate's root wherever it is written, so a second definition is
/// an error even if the two endpoints stand in different modules. It is spanned at the path.
fn guard(options: &Options) -> TokenStream {
    let span = at(&options.path);
    let route = format!("one_endpoint_serves_{}{}", options.method.value(), options.template.key);
    let name = syn::Ident::new(&route, span);
    quote_spanned! { span=>
        #[doc(hidden)]
        #[macro_export]
        #[allow(unused_macros, non_snake_case)]
        macro_rules! #name { () => {}; }
    }
}

/// The function's doc comment, for want of a `description`: plain text, cut at the limit of the contract.
fn doc_comment(function: &ItemFn) -> LitStr {
    let mut lines = Vec::new();
    for attribute in &function.attrs {
        if let syn::Meta::NameValue(pair) = &attribute.meta
            && pair.path.is_ident("doc")
            && let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &pair.value
        {
            lines.push(text.value().trim().to_owned());
        }
    }
    let text: String = lines.join("\n").trim().chars().filter(|c| !c.is_control() || *c == '\n').take(2_000).collect();
    LitStr::new(&text, Span::call_site())
}
