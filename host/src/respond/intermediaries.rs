//! Recognises the header fields of a guest that a cache, a proxy or a browser would take for a command.
//!
//! A guest decides about its own answer. Some fields reach further: a cache gives a paid answer to the next client, a
//! proxy serves one of its own files, a browser keeps a rule for the whole site, which other plugins share. On a free
//! answer such fields are dropped by their kind. On a paid answer only fields that are known to be harmless pass, since
//! no list has every field that some cache obeys.

use http::HeaderName;

/// Beginnings of names by which caches, proxies and hosting platforms are told what to do.
const INTERMEDIARY_PREFIXES: &[&str] = &[
    "akamai-",
    "ban-",
    "cache-",
    "cdn-",
    "cf-",
    "cloudflare-",
    "cloudfront-",
    "edge-",
    "esi-",
    "fastly-",
    "netlify-",
    "purge-",
    "surrogate-",
    "varnish-",
    "vercel-",
    "x-accel-",
    "x-akamai-",
    "x-amz-",
    "x-amzn-",
    "x-azure-",
    "x-ban-",
    "x-cache",
    "x-cdn-",
    "x-cf-",
    "x-cloudflare-",
    "x-cloudfront-",
    "x-do-esi",
    "x-edge-",
    "x-envoy-",
    "x-esi-",
    "x-fastly-",
    "x-forwarded-",
    "x-lighttpd-",
    "x-litespeed-",
    "x-lscache",
    "x-magento-",
    "x-middleware-",
    "x-netlify-",
    "x-nginx-",
    "x-nextjs-",
    "x-proxy-",
    "x-purge",
    "x-reproxy-",
    "x-surrogate-",
    "x-traefik-",
    "x-varnish",
    "x-vcl-",
    "x-vercel-",
];

/// Parts of names with the same meaning, wherever they stand in a name: `CDN-Cache-Control`, `X-LIGHTTPD-send-file`.
const INTERMEDIARY_PARTS: &[&str] = &["cache-control", "cache-tag", "send-file", "sendfile"];

/// Single names with the same meaning.
const INTERMEDIARY_NAMES: &[&str] =
    &["x-ban", "x-esi", "x-key", "x-original-url", "x-real-ip", "x-rewrite-url", "x-tags", "x-ttl", "xkey"];

/// Fields by which a browser keeps something for every path of this name, and so for other plugins, and those of CORS.
const SITE_PREFIXES: &[&str] = &["access-control-", "attribution-reporting-", "sec-"];
const SITE_NAMES: &[&str] = &[
    "accept-ch",
    "accept-ch-lifetime",
    "activate-storage-access",
    "alt-svc",
    "clear-site-data",
    "critical-ch",
    "expect-ct",
    "expect-staple",
    "nel",
    "observe-browsing-topics",
    "origin-agent-cluster",
    "origin-trial",
    "public-key-pins",
    "public-key-pins-report-only",
    "report-to",
    "reporting-endpoints",
    "service-worker-allowed",
    "set-cookie",
    "set-cookie2",
    "set-login",
    "strict-transport-security",
    "supports-loading-mode",
    "use-as-dictionary",
    "variants",
];

/// Fields of a paid answer that describe it, and that no cache takes for leave to keep it: beside `content-` and `x-`.
/// `Cache-Control` and `Vary` are among them because the host writes them anew. `RateLimit` and `RateLimit-Policy` are
/// not: there the host says what is left of a pass, a key or an allowance.
const HARMLESS: &[&str] = &[
    "accept-patch",
    "accept-post",
    "accept-ranges",
    "allow",
    "api-version",
    "authentication-info",
    "cache-control",
    "cross-origin-embedder-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "date",
    "deprecation",
    "digest",
    "etag",
    "idempotency-key",
    "last-modified",
    "link",
    "location",
    "mcp-protocol-version",
    "mcp-session-id",
    "permissions-policy",
    "preference-applied",
    "priority",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "referrer-policy",
    "repr-digest",
    "request-id",
    "retry-after",
    "server",
    "server-timing",
    "signature",
    "signature-input",
    "sourcemap",
    "sunset",
    "timing-allow-origin",
    "traceparent",
    "tracestate",
    "vary",
    "warning",
    "www-authenticate",
];

/// True for a field that speaks to a cache or a proxy rather than to the client. `Cache-Control` itself is not one: it
/// is the guest's to write, on a free answer.
fn commands_an_intermediary(name: &str) -> bool {
    name != "cache-control"
        && (INTERMEDIARY_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            || INTERMEDIARY_PARTS.iter().any(|part| name.contains(part))
            || INTERMEDIARY_NAMES.contains(&name))
}

/// True for a field that holds for the whole site.
fn speaks_for_the_site(name: &str) -> bool {
    SITE_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || SITE_NAMES.contains(&name)
}

/// True if a guest may write the field on a free answer.
pub(super) fn is_allowed_on_free_answers(name: &HeaderName) -> bool {
    !commands_an_intermediary(name.as_str()) && !speaks_for_the_site(name.as_str())
}

/// True if a guest may write the field on the answer of a paid route.
pub(super) fn is_allowed_on_paid_answers(name: &HeaderName) -> bool {
    let text = name.as_str();
    let is_known = text.starts_with("content-") || text.starts_with("x-") || HARMLESS.contains(&text);
    is_known && is_allowed_on_free_answers(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One field of each kind, in the spelling of its documentation.
    const COMMANDS: &[&str] = &[
        "CDN-Cache-Control",
        "Cloudflare-CDN-Cache-Control",
        "Netlify-CDN-Cache-Control",
        "X-LiteSpeed-Cache-Control",
        "Surrogate-Control",
        "Surrogate-Key",
        "Edge-Control",
        "Edge-Cache-Tag",
        "Cache-Tag",
        "X-Accel-Expires",
        "X-Accel-Redirect",
        "X-Accel-Limit-Rate",
        "X-Accel-Buffering",
        "X-Sendfile",
        "X-Sendfile2",
        "X-LIGHTTPD-send-file",
        "X-Reproxy-URL",
        "X-LiteSpeed-Location",
        "X-Envoy-Immediate-Health-Check-Fail",
        "X-Middleware-Rewrite",
        "NEL",
        "Report-To",
        "Reporting-Endpoints",
        "Accept-CH",
        "Origin-Agent-Cluster",
        "Set-Cookie",
        "Strict-Transport-Security",
        "Access-Control-Allow-Methods",
        "Sec-Session-Registration",
    ];

    fn name(text: &str) -> HeaderName {
        HeaderName::from_bytes(text.as_bytes()).expect("a name")
    }

    #[test]
    fn no_command_to_a_cache_a_proxy_or_the_whole_site_passes() {
        for text in COMMANDS {
            assert!(!is_allowed_on_free_answers(&name(text)), "{text}");
            assert!(!is_allowed_on_paid_answers(&name(text)), "{text}");
        }
    }

    #[test]
    fn what_describes_an_answer_passes() {
        for text in
            ["Content-Type", "Content-Disposition", "ETag", "Last-Modified", "Location", "X-Total-Count", "Link"]
        {
            assert!(is_allowed_on_free_answers(&name(text)), "{text}");
            assert!(is_allowed_on_paid_answers(&name(text)), "{text}");
        }
        for text in ["Cache-Control", "Vary"] {
            assert!(is_allowed_on_free_answers(&name(text)), "{text}");
        }
    }

    #[test]
    fn what_nobody_knows_passes_on_free_answers_only() {
        for text in
            ["Expires", "Pragma", "Age", "No-Vary-Search", "Brand-New-Cache-Hint", "RateLimit", "RateLimit-Policy"]
        {
            assert!(is_allowed_on_free_answers(&name(text)), "{text}");
            assert!(!is_allowed_on_paid_answers(&name(text)), "{text}");
        }
    }
}
