//! Reads source files, within bounds that keep a foreign one from ending the process.

use std::path::Path;

use self::depth::Syntax;
use super::place;

mod depth;

/// The largest file that is read as a module, in bytes.
const MAX_MODULE: u64 = 32 << 20;
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
    let has_elements = file.ends_with(".tsx") || file.ends_with(".jsx");
    if depth::is_bounded(source, if has_elements { Syntax::Jsx } else { Syntax::Script }) {
        return Ok(());
    }
    Err(format!("{file}: an expression, a statement or a type in it is nested too deeply: divide it"))
}

/// Refuses a character that the engine takes for the end of a source.
pub(super) fn check_characters(file: &str, source: &str) -> Result<(), String> {
    match source.find('\0') {
        Some(at) => Err(place::message(
            file,
            source,
            (at, at + 1),
            "a source cannot have the character U+0000 here: write it as \\0, and keep binary data in another encoding",
        )),
        None => Ok(()),
    }
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
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    serde_json::from_str::<serde::de::IgnoredAny>(source)
        .map_err(|error| format!("{file}:{}:{}: {error}", error.line(), error.column()))?;
    Ok(format!("export default JSON.parse({});", serde_json::Value::from(source)))
}

#[cfg(test)]
mod tests {
    use super::super::typescript;
    use super::*;

    /// The parser ended the process, which a build and a `dev` share with it.
    #[test]
    fn what_is_not_refused_for_its_nesting_is_parsed_without_the_end_of_the_process() {
        let parsed = |file: &str, source: &str| {
            check_nesting(file, source)?;
            on_a_large_stack(|| typescript::to_javascript(file, source)).map(drop)
        };
        for (file, begin, level, end) in [
            ("a.ts", "a = ", "[", "]"),
            ("a.ts", "a = ", "!", ""),
            ("a.ts", "a = ", "a=>", ""),
            ("a.ts", "a = ", "a?b:", ""),
            ("a.ts", "", "if(a)", ""),
            ("a.ts", "if(a)b", ";else if(a)b", ""),
            ("a.ts", "let a: ", "A<", ">"),
            ("a.ts", "a = b", "()", ""),
            ("a.ts", "a = b", ".b", ""),
            ("a.ts", "a = b", "+b", ""),
            ("a.tsx", "a = ", "<b>", "</b>"),
            ("a.ts", "namespace a", ".a", ""),
            ("a.ts", "let a: b", ".b", ""),
            ("a.ts", "import a = b", ".b", ""),
            ("a.tsx", "a = <b", ".b", ""),
        ] {
            for levels in [15_000, 240_000, 3_000_000] {
                // Refused or not: the process is still there.
                let done = parsed(file, &format!("{begin}{}0{};", level.repeat(levels), end.repeat(levels)));
                assert!(
                    levels < 3_000_000 || done.is_err_and(|error| error.contains("too deeply")),
                    "{level} {levels}"
                );
            }
        }
    }
}
