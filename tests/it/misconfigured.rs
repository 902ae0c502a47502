//! Refuses invalid declarations and configurations by name, so that no route becomes free by mistake.

use std::collections::BTreeSet;
use std::path::Path;

use coinslot_tests::{DevHost, declaring, guest, run};

/// An invalid declaration, and the advice to the plugin's author.
const INVALID: &[(&str, &str)] = &[
    ("/empty exact", "write a decimal amount such as 0.01"),
    ("/negative exact -1", "write a decimal amount such as 0.01"),
    ("/exponent exact 1e2", "write a decimal amount such as 0.01"),
    ("/separator exact 1,000", "write a decimal amount such as 0.01"),
    ("/word exact free", "write a decimal amount such as 0.01"),
    ("/zero exact 0", "a free endpoint is declared `free`"),
    ("/fine exact 0.0000001", "finer than the smallest unit of USDC, which has 6 decimals"),
    ("/doge exact 1 DOGE", "declare it in US dollars, or accept DOGE in an [[accept]] table"),
    ("/metered up-to 0.50", "declare `exact` or `quoted`"),
    ("/unquoted quoted 0.50", "export it, or use `exact`"),
    ("/.well-known/other exact 0.01", "belong to the host: declare another path"),
    ("/.well-known/{*rest} free", "belong to the host: declare another path"),
];

/// The path of a declaration, and the file name of a plugin that makes it.
fn names(declaration: &str) -> (&str, String) {
    let path = declaration.split(' ').next().expect("a path");
    (path, format!("{}.wasm", path.trim_matches('/').replace(|c: char| !c.is_ascii_alphanumeric(), "-")))
}

/// Installs the guest `declared` with this declaration.
fn declare(folder: &Path, declaration: &str) {
    std::fs::write(folder.join(names(declaration).1), declaring(declaration)).expect("a component");
}

/// Asserts one line for each invalid declaration, with file, route and advice.
#[track_caller]
fn check_said(text: &str) {
    for (declaration, advice) in INVALID {
        let (path, file) = names(declaration);
        let is_progress = |line: &str| line.starts_with("compiling ");
        let said: Vec<_> = text.lines().filter(|line| line.contains(&file) && !is_progress(line)).collect();
        let clear = |line: &str| line.contains(&format!("GET {path}")) && line.contains(advice);
        assert!(said.len() == 1 && clear(said[0]), "{declaration}: {said:#?}\n{text}");
    }
}

#[tokio::test]
async fn a_plugin_with_an_invalid_price_or_path_is_refused_by_name_and_never_served() {
    let builder = DevHost::builder();
    let folder = builder.path("plugins");
    declare(&folder, "/sound exact 0.01");
    for (declaration, _) in INVALID {
        declare(&folder, declaration);
    }
    let host = builder.start().await;
    check_said(&host.log());
    for (declaration, _) in INVALID {
        let path = names(declaration).0.replace("{*rest}", "other");
        for method in ["GET", "HEAD", "POST"] {
            let request = host.client().request(method.parse().expect("a method"), host.url(&path));
            assert_eq!(request.send().await.expect("an answer").status(), 404, "{method} {declaration}");
        }
    }
    assert_eq!(host.client().get(host.url("/sound")).send().await.expect("an answer").status(), 402);

    let facilitator = host.facilitator();
    let check = |plugins: &str| {
        let config = format!(
            "plugins = \"{plugins}\"\n[[accept]]\nnetwork = \"base-sepolia\"\npay_to = \"{}\"\n[facilitator.far]\nurl = \"{}\"\n",
            host.seller(),
            facilitator.url(""),
        );
        std::fs::write(host.path("coinslot.toml"), config).expect("a file");
        run(&host.path("."), &["check"])
    };
    let refused = check("plugins");
    assert_eq!(refused.status.code(), Some(1));
    check_said(&String::from_utf8_lossy(&refused.stderr));
    std::fs::create_dir(host.path("sound")).expect("a folder");
    declare(&host.path("sound"), "/sound exact 0.01");
    let good = check("sound");
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
}

/// This failed as follows: no plugin could declare a path below /.well-known/, but one that declared `/{*path}` was
/// called for /.well-known/acme-challenge/TOKEN, where certificate authorities look for proof that the name is yours.
/// Such a path is now never routed to a plugin.
#[tokio::test]
async fn a_catch_all_plugin_does_not_get_the_hosts_own_paths() {
    let builder = DevHost::builder();
    declare(&builder.path("plugins"), "/{*all} free");
    let host = builder.start().await;
    assert_eq!(host.client().get(host.url("/any/path")).send().await.expect("an answer").status(), 200);
    for path in ["/.well-known/acme-challenge/token", "/.well-known/other", "/%2ewell-known/other", "/.well-known/"] {
        for method in [reqwest::Method::GET, reqwest::Method::HEAD, reqwest::Method::OPTIONS] {
            let reply = host.client().request(method.clone(), host.url(path)).send().await.expect("an answer");
            assert_eq!(reply.status(), 404, "{method} {path}");
        }
    }
}

/// This failed as follows: only equal templates of one method were a conflict. A new plugin could declare
/// /quoter/special beside another plugin's /quoter/{kind} and got its requests and its money; with another method it
/// made the owner's requests a 405, because the more special template answers for a path whatever its methods are.
#[tokio::test]
async fn no_plugin_takes_over_routes_of_an_active_one() {
    let builder = DevHost::builder().plugin("echo.wasm", &guest("echo")).plugin("quoter.wasm", &guest("quoter"));
    let host = builder.start().await;
    let (part, folder) = (host.path("part"), host.path(".coinslot/plugins"));
    std::fs::create_dir(&part).expect("a folder");
    for (declaration, owner) in [
        ("/echo free", Some("echo.wasm")),
        ("POST:/echo free", Some("echo.wasm")),
        ("POST:/quoter/special free", Some("quoter.wasm")),
        ("POST:/quoter/{any} exact 0.01", Some("quoter.wasm")),
        ("POST:/{first}/special free", Some("quoter.wasm")),
        ("POST:/quoter/{*rest} free", Some("quoter.wasm")),
        ("POST:/{first}/{*rest} free", Some("quoter.wasm")),
        ("POST:/quoter free", None),
        ("POST:/quoter/special/more free", None),
        // Another method, but the more special path would answer 405 to the owner's requests.
        ("/quoter/special free", Some("quoter.wasm")),
        ("/quoter/{any} free", None),
        ("POST:/{*all} free", None),
        ("/{*all} free", None),
    ] {
        declare(&part, declaration);
        let file = names(declaration).1;
        let said = |what: &str| host.log().matches(what).count();
        let (good, bad) = (said("new.wasm is active"), said("new.wasm was not loaded"));
        std::fs::rename(part.join(&file), folder.join("new.wasm")).expect("a rename");
        let start = std::time::Instant::now();
        while said("new.wasm is active") == good && said("new.wasm was not loaded") == bad {
            assert!(start.elapsed() < std::time::Duration::from_secs(30), "{declaration}: {}", host.log());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(said("new.wasm is active") > good, owner.is_none(), "{declaration}: {}", host.log());
        if let Some(owner) = owner {
            let log = host.log();
            let line = log.lines().rfind(|line| line.contains("new.wasm was not loaded")).expect("a reason");
            assert!(line.contains(owner), "{declaration}: {line}");
        }
        let quoted = host.client().post(host.url("/quoter/special?params")).send().await.expect("an answer");
        assert_eq!(quoted.status(), 422, "{declaration}: not answered by its owner");
        if declaration == "/{*all} free" {
            let other = host.client().get(host.url("/quoter/special")).send().await.expect("an answer");
            let allowed = other.headers()["allow"].to_str().expect("ASCII").split(", ").collect::<BTreeSet<_>>();
            assert_eq!((other.status().as_u16(), allowed), (405, BTreeSet::from(["OPTIONS", "POST"])));
            let unowned = host.client().get(host.url("/elsewhere")).send().await.expect("an answer");
            assert_eq!(unowned.status(), 200);
        }
        for (method, status) in [(reqwest::Method::GET, 200), (reqwest::Method::POST, 402)] {
            let reply = host.client().request(method, host.url("/echo")).send().await.expect("an answer");
            assert_eq!(reply.status(), status, "{declaration}");
            assert_ne!(reply.text().await.expect("text"), "\"served\"", "{declaration}");
        }
        // Each declaration starts without the previous one.
        std::fs::remove_file(folder.join("new.wasm")).expect("a file to remove");
    }
}

#[test]
fn a_configuration_that_cannot_take_payments_is_refused_with_its_key() {
    const PAY_TO: &str = "pay_to = \"0xC0140eEa19bD90a7cA75882d5218eFaF20426e42\"";
    let accept = |lines: &str| format!("[[accept]]\nnetwork = \"base\"\n{lines}");
    let dir = tempfile::tempdir().expect("a directory");
    for (config, key) in [
        (String::new(), "accept: name at least one asset"),
        ("accept = []".to_owned(), "accept: name at least one asset"),
        ("[[accept]]".to_owned(), "accept[0].network: is missing"),
        (accept(""), "accept[0].pay_to: is missing"),
        (accept("pay_to = \"\""), "accept[0].pay_to: `` is not an address"),
        (accept("pay_to = \"0x0000000000000000000000000000000000000000\""), "accept[0].pay_to: the zero address"),
        (accept("pay_to = \"0xc0140eEa19bD90a7cA75882d5218eFaF20426e42\""), "accept[0].pay_to: "),
        (accept("pay_to = \"shop.eth\""), "accept[0].pay_to: `shop.eth` is not an address"),
        (accept(&format!("{PAY_TO}\nasset = \"\"")), "accept[0].asset: "),
        (accept(&format!("{PAY_TO}\nasset = \"DOGE\"")), "accept[0].asset: no `DOGE` is known on eip155:8453"),
        (accept(&format!("{PAY_TO}\nasset = \"0x12\"")), "accept[0].asset: `0x12` is not an address"),
        (accept(&format!("{PAY_TO}\nasset = \"0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913\"")), "accept[0].asset: "),
        (accept(&format!("{PAY_TO}\nfacilitator = \"other\"")), "accept[0].facilitator: "),
        (accept(&format!("{PAY_TO}\nprice = \"0\"")), "accept[0].price: there is no such key"),
        (format!("hosts = [\"shop.example.com\"]\n{}", accept(PAY_TO)), "hosts: "),
    ] {
        let file = format!("{config}\n[facilitator.far]\nurl = \"https://facilitator.example.com\"\n");
        std::fs::write(dir.path().join("coinslot.toml"), file).expect("a file");
        for command in ["check", "serve"] {
            let refused = run(dir.path(), &[command]);
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(2), "{command} {config}: {said}");
            assert!(said.contains(key), "{command} says nothing of {key}:\n{said}");
        }
    }
}

/// This failed as follows: a facilitator that was down, or a secret that was not set, ended the check before any plugin was
/// loaded, so an operator mended one problem to read the next.
#[test]
fn check_reports_plugins_and_routes_whatever_else_is_wrong() {
    let dir = tempfile::tempdir().expect("a directory");
    let folder = dir.path().join("plugins");
    std::fs::create_dir(&folder).expect("a folder");
    declare(&folder, "/sound exact 0.01");
    declare(&folder, "/fine exact 0.0000001");
    let check = |more: &str| {
        let accepted = |asset: &str, facilitator: &str| {
            format!(
                "[[accept]]\nnetwork = \"{asset}\"\npay_to = \"0xC0140eEa19bD90a7cA75882d5218eFaF20426e42\"\n\
                 facilitator = \"{facilitator}\"\n[facilitator.{facilitator}]\nurl = \"http://127.0.0.1:1/{facilitator}\"\n"
            )
        };
        let config = format!("{}{}{more}", accepted("base-sepolia", "near"), accepted("base", "far"));
        std::fs::write(dir.path().join("coinslot.toml"), config).expect("a file");
        let checked = run(dir.path(), &["check"]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (checked.status.code(), text(&checked.stdout), text(&checked.stderr))
    };
    let (code, said, problems) = check("");
    assert_eq!(code, Some(1), "{problems}");
    assert!(said.contains("/sound") && !said.contains("is good"), "{said}");
    let at = |what: &str| problems.find(what).unwrap_or_else(|| panic!("nothing of {what}: {problems}"));
    assert!(at("fine.wasm") < at("127.0.0.1:1/near") && at("fine.wasm") < at("127.0.0.1:1/far"), "{problems}");

    let (code, said, problems) = check(
        "[plugin.sound]\nhttp = [\"https://api.example.com\"]\nsecrets = [{ origin = \"https://api.example.com\", header = \"x-key\", value_env = \"UNSET_VARIABLE\" }]\n",
    );
    assert_eq!(code, Some(2), "a configuration that is wrong has the code of its own: {problems}");
    assert!(said.contains("/sound"), "{said}");
    for what in ["UNSET_VARIABLE", "fine.wasm", "127.0.0.1:1/near", "127.0.0.1:1/far"] {
        assert!(problems.contains(what), "nothing of {what}: {problems}");
    }
}
