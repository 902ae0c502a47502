//! Holds the files of `host/deploy` to the programs that read them, to each other, and to the host.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use coinslot_tests::{TestChain, binary, debian_program, run};
use serde_json::Value;

/// The path of the binary in the units and in the image.
const INSTALLED: &str = "/usr/local/bin/coinslot";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/deploy")
}

fn text(file: &str) -> String {
    let path = folder().join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(file: &str) -> Value {
    serde_yaml_ng::from_str(&text(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let output = command.output().expect("a program");
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    said(&output)
}

/// The texts of a list in a document.
fn list(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().map(|entry| entry.as_str().expect("a text")).collect()
}

/// The port at the end of an address.
fn port(address: &str) -> &str {
    address.rsplit_once(':').expect("a port").1
}

/// The value of a key of the host's configuration.
fn key_of(table: &str, key: &str) -> String {
    let file = text("coinslot/coinslot.toml");
    let inside = file.split_once(table).expect("the table").1;
    let line = inside.lines().find(|line| line.starts_with(&format!("{key} = "))).expect("the key");
    line.split_once(" = ").expect("a value").1.trim_matches(['[', ']', '"']).to_owned()
}

/// A folder with the units, which start the host under test.
fn units() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for unit in ["coinslot.service", "coinslot-backup.service", "coinslot-backup.timer"] {
        let text = text(&format!("systemd/{unit}")).replace(INSTALLED, &binary().display().to_string());
        std::fs::write(dir.path().join(unit), text).expect("a file");
    }
    dir
}

#[test]
fn systemd_accepts_the_units_and_finds_them_little_exposed() {
    let (analyze, dir) = (debian_program("systemd-analyze", "systemd"), units());
    for unit in ["coinslot.service", "coinslot-backup.service", "coinslot-backup.timer"] {
        let mut verify = Command::new(&analyze);
        let printed = succeeds(verify.args(["verify", "--man=no"]).arg(dir.path().join(unit)));
        // It also speaks of the machine's own units.
        let about: Vec<&str> = printed.lines().filter(|line| line.contains("coinslot")).collect();
        assert!(about.is_empty(), "{unit}: {about:?}");
    }
    for (unit, tenths) in [("coinslot.service", "15"), ("coinslot-backup.service", "10")] {
        let mut security = Command::new(&analyze);
        security.args(["security", "--offline=true", "--no-pager", &format!("--threshold={tenths}")]);
        succeeds(security.arg(dir.path().join(unit)));
    }
}

/// The unit waits as long as the host may take, and a slip in the shell of the other one would leave no backup.
#[tokio::test]
async fn the_commands_of_the_units_serve_and_back_up() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let dir = units();
    let unit = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect("a unit");
    let line = |unit: &str, key: &str| {
        let lines = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let service = unit("coinslot.service");
    assert_eq!(line(&service, "ExecStart"), [format!("{} serve", binary().display())]);
    assert!(text("../coinslot.example.toml").contains("#drain_timeout = \"30s\"\n"));
    let stop: u64 = line(&service, "TimeoutStopSec")[0].parse().expect("seconds");
    assert!(stop > 30 + 10, "{stop}");

    let backups = host.path("backups");
    std::fs::create_dir(&backups).expect("a folder");
    let backup = unit("coinslot-backup.service").replace("/var/backups/coinslot", &backups.display().to_string());
    for command in [line(&backup, "ExecStart"), line(&backup, "ExecStartPost")].concat() {
        // What systemd makes of a line before it starts it.
        let command = command.replace("$$", "$").replace("%%", "%").replace("*.tar", "'*.tar'");
        succeeds(Command::new("sh").args(["-c", &command]).current_dir(host.path("")));
    }
    let made: Vec<PathBuf> = std::fs::read_dir(&backups).expect("a folder").flatten().map(|file| file.path()).collect();
    assert_eq!(made.len(), 1, "{made:?}");
    let restored = tempfile::tempdir().expect("a folder");
    std::fs::write(restored.path().join("coinslot.toml"), "").expect("a file");
    let restore = run(restored.path(), &["restore", made[0].to_str().expect("UTF-8")]);
    assert!(restore.status.success(), "{}", said(&restore));
}

#[test]
fn what_compose_starts_finds_its_files_ports_and_secrets() {
    let compose = yaml("compose.yaml");
    let services = compose["services"].as_object().expect("services");
    let volumes = compose["volumes"].as_object().expect("volumes");
    for (name, service) in services {
        for secret in list(&service["secrets"]) {
            let file = compose["secrets"][secret]["file"].as_str().unwrap_or_else(|| panic!("{name}: no {secret}"));
            assert_eq!(file, format!("./secrets/{secret}"));
        }
        for mount in list(&service["volumes"]) {
            let source = mount.split(':').next().expect("a source");
            let is_there =
                if source.starts_with('.') { folder().join(source).exists() } else { volumes.contains_key(source) };
            assert!(is_there, "{name}: {mount}");
        }
        for published in list(&service["ports"]) {
            assert!(published.starts_with("127.0.0.1:"), "{name} is reached by other machines: {published}");
        }
        assert!(list(&service["security_opt"]).contains(&"no-new-privileges:true"), "{name}");
    }
    let host = &services["coinslot"];
    assert_eq!((host["read_only"].as_bool(), &*list(&host["cap_drop"])), (Some(true), &["ALL"][..]));
    assert_eq!(port(list(&host["ports"])[0]), port(&key_of("", "listen")));
    assert!(list(&host["volumes"]).contains(&"./coinslot:/etc/coinslot:ro"));
    assert!(list(&host["volumes"]).contains(&format!("state:{}", key_of("", "state")).as_str()));
    let secrets = [key_of("[facilitator.own]", "key_file"), key_of("[admin]", "token_file")];
    for (path, secret) in secrets.iter().zip(list(&host["secrets"])) {
        assert_eq!(*path, format!("/run/secrets/{secret}"));
    }
    let subnet = compose["networks"]["default"]["ipam"]["config"][0]["subnet"].as_str().expect("a subnet");
    assert_eq!(key_of("[server]", "trusted_proxies"), format!("{}1/32", subnet.strip_suffix("0/24").expect("a /24")));

    let prometheus = yaml("prometheus/prometheus.yml");
    let job = &prometheus["scrape_configs"][0];
    let target = list(&job["static_configs"][0]["targets"])[0];
    assert_eq!(target.split(':').next(), Some("coinslot"), "a service of compose");
    assert!(list(&host["expose"]).contains(&port(target)) && port(target) == port(&key_of("[admin]", "listen")));
    let token = list(&services["prometheus"]["secrets"])[0];
    assert_eq!(job["authorization"]["credentials_file"], format!("/run/secrets/{token}"));

    let source = &yaml("grafana/provisioning/datasources/prometheus.yml")["datasources"][0];
    assert_eq!(source["url"], format!("http://prometheus:{}", list(&services["prometheus"]["expose"])[0]));
    let dashboards = yaml("grafana/provisioning/dashboards/coinslot.yml");
    let path = dashboards["providers"][0]["options"]["path"].as_str().expect("a path");
    assert!(list(&services["grafana"]["volumes"]).contains(&format!("./grafana/dashboards:{path}:ro").as_str()));
}

#[test]
fn the_image_has_the_toolchain_the_user_and_the_check_of_the_host() {
    let file = text("Containerfile");
    let toolchain = text("../../rust-toolchain.toml");
    let channel =
        toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).expect("a channel").trim_matches('"');
    assert!(file.contains(&format!("FROM rust:{channel}-")), "the image of another compiler");
    let user = file.lines().filter_map(|line| line.strip_prefix("USER ")).next_back().expect("a user");
    assert!(user.starts_with("65532:"), "{user}");
    assert!(file.contains(&format!("VOLUME {}\n", key_of("", "state"))));
    assert!(file.contains(&format!("EXPOSE {}\n", port(&key_of("", "listen")))));
    // The check is a command of the host, because the image has no other client.
    let health = file.split_once("CMD [").expect("a check").1.split_once(']').expect("its end").0;
    let health: Vec<&str> = health.split(", ").map(|word| word.trim_matches('"')).collect();
    assert_eq!(health[0], INSTALLED);
    assert_eq!(port(health[2]), port(&key_of("", "listen")));
    let dir = tempfile::tempdir().expect("a folder");
    let refused = run(dir.path(), &[health[1], "http://127.0.0.1:9"]);
    assert!(refused.status.code() == Some(1) && said(&refused).contains("does not answer"), "{}", said(&refused));
}

/// A configuration that is wrong ends `check` with 2; one whose node does not answer, as here, with 1.
#[test]
fn the_host_reads_the_configuration_of_compose() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(dir.path().join("plugins")).expect("a folder");
    std::fs::write(dir.path().join("gas-key"), "11".repeat(32)).expect("a file");
    let mut file = text("coinslot/coinslot.toml");
    for (from, to) in [
        ("0xYourAddress", "0xC0140eEa19bD90a7cA75882d5218eFaF20426e42"),
        ("https://your-base-node.example.com", "http://127.0.0.1:9"),
        ("/run/secrets/gas-key", "gas-key"),
        ("/run/secrets/admin-token", "gas-key"),
        ("/var/lib/coinslot", "state"),
    ] {
        assert!(file.contains(from), "{from}");
        file = file.replace(from, to);
    }
    std::fs::write(dir.path().join("coinslot.toml"), file).expect("a file");
    let checked = run(dir.path(), &["check"]);
    assert!(
        checked.status.code() == Some(1) && said(&checked).contains("no answer from the node"),
        "{}",
        said(&checked)
    );
}

#[test]
fn prometheus_accepts_its_configuration_with_the_rules() {
    let promtool = debian_program("promtool", "prometheus");
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(dir.path().join("rules")).expect("a folder");
    let rules = std::fs::read_dir(folder().join("prometheus/rules")).expect("a folder");
    for rule in rules.flatten() {
        std::fs::copy(rule.path(), dir.path().join("rules").join(rule.file_name())).expect("a file");
    }
    std::fs::write(dir.path().join("token"), "token").expect("a file");
    let config = text("prometheus/prometheus.yml").replace("/run/secrets/admin-token", "token");
    std::fs::write(dir.path().join("prometheus.yml"), config).expect("a file");
    let checked = succeeds(Command::new(&promtool).args(["check", "config", "prometheus.yml"]).current_dir(dir.path()));
    assert!(checked.contains("1 rule files found"), "{checked}");
}

/// Prometheus asks by the name of the service, which the listener has to know.
#[tokio::test]
async fn the_listener_of_compose_answers_prometheus_and_nobody_without_the_token() {
    let chain = TestChain::start().await;
    let names = key_of("[admin]", "hosts");
    let admin = format!("[admin]\nlisten = \"127.0.0.1:0\"\nhosts = [\"{names}\"]\ntoken_file = \"key\"\n");
    let host = chain.serve(&["echo"], &admin).await;
    let token = std::fs::read_to_string(host.path("key")).expect("a file");
    let job = yaml("prometheus/prometheus.yml")["scrape_configs"][0].clone();
    let target = list(&job["static_configs"][0]["targets"])[0].to_owned();
    let url = format!("{}{}", host.admin(), job["metrics_path"].as_str().expect("a path"));
    let ask = || reqwest::Client::new().get(&url).header("Host", &target);
    let credentials = format!("{} {token}", job["authorization"]["type"].as_str().expect("a scheme"));
    let shown = ask().header("Authorization", credentials).send().await.expect("an answer");
    assert_eq!(shown.status(), 200, "{}", host.log());
    assert!(shown.text().await.expect("text").contains("coinslot_ledger_writable"));
    assert_eq!(ask().send().await.expect("an answer").status(), 401);
}
