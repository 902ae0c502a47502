//! Writes messages about a place in a source: `plugin.ts:41:9`, the cause, the line, and a mark below it.

use std::fmt::Write as _;

/// The line and the column of a byte, from 1.
pub(super) fn position(source: &str, offset: usize) -> (usize, usize) {
    let before = source.get(..offset).unwrap_or(source);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// The byte at a line and a column, both from 1. None if the source has no such line.
pub(super) fn offset(source: &str, line: usize, column: usize) -> Option<usize> {
    let text = source.split('\n').nth(line.checked_sub(1)?)?;
    let before: usize = source.split('\n').take(line - 1).map(|line| line.len() + 1).sum();
    let inside = text.char_indices().nth(column.checked_sub(1)?).map_or(text.len(), |(at, _)| at);
    Some(before + inside)
}

/// A message with its place. The line of the source follows if it is short enough to be read.
pub(super) fn message(file: &str, source: &str, span: (usize, usize), cause: &str) -> String {
    let (line, column) = position(source, span.0);
    let mut text = format!("{file}:{line}:{column}: {cause}");
    let shown = source.lines().nth(line - 1).unwrap_or_default();
    if shown.chars().count() <= 200 {
        let end = source.get(span.0..span.1).map_or(1, |marked| marked.lines().next().map_or(1, |l| l.chars().count()));
        // Tabs stay, so that the mark is below what it marks.
        let indent: String = shown.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let _ = write!(text, "\n  {shown}\n  {indent}{}", "^".repeat(end.max(1)));
    }
    text
}
