//! Reads `[admin]`: the listener that operators ask.

use std::net::SocketAddr;
use std::path::Path;

use super::reader::Section;
use super::settlement::KeySource;
use super::types::AdminConfig;

/// Reads the table. None without it: then there is no listener for operators.
pub(super) fn read(root: &mut Section<'_, '_>, base: &Path) -> Option<AdminConfig> {
    let mut section = root.optional_section("admin")?;
    let default = AdminConfig::default();
    let listen = section.read::<String>("listen").and_then(|text| {
        let refused = |_| section.key_problem("listen", format!("`{text}` is not an address such as `127.0.0.1:8405`"));
        text.parse::<SocketAddr>().map_err(refused).ok()
    });
    let listen = listen.unwrap_or(default.listen);
    let hosts: Vec<String> = section.read("hosts").unwrap_or_default();
    let token = match (section.read("token_env"), section.read::<String>("token_file")) {
        (Some(name), None) => Some(KeySource::Env(name)),
        (None, Some(file)) => Some(KeySource::File(base.join(file))),
        (None, None) => None,
        (Some(_), Some(_)) => {
            section.problem("name token_env or token_file, not both");
            None
        }
    };
    if token.is_none() && !listen.ip().is_loopback() {
        section.key_problem(
            "listen",
            format!("{listen} can be reached from other machines: name a token with token_env or token_file, or listen on 127.0.0.1"),
        );
    }
    Some(AdminConfig { listen, hosts: hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect(), token })
}
