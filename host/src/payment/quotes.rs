//! Honours the prices that a plugin quoted, for as long as their challenges said.
//!
//! The plugin may quote another price a moment later. An offer proves itself: it carries a MAC in `extra.quote`, which
//! version 2 clients echo, so that any replica with the same key can honour it. Version 1 clients echo nothing; for
//! them recent quotes are remembered.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use coinslot_ledger::Fingerprint;
use coinslot_x402::exact::ExactPayload;
use coinslot_x402::header::PaymentPayload;
use coinslot_x402::price::{Amount, Offer, Price};
use coinslot_x402::{Object, UnixTime};
use hmac::{Hmac, Mac};
use parking_lot::Mutex;
use sha2_mac::Sha256;

/// The greatest number of requests whose quotes are remembered for version 1.
const MAX_RECENT: usize = 8_192;

/// The greatest number of different quotes for one request that are remembered.
const MAX_PER_REQUEST: usize = 8;

/// Seals quotes, and recognises them in payments.
pub(super) struct Quotes {
    key: [u8; 32],
    /// By request, the newest last: several clients may have been quoted different prices for the same request.
    recent: Mutex<HashMap<[u8; 32], Vec<RecentQuote>>>,
}

/// A quote for version 1, and the time until which it is honoured.
struct RecentQuote {
    offer: Offer,
    until: UnixTime,
}

impl fmt::Debug for Quotes {
    /// Leaves out the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quotes").finish_non_exhaustive()
    }
}

impl Quotes {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key, recent: Mutex::default() }
    }

    /// Adds to a quoted offer the proof that it was made for exactly this request.
    pub(super) fn seal(&self, offer: &Offer, request: &Fingerprint, now: UnixTime) -> Offer {
        let sealed = offer.map(|price| {
            let until = now.plus(price.max_timeout_seconds);
            let mac = hex::encode(&self.mac(price, request, until).finalize().into_bytes()[..16]);
            Price { quote: Some(format!("{}.{mac}", until.0).into()), ..price.clone() }
        });
        if offer.prices().iter().any(|price| price.asset.network.v1_name().is_some()) {
            let until = now.plus(offer.prices().iter().map(|price| price.max_timeout_seconds).max().unwrap_or(0));
            self.remember(RecentQuote { offer: offer.clone(), until }, request, now);
        }
        sealed
    }

    /// Remembers a quote beside the others of its request. Above either bound those in their time stay: of one request
    /// all but the oldest, and of all requests all of them.
    fn remember(&self, quote: RecentQuote, request: &Fingerprint, now: UnixTime) {
        let mut recent = self.recent.lock();
        if recent.len() >= MAX_RECENT && !recent.contains_key(&request.0) {
            recent.retain(|_, quotes| quotes.iter().any(|quote| quote.until > now));
            if recent.len() >= MAX_RECENT {
                return;
            }
        }
        let quotes = recent.entry(request.0).or_default();
        quotes.retain(|earlier| earlier.until > now && earlier.offer != quote.offer);
        if quotes.len() >= MAX_PER_REQUEST {
            quotes.remove(0);
        }
        quotes.push(quote);
    }

    /// The offer that this payment answers, if this host made it for this request and it is in its time.
    pub(super) fn honoured(
        &self,
        most: &Offer,
        payment: &PaymentPayload,
        request: &Fingerprint,
        now: UnixTime,
    ) -> Option<Offer> {
        match payment {
            PaymentPayload::V2(payload) => {
                let price = most.prices().iter().find_map(|most| self.proven(most, &payload.accepted, request, now))?;
                Offer::new(vec![price])
            }
            PaymentPayload::V1(payload) => {
                // Version 1 echoes no amount: the signed one tells which quote is meant.
                let signed = Amount(ExactPayload::parse(&payload.payload).ok()?.authorization.value);
                let recent = self.recent.lock();
                let mut quotes = recent.get(&request.0)?.iter().rev().filter(|quote| quote.until > now);
                quotes
                    .find(|quote| quote.offer.prices().iter().any(|price| price.amount == signed))
                    .map(|quote| quote.offer.clone())
            }
        }
    }

    /// The declared price at the amount that the client echoes, if its proof is genuine. Everything else is compared
    /// later, as for any offer.
    fn proven(&self, most: &Price, accepted: &Object, request: &Fingerprint, now: UnixTime) -> Option<Price> {
        let amount = Amount::parse_atomic(accepted.get("amount")?.as_str()?).ok()?;
        let quote = accepted.get("extra")?.get("quote")?.as_str()?;
        let (until, mac) = quote.split_once('.')?;
        let until = UnixTime(until.parse().ok()?);
        let price = Price { amount, quote: Some(Arc::from(quote)), ..most.clone() };
        let genuine = self.mac(&price, request, until).verify_truncated_left(&hex::decode(mac).ok()?).is_ok();
        // The whole MAC of 16 bytes: `verify_truncated_left` would take a shorter one, which is easier to guess.
        (genuine && mac.len() == 32 && until > now && amount <= most.amount).then_some(price)
    }

    fn mac(&self, price: &Price, request: &Fingerprint, until: UnixTime) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        let amount = price.amount.to_string();
        let numbers = [price.max_timeout_seconds.to_be_bytes(), until.0.to_be_bytes()];
        let texts = [price.asset.network.as_str(), &price.asset.address, &price.pay_to, &amount];
        // Each part with its length, so that no byte can move from one part to the next.
        for part in
            [&request.0[..], &numbers[0], &numbers[1]].into_iter().chain(texts.iter().map(|text| text.as_bytes()))
        {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coinslot_x402::price::Asset;
    use coinslot_x402::{Flow, Network, X402Version, v2};

    const NOW: UnixTime = UnixTime(1_000_000);
    const REQUEST: Fingerprint = Fingerprint([7; 32]);

    fn offer(units: u64) -> Offer {
        let asset = Asset::known(&Network::eip155(84532), None).expect("in the table");
        let price = Price {
            amount: Amount::parse_atomic(&units.to_string()).expect("a number"),
            asset: Arc::new(asset),
            pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C".into(),
            max_timeout_seconds: 60,
            flow: Flow::Authorization,
            quote: None,
            versions: coinslot_x402::Versions::Both,
        };
        Offer::new(vec![price]).expect("one price")
    }

    fn echo(offer: &Offer) -> PaymentPayload {
        let Ok(serde_json::Value::Object(accepted)) = serde_json::to_value(&offer.requirements()[0]) else {
            panic!("an object");
        };
        PaymentPayload::V2(v2::PaymentPayload {
            x402_version: X402Version,
            resource: None,
            accepted,
            payload: Object::new(),
            extensions: None,
        })
    }

    #[test]
    fn a_quote_is_honoured_for_its_request_and_time() {
        let quotes = Quotes::new([1; 32]);
        let sealed = quotes.seal(&offer(300), &REQUEST, NOW);
        let paid = echo(&sealed);
        assert_eq!(quotes.honoured(&offer(500), &paid, &REQUEST, NOW.plus(59)), Some(sealed));
        assert_eq!(quotes.honoured(&offer(500), &paid, &REQUEST, NOW.plus(60)), None, "too late");
        assert_eq!(quotes.honoured(&offer(500), &paid, &Fingerprint([8; 32]), NOW), None, "another request");
        assert_eq!(quotes.honoured(&offer(200), &paid, &REQUEST, NOW), None, "above what is declared today");
        assert_eq!(Quotes::new([2; 32]).honoured(&offer(500), &paid, &REQUEST, NOW), None, "another key");
    }

    #[test]
    fn a_changed_quote_is_not_honoured() {
        let quotes = Quotes::new([1; 32]);
        let sealed = quotes.seal(&offer(300), &REQUEST, NOW);
        let bend = |key: &str, value: serde_json::Value| {
            let PaymentPayload::V2(mut payload) = echo(&sealed) else { panic!("version 2") };
            match key {
                "amount" => drop(payload.accepted.insert("amount".to_owned(), value)),
                key => payload.accepted["extra"][key] = value,
            }
            quotes.honoured(&offer(500), &PaymentPayload::V2(payload), &REQUEST, NOW)
        };
        let quote = sealed.prices()[0].quote.clone().expect("a proof");
        assert_eq!(bend("amount", "299".into()), None);
        for bent in ["", ".", "1000060.", "1000060.00", &quote[..quote.len() - 2], &format!("9{quote}")] {
            assert_eq!(bend("quote", bent.into()), None, "{bent}");
        }
    }

    /// A payment of version 1, which names the amount in its authorisation alone.
    fn signed(units: u64) -> PaymentPayload {
        let zero = format!("0x{}", "0".repeat(40));
        let payload = serde_json::json!({
            "signature": format!("0x{}", "11".repeat(65)),
            "authorization": {
                "from": zero, "to": zero, "value": units.to_string(), "validAfter": "0", "validBefore": "1",
                "nonce": format!("0x{}", "0".repeat(64)),
            },
        });
        let serde_json::Value::Object(payload) = payload else { panic!("an object") };
        PaymentPayload::V1(coinslot_x402::v1::PaymentPayload {
            x402_version: X402Version,
            scheme: "exact".to_owned(),
            network: "base-sepolia".to_owned(),
            payload,
        })
    }

    #[test]
    fn a_quote_for_version_1_is_remembered() {
        let quotes = Quotes::new([1; 32]);
        let _ = quotes.seal(&offer(300), &REQUEST, NOW);
        let honoured = |units, at| quotes.honoured(&offer(500), &signed(units), &REQUEST, at);
        assert_eq!(honoured(300, NOW.plus(59)), Some(offer(300)));
        assert_eq!(honoured(300, NOW.plus(60)), None);
        assert_eq!(honoured(299, NOW), None, "no quote has this amount");
    }

    /// A quote took the place of an older one for the same request: the payment of the client that was quoted first was
    /// refused.
    #[test]
    fn a_newer_quote_of_version_1_leaves_the_older_ones_good() {
        let quotes = Quotes::new([1; 32]);
        for units in 1..=MAX_PER_REQUEST as u64 {
            let _ = quotes.seal(&offer(units), &REQUEST, NOW.plus(units));
        }
        let honoured = |units, at| quotes.honoured(&offer(500), &signed(units), &REQUEST, at);
        for units in 1..=MAX_PER_REQUEST as u64 {
            assert_eq!(honoured(units, NOW.plus(9)), Some(offer(units)));
            assert_eq!(honoured(units, NOW.plus(units + 60)), None, "each for its own time");
        }
        let _ = quotes.seal(&offer(2), &REQUEST, NOW.plus(10));
        assert!(honoured(1, NOW.plus(10)).is_some(), "a price that is quoted again takes no place");
        let _ = quotes.seal(&offer(100), &REQUEST, NOW.plus(10));
        assert_eq!(honoured(1, NOW.plus(10)), None, "the list is bounded");
        assert!(honoured(2, NOW.plus(69)).is_some() && honoured(100, NOW.plus(10)).is_some());
    }
}
