//! Checks commands of operators where something is wrong: with the configuration, with a node, with a certificate.

use std::process::Output;
use std::time::Duration;

use coinslot_tests::{NodeFault, RunningCommand, TestChain, guest, run};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A port of this machine that nothing listens at.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A slip in the file took every command from the operator, while the host served on with what it had read before.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_wrong_by_now_keeps_no_command_from_the_running_host() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["status"], &format!("[admin]\nlisten = \"127.0.0.1:{}\"\n", free_port())).await;
    let config = host.configuration();
    host.write_configuration(&format!("colour = \"red\"\n{config}"));
    host.wait_for_log("the changed configuration is not used", 1).await;
    let ask = |arguments: &[&str]| run(&host.path(""), arguments);
    let status = ask(&["status", "--format", "table"]);
    let text = said(&status);
    assert!(status.status.code() == Some(3) && text.contains("payments are taken"), "{text}");
    assert!(text.contains("1 plugin with 2 endpoints"), "{text}");
    for arguments in [&["status"][..], &["config"], &["payments"], &["plugins"]] {
        let output = ask(arguments);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(err.contains("warning: the configuration, as it is now, is wrong") && err.contains("colour"), "{err}");
        assert!(!out.contains("warning: "), "{out}");
        assert!(matches!(output.status.code(), Some(0 | 3)), "{arguments:?}: {err}");
    }
    // What names the listener has to be right.
    host.write_configuration(&config.replace("[admin]", "[admin]\ncolour = \"red\""));
    let refused = ask(&["status"]);
    assert!(refused.status.code() == Some(2) && said(&refused).contains("admin.colour"), "{}", said(&refused));
}

/// A chain whose newest block was hours old was good, because its node answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_finds_a_node_that_is_stuck() {
    let chain = TestChain::start().await;
    let node = chain.node().await;
    let host = chain.serve_on(&guest("echo"), &node).await;
    let good = run(&host.path(""), &["check"]);
    assert!(good.status.success(), "{}", said(&good));
    node.always("eth_getBlockByNumber", NodeFault::Aged(Duration::from_secs(7_200)));
    let stuck = run(&host.path(""), &["check"]);
    let text = said(&stuck);
    assert!(stuck.status.code() == Some(1) && text.contains("the chain has made no block for 72"), "{text}");
}

/// The file of the plugin was refused, and the check said beside its reason that no plugin had its name.
#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_is_refused_is_not_called_unknown() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["echo"], "[plugin.echo]\nkeyvalue = true\n[plugin.absent]\nkeyvalue = true\n").await;
    host.signal("TERM");
    host.wait_for_exit().await;
    // No build is kept that would serve in its place.
    std::fs::remove_dir_all(host.path(".coinslot/served")).expect("a folder");
    host.install("echo.wasm", b"no component");
    let text = said(&run(&host.path(""), &["check"]));
    assert!(text.contains("echo.wasm: it is not WebAssembly"), "{text}");
    assert!(text.contains("plugin.absent: no plugin of this name"), "{text}");
    assert!(!text.contains("plugin.echo: no plugin of this name"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_names_the_authority_of_a_server_and_hears_what_is_wrong_with_a_certificate() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("plugins")).expect("a folder");
    std::fs::copy(guest("status"), dir.path().join("plugins/status.wasm")).expect("a component");
    let dev = coinslot_tests::DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let facilitator = dev.facilitator();
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n[[accept]]\nnetwork = \"base-sepolia\"\n\
         pay_to = \"0xC0140eEa19bD90a7cA75882d5218eFaF20426e42\"\n[facilitator.far]\nurl = \"{}\"\n",
        facilitator.url("")
    );
    std::fs::write(dir.path().join("coinslot.toml"), config).expect("a file");
    let serve_with = |is_authority: bool| {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        if is_authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let key = KeyPair::generate().expect("a key");
        std::fs::write(dir.path().join("cert.pem"), params.self_signed(&key).expect("it").pem()).expect("a file");
        std::fs::write(dir.path().join("key.pem"), key.serialize_pem()).expect("a file");
        RunningCommand::start(dir.path(), &["serve"], &[])
    };
    let served = serve_with(true);
    let pay = |url: &str, more: &[&str]| said(&run(dir.path(), &[&["pay", url], more].concat()));
    let text = pay(&served.url("/status"), &["--ca", "cert.pem"]);
    assert!(text.contains("(CA:TRUE)") && text.contains("CA:FALSE") && text.contains("nothing was paid"), "{text}");
    drop(served);
    let served = serve_with(false);
    let text = pay(&served.url("/status"), &[]);
    assert!(text.contains("name the authority with --ca FILE"), "{text}");
    let paid = run(dir.path(), &["pay", &served.url("/status"), "--ca", "cert.pem"]);
    assert!(paid.status.success(), "{}", said(&paid));
    let text = pay(&served.url("/status"), &["--ca", "coinslot.toml"]);
    assert!(text.contains("--ca coinslot.toml") && text.contains("PEM"), "{text}");
}
