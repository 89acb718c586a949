//! Floors and edges between the crates of the workspace, and who may use which crate from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use hark_tests::root_dir;
use serde_json::Value;

/// The floors, and every normal (not dev) edge between crates of the workspace. An edge points to a lower floor, or to
/// the same floor further up in this list, never in a circle.
const EDGES: &[(&str, &str, &[&str])] = &[
    ("F0", "hark-diag", &[]),
    ("F0", "ebpf-asm", &[]),
    ("F0", "bpf-facts", &[]),
    ("F0", "hark-btf", &[]),
    ("F0", "hark-symbols", &[]),
    ("F1", "hark-syntax", &["hark-diag"]),
    ("F1", "hark-object", &["hark-diag", "ebpf-asm", "bpf-facts"]),
    ("F1", "ebpf-codegen", &["ebpf-asm", "bpf-facts"]),
    ("F1", "verifier-sim", &["ebpf-asm", "bpf-facts", "hark-btf"]),
    ("F1", "bpf-syscall", &["ebpf-asm", "bpf-facts"]),
    (
        "F2",
        "hark-compiler",
        &[
            "hark-diag",
            "ebpf-asm",
            "bpf-facts",
            "hark-btf",
            "hark-syntax",
            "hark-object",
            "ebpf-codegen",
            "verifier-sim",
        ],
    ),
    (
        "F2",
        "probe-attach",
        &["hark-diag", "bpf-facts", "hark-btf", "hark-symbols", "hark-object", "bpf-syscall"],
    ),
    ("F2", "ebpf-interp", &["ebpf-asm", "bpf-facts", "bpf-syscall"]),
    (
        "F2",
        "bpf-input",
        &["ebpf-asm", "bpf-facts", "hark-btf", "hark-symbols", "verifier-sim", "bpf-syscall"],
    ),
    (
        "F3",
        "hark-runtime",
        &["hark-diag", "ebpf-asm", "bpf-facts", "hark-symbols", "hark-object", "bpf-syscall", "probe-attach"],
    ),
    (
        "F4",
        "hark-rehearsal",
        &[
            "hark-diag",
            "bpf-facts",
            "hark-btf",
            "hark-object",
            "bpf-syscall",
            "hark-compiler",
            "ebpf-interp",
            "hark-runtime",
        ],
    ),
    (
        "F5",
        "hark-cli",
        &[
            "hark-diag",
            "ebpf-asm",
            "bpf-facts",
            "hark-btf",
            "hark-syntax",
            "hark-object",
            "bpf-syscall",
            "hark-compiler",
            "probe-attach",
            "ebpf-interp",
            "hark-runtime",
            "bpf-input",
            "verifier-sim",
            "hark-rehearsal",
        ],
    ),
    (
        "F5",
        "hark-testkit",
        &[
            "hark-diag",
            "ebpf-asm",
            "bpf-facts",
            "hark-btf",
            "hark-symbols",
            "hark-syntax",
            "hark-object",
            "ebpf-codegen",
            "verifier-sim",
            "bpf-syscall",
            "hark-compiler",
            "probe-attach",
            "ebpf-interp",
            "hark-runtime",
            "hark-rehearsal",
        ],
    ),
    ("F6", "hark-tests", &["hark-testkit"]),
    ("F6", "xtask", &[]),
];

/// Who must not reach whom, over however many edges.
const NEVER: &[(&str, &[&str], &str)] = &[
    ("hark-runtime", &["hark-compiler", "hark-syntax", "ebpf-codegen"], "the object is the contract"),
    ("probe-attach", &["hark-compiler", "hark-syntax", "ebpf-codegen"], "the object is the contract"),
    ("ebpf-codegen", &["hark-diag", "hark-syntax", "hark-object"], "it knows a machine, not a language"),
    ("ebpf-codegen", &["verifier-sim", "ebpf-interp"], "they are each other's oracles"),
    ("verifier-sim", &["ebpf-codegen", "ebpf-interp"], "they are each other's oracles"),
    ("ebpf-interp", &["ebpf-codegen", "verifier-sim"], "they are each other's oracles"),
];

/// Crates from outside that stand behind a wall: who may use them as a normal dependency.
const WALLS: &[(&str, &[&str])] = &[
    ("libc", &["bpf-syscall"]),
    ("nix", &["bpf-syscall"]),
    ("rustix", &[]),
    ("pest", &["hark-syntax"]),
    ("pest_derive", &["hark-syntax"]),
    ("goblin", &["hark-symbols"]),
    ("memmap2", &["hark-symbols"]),
    ("gimli", &["hark-symbols"]),
    ("addr2line", &["hark-symbols"]),
    ("flate2", &["hark-symbols"]),
    ("clap", &["hark-cli"]),
    ("clap_complete", &["hark-cli"]),
    ("clap_mangen", &[]),
    ("proptest", &["hark-testkit"]),
    ("similar", &["hark-testkit"]),
    ("libtest-mimic", &["hark-testkit", "hark-tests"]),
    ("expect-test", &[]),
    ("anyhow", &["hark-cli", "hark-testkit", "hark-tests", "xtask"]),
    ("serde_json", &["hark-runtime", "bpf-input", "hark-tests"]),
];

/// What others would do for us, and what this project is there to do itself.
const FORBIDDEN: &[&str] = &[
    "aya",
    "aya-obj",
    "libbpf-rs",
    "libbpf-sys",
    "rbpf",
    "solana-sbpf",
    "regalloc2",
    "btf-rs",
    "llvm-sys",
    "inkwell",
    "bindgen",
    "cranelift-codegen",
];

/// Package → (normal, dev and build) dependencies by name.
struct Graph(BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>);

fn graph() -> Graph {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root_dir())
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let mut graph = BTreeMap::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let (mut normal, mut other) = (BTreeSet::new(), BTreeSet::new());
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let name = dependency["name"].as_str().expect("a name").to_owned();
            if dependency["kind"].is_null() { &mut normal } else { &mut other }.insert(name);
        }
        graph.insert(package["name"].as_str().expect("a name").to_owned(), (normal, other));
    }
    Graph(graph)
}

impl Graph {
    /// Normal edges to crates of the workspace.
    fn ours(&self, name: &str) -> BTreeSet<&str> {
        self.0[name].0.iter().map(String::as_str).filter(|d| self.0.contains_key(*d)).collect()
    }
}

#[test]
fn edges_are_those_listed() {
    let graph = graph();
    for name in graph.0.keys() {
        let Some(row) = EDGES.iter().find(|row| row.1 == name) else {
            panic!("{name} is not in EDGES: give it a floor");
        };
        let listed: BTreeSet<&str> = row.2.iter().copied().collect();
        assert_eq!(
            graph.ours(name),
            listed,
            "{name}: the edges in Cargo.toml (left) differ from EDGES (right)"
        );
    }
    assert_eq!(graph.0.len(), EDGES.len(), "EDGES lists a crate that does not exist");
}

#[test]
fn edges_point_down() {
    let place = |name: &str| EDGES.iter().position(|row| row.1 == name).expect("listed");
    for (floor, name, edges) in EDGES {
        for edge in *edges {
            let below = EDGES[place(edge)].0;
            assert!(
                below < *floor,
                "{name} ({floor}) must not depend on {edge} ({below}): an edge points to a lower floor"
            );
        }
    }
}

#[test]
fn nobody_reaches_what_they_must_not() {
    let graph = graph();
    for (name, forbidden, reason) in NEVER {
        let mut reached = BTreeSet::new();
        let mut pending = vec![*name];
        while let Some(next) = pending.pop() {
            for edge in graph.ours(next) {
                if reached.insert(edge) {
                    pending.push(edge);
                }
            }
        }
        for other in *forbidden {
            assert!(!reached.contains(other), "{name} must not depend on {other}, directly or not: {reason}");
        }
    }
}

#[test]
fn walls_around_outside_crates() {
    for (name, (normal, other)) in &graph().0 {
        for dependency in normal {
            if let Some((_, allowed)) = WALLS.iter().find(|row| row.0 == dependency) {
                assert!(
                    allowed.contains(&name.as_str()),
                    "{name} must not use {dependency}; {allowed:?} may"
                );
            }
        }
        for dependency in normal.iter().chain(other) {
            assert!(!FORBIDDEN.contains(&dependency.as_str()), "{name} must not use {dependency}");
        }
    }
}

/// The list of edges as ARCHITECTURE.md shows it.
pub(crate) fn edges_as_text() -> String {
    let mut text = String::new();
    let mut floor = "";
    for (at, name, edges) in EDGES {
        let label = if *at == floor { "" } else { at };
        floor = at;
        let list = if edges.is_empty() { "–".to_owned() } else { edges.join(", ") };
        text.push_str(format!("{label:<3} {name:<14} → {list}\n").as_str());
    }
    text
}
