//! Log lines: what a guest prints to stdout and stderr, on its way into the operator's log.

use arbitrary::{Result, Unstructured};
use coinslot_plugin::fuzzing::{Printed, log_lines};

/// The longest line in the log, in bytes, before its characters are made printable.
const LINE: usize = 8 << 10;
/// Bytes that a line counts for at least.
const LINE_COST: usize = 128;
/// A character that is replaced has up to three bytes for one.
const GROWTH: usize = 3;
/// Seconds of a plugin's rate that it may print at once.
const BURST: usize = 16;
/// The most bytes that one input prints.
const MOST: usize = 256 << 10;
/// Limit and rate of a guest that may print whatever fits into an input.
const PLENTY: usize = 1 << 30;

/// What one request prints.
struct Output {
    limit: usize,
    rate: usize,
    pieces: Vec<Piece>,
}

struct Piece {
    to_stderr: bool,
    bytes: Vec<u8>,
}

/// Prints, and checks that lines are printable, short, bounded in number, and complete within the limits.
pub fn run(data: &[u8]) {
    let Ok(output) = output(&mut Unstructured::new(data)) else { return };
    if output.pieces.iter().map(|piece| piece.bytes.len()).sum::<usize>() > MOST {
        return;
    }
    let printed: Vec<Printed<'_>> = output.pieces.iter().map(Piece::as_printed).collect();
    check_bounds(&printed, output.limit, output.rate);
    for to_stderr in [false, true] {
        check_text(&printed.iter().copied().filter(|piece| piece.to_stderr == to_stderr).collect::<Vec<_>>());
    }
}

impl Piece {
    fn as_printed(&self) -> Printed<'_> {
        Printed { to_stderr: self.to_stderr, bytes: &self.bytes }
    }
}

fn output(input: &mut Unstructured<'_>) -> Result<Output> {
    let (limit, rate) = (usize::from(input.arbitrary::<u16>()?), usize::from(input.arbitrary::<u16>()?));
    let mut pieces = Vec::new();
    while !input.is_empty() {
        let (to_stderr, times, length) = (input.arbitrary()?, input.arbitrary::<u8>()?, input.arbitrary::<u8>()?);
        let bytes = input.bytes(usize::from(length).min(input.len()))?;
        pieces.push(Piece { to_stderr, bytes: bytes.repeat(1 + usize::from(times)) });
    }
    Ok(Output { limit, rate, pieces })
}

/// Neither many bytes nor many lines get into the log beyond the limits, and no line can be taken for two.
fn check_bounds(printed: &[Printed<'_>], limit: usize, rate: usize) {
    let lines = log_lines(limit, rate, printed);
    for line in &lines {
        crate::assert_printable(line, GROWTH * LINE);
    }
    // Two lines that were not ended, the sentence about the request's limit, and one that exceeds it.
    let request = limit / LINE_COST + 4;
    assert!(lines.len() <= request + 2, "{} lines with a limit of {limit} bytes", lines.len());
    let bytes: usize = lines.iter().map(String::len).sum();
    assert!(bytes <= GROWTH * limit + LINE + 512, "{bytes} bytes with a limit of {limit}");
    // The sentences about the plugin's rate come on top. A second may pass meanwhile.
    let over_time = (BURST + 60) * rate / LINE_COST + 3;
    assert!(lines.len() <= over_time, "{} lines with a rate of {rate} bytes", lines.len());
}

/// Within the limits the log has every byte of a stream, in order. Line ends and the breaks of long lines are not
/// compared: a break depends on the pieces.
fn check_text(printed: &[Printed<'_>]) {
    let lines = log_lines(PLENTY, PLENTY, printed);
    let bytes: Vec<u8> = printed.iter().flat_map(|piece| piece.bytes).copied().collect();
    let expected: Vec<String> = bytes
        .split(|byte| *byte == b'\n')
        .flat_map(|line| line.chunks(LINE))
        .map(|line| coinslot_base::text::printable(&String::from_utf8_lossy(line)))
        .collect();
    let found: Vec<&String> = lines.iter().filter(|line| !line.is_empty()).collect();
    assert_eq!(found, expected.iter().collect::<Vec<_>>());
}
