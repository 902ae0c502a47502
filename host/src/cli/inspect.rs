//! `coinslot inspect`: shows a component's routes, prices, capabilities and tools.

mod endpoint;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coinslot_base::file::read_regular;
use coinslot_plugin::{
    Capability, CompilePriority, Grants, Inspection, LoadError, Package, PackageError, PluginInfo, PluginPolicies,
    PluginPolicy, Runtime, RuntimeConfig, inspect,
};
use sha2::{Digest, Sha256};

use self::endpoint::{Columns, declared_flow, endpoint_lines, price};
use super::{Failure, LARGEST_WASM, print};
use crate::catalog::{InstallError, expected_name, shown_policies, unenforced_schemas};
use crate::config::{Config, KeySource, PluginConfig};
use crate::respond::is_host_only;
use crate::schema::Unenforced;

/// Show what a .wasm is: routes, prices, what it asks for and is granted, size, toolchain.
///
/// The component's `describe` runs in a sandbox without network, files or a payment. What it is granted
/// stands in the table [plugin.NAME] of a configuration; without --config nothing is. What is compiled for it is kept:
/// where the host of that configuration finds it, and otherwise in your cache.
#[derive(clap::Args, Clone, Debug)]
pub struct InspectArgs {
    /// The component.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The configuration that grants it something; only [plugin.NAME], [limits] and `state` are read.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
    /// Read the bytes only; run nothing.
    #[arg(long)]
    pub no_run: bool,
}

/// Prints the component. Ends with 1 if this host cannot load it, and with 2 if there is no such file.
pub async fn run(args: InspectArgs) -> Result<(), Failure> {
    let named = |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", args.file.display()));
    let plugins = match &args.config {
        Some(file) => Config::read_plugins(file).map_err(|problems| Failure::usage(problems.to_string()))?.by_name,
        None => BTreeMap::new(),
    };
    let unread = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::usage(format!("{}: {error}", args.file.display())),
        _ => named(&error),
    };
    let wasm = read_regular(&args.file, LARGEST_WASM).map_err(unread)?;
    let outside = inspect(&wasm).map_err(|error| named(&error))?;
    let described = match (&outside.refusal, args.no_run) {
        (Some(reason), _) => Some(Err(reason.clone())),
        (None, true) => None,
        (None, false) => Some(describe(&args.file, args.config.as_deref(), &wasm, &plugins).await),
    };
    // Grants belong to the name in the manifest, which is not known if `describe` has not run.
    let own = match &described {
        Some(Ok(info)) => Some(plugins.get(&info.name).cloned().unwrap_or_default()),
        _ => None,
    };
    let capabilities = Capability::ALL.map(|capability| CapabilityRow::new(capability, &outside, own.as_ref()));
    let misfit = own.as_ref().and_then(|own| {
        let (info, file) = (described.as_ref()?.as_ref().ok()?, file_name(&args.file));
        let misfit = own.pins.check_component(&file, &outside.sha256).err()?;
        Some(format!("plugin.{}: {misfit}", info.name))
    });
    let metered =
        described.as_ref().and_then(|described| InstallError::of_metered(&described.as_ref().ok()?.endpoints));
    let misfit = misfit.or(metered.map(|error| error.to_string()));
    let unenforced = match &described {
        Some(Ok(info)) if own.as_ref().is_none_or(|own| own.validate) => {
            unenforced_schemas(&info.endpoints).map_err(|error| named(&error))?
        }
        _ => Vec::new(),
    };
    let package = Package::read(&wasm);
    let shown = ShownComponent { file: &args.file, outside, package, capabilities, described, unenforced, misfit };
    if args.json { print::document(format_args!("{:#}", shown.json())) } else { print::line(shown.text()) }?;
    match (shown.described, shown.misfit, shown.package) {
        (Some(Err(reason)), ..) | (_, Some(reason), _) => Err(named(&reason)),
        (.., Err(error)) => Err(named(&error)),
        (_, None, Ok(_)) => Ok(()),
    }
}

/// A component, as far as it is known.
struct ShownComponent<'f> {
    file: &'f Path,
    outside: Inspection,
    /// The section that its author packed into it.
    package: Result<Option<Package>, PackageError>,
    capabilities: [CapabilityRow; 3],
    /// Its description of itself, or the reason why there is none; `None` if it was not asked.
    described: Option<Result<PluginInfo, String>>,
    /// The schemas of each endpoint that this host would not enforce. Empty if the operator has disabled the checks.
    unenforced: Vec<Vec<Unenforced>>,
    /// The reason for which every host, or the one of the configuration, refuses it: a metered price, or the pin of its
    /// name. Pins of paths and prices are checked by `coinslot check`.
    misfit: Option<String>,
}

impl ShownComponent<'_> {
    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "component": self.outside,
            "package": match &self.package {
                Ok(package) => serde_json::json!(package),
                Err(error) => serde_json::json!({ "error": error.to_string() }),
            },
            "capabilities": self.capabilities.iter().map(CapabilityRow::json).collect::<Vec<_>>(),
            "misfit": self.misfit,
            "plugin": self.described.as_ref().map(|described| match described {
                Ok(info) => json(info, &self.unenforced),
                Err(reason) => serde_json::json!({ "error": reason }),
            }),
        })
    }

    /// Lines for people, without a line break at the end.
    fn text(&self) -> String {
        let outside = &self.outside;
        let tools = outside.toolchain.iter().filter(|tool| tool.role != "language");
        let tools = tools.map(|tool| format!("{} {}", tool.name, tool.version).trim().to_owned());
        // Several interfaces of WASI stand for one thing; --json has their names.
        let uses: BTreeSet<String> = outside.uses.iter().map(|import| import.meaning.to_owned()).collect();
        let quotes = if outside.quotes { "yes: it prices or checks each request" } else { "no" };
        let mut lines = vec![
            format!("{}: {}, sha256 {}", self.file.display(), print::size(outside.size), outside.sha256),
            format!("language    {}", outside.language.as_deref().unwrap_or("it does not say")),
            format!("made with   {}", or_none(tools.collect())),
            format!("packed      {}", packed(&self.package)),
            format!("handler     {}", or_none(outside.handlers.clone())),
            format!("quotes      {quotes}"),
            format!("can use     {}", or_none(uses.into_iter().collect())),
        ];
        lines.extend(self.capabilities.iter().map(CapabilityRow::line));
        if !outside.basics.is_empty() {
            lines.push(format!("basics      {}", outside.basics.join(", ")));
        }
        if !outside.inert.is_empty() {
            lines
                .push(format!("empty       {}: there, without files, variables and sockets", outside.inert.join(", ")));
        }
        if !outside.unknown.is_empty() {
            lines.push(format!("unknown     {}", outside.unknown.join(", ")));
        }
        if let Some(Ok(info)) = &self.described {
            lines.push(format!("\n{} {}", info.name, info.version));
            let columns = Columns::of(&info.endpoints);
            for (index, endpoint) in info.endpoints.iter().enumerate() {
                lines.extend(endpoint_lines(endpoint, columns));
                let unenforced = self.unenforced.get(index).into_iter().flatten();
                lines.extend(unenforced.map(|unenforced| format!("         {unenforced}")));
            }
        }
        lines.join("\n")
    }
}

/// The facts of a package beside the manifest: `MIT, typescript, https://example.com/shop at c0ffee (plugins/a)`.
fn packed(package: &Result<Option<Package>, PackageError>) -> String {
    let package = match package {
        Ok(Some(package)) => package,
        Ok(None) => return "no".to_owned(),
        Err(error) => return error.to_string(),
    };
    let license = package.license.clone().unwrap_or_else(|| "no licence".to_owned());
    let source = package.source.as_ref().map(|source| {
        let repository = source.repository.as_deref().unwrap_or("a repository without an address");
        let path = source.path.as_ref().map(|path| format!(" ({path})")).unwrap_or_default();
        let modified = if source.modified { ", modified" } else { "" };
        format!("{repository} at {}{modified}{path}", source.commit)
    });
    let tool = format!("by {} {}", package.tool.name, package.tool.version);
    let facts = [Some(license), package.component.language.clone(), source, Some(tool)];
    facts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// One capability: the imports that ask for it, and the grants.
struct CapabilityRow {
    capability: Capability,
    asked: Vec<String>,
    /// None if the plugin's name is not known.
    granted: Option<Vec<String>>,
}

impl CapabilityRow {
    fn new(capability: Capability, outside: &Inspection, own: Option<&PluginConfig>) -> Self {
        let asked = outside.asks.iter().filter(|ask| ask.capability == capability).map(|ask| ask.name.clone());
        Self { capability, asked: asked.collect(), granted: own.map(|own| granted(capability, own)) }
    }

    fn line(&self) -> String {
        let asked =
            if self.asked.is_empty() { "not asked".to_owned() } else { format!("asked ({})", self.asked.join(", ")) };
        let granted = match &self.granted {
            None => "not known without its name".to_owned(),
            Some(list) => or_none(list.clone()),
        };
        format!("{:<16}{asked}; granted: {granted}", self.capability.name())
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({ "name": self.capability, "asked": self.asked, "granted": self.granted })
    }
}

/// The grants as names and numbers, without the values of secrets and of the configuration.
fn granted(capability: Capability, own: &PluginConfig) -> Vec<String> {
    match capability {
        Capability::OutgoingHttp => {
            let secrets = own.secrets.iter().map(|secret| {
                let from = match &secret.value {
                    KeySource::Env(name) => format!("the variable {name}"),
                    KeySource::File(file) => file.display().to_string(),
                };
                format!("the host adds {} to {} from {from}", secret.place, secret.origin)
            });
            own.http.iter().map(ToString::to_string).chain(secrets).collect()
        }
        Capability::Configuration => own.config.iter().map(|(key, _)| key.clone()).collect(),
        Capability::KeyValue => {
            let quota = own.keyvalue.iter();
            quota
                .map(|quota| format!("{} KiB, {} keys, {} KiB each", quota.bytes >> 10, quota.keys, quota.value >> 10))
                .collect()
        }
    }
}

/// Has the component of this file describe itself, with its configuration, if it fits its pins, and no other grant.
pub(super) async fn describe(
    file: &Path,
    config: Option<&Path>,
    wasm: &[u8],
    plugins: &BTreeMap<String, PluginConfig>,
) -> Result<PluginInfo, String> {
    load(file, config, wasm, plugins).await.map_err(|error| error.to_string())
}

/// Loads what a build has made as a host would, without a configuration. Gives what its author has to know of it, and
/// fails with the reason for which no host loads it, as [`run`] tells it.
#[cfg(feature = "dev")]
pub(super) async fn check_built(file: &Path, wasm: &[u8]) -> Result<Option<String>, String> {
    let outside = inspect(wasm).map_err(|error| error.to_string())?;
    if let Some(reason) = outside.refusal {
        return Err(reason);
    }
    let is_configured = outside.asks.iter().any(|ask| ask.capability == Capability::Configuration);
    let info = match load(file, None, wasm, &BTreeMap::new()).await {
        Ok(info) => info,
        Err(LoadError::Unavailable(reason)) => return Ok(Some(format!("it could not be tried: {reason}"))),
        // A configuration that only its operators have may be what it misses.
        Err(LoadError::Describe(reason)) if is_configured => {
            return Ok(Some(format!("without a configuration no host loads it: {reason}")));
        }
        Err(error) => return Err(error.to_string()),
    };
    if let Some(error) = InstallError::of_metered(&info.endpoints) {
        return Ok(Some(error.to_string()));
    }
    unenforced_schemas(&info.endpoints).map(|_| None).map_err(|error| error.to_string())
}

async fn load(
    file: &Path,
    config: Option<&Path>,
    wasm: &[u8],
    plugins: &BTreeMap<String, PluginConfig>,
) -> Result<PluginInfo, LoadError> {
    let configured = plugins.iter().map(|(name, own)| {
        let grants = Grants { config: own.config.clone(), ..Grants::default() };
        (name.clone(), PluginPolicy { grants, ..PluginPolicy::default() })
    });
    let policies = PluginPolicies { plugins: configured.collect(), ..PluginPolicies::default() };
    let (file, digest) = (file_name(file), hex::encode(Sha256::digest(wasm)));
    let expected = expected_name(&file, None, plugins.iter().map(|(name, own)| (name, &own.pins)));
    let pins = plugins.iter().map(|(name, own)| (name.clone(), own.pins.clone())).collect();
    let shown = shown_policies(&policies, &pins, &file, &digest);
    let (runtime, keeping) = runtime(config).map_err(LoadError::Unavailable)?;
    let plugin = runtime.load_expecting(expected, wasm, &shown).await?;
    if matches!(keeping, Keeping::Cache) {
        runtime.forget_others(&HashSet::from([digest]));
    }
    Ok(plugin.info().clone())
}

/// The place where what is compiled stays.
enum Keeping {
    /// The state of the host of a configuration, which forgets what it does not need.
    Host,
    /// This user's cache.
    Cache,
    /// A folder that is removed afterwards.
    Nowhere(#[expect(dead_code, reason = "dropping it removes it")] tempfile::TempDir),
}

/// A runtime for one component, which keeps what it compiles where a host of this configuration looks for it, if that
/// host has run and is this user's. Otherwise it keeps it in this user's cache, if there is one.
fn runtime(config: Option<&Path>) -> Result<(Arc<Runtime>, Keeping), String> {
    let open = |artifacts: &Path| {
        Runtime::new(RuntimeConfig {
            instances: 1,
            compiler: super::own_executable(),
            priority: CompilePriority::Normal,
            ..RuntimeConfig::new(artifacts, is_host_only)
        })
    };
    let of_host = config.and_then(|file| Config::read_artifacts(file).ok()).filter(|artifacts| artifacts.is_dir());
    if let Some(runtime) = of_host.and_then(|artifacts| open(&artifacts).ok()) {
        return Ok((runtime, Keeping::Host));
    }
    if let Some(runtime) = super::compiled().and_then(|cache| open(&cache).ok()) {
        return Ok((runtime, Keeping::Cache));
    }
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let runtime = open(folder.path()).map_err(|error| error.to_string())?;
    Ok((runtime, Keeping::Nowhere(folder)))
}

/// The name by which a plugin folder would have the file.
fn file_name(file: &Path) -> String {
    file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn json(info: &PluginInfo, unenforced: &[Vec<Unenforced>]) -> serde_json::Value {
    let endpoints = info.endpoints.iter().enumerate().map(|(index, endpoint)| {
        let unenforced = unenforced.get(index).into_iter().flatten();
        serde_json::json!({
            "method": endpoint.method.as_str(),
            "path": endpoint.path.as_str(),
            "price": price(&endpoint.price),
            "summary": endpoint.summary,
            "description": endpoint.description,
            "mimeType": endpoint.mime_type,
            "flow": declared_flow(endpoint),
            "quoteHeaders": endpoint.quote_headers,
            "inputSchema": endpoint.input_schema,
            "outputSchema": endpoint.output_schema,
            "notEnforced": unenforced.map(unenforced_json).collect::<Vec<_>>(),
        })
    });
    serde_json::json!({ "name": info.name, "version": info.version, "endpoints": endpoints.collect::<Vec<_>>() })
}

/// A schema, or a pattern of one, that is not enforced.
fn unenforced_json(unenforced: &Unenforced) -> serde_json::Value {
    let Unenforced { schema, error, is_part } = unenforced;
    serde_json::json!({
        "schema": schema.to_string(),
        "pointer": error.pointer,
        "reason": error.fault.to_string(),
        "restIsEnforced": is_part,
    })
}

fn or_none(list: Vec<String>) -> String {
    if list.is_empty() { "nothing".to_owned() } else { list.join(", ") }
}
