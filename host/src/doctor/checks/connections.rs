//! Checks connections and the server's clock.

use crate::doctor::check::{Check, Verdict};
use crate::doctor::observation::Observed;
use coinslot_x402::UnixTime;

/// The difference of clocks at which payments begin to fail, in seconds: the reference facilitators leave six.
const APART: u64 = 6;
/// The difference at which most fail.
const FAR_APART: u64 = 60;

pub(super) const CHECKS: &[Check<Observed>] = &[
    Check {
        name: "keep-alive",
        why: "clients send the payment on the connection of the challenge: if a 402 breaks that, the payment is \
              lost on the way",
        advice: "read the request's body to its end after a 402, or close the connection with `Connection: close`",
        judge: keep_alive,
    },
    Check {
        name: "http2",
        why: "most clients speak HTTP/2 where TLS offers it, and must find the same challenge there",
        advice: "see that the proxy in front passes PAYMENT-REQUIRED on, and allows heads above 16 KiB",
        judge: http2,
    },
    Check {
        name: "clock",
        why: "a payment is valid for a span of time: a server whose clock is wrong refuses good payments, or \
              runs for expired ones",
        advice: "set the server's clock by NTP; if it is right, yours is not",
        judge: clock,
    },
];

fn keep_alive(observed: &Observed) -> Verdict {
    let keep_alive = &observed.keep_alive;
    let first = match &keep_alive.first {
        Ok(first) => first.status,
        Err(error) => return Verdict::failed(format!("a body that nothing paid for: {error}")),
    };
    match &keep_alive.second {
        None => Verdict::ok(format!("{first}, and the server says that it closes the connection")),
        Some(Ok(second)) if second.status == first || second.status == 402 => {
            Verdict::ok(format!("{first} and {} on one connection", second.status))
        }
        Some(Ok(second)) => Verdict::failed(format!("{first}, and then {} on the same connection", second.status)),
        Some(Err(error)) => Verdict::failed(format!("{first}, and the second request on the connection: {error}")),
    }
}

fn http2(observed: &Observed) -> Verdict {
    match &observed.http2 {
        None => Verdict::skipped("the endpoint is not served over https"),
        Some(Ok(None)) => Verdict::skipped("the server offers HTTP/1.1 alone"),
        Some(Err(error)) => Verdict::failed(format!("by HTTP/2: {error}")),
        Some(Ok(Some(answer))) => match observed.challenged.as_ref().map(|answer| answer.status) {
            Some(status) if status != answer.status => {
                Verdict::failed(format!("by HTTP/2 the answer is {}, by HTTP/1.1 {status}", answer.status))
            }
            _ => Verdict::ok(format!("{} by HTTP/2, too", answer.status)),
        },
    }
}

fn clock(observed: &Observed) -> Verdict {
    let Some(answer) = &observed.challenged else { return Verdict::skipped("there is no challenge") };
    let Some(date) = answer.header("date") else { return Verdict::skipped("the answer has no Date") };
    let Some(UnixTime(theirs)) = http_date(&date) else { return Verdict::warning(format!("Date is {date:?}")) };
    let apart = theirs.abs_diff(observed.asked_at);
    let direction = if theirs > observed.asked_at { "ahead of" } else { "behind" };
    let shown = format!("its clock is {apart} s {direction} ours");
    match apart {
        ..=APART => Verdict::ok(format!("within {apart} s of ours")),
        ..=FAR_APART => Verdict::warning(shown),
        _ => Verdict::failed(shown),
    }
}

/// Reads the date of RFC 9110, section 5.6.7, in the form that servers must send: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<UnixTime> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = text.split_ascii_whitespace().skip(1);
    let day = parts.next()?;
    let month = MONTHS.iter().position(|name| text.split_ascii_whitespace().nth(2) == Some(name))? + 1;
    let (year, time) = (parts.nth(1)?, parts.next()?);
    let time = humantime::parse_rfc3339(&format!("{year}-{month:02}-{day}T{time}Z")).ok()?;
    Some(time.into())
}

#[cfg(test)]
mod tests {
    use super::http_date;

    #[test]
    fn a_date_is_read_in_the_form_of_rfc_9110() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT").map(|time| time.0), Some(784_111_777));
        for wrong in ["", "now", "Sun, 06 Now 1994 08:49:37 GMT", "Sun, 99 Nov 1994 08:49:37 GMT", "1994-11-06"] {
            assert_eq!(http_date(wrong), None, "{wrong:?}");
        }
    }
}
