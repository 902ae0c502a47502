//! Writes numbers, times, money and texts into pages.
//!
//! Texts come from plugins, facilitators and payers. Each is cut, and characters that are not shown or change the
//! direction of others are replaced; the templates escape the rest.

use std::time::Duration;

use coinslot_base::text::{excerpt, one_line};
use coinslot_base::units::measured;
use coinslot_x402::UnixTime;
use maud::{Markup, html};

use crate::operate::time;

/// A name: of a plugin, a route, a symbol.
pub(super) fn name(text: &str) -> String {
    excerpt(text, 120)
}

/// Several names.
pub(super) fn names(texts: &[String]) -> String {
    texts.iter().map(|text| name(text)).collect::<Vec<_>>().join(", ")
}

/// A sentence: a summary, a reason.
pub(super) fn sentence(text: &str) -> String {
    excerpt(&one_line(text), 600)
}

/// A whole number, in groups of three digits.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut written = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            written.push(',');
        }
        written.push(digit);
    }
    written
}

/// A number of things, with the word for one or for several.
pub(super) fn counted(number: u64, one: &str, several: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { several })
}

/// Events per second.
pub(super) fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate <= 0.0 => "0".to_owned(),
        rate if rate < 0.01 => "<0.01".to_owned(),
        rate if rate < 10.0 => format!("{rate:.2}"),
        rate if rate < 100.0 => format!("{rate:.1}"),
        rate => format!("{rate:.0}"),
    }
}

/// A duration with its unit, in three digits.
pub(super) fn duration(seconds: f64) -> String {
    match Duration::try_from_secs_f64(seconds) {
        Ok(short) if short < Duration::from_secs(60) => measured(short),
        Ok(long) => span(long),
        Err(_) => "-".to_owned(),
    }
}

/// A long time in its largest unit.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Bytes in binary units.
pub(super) fn bytes(number: u64) -> String {
    match number {
        0..1_024 => format!("{number} B"),
        1_024..1_048_576 => format!("{} KiB", number >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", number >> 20),
        _ => format!("{:.1} GiB", f64::from(u32::try_from(number >> 20).unwrap_or(u32::MAX)) / 1_024.0),
    }
}

/// A time of the API, as the time since then. The time itself is in the title.
pub(super) fn ago(text: &str, now: UnixTime) -> Markup {
    let Ok(at) = time::parse(text) else { return html! { (name(text)) } };
    let relative = match now.0.checked_sub(at.0) {
        Some(0..5) => "now".to_owned(),
        Some(seconds) => format!("{} ago", span(Duration::from_secs(seconds))),
        None => format!("in {}", span(Duration::from_secs(at.0.saturating_sub(now.0)))),
    };
    html! { time datetime=(text) title=(absolute(text)) { (relative) } }
}

/// A time of the API as it is: `2026-01-31 12:00:00 UTC`.
pub(super) fn at(text: &str) -> Markup {
    html! { time datetime=(text) title=(text) { (absolute(text)) } }
}

fn absolute(text: &str) -> String {
    name(&text.replace('T', " ").replace('Z', " UTC"))
}

/// An amount with its unit. Of an asset whose decimals are not known it is in atomic units.
pub(super) fn money(decimal: Option<&str>, symbol: Option<&str>, atomic: &str) -> Markup {
    match (decimal, symbol) {
        (Some(decimal), Some(symbol)) => html! { span.money { (name(decimal)) " " span.unit { (name(symbol)) } } },
        _ => html! { span.money { (name(atomic)) " " span.unit { "atomic units" } } },
    }
}

/// An address, a hash or an id: its ends, and the whole in the title.
pub(super) fn digest(text: &str) -> Markup {
    let whole = excerpt(text, 200);
    let chars: Vec<char> = whole.chars().collect();
    if chars.len() <= 14 {
        return html! { code { (whole) } };
    }
    let (start, end): (String, String) = (chars[..6].iter().collect(), chars[chars.len() - 4..].iter().collect());
    html! { code title=(whole) { (start) "…" (end) } }
}

/// The word for a state, with a mark that does not depend on its colour.
pub(super) fn state(word: &str) -> Markup {
    let (tone, mark) = match word {
        "settled" | "delivered" | "paid" | "refunded" | "ready" | "active" | "closed" | "accepted" | "up to date" => {
            ("good", "●")
        }
        "owed" | "unknown" | "no_gas" | "open" | "half_open" | "waiting" | "not loaded" | "paused" => ("warn", "▲"),
        "refused" | "failed" | "down" | "nothing serves" | "failing" => ("bad", "■"),
        _ => ("quiet", "○"),
    };
    html! { span class={ "state " (tone) } { span aria-hidden="true" { (mark) } " " (name(&word.replace('_', " "))) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_groups_units_and_three_digits() {
        for (number, written) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), written);
        }
        for (number, written) in [(0.0, "0"), (0.004, "<0.01"), (0.5, "0.50"), (12.34, "12.3"), (1_234.5, "1234")] {
            assert_eq!(rate(number), written);
        }
        for (seconds, written) in
            [(0.000_05, "50 µs"), (0.0042, "4.2 ms"), (0.25, "250 ms"), (2.5, "2.5 s"), (7_200.0, "2 h")]
        {
            assert_eq!(duration(seconds), written);
        }
        for (number, written) in [(512, "512 B"), (10 << 20, "10 MiB"), (3 << 30, "3.0 GiB")] {
            assert_eq!(bytes(number), written);
        }
    }

    #[test]
    fn a_time_is_relative_and_says_the_absolute_one() {
        let now = UnixTime(1_767_225_600);
        let shown = ago("2025-12-31T23:57:00Z", now).into_string();
        assert_eq!(shown, "<time datetime=\"2025-12-31T23:57:00Z\" title=\"2025-12-31 23:57:00 UTC\">3 min ago</time>");
        assert!(ago("2026-01-01T02:00:00Z", now).into_string().contains(">in 2 h<"));
        assert_eq!(ago("<script>", now).into_string(), "&lt;script&gt;");
    }

    #[test]
    fn hostile_texts_are_cut_and_escaped() {
        let hostile = format!("<img src=x onerror=alert(1)>\u{202e}{}", "a".repeat(5_000));
        for written in [html! { (name(&hostile)) }, html! { (sentence(&hostile)) }, digest(&hostile), state(&hostile)] {
            let text = written.into_string();
            assert!(!text.contains("<img") && !text.contains('\u{202e}') && text.len() < 1_000, "{text}");
        }
    }
}
