//! The shape of every error of the API.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use coinslot_ledger::reports::ReportError;
use serde::Serialize;
use utoipa::ToSchema;

/// An error of the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ApiError {
    #[serde(skip)]
    pub status: StatusCode,
    /// A word for programs.
    #[serde(rename = "error")]
    pub code: &'static str,
    /// The mistake, and its remedy.
    pub message: String,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }
}

impl From<ReportError> for ApiError {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Gone { .. } | ReportError::TooMany(_) => Self::invalid(error.to_string()),
            error => Self::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_unreadable", error.to_string()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}
