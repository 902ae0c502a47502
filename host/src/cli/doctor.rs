//! `coinslot doctor`: checks an endpoint, or every endpoint of an origin, as directories and stock clients would.

#![expect(clippy::disallowed_methods, reason = "a server's clock is compared with this one")]

mod args;
mod purchase;
mod show;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use coinslot_base::text::excerpt;
use coinslot_evm::{Chain, ChainError, ChainSettings};
use coinslot_x402::UnixTime;
use url::Url;

use super::{Failure, dev_hosts};
use crate::doctor::{
    ChainFacts, DoctorClient, Documents, EndpointTarget, Examined, FacilitatorFacts, Observation, Observed,
    OpenApiDescription, Outcome, Report, examine, examine_nothing, examine_unreachable, observe, observe_documents,
    observe_facilitator, observe_tokens,
};
use crate::logging;
pub use args::DoctorArgs;
use args::Wanted;
use purchase::Buyer;
use show::{ReportOutput, Spinner, warned};

/// The most operations that are named where nothing is served.
const MOST_NAMED: usize = 10;

/// The exit code of an examination that found something.
const FOUND: u8 = 3;

/// Examines, prints, and fails if something was found.
pub async fn run(args: DoctorArgs) -> Result<(), Failure> {
    let wanted = args::wanted(&args)?;
    let client = DoctorClient::new(Duration::from_secs(args.timeout), args.ca.as_deref())
        .map_err(|error| Failure::usage(format!("--ca {error}")))?;
    let buyer = Buyer::open(&args, wanted.url())?;
    let spinner = Spinner::start();
    let documents = Arc::new(observe_documents(&client, wanted.url()).await);
    let targets = targets(&args, &wanted, &documents)?;
    let facilitator = match &args.facilitator {
        Some(url) => observe_facilitator(&client, url).await,
        None => FacilitatorFacts::NotAsked,
    };
    let rpc = args.rpc.clone().or_else(|| dev_hosts::rpc_serving(args.dev_json.as_deref(), wanted.url()));
    let mut examination = Examination { client, documents, facilitator, rpc, buyer, spinner };
    let mut output = ReportOutput::new(args.json);
    let mut report = Report::default();
    for target in targets {
        let examined = examination.examine(target).await;
        output.endpoint(&examined)?;
        report.endpoints.push(examined);
    }
    examination.spinner.end();
    output.end(&report)?;
    let (failed, warnings) = (report.count(Outcome::Failed), report.count(Outcome::Warning));
    match failed > 0 || args.strict && warnings > 0 {
        true => Err(Failure { code: FOUND, message: format!("{failed} failed, {}", warned(warnings)) }),
        false => Ok(()),
    }
}

/// The tools of a run, which examine all its endpoints.
struct Examination {
    client: DoctorClient,
    documents: Arc<Documents>,
    facilitator: FacilitatorFacts,
    rpc: Option<Url>,
    buyer: Buyer,
    spinner: Spinner,
}

impl Examination {
    async fn examine(&mut self, target: EndpointTarget) -> Examined {
        let url = target.request.url.clone();
        let endpoint = format!("{} {}", target.request.method, target.request.url);
        let progress = |what: &str| self.spinner.say(&format!("{endpoint}: {what}"));
        let now = UnixTime::from(SystemTime::now()).0;
        let observed = observe(&self.client, target, Arc::clone(&self.documents), now, &progress).await;
        let mut observed = match observed {
            Ok(Observation::Endpoint(observed)) => observed,
            Ok(Observation::NotServed) => return examine_nothing(url.to_string(), &self.described(&url)),
            Err(error) => return examine_unreachable(endpoint, &error),
        };
        observed.facilitator = self.facilitator.clone();
        let chain = self.chain(&observed).await;
        observed.chain = match (&chain, &observed.challenge) {
            (Ok(Some(chain)), Some(challenge)) => observe_tokens(chain, challenge).await,
            (Err(why), Some(_)) => ChainFacts::Unusable(why.clone()),
            _ => ChainFacts::NotAsked,
        };
        progress("paying once");
        observed.payment = self.buyer.buy(&observed, chain.ok().flatten().as_ref()).await;
        examine(&observed)
    }

    /// The names of some operations that the origin describes.
    fn described(&self, url: &Url) -> Vec<String> {
        let openapi = self.documents.openapi.as_ref();
        openapi.map(|openapi| OpenApiDescription::new(openapi, url).names(MOST_NAMED)).unwrap_or_default()
    }

    /// The chain of the first way to pay that is on the node's chain. None: there is no node.
    async fn chain(&self, observed: &Observed) -> Result<Option<Chain>, String> {
        let (Some(rpc), Some(challenge)) = (&self.rpc, &observed.challenge) else { return Ok(None) };
        let ids: BTreeSet<u64> = challenge.chain_ids().into_iter().collect();
        let mut why = "no way to pay is on an EVM chain".to_owned();
        for id in ids {
            let error = match Chain::connect(rpc, id, ChainSettings::default()).await {
                Ok(chain) => return Ok(Some(chain)),
                Err(error) => error,
            };
            why = error.to_string();
            if !matches!(error, ChainError::WrongChain { .. }) {
                break;
            }
        }
        Err(excerpt(&why, 300))
    }
}

/// The endpoints to examine: the one that was named, or those that the origin describes.
fn targets(args: &DoctorArgs, wanted: &Wanted, documents: &Documents) -> Result<Vec<EndpointTarget>, Failure> {
    let description = documents.openapi.as_ref().map(|openapi| OpenApiDescription::new(openapi, wanted.url()));
    let origin = match wanted {
        Wanted::Endpoint { request, has_method } => {
            let described = description.map(|description| description.of_path(request.url.path()));
            return Ok(vec![EndpointTarget::new(request.clone(), *has_method, described.unwrap_or_default())]);
        }
        Wanted::Origin(origin) => origin,
    };
    let description = description.map_err(|error| {
        let advice = "name the URL of an endpoint, or publish the description of all";
        Failure::new(format!("{origin}openapi.json: {error}: {advice}"))
    })?;
    let (paid, count) = description.paid(args.most);
    if paid.is_empty() {
        return Err(Failure::new(format!(
            "{origin}openapi.json describes no operation with x-payment-info that can be called: name the URL of an \
             endpoint"
        )));
    }
    if count > paid.len() {
        let advice = format!("--most {count} examines all of which a request can be made");
        logging::say(&format!("{} of {count} endpoints are examined: {advice}", paid.len()));
    }
    Ok(paid.into_iter().map(|operation| EndpointTarget::new(operation.request(), true, vec![operation])).collect())
}
