//! Writes the text of a configuration, with the comments that its reader needs.

use url::Url;

use super::answers::{Answers, Settler};

/// The whole file.
pub(super) fn text(answers: &Answers) -> String {
    [HEAD, &public_url(answers), FOLDERS, &accept(answers), &facilitator(answers), REST].join("\n")
}

const HEAD: &str = r#"# What this host sells, and for whom: read by `coinslot serve`, checked by `coinslot check`.
#
# A key that is commented out has the value that stands here, unless its comment says "for example". Paths are relative
# to this file. Durations ("30s") and sizes ("64MiB") have a unit. Secrets are never in this file: it names environment
# variables and files. configuration.md of the documentation has every key.

# Address and port that the host listens on.
#listen = "127.0.0.1:8402"
"#;

fn public_url(answers: &Answers) -> String {
    let key = match &answers.public_url {
        Some(url) => format!("public_url = {}", quoted(url.as_str().trim_end_matches('/'))),
        None => "#public_url = \"https://api.example.com\"".to_owned(),
    };
    let about = match &answers.public_url {
        Some(_) => "# What clients call. Requests for other host names get 421.",
        None => {
            "# For example. What clients call, if a proxy or a name stands in front; requests for other host names get 421."
        }
    };
    format!("{about}\n{key}\n")
}

const FOLDERS: &str = r#"# The folder with the plugins, *.wasm.
#plugins = "plugins"

# The folder of the ledger, of compiled plugins, and of what plugins keep. `coinslot backup` copies what matters of it.
#state = ".coinslot"
"#;

fn accept(answers: &Answers) -> String {
    let Answers { network, asset, pay_to, .. } = answers;
    let money = match asset.testnet {
        true => {
            format!("This is a test network: its {} is worth nothing, and is never counted as revenue.", asset.symbol)
        }
        false => format!("This is real money: {} on {}.", asset.symbol, asset.network),
    };
    format!(
        r#"# What is taken. {money}
# Write one table for each asset, the preferred first.
[[accept]]
# The chain: a name, or CAIP-2.
network = {}
# Who receives the money. It goes there directly from the payer.
pay_to = {}
# A symbol of the built-in table.
#asset = "{}"
# How long a signed payment may be valid.
#max_timeout = "5m"
"#,
        quoted(network),
        quoted(pay_to),
        asset.symbol
    )
}

fn facilitator(answers: &Answers) -> String {
    match &answers.settler {
        Settler::Own { rpc } => format!(
            r#"# Who verifies and settles: this host, through a node of the chain.
[facilitator.own]
# JSON-RPC of the node.
rpc = {}
# The variable with the private key that pays for gas. Nothing else may use this key on this chain.
key_env = "COINSLOT_GAS_KEY"
# instead: key_file = "gas.key"
# For example, in ether: gas for a day (UTC), beyond which nothing is sent. No bound without it.
#gas_budget_per_day = 0.05
"#,
            quoted(rpc.as_str())
        ),
        Settler::Cdp { url, rpc } => format!(
            r#"# Who verifies and settles: Coinbase's facilitator.
[facilitator.cdp]
url = {}
# The variables with the key of its portal.
cdp_key_id_env = "CDP_API_KEY_ID"
cdp_key_secret_env = "CDP_API_KEY_SECRET"
{}"#,
            quoted(url.as_str()),
            checking_node(rpc.as_ref())
        ),
        Settler::Remote { url, rpc } => format!(
            r#"# Who verifies and settles: a facilitator over HTTP, which pays the gas.
[facilitator.main]
url = {}
# For example. The variable with a token that is sent as `Authorization: Bearer`.
#bearer_env = "FACILITATOR_TOKEN"
{}"#,
            quoted(url.as_str()),
            checking_node(rpc.as_ref())
        ),
    }
}

/// The node by which the word of a facilitator is checked.
fn checking_node(rpc: Option<&Url>) -> String {
    let about = "A node of the chain: a success or a refusal of the facilitator counts only as far as the chain shows it.\n\
                 # Without a node the facilitator's word is all there is";
    match rpc {
        Some(rpc) => format!("# {about}.\nrpc = {}\n", quoted(rpc.as_str())),
        None => format!("# For example. {about}.\n#rpc = \"https://your-node.example.com\"\n"),
    }
}

const REST: &str = r##"# Connections.
[server]
# For example. The proxies in front, whose X-Forwarded-For is believed; none without it.
#trusted_proxies = ["127.0.0.1/32"]
# How long a shutdown waits for connections and payments at work.
#drain_timeout = "30s"

# Bounds of each plugin.
[limits]
# Linear memory of one instance.
#memory = "128MiB"
# Processor time of one request.
#cpu_time = "1s"
# Time until the head of the answer.
#first_byte_timeout = "30s"
# Bodies of requests and of answers.
#request_body = "10MiB"
#response_body = "10MiB"

# For example: the listener for operators, with an API, and metrics for Prometheus. There is none without this table.
#[admin]
# For example. An address that other machines reach needs a token.
#listen = "127.0.0.1:8405"

# For example: what one plugin is granted, by the name in its manifest. Without a grant it reaches nothing.
#[plugin.weather]
# Origins that it may send requests to.
#http = ["https://api.example.com"]
# It may keep keys and values.
#keyvalue = true
# For example: one of its routes for another price, with a pass for 100 more requests within an hour.
#[plugin.weather.routes."GET /now"]
#price = "0.01"
#pass = { seconds = 3600, requests = 100 }

# For example: the seller on the pages for people and in the documents for directories.
#[discover]
#name = "Weather of Example"
#email = "sales@example.com"
#website = "https://www.example.com"
#accent = "#1a56db"
"##;

/// A string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use coinslot_x402::Network;
    use coinslot_x402::price::Asset;

    use super::*;
    use crate::config::Config;

    fn url(text: &str) -> Url {
        text.parse().expect("a URL")
    }

    fn answers(settler: Settler) -> Answers {
        Answers {
            network: "base".to_owned(),
            asset: Asset::known(&Network::eip155(8453), None).expect("known"),
            pay_to: "0xC0140eEa19bD90a7cA75882d5218eFaF20426e42".to_owned(),
            settler,
            public_url: Some(url("https://api.example.com")),
        }
    }

    /// A key that is commented out was a mistake of syntax, or another key than the program reads.
    #[test]
    fn every_file_is_read_as_it_is_and_with_its_comments_taken_away() {
        let (node, far) = (url("https://node.example.com/a?b=\"c\""), url("https://pay.example.com"));
        for settler in [
            Settler::Own { rpc: node.clone() },
            Settler::Cdp { url: far.clone(), rpc: None },
            Settler::Cdp { url: far.clone(), rpc: Some(node.clone()) },
            Settler::Remote { url: far.clone(), rpc: None },
            Settler::Remote { url: far, rpc: Some(node) },
        ] {
            let text = text(&answers(settler));
            let config = Config::of_text(&text, Path::new("")).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
            assert_eq!(config.payment.accepts.len(), 1);
            assert_eq!(config.server.public_url.as_deref(), Some("https://api.example.com"));
            // A comment of prose has a space behind its sign.
            let is_key = |line: &&str| !line.starts_with("# ") && *line != "#";
            let keys: Vec<&str> = text.lines().filter(is_key).map(|line| line.trim_start_matches('#')).collect();
            let keys = keys.join("\n");
            Config::of_text(&keys, Path::new("")).unwrap_or_else(|problems| panic!("{problems}\n{keys}"));
            assert!(text.lines().all(|line| line.len() <= 120), "{text}");
        }
    }

    /// The comments state defaults, which the program could change without them.
    #[test]
    fn what_the_comments_call_the_value_is_the_default() {
        let text = text(&answers(Settler::Own { rpc: url("https://node.example.com") }));
        let bare = Config::of_text(&text, Path::new("")).expect("a configuration");
        let is_example = |line: &str, before: &str| before.starts_with("# For example") && line.starts_with('#');
        let lines: Vec<&str> = text.lines().take_while(|line| *line != "#[plugin.weather]").collect();
        let stated: Vec<String> = lines
            .iter()
            .enumerate()
            .filter(|(index, line)| {
                let before = index.checked_sub(1).map_or("", |before| lines[before]);
                !line.starts_with("# ") && **line != "#" && !is_example(line, before)
            })
            .map(|(_, line)| line.trim_start_matches('#').to_owned())
            .filter(|line| line != "[admin]")
            .collect();
        let stated = Config::of_text(&stated.join("\n"), Path::new("")).expect("a configuration");
        let facts = |config: &Config| {
            let Config {
                base: _,
                server,
                plugins,
                payment,
                state,
                admin,
                webhooks,
                allowances,
                log,
                telemetry,
                refunds,
                discover,
            } = config;
            let rest = format!("{allowances:?} {log:?} {telemetry:?} {refunds:?} {discover:?}");
            format!("{server:?} {plugins:?} {payment:?} {state:?} {admin:?} {webhooks:?} {rest}")
        };
        assert_eq!(facts(&bare), facts(&stated));
    }
}
