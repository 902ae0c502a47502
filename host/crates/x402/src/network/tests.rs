use super::*;

#[test]
fn a_person_who_misspells_a_name_reads_all_names() {
    assert_eq!(Network::parse_name("base-sepolia"), Ok(Network::eip155(84532)));
    let error = Network::parse_name("base-sepola").expect_err("no such name").to_string();
    assert!(error.contains("eip155:84532") && error.contains("or a name: base, base-sepolia, "), "{error}");
}

#[test]
fn caip_2_is_read_and_nothing_else() {
    for text in ["eip155:8453", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "abc:_", "a-1:x-_Z"] {
        assert_eq!(Network::parse(text).expect(text).as_str(), text);
    }
    let long = format!("eip155:{}", "1".repeat(33));
    for text in [
        "",
        ":",
        "base",
        "eip155",
        "eip155:",
        ":8453",
        "ei:1",
        "namespace:1",
        "EIP155:1",
        "eip155:1:2",
        "eip155: 1",
        " eip155:1",
        "eip155:1\n",
        "eip155:*",
        "eip155:\u{661}",
        &long,
    ] {
        assert!(Network::parse(text).is_err(), "{text}");
    }
}

#[test]
fn only_canonical_chain_ids_are_chain_ids() {
    let chain_id = |text: &str| Network::parse(text).expect(text).chain_id();
    assert_eq!(chain_id("eip155:8453"), Some(8453));
    assert_eq!(chain_id("eip155:0"), Some(0));
    assert_eq!(chain_id("eip155:18446744073709551615"), Some(u64::MAX));
    for text in ["eip155:08453", "eip155:00", "eip155:0x1", "eip155:18446744073709551616", "eip155:-1", "solana:1"] {
        assert_eq!(chain_id(text), None, "{text}");
    }
}

#[test]
fn version_1_names_lead_to_their_chains_and_back() {
    let mut written = 0;
    for (name, chain_id, is_written) in V1_NAMES {
        let network = Network::parse_v1(name).expect(name);
        assert_eq!(network, Network::eip155(*chain_id));
        assert_eq!(network.v1_name(), is_written.then_some(*name));
        written += usize::from(*is_written);
    }
    // The closed list of legacy clients has 17 names, 2 of them Solana's.
    assert_eq!(written, 15);
}

#[test]
fn version_1_also_understands_caip_2() {
    assert_eq!(Network::parse_v1("eip155:84532"), Ok(Network::eip155(84532)));
    assert!(Network::parse_v1("base_sepolia").is_err());
    assert!(Network::parse_v1("Base").is_err());
}

#[test]
fn names_are_unique() {
    for (index, (name, chain_id, _)) in V1_NAMES.iter().enumerate() {
        assert!(V1_NAMES[..index].iter().all(|(n, id, _)| n != name && id != chain_id), "{name}");
    }
}
