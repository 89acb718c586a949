//! What may stand in the sources.

use std::collections::BTreeSet;
use std::fs::read_to_string;

use hark_tests::root_dir;

use super::files::{repository_files, rust_sources};

/// The files that may hold `unsafe`, each small and with a reason in its first lines.
const UNSAFE_FILES: &[&str] = &[
    "crates/bpf-syscall/src/background.rs",
    "crates/bpf-syscall/src/child.rs",
    "crates/bpf-syscall/src/local_time.rs",
    "crates/bpf-syscall/src/raw.rs",
    "crates/bpf-syscall/src/shared_memory.rs",
    "crates/hark-symbols/src/map_file.rs",
];

/// Crates that turn text into programs. The host reaches them as a value only.
const PURE_CRATES: &[&str] = &[
    "hark-diag",
    "ebpf-asm",
    "bpf-facts",
    "hark-btf",
    "hark-syntax",
    "hark-object",
    "ebpf-codegen",
    "verifier-sim",
    "hark-compiler",
];

/// What a pure crate must not name.
const HOST: &[&str] = &[
    "std::fs",
    "std::env",
    "std::process",
    "TcpStream",
    "UdpSocket",
    "ToSocketAddrs",
    "std::thread",
    "Instant::now",
    "SystemTime",
    "env::var",
    "File::open",
    "uname(",
];

/// Aim below this many lines.
const SOFT_LIMIT: usize = 500;
/// A longer file is a failure, unless it is listed.
const HARD_LIMIT: usize = 900;
/// Longer files, and why.
const LONG_FILES: &[(&str, &str)] =
    &[("crates/hark-testkit/src/agree/generate.rs", "one generator, a case for each shape of program")];

/// The part of a source before its unit tests.
fn without_tests(text: &str) -> &str {
    text.find("\n#[cfg(test)]\nmod ").map_or(text, |at| &text[..at])
}

/// Lines outside comments, with their numbers.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(i, line)| (i + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[test]
fn unsafe_code_stands_in_the_listed_files_only() {
    // Written so that this file does not find itself.
    let marks = [
        concat!("#![expect(", "unsafe_code"),
        concat!("#[expect(", "unsafe_code"),
        concat!("#[allow(", "unsafe_code"),
    ];
    let mut found = BTreeSet::new();
    for (path, text) in rust_sources() {
        if code_lines(&text).any(|(_, line)| marks.iter().any(|mark| line.trim_start().starts_with(mark))) {
            assert!(
                UNSAFE_FILES.contains(&path.as_str()),
                "{path} relaxes unsafe_code but is not in UNSAFE_FILES"
            );
            assert!(text.contains("reason ="), "{path}: say why, `reason = \"…\"`");
            found.insert(path);
        }
    }
    for path in UNSAFE_FILES {
        let exists = root_dir().join(path).exists();
        assert!(
            !exists || found.contains(*path),
            "{path} has no unsafe code any more: take it off UNSAFE_FILES"
        );
    }
}

#[test]
fn compilation_does_not_look_at_the_host() {
    let mut findings = Vec::new();
    for (path, text) in rust_sources() {
        if !PURE_CRATES.iter().any(|name| path.starts_with(&format!("crates/{name}/src/"))) {
            continue;
        }
        for (number, line) in code_lines(without_tests(&text)) {
            if let Some(word) = HOST.iter().find(|word| line.contains(**word)) {
                findings.push(format!("{path}:{number}: {word}"));
            }
        }
    }
    assert!(findings.is_empty(), "the host must arrive as a value:\n{}", findings.join("\n"));
}

#[test]
fn nothing_is_global_and_mutable() {
    let mut findings = Vec::new();
    for (path, text) in rust_sources() {
        if !path.starts_with("crates/") {
            continue;
        }
        for (number, line) in code_lines(without_tests(&text)) {
            if ["static mut ", "thread_local!", "lazy_static!"].iter().any(|word| line.contains(word)) {
                findings.push(format!("{path}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(findings.is_empty(), "settings are arguments, not globals:\n{}", findings.join("\n"));
}

#[test]
fn files_are_about_one_thing() {
    let mut too_long = Vec::new();
    for (path, text) in rust_sources() {
        let lines = text.lines().count();
        let listed = LONG_FILES.iter().any(|row| row.0 == path);
        if lines > HARD_LIMIT && !listed {
            too_long.push(format!("{path}: {lines} lines"));
        } else if lines > SOFT_LIMIT && !listed {
            println!("note: {path} has {lines} lines; aim below {SOFT_LIMIT}");
        }
        assert!(!listed || lines > SOFT_LIMIT, "{path} is short again: take it off LONG_FILES");
    }
    for (path, reason) in LONG_FILES {
        assert!(root_dir().join(path).exists() && !reason.is_empty(), "{path}: gone, or without a reason");
    }
    assert!(
        too_long.is_empty(),
        "split these, or list them in LONG_FILES with a reason:\n{}",
        too_long.join("\n")
    );
}

#[test]
fn nothing_is_left_undone() {
    // Written so that this file does not find itself.
    let words = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("dbg", "!("),
        concat!("#[ig", "nore"),
    ];
    let mut findings = Vec::new();
    for (path, text) in rust_sources() {
        for (number, line) in code_lines(&text) {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                findings.push(format!("{path}:{number}: {word}"));
            }
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn nothing_names_this_machine() {
    let root = root_dir();
    let mut private = vec![concat!("/wo", "rk/"), concat!("/opt/", "lab"), concat!("/ro", "ot/.")];
    let root_text = root.to_string_lossy();
    // A checkout at `/x` would find itself everywhere.
    if root_text.matches('/').count() > 1 {
        private.push(&root_text);
    }
    let hosts = [concat!("deb.deb", "ian.org"), concat!("crates", ".io"), concat!("snapshot.deb", "ian.org")];
    let mut findings = Vec::new();
    for path in repository_files() {
        // The registry's own name stands in every lock file.
        if path == "Cargo.lock" || path == "fuzz/Cargo.lock" {
            continue;
        }
        let Ok(text) = read_to_string(root.join(&path)) else { continue };
        for (i, line) in text.lines().enumerate() {
            if let Some(word) = private.iter().chain(&hosts).find(|word| line.contains(**word)) {
                findings.push(format!("{path}:{}: {word}", i + 1));
            }
        }
    }
    assert!(findings.is_empty(), "paths of a machine, or names of package hosts:\n{}", findings.join("\n"));
}
