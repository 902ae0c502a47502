//! `coinslot inspect`: shows a component's routes, prices, capabilities and tools.

mod capability;
mod component;
mod endpoint;
mod load;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coinslot_base::file::read_regular;
use coinslot_plugin::{Capability, Package, PluginInfo, inspect};

use self::capability::CapabilityRow;
pub(super) use self::capability::ungranted;
use self::component::ShownComponent;
#[cfg(feature = "dev")]
pub(super) use self::load::check_built;
pub(super) use self::load::describe;
use super::{Failure, LARGEST_WASM, print};
use crate::catalog::{InstallError, RouteChange, unenforced_schemas};
use crate::config::{Config, PluginConfig};

/// Show what a .wasm is: routes, prices, what it asks for and is granted, size, toolchain.
///
/// The component's `describe` runs in a sandbox without network, files or a payment. What it is granted
/// stands in the table [plugin.NAME] of a configuration; without --config nothing is. What is compiled for it is kept:
/// where the host of that configuration finds it, and otherwise in your cache.
///
/// Ends with 0 if a host loads it, 1 if none does or it disagrees with what was packed, 2 for wrong usage or if there is
/// no such file.
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

/// Prints the component.
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
    let inspection = inspect(&wasm).map_err(|error| named(&error))?;
    let described = match (&inspection.refusal, args.no_run) {
        (Some(reason), _) => Some(Err(reason.clone())),
        (None, true) => None,
        (None, false) => Some(describe(&args.file, args.config.as_deref(), &wasm, &plugins).await),
    };
    // Grants belong to the name in the manifest, which is not known if `describe` has not run.
    let own = match &described {
        Some(Ok(info)) => Some(plugins.get(&info.name).cloned().unwrap_or_default()),
        _ => None,
    };
    let capabilities = Capability::ALL.map(|capability| CapabilityRow::new(capability, &inspection, own.as_ref()));
    let misfit = own.as_ref().and_then(|own| {
        let (info, file) = (described.as_ref()?.as_ref().ok()?, file_name(&args.file));
        let misfit = own.pins.check_component(&file, &inspection.sha256).err()?;
        Some(format!("plugin.{}: {misfit}", info.name))
    });
    let changed = match (&own, &described) {
        (Some(own), Some(Ok(info))) => changes(own, info),
        _ => Ok(Vec::new()),
    };
    let (changes, misfit) = match changed {
        Ok(changes) => (changes, misfit),
        Err(error) => (Vec::new(), misfit.or(Some(error.to_string()))),
    };
    let unenforced = match &described {
        Some(Ok(info)) if own.as_ref().is_none_or(|own| own.validate) => {
            unenforced_schemas(&info.endpoints).map_err(|error| named(&error))?
        }
        _ => Vec::new(),
    };
    let package = Package::read(&wasm);
    let shown =
        ShownComponent { file: &args.file, inspection, package, capabilities, described, unenforced, changes, misfit };
    if args.json { print::document(format_args!("{:#}", shown.json())) } else { print::line(shown.text()) }?;
    match (shown.described, shown.misfit, shown.package) {
        (Some(Err(reason)), ..) | (_, Some(reason), _) => Err(named(&reason)),
        (.., Err(error)) => Err(named(&error)),
        (_, None, Ok(_)) => Ok(()),
    }
}

/// The operator's changes of the plugin. Fails if its routes cannot be changed so, or if one of them is served that no
/// host sells.
fn changes(own: &PluginConfig, info: &PluginInfo) -> Result<Vec<RouteChange>, InstallError> {
    let failed = |source| InstallError::Override { plugin: info.name.clone(), source };
    let served = own.overrides.apply(info).map_err(failed)?;
    let changes = own.overrides.changes(info, &served);
    let is_off = info.endpoints.iter().map(|declared| own.overrides.is_off(declared));
    let sold: Vec<_> =
        served.into_iter().zip(is_off).filter_map(|(served, is_off)| (!is_off).then_some(served)).collect();
    InstallError::of_metered(&sold).map_or(Ok(changes), Err)
}

/// The name by which a plugin folder would have the file.
fn file_name(file: &Path) -> String {
    file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn or_none(list: Vec<String>) -> String {
    if list.is_empty() { "nothing".to_owned() } else { list.join(", ") }
}
