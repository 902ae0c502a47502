//! Reads the picture of the operator: the icon of the host, and the logo of its pages.

use std::io::ErrorKind;
use std::path::Path;

use bytes::Bytes;
use coinslot_base::file::read_regular;

use super::document::Document;

/// The largest file.
const MAX_BYTES: u64 = 256 << 10;

/// The first bytes of a PNG (PNG 1.2, section 3.1).
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logo {
    pub media_type: &'static str,
    pub bytes: Bytes,
}

/// The reason why a file cannot be the logo.
#[derive(Debug, thiserror::Error)]
pub enum LogoError {
    #[error("discover.logo: {path} cannot be read: {source}: name an SVG or PNG file that the host may read")]
    File { path: String, source: std::io::Error },
    #[error("discover.logo: {path} has more than 256 KiB: name a smaller picture")]
    TooLarge { path: String },
    #[error("discover.logo: {path} is neither SVG nor PNG: convert it to one of them")]
    Format { path: String },
}

impl Logo {
    /// Reads the file of the configuration. Without one it is Coinslot's own.
    pub fn read(file: Option<&Path>) -> Result<Self, LogoError> {
        let Some(file) = file else { return Ok(Self::default()) };
        let path = file.display().to_string();
        let bytes = match read_regular(file, MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::FileTooLarge => return Err(LogoError::TooLarge { path }),
            Err(source) => return Err(LogoError::File { path, source }),
        };
        let media_type = if bytes.starts_with(PNG) {
            "image/png"
        } else if is_svg(&bytes) {
            "image/svg+xml"
        } else {
            return Err(LogoError::Format { path });
        };
        Ok(Self { media_type, bytes: bytes.into() })
    }

    pub(super) fn document(&self) -> Document {
        Document::new(self.media_type, self.bytes.clone())
    }
}

impl Default for Logo {
    fn default() -> Self {
        let bytes = Bytes::from_static(include_bytes!("../operate/pages/icon.svg"));
        Self { media_type: "image/svg+xml", bytes }
    }
}

/// True if the first element is `svg`, behind a declaration, comments and a document type.
fn is_svg(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        let end = if rest.starts_with("<?") {
            "?>"
        } else if rest.starts_with("<!--") {
            "-->"
        } else if rest.starts_with("<!") {
            ">"
        } else {
            break;
        };
        let Some((_, behind)) = rest.split_once(end) else { return false };
        rest = behind.trim_start();
    }
    rest.strip_prefix("<svg").is_some_and(|rest| rest.starts_with([' ', '\t', '\r', '\n', '>', '/']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logo_is_a_small_svg_or_png() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("logo");
        let read = |bytes: &[u8]| {
            std::fs::write(&file, bytes).expect("written");
            Logo::read(Some(&file)).map(|logo| logo.media_type).map_err(|error| error.to_string())
        };
        assert_eq!(read(b"\x89PNG\r\n\x1a\n..").as_deref(), Ok("image/png"));
        for svg in ["<svg/>", "\u{feff}<?xml version=\"1.0\"?>\n<!-- <svg> --><!DOCTYPE svg>\n<svg xmlns=\"x\">"] {
            assert_eq!(read(svg.as_bytes()).as_deref(), Ok("image/svg+xml"), "{svg}");
        }
        for other in [&b"<html><svg/>"[..], b"<svgx/>", b"GIF89a", b"", b"<!-- <svg/>", b"\xff<svg/>"] {
            assert!(read(other).expect_err("no picture").contains("neither SVG nor PNG"));
        }
        let large = [b"<svg>".to_vec(), vec![b' '; 256 << 10]].concat();
        assert!(read(&large).expect_err("too large").contains("more than 256 KiB"));
        let missing = Logo::read(Some(&dir.path().join("missing"))).expect_err("no file");
        assert!(missing.to_string().starts_with("discover.logo: "), "{missing}");
        assert_eq!(Logo::read(None).expect("the own one").media_type, "image/svg+xml");
    }
}
