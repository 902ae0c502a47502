//! Checks the signature of an endpoint.

use syn::{Error, FnArg, GenericArgument, ItemFn, PathArguments, PathSegment, Result, ReturnType, Type};

use crate::options::{Options, PriceOption};

/// Extractors that take the request's body, of which there is one.
const BODIES: [&str; 6] = ["Json", "Form", "Multipart", "Bytes", "String", "Body"];

/// Extractors that read any header fields, most of which a quote does not see.
const HEADERS: [&str; 2] = ["Headers", "HeaderMap"];

/// Checks the function's signature, and returns the types of its arguments.
pub(crate) fn inputs(options: &Options, function: &ItemFn) -> Result<Vec<Type>> {
    let signature = &function.sig;
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
    check_error(&signature.output)?;
    check_path(options, &types)?;
    check_body(options, &types)?;
    check_headers(options, &types)?;
    Ok(types)
}

/// Checks that the error is none of the one kind of box that does not convert into the other.
fn check_error(output: &ReturnType) -> Result<()> {
    let ReturnType::Type(_, output) = output else { return Ok(()) };
    let error = last_segment(output).filter(|last| last.ident == "Result").and_then(|last| generic(last, 1));
    let boxed = error.and_then(last_segment).filter(|last| last.ident == "Box").and_then(|last| generic(last, 0));
    match boxed {
        Some(Type::TraitObject(object)) if object.bounds.len() > 1 => Err(Error::new_spanned(
            object,
            "an endpoint's own error need not pass between threads: return `coinslot_sdk::Result<T>`, in which `?` \
             takes any error, or write `Box<dyn Error>`",
        )),
        _ => Ok(()),
    }
}

/// Checks that an argument reads the path's parameters exactly if there are any.
fn check_path(options: &Options, types: &[Type]) -> Result<()> {
    let reads_path = types.iter().find(|ty| extractor(ty).is_some_and(|word| word == "Path"));
    match (options.template.params.first(), reads_path) {
        (Some(first), None) => Err(Error::new(
            options.path.span(),
            format!("nothing reads {{{first}}}: add an argument `Path({first}): Path<String>`"),
        )),
        (None, Some(ty)) => {
            Err(Error::new_spanned(ty, "the path of this endpoint has no parameter, as `{name}` would be"))
        }
        (Some(_), Some(_)) | (None, None) => Ok(()),
    }
}

/// Checks that at most one argument reads the body, and none for GET.
fn check_body(options: &Options, types: &[Type]) -> Result<()> {
    let mut body: Option<String> = None;
    for ty in types {
        let Some(word) = extractor(ty).filter(|word| BODIES.contains(&word.as_str())) else { continue };
        if options.method.value() == "GET" {
            return Err(Error::new_spanned(
                ty,
                "a GET request has no body: use `post`, or read the query with `Query`",
            ));
        }
        if let Some(first) = body.replace(word) {
            return Err(Error::new_spanned(ty, format!("a request has one body, and `{first}` takes it")));
        }
    }
    Ok(())
}

/// Checks that `quote_headers` says which header fields a `quote` or `check` function sees, if it is given any.
///
/// The host shows a quote no other fields, so a price by a field that is not named would be that of a request without
/// it.
fn check_headers(options: &Options, types: &[Type]) -> Result<()> {
    let function = match (&options.price, &options.check) {
        (PriceOption::Quoted { .. }, _) => "quote",
        (PriceOption::Free | PriceOption::Exact(_) | PriceOption::UpTo(_), Some(_)) => "check",
        (PriceOption::Free | PriceOption::Exact(_) | PriceOption::UpTo(_), None) => return Ok(()),
    };
    let reads_headers = types.iter().find(|ty| extractor(ty).is_some_and(|word| HEADERS.contains(&word.as_str())));
    match (reads_headers, &options.quote_headers) {
        (Some(ty), None) => Err(Error::new_spanned(
            ty,
            format!(
                "`{function}` sees only the header fields that the endpoint names: write `quote_headers = \"x-tier\"` \
                 with those that it reads, or `quote_headers = \"\"` if it reads none"
            ),
        )),
        (Some(_), Some(_)) | (None, _) => Ok(()),
    }
}

/// The name of the extractor: `Json` of `coinslot_sdk::Json<Snippet>`, of `Option<Json<Snippet>>` and of
/// `Result<Json<Snippet>, Refusal>`.
fn extractor(ty: &Type) -> Option<String> {
    let last = last_segment(ty)?;
    match generic(last, 0) {
        Some(inner) if last.ident == "Option" || last.ident == "Result" => extractor(inner),
        _ => Some(last.ident.to_string()),
    }
}

/// The last segment of a type's path.
fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match ty {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

/// A type between the angle brackets of a segment.
fn generic(segment: &PathSegment, index: usize) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    match arguments.args.get(index)? {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    }
}
