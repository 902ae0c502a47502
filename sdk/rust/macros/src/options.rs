//! Parses the options in `#[endpoint(..)]`.

use proc_macro2::Span;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, LitInt, LitStr, Result, Token};

use crate::{path, price};

/// Longest summary and description, in characters, and longest media type, in bytes: the host's limits.
const MAX_SUMMARY: usize = 120;
const MAX_DESCRIPTION: usize = 2_000;
const MAX_MIME_TYPE: usize = 255;

/// The longest time of a pass, 366 days, and the most requests of one.
const MAX_PASS_SECONDS: u64 = 31_622_400;
const MAX_PASS_REQUESTS: u64 = 1_000_000;

/// A price, as in `coinslot:plugin/manifest.price`.
pub(crate) enum PriceOption {
    Free,
    Exact(LitStr),
    UpTo(LitStr),
    /// The function says how much.
    Quoted {
        at_most: LitStr,
        quote: syn::Path,
    },
}

/// A parsed and checked attribute.
pub(crate) struct Options {
    /// In upper case, with the span of the author's word.
    pub(crate) method: LitStr,
    pub(crate) path: LitStr,
    pub(crate) template: path::CheckedPath,
    pub(crate) price: PriceOption,
    pub(crate) summary: LitStr,
    pub(crate) description: Option<LitStr>,
    pub(crate) mime_type: Option<LitStr>,
    pub(crate) check: Option<syn::Path>,
    /// `authorization` or `upfront`.
    pub(crate) flow: Option<LitStr>,
    /// In the grammar of the contract: `seconds=3600; requests=100`.
    pub(crate) pass: Option<String>,
    /// Names of header fields, between commas.
    pub(crate) quote_headers: Option<LitStr>,
}

/// The options that have been read so far, each checked by itself.
#[derive(Default)]
struct PartialOptions {
    price: Option<PriceWord>,
    summary: Option<LitStr>,
    description: Option<LitStr>,
    mime_type: Option<LitStr>,
    check: Option<syn::Path>,
    quote: Option<syn::Path>,
    flow: Option<LitStr>,
    pass: Option<(Ident, String)>,
    quote_headers: Option<LitStr>,
}

/// A price as it is written, before `quote` is known.
enum PriceWord {
    Free,
    Exact(LitStr),
    UpTo(LitStr),
    Quoted(LitStr),
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let method = method(input)?;
        comma(input, "a path")?;
        let path: LitStr = string(input, "a path in quotes, as in \"/api/hello\"")?;
        let template = path::parse(&path.value()).map_err(|mistake| Error::new(path.span(), mistake))?;
        let mut options = PartialOptions::default();
        while !input.is_empty() {
            comma(input, "an option")?;
            if !input.is_empty() {
                options.parse_one(input)?;
            }
        }
        let price = price_option(options.price, options.quote, path.span())?;
        let Some(summary) = options.summary else {
            return Err(Error::new(path.span(), "say in one line what this endpoint sells: `summary = \"..\"`"));
        };
        let PartialOptions { description, mime_type, check, flow, pass, quote_headers, .. } = options;
        let pass = pass.map(|(name, pass)| pass_for(&price, &name, pass)).transpose()?;
        Ok(Self { method, path, template, price, summary, description, mime_type, check, flow, pass, quote_headers })
    }
}

impl PartialOptions {
    /// Parses one option and its value.
    fn parse_one(&mut self, input: ParseStream<'_>) -> Result<()> {
        let name: Ident = input.parse()?;
        let key = name.to_string();
        match key.as_str() {
            "free" | "price" | "up_to" | "quoted" => {
                if self.price.is_some() {
                    return Err(Error::new(name.span(), "an endpoint has one price; this is the second"));
                }
                self.price = Some(parse_price(&key, input)?);
                Ok(())
            }
            "summary" => once(&mut self.summary, &name, option_text(&name, input, MAX_SUMMARY)?),
            "description" => once(&mut self.description, &name, option_text(&name, input, MAX_DESCRIPTION)?),
            "mime_type" => once(&mut self.mime_type, &name, media_type(input)?),
            "check" => once(&mut self.check, &name, function(&name, input)?),
            "quote" => once(&mut self.quote, &name, function(&name, input)?),
            "flow" => once(&mut self.flow, &name, payment_flow(&name, input)?),
            "pass" => once(&mut self.pass, &name, (name.clone(), pass(&name, input)?)),
            "quote_headers" => once(&mut self.quote_headers, &name, header_names(&name, input)?),
            _ => Err(Error::new(
                name.span(),
                format!(
                    "unknown option `{key}`; there are `price`, `free`, `up_to`, `quoted`, `summary`, \
                     `description`, `mime_type`, `check`, `quote`, `quote_headers`, `flow` and `pass`"
                ),
            )),
        }
    }
}

/// Joins the price and the `quote` function: a quoted price needs one, and no other price takes one.
fn price_option(price: Option<PriceWord>, quote: Option<syn::Path>, path: Span) -> Result<PriceOption> {
    let Some(price) = price else {
        return Err(Error::new(
            path,
            "what does this endpoint cost? Write `price = \"0.01\"` (US dollars), \
             `quoted = \"0.50\"` with `quote = my_function`, or `free`",
        ));
    };
    match (price, quote) {
        (PriceWord::Quoted(amount), None) => {
            Err(Error::new(amount.span(), "a quoted price needs a function that says how much: `quote = my_function`"))
        }
        (PriceWord::Quoted(at_most), Some(quote)) => Ok(PriceOption::Quoted { at_most, quote }),
        (_, Some(function)) => Err(Error::new_spanned(
            function,
            "`quote` goes with `quoted = \"..\"`; to refuse bad input before a payment write `check = ..`",
        )),
        (PriceWord::Free, None) => Ok(PriceOption::Free),
        (PriceWord::Exact(amount), None) => Ok(PriceOption::Exact(amount)),
        (PriceWord::UpTo(amount), None) => Ok(PriceOption::UpTo(amount)),
    }
}

/// Parses names of header fields, between commas. The empty text names none.
fn header_names(name: &Ident, input: ParseStream<'_>) -> Result<LitStr> {
    let text = option_text(name, input, 1_000)?;
    let is_name = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let value = text.value();
    if value.is_empty() || value.split(',').all(|word| is_name(word.trim())) {
        Ok(text)
    } else {
        Err(Error::new(
            text.span(),
            "name header fields in lower case, with commas between them: `\"x-pages, accept-language\"`",
        ))
    }
}

/// Parses when the payment is settled.
fn payment_flow(name: &Ident, input: ParseStream<'_>) -> Result<LitStr> {
    let text = option_text(name, input, 16)?;
    match text.value().as_str() {
        "authorization" | "upfront" => Ok(text),
        _ => Err(Error::new(
            text.span(),
            "a payment flow is `\"authorization\"` (run, then settle) or `\"upfront\"` (settle, then run)",
        )),
    }
}

/// Parses `{ seconds = 3600, requests = 100 }`: the time and the number of further requests that a payment buys.
fn pass(name: &Ident, input: ParseStream<'_>) -> Result<String> {
    const EXAMPLE: &str = "a pass is `pass = { seconds = 3600, requests = 100 }`";
    let expected = |error: Error| Error::new(error.span(), EXAMPLE);
    input.parse::<Token![=]>()?;
    let content;
    syn::braced!(content in input);
    let (mut seconds, mut requests) = (None, None);
    while !content.is_empty() {
        let key: Ident = content.parse().map_err(expected)?;
        content.parse::<Token![=]>().map_err(expected)?;
        let number: LitInt = content.parse().map_err(expected)?;
        let (slot, most) = match key.to_string().as_str() {
            "seconds" => (&mut seconds, MAX_PASS_SECONDS),
            "requests" => (&mut requests, MAX_PASS_REQUESTS),
            _ => return Err(Error::new(key.span(), EXAMPLE)),
        };
        let value = number.base10_parse::<u64>().ok().filter(|value| (1..=most).contains(value));
        let value = value.ok_or_else(|| Error::new(number.span(), format!("`{key}` is from 1 to {most}")))?;
        once(slot, &key, value)?;
        if !content.is_empty() {
            content.parse::<Token![,]>().map_err(expected)?;
        }
    }
    match (seconds, requests) {
        (Some(seconds), Some(requests)) => Ok(format!("seconds={seconds}; requests={requests}")),
        _ => Err(Error::new(name.span(), EXAMPLE)),
    }
}

/// The pass of an endpoint at this price. Nobody buys one where nothing is paid, and where each request has its own price
/// no author can tell which of them a pass is worth.
fn pass_for(price: &PriceOption, name: &Ident, pass: String) -> Result<String> {
    match price {
        PriceOption::Exact(_) | PriceOption::UpTo(_) => Ok(pass),
        PriceOption::Free => Err(Error::new(name.span(), "a pass is bought by a payment, and this endpoint is free")),
        PriceOption::Quoted { .. } => Err(Error::new(
            name.span(),
            "a pass goes with `price = \"..\"`; where the price is quoted the operator may give one",
        )),
    }
}

fn method(input: ParseStream<'_>) -> Result<LitStr> {
    if input.is_empty() {
        return Err(Error::new(
            Span::call_site(),
            "write a method, a path, a price and a summary: \
             `#[endpoint(get, \"/hello\", price = \"0.01\", summary = \"..\")]`",
        ));
    }
    let word: Ident = input
        .parse()
        .map_err(|error| Error::new(error.span(), "expected a method: `get`, `post`, `put`, `patch` or `delete`"))?;
    let upper = word.to_string().to_ascii_uppercase();
    match upper.as_str() {
        "GET" | "POST" | "PUT" | "PATCH" | "DELETE" => Ok(LitStr::new(&upper, word.span())),
        "HEAD" | "OPTIONS" => {
            Err(Error::new(word.span(), format!("the host answers {upper} requests; a plugin cannot serve them")))
        }
        _ => Err(Error::new(
            word.span(),
            "not a method that a plugin can serve; there are `get`, `post`, `put`, `patch` and `delete`",
        )),
    }
}

fn parse_price(key: &str, input: ParseStream<'_>) -> Result<PriceWord> {
    if key == "free" {
        return Ok(PriceWord::Free);
    }
    input.parse::<Token![=]>()?;
    if key == "price" && input.peek(Ident) {
        let word: Ident = input.parse()?;
        return match word == "free" {
            true => Ok(PriceWord::Free),
            false => Err(Error::new(word.span(), "a price is an amount in quotes, as in \"0.01\", or the word `free`")),
        };
    }
    let amount = string(input, "an amount in quotes, as in \"0.01\"")?;
    price::check(&amount.value()).map_err(|message| Error::new(amount.span(), message))?;
    Ok(match key {
        "up_to" => PriceWord::UpTo(amount),
        "quoted" => PriceWord::Quoted(amount),
        _ => PriceWord::Exact(amount),
    })
}

fn option_text(name: &Ident, input: ParseStream<'_>, limit: usize) -> Result<LitStr> {
    input.parse::<Token![=]>()?;
    let text = string(input, "a text in quotes")?;
    let value = text.value();
    if name == "summary" && value.trim().is_empty() {
        return Err(Error::new(text.span(), "say in one line what this endpoint sells"));
    }
    if value.chars().any(|c| c.is_control() && (name == "summary" || c != '\n')) {
        return Err(Error::new(text.span(), format!("a {name} is plain text without control characters")));
    }
    let length = value.chars().count();
    if length > limit {
        return Err(Error::new(text.span(), format!("this {name} has {length} characters; the limit is {limit}")));
    }
    Ok(text)
}

/// Parses a media type (RFC 9110, section 8.3.1): two tokens, then parameters, of which only the characters are
/// checked.
fn media_type(input: ParseStream<'_>) -> Result<LitStr> {
    input.parse::<Token![=]>()?;
    let text = string(input, "a media type in quotes, as in \"image/png\"")?;
    let value = text.value();
    let essence = value.split(';').next().unwrap_or_default().trim_end();
    let token = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    let good = essence.split_once('/').is_some_and(|(kind, sub)| token(kind) && token(sub))
        && value.len() <= MAX_MIME_TYPE
        && value.bytes().all(|b| (b' '..=b'~').contains(&b));
    match good {
        true => Ok(text),
        false => Err(Error::new(text.span(), format!("{value:?} is not a media type; write one as in \"image/png\""))),
    }
}

fn function(name: &Ident, input: ParseStream<'_>) -> Result<syn::Path> {
    input.parse::<Token![=]>()?;
    input
        .parse()
        .map_err(|error| Error::new(error.span(), format!("`{name}` takes the name of a function, without quotes")))
}

fn once<T>(slot: &mut Option<T>, name: &Ident, value: T) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::new(name.span(), format!("`{name}` stands twice"))),
    }
}

fn comma(input: ParseStream<'_>, next: &str) -> Result<()> {
    input
        .parse::<Token![,]>()
        .map(drop)
        .map_err(|error| Error::new(error.span(), format!("expected a comma and {next}")))
}

fn string(input: ParseStream<'_>, what: &str) -> Result<LitStr> {
    input.parse().map_err(|error| Error::new(error.span(), format!("expected {what}")))
}
