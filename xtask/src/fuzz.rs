//! `cargo xtask fuzz TARGET`: runs one of the fuzzers in `fuzz/` on a corpus that begins with what the checkout and the
//! machine have of its kind.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell::{cargo, find_program, root, succeeds};

/// Bytes of a seed: larger files slow a fuzzer down.
const MOST: usize = 64 << 10;
/// Random seeds of targets whose input is a sequence of choices.
const CHOICES: u64 = 64;

/// Fuzzes a target for some minutes. True if nothing was found.
pub(crate) fn run(target: &str, flags: &[String]) -> Result<bool> {
    let minutes: u64 = match flags {
        [] => 1,
        [flag, n] if flag == "--minutes" => n.parse().context("--minutes takes a number")?,
        _ => bail!("the only flag is --minutes N"),
    };
    let targets = targets()?;
    if !targets.iter().any(|known| known == target) {
        bail!("no target {target}; there are: {}", targets.join(", "));
    }
    if find_program("cargo-fuzz").is_none() && !succeeds(&mut cargo(["fuzz", "--version"]))? {
        bail!("cargo-fuzz is missing: cargo install cargo-fuzz");
    }
    let corpus = root().join("fuzz/corpus").join(target);
    fs::create_dir_all(&corpus)?;
    let seeds = root().join("target/lab/seeds").join(target);
    fs::create_dir_all(&seeds)?;
    for (i, seed) in seeds_of(target)?.into_iter().enumerate() {
        fs::write(seeds.join(format!("{i:04}")), seed)?;
    }
    let mut command = cargo(["fuzz", "run", "--sanitizer", "none", target]);
    command.args([&corpus, &seeds]).arg("--");
    command.arg(format!("-max_total_time={}", minutes * 60));
    command.args(["-timeout=60", "-rss_limit_mb=4096", "-print_final_stats=1"]);
    // Instrumentation is no part of the stable compiler's interface, but it has it.
    command.env("RUSTC_BOOTSTRAP", "1").current_dir(root().join("fuzz"));
    succeeds(&mut command)
}

fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in root().join("fuzz/fuzz_targets").read_dir()? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// What the target's corpus begins with.
fn seeds_of(target: &str) -> Result<Vec<Vec<u8>>> {
    let root = root();
    let files = |paths: &[&str]| paths.iter().filter_map(|path| seed(Path::new(path))).collect::<Vec<_>>();
    let ours = |paths: &[&str]| paths.iter().filter_map(|path| seed(&root.join(path))).collect::<Vec<_>>();
    Ok(match target {
        "parser" => {
            let mut scripts = Vec::new();
            for dir in ["tests/golden", "tests/run", "examples"] {
                below(&root.join(dir), "bt", &mut scripts)?;
            }
            scripts.iter().filter_map(|path| seed(path)).collect()
        }
        "btf" => ours(&["tests/fixtures/mini.btf"]),
        "elf" => {
            let mut seeds = ours(&["tests/fixtures/debug.so", "target/lab/programs/hark-prog-dyn"]);
            seeds.extend(files(&["/bin/true"]));
            seeds
        }
        "tracefs" => {
            let mut formats = Vec::new();
            below(&root.join("tests/fixtures/events"), "", &mut formats)?;
            formats.iter().filter_map(|path| seed(path)).collect()
        }
        "kallsyms" => files(&["/proc/kallsyms"]),
        "maps" => files(&["/proc/self/maps"]),
        "ld_cache" => files(&["/etc/ld.so.cache"]),
        "verifier_log" => ours(&["crates/ebpf-asm/tests/kernel.log"]),
        _ => (0..CHOICES).map(choices).collect(),
    })
}

/// The beginning of a file, if it can be read.
fn seed(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = fs::read(path).ok()?;
    bytes.truncate(MOST);
    Some(bytes)
}

/// All files below `dir` with this extension.
fn below(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in dir.read_dir().with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            below(&path, extension, found)?;
        } else if path.extension().unwrap_or_default() == extension {
            found.push(path);
        }
    }
    Ok(())
}

/// Some hundred bytes that are always the same.
fn choices(n: u64) -> Vec<u8> {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..100 + 5 * n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect()
}
