//! Shows operators what a host does, and tells them: metrics, the admin listener with its API and its dashboard, and
//! webhooks.
//!
//! [`Metrics`] counts on the path of every request, and nothing else of this module is on it. The listener is a server
//! of its own on an address of its own; it reads the ledger's file beside the host that writes it.

#![allow(clippy::disallowed_types, reason = "operators are answered here, and `respond` answers clients of the host")]

mod access;
mod admin;
mod alerts;
mod api;
pub(crate) mod audit;
mod funnel;
mod gauges;
mod listener;
mod metrics;
mod pages;
pub(crate) mod pauses;
mod reconciled;
pub mod records;
pub(crate) mod rollback;
mod samples;
mod sessions;
pub(crate) mod story;
mod telemetry;
pub(crate) mod time;
pub(crate) mod units;
mod webhooks;

pub use access::{AdminAccess, read_admin_tls, read_token};
pub(crate) use admin::Controls;
pub use admin::{HostView, serve, tell};
pub(crate) use alerts::count_alerts;
pub use alerts::{Alert, AlertKind};
pub(crate) use audit::Audit;
pub use metrics::{Metrics, MetricsError};
pub(crate) use pauses::Pauses;
pub use telemetry::{SpanCounts, Telemetry, TelemetryError};
pub(crate) use webhooks::{NewSecrets, write_all};
pub use webhooks::{Webhook, WebhookEvent};
