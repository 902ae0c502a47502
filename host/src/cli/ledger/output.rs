//! How the books are written: a table for people, JSON lines or CSV for programs.
//!
//! Some texts come from strangers (a plugin's path, a facilitator's reason): control characters do not
//! reach a terminal, and no field of a CSV file begins like a formula of a spreadsheet.

use std::io::{BufWriter, ErrorKind, Write};

use clap::ValueEnum;
use comfy_table::{Table, presets};
use serde_json::Value;

use crate::cli::Failure;
use coinslot_x402::Object;

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Table,
    Json,
    Csv,
}

/// Where it goes. A reader that has gone, such as `head`, ends it quietly.
pub(super) struct Out<'o> {
    to: BufWriter<Box<dyn Write + Send + 'o>>,
    gone: bool,
}

impl<'o> Out<'o> {
    pub(super) fn stdout() -> Self {
        Self::to(std::io::stdout())
    }

    pub(super) fn to(to: impl Write + Send + 'o) -> Self {
        Self { to: BufWriter::new(Box::new(to)), gone: false }
    }

    pub(super) fn line(&mut self, text: &str) -> Result<(), Failure> {
        let written = writeln!(self.to, "{text}");
        self.done(written)
    }

    /// For people: only beside a table.
    pub(super) fn note(&mut self, format: Format, text: &str) -> Result<(), Failure> {
        match format {
            Format::Table => self.line(text).and_then(|()| self.flush()),
            Format::Json | Format::Csv => Ok(()),
        }
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        let written = self.to.flush();
        self.done(written)
    }

    fn done(&mut self, written: std::io::Result<()>) -> Result<(), Failure> {
        match written {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(())
            }
            Err(error) => Err(Failure::new(format!("cannot write to stdout: {error}"))),
        }
    }
}

/// Records as they come; a table is held until its end.
pub(super) struct Lines<'c> {
    format: Format,
    columns: &'c [&'c str],
    table: Table,
    count: u64,
}

impl<'c> Lines<'c> {
    /// `columns` name the values of a record, `headings` stand over the cells of a table.
    pub(super) fn new(format: Format, columns: &'c [&'c str], headings: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(headings.to_vec());
        Self { format, columns, table, count: 0 }
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Makes only what the format needs.
    pub(super) fn add(
        &mut self,
        out: &mut Out<'_>,
        record: impl FnOnce() -> Vec<Value>,
        cells: impl FnOnce() -> Vec<String>,
    ) -> Result<(), Failure> {
        if out.gone {
            return Ok(());
        }
        match self.format {
            Format::Table => {
                self.table.add_row(cells().iter().map(|cell| printable(cell)).collect::<Vec<_>>());
            }
            Format::Json => {
                let object: Object = self.columns.iter().map(|name| (*name).to_owned()).zip(record()).collect();
                out.line(&Value::Object(object).to_string())?;
            }
            Format::Csv => {
                self.header(out)?;
                out.line(&record().iter().map(field).collect::<Vec<_>>().join(","))?;
            }
        }
        self.count += 1;
        Ok(())
    }

    /// Without any record a table says `nothing` in its place, and a CSV file is its header.
    pub(super) fn end(&mut self, out: &mut Out<'_>, nothing: &str) -> Result<(), Failure> {
        match self.format {
            Format::Table if self.count == 0 => out.line(nothing)?,
            Format::Table => out.line(&self.table.trim_fmt())?,
            Format::Json => {}
            Format::Csv => self.header(out)?,
        }
        out.flush()
    }

    fn header(&self, out: &mut Out<'_>) -> Result<(), Failure> {
        if self.count == 0 { out.line(&self.columns.join(",")) } else { Ok(()) }
    }
}

/// The text of a value, without quotes.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A field of RFC 4180.
fn field(value: &Value) -> String {
    let mut text = plain(value);
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        text.insert(0, '\'');
    }
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// `0x1234..abcd` of an address or a hash.
pub(super) fn short(text: &str) -> String {
    match (text.get(..6), text.len().checked_sub(4).and_then(|at| text.get(at..))) {
        (Some(start), Some(end)) if text.len() > 12 => format!("{start}..{end}"),
        _ => text.to_owned(),
    }
}
