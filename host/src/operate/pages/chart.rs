//! Draws charts as SVG, whose colours come from the style sheet, so that they follow the reader's light or dark.
//!
//! A chart has no text in it: it is stretched to its column, and text would be, too. Titles, scales and a table with
//! the same numbers stand beside it.

use std::fmt::Write as _;

use maud::{Markup, html};

/// The height of a chart in units of its view box.
const HEIGHT: f64 = 100.0;

/// A line over time with its area. A missing point is a gap: there was no host then.
pub(super) fn area(title: &str, points: &[Option<f64>], top: f64) -> Markup {
    let (mut line, mut area) = (String::new(), String::new());
    for (start, run) in runs(points) {
        for (index, value) in run.iter().enumerate() {
            let (x, y) = (start + index, height(*value, top));
            let _ = write!(line, "{}{x} {y:.2}", if index == 0 { "M" } else { "L" });
            let _ = write!(area, "{}{x} {y:.2}", if index == 0 { format!("M{x} {HEIGHT}L") } else { "L".to_owned() });
        }
        let _ = write!(area, "L{} {HEIGHT}Z", start + run.len() - 1);
        if let [only] = run[..] {
            // A line of one point would not be seen.
            let _ = write!(line, "L{start}.5 {:.2}", height(only, top));
        }
    }
    let width = points.len().saturating_sub(1).max(1);
    html! {
        svg.chart role="img" aria-label=(title) viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" {
            path.grid d={ "M0 0H" (width) "M0 50H" (width) } {}
            path.area d=(area) {}
            path.line d=(line) {}
        }
    }
}

/// A bar for each value.
pub(super) fn bars(title: &str, values: &[(String, f64)], top: f64) -> Markup {
    let width = values.len().max(1) * 10;
    html! {
        svg.chart role="img" aria-label=(title) viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" {
            path.grid d={ "M0 0H" (width) "M0 50H" (width) } {}
            @for (index, (label, value)) in values.iter().enumerate() {
                @let y = height(*value, top);
                rect.column x=(index * 10 + 1) y=(format!("{y:.2}")) width="8" height=(format!("{:.2}", HEIGHT - y)) {
                    title { (label) }
                }
            }
        }
    }
}

/// A row of two bars over each other: what is usual, and what is rare.
pub(super) fn range(usual: f64, rare: f64, top: f64) -> Markup {
    let part = |value: f64| format!("{:.2}", if top > 0.0 { (value / top * 100.0).clamp(0.5, 100.0) } else { 0.0 });
    html! {
        svg.range aria-hidden="true" viewBox="0 0 100 10" preserveAspectRatio="none" {
            rect.track x="0" y="0" width="100" height="10" {}
            rect.rare x="0" y="0" width=(part(rare)) height="10" {}
            rect.usual x="0" y="0" width=(part(usual)) height="10" {}
        }
    }
}

/// A share of a whole as a bar.
pub(super) fn share(part: f64) -> Markup {
    let width = format!("{:.2}", (part * 100.0).clamp(0.0, 100.0));
    html! {
        svg.range aria-hidden="true" viewBox="0 0 100 10" preserveAspectRatio="none" {
            rect.track x="0" y="0" width="100" height="10" {}
            rect.usual x="0" y="0" width=(width) height="10" {}
        }
    }
}

/// The end of a scale: 1, 2 or 5 times a power of ten, and no less than the highest value.
pub(super) fn top(values: impl IntoIterator<Item = f64>) -> f64 {
    let highest = values.into_iter().fold(0.0_f64, f64::max);
    if highest <= 0.0 || !highest.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(highest.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|top| *top >= highest).unwrap_or(highest)
}

fn height(value: f64, top: f64) -> f64 {
    HEIGHT - (value / top).clamp(0.0, 1.0) * HEIGHT
}

/// The runs of points that are there, each with the index of its first.
fn runs(points: &[Option<f64>]) -> Vec<(usize, Vec<f64>)> {
    let mut runs: Vec<(usize, Vec<f64>)> = Vec::new();
    for (index, point) in points.iter().enumerate() {
        let Some(value) = point else { continue };
        match runs.last_mut() {
            Some((start, run)) if *start + run.len() == index => run.push(*value),
            _ => runs.push((index, vec![*value])),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_ends_at_a_round_number() {
        for (highest, expected) in [(0.0, 1.0), (0.7, 1.0), (1.2, 2.0), (3.0, 5.0), (51.0, 100.0), (0.03, 0.05)] {
            assert!((top([highest]) - expected).abs() < 1e-9, "{highest}: {}", top([highest]));
        }
        assert!((top([f64::NAN]) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_gap_is_no_zero() {
        assert_eq!(runs(&[None, Some(1.0), Some(2.0), None, Some(3.0)]), [(1, vec![1.0, 2.0]), (4, vec![3.0])]);
        let drawn = area("t", &[None, Some(0.0), Some(1.0)], 1.0).into_string();
        assert!(drawn.contains("M1 100.00L2 0.00") && !drawn.contains("NaN") && !drawn.contains("style="), "{drawn}");
        assert!(area("t", &[], 1.0).into_string().contains("<svg"));
    }
}
