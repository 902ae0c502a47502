//! Reads source files, within bounds that keep a foreign one from ending the process.

use std::path::Path;

/// The largest file that is read as a module, in bytes.
const MAX_MODULE: u64 = 32 << 20;
/// The most levels of brackets in a module, of which each takes some hundred bytes of the parser's stack: beyond it the
/// parser would end the process. No text that people write or tools make has as many.
const MAX_NESTING: usize = 100_000;
/// The stack of a parser, in bytes, of which only what is used takes memory.
const PARSER_STACK: usize = 1 << 30;

/// The text of a regular file of a bounded size. A pipe would never end.
pub(super) fn read(path: &Path) -> std::io::Result<String> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    let size = metadata.len();
    if size > MAX_MODULE {
        return Err(std::io::Error::other(format!("a module of {size} bytes is too large: {MAX_MODULE} at most")));
    }
    std::fs::read_to_string(path)
}

/// Refuses a source that is nested so deeply that the parser would end the process.
pub(super) fn check_nesting(file: &str, source: &str) -> Result<(), String> {
    if nesting(source) <= MAX_NESTING {
        return Ok(());
    }
    Err(format!("{file}: its brackets are nested more than {MAX_NESTING} levels deep"))
}

/// The deepest level of brackets, roughly: those in texts and comments count, too.
fn nesting(source: &str) -> usize {
    let (mut level, mut deepest) = (0_usize, 0);
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => level += 1,
            b')' | b']' | b'}' => level = level.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(level);
    }
    deepest
}

/// Runs a parser, which calls itself for each level of the source. A source with very many levels would end the process
/// on the stack of an evaluation.
pub(super) fn on_a_large_stack<T: Send>(parse: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(PARSER_STACK).spawn_scoped(scope, parse);
        let parsed = thread.map_err(|error| error.to_string())?.join();
        parsed.unwrap_or_else(|_| Err("the parser failed".to_owned()))
    })
}

/// A module whose default export is a JSON document, which the engine parses: as an expression, `__proto__` is no key.
pub(super) fn json(file: &str, source: &str) -> Result<String, String> {
    serde_json::from_str::<serde::de::IgnoredAny>(source)
        .map_err(|error| format!("{file}:{}:{}: {error}", error.line(), error.column()))?;
    Ok(format!("export default JSON.parse({});", serde_json::Value::from(source)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parser ended the process, which a build and a `dev` share with it.
    #[test]
    fn a_source_that_the_parser_could_not_survive_is_refused() {
        let nested = |levels: usize| format!("a = {}1{};", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(check_nesting("a.ts", &nested(MAX_NESTING - 1)), Ok(()));
        assert!(check_nesting("a.ts", &nested(5_000_000)).is_err_and(|error| error.starts_with("a.ts: its brackets")));
        assert_eq!(check_nesting("a.ts", &"f([{}]);".repeat(1_000_000)), Ok(()), "they are beside each other");
    }
}
