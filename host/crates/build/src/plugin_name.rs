//! Makes the name of a plugin of the name of its file, folder or package.

/// Most characters of a name: the contract's limit.
const MOST: usize = 64;

/// A name that the contract allows: lower-case letters, digits and hyphens, a letter first. `Quote_of Day` is
/// quote-of-day; a text without a letter is plugin.
///
/// The builder of plugins in Python has the same rule. `tests/fixtures/plugin-names.txt` holds both to it.
pub fn plugin_name(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join("-");
    let name = name.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let name = name[..name.len().min(MOST)].trim_end_matches('-');
    if name.is_empty() { "plugin".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::plugin_name;

    const TABLE: &str = include_str!("../../../../tests/fixtures/plugin-names.txt");

    #[test]
    fn the_shared_table_of_names_holds() {
        let mut cases = 0;
        for line in TABLE.split('\n').filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, text) = line.split_once(' ').expect("a name and a text");
            assert_eq!(plugin_name(text), name, "{text:?}");
            cases += 1;
        }
        assert!(cases > 10, "{cases} cases");
    }
}
