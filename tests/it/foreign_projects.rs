//! Runs the author's tools on projects that came from elsewhere, out of a repository or an archive: nothing in them is
//! run outside of the sandbox, and nothing outside of them is touched.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use coinslot_tests::{DevHost, TestChain, binary, guest};
use sha2::{Digest as _, Sha256};

/// The file with the key by which the files of a folder of compiled code are sealed, and the size of a seal.
const SEAL_KEY: &str = ".seal.key";
const SEAL: usize = 32;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn succeeds(command: &mut Command) {
    let output = command.output().expect("a program");
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
}

fn git(dir: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=Mallory", "-c", "user.email=mallory@example.com"];
    succeeds(Command::new("git").args(identity).args(arguments).current_dir(dir));
}

/// Runs a command of the binary in a folder, for at most a minute and with bounded memory.
fn bounded(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["60", "prlimit", "--data=3221225472"]).arg(binary()).args(arguments);
    command.current_dir(dir).env("XDG_STATE_HOME", dir.join("state")).stdin(Stdio::null());
    let output = command.output().expect("timeout and prlimit");
    assert!(
        output.status.code().is_some_and(|code| code < 124),
        "{arguments:?}: {:?} {}",
        output.status,
        text(&output.stderr)
    );
    output
}

/// The artifacts of a folder, by the digests of their components.
fn artifact_of(folder: &Path, component: &Path) -> PathBuf {
    let digest = hex::encode(Sha256::digest(fs::read(component).expect("a component")));
    let mut paths = fs::read_dir(folder).expect("artifacts").map(|entry| entry.expect("an entry").path());
    let is_of = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&digest));
    paths.find(is_of).expect("an artifact")
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let pad = |byte: u8| (0..64).map(|at| key.get(at).unwrap_or(&0) ^ byte).collect::<Vec<u8>>();
    let inner = Sha256::digest([&pad(0x36), message].concat());
    Sha256::digest([pad(0x5c), inner.to_vec()].concat()).to_vec()
}

/// Puts the code of one component into the artifact of another one, and seals it with the key that lies beside it, as
/// its author can: code that its component would never become.
fn forge(folder: &Path, of: &Path, code: &Path) -> Vec<u8> {
    let (target, source) = (artifact_of(folder, of), artifact_of(folder, code));
    let mut forged = fs::read(source).expect("an artifact");
    if let Ok(key) = fs::read(folder.join(SEAL_KEY)) {
        forged.truncate(forged.len() - SEAL);
        let name = target.file_name().expect("a name").to_string_lossy();
        let message = [&(name.len() as u64).to_le_bytes(), name.as_bytes(), &forged].concat();
        forged.extend(hmac(&key[..SEAL], &message));
    }
    fs::remove_file(&target).expect("removed");
    fs::write(&target, &forged).expect("written");
    forged
}

/// Copies a folder as an archive does, with modes and times.
fn archive(from: &Path, to: &Path) {
    succeeds(Command::new("cp").arg("-a").arg(from).arg(to));
}

#[tokio::test]
async fn compiled_code_that_came_with_a_clone_is_not_run_by_dev() {
    let (echo, status) = (guest("echo"), guest("status"));
    let author = DevHost::builder().plugin("echo.wasm", &echo).plugin("status.wasm", &status).start().await;
    let forged = forge(&author.path(".coinslot/dev/artifacts"), &echo, &status);
    git(&author.path("."), &["init", "--quiet"]);
    git(&author.path("."), &["add", "--force", "plugins", ".coinslot/dev/artifacts"]);
    git(&author.path("."), &["commit", "--quiet", "--message", "A shop"]);

    let clone = DevHost::builder();
    git(&clone.path("."), &["init", "--quiet"]);
    let repository = author.path(".").display().to_string();
    git(&clone.path("."), &["pull", "--quiet", &repository, "HEAD"]);
    let artifact = artifact_of(&clone.path(".coinslot/dev/artifacts"), &echo);
    assert_eq!(fs::read(&artifact).expect("an artifact"), forged, "it came along");
    let host = clone.start().await;
    assert_eq!(host.client().get(host.url("/echo")).send().await.expect("an answer").status(), 200);
    assert_ne!(fs::read(&artifact).expect("an artifact"), forged, "it is compiled here");
    assert!(host.log().contains("was made elsewhere"), "{}", host.log());
}

#[tokio::test]
async fn a_state_folder_out_of_an_archive_has_its_code_compiled_and_its_key_made_again() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["status", "echo"], "").await;
    let (echo, status) = (guest("echo"), guest("status"));
    let key = fs::read(host.path(".coinslot/quote.key")).expect("a key");
    host.restart(&[]).await;
    assert_eq!(fs::read(host.path(".coinslot/quote.key")).expect("a key"), key, "a restart keeps it");

    archive(&host.path(".coinslot"), &host.path("archive"));
    let forged = forge(&host.path("archive/artifacts"), &echo, &status);
    archive(&host.path("archive"), &host.path("inspected"));
    fs::rename(host.path(".coinslot"), host.path("own")).expect("moved");
    archive(&host.path("archive"), &host.path(".coinslot"));
    host.restart(&[]).await;
    assert_ne!(fs::read(host.path(".coinslot/quote.key")).expect("a key")[..SEAL], key[..SEAL], "others know it");
    assert!(host.log().contains("this key was not made here"), "{}", host.log());
    let served = artifact_of(&host.path(".coinslot/artifacts"), &echo);
    assert_ne!(fs::read(&served).expect("an artifact"), forged);
    for path in ["/echo", "/status"] {
        assert_eq!(reqwest::get(host.url(path)).await.expect("an answer").status(), 200, "{path}");
    }

    fs::write(host.path("inspected.toml"), "state = \"inspected\"\n").expect("written");
    let component = echo.display().to_string();
    let inspected = bounded(&host.path("."), &["inspect", "--json", "-c", "inspected.toml", &component]);
    let shown: serde_json::Value = serde_json::from_slice(&inspected.stdout).expect("JSON");
    assert_eq!(shown["plugin"]["name"], "echo", "{}", text(&inspected.stderr));
}

#[tokio::test]
async fn dev_touches_nothing_that_a_link_in_its_state_leads_to() {
    let dir = tempfile::tempdir().expect("a folder");
    let (project, other) = (dir.path().join("project"), dir.path().join("other"));
    for folder in [project.join("plugins"), project.join(".coinslot"), other.clone()] {
        fs::create_dir_all(folder).expect("a folder");
    }
    fs::copy(guest("echo"), project.join("plugins/echo.wasm")).expect("a component");
    fs::write(other.join("bank.wasm"), "of another project").expect("written");
    for (link, target) in [("plugins", &other), ("dev-ledger.db", &other.join("bank.wasm"))] {
        symlink(target, project.join(".coinslot").join(link)).expect("a link");
        let refused = bounded(&project, &["dev", "--listen", "127.0.0.1:0"]);
        let told = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{told}");
        assert!(told.contains(&format!("{link} is a link")) && told.contains("--state"), "{told}");
        fs::remove_file(project.join(".coinslot").join(link)).expect("removed");
    }
    assert_eq!(fs::read(other.join("bank.wasm")).expect("still there"), b"of another project");
    assert_eq!(fs::read_dir(&other).expect("a folder").count(), 1);
}

#[tokio::test]
async fn dev_removes_components_that_it_has_put_there_and_no_others() {
    let builder = DevHost::builder().plugin("echo.wasm", &guest("echo")).plugin("status.wasm", &guest("status"));
    let output = builder.path(".coinslot/plugins");
    fs::create_dir_all(&output).expect("a folder");
    fs::copy(guest("quoter"), output.join("mine.wasm")).expect("a component");
    let host = builder.start().await;
    assert!(output.join("echo.wasm").exists() && output.join("mine.wasm").exists());
    fs::remove_file(host.path("plugins/echo.wasm")).expect("removed");
    let gone = async || {
        while output.join("echo.wasm").exists() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), gone()).await.expect("echo is gone");
    assert!(output.join("mine.wasm").exists() && output.join("status.wasm").exists());
}

#[test]
fn files_that_never_end_are_refused_by_every_tool() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name);
    let pipe = |name: &str| succeeds(Command::new("mkfifo").arg(path(name)));
    let hello = "import { get } from 'coinslot';\nget('/a', { free: true, summary: 'A' }, () => 'a');\n";

    // Components and what stands in the place of the output.
    symlink("/dev/zero", path("zero.wasm")).expect("a link");
    pipe("pipe.wasm");
    let sparse = fs::File::create(path("sparse.wasm")).expect("a file");
    std::io::Write::write_all(&mut &sparse, b"\0asm\x0d\0\x01\0").expect("written");
    sparse.set_len(15 << 30).expect("a length");
    for (name, told) in
        [("zero.wasm", "no regular file"), ("pipe.wasm", "no regular file"), ("sparse.wasm", "more than")]
    {
        let refused = bounded(dir.path(), &["inspect", name]);
        assert!(!refused.status.success() && text(&refused.stderr).contains(told), "{name}: {refused:?}");
        assert!(!bounded(dir.path(), &["pack", name]).status.success(), "{name}");
    }
    for out in ["zero.wasm", "pipe.wasm"] {
        fs::create_dir_all(path("shop")).expect("a folder");
        fs::write(path("shop/plugin.ts"), hello).expect("written");
        let built = bounded(dir.path(), &["build", "shop", "--out", out]);
        assert!(built.status.success(), "{out}: {}", text(&built.stderr));
        assert!(fs::symlink_metadata(path(out)).expect("a file").is_file(), "the component takes its place");
    }

    // Manifests: of the plugin, of the folder above, and of a package.
    for place in ["shop/package.json", "package.json", "shop/node_modules/pad/package.json", "shop/pyproject.toml"] {
        for plant in [&pipe as &dyn Fn(&str), &|name: &str| symlink("/dev/zero", path(name)).expect("a link")] {
            fs::create_dir_all(path(place).parent().expect("a folder")).expect("a folder");
            plant(place);
            fs::write(path("shop/plugin.ts"), format!("import 'pad';\n{hello}")).expect("written");
            bounded(dir.path(), &["build", "shop", "--out", "a.wasm"]);
            fs::write(path("shop/plugin.ts"), hello).expect("written");
            bounded(dir.path(), &["pack", "shop", "--out", "a.wasm"]);
            fs::remove_file(path(place)).expect("removed");
        }
    }

    // The seed of the development chain, which is no link: it came with an archive.
    fs::create_dir_all(path("project/plugins")).expect("a folder");
    fs::create_dir_all(path("project/.coinslot")).expect("a folder");
    pipe("project/.coinslot/dev.seed");
    let refused = bounded(&path("project"), &["dev", "--listen", "127.0.0.1:0"]);
    assert!(text(&refused.stderr).contains("dev.seed is no file and no folder"), "{refused:?}");
}

#[test]
fn pack_starts_no_program_that_a_repository_names() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("shop")).expect("a folder");
    let module = "import { get } from 'coinslot';\nget('/a', { free: true, summary: 'A' }, () => 'a');\n";
    fs::write(path("shop/plugin.ts"), module).expect("written");
    fs::write(path(".gitattributes"), "* filter=evil\n").expect("written");
    git(dir.path(), &["init", "--quiet"]);
    git(dir.path(), &["add", "--all"]);
    git(dir.path(), &["commit", "--quiet", "--message", "A shop"]);
    let started = path("started");
    let program = format!("touch {}; cat", started.display());
    for (key, value) in [
        ("filter.evil.clean", &*program),
        ("filter.evil.process", &program),
        ("filter.evil.required", "true"),
        ("core.fsmonitor", &program),
    ] {
        git(dir.path(), &["config", key, value]);
    }
    // git looks into a file whose time has changed.
    let touched = fs::File::options().append(true).open(path("shop/plugin.ts")).expect("a file");
    touched.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)).expect("a time");
    let packed = bounded(dir.path(), &["pack", "shop", "--license", "MIT", "--out", "shop.wasm"]);
    assert!(packed.status.success(), "{}", text(&packed.stderr));
    assert!(text(&packed.stdout).contains("commit "), "git was asked: {}", text(&packed.stdout));
    assert!(!text(&packed.stdout).contains("modified"), "the content is that of the commit: {}", text(&packed.stdout));
    assert!(!started.exists(), "a program of the repository was started");
}

/// `build .` printed the name of its folder as it was.
#[test]
fn a_name_cannot_control_the_terminal() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("\u{1b}[31mred\u{202e}txt\n200 GET");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("plugin.js"), "import { get } from 'coinslot';\nget('/a', { free: true }, () => 'a');\n")
        .expect("written");
    for arguments in [&["build", "."][..], &["test", "."], &["pack", "."]] {
        let output = bounded(&folder, arguments);
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(output.status.success() && !said.is_empty(), "{arguments:?}: {said}");
        assert!(!said.contains(['\u{1b}', '\u{202e}']), "{arguments:?}: {said:?}");
        assert!(!said.lines().any(|line| line.starts_with("200 GET")), "{arguments:?}: {said:?}");
    }
}
