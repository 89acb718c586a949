//! The repository's files, and the documents that must agree with the sources.

use std::fs::{read_dir, read_to_string, write};

use hark_testkit::case::find;
use hark_testkit::golden::Mode;
use hark_tests::{root_dir, tests_dir};

/// Directories that are not part of the repository.
const NOT_OURS: &[&str] = &["target", ".git"];

/// Every file of the repository, relative to its root, sorted.
pub(crate) fn repository_files() -> Vec<String> {
    let root = root_dir();
    let mut files = Vec::new();
    let mut pending = vec![root.clone()];
    while let Some(dir) = pending.pop() {
        for entry in read_dir(&dir).expect("a directory of the repository can be read") {
            let path = entry.expect("a directory entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_symlink() || NOT_OURS.contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                pending.push(path);
            } else {
                files.push(path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned());
            }
        }
    }
    files.sort();
    files
}

/// Every Rust source of the workspace with its text.
pub(crate) fn rust_sources() -> Vec<(String, String)> {
    let files = repository_files().into_iter().filter(|path| path.ends_with(".rs"));
    files.map(|path| (path.clone(), read_to_string(root_dir().join(&path)).expect("UTF-8"))).collect()
}

#[test]
fn documents_exist() {
    for name in
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"]
    {
        assert!(root_dir().join(name).exists(), "{name} is missing");
    }
}

#[test]
fn architecture_shows_the_edges() {
    let path = root_dir().join("ARCHITECTURE.md");
    let text = read_to_string(&path).expect("ARCHITECTURE.md");
    let (start, end) = ("<!-- edges -->\n```text\n", "```\n<!-- /edges -->");
    let from = text.find(start).expect("ARCHITECTURE.md has the mark <!-- edges -->") + start.len();
    let to = from + text[from..].find(end).expect("ARCHITECTURE.md has the mark <!-- /edges -->");
    let edges = super::crates::edges_as_text();
    if text[from..to] == edges {
        return;
    }
    if Mode::from_env().expect("HARK_BLESS is not set on CI") == Mode::Bless {
        write(&path, format!("{}{edges}{}", &text[..from], &text[to..]))
            .expect("ARCHITECTURE.md can be written");
    } else {
        panic!(
            "ARCHITECTURE.md shows other edges than tests/tidy/crates.rs: HARK_BLESS=1 cargo test -p hark-tests --test tidy"
        );
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for path in repository_files().into_iter().filter(|path| path.ends_with(".md")) {
        let text = read_to_string(root_dir().join(&path)).expect("UTF-8");
        let dir = root_dir().join(&path).parent().expect("a directory").to_owned();
        for part in text.split("](").skip(1) {
            let target = part.split([')', '#', ' ']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !dir.join(target).exists() {
                broken.push(format!("{path}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "links to files that do not exist:\n{}", broken.join("\n"));
}

/// Codes that come from a kernel or the command line, and the run case that shows each.
const IN_RUN_CASES: &[(&str, &str)] = &[
    ("cannot-load", "cli/map-too-large"),
    ("cannot-attach", "missing/no-such-file"),
    ("no-permission", "cli/no-permission"),
    ("run-time", "language/division-by-zero"),
    ("test-failed", "test/fails"),
    ("bad-test", "test/mistakes"),
    ("bad-usage", "cli/bad-usage"),
];

/// Codes of which no case can be made, and why.
const NO_CASE: &[(&str, &str)] = &[
    ("internal-error", "a defect, by definition"),
    ("verifier-would-reject", "hark does not generate such code"),
    ("kernel-rejects", "hark does not generate such code"),
];

#[test]
fn every_code_is_explained_and_shown() {
    let text = read_to_string(root_dir().join("crates/hark-diag/src/codes.rs")).expect("the list of codes");
    let rows: Vec<&str> =
        text.lines().filter(|line| line.trim_end().ends_with("\";") && line.contains(" = ")).collect();
    assert!(rows.len() > 20, "the list of codes has another form than this test expects");
    let mut missing = Vec::new();
    for row in rows {
        let words: Vec<&str> = row.split('"').collect();
        let (name, explanation) = (words[1], words[3]);
        assert!(explanation.len() > 30, "say in a full sentence what it means: {row}");
        let golden = tests_dir().join(format!("golden/diag/{name}.bt"));
        let run = IN_RUN_CASES.iter().find(|row| row.0 == name);
        let case = run.map_or(golden, |row| tests_dir().join(format!("run/{}.bt", row.1)));
        // The number stands behind the name of the constant: `SYNTAX = 101 "syntax" …`.
        let number = words[0].rsplit(' ').find(|word| !word.is_empty()).unwrap_or_default();
        let shown = read_to_string(case).is_ok_and(|text| text.contains(&format!("H{number:0>4}")));
        match NO_CASE.iter().find(|row| row.0 == name) {
            None if shown => {}
            None => missing.push(name),
            Some((_, reason)) => assert!(!shown, "{name} has a case: take it off NO_CASE ({reason})"),
        }
    }
    assert!(
        missing.is_empty(),
        "show in tests/golden/diag/NAME.bt, or name a run case in IN_RUN_CASES: {missing:?}"
    );
}

#[test]
fn cases_have_names_that_sort_and_type_well() {
    for dir in ["golden", "run"] {
        for path in find(&tests_dir().join(dir), &["bt", "ir", "mir", "s"]).expect("a directory of cases") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(name.chars().all(plain), "{}: use a-z, 0-9 and -", path.display());
        }
    }
}
