//! Checks of the configuration that are no such function.

use coinslot_sdk::check_config;

#[check_config(strict)]
fn with_an_option() -> Result<(), String> {
    Ok(())
}

#[check_config]
async fn waits() -> Result<(), String> {
    Ok(())
}

#[check_config]
fn with_an_argument(key: &str) -> Result<(), String> {
    Err(key.to_owned())
}

#[check_config]
fn without_a_result() {}

fn main() {}
