//! Reads the arguments of `coinslot doctor`.

use std::path::PathBuf;

use clap::Args;
use url::Url;

use crate::cli::Failure;
use crate::cli::pay::{self, DEFAULT_MAX, PayArgs, PayerArgs};
use crate::doctor::DoctorRequest;

/// Check an endpoint, yours or anybody's, as directories and stock clients would.
///
/// It asks for the price in many ways, with and without errors, and judges every answer: the challenge, CORS, caches,
/// connections, the published documents, and with --rpc the token's contract. With a key it pays once and checks the
/// receipt, the transfer, and what the same payment fetches again; at a running `coinslot dev` of yours it needs none.
/// It sends nothing but requests, and follows no redirect.
///
/// Ends with 0 if nothing has failed, 1 if it could not examine, 2 for wrong usage, 3 if a check has failed (with
/// --strict also for warnings).
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// The URL of an endpoint; or that of an origin, whose /openapi.json names the endpoints; or a path of the running
    /// `coinslot dev`.
    #[arg(value_name = "URL|PATH")]
    pub url: String,
    /// The method; without it all are probed, and the first that asks for money is examined.
    #[arg(short = 'X', long, alias = "request", value_name = "METHOD")]
    pub method: Option<String>,
    /// The body of a request that the endpoint would serve: text, @FILE, or - for stdin.
    #[arg(short = 'd', long, alias = "data", value_name = "BODY")]
    pub body: Option<String>,
    /// A header of every request, `name: value`; repeatable.
    #[arg(short = 'H', long, value_name = "HEADER")]
    pub header: Vec<String>,
    /// The JSON-RPC of a node, which is asked about the token and the transfer. That of a running `coinslot dev` is
    /// found.
    #[arg(long, value_name = "URL")]
    pub rpc: Option<Url>,
    /// The facilitator that settles for the endpoint: is asked what it settles.
    #[arg(long, value_name = "URL")]
    pub facilitator: Option<Url>,
    /// Pay once, with the key in COINSLOT_PAYER_KEY. A key that is named pays without this.
    #[arg(long)]
    pub pay: bool,
    /// Pay once, with the private key in this environment variable.
    #[arg(long, value_name = "NAME", conflicts_with = "key_file")]
    pub key_env: Option<String>,
    /// Pay once, with the private key in this file.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// The dev.json of the `coinslot dev` that serves the URL: its first payer pays.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key_file", "key_env"])]
    pub dev_json: Option<PathBuf>,
    /// The most to pay, in US dollars.
    #[arg(long, value_name = "AMOUNT", default_value = DEFAULT_MAX)]
    pub max: String,
    /// The directory in which the signed payment is kept until its outcome is known.
    #[arg(long, value_name = "DIR", env = "COINSLOT_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// The most endpoints of an origin that are examined.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub most: usize,
    /// The authority that has signed the server's certificate, in PEM, beside those that the machine trusts.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The longest time for each request, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub timeout: u64,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
    /// End with 3 for warnings, too.
    #[arg(long)]
    pub strict: bool,
}

/// The subject of a run: one endpoint, or all of an origin.
#[derive(Debug)]
pub(super) enum Wanted {
    Endpoint { request: DoctorRequest, has_method: bool },
    Origin(Url),
}

impl Wanted {
    pub(super) fn url(&self) -> &Url {
        match self {
            Self::Endpoint { request, .. } => &request.url,
            Self::Origin(url) => url,
        }
    }
}

impl DoctorArgs {
    /// The arguments of the purchase, as `coinslot pay` takes them.
    pub(super) fn of_pay(&self) -> PayArgs {
        PayArgs {
            url: Some(self.url.clone()),
            method: self.method.clone(),
            data: self.body.clone(),
            header: self.header.clone(),
            max: self.max.clone(),
            payer: PayerArgs {
                key_env: self.key_env.clone(),
                key_file: self.key_file.clone(),
                dev_json: self.dev_json.clone(),
            },
            ca: self.ca.clone(),
            network: None,
            json: self.json,
            dry_run: false,
            // It is to see a payment.
            no_pass: true,
            timeout: self.timeout,
            resume: None,
            state_dir: self.state_dir.clone(),
        }
    }
}

/// The request that the arguments describe.
pub(super) fn wanted(args: &DoctorArgs) -> Result<Wanted, Failure> {
    let spec = pay::request_of(&args.of_pay())?;
    let (method, headers, body) = spec.parts()?;
    let has_method = args.method.is_some() || args.body.is_some();
    let is_origin = spec.url.path() == "/" && spec.url.query().is_none() && !has_method;
    if is_origin {
        return Ok(Wanted::Origin(spec.url));
    }
    let mut request = DoctorRequest::bare(method, spec.url);
    request.headers.extend(headers);
    request.body = body.into();
    Ok(Wanted::Endpoint { request, has_method })
}
