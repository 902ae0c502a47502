//! `coinslot init`: writes the configuration of a host, checks it, and says what comes next.

mod answers;
mod document;
mod git;

use std::io::{ErrorKind, IsTerminal};
use std::path::{Path, PathBuf};

use coinslot_base::file;
use url::Url;

use super::check::{self, Findings};
use super::{DEFAULT_CONFIG, Failure, print};
use crate::config::Config;
use crate::logging;
use answers::{Answers, FacilitatorChoice, Settler};

/// The mode of the file, which holds no secret.
const MODE: u32 = 0o644;

/// Write the configuration of a host that sells, check it, and say what comes next.
///
/// On a terminal it asks for what no flag names: the network, the address that receives the money, and who settles. It
/// also makes the plugin folder, and in a folder of git it has the state and key files ignored. What `coinslot check`
/// finds, such as a gas wallet that is still empty, is printed.
///
/// Ends with 0 if the file is written (with --dry-run: could be written), whatever the check finds, 1 if it cannot be
/// written or is there already, 2 for wrong usage, as if an answer is missing.
#[derive(clap::Args, Clone, Debug)]
pub struct InitArgs {
    /// The file to write. The folders of plugins and of the state lie beside it.
    #[arg(short, long, default_value = DEFAULT_CONFIG, value_name = "FILE")]
    pub config: PathBuf,
    /// The chain: `base` and others carry real money, `base-sepolia` is a test network. Or as CAIP-2.
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<String>,
    /// The address that receives the money. Its checksum is checked.
    #[arg(long, value_name = "ADDRESS")]
    pub pay_to: Option<String>,
    /// The facilitator that settles: its URL, `cdp` for Coinbase's, or `own` for this host, which needs --rpc.
    #[arg(long, value_name = "URL")]
    pub facilitator: Option<FacilitatorChoice>,
    /// A node of the chain, by its JSON-RPC: this host settles through it, or checks with it what a facilitator says.
    #[arg(long, value_name = "URL")]
    pub rpc: Option<Url>,
    /// The origin that clients call, if a proxy stands in front: `https://api.example.com`.
    #[arg(long, value_name = "URL")]
    pub public_url: Option<Url>,
    /// Ask nothing.
    #[arg(short, long)]
    pub yes: bool,
    /// Replace a file that is there.
    #[arg(long)]
    pub force: bool,
    /// Do not ask chains and facilitators whether it would work.
    #[arg(long)]
    pub no_check: bool,
    /// Print the file that would be written, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Writes the files, and prints what was done and what to do next.
pub async fn run(args: InitArgs) -> Result<(), Failure> {
    if args.config.exists() && !args.force {
        return Err(is_there(&args.config));
    }
    let asks = !args.yes && std::io::stdin().is_terminal();
    let answers = Answers::of(&args, asks)?;
    let folder = args.config.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let text = document::text(&answers);
    let config = Config::of_text(&text, folder)?;
    if args.dry_run {
        logging::say(&format!("{} would be written: {}; nothing is changed", args.config.display(), answers.money()));
        return print::line(text.trim_end());
    }
    let plugins = config.plugins.folder;
    let has_made = !plugins.exists();
    std::fs::create_dir_all(&plugins).map_err(|error| Failure::new(format!("{}: {error}", plugins.display())))?;
    write(&args, &text)?;
    print::line(format_args!("wrote {}: {}", args.config.display(), answers.money()))?;
    if has_made {
        print::line(format_args!("made {}: put your plugins there, as .wasm files", shown(&plugins)))?;
    }
    match git::ignore(folder) {
        Ok(Some(ignored)) => {
            print::line(format_args!("added {} to {}", ignored.lines.join(", "), shown(&ignored.file)))?;
        }
        Ok(None) => {}
        Err(error) => print::line(format_args!("nothing is added to .gitignore: {error}"))?,
    }
    if !args.no_check {
        report(&args.config).await?;
    }
    print::line(next_steps(&args, &answers, &plugins))
}

fn is_there(config: &Path) -> Failure {
    let config = config.display();
    Failure::new(format!("{config} is there already: --force replaces it, and -c FILE writes another"))
}

fn write(args: &InitArgs, text: &str) -> Result<(), Failure> {
    let written = match args.force {
        true => file::replace_durably(&args.config, MODE, text.as_bytes()),
        false => file::create_durably(&args.config, MODE, text.as_bytes()),
    };
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => is_there(&args.config),
        _ => Failure::new(format!("{}: {error}", args.config.display())),
    })
}

/// Prints what `coinslot check` finds.
async fn report(config: &Path) -> Result<(), Failure> {
    let (notes, problems) = match check::examine(config).await {
        Ok(Findings { notes, problems, .. }) => (notes, problems),
        Err(failure) => (Vec::new(), vec![failure.message]),
    };
    for note in notes {
        print::line(note)?;
    }
    match problems.is_empty() {
        true => print::line(format_args!("{} is good", config.display())),
        false => print::line(format_args!("`coinslot check` finds: {}", problems.join("\n"))),
    }
}

fn next_steps(args: &InitArgs, answers: &Answers, plugins: &Path) -> String {
    let named =
        if args.config == Path::new(DEFAULT_CONFIG) { String::new() } else { format!(" -c {}", args.config.display()) };
    let mut steps = Vec::new();
    match &answers.settler {
        Settler::Own { .. } => {
            steps.push("export COINSLOT_GAS_KEY=0x..    # the key that pays for gas, and nothing else uses".to_owned());
            steps.push(format!("coinslot check{named}    # names the wallet of that key: send it ether for gas"));
        }
        Settler::Cdp { .. } => {
            steps.push("export CDP_API_KEY_ID=.. CDP_API_KEY_SECRET=..    # of its portal".to_owned())
        }
        Settler::Remote { .. } => {}
    }
    if !has_plugins(plugins) {
        steps.push(format!(
            "cp YOUR.wasm {}/    # `coinslot new NAME` begins a plugin, `coinslot build` makes the file",
            shown(plugins)
        ));
    }
    steps.push(format!("coinslot check{named}"));
    steps.push(format!("coinslot serve{named}"));
    format!("now:  {}", steps.join("\n      "))
}

/// True if a plugin is in the folder already.
fn has_plugins(folder: &Path) -> bool {
    let found = std::fs::read_dir(folder).into_iter().flatten().flatten();
    found.map(|entry| entry.path()).any(|path| path.extension().is_some_and(|extension| extension == "wasm"))
}

/// A path without `./` before it.
fn shown(path: &Path) -> std::path::Display<'_> {
    path.strip_prefix(".").unwrap_or(path).display()
}
