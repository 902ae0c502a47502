//! Reads and writes times as people write them, in UTC.

#![expect(clippy::disallowed_methods, reason = "reports speak of the present")]

use std::time::SystemTime;

use coinslot_ledger::DAY;
use coinslot_x402::UnixTime;

/// The present time.
pub(crate) fn now() -> UnixTime {
    SystemTime::now().into()
}

/// Parses `2026-01-31`, `2026-01-31T12:00:00Z`, Unix seconds, or a time ago such as `24h`.
pub(crate) fn parse(text: &str) -> Result<UnixTime, String> {
    parse_at(text, now()).ok_or_else(|| {
        "write a day (2026-01-31), a time (2026-01-31T12:00:00Z), Unix seconds, or a time ago (30m, 24h, 7d)".to_owned()
    })
}

fn parse_at(text: &str, now: UnixTime) -> Option<UnixTime> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(UnixTime(seconds));
    }
    if let Some((at, unit)) = text.char_indices().next_back()
        && let Ok(count) = text[..at].parse::<u64>()
    {
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 60 * 60,
            'd' => DAY,
            'w' => 7 * DAY,
            _ => return None,
        };
        return Some(UnixTime(now.0.saturating_sub(count.checked_mul(seconds)?)));
    }
    let (date, clock) = match text.split_once(['T', ' ']) {
        Some((date, clock)) => (date, Some(clock.strip_suffix('Z')?)),
        None => (text, None),
    };
    let [year, month, date] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = clock.map_or(Some([0; 3]), |clock| numbers(clock, ':', [2, 2, 2]))?;
    let in_range = (1970..10_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=length(year, month)).contains(&date)
        && hour < 24
        && minute < 60
        && second < 60;
    let days = before(year) + (1..month).map(|month| length(year, month)).sum::<u64>() + date.checked_sub(1)?;
    in_range.then_some(UnixTime(days * DAY + hour * 3_600 + minute * 60 + second))
}

/// Splits a text into three numbers with exactly so many digits.
fn numbers(text: &str, between: char, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(between);
    let mut numbers = [0; 3];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Writes a time: `2026-01-31T12:00:00Z`.
pub(crate) fn shown(time: UnixTime) -> String {
    let second = time.0 % DAY;
    format!("{}T{:02}:{:02}:{:02}Z", day(time.0 / DAY), second / 3_600, second / 60 % 60, second % 60)
}

/// Writes a day, given in days since 1970: `2026-01-31`.
pub(crate) fn day(days: u64) -> String {
    let (cycles, days) = (days / CYCLE, days % CYCLE);
    // An estimate from below, since no year is longer than 366 days; the loop corrects it.
    let mut year = 1970 + days / 366;
    while before(year + 1) <= days {
        year += 1;
    }
    let (mut rest, mut month) = (days - before(year), 1);
    // Every cycle has the same leap years.
    let shown = year + 400 * cycles;
    while rest >= length(year, month) {
        rest -= length(year, month);
        month += 1;
    }
    format!("{shown:04}-{month:02}-{:02}", rest + 1)
}

/// Days of any 400 years in the Gregorian calendar.
const CYCLE: u64 = 146_097;

/// The days from 1970 to the first day of a year.
fn before(year: u64) -> u64 {
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    (year.saturating_sub(1970)) * 365 + leap_days(year.max(1970) - 1) - leap_days(1969)
}

/// The days of a month.
fn length(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read_the_same() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (1_767_225_600, "2026-01-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(shown(UnixTime(seconds)), text);
            assert_eq!(parse_at(text, UnixTime(0)), Some(UnixTime(seconds)), "{text}");
        }
        assert_eq!(day(u64::MAX / DAY), "584554051223-11-09");
        for days in (0..400_000).step_by(17) {
            assert_eq!(parse_at(&day(days), UnixTime(0)), Some(UnixTime(days * DAY)));
        }
    }

    #[test]
    fn a_time_is_absolute_or_ago_and_nothing_else() {
        let now = UnixTime(1_000_000);
        for (text, seconds) in [("999", 999), ("30m", 998_200), ("2d", 827_200), ("1970-01-02", 86_400), ("99w", 0)] {
            assert_eq!(parse_at(text, now), Some(UnixTime(seconds)), "{text}");
        }
        for text in [
            "",
            "h",
            "-1",
            "1y",
            "2026-1-1",
            "2026-02-29",
            "2026-13-01",
            "2026-01-00",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+01:00",
            "1969-12-31",
            "2026-01-01-01",
            "5\u{20ac}",
        ] {
            assert_eq!(parse_at(text, now), None, "{text}");
        }
    }
}
