//! The paths of requests, by the rules of the host.
//!
//! A host gives a plugin one spelling of each path, and refuses a path that a proxy could read in another way. The
//! rules are those of `route/path.rs` of the host.

/// The longest path, in bytes.
const MAX_PATH: usize = 4096;

/// The path in the spelling that a plugin sees, or the sentence of the host's refusal.
pub(super) fn canonical(path: &str) -> Result<String, &'static str> {
    if path.len() > MAX_PATH {
        return Err("the path is longer than 4096 bytes");
    }
    let rest = path.strip_prefix('/').ok_or("the path must start with a slash")?;
    let last = rest.split('/').count() - 1;
    let mut canonical = String::new();
    for (index, segment) in rest.split('/').enumerate() {
        if segment.is_empty() && index != last {
            return Err("the path holds an empty segment: write single slashes");
        }
        let segment =
            crate::form::decode(segment).ok_or("the path holds a `%` that does not start two hex digits of UTF-8")?;
        if segment == "." || segment == ".." {
            return Err("the path holds `.` or `..`: write the path that is meant");
        }
        if segment.chars().any(|c| c == '/' || c == '\\' || c.is_control()) {
            return Err("the path holds an encoded slash, a backslash or a control character");
        }
        canonical.push('/');
        canonical.push_str(&encode_with(&segment, b"-._~!$&'()*+,;=:@"));
    }
    Ok(canonical)
}

/// Percent-encodes a name or a value of a form.
pub(super) fn encode(text: &str) -> String {
    encode_with(text, b"-._~")
}

/// Percent-encodes all bytes but letters, digits and those in `kept`.
fn encode_with(text: &str, kept: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            true => encoded.push(char::from(byte)),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn every_spelling_of_a_path_is_one_path_or_is_refused() {
        for (spelling, path) in [
            ("/", "/"),
            ("/a/", "/a/"),
            ("/%61", "/a"),
            ("/a%20b", "/a%20b"),
            ("/a b", "/a%20b"),
            ("/%c3%a9", "/%C3%A9"),
            ("/\u{e9}", "/%C3%A9"),
            ("/a:b@c", "/a:b@c"),
            ("/%3A", "/:"),
            ("/a%25b", "/a%25b"),
        ] {
            assert_eq!(canonical(spelling).as_deref(), Ok(path), "{spelling}");
        }
        for (spelling, part) in [
            ("a", "slash"),
            ("//a", "empty segment"),
            ("/a//b", "empty segment"),
            ("/a/../b", "`..`"),
            ("/%2e%2E/b", "`..`"),
            ("/a%2Fb", "encoded slash"),
            ("/a\\b", "backslash"),
            ("/a%00", "control character"),
            ("/%zz", "hex digits"),
            ("/%ff", "UTF-8"),
            (&format!("/{}", "a".repeat(4096)), "longer"),
        ] {
            let problem = canonical(spelling).expect_err(spelling);
            assert!(problem.contains(part), "{spelling}: {problem}");
        }
    }
}
