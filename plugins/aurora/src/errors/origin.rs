//! Guesses the field of an error, from the caller's word or from the text.

/// The field of a caller's word for a language or tool.
pub(super) fn field_of(language: &str) -> &'static str {
    match language.trim().to_ascii_lowercase().as_str() {
        "rust" | "rs" | "cargo" => "rust",
        "python" | "py" | "pip" | "django" | "flask" | "fastapi" => "python",
        "node" | "nodejs" | "javascript" | "js" | "npm" | "yarn" | "pnpm" | "react" | "next" | "nextjs" => "node",
        "typescript" | "ts" | "tsc" => "typescript",
        "go" | "golang" => "go",
        "java" | "kotlin" | "jvm" | "maven" | "gradle" => "java",
        "c" | "c++" | "cpp" | "gcc" | "clang" | "cmake" => "c",
        "docker" | "compose" | "podman" => "docker",
        "git" | "github" => "git",
        "postgres" | "postgresql" | "mysql" | "sql" | "sqlite" | "redis" | "database" | "mongodb" => "database",
        "http" | "cors" | "nginx" | "rest" | "browser" => "http",
        "tls" | "ssl" | "https" | "openssl" => "tls",
        "linux" | "os" | "unix" | "bash" | "shell" | "ssh" | "macos" => "linux",
        "kubernetes" | "k8s" | "kubectl" | "helm" => "kubernetes",
        "x402" | "evm" | "ethereum" | "solidity" | "payments" | "viem" | "ethers" | "foundry" => "payments",
        _ => "other",
    }
}

/// Guesses the field from signs in the text, which is in lower case.
pub(super) fn kind_of(lower: &str) -> Option<&'static str> {
    let any = |signs: &[&str]| signs.iter().any(|sign| lower.contains(sign));
    if any(&["error[e0", "--> src/", "thread 'main' panicked", "cargo "]) {
        Some("rust")
    } else if any(&["traceback (most recent call last)", ".py\", line ", "pip install"]) {
        Some("python")
    } else if any(&["error ts", ".ts("]) {
        Some("typescript")
    } else if any(&["goroutine ", ".go:", "panic: "]) {
        Some("go")
    } else if any(&["exception in thread", "caused by: ", ".java:"]) {
        Some("java")
    } else if any(&["npm err", "node:internal", ".js:", "node_modules", "npm error"]) {
        Some("node")
    } else if any(&["docker", "dockerfile"]) {
        Some("docker")
    } else if any(&["fatal: ", "git "]) {
        Some("git")
    } else {
        None
    }
}

/// A free hint for an unknown error of a field.
pub(super) fn hint(kind: Option<&'static str>) -> &'static str {
    match kind {
        Some("rust") => "It looks like Rust: send the line with `error[E....]`; `rustc --explain` knows every code.",
        Some("python") => "It looks like a Python traceback: send its last line, which names the exception.",
        Some("node" | "typescript") => {
            "It looks like JavaScript: send the line with the error's name and message, above the `at ...` lines."
        }
        Some("go") => {
            "It looks like Go: send the line that follows `panic:` or the compiler's `file.go:line:` message."
        }
        Some("java") => "It looks like a JVM trace: send the last `Caused by:` line.",
        _ => "Send the error's own words as they were printed, with any code such as E0382, ENOENT or 23505.",
    }
}
