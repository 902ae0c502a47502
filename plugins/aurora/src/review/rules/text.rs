//! Recognises strings and names by their content.

/// Whether the text has this word, with no letter, digit or `_` beside it.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let edge = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        edge(text[..at].chars().next_back()) && edge(text[at + word.len()..].chars().next())
    })
}

/// Recognises credentials by the fixed prefixes of their issuers.
pub(super) fn is_known_secret(text: &str) -> bool {
    let token_after = |prefix: &str, length: usize| {
        text.match_indices(prefix).any(|(at, _)| {
            text[at + prefix.len()..]
                .bytes()
                .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
                .count()
                >= length
        })
    };
    // Prefixes without the keys behind them, so that other scanners do not report this list.
    token_after("AKIA", 16)
        || token_after("ghp_", 30)
        || token_after("github_pat_", 30)
        || token_after("sk_live_", 16)
        || token_after("sk-ant-", 20)
        || token_after("xoxb-", 20)
        || token_after("AIza", 30)
        || token_after("glpat-", 18)
        || (text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----"))
}

/// Recognises a name that is usually given to a credential.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['_', '-', '"', '\''], "");
    ["password", "passwd", "secret", "apikey", "accesskey", "privatekey", "authtoken", "accesstoken", "bearertoken"]
        .iter()
        .any(|word| name.contains(word))
        || matches!(name.as_str(), "token" | "pwd")
}

/// Recognises an address without TLS that is not on this machine, in a private network or an example.
pub(super) fn is_plain_http(text: &str) -> bool {
    let Some(at) = text.find("http://") else {
        return false;
    };
    let host = &text[at + 7..];
    let local = [
        "localhost",
        "127.",
        "0.0.0.0",
        "[::1]",
        "10.",
        "192.168.",
        "{",
        "$",
        "%",
        "www.w3.org",
        "schemas.",
        "example.",
        "host.docker",
    ];
    host.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && !local.iter().any(|prefix| host.starts_with(prefix))
        && !host
            .split(['/', ':', '"'])
            .next()
            .is_some_and(|name| !name.contains('.') || name.ends_with(".local") || name.ends_with(".internal"))
}

/// Recognises an SQL statement.
pub(super) fn is_sql(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().all(|word| has_word(&upper, word));
    has(&["SELECT", "FROM"]) || has(&["INSERT", "INTO"]) || has(&["UPDATE", "SET"]) || has(&["DELETE", "FROM"])
}
