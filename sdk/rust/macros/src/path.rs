//! Path templates, by the rules of `coinslot:plugin/manifest.endpoint.path`.

/// Longest template, in bytes: the contract's limit.
const MAX_BYTES: usize = 512;

/// A checked template.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Template {
    /// The parameters' names, in order.
    pub(crate) params: Vec<String>,
    /// An identifier that two templates share exactly if they match the same requests.
    pub(crate) key: String,
}

/// Checks a template. The error is a sentence that says what to write instead.
pub(crate) fn parse(text: &str) -> Result<Template, String> {
    if !text.starts_with('/') {
        return Err(format!("a path starts with a slash: \"/{text}\""));
    }
    if text.len() > MAX_BYTES {
        return Err(format!("this path has {} bytes; the limit is {MAX_BYTES}", text.len()));
    }
    let mut template = Template { params: Vec::new(), key: String::new() };
    if text == "/" {
        template.key.push_str("__");
        return Ok(template);
    }
    let segments: Vec<&str> = text[1..].split('/').collect();
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        if segment.is_empty() {
            return Err(match last {
                true => format!("a path does not end with a slash: \"{}\"", text.trim_end_matches('/')),
                false => "a path has no empty segment: write one slash instead of \"//\"".to_owned(),
            });
        }
        template.key.push_str("__");
        if segment.contains(['{', '}']) {
            let (name, rest) = param(segment)?;
            if rest && !last {
                return Err(format!("{segment} takes the rest of the path, so it must come last"));
            }
            if template.params.iter().any(|known| known == name) {
                return Err(format!("the parameter {{{name}}} stands twice in this path"));
            }
            template.params.push(name.to_owned());
            template.key.push_str(if rest { "_rest_" } else { "_any_" });
        } else {
            literal(segment, &mut template.key)?;
        }
    }
    Ok(template)
}

/// The name in `{name}` or `{*name}`, and whether it is the latter.
fn param(segment: &str) -> Result<(&str, bool), String> {
    let inner = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}'));
    let Some(inner) = inner.filter(|inner| !inner.contains(['{', '}'])) else {
        return Err(format!("a parameter is a whole segment, as in \"/{{name}}\"; found \"{segment}\""));
    };
    let (name, rest) = match inner.strip_prefix('*') {
        Some(name) => (name, true),
        None => (inner, false),
    };
    let mut bytes = name.bytes();
    let starts_well = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !starts_well || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(format!(
            "a parameter's name has letters, digits and `_`, and does not start with a digit; found \"{segment}\""
        ));
    }
    Ok((name, rest))
}

/// Checks a literal segment and appends its part of the key.
///
/// Every escape starts with `_`, which never stands for itself, and escapes differ in their
/// second character; so two keys are equal only if the segments are.
fn literal(segment: &str, key: &mut String) -> Result<(), String> {
    if segment == "." || segment == ".." {
        return Err(format!("a client resolves \"{segment}\" before it sends a request; no request would match"));
    }
    for c in segment.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' => key.push(c),
            '-' => key.push_str("_d_"),
            '_' => key.push_str("_u_"),
            '.' => key.push_str("_p_"),
            '~' | '!' | '$' | '&' | '\'' | '(' | ')' | '*' | '+' | ',' | ';' | '=' | ':' | '@' => {
                key.push_str(&format!("_x{:02x}_", c as u32));
            }
            '%' => return Err("there is no percent-encoding in a path template".to_owned()),
            '?' => {
                return Err("a path ends before the question mark; read the query with `Query`".to_owned());
            }
            other => return Err(format!("{other:?} cannot stand in a path")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[track_caller]
    fn refused(text: &str, part: &str) {
        let error = parse(text).expect_err(text);
        assert!(error.contains(part), "{text}: {error}");
    }

    #[test]
    fn a_template_names_its_parameters_in_order() {
        let template = parse("/a/{b}/c-d/{*rest}").unwrap();
        assert_eq!(template.params, ["b", "rest"]);
        assert!(parse("/").unwrap().params.is_empty());
    }

    #[test]
    fn templates_that_match_the_same_requests_share_a_key() {
        let key = |text: &str| parse(text).unwrap().key;
        assert_eq!(key("/a/{x}"), key("/a/{y}"));
        let all = [
            "/", "/a", "/a/b", "/a_b", "/a-b", "/a.b", "/a/{x}", "/a/{*x}", "/a/any", "/a/_any_", "/a+b", "/a/d",
            "/a_d_",
        ];
        for (i, one) in all.iter().enumerate() {
            for other in &all[i + 1..] {
                assert_ne!(key(one), key(other), "{one} {other}");
            }
        }
    }

    #[test]
    fn a_bad_template_says_what_to_write() {
        refused("a", "starts with a slash");
        refused("", "starts with a slash");
        refused("/a//b", "empty segment");
        refused("//", "empty segment");
        refused("/a/", "does not end with a slash: \"/a\"");
        refused("/a{b}", "whole segment");
        refused("/{b", "whole segment");
        refused("/{{b}}", "whole segment");
        refused("/{}", "letters, digits");
        refused("/{1a}", "letters, digits");
        refused("/{*a}/b", "must come last");
        refused("/{a}/{a}", "twice");
        refused("/a%20b", "percent-encoding");
        refused("/a?b", "question mark");
        refused("/a b", "cannot stand");
        refused("/a/../b", "resolves");
        refused(&format!("/{}", "a".repeat(512)), "limit is 512");
    }
}
