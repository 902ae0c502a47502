//! Runs a guest until the head of its response exists, or to its end if that comes at once.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::response::Parts;
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::OutgoingObserver;
use crate::breaker::{CircuitPermit, Circuits};
use crate::capabilities::egress::Provenance;
use crate::contract::{PaymentReceipt, RequestBody, ResponseBody};
use crate::fault::Fault;
use crate::headers::FAILED;
use crate::instance::exchange::{BodyRead, GuestRequest, RequestProgress};
use crate::instance::meter::GuestMeter;
use crate::instance::permits::{Demand, PermitRequest};
use crate::instance::timed::TimedGuest;
use crate::instance::{InstanceReuse, Instances, MeteredAmount};
use crate::invoke::body::GuestBody;
use crate::invoke::circuit_report::CircuitReport;
use crate::invoke::head::AwaitedHead;
use crate::invoke::request::prepare;
use crate::invoke::start::{start_alone, start_shared};
use crate::invoke::streaming::StreamingGuest;
use crate::permit::{Client, Permit, RunObserver};

/// Answers a request. The response carries [`MeteredAmount`] as an extension.
pub(crate) async fn invoke(
    instances: &Arc<Instances>,
    circuits: &Circuits,
    permit: Permit,
    request: Request<RequestBody>,
) -> Result<Response<ResponseBody>, Fault> {
    let Permit { receipt, circuit, wait, client, is_metered, observer } = permit;
    let spec = &instances.spec;
    let wait = wait.map_or(spec.wait, |wait| wait.max(spec.wait));
    let mut permit = match circuit {
        Some(permit) => permit,
        None => circuits.admit(receipt.as_ref().map(|receipt| receipt.payer.as_str()))?,
    };
    let progress = Arc::<RequestProgress>::default();
    let outgoing = observer.clone().map(|observer| observer as Arc<dyn OutgoingObserver>);
    let provenance = Provenance::of(request.headers(), outgoing);
    let terms = CallTerms { client, wait, receipt, is_metered, provenance, observer };
    let begun = run(instances, terms, request, &progress, &mut permit).await;
    let mut report = CircuitReport { permit, plugin: Arc::clone(&spec.plugin), request: progress };
    match begun {
        Ok((parts, body, None)) => {
            report.succeeded();
            Ok(Response::from_parts(parts, body.boxed_unsync()))
        }
        Ok((parts, body, Some(guest))) => {
            report.responds();
            Ok(Response::from_parts(parts, body.written_by(guest, report).boxed_unsync()))
        }
        Err(fault) => Err(report.failed(fault)),
    }
}

/// The time for which a trial of a circuit waits for the body of its request.
const TRIAL_WAIT: Duration = Duration::from_secs(1);

/// Waits for a head. A trial whose client is slow to send its body says nothing about the plugin, and all other
/// requests would be refused meanwhile: after a while the next request is the trial in its place.
async fn watch_trial<T>(head: impl Future<Output = T>, permit: &mut CircuitPermit, request: &RequestProgress) -> T {
    let mut head = pin!(head);
    while permit.is_trial() {
        match tokio::time::timeout(TRIAL_WAIT, head.as_mut()).await {
            Ok(head) => return head,
            Err(_) if request.is_awaited() => permit.give_up_trial(),
            Err(_) => {}
        }
    }
    head.await
}

/// Everything about a call that is not in its request.
struct CallTerms {
    client: Client,
    /// The longest wait for an instance.
    wait: Duration,
    /// The payment as the guest may know it.
    receipt: Option<PaymentReceipt>,
    /// True if the guest may set the amount.
    is_metered: bool,
    provenance: Provenance,
    observer: Option<Arc<dyn RunObserver>>,
}

/// The head of a response, its body, and the guest that still writes it. None: the guest has ended.
type Begun = (Parts, GuestBody, Option<StreamingGuest>);

async fn run(
    instances: &Arc<Instances>,
    terms: CallTerms,
    request: Request<RequestBody>,
    progress: &Arc<RequestProgress>,
    permit: &mut CircuitPermit,
) -> Result<Begun, Fault> {
    let limits = &instances.spec.limits;
    let CallTerms { client, wait, receipt, is_metered, provenance, observer } = terms;
    let demand = if receipt.is_some() { Demand::Paid } else { Demand::Free };
    let asked = PermitRequest { demand, client };
    let request = prepare(request, limits.request_body, instances.spec.is_host_only, progress)?;
    let (response, received) = oneshot::channel();
    let body_read = Arc::<BodyRead>::default();
    let request =
        GuestRequest { request, receipt, is_metered, provenance, response, body_read: Arc::clone(&body_read) };
    let came = Instant::now();
    let started = match &instances.reuse {
        InstanceReuse::Shared(shared) => start_shared(instances, shared, asked, wait, request, progress, permit).await,
        InstanceReuse::Never | InstanceReuse::Pooled(_) => start_alone(instances, asked, wait, request).await,
    };
    if let Some(observer) = observer {
        observer.waited(came.elapsed());
    }
    match &started {
        Ok(_) if demand == Demand::Paid => instances.spec.fullness.served(came.into_std()),
        // Paid work would have come before.
        Ok(_) => instances.spec.fullness.served(Instant::now().into_std()),
        Err(Fault::Busy) => instances.spec.fullness.refused(&instances.spec.plugin),
        Err(_) => {}
    }
    let started = started?;
    // The guest's time begins when it has an instance, so that a wait for one is not its fault.
    let begin = Instant::now();
    let guest = TimedGuest::new(started.guest, started.meter, begin + limits.first_byte, Arc::clone(progress));
    let driven_elsewhere = started.permits.is_none();
    let head = AwaitedHead::new(guest, received, driven_elsewhere).head();
    let (response, mut guest, ended) = watch_trial(head, permit, progress).await?;

    let (mut parts, body) = response.into_parts();
    if parts.status.is_informational() {
        return Err(Fault::NoResponse(format!("{} is not a final status", parts.status.as_u16())));
    }
    if let Some(fault) = fault_behind(&parts, guest.meter(), progress) {
        return Err(fault);
    }
    parts.extensions.insert(MeteredAmount::new(guest.meter().clone()));
    guest.answers_until(begin + limits.total);
    let declared = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let body = GuestBody::new(body, limits.response_body, declared, body_read, guest.meter().clone());
    if ended {
        return Ok((parts, body.buffered()?, None));
    }
    Ok((parts, body, Some(StreamingGuest::new(guest, started.permits, limits.total))))
}

/// Statuses of answers by a guest.
const PAYLOAD_TOO_LARGE: u16 = 413;
const INTERNAL_SERVER_ERROR: u16 = 500;

/// The fault that a guest has made an answer of.
///
/// An SDK answers 500 to any error of a handler, also to one over memory that the host refused, and 400 to a body that
/// ended at its limit. Such a guest knows neither the limit nor its key, and a guest in another language ends with a
/// trap instead. Both get the same answer, and the operator reads the limit. The same holds for an error that the code
/// does not handle: the SDK marks its answer, because a status of 500 alone may be what the code wants to answer.
fn fault_behind(answer: &Parts, meter: &GuestMeter, request: &RequestProgress) -> Option<Fault> {
    let status = answer.status.as_u16();
    if status >= 400 && status != PAYLOAD_TOO_LARGE && request.is_too_large() {
        return Some(Fault::RequestTooLarge(format!("it answered with the status {status}")));
    }
    if status != INTERNAL_SERVER_ERROR {
        return None;
    }
    meter.refused_memory().or_else(|| answer.headers.contains_key(FAILED).then_some(Fault::Error))
}
