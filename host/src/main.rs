//! The binary: parses the arguments, sets up logging, runs one command, and ends with its exit code.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use coinslot::cli::{self, Failure};
#[cfg(feature = "dev")]
use coinslot::logging::GuestLines;
use coinslot::logging::{self, EscapedJson, FlushAtEnd, StderrLog, WithRequestId};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::debug_fn;

/// Several times faster than the C library's allocator for fresh instances, which allocate much and free it soon.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Drop in a .wasm, get a paid endpoint.
///
/// Coinslot serves WebAssembly components from a folder and takes payment for each request by x402:
/// USDC on Base and other chains, paid by any x402 client.
#[derive(Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
struct CliArguments {
    #[command(subcommand)]
    command: CliCommand,
    /// Log this to stderr: error, warn, info, debug, trace, or a filter such as `coinslot=debug`. The default is
    /// `coinslot=info,warn`. For `test` it is `off`; for `dev` it leaves out changes of plugins, which `dev` prints.
    #[arg(long, global = true, env = "COINSLOT_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// Log as JSON, a line per event.
    #[arg(long, global = true)]
    log_json: bool,
}

#[derive(Subcommand)]
enum CliCommand {
    #[cfg(feature = "dev")]
    New(cli::new::NewArgs),
    #[cfg(feature = "dev")]
    Build(cli::build::BuildArgs),
    #[cfg(feature = "dev")]
    Wit(cli::wit::WitArgs),
    #[cfg(feature = "dev")]
    Test(cli::test::TestArgs),
    #[cfg(feature = "dev")]
    Pack(cli::pack::PackArgs),
    #[cfg(feature = "dev")]
    Dev(cli::dev::DevArgs),
    Init(cli::init::InitArgs),
    Serve(cli::serve::ServeArgs),
    Check(cli::check::CheckArgs),
    Inspect(cli::inspect::InspectArgs),
    Plugins(cli::plugins::PluginsArgs),
    Status(cli::operator::StatusArgs),
    Payments(cli::operator::PaymentsArgs),
    Revenue(cli::operator::RevenueArgs),
    Owed(cli::operator::OwedArgs),
    Failed(cli::operator::FailedArgs),
    Free(cli::operator::FreeArgs),
    Webhooks(cli::operator::WebhooksArgs),
    Audit(cli::operator::AuditArgs),
    LogLevel(cli::operator::LogLevelArgs),
    Config(cli::operator::ConfigArgs),
    Pay(cli::pay::PayArgs),
    Doctor(cli::doctor::DoctorArgs),
    Mcp(cli::mcp::McpArgs),
    Ledger(cli::ledger::LedgerArgs),
    Keys(cli::keys::KeysArgs),
    Discover(cli::discover::DiscoverArgs),
    Backup(cli::backup::BackupArgs),
    Restore(cli::restore::RestoreArgs),
    Health(cli::health::HealthArgs),
    Facilitator(cli::facilitator::FacilitatorArgs),
    #[command(hide = true)]
    Compile(cli::compile::CompileArgs),
}

impl CliCommand {
    /// The filter of the log, unless another is asked for. What `test` provokes are no events for an operator.
    fn default_log(&self) -> &'static str {
        match self {
            #[cfg(feature = "dev")]
            Self::Test(_) => "off",
            // `dev` prints these lines itself.
            #[cfg(feature = "dev")]
            Self::Dev(_) => "coinslot=info,coinslot::catalog::changes=off,warn",
            // The library's lines name its types; the command says the same in words, to the agent or at its end.
            Self::Mcp(_) => "coinslot=info,rmcp=off,warn",
            _ => logging::DEFAULT_LEVEL,
        }
    }
}

/// The most polls of tasks after which a busy worker looks for sockets and timers that are ready. Guests that compute
/// use up a millisecond in each poll, so with tokio's 61 a request waits for as many milliseconds at each of its steps.
const POLLS_BETWEEN_EVENTS: u32 = 6;

fn main() -> ExitCode {
    let arguments = CliArguments::parse();
    if let CliCommand::Compile(args) = arguments.command {
        return cli::compile::run(&args);
    }
    let _flush = FlushAtEnd::begin();
    if let Err(failure) = start_log(&arguments) {
        return end(&failure);
    }
    match &arguments.command {
        #[cfg(feature = "dev")]
        CliCommand::Build(args) => return ended(cli::build::run(args)),
        #[cfg(feature = "dev")]
        CliCommand::New(args) => return ended(cli::new::run(args)),
        #[cfg(feature = "dev")]
        CliCommand::Wit(args) => return ended(cli::wit::run(args)),
        CliCommand::Backup(args) => return ended(cli::backup::run(args)),
        CliCommand::Restore(args) => return ended(cli::restore::run(args)),
        _ => {}
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = match runtime.enable_all().event_interval(POLLS_BETWEEN_EVENTS).build() {
        Ok(runtime) => runtime,
        Err(error) => return end(&Failure::new(format!("the async runtime cannot start: {error}"))),
    };
    let done = runtime.block_on(run(arguments.command));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    ended(done)
}

/// Runs a command within the runtime; those that `main` has run already do nothing here.
async fn run(command: CliCommand) -> Result<(), Failure> {
    match command {
        #[cfg(feature = "dev")]
        CliCommand::Test(args) => cli::test::run(args).await,
        #[cfg(feature = "dev")]
        CliCommand::Pack(args) => cli::pack::run(args).await,
        #[cfg(feature = "dev")]
        CliCommand::Dev(args) => cli::dev::run(args).await,
        CliCommand::Init(args) => cli::init::run(args).await,
        CliCommand::Serve(args) => cli::serve::run(args).await,
        CliCommand::Check(args) => cli::check::run(args).await,
        CliCommand::Inspect(args) => cli::inspect::run(args).await,
        CliCommand::Plugins(args) => cli::plugins::run(args).await,
        CliCommand::Status(args) => cli::operator::status(args).await,
        CliCommand::Payments(args) => cli::operator::payments(args).await,
        CliCommand::Revenue(args) => cli::operator::revenue(args).await,
        CliCommand::Owed(args) => cli::operator::owed(args).await,
        CliCommand::Failed(args) => cli::operator::failed(args).await,
        CliCommand::Free(args) => cli::operator::free(args).await,
        CliCommand::LogLevel(args) => cli::operator::log_level(args).await,
        CliCommand::Audit(args) => cli::operator::audit(args).await,
        CliCommand::Webhooks(args) => cli::operator::webhooks(args).await,
        CliCommand::Config(args) => cli::operator::config(args).await,
        CliCommand::Pay(args) => cli::pay::run(args).await,
        CliCommand::Doctor(args) => cli::doctor::run(args).await,
        CliCommand::Mcp(args) => cli::mcp::run(args).await,
        CliCommand::Ledger(args) => cli::ledger::run(args).await,
        CliCommand::Keys(args) => cli::keys::run(args),
        CliCommand::Discover(args) => cli::discover::run(&args),
        CliCommand::Facilitator(args) => cli::facilitator::run(args).await,
        #[cfg(feature = "dev")]
        CliCommand::New(_) | CliCommand::Build(_) | CliCommand::Wit(_) => Ok(()),
        CliCommand::Health(args) => cli::health::run(args).await,
        CliCommand::Backup(_) | CliCommand::Restore(_) | CliCommand::Compile(_) => Ok(()),
    }
}

fn ended(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => end(&failure),
    }
}

fn end(failure: &Failure) -> ExitCode {
    logging::say(&format!("coinslot: {}", failure.message));
    ExitCode::from(failure.code)
}

fn start_log(arguments: &CliArguments) -> Result<(), Failure> {
    let filter = arguments.log.as_deref().unwrap_or(arguments.command.default_log());
    let filter = logging::filter(filter).map_err(|error| Failure::usage(format!("--log {filter}: {error}")))?;
    // Colours are escapes, which a reader of a file or a journal would see. NO_COLOR is https://no-color.org.
    #[allow(clippy::disallowed_methods, reason = "https://no-color.org")]
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colours = std::io::stderr().is_terminal() && !plain;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(StderrLog).with_ansi(colours);
    if arguments.log_json {
        let builder = builder.json().map_event_format(EscapedJson).with_filter_reloading();
        if arguments.log.is_none() {
            logging::may_change(builder.reload_handle());
        }
        builder.init();
        return Ok(());
    }
    let builder = builder.compact().with_target(false).fmt_fields(debug_fn(logging::write_field).delimited(" "));
    match &arguments.command {
        #[cfg(feature = "dev")]
        CliCommand::Dev(_) => builder.map_event_format(GuestLines).init(),
        _ => {
            let lines = tracing_subscriber::fmt::format().compact().with_target(false).with_ansi(colours);
            let builder = builder.event_format(WithRequestId(lines)).with_filter_reloading();
            if arguments.log.is_none() {
                logging::may_change(builder.reload_handle());
            }
            builder.init();
        }
    }
    Ok(())
}
