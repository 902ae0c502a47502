//! `coinslot discover`: proves to directories that a receiver of payments owns the host.

use std::path::PathBuf;

use alloy::primitives::{Address, eip191_hash_message, hex};
use clap::{Args, Subcommand};
use coinslot_evm::{Key, KeyError};

use super::{DEFAULT_CONFIG, Failure, dev_hosts, print};
use crate::config::Config;
use crate::discover::ownership;
use crate::host::all_receivers;

/// Prove to directories that the receiver of the payments owns the host.
///
/// Ends with 0 if there is a proof or a text to sign, 1 if there is none, and 2 for wrong usage or a wrong configuration.
#[derive(Args, Clone, Debug)]
pub struct DiscoverArgs {
    #[command(subcommand)]
    command: DiscoverCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum DiscoverCommand {
    Prove(ProveArgs),
}

/// Sign the public address by the key of a receiver, and print the line for `[discover]` in the configuration.
///
/// Without a key it prints the text that another wallet signs by `personal_sign` (EIP-191); --signature then checks what
/// the wallet gave. The key is only used here: a host needs no key of a receiver.
///
/// Ends with 0 if there is a proof or a text to sign, 1 if the signature or the key is not of a receiver or cannot be
/// read, and 2 for wrong usage or a wrong configuration.
#[derive(Args, Clone, Debug)]
struct ProveArgs {
    /// The configuration, with the public address and the receivers.
    #[arg(short, long, default_value = DEFAULT_CONFIG, value_name = "FILE")]
    config: PathBuf,
    /// The file with the receiver's private key.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key_env", "signature"])]
    key_file: Option<PathBuf>,
    /// The environment variable with the receiver's private key.
    #[arg(long, value_name = "NAME", conflicts_with = "signature")]
    key_env: Option<String>,
    /// Check a signature that a wallet made: 0x and 130 hexadecimal digits.
    #[arg(long, value_name = "SIGNATURE")]
    signature: Option<String>,
}

/// Runs the command.
pub fn run(args: &DiscoverArgs) -> Result<(), Failure> {
    match &args.command {
        DiscoverCommand::Prove(args) => prove(args),
    }
}

fn prove(args: &ProveArgs) -> Result<(), Failure> {
    let config = dev_hosts::configuration(&args.config)?;
    let (origin, receivers) = (origin(&config)?, all_receivers(&config));
    let failed = |error: KeyError| Failure::new(error.to_string());
    let key = match (&args.key_file, &args.key_env) {
        (Some(file), _) => Some(Key::from_file(file).map_err(failed)?),
        (None, Some(name)) => Some(Key::from_env(name).map_err(failed)?),
        (None, None) => None,
    };
    let proof = match (key, &args.signature) {
        (Some(key), _) => {
            check(key.address(), &receivers, "the key is that of")?;
            let signature = key.sign(eip191_hash_message(&origin)).map_err(failed)?;
            hex::encode_prefixed(signature.as_bytes())
        }
        (None, Some(signature)) => {
            let advice = format!("sign exactly this text by personal_sign: {origin}");
            let (signer, proof) = ownership::signed(&origin, signature)
                .ok_or_else(|| Failure::new(format!("this is no signature: {advice}")))?;
            check(signer, &receivers, &format!("{advice}. As a signature of it, it would be of"))?;
            proof
        }
        (None, None) => return ask(&origin, &receivers),
    };
    print::line(format_args!("ownership_proofs = [\"{proof}\"]"))?;
    Ok(())
}

/// The origin that directories know the host by.
fn origin(config: &Config) -> Result<String, Failure> {
    if config.server.public_url.is_none() {
        let advice = "public_url: name the address by which clients reach this host: the proof is about it";
        return Err(Failure::usage(advice));
    }
    Ok(ownership::origin(&config.origin(config.server.listen)))
}

fn check(signer: Address, receivers: &[Address], what: &str) -> Result<(), Failure> {
    if receivers.contains(&signer) {
        return Ok(());
    }
    let names: Vec<String> = receivers.iter().map(ToString::to_string).collect();
    Err(Failure::new(format!("{what} {signer}, which receives nothing here; the receivers are {}", names.join(", "))))
}

/// Prints what another wallet has to sign.
fn ask(origin: &str, receivers: &[Address]) -> Result<(), Failure> {
    print::line("Sign this text, without a line break, by personal_sign with the wallet of a receiver:\n")?;
    print::line(format_args!("    {origin}\n"))?;
    print::line("Receivers:")?;
    for receiver in receivers {
        print::line(format_args!("    {receiver}"))?;
    }
    print::line("\nThen check the signature: coinslot discover prove --signature 0x...")
}
