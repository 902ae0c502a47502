//! `coinslot plugins logs`: shows what a plugin of a running host has printed, and goes on with what it prints.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::PluginsArgs;
use crate::cli::Failure;
use crate::cli::operator::client::AdminClient;
use crate::cli::output::{Output, OutputFormat};
use crate::operate::records::LineRecord;

/// The pause between two looks at the lines of a plugin that is followed.
const FOLLOW_PAUSE: Duration = Duration::from_millis(500);

#[derive(Args, Clone, Debug)]
pub(super) struct LogsArgs {
    /// The file's name, with or without `.wasm`, or the name of the plugin that it serves.
    name: String,
    /// Go on with what it prints, until it is interrupted.
    #[arg(long)]
    follow: bool,
}

/// Prints the lines of a plugin, and goes on if that is asked for. A host that was restarted begins to count anew.
pub(super) async fn show(args: &PluginsArgs, logs: &LogsArgs) -> Result<(), Failure> {
    let client = AdminClient::of(&args.connection)?;
    let name: String = url::form_urlencoded::byte_serialize(logs.name.as_bytes()).collect();
    let path = format!("/api/v1/plugins/{}/logs", name.replace('+', "%20"));
    let format = args.format();
    let mut last = 0;
    loop {
        let after = last.to_string();
        let lines: Vec<LineRecord> = client.get(&path, &[("after", Some(&*after))]).await?;
        let mut out = Output::stdout();
        for line in &lines {
            match format {
                OutputFormat::Table => out.line(&format!("{} {} | {}", line.at, line.stream, line.text))?,
                OutputFormat::Json | OutputFormat::Csv => out.json(&json!(line))?,
            }
        }
        out.flush()?;
        if !logs.follow || out.is_closed() {
            return Ok(());
        }
        last = lines.last().map_or(last, |line| line.number);
        tokio::time::sleep(FOLLOW_PAUSE).await;
    }
}
