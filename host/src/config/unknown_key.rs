//! Advice for a key that does not exist: the table that has it, a key that is written alike, and all keys.

use std::collections::BTreeMap;

/// Says what to write instead of a key that this kind of table does not have. `known` has the keys of each kind of
/// table that was read so far.
pub(super) fn advice(known: &BTreeMap<String, Vec<&'static str>>, kind: &str, key: &str) -> String {
    let mut keys = known.get(kind).cloned().unwrap_or_default();
    keys.sort_unstable();
    let mut others =
        known.iter().filter(|(other, keys)| *other != kind && !other.contains(['.', '[']) && keys.contains(&key));
    if let (Some((other, _)), None) = (others.next(), others.next()) {
        let place = if other.is_empty() { "at the top of the file".to_owned() } else { format!("into [{other}]") };
        return format!("there is no such key here: it belongs {place}");
    }
    let listed = keys.join(", ");
    match keys.iter().find(|known| is_slip(known, key)) {
        Some(meant) => format!("there is no such key: did you mean {meant}? There are {listed}"),
        None => format!("there is no such key; there are {listed}"),
    }
}

/// True if one letter was left out, added or changed, or two neighbours were swapped.
fn is_slip(meant: &str, written: &str) -> bool {
    let (meant, written) = (meant.as_bytes(), written.as_bytes());
    let same = meant.iter().zip(written).take_while(|(one, other)| one == other).count();
    let (meant, written) = (&meant[same..], &written[same..]);
    match (meant, written) {
        ([a, b, meant @ ..], [c, d, written @ ..]) if (a, b) == (d, c) && meant == written => true,
        ([_, meant @ ..], [_, written @ ..]) if meant == written => true,
        ([_, meant @ ..], written) if meant == written => true,
        (meant, [_, written @ ..]) => meant == written,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_one_letter_or_two_neighbours() {
        for written in ["listn", "lisen", "listenn", "lsiten", "lixten", "isten", "liste", "listem"] {
            assert!(is_slip("listen", written), "{written}");
        }
        for written in ["", "lis", "hosts", "listening", "nlisten_"] {
            assert!(!is_slip("listen", written), "{written}");
        }
    }

    #[test]
    fn a_key_of_another_table_is_sent_there() {
        let table = |kind: &str, keys: &[&'static str]| (kind.to_owned(), keys.to_vec());
        let known = BTreeMap::from([
            table("", &["listen", "hosts"]),
            table("server", &["trusted_proxies", "keep_alive"]),
            table("plugin.NAME", &["file"]),
        ]);
        assert_eq!(advice(&known, "", "trusted_proxies"), "there is no such key here: it belongs into [server]");
        assert_eq!(advice(&known, "server", "hosts"), "there is no such key here: it belongs at the top of the file");
        assert_eq!(advice(&known, "", "file"), "there is no such key; there are hosts, listen");
        assert_eq!(advice(&known, "", "listn"), "there is no such key: did you mean listen? There are hosts, listen");
    }
}
