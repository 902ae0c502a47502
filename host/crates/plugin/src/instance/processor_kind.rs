//! Kinds of processors, as the compiler tells them apart: by the features that it uses where a processor has them.
//!
//! A host compiles for the processor that it runs on. A release is built on one machine and runs on others, so it
//! carries code for the kinds that servers and developers have. A processor of no such kind compiles as it does without.

use std::sync::Arc;

use wasmtime::{CacheStore, Engine};

use crate::instance::engine::{self, EngineKind};

/// A processor that code is compiled for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Processor {
    /// The one that this process runs on.
    This,
    /// One of this architecture. The features have cranelift's names.
    Kind { name: &'static str, features: &'static [&'static [&'static str]] },
}

/// The features of each x86-64 processor below: those of Intel have them since 2013, those of AMD since 2017.
const V3: &[&str] = &[
    "has_cmpxchg16b",
    "has_sse3",
    "has_ssse3",
    "has_sse41",
    "has_sse42",
    "has_popcnt",
    "has_avx",
    "has_avx2",
    "has_fma",
    "has_bmi1",
    "has_bmi2",
    "has_lzcnt",
];
const AVX_VNNI: &[&str] = &["has_avx_vnni"];
const AVX512: &[&str] = &["has_avx512f", "has_avx512dq", "has_avx512vl"];
const AVX512_VNNI: &[&str] = &["has_avx512vnni"];
const AVX512_BYTES: &[&str] = &["has_avx512vbmi", "has_avx512bitalg"];

/// Named by the first processor of a kind. Later ones follow.
const X86_64: [Processor; 6] = [
    // Up to Comet Lake; Zen 1 to 3.
    Processor::Kind { name: "haswell", features: &[V3] },
    // All desktops since.
    Processor::Kind { name: "alder-lake", features: &[V3, AVX_VNNI] },
    Processor::Kind { name: "skylake-server", features: &[V3, AVX512] },
    Processor::Kind { name: "cascade-lake", features: &[V3, AVX512, AVX512_VNNI] },
    // Zen 4.
    Processor::Kind { name: "ice-lake", features: &[V3, AVX512, AVX512_VNNI, AVX512_BYTES] },
    // Emerald Rapids, Granite Rapids; Zen 5.
    Processor::Kind { name: "sapphire-rapids", features: &[V3, AVX512, AVX512_VNNI, AVX512_BYTES, AVX_VNNI] },
];

const NEOVERSE_N1: &[&str] = &["has_lse", "has_fp16", "has_dotprod"];
const NEOVERSE_V1: &[&str] = &["has_i8mm"];
const POINTER_AUTHENTICATION: &[&str] = &["has_pauth"];

/// Cloud servers: Graviton 2 and Ampere Altra; Graviton 3 and 4, Axion and Cobalt, whose pointer authentication a
/// hypervisor may hide.
const AARCH64: [Processor; 3] = [
    Processor::Kind { name: "neoverse-n1", features: &[NEOVERSE_N1] },
    Processor::Kind { name: "neoverse-v1", features: &[NEOVERSE_N1, NEOVERSE_V1] },
    Processor::Kind { name: "neoverse-v1-pauth", features: &[NEOVERSE_N1, NEOVERSE_V1, POINTER_AUTHENTICATION] },
];

impl Processor {
    /// This one, and the kinds of its architecture.
    pub(crate) fn all() -> Vec<Self> {
        let kinds: &[Self] = match (target().is_some(), std::env::consts::ARCH) {
            (true, "x86_64") => &X86_64,
            (true, "aarch64") => &AARCH64,
            _ => &[],
        };
        [&[Self::This], kinds].concat()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::This => "this processor",
            Self::Kind { name, .. } => name,
        }
    }

    /// An engine that only compiles: see [`engine::compiler`].
    pub(crate) fn compiler(self, kind: EngineKind, functions: Option<Arc<dyn CacheStore>>) -> wasmtime::Result<Engine> {
        match (self, target()) {
            (Self::This, _) => engine::compiler(kind, functions),
            (Self::Kind { features, .. }, Some(target)) => {
                engine::compiler_for(kind, &target, features.iter().copied().flatten().copied(), functions)
            }
            (Self::Kind { .. }, None) => Err(wasmtime::format_err!("other processors have no name on this system")),
        }
    }
}

/// The triple that the compiler names this architecture and system by. None where its name of the system is not known.
fn target() -> Option<String> {
    let library = if cfg!(target_env = "gnu") {
        "gnu"
    } else if cfg!(target_env = "musl") {
        "musl"
    } else {
        return None;
    };
    cfg!(target_os = "linux").then(|| format!("{}-unknown-linux-{library}", std::env::consts::ARCH))
}

#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod tests {
    use super::*;
    use crate::instance::engine::{Allocation, Wasi, fingerprint};

    const KIND: EngineKind = EngineKind { wasi: Wasi::P3, allocation: Allocation::Pooled };

    /// Functions that were compiled for a kind are found on its processors only if both have one fingerprint.
    #[test]
    fn a_kind_with_the_features_of_this_processor_has_its_fingerprint_and_kinds_differ() {
        macro_rules! detected {
            ($($flag:literal $feature:tt)*) => { [$(($flag, std::is_x86_feature_detected!($feature))),*] };
        }
        let detected = detected! {
            "has_cmpxchg16b" "cmpxchg16b" "has_sse3" "sse3" "has_ssse3" "ssse3" "has_sse41" "sse4.1"
            "has_sse42" "sse4.2" "has_popcnt" "popcnt" "has_avx" "avx" "has_avx2" "avx2" "has_fma" "fma"
            "has_bmi1" "bmi1" "has_bmi2" "bmi2" "has_lzcnt" "lzcnt" "has_avx_vnni" "avxvnni"
            "has_avx512f" "avx512f" "has_avx512dq" "avx512dq" "has_avx512vl" "avx512vl"
            "has_avx512vnni" "avx512vnni" "has_avx512vbmi" "avx512vbmi" "has_avx512bitalg" "avx512bitalg"
        };
        let own = detected.into_iter().filter(|(_, is_here)| *is_here).map(|(flag, _)| flag);
        let named = engine::compiler_for(KIND, &target().expect("Linux"), own, None).expect("an engine");
        let this = Processor::This.compiler(KIND, None).expect("an engine");
        assert_eq!(fingerprint(&named), fingerprint(&this));

        let kinds = X86_64.map(|processor| fingerprint(&processor.compiler(KIND, None).expect("an engine")));
        for (index, kind) in kinds.iter().enumerate() {
            assert!(!kinds[..index].contains(kind), "{}", X86_64[index].name());
        }
    }
}
