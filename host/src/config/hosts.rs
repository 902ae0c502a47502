//! One entry of `hosts`: what a client writes into its `Host` header.

use http::uri::Authority;
use url::Host;

/// Lower case, as it is compared. A name or an IP address, with a port if the client writes one.
pub(super) fn host(text: &str) -> Result<String, String> {
    let refused = |why: &str| {
        Err(format!("`{text}` is not a host: {why}; write a name or an IP address, with a port if clients name one"))
    };
    if text.contains("://") || text.contains('/') {
        return refused("it is an address with a scheme or a path");
    }
    if text.contains('*') {
        return refused("there are no patterns");
    }
    if text.contains('@') {
        return refused("it names a user");
    }
    let Ok(authority) = text.parse::<Authority>() else { return refused("it has characters that no host has") };
    // The rest behind the name is the port, if there is one.
    match (text.strip_prefix(authority.host()), authority.port_u16()) {
        (Some(""), _) | (Some(_), Some(1..)) => {}
        _ => return refused("its port is not one from 1 to 65535"),
    }
    match Host::parse(authority.host()) {
        Ok(Host::Domain(name)) if name.bytes().any(|b| b.is_ascii_alphanumeric()) && is_name(&name) => {}
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) => {}
        Ok(Host::Domain(_)) | Err(_) => return refused("it is neither a name nor an IP address (IPv6 in brackets)"),
    }
    Ok(text.to_ascii_lowercase())
}

/// Labels of letters, digits, hyphens and underscores.
fn is_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn names_and_addresses_are_hosts() {
        for text in ["api.example.com", "localhost", "localhost:8402", "10.0.0.5", "10.0.0.5:80", "[::1]", "[::1]:8402"]
        {
            assert_eq!(host(text).as_deref(), Ok(text));
        }
        assert_eq!(host("API.Example.com:443").as_deref(), Ok("api.example.com:443"));
    }

    #[test]
    fn everything_else_is_refused_with_its_text() {
        for text in [
            "",
            " ",
            "https://api.example.com",
            "api.example.com/",
            "api.example.com:",
            "api.example.com:0",
            "api.example.com:65536",
            "api.example.com:http",
            "*.example.com",
            "me@example.com",
            "a..example.com",
            "a b.example.com",
            "::1",
            "256.0.0.1",
            "[::g]",
            ".",
        ] {
            let problem = host(text).expect_err(text);
            assert!(problem.starts_with(&format!("`{text}` is not a host")), "{problem}");
        }
    }
}
