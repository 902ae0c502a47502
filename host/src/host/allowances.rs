//! Turns the configuration of allowances into the rules that requests are served by; files of payers are read here.

use std::path::Path;

use super::error::HostError;
use crate::allowance::{AllowancePolicy, PayerList, PayerRules};
use crate::config::{AllowanceConfig, PayerSource};

/// The largest file of payers, in bytes: some hundred thousand.
const LARGEST: u64 = 16 << 20;

/// The rules. Fails with every file that cannot be read, and every line that is no account.
pub(super) fn read(config: &AllowanceConfig) -> Result<AllowancePolicy, HostError> {
    let mut problems = Vec::new();
    let mut list = |key: &str, source: &Option<PayerSource>| {
        let source = source.as_ref()?;
        match payers(source) {
            Ok(list) => Some(list),
            Err(found) => {
                problems.extend(found.into_iter().map(|problem| format!("payers.{key}: {problem}")));
                None
            }
        }
    };
    let (allow, deny) = (list("allow_file", &config.allow), list("deny_file", &config.deny));
    if allow.as_ref().is_some_and(PayerList::is_empty) {
        problems.push("payers.allow_file: the file names nobody, so nobody could pay: name who may".to_owned());
    }
    if !problems.is_empty() {
        return Err(HostError::Config(problems.join("\n")));
    }
    let payers = PayerRules { allow, deny: deny.unwrap_or_default() };
    Ok(AllowancePolicy { allowances: config.allowances.clone(), payers })
}

/// The accounts of a list, with those of its file.
fn payers(source: &PayerSource) -> Result<PayerList, Vec<String>> {
    let mut list = source.accounts.clone();
    let Some(file) = &source.file else { return Ok(list) };
    let text = text(file).map_err(|problem| vec![format!("{}: {problem}", file.display())])?;
    let mut problems = Vec::new();
    for (number, line) in text.lines().enumerate() {
        // A remark stands behind #.
        let account = line.split('#').next().unwrap_or_default().trim();
        if !account.is_empty()
            && let Err(problem) = list.add(account)
        {
            problems.push(format!("{}, line {}: {problem}", file.display(), number + 1));
        }
        // As many as somebody reads.
        if problems.len() >= 10 {
            break;
        }
    }
    if problems.is_empty() { Ok(list) } else { Err(problems) }
}

fn text(file: &Path) -> Result<String, String> {
    let bytes = std::fs::metadata(file).map_err(|error| error.to_string())?.len();
    if bytes > LARGEST {
        return Err(format!("it has {bytes} bytes, and at most {LARGEST} are read"));
    }
    std::fs::read_to_string(file).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_payers_has_an_account_in_each_line_and_its_mistakes_are_named_by_line() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("denied.txt");
        let deny = |text: &str| {
            std::fs::write(&file, text).expect("a file");
            let deny = PayerSource { accounts: PayerList::default(), file: Some(file.clone()) };
            read(&AllowanceConfig { deny: Some(deny), ..AllowanceConfig::default() })
        };
        let good = "# fraud\n0x70997970C51812dc3A010C7d01b50e0d17dc79C8 # in March\n\n";
        assert_eq!(deny(good).expect("a list").payers.deny.len(), 1);
        let problem = deny("0x1\nalice\n").expect_err("no accounts").to_string();
        for part in ["payers.deny_file", "denied.txt, line 1", "denied.txt, line 2", "`alice` is no account"] {
            assert!(problem.contains(part), "{part}: {problem}");
        }
        let nobody = PayerSource { accounts: PayerList::default(), file: Some(dir.path().join("none.txt")) };
        std::fs::write(dir.path().join("none.txt"), "# nobody\n").expect("a file");
        let config = AllowanceConfig { allow: Some(nobody), ..AllowanceConfig::default() };
        assert!(read(&config).is_err(), "an empty allow list would close the host by a slip");
    }
}
