//! Holds which configuration is active: what was read last, what of it waits for a restart, and what is not used.

use arc_swap::ArcSwap;
use coinslot_x402::UnixTime;

use super::Config;

/// The configuration of a running host, which reloads change.
pub type ActiveConfig = ArcSwap<ConfigFacts>;

/// The configuration after the last reload, and the problems of its file.
#[derive(Clone, Debug)]
pub struct ConfigFacts {
    /// The configuration that was read last without a mistake. Some of it may wait for a restart.
    pub config: Config,
    /// The time at which it was read.
    pub since: UnixTime,
    /// The keys whose values wait for a restart.
    pub waiting: Vec<String>,
    /// Things that the operator should know of it, a sentence each.
    pub warnings: Vec<String>,
    /// The reason why the file, as it is now, is not used.
    pub refused: Option<String>,
}

impl ConfigFacts {
    /// The facts of a host that starts with this configuration.
    pub fn of(config: Config, since: UnixTime, warnings: Vec<String>) -> ActiveConfig {
        ActiveConfig::from_pointee(Self { config, since, waiting: Vec::new(), warnings, refused: None })
    }
}
