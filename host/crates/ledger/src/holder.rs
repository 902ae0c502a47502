//! Decides who may fetch what a payment bought.
//!
//! A signature is public once its payment is settled: the transaction's calldata has every byte of it, and anybody who
//! reads the chain can rebuild the payment. So the signature alone fetches nothing. A client that echoes the secret of
//! its challenge shows the secret again. Version 1 of x402 has no field for it; there the address of the client stands
//! in, for as long as a broken connection needs.

use coinslot_x402::UnixTime;

use crate::Fingerprint;

/// The time after the claim during which the same client may fetch, without a secret, what was never delivered whole,
/// or is owed, in seconds: addresses are given to others.
const UNDELIVERED: u64 = 24 * 60 * 60;

/// The time after the delivery during which the same client may fetch the answer again without a secret, in seconds.
const GRACE: u64 = 120;

/// The marks by which the client that paid is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The hash of the challenge's secret that the client echoed; `None` if it echoed none, as in version 1.
    pub secret: Option<Fingerprint>,
    /// The hash of the client's address; `None` if the address does not tell one client from another, as that of a
    /// proxy.
    pub client: Option<Fingerprint>,
}

/// The marks that a row keeps of the client that paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowHolder {
    pub(crate) secret: Option<[u8; 32]>,
    /// `None` if the address proves nothing, and in rows from before schema version 4.
    pub(crate) client: Option<[u8; 32]>,
    pub(crate) claimed: UnixTime,
    /// The time at which the whole answer was handed to the connection.
    pub(crate) delivered: Option<UnixTime>,
}

impl RowHolder {
    /// True if the presenter of this payment may learn what became of it. The request that it presents does not count,
    /// so that a refusal says nothing about the request that was paid for.
    ///
    /// A row without both secret and client is closed to everybody: the payment came without a secret through a proxy
    /// that is not named, or the row is from before schema version 4. Its debt stays in `coinslot ledger owed`, where
    /// the operator sees it. Open, a reader of the chain could take the answer and close the debt for good.
    pub(crate) fn admits(&self, presenter: &Holder, same_signature: bool, at: UnixTime) -> bool {
        match (self.secret, self.client) {
            (Some(secret), _) => presenter.secret == Some(Fingerprint(secret)),
            (None, Some(client)) => {
                let until = self.delivered.map_or(self.claimed.plus(UNDELIVERED), |delivered| delivered.plus(GRACE));
                presenter.client == Some(Fingerprint(client)) && same_signature && at <= until
            }
            (None, None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_is_fetched_by_its_secret_or_else_by_its_client_for_a_short_time() {
        let (secret, client, other) = ([1; 32], [2; 32], [9; 32]);
        let late = Some(UnixTime(1_000));
        // Of the row: secret, client, time of the delivery; of the presenter: secret, client, same signature, time.
        let cases = [
            (Some(secret), Some(client), None, Some(secret), client, true, 5_000, true),
            (Some(secret), Some(client), late, Some(secret), other, true, 900_000, true),
            (Some(secret), Some(client), None, Some(secret), client, false, 5_000, true),
            (Some(secret), Some(client), None, Some(other), client, true, 5_000, false),
            (Some(secret), Some(client), None, None, client, true, 5_000, false),
            (Some(secret), Some(client), late, None, client, true, 1_001, false),
            (None, Some(client), None, None, client, true, 86_500, true),
            (None, Some(client), None, None, client, true, 86_501, false),
            (None, Some(client), None, Some(secret), client, true, 86_500, true),
            (None, Some(client), None, None, other, true, 5_000, false),
            (None, Some(client), None, None, client, false, 5_000, false),
            (None, Some(client), late, None, client, true, 1_120, true),
            (None, Some(client), late, None, client, true, 1_121, false),
            (None, Some(client), late, None, other, true, 1_001, false),
            (None, None, None, None, client, true, 5_000, false),
            (None, None, late, Some(secret), client, true, 1_001, false),
        ];
        for (number, (secret, client, delivered, shown, from, same_signature, at, admitted)) in
            cases.into_iter().enumerate()
        {
            let row = RowHolder { secret, client, claimed: UnixTime(100), delivered };
            let presenter = Holder { secret: shown.map(Fingerprint), client: Some(Fingerprint(from)) };
            assert_eq!(row.admits(&presenter, same_signature, UnixTime(at)), admitted, "case {number}");
            let nobody = Holder { client: None, ..presenter };
            assert_eq!(
                row.admits(&nobody, same_signature, UnixTime(at)),
                admitted && secret.is_some(),
                "case {number}"
            );
        }
    }
}
