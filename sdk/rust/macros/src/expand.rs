//! Generates the code of an endpoint.
//!
//! The function stays as it was written, so a test can call it. The generated code adds three private functions (serve,
//! quote, describe), the registration that names them, and a macro that makes a second endpoint on the same route a
//! compile error.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{ItemFn, LitStr, Result, ReturnType, Type};

use crate::options::{Options, PriceOption};
use crate::signature;

/// The arguments and the answer of an endpoint, as the generated functions need them.
struct Signature {
    /// The types of the arguments.
    inputs: Vec<Type>,
    /// A variable for each argument.
    names: Vec<syn::Ident>,
    /// The output type as an `Answer`.
    answer: TokenStream,
    /// Waits for the function's answer if it is an async function.
    wait: Option<TokenStream>,
}

/// Generates everything that stands in place of the attribute and its function.
pub(crate) fn endpoint(options: Options, function: &ItemFn) -> Result<TokenStream> {
    let inputs = signature::inputs(&options, function)?;
    let names = (0..inputs.len()).map(|i| format_ident!("input{i}")).collect();
    let output: Type = match &function.sig.output {
        ReturnType::Type(_, ty) => (**ty).clone(),
        ReturnType::Default => syn::parse_quote_spanned!(function.sig.ident.span()=> ()),
    };
    let answer = quote_spanned! { at(&output)=> <#output as ::coinslot_sdk::Answer> };
    let wait = function.sig.asyncness.map(|_| quote!(.await));
    let signature = Signature { inputs, names, answer, wait };

    let guard = guard(&options);
    let functions = functions(&options, &signature, &function.sig.ident);
    let registration = registration(&options, &signature, function);
    Ok(quote! {
        #function
        #guard
        const _: () = {
            #functions
            #registration
        };
    })
}

/// Generates the functions `serve`, `quote` and `describe`.
fn functions(options: &Options, signature: &Signature, endpoint: &syn::Ident) -> TokenStream {
    let Signature { inputs, names, answer, wait } = signature;
    let extract = names.iter().zip(inputs).map(|(name, ty)| {
        quote_spanned! { at(ty)=> let #name = <#ty as ::coinslot_sdk::Extract>::extract(request).await?; }
    });
    let extract: Vec<_> = extract.collect();
    let describe_inputs = inputs.iter().map(|ty| {
        quote_spanned! { at(ty)=> <#ty as ::coinslot_sdk::Extract>::describe(schemas); }
    });
    let check = options.check.as_ref().map(|check| quote_spanned! { at(check)=> #check(#(&#names),*)?; });
    let amount = match &options.price {
        PriceOption::Free => quote!(::coinslot_sdk::Amount::ZERO),
        PriceOption::Exact(text) | PriceOption::UpTo(text) => quote!(::coinslot_sdk::Amount::declared(#text)),
        PriceOption::Quoted { quote, .. } => {
            let quoted = quote_spanned! { at(quote)=> #quote(#(&#names),*)? };
            quote!(::coinslot_sdk::__private::quoted(#quoted))
        }
    };
    quote! {
        #[allow(unused_variables, reason = "an endpoint may have no argument")]
        fn serve(mut request: ::coinslot_sdk::Request) -> ::coinslot_sdk::__private::ServeFuture {
            ::std::boxed::Box::pin(async move {
                let request = &mut request;
                #(#extract)*
                let answer = #endpoint(#(#names),*)#wait;
                ::core::result::Result::Ok(#answer::into_response(answer))
            })
        }
        #[allow(unused_variables, reason = "an endpoint may have no argument")]
        fn quote(mut request: ::coinslot_sdk::Request) -> ::coinslot_sdk::__private::QuoteFuture {
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
    }
}

/// Generates the registration of the endpoint.
fn registration(options: &Options, signature: &Signature, function: &ItemFn) -> TokenStream {
    let Options { method, path, summary, .. } = options;
    let price = match &options.price {
        PriceOption::Free => quote!(Free),
        PriceOption::Exact(text) => quote!(Exact(#text)),
        PriceOption::UpTo(text) => quote!(UpTo(#text)),
        PriceOption::Quoted { at_most, .. } => quote!(Quoted(#at_most)),
    };
    let description = options.description.clone().unwrap_or_else(|| doc_comment(function));
    let answer = &signature.answer;
    let mime_type = match &options.mime_type {
        Some(text) => quote!(#text),
        None => quote!(#answer::MIME_TYPE),
    };
    let flow = match &options.flow {
        Some(flow) => quote!(::core::option::Option::Some(#flow)),
        None => quote!(::core::option::Option::None),
    };
    let pass = match &options.pass {
        Some(pass) => quote!(::core::option::Option::Some(#pass)),
        None => quote!(::core::option::Option::None),
    };
    let quote_headers = match &options.quote_headers {
        Some(names) => quote!(::std::borrow::Cow::Borrowed(#names)),
        None => quote!(::std::borrow::Cow::Borrowed("")),
    };
    quote! {
        ::coinslot_sdk::__private::inventory::submit! {
            ::coinslot_sdk::__private::Registration {
                declared: ::coinslot_sdk::__private::DeclaredEndpoint {
                    method: #method,
                    path: #path,
                    price: ::coinslot_sdk::__private::Price::#price,
                    summary: #summary,
                    description: #description,
                    mime_type: #mime_type,
                    flow: #flow,
                    pass: #pass,
                    quote_headers: #quote_headers,
                    input_schema: ::core::option::Option::None,
                    output_schema: ::core::option::Option::None,
                },
                package: ::core::env!("CARGO_PKG_NAME"),
                version: ::core::env!("CARGO_PKG_VERSION"),
                serve,
                quote,
                describe,
            }
        }
    }
}

/// The span for an error about this piece of code. Names in code with this span resolve as if the author had written
/// them beside the function.
fn at(piece: &impl Spanned) -> Span {
    piece.span().resolved_at(Span::call_site())
}

/// Generates a macro whose name is the route: a second endpoint on the route defines it twice, which is an error, also
/// where `routes` does not see both.
///
/// An exported macro lives at the crate's root wherever it is written, so the two endpoints may stand in different
/// modules. The macro is spanned at the path, where the error then points.
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

/// The function's doc comment as the endpoint's description: plain text, cut at the contract's limit.
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
