use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::config::reader::Reader;
use crate::config::tests::{GOOD, read_text, uncommented_example};
use crate::config::{document, types::Config};

fn read(more: &str) -> Config {
    read_text(&format!("{GOOD}{more}"), "/srv").unwrap_or_else(|problems| panic!("{problems:?} in {more}"))
}

/// The path of a setting without names of the operator's choice, as [`Reader::known`] writes it.
fn kind(setting: &Setting) -> String {
    let mut table = setting.table.clone();
    while let Some((start, end)) = table.find('[').filter(|at| !table[*at..].starts_with("[]")).zip(table.rfind(']')) {
        table.replace_range(start + 1..end, "");
    }
    for name in ["plugin.rates", "facilitator.own", "facilitator.other", "facilitator.cdp"] {
        if let Some(rest) = table.strip_prefix(name) {
            table = format!("{}.NAME{rest}", name.split_once('.').expect("a name").0);
        }
    }
    if let Some((before, _)) = table.split_once(".routes.") {
        table = format!("{before}.routes.ROUTE");
    }
    Setting { table, ..setting.clone() }.path()
}

/// The page of the configuration showed nine settings, and nobody could tell what the others were.
#[test]
fn every_key_that_the_parser_knows_is_a_setting_and_every_setting_is_such_a_key() {
    let (mut known, mut listed) = (BTreeSet::new(), BTreeSet::new());
    for with_alternatives in [false, true] {
        let reader = Reader::default();
        let text = uncommented_example(with_alternatives);
        let config = document::config(&mut reader.document(&text).expect("TOML"), Path::new(""));
        known.extend(reader.known());
        listed.extend(settings(&config, &config).iter().map(kind));
        assert_eq!(reader.into_problems(), Vec::<String>::new());
    }
    // Those of one plugin are listed as far as they differ from those of all, which the same code lists.
    let of_one = |path: &str| path.starts_with("plugin.NAME.limits.") || path.starts_with("plugin.NAME.health.");
    let is_within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let is_listed = |key: &str| listed.iter().any(|kind| is_within(kind, key) || is_within(key, &format!("{kind}[]")));
    let missing: Vec<_> = known.iter().filter(|key| !of_one(key) && !is_listed(key)).collect();
    assert!(missing.is_empty(), "no setting is {missing:#?} among {listed:#?}");
    let is_named =
        |kind: &str| known.contains(kind) || kind.starts_with('[') || kind.starts_with("plugin.NAME.config.");
    let unknown: Vec<_> = listed.iter().filter(|kind| !is_named(kind)).collect();
    assert!(unknown.is_empty(), "the parser does not know {unknown:#?}");
}

#[test]
fn a_file_that_sets_little_has_the_defaults_but_for_that() {
    let config = read("[limits]\nmemory = \"128MiB\"\ncpu_time = \"2s\"\n[plugin.echo]\n");
    let shown = in_force(&config, &config);
    let own: Vec<String> = shown.iter().filter(|one| !one.setting.is_default()).map(|one| one.setting.path()).collect();
    let asset = "accept[eip155:8453/USDC]";
    let expected = ["listen", "public_url", "accept", &format!("{asset}.network"), &format!("{asset}.pay_to")];
    let expected: Vec<&str> = expected.into_iter().chain(["limits.cpu_time", "facilitator.main.url"]).collect();
    assert_eq!(own, expected);
    let value = |path: &str| {
        let found = shown.iter().find(|one| one.setting.path() == path).unwrap_or_else(|| panic!("no {path}"));
        found.setting.value.as_ref().map(Value::shown)
    };
    for (path, expected) in [
        ("server.keep_alive", "75s"),
        ("server.max_held_bytes", "256MiB"),
        ("state", "/srv/.coinslot"),
        ("flows", "authorization, upfront"),
        ("accept[eip155:8453/USDC].max_timeout", "5m"),
        ("accept[eip155:8453/USDC].max_unsettled", "100"),
        ("log.level", "coinslot=info,warn"),
        ("plugin.echo.validate", "input"),
        ("plugin.echo.pages", "sandboxed"),
        ("facilitator.main.confirmations", "1"),
    ] {
        assert_eq!(value(path).as_deref(), Some(expected), "{path}");
    }
    assert_eq!(value("tls.cert"), None);
}

/// A reload leaves what waits for a restart as it is, and records everything else as applied.
#[test]
fn a_change_takes_effect_at_a_reload_or_waits_and_is_listed_once() {
    const OTHER: &str = "0x00000000000000000000000000000000000000AA";
    let accept = |asset: &str| format!("[[accept]]\nnetwork = \"base-sepolia\"\npay_to = \"{OTHER}\"\n{asset}");
    let started = read("");
    let of = |next: &Config, when: TakesEffect| -> Vec<String> {
        let found = changes(&started, next, &started).into_iter().filter(|change| change.takes_effect == when);
        found.map(|change| change.path).collect()
    };
    let plugin = "[plugin.echo]\nhttp = [\"https://a.example\"]\n[plugin.echo.limits]\nmemory = \"64MiB\"\n";
    let allow = "[[allow]]\nrequests = 2\nper = \"address\"\nevery = \"1d\"\n";
    let webhook = "[[webhook]]\nurl = \"https://ops.example.com/\"\nsecret_env = \"S\"\n";
    for (text, at_reload, at_restart) in [
        ("[limits]\ncpu_time = \"2s\"\n", vec!["limits.cpu_time"], vec![]),
        ("[limits]\nmax_instances = 7\n", vec![], vec!["limits.max_instances"]),
        ("[health]\nrollback = true\n", vec!["health.rollback"], vec![]),
        ("[server]\nkeep_alive = \"7s\"\n", vec![], vec!["server.keep_alive"]),
        (plugin, vec!["plugin.echo.http", "plugin.echo.limits.memory"], vec![]),
        (
            allow,
            ["per", "requests", "every"]
                .map(|key| match key {
                    "per" => "allow[every plugin, every route, per address].per",
                    "requests" => "allow[every plugin, every route, per address].requests",
                    _ => "allow[every plugin, every route, per address].every",
                })
                .to_vec(),
            vec![],
        ),
        ("[payers]\ndeny = [\"0x00000000000000000000000000000000000000AA\"]\n", vec!["payers.deny"], vec![]),
        ("[log]\nlevel = \"debug\"\n", vec!["log.level"], vec![]),
        ("[admin]\n", vec![], vec!["[admin]"]),
        ("[telemetry]\nsample = 0.5\n", vec![], vec!["[telemetry]", "telemetry.sample"]),
        (
            webhook,
            vec![],
            vec!["webhook[https://ops.example.com/].url", "webhook[https://ops.example.com/].secret_env"],
        ),
    ] {
        let next = read(text);
        assert_eq!(of(&next, TakesEffect::Reload), at_reload, "{text}");
        assert_eq!(of(&next, TakesEffect::Restart), at_restart, "{text}");
        assert_eq!(needs_restart(&started, &next), at_restart, "{text}");
        let waiting: Vec<String> = in_force(&started, &next)
            .iter()
            .filter(|one| one.waiting.is_some())
            .map(|one| one.setting.path())
            .collect();
        assert_eq!(waiting, at_restart, "{text}");
    }
    // A new asset waits with all that is said of it. One that is gone is not taken any more at once.
    let two = read(&accept(""));
    let waits = of(&two, TakesEffect::Restart);
    assert!(waits.iter().all(|path| path.starts_with("accept[eip155:84532/USDC].")) && waits.len() > 1, "{waits:?}");
    assert_eq!(of(&two, TakesEffect::Reload), Vec::<String>::new());
    assert_eq!(needs_restart(&two, &started), Vec::<String>::new());
    let gone: Vec<String> = changes(&two, &started, &two).into_iter().map(|change| change.path).collect();
    assert!(gone.contains(&"accept".to_owned()), "{gone:?}");
    // A receiver is another one at once, and a facilitator's address is not.
    let moved = read_text(&GOOD.replace("0xC0140eEa19bD90a7cA75882d5218eFaF20426e42", OTHER), "/srv").expect("good");
    assert_eq!(of(&moved, TakesEffect::Reload), ["accept[eip155:8453/USDC].pay_to"]);
    let elsewhere = read_text(&GOOD.replace("facilitator.example.com", "other.example.com"), "/srv").expect("good");
    assert_eq!(of(&elsewhere, TakesEffect::Restart), ["facilitator.main.url"]);
}

#[test]
fn a_change_of_a_plugin_is_told_with_what_was_in_force_before() {
    let before = read("[limits]\nmemory = \"64MiB\"\n");
    let after = read(
        "[limits]\nmemory = \"64MiB\"\n[plugin.echo.limits]\nmemory = \"32MiB\"\n[plugin.echo.routes.\"GET /x\"]\n\
         price = \"0.05\"\n",
    );
    let told: Vec<_> = changes(&before, &after, &before)
        .into_iter()
        .map(|change| (change.path, change.before.unwrap_or_default(), change.after.unwrap_or_default()))
        .collect();
    let row = |path: &str, before: &str, after: &str| (path.to_owned(), before.to_owned(), after.to_owned());
    let price = row("plugin.echo.routes.\"GET /x\".price", "as declared", "0.05");
    assert_eq!(told, [price, row("plugin.echo.limits.memory", "64MiB", "32MiB")]);
    let back = changes(&after, &before, &before);
    assert!(back.iter().any(|change| change.after.as_deref() == Some("64MiB")), "{back:?}");
}

#[test]
fn no_setting_shows_a_secret_and_its_change_is_seen_all_the_same() {
    let with = |word: &str| {
        let text = format!(
            "{}[plugin.echo.config]\ntoken = \"{word}\"\n[[webhook]]\nurl = \"https://ops.example.com/{word}\"\n\
             secret_env = \"S\"\n",
            GOOD.replace(
                "facilitator.example.com",
                &format!("user:{word}@facilitator.example.com/v2/{word}?key={word}")
            )
        );
        read_text(&text, "/srv").expect("a good file")
    };
    let (first, second) = (with("hunter2"), with("hunter3"));
    let shown = format!("{:?}", in_force(&first, &second));
    assert!(!shown.contains("hunter"), "{shown}");
    let told = changes(&first, &second, &first);
    assert!(!format!("{told:?}").contains("hunter"), "{told:?}");
    let token = told.iter().find(|change| change.path == "plugin.echo.config.token").expect("the change");
    assert_eq!((token.before.as_deref(), token.after.as_deref()), (Some("set"), Some("set, to another value")));
    assert!(told.iter().any(|change| change.path == "facilitator.main.url"), "{told:?}");
}

#[test]
fn each_setting_has_a_path_of_its_own() {
    let secret = "{ origin = \"https://a.example\", header = \"x-key\", value_env = \"K\" }";
    let other = "[[accept]]\nnetwork = \"base\"\nasset = \"0x60a3E35Cc302bFA44Cb288Bc5a4F316Fdb1adb42\"\ndecimals = 6\n\
                 eip712_name = \"USDC\"\neip712_version = \"2\"\npay_to = \"0xC0140eEa19bD90a7cA75882d5218eFaF20426e42\"\n";
    let config =
        read(&format!("{other}[plugin.echo]\nhttp = [\"https://a.example\"]\nsecrets = [{secret}, {secret}]\n"));
    let paths: Vec<String> = settings(&config, &config).iter().map(Setting::path).collect();
    let unique: BTreeSet<&String> = paths.iter().collect();
    assert_eq!(unique.len(), paths.len(), "{paths:#?}");
}

#[test]
fn a_long_list_is_shown_by_its_beginning_and_its_change_by_what_differs() {
    let list = |count: u8| {
        let accounts: Vec<String> = (0..count).map(|number| format!("\"0x{number:040x}\"")).collect();
        read(&format!("[payers]\ndeny = [{}]\n", accounts.join(", ")))
    };
    let (ten, eleven) = (list(10), list(11));
    let deny = in_force(&ten, &ten).into_iter().find(|one| one.setting.path() == "payers.deny").expect("the list");
    let shown = deny.setting.value.map(|value| value.shown()).expect("a value");
    assert!(shown.ends_with(" and 2 more"), "{shown}");
    let told = changes(&ten, &eleven, &ten);
    let added = "0x000000000000000000000000000000000000000A";
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].before.as_deref(), Some("10 entries"));
    assert_eq!(told[0].after, Some(format!("11 entries, among them {added}")));
}

/// The page of the configuration says of a key that it is hot, or waits for a restart: it must say what is true.
#[test]
fn the_page_says_when_a_change_takes_effect() {
    let reader = Reader::default();
    let text = uncommented_example(false);
    let config = document::config(&mut reader.document(&text).expect("TOML"), Path::new(""));
    let settings = settings(&config, &config);
    let (mut heading, mut column, mut compared) = ("", None, 0);
    for line in include_str!("../../../docs/configuration.md").lines() {
        heading = line.strip_prefix("## ").unwrap_or(heading);
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if cells.get(1).is_some_and(|cell| ["key", "table"].contains(cell)) {
            column = cells.iter().position(|cell| *cell == "change");
        }
        let (Some(column), Some(keys)) = (column, cells.get(1).filter(|cell| cell.starts_with('`'))) else { continue };
        let told = match cells[column] {
            "hot" => TakesEffect::Reload,
            "restart" => TakesEffect::Restart,
            other => panic!("{other} in {line}"),
        };
        for key in keys.split(", ").map(|key| key.trim_matches('`')) {
            // `max_instances` is of `[limits]` alone, and what a page says of a table holds for it in every place.
            let is_there = |setting: &&Setting| match setting.table.split(['.', '[']).next() {
                Some("") => heading == "The document",
                Some(top) => heading.contains(&format!("[{top}]")),
                None => false,
            };
            let found: Vec<_> = settings.iter().filter(|setting| setting.key == key).filter(is_there).collect();
            assert!(!found.is_empty(), "no setting is {key} below {heading}");
            for setting in found {
                assert_eq!(setting.takes_effect(), told, "{} below {heading}", setting.path());
                compared += 1;
            }
        }
    }
    assert!(compared > 25, "{compared} keys were compared");
}
