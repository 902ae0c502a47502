//! What is declared or configured wrong is refused by name. Nothing becomes free by mistake.

use std::path::Path;

use coinslot_tests::{Host, guest, run};

/// What a plugin declares, and what its author is told to do.
const WRONG: &[(&str, &str)] = &[
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
    ("/.well-known/x402 exact 0.01", "belong to the host: declare another path"),
    ("/.well-known/{*rest} free", "belong to the host: declare another path"),
];

/// The path that a plugin of the table declares, and the name of its file.
fn names(declaration: &str) -> (&str, String) {
    let path = declaration.split(' ').next().expect("a path");
    (path, format!("{}.wasm", path.trim_matches('/').replace(|c: char| !c.is_ascii_alphanumeric(), "-")))
}

/// Installs the guest that declares what is written into its bytes.
fn declare(folder: &Path, declaration: &str) {
    const SLOT: &[u8] = b"[declared]";
    let mut component = std::fs::read(guest("declared")).expect("a component");
    let at = component.windows(SLOT.len()).position(|bytes| bytes == SLOT).expect("its slot") + SLOT.len();
    component[at..at + 70].copy_from_slice(format!("{declaration:<70}").as_bytes());
    std::fs::write(folder.join(names(declaration).1), component).expect("a component");
}

/// The operator reads one line for each of them: which file, which route, what to do.
#[track_caller]
fn check_said(text: &str) {
    for (declaration, advice) in WRONG {
        let (path, file) = names(declaration);
        let said: Vec<_> = text.lines().filter(|line| line.contains(&file)).collect();
        let clear = |line: &str| line.contains(&format!("GET {path}")) && line.contains(advice);
        assert!(said.len() == 1 && clear(said[0]), "{declaration}: {said:#?}\n{text}");
    }
}

#[tokio::test]
async fn a_plugin_that_declares_a_wrong_price_or_path_is_refused_by_name_and_never_served() {
    let builder = Host::builder();
    let folder = builder.path("plugins");
    declare(&folder, "/sound exact 0.01");
    for (declaration, _) in WRONG {
        declare(&folder, declaration);
    }
    let host = builder.start().await;
    check_said(&host.log());
    for (declaration, _) in WRONG {
        let path = names(declaration).0.replace("{*rest}", "x402");
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

#[tokio::test]
async fn a_plugin_that_takes_every_path_does_not_speak_for_the_host() {
    let builder = Host::builder();
    declare(&builder.path("plugins"), "/{*all} free");
    let host = builder.start().await;
    assert_eq!(host.client().get(host.url("/any/path")).send().await.expect("an answer").status(), 200);
    for path in ["/.well-known/acme-challenge/token", "/.well-known/x402", "/%2ewell-known/x402", "/.well-known/"] {
        for method in [reqwest::Method::GET, reqwest::Method::HEAD, reqwest::Method::OPTIONS] {
            let reply = host.client().request(method.clone(), host.url(path)).send().await.expect("an answer");
            assert_eq!(reply.status(), 404, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn no_plugin_takes_requests_of_one_that_is_in_force() {
    let builder = Host::builder().plugin("echo.wasm", &guest("echo")).plugin("quoter.wasm", &guest("quoter"));
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
        // By another method, and still in the way of the owner's.
        ("/quoter/special free", Some("quoter.wasm")),
        ("/quoter/{any} free", None),
        ("POST:/{*all} free", None),
        ("/{*all} free", None),
    ] {
        declare(&part, declaration);
        let file = names(declaration).1;
        let said = |what: &str| host.log().matches(what).count();
        let (good, bad) = (said("new.wasm is active"), said("new.wasm is not active"));
        std::fs::rename(part.join(&file), folder.join("new.wasm")).expect("a rename");
        let start = std::time::Instant::now();
        while said("new.wasm is active") == good && said("new.wasm is not active") == bad {
            assert!(start.elapsed() < std::time::Duration::from_secs(30), "{declaration}: {}", host.log());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(said("new.wasm is active") > good, owner.is_none(), "{declaration}: {}", host.log());
        if let Some(owner) = owner {
            let log = host.log();
            let line = log.lines().rfind(|line| line.contains("new.wasm is not active")).expect("a reason");
            assert!(line.contains(owner), "{declaration}: {line}");
        }
        let quoted = host.client().post(host.url("/quoter/special?params")).send().await.expect("an answer");
        assert_eq!(quoted.status(), 422, "{declaration}: not answered by its owner");
        if declaration == "/{*all} free" {
            let other = host.client().get(host.url("/quoter/special")).send().await.expect("an answer");
            assert_eq!((other.status().as_u16(), &other.headers()["allow"]), (405, &"POST, OPTIONS".parse().unwrap()));
            let unowned = host.client().get(host.url("/elsewhere")).send().await.expect("an answer");
            assert_eq!(unowned.status(), 200);
        }
        for (method, status) in [(reqwest::Method::GET, 200), (reqwest::Method::POST, 402)] {
            let reply = host.client().request(method, host.url("/echo")).send().await.expect("an answer");
            assert_eq!(reply.status(), status, "{declaration}");
            assert_ne!(reply.text().await.expect("text"), "\"served\"", "{declaration}");
        }
        // So that each comes to a place that is free.
        std::fs::remove_file(folder.join("new.wasm")).expect("a file to remove");
    }
}

#[test]
fn a_configuration_that_could_take_no_money_is_refused_with_its_key() {
    const PAY_TO: &str = "pay_to = \"0xC0140eEa19bD90a7cA75882d5218eFaF20426e42\"";
    let accept = |lines: &str| format!("[[accept]]\nnetwork = \"base\"\n{lines}");
    let dir = tempfile::tempdir().expect("a directory");
    for (config, key) in [
        (String::new(), "accept: name at least one asset"),
        ("accept = []".to_owned(), "accept: name at least one asset"),
        ("[[accept]]".to_owned(), "missing field `network`"),
        (accept(""), "missing field `pay_to`"),
        (accept("pay_to = \"\""), "accept[0].pay_to: `` is not an address"),
        (accept("pay_to = \"0x0000000000000000000000000000000000000000\""), "accept[0].pay_to: the zero address"),
        (accept("pay_to = \"0xc0140eEa19bD90a7cA75882d5218eFaF20426e42\""), "accept[0].pay_to: "),
        (accept("pay_to = \"shop.eth\""), "accept[0].pay_to: `shop.eth` is not an address"),
        (accept(&format!("{PAY_TO}\nasset = \"\"")), "accept[0].asset: "),
        (accept(&format!("{PAY_TO}\nasset = \"DOGE\"")), "accept[0].asset: no `DOGE` is known on eip155:8453"),
        (accept(&format!("{PAY_TO}\nasset = \"0x12\"")), "accept[0].asset: `0x12` is not an address"),
        (accept(&format!("{PAY_TO}\nasset = \"0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913\"")), "accept[0].asset: "),
        (accept(&format!("{PAY_TO}\nfacilitator = \"other\"")), "accept[0].facilitator: "),
        (accept(&format!("{PAY_TO}\nprice = \"0\"")), "unknown field `price`"),
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
