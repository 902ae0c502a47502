//! Normalizes the paths of requests by the rules of the host.
//!
//! A host gives a plugin one spelling of each path, and refuses a path that a proxy could read in another way. The
//! rules are those of `route/path.rs` of the host. Both sides are tested with `tests/fixtures/request-paths.txt`.

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

    const TABLE: &str = include_str!("../../../../tests/fixtures/request-paths.txt");

    #[test]
    fn a_path_is_the_one_or_the_refusal_that_the_host_makes_of_it() {
        let mut cases = 0;
        for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (kind, case) = line.split_once(' ').expect("a kind and its words");
            let (spelling, expected) = case.split_once(' ').expect("a spelling and what it means");
            let expected = if kind == "path" { Ok(expected) } else { Err(expected) };
            assert_eq!(canonical(spelling).as_deref().map_err(|problem| *problem), expected, "{line}");
            cases += 1;
        }
        assert!(cases > 40, "{cases} cases");
        assert_eq!(canonical(&format!("/{}", "a".repeat(4096))), Err("the path is longer than 4096 bytes"));
        assert!(canonical(&format!("/{}", "a".repeat(4095))).is_ok());
    }
}
