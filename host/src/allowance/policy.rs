//! The operator's allowances, and the counts that belong to them.

use coinslot_base::request_id::RequestId;
use coinslot_ledger::{Fingerprint, FreeClaim, FreeCounter, FreeGrant, FreeKind, FreeQuota};
use sha2::{Digest, Sha256};

use super::payers::PayerRules;
use crate::endpoint::Endpoint;

/// One `[[allow]]` table: so many free requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// None: of every plugin.
    pub plugin: Option<String>,
    /// The method and the path template. None: every route.
    pub route: Option<String>,
    pub per: AllowancePer,
    pub quota: FreeQuota,
    /// The most of all clients together, in a window of the same length.
    pub total: Option<u64>,
}

/// The clients whose requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowancePer {
    /// Those of an account, which has signed in.
    Payer,
    /// Those of an address; of IPv6 those of a /64.
    Address,
    /// All.
    Everyone,
}

/// The allowances of a host, and who may pay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowancePolicy {
    pub allowances: Vec<Allowance>,
    pub payers: PayerRules,
}

/// The client of a request, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeRequester {
    /// The account that has signed in, and its nonce.
    pub signed_in: Option<SignedIn>,
    /// The network of the client.
    pub address: String,
}

/// An account that has signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// In lower case.
    pub account: String,
    pub nonce: (Vec<u8>, coinslot_x402::UnixTime),
}

impl AllowancePer {
    pub const ALL: [Self; 3] = [Self::Payer, Self::Address, Self::Everyone];

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        self.kind().as_str()
    }

    /// The kind of what is counted.
    pub fn kind(self) -> FreeKind {
        match self {
            Self::Payer => FreeKind::Payer,
            Self::Address => FreeKind::Address,
            Self::Everyone => FreeKind::Everyone,
        }
    }
}

impl AllowancePolicy {
    /// True if anything is free at all.
    pub fn has_rules(&self) -> bool {
        !self.allowances.is_empty()
    }

    /// The allowances of an endpoint, in the order of the file. Those that name its route stand in the place of those that
    /// name its plugin, and these in the place of those that name neither.
    pub fn of(&self, endpoint: &Endpoint) -> impl Iterator<Item = &Allowance> {
        self.of_route(endpoint.plugin.info().name.clone(), endpoint.label.clone())
    }

    fn of_route(&self, plugin: String, route: String) -> impl Iterator<Item = &Allowance> {
        let rank = move |rule: &Allowance| {
            let is_meant = rule.plugin.as_ref().is_none_or(|own| *own == plugin)
                && rule.route.as_ref().is_none_or(|own| *own == route);
            is_meant.then(|| (rule.route.is_some(), rule.plugin.is_some()))
        };
        let most =
            self.allowances.iter().filter_map(&rank).map(|(route, plugin)| if route { 2 } else { plugin.into() });
        let most: Option<u8> = most.max();
        self.allowances.iter().filter(move |rule| {
            rank(rule).map(|(route, plugin)| if route { 2 } else { plugin.into() }) == most && most.is_some()
        })
    }

    /// True if a client of this endpoint can get something by signing in.
    pub fn takes_sign_in(&self, endpoint: &Endpoint) -> bool {
        endpoint.pass().is_some()
            || self.has_rules()
                && self.of(endpoint).any(|rule| rule.per == AllowancePer::Payer && rule.quota.requests > 0)
    }

    /// True if the proof of an account, in a request to this endpoint, is for the host.
    pub fn takes_proof(&self, endpoint: &Endpoint) -> bool {
        endpoint.pass().is_some() || self.has_rules() && self.of(endpoint).any(|rule| rule.per == AllowancePer::Payer)
    }
}

impl Allowance {
    /// The counts of a request to this endpoint. None if its client is not known.
    pub fn claim(&self, endpoint: &Endpoint, who: &FreeRequester, key: &[u8; 32]) -> Option<FreeClaim> {
        let (name, nonce) = match self.per {
            AllowancePer::Payer => {
                let signed_in = who.signed_in.as_ref()?;
                (&*signed_in.account, Some(signed_in.nonce.clone()))
            }
            AllowancePer::Address => (&*who.address, None),
            AllowancePer::Everyone => ("everyone", None),
        };
        let own = FreeCounter {
            id: self.counter(name, key),
            quota: self.quota,
            is_per_client: self.per != AllowancePer::Everyone,
        };
        let total = self.total.map(|requests| FreeCounter {
            id: self.counter("*", key),
            quota: FreeQuota { requests, ..self.quota },
            is_per_client: false,
        });
        Some(FreeClaim {
            kind: self.per.kind(),
            who: name.to_owned(),
            plugin: endpoint.plugin.info().name.clone(),
            endpoint: endpoint.label.clone(),
            request_id: RequestId::current().map(|id| id.to_string()),
            grant: FreeGrant::Counters { counters: std::iter::once(own).chain(total).collect(), nonce },
        })
    }

    /// The hash of a count. The numbers of the table are not in it: when the operator changes them, what was counted
    /// counts on. Each text stands behind its length, so that no two tables have one hash.
    fn counter(&self, who: &str, key: &[u8; 32]) -> Fingerprint {
        let mut hash = Sha256::new_with_prefix(key);
        let texts = [self.plugin.as_deref().unwrap_or(""), self.route.as_deref().unwrap_or(""), self.per.as_str(), who];
        hash.update(b"allowance");
        for text in texts {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        Fingerprint(hash.finalize().into())
    }
}

impl std::fmt::Display for Allowance {
    /// `20 free requests of each address in 1d`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let FreeQuota { requests, every } = self.quota;
        let of = match self.per {
            AllowancePer::Payer => "of each payer who signs in",
            AllowancePer::Address => "of each address",
            AllowancePer::Everyone => "of all clients together",
        };
        let every = every.map_or_else(
            || "once and for all".to_owned(),
            |every| format!("in {}", coinslot_base::units::shown_duration(every)),
        );
        write!(f, "{requests} free requests {of} {every}")?;
        match self.total {
            Some(total) => write!(f, ", {total} of all together"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(plugin: Option<&str>, route: Option<&str>, requests: u64) -> Allowance {
        Allowance {
            plugin: plugin.map(ToOwned::to_owned),
            route: route.map(ToOwned::to_owned),
            per: AllowancePer::Address,
            quota: FreeQuota { requests, every: None },
            total: None,
        }
    }

    #[test]
    fn the_tables_that_name_the_route_stand_in_the_place_of_those_that_name_less() {
        let allowances = vec![
            rule(None, None, 1),
            rule(Some("a"), None, 2),
            rule(Some("a"), Some("GET /a"), 3),
            rule(None, Some("GET /a"), 4),
            rule(Some("b"), Some("GET /a"), 5),
        ];
        let policy = AllowancePolicy { allowances, ..AllowancePolicy::default() };
        let of = |plugin: &str, route: &str| {
            let rules = policy.of_route(plugin.to_owned(), route.to_owned());
            rules.map(|rule| rule.quota.requests).collect::<Vec<_>>()
        };
        assert_eq!(of("a", "GET /a"), [3, 4]);
        assert_eq!(of("a", "GET /b"), [2]);
        assert_eq!(of("c", "GET /b"), [1]);
        assert!(AllowancePolicy::default().of_route("a".to_owned(), "GET /a".to_owned()).next().is_none());
    }

    #[test]
    fn counts_are_those_of_their_table_and_client_whatever_its_numbers_are() {
        let key = [7; 32];
        let one = rule(Some("a"), None, 1).counter("203.0.113.1", &key);
        assert_eq!(rule(Some("a"), None, 100).counter("203.0.113.1", &key), one);
        for other in [
            rule(Some("a"), None, 1).counter("203.0.113.2", &key),
            rule(None, Some("a"), 1).counter("203.0.113.1", &key),
            rule(Some("a"), None, 1).counter("203.0.113.1", &[8; 32]),
            Allowance { per: AllowancePer::Everyone, ..rule(Some("a"), None, 1) }.counter("203.0.113.1", &key),
        ] {
            assert_ne!(other, one);
        }
    }
}
