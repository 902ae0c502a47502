//! Reads `[admin]`: the listener that operators ask.

use std::net::SocketAddr;
use std::path::Path;

use super::reader::Section;
use super::settlement::KeySource;
use super::types::{AdminConfig, AdminTls};

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
    let tls = tls(&mut section, base);
    let asks_for_certificates = tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    if token.is_none() && !asks_for_certificates && !listen.ip().is_loopback() {
        let problem = format!(
            "{listen} can be reached from other machines: name a token with token_env or token_file, or the authority of \
             its clients' certificates with client_ca in [admin.tls], or listen on 127.0.0.1"
        );
        section.key_problem("listen", problem);
    }
    Some(AdminConfig { listen, hosts: hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect(), token, tls })
}

/// Reads `[admin.tls]`.
fn tls(admin: &mut Section<'_, '_>, base: &Path) -> Option<AdminTls> {
    let mut section = admin.optional_section("tls")?;
    let certificates: Option<String> = section.required("cert", "name the PEM file with the certificates");
    let key: Option<String> = section.required("key", "name the PEM file with the certificate's private key");
    let client_ca: Option<String> = section.read("client_ca");
    let client_ca = client_ca.map(|file| base.join(file));
    Some(AdminTls { certificates: base.join(certificates?), key: base.join(key?), client_ca })
}
