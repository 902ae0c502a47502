//! `coinslot health`: asks a host whether it is ready, for health checks of containers, which have no other client.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::{Failure, authorities, print};

/// The page that says so.
const READY: &str = "/.well-known/coinslot/ready";

/// The most bytes of an answer that are read.
const LARGEST_ANSWER: usize = 64 << 10;

/// Ask a host whether it is ready to serve and to sell.
///
/// Ends with 0 if it is ready, 1 if it is not, with the reasons, or does not answer, 2 for wrong usage.
#[derive(clap::Args, Clone, Debug)]
pub struct HealthArgs {
    /// The host. Of a URL without a path, /.well-known/coinslot/ready is asked for.
    #[arg(default_value = "http://127.0.0.1:8402", value_name = "URL")]
    pub url: Url,
    /// Seconds until a host that has not answered counts as not ready.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=300), value_name = "SECONDS")]
    pub timeout: u64,
    /// The authority that has signed the host's certificate, in PEM, beside those that the machine trusts.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub ca: Option<PathBuf>,
    /// Take any certificate: that of a host with TLS is for its name, and not for 127.0.0.1.
    #[arg(long)]
    pub insecure: bool,
}

/// The answer of a host.
#[derive(Debug, Deserialize)]
struct ReadyAnswer {
    ready: bool,
    #[serde(default)]
    obstacles: Vec<String>,
}

/// Asks once.
pub async fn run(args: HealthArgs) -> Result<(), Failure> {
    let HealthArgs { mut url, timeout, ca, insecure } = args;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Failure::usage(format!("{url} is no URL of http or https")));
    }
    if url.path() == "/" {
        url.set_path(READY);
    }
    let failed = |error: &dyn std::error::Error| {
        let cause = std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error);
        Failure::new(format!("{url} does not answer: {cause}"))
    };
    // A proxy of the environment is for other machines than the one that is asked here.
    let mut client = reqwest::Client::builder()
        .timeout(Duration::from_secs(timeout))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tls_danger_accept_invalid_certs(insecure);
    if let Some(file) = &ca {
        client = client.tls_certs_merge(authorities(file)?);
    }
    let client = client.build().map_err(|error| failed(&error))?;
    let mut reply = client.get(url.clone()).send().await.map_err(|error| failed(&error))?;
    let status = reply.status();
    let mut body = Vec::new();
    while let Some(part) = reply.chunk().await.map_err(|error| failed(&error))? {
        body.extend_from_slice(&part);
        if body.len() > LARGEST_ANSWER {
            break;
        }
    }
    match serde_json::from_slice(&body) {
        Ok(ReadyAnswer { ready: true, .. }) if status.is_success() => print::line("ready"),
        Ok(ReadyAnswer { obstacles, .. }) => Err(Failure::new(format!("not ready: {}", obstacles.join("; ")))),
        Err(_) => Err(Failure::new(format!("{url} answers {status}, and is no readiness page of Coinslot"))),
    }
}
