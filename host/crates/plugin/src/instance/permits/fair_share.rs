//! Decides whether a plugin may have more permits beside what others hold.

use super::state::KEPT;

/// The least share of a plugin on a host with many plugins: one permit in this many.
const LEAST_SHARE: usize = 32;

/// The answer to a request for permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PermitClaim {
    /// It may have them now.
    Runs,
    /// It may have them as soon as enough are free. While it is the next in turn, they are kept for it: an instance of
    /// several permits would never find them free at once beside instances of one.
    Gathers,
    /// Others need them more.
    Refused,
}

/// The permits that a plugin and all others hold, for one kind of work: what decides about the plugin's fair share.
#[derive(Clone, Copy, Debug)]
pub(super) struct FairShare {
    /// All permits of the host, and those of them that nobody holds.
    pub(super) total: usize,
    pub(super) free: usize,
    /// The permits that such work may hold in all.
    pub(super) most: usize,
    /// Those that such work of all plugins holds.
    pub(super) used: usize,
    /// Those of the plugin that count against it.
    pub(super) held: usize,
    /// Permits of one instance.
    pub(super) weight: usize,
    /// Plugins of the host, at least one.
    pub(super) plugins: usize,
    pub(super) is_paid: bool,
}

impl FairShare {
    /// Tells whether another instance may have its permits.
    pub(super) fn claim(self) -> PermitClaim {
        let with_this = self.held + self.weight;
        let least = (self.most / LEAST_SHARE).max(self.weight);
        if with_this <= least {
            self.within_share(0)
        } else if with_this <= (self.most / self.plugins).max(least) {
            self.within_share(if self.is_paid { 0 } else { self.kept_for_newcomers() })
        } else {
            self.beyond_share()
        }
    }

    /// Within its share the plugin is refused nothing, and leaves `kept` permits to others.
    fn within_share(self, kept: usize) -> PermitClaim {
        if self.weight > self.most {
            return PermitClaim::Refused;
        }
        let has_room = self.used + self.weight + kept <= self.most && self.free >= self.weight;
        if has_room { PermitClaim::Runs } else { PermitClaim::Gathers }
    }

    /// Beyond its share the plugin leaves a part to those that have less.
    fn beyond_share(self) -> PermitClaim {
        let leaves_some =
            self.used + self.weight + self.most / KEPT <= self.most && self.free >= self.weight + self.total / KEPT;
        if leaves_some { PermitClaim::Runs } else { PermitClaim::Refused }
    }

    /// The permits that unpaid work leaves to plugins that have next to none.
    fn kept_for_newcomers(self) -> usize {
        let newcomers = (self.plugins - 1) * (self.most / LEAST_SHARE).max(1);
        (self.most / (2 * KEPT)).min(newcomers)
    }
}
