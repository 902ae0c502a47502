//! Changes prices, paths, receivers and texts of plugins by the configuration, without another build of them.

use std::time::Duration;

use alloy::primitives::{Address, address};
use coinslot_tests::{SELLER, ServeHost, TestChain, declaring, decode, guest, run};
use serde_json::Value;

const OTHER: Address = address!("0x00000000000000000000000000000000000007e5");
const THIRD: Address = address!("0x00000000000000000000000000000000000007e6");

const ACTIVE: &str = "the configuration is active";
const NOT_USED: &str = "the changed configuration is not used; the former one stays";

/// A request without a payment.
async fn ask(host: &ServeHost, method: &str, path: &str) -> reqwest::Response {
    pay(host, method, path, "").await
}

/// A request with a payment, or without one if it is empty.
async fn pay(host: &ServeHost, method: &str, path: &str, payment: &str) -> reqwest::Response {
    let mut request = reqwest::Client::new().request(method.parse().expect("a method"), host.url(path)).body("mine");
    if !payment.is_empty() {
        request = request.header("PAYMENT-SIGNATURE", payment);
    }
    request.send().await.expect("an answer")
}

async fn status(host: &ServeHost, method: &str, path: &str) -> u16 {
    ask(host, method, path).await.status().as_u16()
}

/// The challenge of a 402.
#[track_caller]
fn required(challenge: &reqwest::Response) -> Value {
    assert_eq!(challenge.status(), 402);
    decode(challenge.headers()["payment-required"].to_str().expect("ASCII"))
}

/// The amount of the preferred price, in atomic units.
async fn price(host: &ServeHost, method: &str, path: &str) -> String {
    required(&ask(host, method, path).await)["accepts"][0]["amount"].as_str().expect("an amount").to_owned()
}

/// Puts these lines behind a configuration, and waits until the host uses or refuses it, as it says for the
/// `times`th time.
async fn reload(host: &ServeHost, first: &str, more: &str, said: &str, times: usize) {
    host.write_configuration(&format!("{first}{more}"));
    host.wait_for_log(said, times).await;
}

/// The output of a command beside the host, and its exit code. The chain is in this process, and answers meanwhile.
async fn output(host: &ServeHost, arguments: &[&str]) -> (String, Option<i32>) {
    let (dir, arguments) = (host.path(""), arguments.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
    let output = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(&dir, &arguments)
    });
    let output = output.await.expect("a command");
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&text).into_owned(), output.status.code())
}

#[tokio::test]
async fn a_price_of_the_file_is_charged_and_an_earlier_offer_is_honoured_at_its_own() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let first = host.configuration();
    let offers = [ask(&host, "POST", "/echo").await, ask(&host, "POST", "/echo").await];
    let offered = [0, 1].map(|index| chain.payer(index).pay(&offers[index]).header());

    let route = "[plugin.echo.routes.\"POST /echo\"]\n";
    reload(&host, &first, &format!("{route}price = \"0.002\"\nsummary = \"Half price\"\n"), ACTIVE, 1).await;
    let challenge = required(&ask(&host, "POST", "/echo").await);
    assert_eq!(challenge["accepts"][0]["amount"], "2000");
    assert_eq!(challenge["resource"]["description"], "Half price", "{challenge}");
    let bought = host.buy(chain.payer(2), "/echo", Duration::from_secs(10)).await;
    assert_eq!(bought.statuses, [200], "{}", host.log());
    assert!(bought.answer.expect("an answer").contains("\"amount\":\"0.002\""));
    assert_eq!(chain.balance(SELLER).await, 2_000);

    assert_eq!(pay(&host, "POST", "/echo", &offered[0]).await.status(), 200, "{}", host.log());
    assert_eq!(chain.balance(SELLER).await, 12_000, "the offer's own price, and no third one");
    // Whatever else changes: the offer is honoured for as long as it said.
    reload(&host, &first, &format!("{route}price = 3\n"), ACTIVE, 2).await;
    assert_eq!(price(&host, "POST", "/echo").await, "3000000");
    assert_eq!(pay(&host, "POST", "/echo", &offered[1]).await.status(), 200, "{}", host.log());
    assert_eq!(chain.balance(SELLER).await, 22_000);
    reload(&host, &first, "", ACTIVE, 3).await;
    assert_eq!(price(&host, "POST", "/echo").await, "10000", "as declared");
}

#[tokio::test]
async fn free_becomes_paid_by_a_price_and_paid_becomes_free_by_the_word_alone() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let first = host.configuration();
    let turned = "[plugin.echo.routes]\n\"GET /echo\" = { price = \"0.003\" }\n\"POST /echo\" = { price = \"free\" }\n";
    reload(&host, &first, turned, ACTIVE, 1).await;
    let challenge = ask(&host, "GET", "/echo").await;
    assert_eq!(required(&challenge)["accepts"][0]["amount"], "3000");
    let payment = chain.payer(0).pay(&challenge).header();
    assert_eq!(pay(&host, "GET", "/echo", &payment).await.status(), 200, "{}", host.log());
    assert_eq!(chain.balance(SELLER).await, 3_000);
    assert_eq!(status(&host, "POST", "/echo").await, 200);

    let refused = "[plugin.echo.routes.\"POST /echo\"]\nprice = 0\n";
    reload(&host, &first, refused, NOT_USED, 1).await;
    let told = "plugin.echo.routes.\"POST /echo\".price: above zero; what costs nothing has `price = \"free\"`";
    assert!(host.log().contains(told), "{}", host.log());
    assert_eq!(status(&host, "POST", "/echo").await, 200, "what was decided before stays");
}

/// A plugin may check each request in its quote, and quotes as it declares.
#[tokio::test]
async fn a_plugin_that_checks_its_input_in_a_quote_is_sold_at_the_price_of_the_file() {
    // Built before the chain runs in this thread: the chain would not answer meanwhile.
    guest("primes");
    let chain = TestChain::start().await;
    let host = chain.serve(&["primes"], "[plugin.primes.routes.\"GET /api/primes\"]\nprice = \"0.05\"\n").await;
    let path = "/api/primes?count=3";
    let challenge = ask(&host, "GET", path).await;
    assert_eq!(required(&challenge)["accepts"][0]["amount"], "50000");
    let payment = chain.payer(0).pay(&challenge).header();
    let answer = pay(&host, "GET", path, &payment).await;
    assert_eq!(answer.status(), 200, "{}", host.log());
    assert_eq!(answer.text().await.expect("text"), "2\n3\n5\n");
    assert_eq!(chain.balance(SELLER).await, 50_000);
    assert_eq!(status(&host, "GET", "/api/primes?count=0").await, 400, "the check of the plugin holds");
}

#[tokio::test]
async fn a_quote_may_ask_as_much_as_the_operator_allows_and_never_more() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["quoter"], "").await;
    let first = host.configuration();
    let route = "[plugin.quoter.routes.\"POST /quoter/{kind}\"]\n";
    reload(&host, &first, &format!("{route}max_price = \"0.004\"\n"), ACTIVE, 1).await;
    assert_eq!(price(&host, "POST", "/quoter/x").await, "4000", "for the four bytes of the body");
    let dear = reqwest::Client::new().post(host.url("/quoter/x")).body("5 byt").send().await.expect("an answer");
    assert_eq!((dear.status().as_u16(), dear.headers().get("payment-required")), (422, None));
    let refusal: Value = dear.json().await.expect("JSON");
    assert_eq!((&refusal["error"], &refusal["charged"]), (&"price_too_high".into(), &"no".into()));
    assert!(refusal["message"].as_str().is_some_and(|text| text.contains("0.004 USDC")), "{refusal}");
    let bought = host.buy(chain.payer(0), "/quoter/x", Duration::from_secs(10)).await;
    assert_eq!(bought.statuses, [200], "{}", host.log());
    assert_eq!(chain.balance(SELLER).await, 4_000);

    for (refused, advice) in [
        ("price = \"0.01\"", "write `max_price` for the most that a quote may ask"),
        ("max_price = \"0.01\"\nprice = \"0.01\"", "write `price` for a price that is the same for each request"),
    ] {
        let before = host.log().matches(NOT_USED).count();
        reload(&host, &first, &format!("{route}{refused}\n"), NOT_USED, before + 1).await;
        assert!(host.log().contains(advice), "{}", host.log());
        assert_eq!(status(&host, "POST", "/quoter/x").await, 402);
    }
}

#[tokio::test]
async fn a_plugin_below_a_mount_is_sold_by_its_public_address_and_sees_its_own() {
    let chain = TestChain::start().await;
    let mounts = "[plugin.echo]\nmount = \"/v1\"\n[plugin.quoter]\nmount = \"/shop/by-length\"\n";
    let host = chain.serve(&["echo", "quoter"], mounts).await;
    assert_eq!(status(&host, "POST", "/echo").await, 404);
    let path = "/v1/echo?charge=no";
    let challenge = ask(&host, "POST", path).await;
    let url = required(&challenge)["resource"]["url"].as_str().expect("a URL").to_owned();
    assert!(url.ends_with(path), "{url}");
    let payment = chain.payer(0).pay(&challenge).header();
    let client = reqwest::Client::new();
    let forged = client.post(host.url(path)).body("mine").header("x-forwarded-prefix", "/forged");
    let answer = forged.header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "{}", host.log());
    let seen: Value = answer.json().await.expect("JSON");
    assert_eq!(seen["target"], "/echo?charge=no", "{seen}");
    let prefixes: Vec<&Value> =
        seen["headers"].as_array().expect("a list").iter().filter(|pair| pair[0] == "x-forwarded-prefix").collect();
    assert_eq!(prefixes, [&serde_json::json!(["x-forwarded-prefix", "/v1"])]);
    let (shown, _) = output(&host, &["ledger", "payments"]).await;
    assert!(shown.contains("POST /v1/echo"), "the books have the address that was paid: {shown}");

    let asked = ask(&host, "POST", "/shop/by-length/quoter/page?params").await;
    assert_eq!(asked.status(), 422);
    let seen: Value = asked.json().await.expect("JSON");
    assert_eq!(seen["message"], "POST /quoter/{kind} [(\"kind\", \"page\")]", "{seen}");
    let client = reqwest::Client::new();
    let quoted = || client.post(host.url("/shop/by-length/quoter/page"));
    let challenge = quoted().send().await.expect("an answer");
    let payment = chain.payer(1).pay(&challenge).header();
    let bought = quoted().header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
    assert_eq!(bought.status(), 200, "{}", host.log());
}

#[tokio::test]
async fn a_plugin_moves_with_its_mount_and_not_onto_the_paths_of_another() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let first = host.configuration();
    host.install("declared.wasm", &declaring("/echo exact 0.05;POST:/x exact 0.01"));
    host.wait_for_log("GET /echo is already served; echo.wasm serves it", 1).await;
    // The mount makes room for both.
    reload(&host, &first, "[plugin.declared]\nmount = \"/other\"\n", ACTIVE, 1).await;
    host.wait_for_log("active file=declared.wasm", 1).await;
    assert_eq!(price(&host, "GET", "/other/echo").await, "50000");
    assert_eq!(status(&host, "GET", "/echo").await, 200);
    // A reload that would put one onto the other changes nothing, and names both.
    let same = "[plugin.declared]\nmount = \"/other\"\n[plugin.echo]\nmount = \"/other\"\n";
    reload(&host, &first, same, NOT_USED, 1).await;
    let told = "GET /other/echo is already served; declared.wasm serves it";
    assert!(host.log().contains(told), "{}", host.log());
    assert_eq!(status(&host, "GET", "/echo").await, 200);
    assert_eq!(price(&host, "GET", "/other/echo").await, "50000");
    // They change places in one step.
    let apart = "[plugin.declared]\nmount = \"/b\"\n[plugin.echo]\nmount = \"/other\"\n";
    reload(&host, &first, apart, ACTIVE, 2).await;
    assert_eq!(status(&host, "GET", "/other/echo").await, 200);
    assert_eq!(price(&host, "GET", "/b/echo").await, "50000");
    assert_eq!(status(&host, "GET", "/echo").await, 404);
}

#[tokio::test]
async fn the_receiver_of_a_plugin_or_of_a_route_gets_the_money() {
    let chain = TestChain::start().await;
    let (other, third) = (OTHER.to_checksum(None), THIRD.to_checksum(None));
    let of_plugin = format!("[plugin.echo]\npay_to = \"{other}\"\n");
    let host = chain.serve(&["echo"], &of_plugin).await;
    let first = host.configuration().replace(&of_plugin, "");
    // From the start on, and not by a reload alone.
    let bought = host.buy(chain.payer(0), "/echo", Duration::from_secs(10)).await;
    assert_eq!(bought.statuses, [200], "{}", host.log());
    assert_eq!((chain.balance(SELLER).await, chain.balance(OTHER).await), (0, 10_000));

    let offer = ask(&host, "POST", "/echo").await;
    let offered = chain.payer(1).pay(&offer).header();
    let of_route =
        format!("{of_plugin}[plugin.echo.routes.\"POST /echo\"]\npay_to = {{ base-sepolia = \"{third}\" }}\n");
    reload(&host, &first, &of_route, ACTIVE, 1).await;
    let bought = host.buy(chain.payer(0), "/echo", Duration::from_secs(10)).await;
    assert_eq!(bought.statuses, [200], "{}", host.log());
    assert_eq!((chain.balance(OTHER).await, chain.balance(THIRD).await), (10_000, 10_000));
    // A payment settles to the address that was signed.
    assert_eq!(pay(&host, "POST", "/echo", &offered).await.status(), 200, "{}", host.log());
    assert_eq!((chain.balance(OTHER).await, chain.balance(THIRD).await), (20_000, 10_000));
    let (shown, code) = output(&host, &["ledger", "reconcile"]).await;
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains(&other) && shown.contains(&third), "{shown}");

    for (refused, told) in [
        ("pay_to = \"0x123\"", "plugin.echo.pay_to:"),
        ("pay_to = { base = \"0xC0140eEa19bD90a7cA75882d5218eFaF20426e42\" }", "no [[accept]] is eip155:8453"),
        ("accept = [\"base-sepolia/EURC\"]", "no [[accept]] is eip155:84532/EURC; there is eip155:84532/USDC"),
    ] {
        let before = host.log().matches(NOT_USED).count();
        reload(&host, &first, &format!("[plugin.echo]\n{refused}\n"), NOT_USED, before + 1).await;
        assert!(host.log().contains(told), "{told}\n{}", host.log());
    }
}

#[tokio::test]
async fn a_plugin_and_a_route_are_paid_in_the_assets_that_are_named_for_them() {
    let chain = TestChain::start().await;
    let facilitator = chain.facilitator(0).await;
    let mut host = chain.serve_through(&guest("echo"), &[&facilitator]).await;
    let token = "[[accept]]\nnetwork = \"base-sepolia\"\nasset = \"0x60a3E35Cc302bFA44Cb288Bc5a4F316Fdb1adb42\"\n\
                 decimals = 6\neip712_name = \"Another dollar\"\neip712_version = \"1\"\nsymbol = \"TUSD\"\nusd = true\n\
                 pay_to = \"0xC0140eEa19bD90a7cA75882d5218eFaF20426e42\"\nfacilitator = \"f0\"\n";
    let first = format!("{}{token}", host.configuration());
    host.write_configuration(&first);
    host.restart(&[]).await;
    let assets = async || {
        let challenge = required(&ask(&host, "POST", "/echo").await);
        let entries = challenge["accepts"].as_array().expect("a list").clone();
        entries.iter().map(|entry| entry["extra"]["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(assets().await, ["USDC", "Another dollar"]);
    let offered = chain.payer(0).pay(&ask(&host, "POST", "/echo").await).header();
    let used = host.log().matches(ACTIVE).count();
    let of_plugin = "[plugin.echo]\naccept = [\"base-sepolia/TUSD\", \"base-sepolia\"]\n";
    reload(&host, &first, of_plugin, ACTIVE, used + 1).await;
    assert_eq!(assets().await, ["Another dollar", "USDC"], "in the order of the list, each once");
    let of_route = "[plugin.echo]\naccept = [\"base-sepolia\"]\n\
                    [plugin.echo.routes.\"POST /echo\"]\naccept = \"eip155:84532/tusd\"\n";
    reload(&host, &first, of_route, ACTIVE, used + 2).await;
    assert_eq!(assets().await, ["Another dollar"]);
    assert_eq!(pay(&host, "POST", "/echo", &offered).await.status(), 200, "{}", host.log());
    assert_eq!(chain.balance(SELLER).await, 10_000);
}

#[tokio::test]
async fn a_route_that_is_off_is_not_found_and_nothing_is_charged_for_it() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let first = host.configuration();
    let offered = chain.payer(0).pay(&ask(&host, "POST", "/echo").await).header();
    let off = "[plugin.echo.routes.\"POST /echo\"]\nenabled = false\n";
    reload(&host, &first, off, ACTIVE, 1).await;
    let refused = pay(&host, "POST", "/echo", &offered).await;
    assert_eq!(refused.status(), 405);
    assert!(!refused.headers()["allow"].to_str().expect("ASCII").contains("POST"), "{refused:?}");
    assert_eq!(status(&host, "GET", "/echo").await, 200, "the other route is served");
    let both = format!("{off}[plugin.echo.routes.\"GET /echo\"]\nenabled = false\n");
    reload(&host, &first, &both, ACTIVE, 2).await;
    assert_eq!(status(&host, "GET", "/echo").await, 404);
    assert_eq!(pay(&host, "POST", "/echo", &offered).await.status(), 404);
    assert_eq!((host.ledger().len(), host.runs_of("echo")), (0, 1));
    // The offer is still in its time when the route is back.
    reload(&host, &first, "", ACTIVE, 3).await;
    assert_eq!(pay(&host, "POST", "/echo", &offered).await.status(), 200, "{}", host.log());
}

/// A guest finds its route by the path: behind a template that matches more, the route that is off would be answered at
/// the price of that template.
#[tokio::test]
async fn a_route_that_is_off_is_not_served_by_a_wider_one_of_its_plugin() {
    let chain = TestChain::start().await;
    let host = chain.serve(&[], "[plugin.declared.routes.\"GET /now\"]\nenabled = false\n").await;
    host.install("declared.wasm", &declaring("/now exact 0.01;/{any} free;POST:/now exact 0.02"));
    host.wait_for_log("active file=declared.wasm", 1).await;
    assert_eq!(status(&host, "GET", "/then").await, 200);
    assert_eq!(status(&host, "GET", "/now").await, 405);
    assert_eq!(status(&host, "HEAD", "/now").await, 405);
    assert_eq!(price(&host, "POST", "/now").await, "20000");
    let options = ask(&host, "OPTIONS", "/now").await;
    let allowed = options.headers()["allow"].to_str().expect("ASCII").to_owned();
    assert!(!allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
}

#[tokio::test]
async fn another_plugin_may_serve_a_route_that_is_off() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "[plugin.echo.routes.\"POST /echo\"]\nenabled = false\n").await;
    host.install("declared.wasm", &declaring("POST:/echo exact 0.05"));
    host.wait_for_log("active file=declared.wasm", 1).await;
    assert_eq!(price(&host, "POST", "/echo").await, "50000");
    let bought = host.buy(chain.payer(0), "/echo", Duration::from_secs(10)).await;
    assert_eq!(bought.answer.as_deref(), Some("\"served\""), "{}", host.log());
}

#[tokio::test]
async fn a_route_that_the_plugin_does_not_declare_is_named_with_those_that_it_does() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let first = host.configuration();
    let wrong = "[plugin.echo.routes.\"POST /ehco\"]\nprice = \"0.02\"\n";
    let told = "plugin.echo.routes.\"POST /ehco\": the plugin declares no such route; there is GET /echo, POST /echo";
    reload(&host, &first, wrong, NOT_USED, 1).await;
    assert!(host.log().contains(told), "{}", host.log());
    assert_eq!(price(&host, "POST", "/echo").await, "10000", "what runs stays");
    let (said, code) = output(&host, &["check"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(told), "{said}");
    let component = host.path("plugins/echo.wasm");
    let (said, code) = output(&host, &["inspect", "-c", "coinslot.toml", component.to_str().expect("a path")]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(told), "{said}");
    // A name that no plugin could have is a problem of the file.
    reload(&host, &first, "[plugin.echo.routes.\"/echo\"]\nprice = \"0.02\"\n", NOT_USED, 2).await;
    assert!(host.log().contains("plugin.echo.routes.\"/echo\": name the route as its plugin declares it"));

    // The same at a start: the plugin is not served, and the others are.
    host.write_configuration(&format!("{first}{wrong}"));
    std::fs::remove_dir_all(host.path(".coinslot/served")).expect("the history");
    let mut host = host;
    host.install("declared.wasm", &declaring("POST:/x exact 0.05"));
    host.restart(&[]).await;
    assert!(host.log().contains(told));
    assert_eq!((status(&host, "POST", "/echo").await, status(&host, "POST", "/x").await), (404, 402));
}

#[tokio::test]
async fn the_bounds_of_prices_hold_for_the_price_of_the_file() {
    let chain = TestChain::start().await;
    let bounds = "[plugin.echo]\nmin_price = \"0.005\"\nmax_price = \"0.02\"\n[plugin.echo.routes]\n\
                  \"GET /echo\" = { price = \"0.005\" }\n";
    let host = chain.serve(&["echo"], bounds).await;
    assert_eq!(price(&host, "GET", "/echo").await, "5000", "a price makes a free route fit");
    let first = host.configuration();
    for (index, (price, told)) in [
        ("\"0.004\"", "plugin.echo: POST /echo costs 0.004 USDC, and `min_price` is 0.005 US dollars"),
        ("\"0.03\"", "plugin.echo: POST /echo costs 0.03 USDC, and `max_price` is 0.02 US dollars"),
        ("\"free\"", "plugin.echo: POST /echo is free, and `min_price` is 0.005 US dollars"),
        ("\"0.0100001\"", "`0.0100001` is finer than the smallest unit of USDC"),
        ("\"0.01 DOGE\"", "none of the operator's assets is DOGE"),
    ]
    .into_iter()
    .enumerate()
    {
        reload(&host, &first, &format!("\"POST /echo\" = {{ price = {price} }}\n"), NOT_USED, index + 1).await;
        assert!(host.log().contains(told), "{told}\n{}", host.log());
    }
    assert_eq!(price(&host, "POST", "/echo").await, "10000", "what runs stays");
    reload(&host, &first, "\"POST /echo\" = { price = \"0.02\" }\n", ACTIVE, 1).await;
    assert_eq!(price(&host, "POST", "/echo").await, "20000");
}

#[tokio::test]
async fn declared_and_effective_values_are_shown_where_they_differ() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let (check, _) = output(&host, &["check"]).await;
    let (plugins, _) = output(&host, &["plugins", "--format", "table"]).await;
    assert!(!check.contains("EFFECTIVE") && !plugins.contains("EFFECTIVE"), "nothing differs: {check}{plugins}");
    let more = format!(
        "[plugin.echo]\nmount = \"/v1\"\npay_to = \"{}\"\n[plugin.echo.routes]\n\
         \"GET /echo\" = {{ enabled = false }}\n\"POST /echo\" = {{ price = \"0.002\", description = \"At length\" }}\n",
        OTHER.to_checksum(None)
    );
    reload(&host, &host.configuration(), &more, ACTIVE, 1).await;
    let component = host.path("plugins/echo.wasm");
    let inspect = ["inspect", "-c", "coinslot.toml", component.to_str().expect("a path")];
    for command in [&["check"][..], &["plugins", "--format", "table"], &inspect] {
        let (shown, code) = output(&host, command).await;
        assert_eq!(code, Some(0), "{shown}");
        let lines: Vec<String> =
            shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        for line in [
            "POST /v1/echo echo mount /echo /v1/echo",
            "POST /v1/echo echo price 0.01 0.002",
            "POST /v1/echo echo description At length",
            &format!("POST /v1/echo echo pay_to {}", OTHER.to_checksum(None)),
            "GET /v1/echo echo enabled true false",
        ] {
            assert!(lines.iter().any(|shown| shown == line), "{command:?} does not show {line:?}:\n{shown}");
        }
    }
    let (json, _) = output(&host, &["plugins", "--json"]).await;
    let record: Value = serde_json::from_str(&json).expect("one line of JSON");
    assert_eq!(record["endpoints"][0]["price"], "0.002 USDC", "{record}");
    let price = record["changes"].as_array().expect("a list").iter().find(|change| change["key"] == "price");
    let expected = serde_json::json!({
        "route": "POST /v1/echo", "key": "price", "declared": "0.01", "effective": "0.002",
    });
    assert_eq!(price, Some(&expected));
}

/// What is decided before a restart is what serves after it, and not what the plugin declares.
#[tokio::test]
async fn a_restart_serves_what_the_file_says() {
    let chain = TestChain::start().await;
    let more = "[plugin.echo]\nmount = \"/v1\"\n[plugin.echo.routes.\"POST /echo\"]\nprice = \"0.002\"\n";
    let mut host = chain.serve(&["echo"], more).await;
    assert_eq!(price(&host, "POST", "/v1/echo").await, "2000");
    host.restart(&[]).await;
    assert_eq!(price(&host, "POST", "/v1/echo").await, "2000");
    // Another file, read by the start alone.
    host.write_configuration(&host.configuration().replace("\"/v1\"", "\"/v2\"").replace("0.002", "0.004"));
    host.restart(&[]).await;
    assert_eq!(price(&host, "POST", "/v2/echo").await, "4000");
    assert_eq!(status(&host, "POST", "/v1/echo").await, 404);
}
