//! Which settings a running host does not change.

use super::Config;

impl Config {
    /// The keys whose values differ in `next` and that take effect at a start only.
    pub fn needs_restart(&self, next: &Self) -> Vec<&'static str> {
        let assets = |config: &Self| -> Vec<_> {
            let mut assets: Vec<_> = config
                .accepts
                .iter()
                .map(|(accept, by)| {
                    let asset = &accept.asset;
                    (asset.network.to_string(), asset.address.to_ascii_lowercase(), accept.max_unsettled, by.clone())
                })
                .collect();
            assets.sort();
            assets
        };
        // An asset that is no longer named is no longer taken; its facilitator may go on.
        let known = assets(self);
        let fresh = assets(next).iter().any(|asset| !known.contains(asset));
        [
            ("listen", self.listen != next.listen),
            ("public_url", self.public_url != next.public_url),
            ("hosts", self.hosts != next.hosts),
            ("plugins", self.plugins != next.plugins),
            ("state", self.state != next.state),
            ("[[accept]]: an asset, its facilitator or max_unsettled", fresh),
            ("[facilitator]", self.facilitators != next.facilitators),
            ("limits.instances", self.instances != next.instances),
            (
                "[server]",
                (self.max_connections, self.drain, self.linger, &self.trusted_proxies)
                    != (next.max_connections, next.drain, next.linger, &next.trusted_proxies),
            ),
            ("[tls]", self.tls != next.tls),
            ("[answers]", (self.keep_answers, self.keep_answer_bytes) != (next.keep_answers, next.keep_answer_bytes)),
            ("[ledger]", self.keep_payments != next.keep_payments),
            ("[protect]", self.protect != next.protect),
            ("[receipts]", self.receipts != next.receipts),
        ]
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
        .collect()
    }
}
