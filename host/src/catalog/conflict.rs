//! Compares plugins that would be active together: their names, and the requests that both could answer.

use std::sync::Arc;

use coinslot_plugin::Template;
use http::Method;

use super::install::Installed;
use crate::endpoint::Endpoint;

/// A plugin that cannot be active beside another one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConflictError {
    #[error("{endpoint} is already served; {file} serves it")]
    SameRoute { endpoint: String, file: String },
    #[error("{endpoint}: requests for it could be for `{with}`, which {file} serves: declare a path apart from it")]
    Overlap { endpoint: String, with: String, file: String },
    #[error("another file, {0}, is a plugin of the same name")]
    SameName(String),
    #[error(
        "{what} is kept for {file}, which served it before the start and does not serve yet: mend or remove that file"
    )]
    Kept { what: String, file: String },
}

/// Fails if a plugin cannot be active beside these, which come before it.
pub(super) fn conflict(others: &[Arc<Installed>], plugin: &Installed) -> Result<(), ConflictError> {
    let name = &plugin.plugin.info().name;
    if let Some(other) = others.iter().find(|other| other.plugin.info().name == *name) {
        return Err(ConflictError::SameName(other.file.clone()));
    }
    plugin.endpoints.iter().try_for_each(|endpoint| check_apart(others, endpoint))
}

/// Fails if an endpoint would take requests that another plugin answers, or hide such a path behind another method.
fn check_apart(others: &[Arc<Installed>], endpoint: &Endpoint) -> Result<(), ConflictError> {
    for other in others {
        for theirs in &other.endpoints {
            let (label, file) = (endpoint.label.clone(), other.file.clone());
            match clash(endpoint, &theirs.method, &theirs.path) {
                None => {}
                Some(Clash::SameRoute) => return Err(ConflictError::SameRoute { endpoint: label, file }),
                Some(Clash::Overlap) => {
                    return Err(ConflictError::Overlap { endpoint: label, with: theirs.path.to_string(), file });
                }
            }
        }
    }
    Ok(())
}

/// The way in which two routes are not apart.
pub(super) enum Clash {
    SameRoute,
    Overlap,
}

/// Compares an endpoint with a route of another plugin. Two plugins may serve one path by different methods if their
/// templates are alike. A fallback overlaps with everything and takes nothing: see
/// `Claimant::cedes` of the generation.
pub(super) fn clash(endpoint: &Endpoint, method: &Method, path: &Template) -> Option<Clash> {
    if path.is_alike(&endpoint.path) {
        return (*method == endpoint.method).then_some(Clash::SameRoute);
    }
    let is_fallback = path.is_fallback() || endpoint.path.is_fallback();
    (!is_fallback && path.overlaps(&endpoint.path)).then_some(Clash::Overlap)
}
