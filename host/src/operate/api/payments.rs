//! Payments and sums of them, read from the ledger's file beside the host that writes it.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use coinslot_ledger::PaymentState;
use coinslot_ledger::reports::{ClaimOrder, FailedPayment, FailureFilter, Filter, GroupBy, ListStart, PaymentRow};
use coinslot_x402::UnixTime;
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::ApiError;
use super::page::Page;
use super::read::{MOST_GROUPS, read};
use crate::operate::admin::HostView;
use crate::operate::records::{EarningsRecord, FailureRecord, OwedRecord, PaymentRecord};
use crate::operate::story::StoryRecord;
use crate::operate::time;

/// The query of a request. One that makes no sense is answered like every other mistake.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
pub(crate) struct Query<T>(pub(in crate::operate) T);

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}

/// A part of the path of a request. One that is not UTF-8 is answered like every other mistake.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
pub(crate) struct PathPart<T>(pub(in crate::operate) T);

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}

/// The payments of one answer, if the request asks for no other number, and the most.
pub(in crate::operate) const PAGE: u32 = 100;
pub(super) const MOST: u32 = 1_000;

/// The choice of payments.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PaymentQuery {
    /// Only in these states, separated by commas.
    pub state: Option<String>,
    /// Only for this endpoint: `GET /api/x`, or the path alone.
    pub endpoint: Option<String>,
    /// Only by this payer.
    pub payer: Option<String>,
    /// Only settled by this transaction.
    pub transaction: Option<String>,
    /// Only claimed, or fetched again, by the request with this `x-request-id`.
    pub request: Option<String>,
    /// Only claimed at this time or later: `2026-01-31`, `2026-01-31T12:00:00Z`, Unix seconds, or `24h` ago.
    pub since: Option<String>,
    /// Only claimed before this time.
    pub until: Option<String>,
    /// At most so many, up to 1000. 100 without it.
    pub limit: Option<u32>,
    /// Only what follows in the list: the value of the `next` of `Link` in the answer before, or the id of a payment.
    pub after: Option<String>,
}

/// A part of a list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PartQuery {
    /// At most so many, up to 1000. 100 without it.
    pub limit: Option<u32>,
    /// Only what follows in the list: the value of the `next` of `Link` in the answer before.
    pub after: Option<String>,
}

/// The choice of payments that were given back.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FailedQuery {
    /// Only by this payer.
    pub payer: Option<String>,
    /// Only of the request with this `x-request-id`.
    pub request: Option<String>,
    /// At most so many, up to 1000. 100 without it.
    pub limit: Option<u32>,
    /// Only what follows in the list: the value of the `next` of `Link` in the answer before.
    pub after: Option<String>,
}

/// A period, and the groups of a sum.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RevenueQuery {
    /// `asset`, `day`, `endpoint`, `plugin` or `payer`.
    pub by: Option<String>,
    /// Only changed last at this time or later.
    pub since: Option<String>,
    /// Only changed last before this time.
    pub until: Option<String>,
}

/// Payments, the newest first.
#[utoipa::path(get, path = "/api/v1/payments", params(PaymentQuery),
    responses((status = 200, body = Vec<PaymentRecord>, headers(("Link", description = "The part of the list that follows (RFC 8288, `rel=next`); absent at its end"))),
        (status = 503, body = ApiError)))]
pub(crate) async fn payments(
    State(host): State<Arc<HostView>>,
    Query(query): Query<PaymentQuery>,
) -> Result<Page<PaymentRecord>, ApiError> {
    let limit = limited(query.limit.unwrap_or(PAGE))?;
    let filter = filter(&query, limit)?;
    let transaction = query.transaction;
    let found = read(&host, move |reader, units| {
        let rows = match transaction {
            Some(transaction) => reader.settled_by(&transaction, &filter)?,
            None => reader.select(&filter)?.rows()?.collect::<Result<_, _>>()?,
        };
        Ok(part_of(&rows, limit, |row| PaymentRecord::of(row, units)))
    });
    found.await
}

/// A part of a list of payments.
fn part_of<T>(rows: &[PaymentRow], limit: u32, record: impl Fn(&PaymentRow) -> T) -> Page<T> {
    Page::of(rows, limit, "after", |row| row.place().to_string(), record)
}

/// One payment, by its id as headers and logs have it.
#[utoipa::path(get, path = "/api/v1/payments/{id}", params(("id" = String, Path)),
    responses((status = 200, body = PaymentRecord), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn payment(
    State(host): State<Arc<HostView>>,
    PathPart(id): PathPart<String>,
) -> Result<Json<PaymentRecord>, ApiError> {
    let found = read(&host, move |reader, units| Ok(reader.payment(&id)?.map(|row| PaymentRecord::of(&row, units))));
    let missing = || {
        let message = "the ledger has no such payment: it was given back, or its row is pruned. Its story tells what is \
                       still known: /api/v1/payments/ID/story, or `coinslot payments ID --story`";
        ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
    };
    found.await?.map(Json).ok_or_else(missing)
}

/// The story of one payment: each step that the ledger knows, with its time. Also of one that was given back.
#[utoipa::path(get, path = "/api/v1/payments/{id}/story", params(("id" = String, Path)),
    responses((status = 200, body = StoryRecord), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn story(
    State(host): State<Arc<HostView>>,
    PathPart(id): PathPart<String>,
) -> Result<Json<StoryRecord>, ApiError> {
    let found = read(&host, move |reader, units| Ok(StoryRecord::of(&id, &reader.story(&id)?, units)));
    let missing = || {
        let message = "the ledger has no such payment, and no event of it: it never was, or it is pruned";
        ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
    };
    found.await?.map(Json).ok_or_else(missing)
}

/// The money received, by group, asset and network. Payments that are settled, delivered or owed count, on the day (UTC)
/// of their last change. At most ten thousand groups.
#[utoipa::path(get, path = "/api/v1/revenue", params(RevenueQuery),
    responses((status = 200, body = Vec<EarningsRecord>), (status = 503, body = ApiError)))]
pub(crate) async fn revenue(
    State(host): State<Arc<HostView>>,
    Query(query): Query<RevenueQuery>,
) -> Result<Json<Vec<EarningsRecord>>, ApiError> {
    let by = query.by.as_deref().unwrap_or("asset").to_owned();
    let group = match &*by {
        "asset" => GroupBy::Asset,
        "day" => GroupBy::Day,
        "endpoint" => GroupBy::Endpoint,
        "plugin" => GroupBy::Plugin,
        "payer" => GroupBy::Payer,
        _ => return Err(ApiError::invalid("`by` is asset, day, endpoint, plugin or payer")),
    };
    let (since, until) = (point(query.since.as_deref())?, point(query.until.as_deref())?);
    let found = read(&host, move |reader, units| {
        let earned = reader.earned_within(MOST_GROUPS, group, since, until)?;
        Ok(earned.iter().map(|earnings| EarningsRecord::of(earnings, &by, units)).collect())
    });
    found.await.map(Json)
}

/// Payments that were received and bought nothing yet, the oldest first.
#[utoipa::path(get, path = "/api/v1/owed", params(PartQuery),
    responses((status = 200, body = Vec<OwedRecord>, headers(("Link", description = "The part of the list that follows (RFC 8288, `rel=next`); absent at its end"))),
        (status = 503, body = ApiError)))]
pub(crate) async fn owed(
    State(host): State<Arc<HostView>>,
    Query(PartQuery { limit, after }): Query<PartQuery>,
) -> Result<Page<OwedRecord>, ApiError> {
    let limit = limited(limit.unwrap_or(PAGE))?;
    let filter = Filter {
        states: vec![PaymentState::Owed],
        order: ClaimOrder::OldestFirst,
        after: start(after.as_deref())?,
        limit: Some(limit + 1),
        ..Filter::default()
    };
    let refunds = host.refunds.clone();
    let found = read(&host, move |reader, units| {
        let rows: Vec<_> = reader.select(&filter)?.rows()?.collect::<Result<_, _>>()?;
        let is_paid_back = |row: &PaymentRow| refunds.as_ref().is_some_and(|refunds| refunds.is_on(&row.network));
        Ok(part_of(&rows, limit, |row| OwedRecord::of(row, units, is_paid_back(row))))
    });
    found.await
}

/// Payments that were given back because their plugin failed, the newest first: nothing was charged. The ledger keeps the
/// newest ten thousand.
#[utoipa::path(get, path = "/api/v1/failed", params(FailedQuery),
    responses((status = 200, body = Vec<FailureRecord>, headers(("Link", description = "The part of the list that follows (RFC 8288, `rel=next`); absent at its end"))),
        (status = 503, body = ApiError)))]
pub(crate) async fn failed(
    State(host): State<Arc<HostView>>,
    Query(FailedQuery { payer, request, limit, after }): Query<FailedQuery>,
) -> Result<Page<FailureRecord>, ApiError> {
    let (limit, before) = (limited(limit.unwrap_or(PAGE))?, numbered(after.as_deref())?);
    let filter = FailureFilter { payer, request_id: request, payment_id: None };
    let found = read(&host, move |reader, units| {
        let rows: Vec<FailedPayment> = reader.failures_before(before, filter, limit + 1).collect::<Result<_, _>>()?;
        Ok(Page::of(&rows, limit, "after", |row| row.number.to_string(), |row| FailureRecord::of(row, units)))
    });
    found.await
}

fn filter(query: &PaymentQuery, limit: u32) -> Result<Filter, ApiError> {
    let states = query.state.iter().flat_map(|states| states.split(','));
    let state = |name: &str| {
        PaymentState::parse(name).ok_or_else(|| {
            let known = PaymentState::ALL.map(PaymentState::as_str).join(", ");
            ApiError::invalid(format!("`{}` is no state: {known}", coinslot_base::text::printable(name)))
        })
    };
    Ok(Filter {
        states: states.map(state).collect::<Result<_, _>>()?,
        endpoint: query.endpoint.clone(),
        payer: query.payer.clone(),
        request_id: query.request.clone(),
        since: point(query.since.as_deref())?,
        until: point(query.until.as_deref())?,
        order: ClaimOrder::NewestFirst,
        after: start(query.after.as_deref())?,
        // One more than is shown tells whether the list goes on.
        limit: Some(limit + 1),
    })
}

/// The beginning of a list of payments that goes on.
fn start(after: Option<&str>) -> Result<Option<ListStart>, ApiError> {
    let wrong =
        || ApiError::invalid("`after` is the value of the `next` of an answer's `Link`, or the id of a payment");
    after.map(|text| ListStart::parse(text).ok_or_else(wrong)).transpose()
}

/// The number after which a list of numbered rows goes on, towards older ones.
pub(super) fn numbered(after: Option<&str>) -> Result<u64, ApiError> {
    let wrong = |_| ApiError::invalid("`after` is the value of the `next` of an answer's `Link`");
    after.map_or(Ok(u64::MAX), |text| text.parse().map_err(wrong))
}

/// The number of records that is asked for.
pub(super) fn limited(limit: u32) -> Result<u32, ApiError> {
    if (1..=MOST).contains(&limit) { Ok(limit) } else { Err(ApiError::invalid(format!("`limit` is from 1 to {MOST}"))) }
}

pub(super) fn point(text: Option<&str>) -> Result<Option<UnixTime>, ApiError> {
    text.map(time::parse).transpose().map_err(ApiError::invalid)
}
