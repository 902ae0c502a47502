//! Writes `/robots.txt` (RFC 9309).

use super::document::Document;
use crate::config::Robots;

/// The document. None: the operator publishes none.
pub(super) fn document(robots: Robots) -> Option<Document> {
    let text = match robots {
        Robots::Allow => "User-agent: *\nAllow: /\n",
        Robots::Disallow => "User-agent: *\nDisallow: /\n",
        Robots::Off => return None,
    };
    Some(Document::new("text/plain; charset=utf-8", text))
}
