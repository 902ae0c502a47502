//! Looks up whether a payment was claimed before, by the payload alone.

use std::sync::Arc;

use alloy::primitives::Address;
use bytes::Bytes;
use coinslot_base::request_id::RequestId;
use coinslot_ledger::{Found, Holder, PaymentId, Presented};
use coinslot_x402::exact::ExactPayload;
use coinslot_x402::header::PaymentPayload;
use coinslot_x402::price::Asset;
use coinslot_x402::{Network, Version};
use http::Request;

use super::identity::{claim_fingerprint, payment_fingerprint, payment_id, receipt, same_address};
use super::presented::EarlierPayment;
use super::{Payments, Problem, Purchase};

/// The claim of a payment before the request that presents it.
#[derive(Debug)]
pub(super) enum EarlierClaim {
    /// The ledger has none.
    None,
    /// The payment was claimed by this client.
    Found(FoundPayment),
    /// There may be a claim: the payment is in an asset that the host does not know any more, or another request is at
    /// work for it and has not claimed it yet.
    Uncertain,
}

/// Looks up, before the request's body is read, whether a payment was claimed before. It may have bought its answer:
/// its window may have passed, and the price may have changed, since it was sent or settled.
///
/// The signature is not judged again: only the very payment that was claimed has its fingerprint. Fails if there is a
/// claim, and another client made it.
pub(super) async fn find(
    payments: &Payments,
    payload: &PaymentPayload,
    holder: &Holder,
) -> Result<EarlierClaim, Problem> {
    let Some(named) = NamedPayment::of(payload) else { return Ok(EarlierClaim::None) };
    let assets = named.assets(payments);
    if assets.is_empty() {
        return Ok(EarlierClaim::Uncertain);
    }
    let mut is_at_work = false;
    for found in assets.into_iter().map(|asset| named.found(asset)) {
        // Looked up before the ledger is asked: work that ends in between has written its claim by then.
        is_at_work |= payments.waiting.is_at_work(&found.id);
        let fingerprint = payment_fingerprint(&found.exact);
        match payments.ledger.find(&found.id, fingerprint, holder, payments.now()).await {
            Ok(Found::Nothing) => {}
            Ok(Found::Foreign) => return Err(Problem::Foreign { payment_id: found.id.short() }),
            Ok(Found::Known { funded }) => return Ok(EarlierClaim::Found(FoundPayment { funded, ..found })),
            Err(error) => return Err(Problem::Ledger(error.to_string())),
        }
    }
    Ok(if is_at_work { EarlierClaim::Uncertain } else { EarlierClaim::None })
}

/// A payment that may have a claim, for a request whose body is not read yet.
#[derive(Debug)]
pub(super) struct FoundPayment {
    asset: Arc<Asset>,
    exact: ExactPayload,
    version: Version,
    pub(super) id: PaymentId,
    /// Its money has moved, or its settlement is under way. Others have proven no money yet.
    pub(super) funded: bool,
}

impl FoundPayment {
    /// The payment together with its whole request.
    pub(super) fn of(self, purchase: &Purchase, holder: &Holder, request: &Request<Bytes>) -> EarlierPayment {
        let Self { asset, exact, version, id, funded: _ } = self;
        let receipt = receipt(&asset, &exact, &id);
        let presented = Presented {
            payment: payment_fingerprint(&exact),
            request: claim_fingerprint(&purchase.endpoint, request),
            holder: *holder,
            request_id: RequestId::current().map(|id| id.to_string()),
            id,
        };
        EarlierPayment { presented, version, receipt }
    }
}

/// The authorisation that a payload names, whatever it is worth.
struct NamedPayment<'p> {
    exact: ExactPayload,
    version: Version,
    network: Network,
    /// None: version 1, which names the network alone.
    asset: Option<&'p str>,
}

impl<'p> NamedPayment<'p> {
    /// None if the payload has no authorisation on a network that x402 names: no host can have claimed it.
    fn of(payload: &'p PaymentPayload) -> Option<Self> {
        let (fields, version, network, asset) = match payload {
            PaymentPayload::V1(v1) => (&v1.payload, Version::V1, Network::parse_v1(&v1.network), None),
            PaymentPayload::V2(v2) => {
                let text = |key: &str| v2.accepted.get(key).and_then(serde_json::Value::as_str);
                (&v2.payload, Version::V2, Network::parse(text("network")?), Some(text("asset")?))
            }
        };
        Some(Self { exact: ExactPayload::parse(fields).ok()?, version, network: network.ok()?, asset })
    }

    /// The assets that it may be in: of version 1 any of its network. An asset that is no longer taken counts, too:
    /// what was bought in it stays bought. In version 1, which does not name it, that is the network's default.
    fn assets(&self, payments: &Payments) -> Vec<Arc<Asset>> {
        let taken = payments.payment_methods.iter().map(|method| &method.asset);
        assets_named(taken, &self.network, self.asset)
    }

    fn found(&self, asset: Arc<Asset>) -> FoundPayment {
        let id = payment_id(&asset, &self.exact);
        FoundPayment { asset, exact: self.exact.clone(), version: self.version, id, funded: false }
    }
}

/// The assets that a payload may be in: of those that are taken, else one that was taken once.
fn assets_named<'a>(
    taken: impl Iterator<Item = &'a Arc<Asset>>,
    network: &Network,
    asset: Option<&str>,
) -> Vec<Arc<Asset>> {
    let is_named =
        |known: &Asset| known.network == *network && asset.is_none_or(|asset| same_address(asset, &known.address));
    let mut assets: Vec<Arc<Asset>> = taken.filter(|known| is_named(known)).cloned().collect();
    if assets.is_empty() {
        let retired = match asset {
            Some(asset) => Asset::at(network, asset).or_else(|| retired_contract(network, asset)),
            None => Asset::known(network, None),
        };
        assets.extend(retired.map(Arc::new));
    }
    assets
}

/// A token that is not in the table, and was taken by its contract once. Only a payment whose claim names it is found
/// by it. Its decimals are not known any more, so that the receipt of an answer that is still owed has atomic units.
fn retired_contract(network: &Network, address: &str) -> Option<Asset> {
    address.parse::<Address>().ok()?;
    Some(Asset {
        network: network.clone(),
        address: address.to_owned(),
        symbol: address.to_owned(),
        decimals: 0,
        eip712: None,
        dollar: false,
        testnet: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An asset that was removed from the configuration had no claims any more: what it had bought was asked for again.
    #[test]
    fn a_payment_in_an_asset_that_is_no_longer_taken_finds_its_claim() {
        let network = Network::eip155(84532);
        let usdc = Arc::new(Asset::known(&network, None).expect("in the table"));
        let contract = "0x00000000000000000000000000000000000000AB";
        let addresses = |taken: &[Arc<Asset>], asset: Option<&str>| {
            let named = assets_named(taken.iter(), &network, asset);
            named.iter().map(|asset| asset.address.to_ascii_lowercase()).collect::<Vec<_>>().join(" ")
        };
        let of_usdc = usdc.address.to_ascii_lowercase();
        for taken in [&[][..], &[Arc::clone(&usdc)]] {
            assert_eq!(addresses(taken, Some(contract)), contract.to_ascii_lowercase());
            assert_eq!(addresses(taken, Some(&of_usdc)), of_usdc);
            assert_eq!(addresses(taken, None), of_usdc, "version 1 names no asset");
            assert_eq!(addresses(taken, Some("no address")), "");
        }
        let other = Arc::new(Asset { address: contract.to_owned(), ..(*usdc).clone() });
        assert_eq!(addresses(&[usdc, other], None).split(' ').count(), 2, "version 1 may mean any of its network");
    }
}
