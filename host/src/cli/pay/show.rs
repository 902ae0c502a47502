//! Prints the result of `coinslot pay`: the answer to stdout and the receipt to stderr, or both as JSON.

use std::io::Write;
use std::time::Duration;

use alloy::primitives::Address;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use coinslot_base::text::{drives_terminal, escaped_json};
use coinslot_base::units::shown_duration;
use serde_json::{Value, json};

use super::http::SellerAnswer;
use super::purchase::PurchaseSummary;
use crate::cli::Failure;
use crate::logging;
use crate::wallet::PaymentOption;

/// The most bytes of a body that are held in memory, for an object with the whole body: 64 MiB.
const MOST_JSON: usize = 64 << 20;

/// The grounds on which an answer was given.
#[derive(Clone, Copy, Debug)]
pub(super) enum AnswerGrounds<'p> {
    /// It is free, or nobody knows.
    Nothing,
    /// The account has signed in, and pays nothing.
    SignIn(Address),
    Payment(&'p PurchaseSummary),
}

impl AnswerGrounds<'_> {
    /// The receipt in one line, or the account that paid nothing.
    fn line(self, answer: &SellerAnswer) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::SignIn(account) => {
                let left = answer.header("ratelimit").and_then(|value| std::str::from_utf8(value).ok()).and_then(left);
                Some(format!("nothing was paid: signed in as {account}{}", left.unwrap_or_default()))
            }
            Self::Payment(purchase) => Some(purchase.receipt_line()),
        }
    }
}

/// The rest that a `RateLimit` with one policy states, in words. Source: draft-ietf-httpapi-ratelimit-headers, section 4.
fn left(value: &str) -> Option<String> {
    let (_, parameters) = value.split_once(';')?;
    let number = |name: &str| {
        let mut all = parameters.split(';').filter_map(|part| part.trim().split_once('='));
        all.find(|(key, _)| *key == name).and_then(|(_, value)| value.parse::<u64>().ok())
    };
    let requests = number("r")?;
    let more = if requests == 1 { "1 more request is" } else { &format!("{requests} more requests are") };
    let time = number("t").map(|seconds| format!(" for {}", shown_duration(Duration::from_secs(seconds))));
    Some(format!(", for which {more} left{}", time.unwrap_or_default()))
}

/// The output of the command.
#[derive(Clone, Copy, Debug)]
pub(super) struct PayOutput {
    pub(super) json: bool,
}

impl PayOutput {
    /// Prints the answer: its body as it comes, or as JSON everything at once.
    pub(super) async fn answer(self, answer: SellerAnswer, grounds: AnswerGrounds<'_>) -> Result<(), Failure> {
        if self.json { answer_json(answer, grounds).await } else { answer_text(answer, grounds).await }
    }

    /// Prints the price of an option that is not paid.
    pub(super) fn dry_run(self, option: &PaymentOption) -> Result<(), Failure> {
        let price = option.amount.decimal(option.asset.decimals);
        let (asset, pay_to) = (&option.asset, option.pay_to);
        let text = if self.json {
            let object = json!({
                "dryRun": true,
                "amount": price,
                "symbol": asset.symbol,
                "atomicAmount": option.amount.to_string(),
                "asset": asset.address,
                "network": asset.network,
                "payTo": pay_to.to_string(),
            });
            format!("{}\n", escaped_json(&object.to_string()))
        } else {
            let (symbol, network) = (&asset.symbol, &asset.network);
            format!("it costs {price} {symbol} on {network}, to {pay_to}; nothing was paid\n")
        };
        print(text.as_bytes())
    }
}

/// Prints the receipt, and then the body as it comes. On a terminal, characters that drive it are replaced, because the
/// seller chooses the body.
async fn answer_text(mut answer: SellerAnswer, grounds: AnswerGrounds<'_>) -> Result<(), Failure> {
    // The receipt comes first: it is valid even if the answer breaks off.
    if let Some(line) = grounds.line(&answer) {
        logging::say(&line);
    }
    let mut shown = std::io::IsTerminal::is_terminal(&std::io::stdout()).then(TerminalText::default);
    // What was paid for is printed as it is. An error is for a reader, and a line about it follows.
    let ends_line = shown.is_none() && answer.is_json_error();
    let mut last = b'\n';
    while let Some(chunk) = chunk(&mut answer).await? {
        last = chunk.last().copied().unwrap_or(last);
        match &mut shown {
            Some(shown) => print(shown.next(&chunk).as_bytes())?,
            None => print(&chunk)?,
        }
    }
    if ends_line && last != b'\n' {
        print(b"\n")?;
    }
    shown.map_or(Ok(()), |shown| print(shown.end().as_bytes()))
}

/// A text that comes in pieces, as a terminal may show it.
#[derive(Default)]
struct TerminalText {
    /// The beginning of a character, or of a line break `\r\n`, whose end has not come.
    rest: Vec<u8>,
    /// True if something was shown after the last line break.
    in_line: bool,
}

impl TerminalText {
    fn next(&mut self, piece: &[u8]) -> String {
        self.rest.extend_from_slice(piece);
        let whole = match self.rest.utf8_chunks().last() {
            Some(last) if last.invalid().is_empty() && last.valid().ends_with('\r') => self.rest.len() - 1,
            // A character has at most four bytes, so a longer invalid end is not the beginning of one.
            Some(last) if (1..4).contains(&last.invalid().len()) && is_cut_off(last.invalid()) => {
                self.rest.len() - last.invalid().len()
            }
            _ => self.rest.len(),
        };
        let rest = self.rest.split_off(whole);
        let text = String::from_utf8_lossy(&std::mem::replace(&mut self.rest, rest)).replace("\r\n", "\n");
        let is_kept = |c: char| matches!(c, '\n' | '\t') || !drives_terminal(c);
        let shown: String = text.chars().map(|c| if is_kept(c) { c } else { char::REPLACEMENT_CHARACTER }).collect();
        self.in_line = shown.chars().last().map_or(self.in_line, |last| last != '\n');
        shown
    }

    /// The replacement of what was not finished, and the end of the line, if there are any.
    fn end(mut self) -> String {
        let cut_off = if std::mem::take(&mut self.rest).is_empty() { "" } else { "\u{fffd}" };
        if self.in_line || !cut_off.is_empty() { format!("{cut_off}\n") } else { String::new() }
    }
}

/// True if bytes may be the beginning of a character.
fn is_cut_off(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// Prints one JSON object. A body that breaks off, or has more than [`MOST_JSON`] bytes, is printed so far, and is an error.
async fn answer_json(mut answer: SellerAnswer, grounds: AnswerGrounds<'_>) -> Result<(), Failure> {
    let mut object = json!({
        "status": answer.status,
        "headers": answer.headers(),
    });
    let mut body = Vec::new();
    let mut broken = None;
    loop {
        match chunk(&mut answer).await {
            Ok(Some(chunk)) if chunk.len() <= MOST_JSON - body.len() => body.extend_from_slice(&chunk),
            Ok(Some(chunk)) => {
                body.extend_from_slice(&chunk[..MOST_JSON - body.len()]);
                broken =
                    Some(Failure::new("the answer has more than 64 MiB and was cut: leave out --json to print all"));
                break;
            }
            Ok(None) => break,
            Err(failure) => {
                broken = Some(failure);
                break;
            }
        }
    }
    match String::from_utf8(body) {
        Ok(text) => object["body"] = Value::String(text),
        Err(error) => object["bodyBase64"] = STANDARD.encode(error.as_bytes()).into(),
    }
    let (account, purchase) = match grounds {
        AnswerGrounds::Nothing => (None, None),
        AnswerGrounds::SignIn(account) => (Some(account.to_string()), None),
        AnswerGrounds::Payment(purchase) => (None, Some(purchase)),
    };
    object["receipt"] = json!(purchase);
    object["signedInAs"] = json!(account);
    print(format!("{}\n", escaped_json(&object.to_string())).as_bytes())?;
    broken.map_or(Ok(()), Err)
}

/// Reads the next piece of the body.
async fn chunk(answer: &mut SellerAnswer) -> Result<Option<bytes::Bytes>, Failure> {
    let chunk = answer.chunk().await;
    chunk.map_err(|error| Failure::new(format!("the answer broke off: {error}")))
}

fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::new(format!("cannot write to stdout: {error}")))
}

#[cfg(test)]
mod tests {
    use super::{TerminalText, left};

    #[test]
    fn what_is_left_is_said_in_words() {
        for (value, said) in [
            ("\"pass\";r=99;t=3571", Some(", for which 99 more requests are left for 3571s")),
            ("\"payer\"; r=1", Some(", for which 1 more request is left")),
            ("\"pass\";r=-1", None),
            ("limit=10, remaining=4", None),
            ("", None),
        ] {
            assert_eq!(left(value).as_deref(), said, "{value}");
        }
    }

    /// The body of a seller could write to the clipboard, and rewrite the line of the receipt above it.
    #[test]
    fn a_body_on_a_terminal_is_text_and_does_not_drive_it() {
        for (pieces, shown) in [
            (&[&b"plain"[..]][..], "plain\n"),
            (&[b"two\r\nlines\n", b""], "two\nlines\n"),
            (&[b"two\r", b"\nlines\r", b"", b"\n"], "two\nlines\n"),
            (&[b"over\r", b"written\r"], "over\u{fffd}written\u{fffd}\n"),
            (&[b"\x1b[1A\x1b]52;c;eA==\x07", b"a\tb"], "\u{fffd}[1A\u{fffd}]52;c;eA==\u{fffd}a\tb\n"),
            (&[b"\xe2", b"\x80", b"\xaegpj", b"\xe2\x82\xac"], "\u{fffd}gpj\u{20ac}\n"),
            (&[b"cut \xe2\x82"], "cut \u{fffd}\n"),
            (&[b"\xff\xfe\x00"], "\u{fffd}\u{fffd}\u{fffd}\n"),
            (&[], ""),
        ] {
            let mut text = TerminalText::default();
            let mut all: String = pieces.iter().map(|piece| text.next(piece)).collect();
            all.push_str(&text.end());
            assert_eq!(all, shown, "{pieces:?}");
        }
    }
}
