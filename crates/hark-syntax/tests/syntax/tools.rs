//! Scripts that people have: those that a distribution installs, where it is installed.

use hark_diag::{SourceMap, Style, render};
use hark_syntax::{ParseOptions, parse};
use std::path::PathBuf;

/// The scripts of an installed bpftrace, in `HARK_TOOLS` (the folder of a chroot) or here; none where there is none.
fn installed_scripts() -> Vec<PathBuf> {
    let root = std::env::var_os("HARK_TOOLS").map(PathBuf::from);
    let places = root.into_iter().chain(["/usr/sbin"].map(PathBuf::from));
    for dir in places {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        let mut found: Vec<PathBuf> = entries
            .flatten()
            .map(|e| e.path())
            .filter(|p| p.extension().is_some_and(|e| e == "bt"))
            .collect();
        if !found.is_empty() {
            found.sort();
            return found;
        }
    }
    Vec::new()
}

#[test]
fn installed_scripts_parse_with_and_without_btf() {
    for path in installed_scripts() {
        let text = std::fs::read_to_string(&path).expect("an installed script can be read");
        for predefined in [vec![], vec!["BPFTRACE_HAVE_BTF".to_string()]] {
            let mut map = SourceMap::default();
            let file = map.add(path.display().to_string(), text.clone());
            let options = ParseOptions { predefined, ..ParseOptions::default() };
            let parsed = parse(file, &text, &options);
            assert!(parsed.diags.is_empty(), "{}", render(&map, &parsed.diags, Style::Plain));
            assert!(!parsed.script.items.is_empty(), "{}", path.display());
        }
    }
}
