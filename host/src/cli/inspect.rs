//! `coinslot inspect`: what a component is, asks for and costs.

use std::path::PathBuf;

use super::Failure;
use crate::plugin::{DeclaredPrice, PluginInfo, Runtime, RuntimeConfig, Terms, inspect};

/// Show what a .wasm is: routes, prices, imports by what they mean, size, toolchain.
///
/// The component's `describe` runs in a sandbox without network, files or a payment.
#[derive(clap::Args, Clone, Debug)]
pub struct InspectArgs {
    /// The component.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
    /// Read the bytes only; run nothing.
    #[arg(long)]
    pub no_run: bool,
}

/// Prints the component. Ends with 1 if this host cannot load it.
pub async fn run(args: InspectArgs) -> Result<(), Failure> {
    let named = |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", args.file.display()));
    let wasm = std::fs::read(&args.file).map_err(|error| named(&error))?;
    let outside = inspect(&wasm).map_err(|error| named(&error))?;
    let described = match (&outside.refusal, args.no_run) {
        (Some(reason), _) => Some(Err(reason.clone())),
        (None, true) => None,
        (None, false) => Some(describe(&wasm).await),
    };
    if args.json {
        let document = serde_json::json!({
            "component": outside,
            "plugin": described.as_ref().map(|described| match described {
                Ok(info) => json(info),
                Err(reason) => serde_json::json!({ "error": reason }),
            }),
        });
        println!("{document:#}");
    } else {
        println!("{}: {} KB, sha256 {}", args.file.display(), outside.size.div_ceil(1024), outside.sha256);
        let tools = outside.toolchain.iter().map(|tool| format!("{} {}", tool.name, tool.version).trim().to_owned());
        println!("made with   {}", or_none(tools.collect()));
        println!("handler     {}", or_none(outside.handlers.clone()));
        println!("quotes      {}", if outside.quotes { "yes: it prices or checks each request" } else { "no" });
        let uses = outside.uses.iter().map(|import| format!("{} ({})", import.meaning, import.name));
        println!("can use     {}", or_none(uses.collect()));
        println!("denied      {}", or_none(outside.inert.clone()));
        if !outside.unknown.is_empty() {
            println!("unknown     {}", outside.unknown.join(", "));
        }
        if let Some(Ok(info)) = &described {
            println!("\n{} {}", info.name, info.version);
            for endpoint in &info.endpoints {
                let price = price(&endpoint.price);
                println!("  {:6} {:32} {:16} {}", endpoint.method, endpoint.path, price, endpoint.summary);
            }
        }
    }
    match described {
        Some(Err(reason)) => Err(named(&reason)),
        _ => Ok(()),
    }
}

async fn describe(wasm: &[u8]) -> Result<PluginInfo, String> {
    let artifacts = tempfile::tempdir().map_err(|error| error.to_string())?;
    let config =
        RuntimeConfig { instances: 1, compiler: std::env::current_exe().ok(), ..RuntimeConfig::new(artifacts.path()) };
    let runtime = Runtime::new(config).map_err(|error| error.to_string())?;
    let plugin = runtime.load(wasm, &Terms::default()).await.map_err(|error| error.to_string())?;
    Ok(plugin.info().clone())
}

fn price(price: &DeclaredPrice) -> String {
    match price {
        DeclaredPrice::Free => "free".to_owned(),
        DeclaredPrice::Exact(amount) => amount.clone(),
        DeclaredPrice::UpTo(amount) => format!("up to {amount}"),
        DeclaredPrice::Quoted(amount) => format!("quoted <= {amount}"),
    }
}

fn json(info: &PluginInfo) -> serde_json::Value {
    let endpoints = info.endpoints.iter().map(|endpoint| {
        serde_json::json!({
            "method": endpoint.method.as_str(),
            "path": endpoint.path,
            "price": price(&endpoint.price),
            "summary": endpoint.summary,
            "description": endpoint.description,
            "mimeType": endpoint.mime_type,
            "inputSchema": endpoint.input_schema,
            "outputSchema": endpoint.output_schema,
        })
    });
    serde_json::json!({ "name": info.name, "version": info.version, "endpoints": endpoints.collect::<Vec<_>>() })
}

fn or_none(list: Vec<String>) -> String {
    if list.is_empty() { "nothing".to_owned() } else { list.join(", ") }
}
