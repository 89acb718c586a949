//! All scripts there are, formatted, and with mistakes put into them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use hark_testkit::case::find;
use hark_testkit::mutate::try_mutants;
use hark_testkit::scripts::{Compiler, format_faults};
use hark_tests::{root_dir, tests_dir};

/// Scripts of the repository, and those of bpftrace's package where it is installed.
fn scripts() -> Vec<(PathBuf, String)> {
    let peer =
        std::env::var_os("HARK_PEER_ROOT").map_or_else(|| root_dir().join("target/lab/sid"), PathBuf::from);
    let dirs = [root_dir().join("examples"), tests_dir(), peer.join("usr/sbin")];
    let files = dirs.iter().flat_map(|dir| find(dir, &["bt"]).unwrap_or_default());
    files.filter_map(|path: PathBuf| Some((path.clone(), std::fs::read_to_string(path).ok()?))).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[test]
fn formatting_keeps_what_scripts_say() {
    let mut wrong = String::new();
    let mut count = 0;
    for (path, text) in scripts() {
        // Those with errors are not formatted.
        if let Some(faults) = format_faults(&name(&path), &text) {
            count += 1;
            if !faults.is_empty() {
                wrong.push_str(&format!("{}: {faults}\n", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count > 100, "the scripts are gone: {count}");
}

#[test]
fn mistakes_end_in_messages() {
    let compiler = Compiler::new(&tests_dir().join("fixtures")).expect("the fixtures");
    let texts: Vec<String> =
        scripts().into_iter().map(|(_, text)| text).filter(|text| text.len() < 4000).collect();
    let cases = std::env::var("HARK_MUTANTS").ok().and_then(|n| n.parse().ok()).unwrap_or(150);
    let check = |text: &str| {
        let compile = || {
            compiler.complaints("mutant.bt", text);
            format_faults("mutant.bt", text)
        };
        match catch_unwind(AssertUnwindSafe(compile)) {
            Ok(None) => Ok(()),
            Ok(Some(faults)) if faults.is_empty() => Ok(()),
            Ok(Some(faults)) => Err(faults),
            Err(_) => Err("it panics".to_owned()),
        }
    };
    if let Err(why) = try_mutants(&texts, cases, &check) {
        panic!("{why}");
    }
}
