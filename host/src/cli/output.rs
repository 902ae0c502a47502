//! Writes records as a table for people, or as JSON lines or CSV for programs.
//!
//! Some texts come from outside (a plugin's path, a facilitator's reason). JSON escapes the characters in them that
//! drive a terminal; a table and CSV replace them, because CSV has no escapes and is read in terminals, too. No field
//! of a CSV file begins like a formula of a spreadsheet.

use std::io::{BufWriter, ErrorKind, Write};

use clap::ValueEnum;
use coinslot_base::text::{escaped_json, excerpt, printable_lines};
use coinslot_x402::Object;
use comfy_table::{Table, presets};
use serde_json::Value;

use crate::cli::{Failure, print};

/// The most characters of a cell of a table. JSON lines and CSV have the whole text.
const CELL: usize = 120;

/// The values of `--format`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum OutputFormat {
    Table,
    Json,
    Csv,
}

/// The destination of a report. When its reader closes it, as `head` does, the rest is dropped without an error.
pub(in crate::cli) struct Output<'o> {
    to: BufWriter<Box<dyn Write + Send + 'o>>,
    closed: bool,
}

impl<'o> Output<'o> {
    pub(in crate::cli) fn stdout() -> Self {
        Self::to(std::io::stdout())
    }

    pub(in crate::cli) fn to(to: impl Write + Send + 'o) -> Self {
        Self { to: BufWriter::new(Box::new(to)), closed: false }
    }

    pub(in crate::cli) fn line(&mut self, text: &str) -> Result<(), Failure> {
        let written = writeln!(self.to, "{}", printable_lines(text));
        self.done(written)
    }

    pub(in crate::cli) fn json(&mut self, value: &Value) -> Result<(), Failure> {
        self.line(&escaped_json(&value.to_string()))
    }

    /// Clears the terminal, for a print that takes the place of the one before.
    pub(in crate::cli) fn clear(&mut self) -> Result<(), Failure> {
        // Erase the display, and move to its first line (ECMA-48).
        let written = self.to.write_all(b"\x1b[2J\x1b[H");
        self.done(written)
    }

    /// True once the reader of the output has gone.
    pub(in crate::cli) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Writes a line for people, beside a table and nowhere else.
    pub(in crate::cli) fn note(&mut self, format: OutputFormat, text: &str) -> Result<(), Failure> {
        match format {
            OutputFormat::Table => self.line(text).and_then(|()| self.flush()),
            OutputFormat::Json | OutputFormat::Csv => Ok(()),
        }
    }

    pub(in crate::cli) fn flush(&mut self) -> Result<(), Failure> {
        let written = self.to.flush();
        self.done(written)
    }

    fn done(&mut self, written: std::io::Result<()>) -> Result<(), Failure> {
        match written {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(error) => print::ended(&error),
        }
    }
}

/// Writes records of one kind. JSON lines and CSV go out as records come; a table is held until its end, because its
/// columns are as wide as their widest cells.
pub(in crate::cli) struct RecordWriter<'c> {
    format: OutputFormat,
    columns: &'c [&'c str],
    table: Table,
    count: u64,
}

impl<'c> RecordWriter<'c> {
    /// `columns` name the values of a record for programs, `headings` stand over the cells of a table.
    pub(in crate::cli) fn new(format: OutputFormat, columns: &'c [&'c str], headings: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(headings.to_vec());
        Self { format, columns, table, count: 0 }
    }

    pub(in crate::cli) fn format(&self) -> OutputFormat {
        self.format
    }

    /// Writes one record. Of both closures only that which the format needs is called.
    pub(in crate::cli) fn add(
        &mut self,
        out: &mut Output<'_>,
        record: impl FnOnce() -> Vec<Value>,
        cells: impl FnOnce() -> Vec<String>,
    ) -> Result<(), Failure> {
        if out.closed {
            return Ok(());
        }
        match self.format {
            OutputFormat::Table => {
                self.table.add_row(cells().iter().map(|text| cell(text)).collect::<Vec<_>>());
            }
            OutputFormat::Json => {
                let object: Object = self.columns.iter().map(|name| (*name).to_owned()).zip(record()).collect();
                out.json(&Value::Object(object))?;
            }
            OutputFormat::Csv => {
                self.header(out)?;
                out.line(&record().iter().map(field).collect::<Vec<_>>().join(","))?;
            }
        }
        self.count += 1;
        Ok(())
    }

    /// Ends the records. Without any a table is the line `nothing`, and a CSV file is its header.
    pub(in crate::cli) fn end(&mut self, out: &mut Output<'_>, nothing: &str) -> Result<(), Failure> {
        match self.format {
            OutputFormat::Table if self.count == 0 => out.line(nothing)?,
            OutputFormat::Table => out.line(&self.table.trim_fmt())?,
            OutputFormat::Json => {}
            OutputFormat::Csv => self.header(out)?,
        }
        out.flush()
    }

    fn header(&self, out: &mut Output<'_>) -> Result<(), Failure> {
        if self.count == 0 { out.line(&self.columns.join(",")) } else { Ok(()) }
    }
}

/// A text as a cell of a table: its first line, which says what happened; a trap's backtrace follows it.
fn cell(text: &str) -> String {
    excerpt(text.lines().next().unwrap_or_default(), CELL)
}

/// The text of a JSON value, without the quotes of a string.
pub(in crate::cli) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A field of CSV as RFC 4180 has it. A text that a spreadsheet would run as a formula gets a quote before it. Some
/// spreadsheets take the full-width forms of the characters for the same (OWASP, "CSV Injection").
fn field(value: &Value) -> String {
    let mut text = plain(value);
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']) {
        text.insert(0, '\'');
    }
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// Shortens an address or a hash for people: `0x1234..abcd`.
pub(in crate::cli) fn short(text: &str) -> String {
    match (text.get(..6), text.len().checked_sub(4).and_then(|at| text.get(at..))) {
        (Some(start), Some(end)) if text.len() > 12 => format!("{start}..{end}"),
        _ => text.to_owned(),
    }
}
