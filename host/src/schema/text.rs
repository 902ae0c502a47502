//! Reads bytes as the string that a schema is about.
//!
//! A schema counts characters (`minLength`, `maxLength`), and an author who bounds a file means its bytes. So a file is
//! a string with one character for each byte, with the code points from 0 to 255, and its lengths are those of the
//! file.

/// Media types of text that have no `text/` before them.
const TEXTS: [&str; 8] = [
    "application/graphql",
    "application/javascript",
    "application/sql",
    "application/toml",
    "application/x-ndjson",
    "application/x-www-form-urlencoded",
    "application/xml",
    "application/yaml",
];

/// The string of a text: its characters. Bytes that are no UTF-8 are read one by one, as those of a file.
pub(super) fn of_text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| of_file(bytes), ToOwned::to_owned)
}

/// The string of a file: a character for each byte.
pub(super) fn of_file(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// A media type without its parameters, in lower case.
pub(crate) fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// True for the essence of a media type whose content is text.
pub(crate) fn is_text(essence: &str) -> bool {
    let suffixes = ["+json", "+xml", "+yaml"];
    essence.starts_with("text/") || TEXTS.contains(&essence) || suffixes.iter().any(|suffix| essence.ends_with(suffix))
}
