//! One price of an endpoint, and its entry in a challenge.

use std::sync::Arc;

use super::{Amount, Asset};
use crate::{Flow, Object, Version, Versions, exact, v1, v2};

/// An amount of an asset that buys something, with its receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    pub amount: Amount,
    pub asset: Arc<Asset>,
    /// The checksummed address of the receiver, see [`super::evm_receiver`].
    pub pay_to: Arc<str>,
    /// `maxTimeoutSeconds`: the longest time from signature to settlement.
    pub max_timeout_seconds: u64,
    /// `extra.paymentFlow`, which is written only if it is not `authorization`.
    pub flow: Flow,
    /// `extra.quote`: the host's proof that this amount was quoted for one request.
    pub quote: Option<Arc<str>>,
    /// The versions that the facilitator of the asset understands.
    pub versions: Versions,
}

impl Price {
    /// True if it can be paid in this version: the facilitator understands the version, and the version has a name for
    /// the network.
    pub fn takes(&self, version: Version) -> bool {
        self.versions.contains(version) && self.asset.network.is_named_in(version)
    }

    /// The entry of `accepts` in version 2, of scheme `exact`.
    pub fn requirements(&self) -> v2::PaymentRequirements {
        v2::PaymentRequirements {
            scheme: exact::SCHEME.to_owned(),
            network: self.asset.network.clone(),
            amount: self.amount.to_string(),
            asset: self.asset.address.clone(),
            pay_to: self.pay_to.to_string(),
            max_timeout_seconds: self.max_timeout_seconds,
            extra: self.extra(),
        }
    }

    /// The entry of `accepts` in version 1, if the price can be paid in it.
    pub fn requirements_v1(
        &self,
        resource: &str,
        description: &str,
        mime_type: &str,
    ) -> Option<v1::PaymentRequirements> {
        if !self.takes(Version::V1) {
            return None;
        }
        let extra = self.extra();
        Some(v1::PaymentRequirements {
            scheme: exact::SCHEME.to_owned(),
            network: self.asset.network.v1_name()?.to_owned(),
            max_amount_required: self.amount.to_string(),
            resource: resource.to_owned(),
            description: description.to_owned(),
            mime_type: mime_type.to_owned(),
            output_schema: None,
            pay_to: self.pay_to.to_string(),
            max_timeout_seconds: self.max_timeout_seconds,
            asset: self.asset.address.clone(),
            extra: (!extra.is_empty()).then_some(extra),
        })
    }

    /// `extra`: the token's EIP-712 domain under the keys that clients sign with, the quote, and the flow.
    fn extra(&self) -> Object {
        let mut extra = Object::new();
        if let Some(domain) = &self.asset.eip712 {
            extra.insert("name".to_owned(), domain.name.as_str().into());
            extra.insert("version".to_owned(), domain.version.as_str().into());
        }
        if let Some(quote) = &self.quote {
            extra.insert("quote".to_owned(), quote.as_ref().into());
        }
        if self.flow != Flow::Authorization {
            extra.insert("paymentFlow".to_owned(), self.flow.as_str().into());
        }
        extra
    }
}
