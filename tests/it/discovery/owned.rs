//! Proves who owns a host, and shows its logo.

use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use coinslot_tests::{TestChain, run};

use super::columns;

const ORIGIN: &str = "https://api.example.com";

/// A configuration that pays this account, with more lines.
fn configuration(receiver: &PrivateKeySigner, more: &str) -> String {
    format!(
        "public_url = \"{ORIGIN}/behind\"\n[[accept]]\nnetwork = \"base\"\npay_to = \"{}\"\nfacilitator = \"f\"\n\
         [facilitator.f]\nurl = \"http://127.0.0.1:9\"\n{more}",
        receiver.address().to_checksum(None)
    )
}

#[test]
fn a_receiver_proves_that_the_host_is_its_own() {
    let (dir, receiver, other) =
        (tempfile::tempdir().expect("a folder"), PrivateKeySigner::random(), PrivateKeySigner::random());
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("a file");
    write("coinslot.toml", &configuration(&receiver, ""));
    std::fs::create_dir(dir.path().join("plugins")).expect("a folder");
    let key = |signer: &PrivateKeySigner| alloy::primitives::hex::encode_prefixed(signer.to_bytes());
    write("receiver.key", &key(&receiver));
    write("other.key", &key(&other));
    let prove = |arguments: &[&str]| {
        let output = run(dir.path(), &[&["discover", "prove"], arguments].concat());
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).expect("text"))
    };
    let (code, asked) = prove(&[]);
    assert_eq!(code, Some(0), "{asked}");
    let exact = format!("    {ORIGIN}\n");
    assert!(asked.contains(&exact) && asked.contains(&receiver.address().to_string()), "{asked}");

    let (code, proof) = prove(&["--key-file", "receiver.key"]);
    assert_eq!(code, Some(0), "{proof}");
    // Another wallet signs the same text.
    let signature = receiver.sign_message_sync(ORIGIN.as_bytes()).expect("a signature");
    let signature = alloy::primitives::hex::encode_prefixed(signature.as_bytes());
    assert_eq!(proof, format!("ownership_proofs = [\"{signature}\"]\n"));
    assert_eq!(prove(&["--signature", &signature]), (Some(0), proof.clone()));
    let (code, refused) = prove(&["--key-file", "other.key"]);
    assert_eq!(code, Some(1));
    assert!(
        refused.contains("receives nothing here") && refused.contains(&receiver.address().to_string()),
        "{refused}"
    );
    let foreign = other.sign_message_sync(ORIGIN.as_bytes()).expect("a signature");
    let foreign = alloy::primitives::hex::encode_prefixed(foreign.as_bytes());
    for wrong in [foreign.as_str(), "0x00"] {
        let (code, refused) = prove(&["--signature", wrong]);
        assert_eq!(code, Some(1));
        assert!(refused.contains(&format!("sign exactly this text by personal_sign: {ORIGIN}")), "{refused}");
    }

    let check = |proof: &str| {
        write("coinslot.toml", &configuration(&receiver, &format!("[discover]\nownership_proofs = [\"{proof}\"]\n")));
        let output = run(dir.path(), &["check"]);
        String::from_utf8([output.stdout, output.stderr].concat()).expect("text")
    };
    assert!(!check(&signature).contains("ownership_proofs"));
    let warned = check(&foreign);
    let told = format!("warning: discover.ownership_proofs[0]: it is not a signature of {ORIGIN} by a receiver");
    assert!(warned.contains(&told) && warned.contains("coinslot discover prove"), "{warned}");
}

#[tokio::test]
async fn a_logo_and_proofs_are_published_and_a_wrong_file_changes_nothing() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let plain = host.configuration();
    let icon = async || {
        let answer = reqwest::get(host.url("/favicon.ico")).await.expect("an answer");
        let fields = answer.headers().clone();
        (fields, answer.bytes().await.expect("a picture"))
    };
    let (fields, own) = icon().await;
    assert_eq!(
        (&fields["content-type"], &own[..4]),
        (&reqwest::header::HeaderValue::from_static("image/svg+xml"), &b"<svg"[..])
    );
    assert!(fields["content-security-policy"].to_str().expect("ASCII").contains("sandbox"));

    std::fs::write(host.path("logo.gif"), "GIF89a").expect("a file");
    host.write_configuration(&format!("{plain}[discover]\nlogo = \"logo.gif\"\n"));
    host.wait_for_log("neither SVG nor PNG: convert it to one of them", 1).await;
    assert_eq!(icon().await.1, own, "the former configuration stays");

    std::fs::write(host.path("logo.png"), b"\x89PNG\r\n\x1a\n...").expect("a file");
    let proof = format!("0x{}", "11".repeat(65));
    let more = format!("[discover]\nlogo = \"logo.png\"\nownership_proofs = [\"{proof}\"]\n");
    host.write_configuration(&format!("{plain}{more}"));
    host.wait_for_log("the configuration is active", 1).await;
    let (fields, picture) = icon().await;
    assert_eq!(
        (&fields["content-type"], &picture[..]),
        (&reqwest::header::HeaderValue::from_static("image/png"), &b"\x89PNG\r\n\x1a\n..."[..])
    );
    assert_eq!(fields["x-content-type-options"], "nosniff");
    let openapi = columns::json(&host, "/openapi.json").await;
    assert_eq!(openapi["x-discovery"]["ownershipProofs"][0], proof);
    assert_eq!(openapi["x-agentcash-provenance"]["ownershipProofs"][0], proof);
    assert_eq!(columns::json(&host, "/.well-known/x402").await["ownershipProofs"][0], proof);
    assert!(host.log().contains("discover.ownership_proofs[0]: "), "a proof of nobody: {}", host.log());
}
