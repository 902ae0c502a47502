//! Reads the secrets of webhooks, at the start and with each reload.

use std::sync::Arc;

use super::Webhook;
use super::signature::WebhookSecret;
use crate::config::WebhookConfig;
use crate::host::HostError;

/// The secrets of webhooks, read anew and not used yet.
pub(crate) struct NewSecrets(Vec<(Arc<Webhook>, WebhookSecret)>);

impl NewSecrets {
    /// Reads the secrets of these addresses from where the configuration names them now.
    ///
    /// # Errors
    ///
    /// One of them is missing or too short.
    pub(crate) fn read(webhooks: &[Arc<Webhook>], configs: &[WebhookConfig]) -> Result<Self, HostError> {
        let named = webhooks.iter().filter_map(|webhook| {
            let config = configs.iter().find(|config| config.url == webhook.config.url)?;
            Some(read_secret(config).map(|secret| (Arc::clone(webhook), secret)))
        });
        named.collect::<Result<_, _>>().map(Self)
    }

    /// Signs with them from now on.
    pub(crate) fn apply(self) {
        for (webhook, secret) in self.0 {
            if webhook.delivery.renew(secret) {
                tracing::info!(url = webhook.name(), "the messages of a webhook are signed with another secret");
            }
        }
    }
}

pub(super) fn read_secret(config: &WebhookConfig) -> Result<WebhookSecret, HostError> {
    let failed = |reason: String| HostError::Config(format!("webhook {}: {reason}", config.name()));
    let text = crate::host::secret_text(&config.secret).map_err(failed)?;
    WebhookSecret::parse(text.trim()).map_err(failed)
}
