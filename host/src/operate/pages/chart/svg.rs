//! Writes the marks of a chart as SVG that names classes of the style sheet, where other backends write colours.

use std::convert::Infallible;
use std::fmt::Write as _;

use maud::html;
use plotters::style::RGBColor;
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, DrawingBackend, DrawingErrorKind};

/// The size of a chart in units of its view box, which is stretched to its column.
pub(super) const WIDTH: u32 = 1_200;
pub(super) const HEIGHT: u32 = 400;

/// The colours by which plotters tells its marks apart. None of them is ever seen: each stands for a class.
pub(super) const GRID: RGBColor = RGBColor(0, 0, 1);
pub(super) const AREA: RGBColor = RGBColor(0, 0, 2);
pub(super) const LINE: RGBColor = RGBColor(0, 0, 3);
pub(super) const COLUMN: RGBColor = RGBColor(0, 0, 4);
/// An invisible mark over a bar, which shows its value to whoever points at it.
pub(super) const HIT: RGBColor = RGBColor(0, 0, 5);

/// The classes of the style sheet.
const CLASSES: [(RGBColor, &str); 5] =
    [(GRID, "grid"), (AREA, "area"), (LINE, "line"), (COLUMN, "column"), (HIT, "hit")];

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

/// A drawing of paths and rectangles.
pub(super) struct SvgMarks<'s> {
    to: &'s mut String,
    /// The texts of the rectangles of [`HIT`], in their order.
    labels: std::slice::Iter<'s, &'s str>,
}

impl<'s> SvgMarks<'s> {
    pub(super) fn new(to: &'s mut String, labels: &'s [&'s str]) -> Self {
        Self { to, labels: labels.iter() }
    }

    /// Writes a path. One whose colour stands for no class is left out.
    fn path(&mut self, points: impl IntoIterator<Item = BackendCoord>, color: BackendColor, end: &str) {
        let Some(class) = class(color) else { return };
        let mut d = String::new();
        for (index, (x, y)) in points.into_iter().enumerate() {
            // Writing to a String does not fail.
            let _ = write!(d, "{}{x} {y}", if index == 0 { "M" } else { "L" });
        }
        let _ = write!(self.to, "<path class=\"{class}\" d=\"{d}{end}\"/>");
    }
}

fn class(color: BackendColor) -> Option<&'static str> {
    let (r, g, b) = color.rgb;
    let known = CLASSES.into_iter().find(|(RGBColor(red, green, blue), _)| (*red, *green, *blue) == (r, g, b));
    known.filter(|_| color.alpha > 0.0).map(|(_, class)| class)
}

impl DrawingBackend for SvgMarks<'_> {
    type ErrorType = Infallible;

    /// One more than the view box: plotters draws onto pixels, of which the last is at the end of the box.
    fn get_size(&self) -> (u32, u32) {
        (WIDTH + 1, HEIGHT + 1)
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    /// Charts here have no marks of single points.
    fn draw_pixel(&mut self, _: BackendCoord, _: BackendColor) -> Drawn {
        Ok(())
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.path([from, to], style.color(), "");
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Drawn {
        self.path(path, style.color(), "");
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Drawn {
        self.path(path, style.color(), "Z");
        Ok(())
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        (left, top): BackendCoord,
        (right, bottom): BackendCoord,
        style: &S,
        _: bool,
    ) -> Drawn {
        let (width, height) = (right.saturating_sub(left), bottom.saturating_sub(top));
        let Some(class) = class(style.color()).filter(|_| width > 0 && height > 0) else { return Ok(()) };
        let rect = html! {
            @let label = if class == "hit" { self.labels.next() } else { None };
            rect class=(class) x=(left) y=(top) width=(width) height=(height) {
                @if let Some(label) = label { title { (label) } }
            }
        };
        self.to.push_str(&rect.into_string());
        Ok(())
    }
}
