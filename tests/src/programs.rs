//! Builds the test programs: C, because they must make system calls by number and export plain symbols.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Builds `programs/hark-prog.c` below `tests` into `out`, statically and dynamically linked, unless it is there and
/// newer than its source. Returns the two paths.
///
/// # Errors
/// There is no C compiler, or it fails.
pub fn build(tests: &Path, out: &Path) -> Result<(PathBuf, PathBuf)> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let source = tests.join("programs/hark-prog.c");
    let fixed = out.join("hark-prog");
    let dynamic = out.join("hark-prog-dyn");
    compile(&source, &fixed, &["-static", "-no-pie", "-Wl,--section-start=.watched=0x10000000"])?;
    compile(&source, &dynamic, &["-pie", "-fPIE", "-DDYNAMIC"])?;
    Ok((fixed, dynamic))
}

fn compile(source: &Path, program: &Path, how: &[&str]) -> Result<()> {
    let time = |path: &Path| std::fs::metadata(path).and_then(|data| data.modified());
    let changed = time(source).with_context(|| format!("cannot find {}", source.display()))?;
    if time(program).is_ok_and(|built| built >= changed) {
        return Ok(());
    }
    let output = Command::new("cc")
        .args(["-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fno-omit-frame-pointer"])
        .args(how)
        .arg("-o")
        .args([program, source])
        .output()
        .context("cannot start cc: install gcc")?;
    if !output.status.success() {
        bail!("cc failed on {}:\n{}", source.display(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
