//! Declares the lines of the audit log: what was changed in a host, when, and by whom.

use std::fmt;
use std::net::IpAddr;

use coinslot_x402::UnixTime;

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChangeKind {
    PluginLoaded,
    PluginReplaced,
    PluginRemoved,
    /// The content of a file was not made active.
    PluginRejected,
    PluginRolledBack,
    PluginPaused,
    PluginResumed,
    /// A route has another price, another receiver or other assets, or is new or gone, by the configuration.
    Route,
    /// The configuration was read again and took effect.
    Configuration,
    /// A setting has another value in force, because the configuration was read again.
    Setting,
    /// A setting has changed that takes effect at the next start.
    RestartNeeded,
    /// A changed configuration was not used.
    ConfigurationRejected,
    WebhookResent,
    Backup,
    LogLevel,
    /// An API key was made, changed or revoked.
    Key,
    /// A refund of an owed answer began, was paid, or failed.
    Refund,
}

impl ChangeKind {
    pub const ALL: [Self; 17] = [
        Self::PluginLoaded,
        Self::PluginReplaced,
        Self::PluginRemoved,
        Self::PluginRejected,
        Self::PluginRolledBack,
        Self::PluginPaused,
        Self::PluginResumed,
        Self::Route,
        Self::Configuration,
        Self::Setting,
        Self::RestartNeeded,
        Self::ConfigurationRejected,
        Self::WebhookResent,
        Self::Backup,
        Self::LogLevel,
        Self::Key,
        Self::Refund,
    ];

    /// Its name in the ledger's file, in the API and in commands.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PluginLoaded => "plugin_loaded",
            Self::PluginReplaced => "plugin_replaced",
            Self::PluginRemoved => "plugin_removed",
            Self::PluginRejected => "plugin_rejected",
            Self::PluginRolledBack => "plugin_rolled_back",
            Self::PluginPaused => "plugin_paused",
            Self::PluginResumed => "plugin_resumed",
            Self::Route => "route",
            Self::Configuration => "configuration",
            Self::Setting => "setting",
            Self::RestartNeeded => "restart_needed",
            Self::ConfigurationRejected => "configuration_rejected",
            Self::WebhookResent => "webhook_resent",
            Self::Backup => "backup",
            Self::LogLevel => "log_level",
            Self::Key => "key",
            Self::Refund => "refund",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The source of a change: who made it, as far as the host can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// A request to the admin listener from this address, admitted in this way. `certificate`: the subject of the client's
    /// certificate, where the listener asks for one.
    Operator { address: IpAddr, admitted: Admitted, certificate: Option<String> },
    /// A command on the machine of the host. None: the user has no name there.
    CommandLine { user: Option<String> },
    /// A file of the plugin folder.
    Folder,
    /// The file of the configuration.
    ConfigurationFile,
    /// A signal that had the configuration read again.
    Signal,
    /// The host itself, by a rule of its configuration.
    Policy,
    /// The host itself, because a plugin failed again and again.
    Health,
    /// The host itself, which ended what an operator has begun.
    Host,
    /// The difference to what served before, which was found when the host started.
    Start,
}

/// The way in which an operator was admitted to the admin listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// The listener asks for no token. It may ask for a certificate.
    WithoutToken,
    Token,
    /// A browser that has signed in.
    Session,
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator { address, admitted, certificate } => {
                // A subject is chosen by others: it ends at its closing quote, and contains none.
                let shown =
                    certificate.as_ref().map(|subject| format!("certificate \"{}\"", subject.replace('"', "'")));
                match (admitted, shown) {
                    (Admitted::WithoutToken, None) => write!(f, "operator without a token from {address}"),
                    (Admitted::WithoutToken, Some(shown)) => write!(f, "operator by {shown} from {address}"),
                    (Admitted::Token, None) => write!(f, "operator by token from {address}"),
                    (Admitted::Token, Some(shown)) => write!(f, "operator by token and {shown} from {address}"),
                    (Admitted::Session, None) => write!(f, "operator by session from {address}"),
                    (Admitted::Session, Some(shown)) => write!(f, "operator by session and {shown} from {address}"),
                }
            }
            Self::CommandLine { user: Some(user) } => write!(f, "command line (user {user})"),
            Self::CommandLine { user: None } => f.write_str("command line"),
            Self::Folder => f.write_str("folder"),
            Self::ConfigurationFile => f.write_str("configuration file"),
            Self::Signal => f.write_str("signal"),
            Self::Policy => f.write_str("policy"),
            Self::Health => f.write_str("health"),
            Self::Host => f.write_str("host"),
            Self::Start => f.write_str("start"),
        }
    }
}

/// A change that is about to be written down. Its texts hold no secret: a reader of the log needs no right to use one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub at: UnixTime,
    pub who: Author,
    pub kind: ChangeKind,
    /// The plugin, file, route, setting or payment that was changed.
    pub subject: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// A change that was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedChange {
    /// Grows in the order of the changes, from 1.
    pub number: u64,
    pub at: UnixTime,
    /// As [`Author`] is displayed.
    pub who: String,
    pub kind: ChangeKind,
    pub subject: String,
    pub before: Option<String>,
    pub after: Option<String>,
}
