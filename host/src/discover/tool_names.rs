//! Names the tools of endpoints, so that an agent finds a tool under the same name tomorrow.
//!
//! A name is made of what its own plugin declares, and of nothing else: the plugin's name, the words of the path, and the
//! method unless it is `GET`. A mount of the operator and other plugins do not change it. Where two endpoints of one
//! plugin would have the same name, or a name would be too long, the name ends with a part of the hash of its route.

use std::collections::HashMap;

use coinslot_plugin::{EndpointInfo, Segment};
use http::Method;
use sha2::{Digest as _, Sha256};

/// The most characters of a name. MCP allows 64, and clients put the name of the server before it.
pub(super) const MAX_NAME: usize = 48;
/// The hexadecimal digits of a hash at the end of a name, which keep apart what the rest does not.
const HASH_DIGITS: usize = 6;

/// The names of the endpoints of one plugin, in their order.
pub(super) fn names(plugin: &str, declared: &[EndpointInfo]) -> Vec<String> {
    let plain: Vec<String> = declared.iter().map(|endpoint| plain_name(plugin, endpoint)).collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for name in &plain {
        *counts.entry(name).or_default() += 1;
    }
    let name = |(endpoint, name): (&EndpointInfo, &String)| {
        let is_alone = counts.get(name.as_str()) == Some(&1);
        if is_alone && name.len() <= MAX_NAME { name.clone() } else { hashed(name, plugin, endpoint) }
    };
    declared.iter().zip(&plain).map(name).collect()
}

/// The plugin, the method unless it is `GET`, and the words of the path that are not the plugin's name.
fn plain_name(plugin: &str, endpoint: &EndpointInfo) -> String {
    let plugin = word(plugin);
    let mut words = vec![plugin.clone()];
    if endpoint.method != Method::GET {
        words.push(endpoint.method.as_str().to_ascii_lowercase());
    }
    for segment in endpoint.path.segments() {
        let text = match segment {
            Segment::Literal(text) => text,
            Segment::Parameter(name) | Segment::Rest(name) => name,
        };
        let word = word(text);
        if !word.is_empty() && word != plugin {
            words.push(word);
        }
    }
    words.join("_")
}

/// A text as letters, digits and hyphens.
fn word(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    plain.trim_matches('-').to_owned()
}

fn hashed(name: &str, plugin: &str, endpoint: &EndpointInfo) -> String {
    let digest = hex::encode(Sha256::digest(format!("{plugin} {}", endpoint.label())));
    // A name is ASCII.
    let start = &name[..name.len().min(MAX_NAME - HASH_DIGITS - 1)];
    format!("{}_{}", start.trim_end_matches(['_', '-']), &digest[..HASH_DIGITS])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::testing::free_endpoint;

    #[test]
    fn a_name_is_the_plugin_and_the_words_of_its_route() {
        for (plugin, method, path, name) in [
            ("hello", Method::GET, "/hello", "hello"),
            ("hello", Method::GET, "/hello/{name}", "hello_name"),
            ("primes", Method::POST, "/primes/{n}/{*rest}", "primes_post_n_rest"),
            ("rates", Method::GET, "/api/v1.0/rates/{base}", "rates_api_v1-0_base"),
            ("a.b", Method::GET, "/", "a-b"),
        ] {
            assert_eq!(names(plugin, &[free_endpoint(method, path)]), [name]);
        }
    }

    #[test]
    fn names_are_apart_and_short_and_independent_of_other_routes() {
        let long = format!("/{}", "word/".repeat(20).trim_end_matches('/'));
        let declared = [
            free_endpoint(Method::GET, "/a.b"),
            free_endpoint(Method::GET, "/a-b"),
            free_endpoint(Method::GET, &long),
            free_endpoint(Method::GET, "/other"),
        ];
        let all = names("p", &declared);
        assert!(all[0].starts_with("p_a-b_") && all[1].starts_with("p_a-b_") && all[0] != all[1], "{all:?}");
        for name in &all {
            let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
            assert!(is_plain && name.len() <= MAX_NAME, "{name}");
        }
        assert_eq!(names("p", &declared[2..]), all[2..], "a route that goes leaves the other names");
        assert_ne!(names("p", &declared[2..3]), names("q", &declared[2..3]));
    }
}
