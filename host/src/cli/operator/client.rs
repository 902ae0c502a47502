//! Asks the admin listener of a host.

use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use coinslot_base::file::read_regular;
use reqwest::header::LINK;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::cli::output::OutputFormat;
use crate::cli::{DEFAULT_CONFIG, Failure, authorities};
use crate::config::{AdminConfig, Config};
use crate::operate::read_token;

/// The longest wait for an answer: a report may read a large ledger.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The most records of one part of a list: as many as the listener gives.
const MOST_AT_ONCE: usize = 1_000;

/// The listener that is asked, and how the answer is printed.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Connection {
    /// The configuration of the host, whose `[admin]` names the listener and the token.
    #[arg(short, long, default_value = DEFAULT_CONFIG, value_name = "FILE", conflicts_with = "url", global = true)]
    pub(in crate::cli) config: PathBuf,
    /// The admin listener itself, such as `https://ops.internal:8405`. The token is in COINSLOT_ADMIN_TOKEN.
    #[arg(long, global = true)]
    pub(in crate::cli) url: Option<Url>,
    #[arg(long, env = "COINSLOT_ADMIN_TOKEN", hide = true, hide_env_values = true, global = true)]
    token: Option<String>,
    /// The authority that has signed the listener's certificate, in PEM, beside those that the machine trusts.
    #[arg(long, env = "COINSLOT_ADMIN_CA", value_name = "FILE", global = true)]
    ca: Option<PathBuf>,
    /// The certificate and the private key of this operator, in one PEM file, for a listener that asks for one.
    #[arg(long, env = "COINSLOT_ADMIN_CERT", value_name = "FILE", global = true)]
    cert: Option<PathBuf>,
    /// `table`, `json` (a line for each) or `csv`. A table on a terminal, JSON elsewhere.
    #[arg(long, global = true)]
    format: Option<OutputFormat>,
    /// Print again after so many seconds, until it is interrupted.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", global = true)]
    watch: Option<u32>,
}

impl Connection {
    pub(in crate::cli) fn format(&self) -> OutputFormat {
        let by_terminal = || if std::io::stdout().is_terminal() { OutputFormat::Table } else { OutputFormat::Json };
        self.format.unwrap_or_else(by_terminal)
    }

    pub(in crate::cli) fn set_format(&mut self, format: OutputFormat) {
        self.format = Some(format);
    }

    /// True if a change is to be reported as a document.
    pub(in crate::cli) fn wants_document(&self) -> bool {
        matches!(self.format, Some(OutputFormat::Json | OutputFormat::Csv))
    }

    pub(super) fn watch(&self) -> Option<Duration> {
        self.watch.map(|seconds| Duration::from_secs(seconds.into()))
    }
}

/// A client of one admin listener.
#[derive(Debug)]
pub(in crate::cli) struct AdminClient {
    base: Url,
    token: Option<String>,
    client: reqwest::Client,
}

impl AdminClient {
    /// The client of the listener that the arguments name.
    pub(in crate::cli) fn of(connection: &Connection) -> Result<Self, Failure> {
        let configured = match &connection.url {
            Some(_) => None,
            None => configured(&connection.config)?,
        };
        let admin = configured.as_ref();
        let client = http_client(connection, admin)?;
        if let Some(url) = &connection.url {
            return Ok(Self { base: url.clone(), token: connection.token.clone(), client });
        }
        let shown = connection.config.display();
        let Some(admin) = admin else {
            return Err(Failure::usage(format!(
                "{shown} has no table [admin], so the host has no listener to ask: add it and restart the host, or name a \
                 listener with --url"
            )));
        };
        let mut address = admin.listen;
        // An address that stands for all of the machine's is asked by the one that is certain.
        match address.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        if address.port() == 0 {
            let message = format!("`listen` of [admin] in {shown} has port 0: name the listener with --url");
            return Err(Failure::usage(message));
        }
        let scheme = if admin.tls.is_some() { "https" } else { "http" };
        let base =
            format!("{scheme}://{address}").parse().map_err(|_| Failure::new(format!("{address} is no address")))?;
        Ok(Self { base, token: read_token(admin)?.or_else(|| connection.token.clone()), client })
    }

    /// Asks one question. Without values a parameter is left out.
    pub(in crate::cli) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, Option<&str>)],
    ) -> Result<T, Failure> {
        let mut url = self.url(path)?;
        let given = query.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
        for (name, value) in given {
            url.query_pairs_mut().append_pair(name, value);
        }
        let Answer { body, .. } = self.send(self.client.get(url)).await?;
        self.read(&body)
    }

    /// Asks for a list, part by part, up to so many records. Says whether there are more.
    pub(in crate::cli) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, Option<&str>)],
        most: Option<u32>,
    ) -> Result<(Vec<T>, bool), Failure> {
        let mut url = self.url(path)?;
        for (name, value) in query.iter().filter_map(|(name, value)| Some((*name, (*value)?))) {
            url.query_pairs_mut().append_pair(name, value);
        }
        let most = most.map_or(usize::MAX, |most| most as usize);
        let mut found = Vec::new();
        loop {
            let asked = most.saturating_sub(found.len()).min(MOST_AT_ONCE);
            let mut part = url.clone();
            part.query_pairs_mut().append_pair("limit", &asked.to_string());
            let Answer { body, next } = self.send(self.client.get(part)).await?;
            let records: Vec<T> = self.read(&body)?;
            found.extend(records);
            let Some(next) = next else { return Ok((found, false)) };
            if found.len() >= most {
                return Ok((found, true));
            }
            url = self.part(&next)?;
        }
    }

    /// The address of the part of a list that follows, without the size that was asked for. It is on the same listener.
    fn part(&self, next: &str) -> Result<Url, Failure> {
        let wrong =
            || Failure::new(format!("{} is no admin listener of this version: its `Link` is {next}", self.base));
        let mut url = self.base.join(next).map_err(|_| wrong())?;
        if url.origin() != self.base.origin() {
            return Err(wrong());
        }
        let asked: Vec<(String, String)> = url.query_pairs().into_owned().filter(|(name, _)| name != "limit").collect();
        url.query_pairs_mut().clear().extend_pairs(asked);
        Ok(url)
    }

    /// Asks for a change that is reported.
    pub(in crate::cli) async fn change<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let Answer { body, .. } = self.send(self.client.post(self.url(path)?).json(body)).await?;
        self.read(&body)
    }

    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Failure> {
        serde_json::from_slice(body)
            .map_err(|error| Failure::new(format!("{} is no admin listener of this version: {error}", self.base)))
    }

    fn url(&self, path: &str) -> Result<Url, Failure> {
        self.base.join(path).map_err(|error| Failure::usage(format!("{}: {error}", self.base)))
    }

    async fn send(&self, mut request: reqwest::RequestBuilder) -> Result<Answer, Failure> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let unreachable = |error: reqwest::Error| {
            let cause = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source()).last();
            let cause = cause.map(ToString::to_string).unwrap_or_default();
            let hint = match &*cause {
                cause if cause.contains("CertificateRequired") => "name a certificate of yours with --cert",
                cause if cause.contains("UnknownIssuer") => "name the authority of its certificate with --ca",
                _ => "is the host running?",
            };
            Failure::new(format!("{} does not answer: {cause}: {hint}", self.base))
        };
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let next = answer.headers().get(LINK).and_then(|field| next_of(field.to_str().ok()?));
        let body = answer.bytes().await.map_err(unreachable)?.to_vec();
        if status.is_success() {
            return Ok(Answer { body, next });
        }
        let document: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = document["message"].as_str().map_or_else(|| format!("it answered {status}"), ToOwned::to_owned);
        let message = format!("{}: {message}", self.base);
        // A name that is not known is wrong usage, as it is for commands that read files.
        Err(if matches!(document["error"].as_str(), Some("invalid_request" | "unknown_plugin")) {
            Failure::usage(message)
        } else {
            Failure::new(message)
        })
    }
}

/// The listener of a configuration. A mistake elsewhere in the file is said and keeps nobody from asking: the running host
/// may have read the file when it was right.
fn configured(file: &Path) -> Result<Option<AdminConfig>, Failure> {
    let problems = match Config::read(file) {
        Ok(config) => return Ok(config.admin),
        Err(problems) => problems,
    };
    match Config::read_admin(file) {
        Ok(Some(admin)) => {
            crate::logging::say(&format!("warning: the configuration, as it is now, is wrong: {problems}"));
            Ok(Some(admin))
        }
        Ok(None) | Err(_) => Err(problems.into()),
    }
}

/// An answer of the listener.
#[derive(Debug)]
struct Answer {
    body: Vec<u8>,
    /// The address of the part of a list that follows.
    next: Option<String>,
}

/// The address of a `Link` with `rel="next"`, as the listener writes it.
fn next_of(link: &str) -> Option<String> {
    let (address, parameters) = link.strip_prefix('<')?.split_once('>')?;
    parameters.contains("rel=\"next\"").then(|| address.to_owned())
}

/// The most bytes of a file of certificates.
const MOST_PEM: u64 = 1 << 20;

/// A client that trusts the listener's own certificate, and shows that of the operator.
fn http_client(connection: &Connection, admin: Option<&AdminConfig>) -> Result<reqwest::Client, Failure> {
    let read = |file: &PathBuf| {
        read_regular(file, MOST_PEM).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
    };
    // A token goes to the listener that was named, by no way around.
    let mut client = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).no_proxy();
    // A certificate that signs itself is its own authority.
    let own = admin.and_then(|admin| admin.tls.as_ref()).map(|tls| &tls.certificates);
    for file in connection.ca.iter().chain(own) {
        client = client.tls_certs_merge(authorities(file)?);
    }
    if let Some(file) = &connection.cert {
        let refused = |error: reqwest::Error| {
            let file = file.display();
            Failure::usage(format!("{file}: {error}: it is to have a certificate and its private key, both in PEM"))
        };
        client = client.identity(reqwest::Identity::from_pem(&read(file)?).map_err(refused)?);
    }
    client.build().map_err(|error| Failure::new(error.to_string()))
}
