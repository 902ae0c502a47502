//! From what is configured for plugins to what they are granted: here secrets are looked up.

use crate::cli::Failure;
use crate::config::{Config, KeySource, PluginConfig, SecretSource};
use coinslot_plugin::{Grants, PluginPolicies, PluginPolicy, Secret};

/// What plugins are bounded by and granted. Fails with every secret that is missing.
pub(in crate::cli) fn terms(config: &Config) -> Result<PluginPolicies, Failure> {
    let mut problems = Vec::new();
    let mut terms = PluginPolicies { limits: config.limits.clone(), ..PluginPolicies::default() };
    for (name, plugin) in &config.plugin {
        let grants = grants(name, plugin, &mut problems);
        terms.plugins.insert(name.clone(), PluginPolicy { limits: plugin.limits.clone(), grants });
    }
    if problems.is_empty() { Ok(terms) } else { Err(Failure::usage(problems.join("\n"))) }
}

fn grants(name: &str, plugin: &PluginConfig, problems: &mut Vec<String>) -> Grants {
    let mut secrets = Vec::new();
    for (index, source) in plugin.secrets.iter().enumerate() {
        match secret(source) {
            Ok(secret) => secrets.push(secret),
            Err(problem) => problems.push(format!("plugin.{name}.secrets[{index}]: {problem}")),
        }
    }
    Grants { http: plugin.http.clone(), secrets, config: plugin.config.clone(), keyvalue: plugin.keyvalue }
}

/// The error names where the value was looked for, never the value.
fn secret(source: &SecretSource) -> Result<Secret, String> {
    let (value, from) = match &source.value {
        KeySource::Env(name) => {
            let value = std::env::var(name).map_err(|_| format!("the variable {name} is not set, or not text"))?;
            (value, name.clone())
        }
        KeySource::File(file) => {
            let value = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
            (value, file.display().to_string())
        }
    };
    Secret::new(source.origin.clone(), source.header.clone(), &source.prefix, value.trim())
        .map_err(|error| format!("{from}: {error}"))
}
