//! Replays the checked-in inputs of every fuzz target: those by which the code was covered, and those that failed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use coinslot_fuzzing::TARGETS;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
}

/// Runs the inputs of one target. A panic names the input.
fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    let inputs = folder("corpus").join(name);
    let mut replayed = 0;
    for input in names(&inputs) {
        let data = std::fs::read(inputs.join(&input)).expect("an input");
        let run = || (target.run)(&data);
        assert!(std::panic::catch_unwind(run).is_ok(), "corpus/{name}/{input} breaks a property");
        replayed += 1;
    }
    assert!(replayed > 4, "{replayed} inputs of {name}");
}

macro_rules! replay {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                replay(stringify!($name));
            }
        )*

        /// Compares the targets with what is named after them: a target without a binary is never fuzzed.
        #[test]
        fn every_target_has_inputs_a_binary_and_a_test_here() {
            let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
            assert_eq!(BTreeSet::from([$(stringify!($name).to_owned()),*]), targets);
            assert_eq!(names(&folder("corpus")), targets);
            let binaries = names(&folder("targets/fuzz_targets"));
            let binaries: BTreeSet<String> = binaries.iter().map(|file| file.replace(".rs", "")).collect();
            assert_eq!(binaries, targets);
        }
    };
}

replay! {
    chain_logs challenges components configuration facilitator_answers key_values log_lines manifests payment_headers
    routes
}
