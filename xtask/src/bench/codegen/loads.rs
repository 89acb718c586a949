//! What the kernel says about the programs that a tool loads; nothing is attached.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Case, Places, build, inside};
use crate::bench::peer::Peer;
use crate::shell::{lab, root};

/// Sums over the programs of a script; the stack is the deepest.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    pub(super) programs: u32,
    pub(super) xlated: u32,
    pub(super) jited: u32,
    pub(super) verified: u32,
    pub(super) stack: u32,
}

/// Runs both tools below `bench/loads.c`.
pub(super) struct Loader<'a> {
    program: PathBuf,
    hark: &'a Path,
    peer: &'a Peer,
    places: &'a Places,
}

impl<'a> Loader<'a> {
    pub(super) fn new(hark: &'a Path, peer: &'a Peer, places: &'a Places) -> Result<Self> {
        let program = lab().join("loads");
        build(&root().join("bench/loads.c"), &program)?;
        Ok(Self { program, hark, peer, places })
    }

    /// hark's programs and bpftrace's, or which of them has none and why.
    pub(super) fn both(&self, case: &Case) -> Result<Result<(Size, Size), String>> {
        let script = &self.places.script;
        std::fs::write(script, case.text.replace("DRIVE", &self.places.drive.display().to_string()))?;
        let mut command = Command::new(&self.program);
        command.arg(self.hark).arg("--unsafe").arg("--dry-run").arg(script);
        let ours = match measured(&mut command)? {
            Ok(size) => size,
            Err(why) => return Ok(Err(format!("hark: {why}"))),
        };
        std::fs::write(script, case.text.replace("DRIVE", &inside(self.peer, &self.places.drive)?))?;
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.peer.root).args(["--versioned", "bpftrace", "--unsafe", "--dry-run"]);
        command.arg("--traceable-functions").arg(inside(self.peer, &self.places.functions)?);
        command.arg(inside(self.peer, script)?);
        Ok(measured(&mut command)?.map(|theirs| (ours, theirs)).map_err(|why| format!("bpftrace: {why}")))
    }
}

/// The name of the programs that hark asks the kernel questions with.
const ASKS: &str = "probe";

/// Runs a command and adds up the lines that `loads` prints.
fn measured(command: &mut Command) -> Result<Result<Size, String>> {
    let done = command.stdin(std::process::Stdio::null()).output().context("cannot run loads")?;
    Ok(read(&String::from_utf8_lossy(&done.stderr)))
}

/// Programs are loaded before any is attached, so a failure to attach, which is meant, tells that all are there.
fn read(text: &str) -> Result<Size, String> {
    let mut size = Size::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let ["program", name, numbers @ ..] = words.as_slice() else { continue };
        if *name == ASKS {
            continue;
        }
        let numbers: Vec<u32> = numbers.iter().filter_map(|n| n.parse().ok()).collect();
        let [xlated, jited, verified, stack] = numbers[..] else { continue };
        size.programs += 1;
        size.xlated += xlated;
        size.jited += jited;
        size.verified += verified;
        size.stack = size.stack.max(stack);
    }
    let ended_well = text.lines().any(|line| line == "status 0");
    let error = text.lines().find(|line| line.contains("ERROR")).unwrap_or("no program was loaded");
    if size.programs > 0 && (ended_well || error.contains("attach")) {
        Ok(size)
    } else {
        Err(error.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn programs_are_added_up_and_failures_told_apart() {
        let two = "program probe 2 20 2 0\nprogram a 10 60 9 8\nprogram - 5 30 5 16\nERROR: cannot attach a\nstatus 1\n";
        let size = read(two).unwrap();
        assert_eq!((size.programs, size.xlated, size.jited, size.verified, size.stack), (2, 15, 90, 14, 16));
        assert!(read("program a 10 60 9 8\nERROR: cannot load b\nstatus 1\n").is_err());
        assert!(read("status 0\n").is_err());
    }
}
