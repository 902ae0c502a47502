//! Makes the operator's colour readable on light and on dark pages (WCAG 2.2, section 1.4.3).

use crate::config::Accent;

/// The least contrast of a text and its background.
const LEAST_CONTRAST: f64 = 4.6;

/// Red, green and blue, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Colour([f64; 3]);

/// The rules that set the colours of links and buttons. None: the colours of the style. A button has the operator's own
/// colour, with black or white on it. A link is text on the page, so its colour is mixed until it can be read there.
pub(super) fn rules(accent: Option<&Accent>) -> Option<String> {
    let own = Colour::parse(accent?.as_str())?;
    let on_own = if own.contrast(Colour::WHITE) >= own.contrast(Colour::BLACK) { "#ffffff" } else { "#000000" };
    let scheme = |page: Colour, towards: Colour| format!("--accent:{}", own.readable_on(page, towards).hex());
    let light = scheme(Colour([0.945, 0.949, 0.957]), Colour::BLACK);
    let dark = scheme(Colour([0.11, 0.125, 0.15]), Colour::WHITE);
    let button = format!("--button:{};--on-button:{on_own}", own.hex());
    Some(format!(":root{{{light};{button}}}@media (prefers-color-scheme:dark){{:root{{{dark};{button}}}}}"))
}

impl Colour {
    const BLACK: Self = Self([0.0; 3]);
    const WHITE: Self = Self([1.0; 3]);

    /// `#` and six hexadecimal digits.
    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii())?;
        let part = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok().map(|byte| f64::from(byte) / 255.0);
        Some(Self([part(0)?, part(2)?, part(4)?]))
    }

    fn hex(self) -> String {
        let digits: String = self.0.iter().map(|part| format!("{:02x}", byte(*part))).collect();
        format!("#{digits}")
    }

    fn luminance(self) -> f64 {
        let linear = |part: f64| if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) };
        let [red, green, blue] = self.0.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    fn contrast(self, other: Self) -> f64 {
        let (one, other) = (self.luminance() + 0.05, other.luminance() + 0.05);
        if one > other { one / other } else { other / one }
    }

    /// This colour, mixed with as much of another as it needs to be read on a page.
    fn readable_on(self, page: Self, towards: Self) -> Self {
        let mixed = (0..=20).map(|step| self.mixed(towards, f64::from(step) / 20.0));
        mixed.into_iter().find(|colour| colour.contrast(page) >= LEAST_CONTRAST).unwrap_or(towards)
    }

    fn mixed(self, other: Self, share: f64) -> Self {
        let [red, green, blue] = self.0;
        let [other_red, other_green, other_blue] = other.0;
        let mix = |one: f64, other: f64| one + (other - one) * share;
        Self([mix(red, other_red), mix(green, other_green), mix(blue, other_blue)])
    }
}

/// A part of a colour, from 0 to 1, as a byte.
fn byte(part: f64) -> u8 {
    let wanted = part.clamp(0.0, 1.0) * 255.0;
    (0..=u8::MAX).min_by(|one, other| distance(*one, wanted).total_cmp(&distance(*other, wanted))).unwrap_or(0)
}

fn distance(byte: u8, wanted: f64) -> f64 {
    (f64::from(byte) - wanted).abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_colour_is_readable_in_both_schemes() {
        for text in ["#1a56db", "#ffff00", "#000000", "#ffffff", "#808080", "#00ff00"] {
            let rules = rules(Accent::parse(text).as_ref()).expect("a colour");
            let shown: Vec<Colour> =
                rules.split("--accent:").skip(1).filter_map(|rest| Colour::parse(&rest[..7])).collect();
            assert_eq!(shown.len(), 2, "{rules}");
            let after = |name: &str| Colour::parse(&rules[rules.find(name).expect("a rule") + name.len()..][..7]);
            let (button, on_it) = (after("--button:").expect("a colour"), after("--on-button:").expect("a colour"));
            assert!(button.contrast(on_it) > 4.5, "{rules}");
            assert!(shown[0].contrast(Colour::parse("#f1f2f4").expect("a colour")) > 4.5, "{rules}");
            assert!(shown[1].contrast(Colour::parse("#1c2026").expect("a colour")) > 4.5, "{rules}");
        }
        let yellow = rules(Accent::parse("#ffcc00").as_ref()).expect("a colour");
        assert!(yellow.contains("--button:#ffcc00;--on-button:#000000"), "{yellow}");
        assert_eq!(Colour::parse("#1a56db").expect("a colour").hex(), "#1a56db");
        assert_eq!(rules(None), None);
    }
}
