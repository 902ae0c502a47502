//! Draws charts as SVG, whose colours come from the style sheet, so that they follow the reader's light or dark.
//!
//! A chart has no text in it: it is stretched to its column, and text would be, too. Titles, scales and a table with
//! the same numbers stand beside it; a bar shows its value to whoever points at it.

mod svg;

use std::convert::Infallible;

use maud::{Markup, PreEscaped, html};
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::{DrawingAreaErrorKind, IntoDrawingArea as _};
use plotters::element::{PathElement, Rectangle};
use plotters::series::AreaSeries;
use plotters::style::Color as _;

use self::svg::{AREA, COLUMN, GRID, HEIGHT, HIT, LINE, SvgMarks, WIDTH};

/// The share of its day that a bar takes, in the middle.
const BAR: f64 = 0.8;

type Plot<'c, 's> = ChartContext<'c, SvgMarks<'s>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

type Drawn = Result<(), DrawingAreaErrorKind<Infallible>>;

/// A line over time with its area. A missing point is a gap: there was no host then.
pub(super) fn area(title: &str, points: &[Option<f64>], top: f64) -> Markup {
    #[expect(clippy::cast_precision_loss, reason = "a chart has few points")]
    let (last, at) = (points.len().saturating_sub(1).max(1) as f64, |index: usize| index as f64);
    chart(title, last, top, &[], |plot| {
        for (start, run) in runs(points) {
            let line = run.iter().enumerate().map(|(index, value)| (at(start + index), value.clamp(0.0, top)));
            let mut line: Vec<(f64, f64)> = line.collect();
            if let [(x, value)] = line[..] {
                // A line of one point would not be seen: it is as long as the time that the point stands for.
                let begin = (x - 1.0).max(0.0);
                line = vec![(begin, value), (begin + 1.0, value)];
            }
            plot.draw_series(AreaSeries::new(line, 0.0, AREA.filled()).border_style(LINE))?;
        }
        Ok(())
    })
}

/// A bar for each value, with the text that says its value.
pub(super) fn bars(title: &str, values: &[(String, f64)], top: f64) -> Markup {
    #[expect(clippy::cast_precision_loss, reason = "a chart has few bars")]
    let (end, at) = (values.len().max(1) as f64, |index: usize| index as f64);
    let labels: Vec<&str> = values.iter().map(|(label, _)| &**label).collect();
    chart(title, end, top, &labels, |plot| {
        for (index, (_, value)) in values.iter().enumerate() {
            let (begin, margin) = (at(index), (1.0 - BAR) / 2.0);
            let bar = [(begin + margin, 0.0), (begin + 1.0 - margin, value.clamp(0.0, top))];
            // The whole height of the day shows the value, so that a short bar needs no steady hand.
            let day = [(begin, 0.0), (begin + 1.0, top)];
            plot.draw_series([Rectangle::new(bar, COLUMN.filled()), Rectangle::new(day, HIT.filled())])?;
        }
        Ok(())
    })
}

/// Draws marks over a grid, from zero to `end` and to `top`.
fn chart(title: &str, end: f64, top: f64, labels: &[&str], draw: impl FnOnce(&mut Plot<'_, '_>) -> Drawn) -> Markup {
    let mut marks = String::new();
    let drawn = (|| -> Drawn {
        let area = SvgMarks::new(&mut marks, labels).into_drawing_area();
        let mut plot = ChartBuilder::on(&area).build_cartesian_2d(0.0..end, 0.0..top)?;
        let grid = [top / 2.0, top].map(|value| PathElement::new([(0.0, value), (end, value)], GRID));
        plot.draw_series(grid)?;
        draw(&mut plot)
    })();
    if let Err(error) = drawn {
        tracing::warn!(chart = title, %error, "a chart could not be drawn; its table has the numbers");
    }
    html! {
        svg.chart role="img" aria-label=(title) viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" {
            (PreEscaped(marks))
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
        // Half of the width to all of it, from the bottom to the top.
        assert!(drawn.contains("<path class=\"line\" d=\"M600 400L1200 0\"/>"), "{drawn}");
        assert!(drawn.contains("<path class=\"area\" d=\"M600 400L1200 0L1200 400L600 400Z\"/>"), "{drawn}");
        let gap = area("t", &[Some(1.0), None, Some(1.0), Some(1.0)], 1.0).into_string();
        assert_eq!(gap.matches("class=\"line\"").count(), 2, "{gap}");
        assert!(gap.contains("d=\"M0 0L400 0\""), "a point alone is seen: {gap}");
        let last = area("t", &[None, None, None, Some(1.0)], 1.0).into_string();
        assert!(last.contains("d=\"M800 0L1200 0\""), "within the chart: {last}");
        for points in [&[][..], &[None], &[Some(f64::NAN)], &[Some(f64::INFINITY), Some(-1.0)]] {
            let drawn = area("t", points, 1.0).into_string();
            assert!(drawn.starts_with("<svg") && drawn.ends_with("</svg>"), "{drawn}");
            assert!(!drawn.contains("NaN") && !drawn.contains("style=") && !drawn.contains('#'), "{drawn}");
        }
    }

    #[test]
    fn a_bar_stands_on_the_ground_and_says_its_value() {
        let values = [("Monday: 1".to_owned(), 1.0), ("<b>: 0".to_owned(), 0.0)];
        let drawn = bars("t", &values, 2.0).into_string();
        let monday = "<rect class=\"column\" x=\"60\" y=\"200\" width=\"480\" height=\"200\"></rect>\
                      <rect class=\"hit\" x=\"0\" y=\"0\" width=\"600\" height=\"400\"><title>Monday: 1</title></rect>";
        assert!(drawn.contains(monday), "{drawn}");
        assert!(drawn.contains("<title>&lt;b&gt;: 0</title>") && !drawn.contains("<b>"), "{drawn}");
        assert_eq!(drawn.matches("class=\"column\"").count(), 1, "a day without money has no bar: {drawn}");
        assert_eq!(drawn.matches("class=\"hit\"").count(), 2, "{drawn}");
        assert!(!drawn.contains("style=") && !drawn.contains('#'), "{drawn}");
        assert!(bars("t", &[], 1.0).into_string().contains("<svg"));
    }
}
