//! bpftrace, for comparison: Debian's newest, in a root directory of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::kernels::own_mirror;
use crate::shell::{find_program, is_root, lab, output, succeeds};

/// A root directory with bpftrace in it, and the kernel's file systems mounted while this value lives.
pub(crate) struct Peer {
    pub(crate) root: PathBuf,
    pub(crate) version: String,
    mounted: Vec<PathBuf>,
}

/// What bpftrace needs to see of the kernel; each is bound to the same place below the new root.
const MOUNTS: &[&str] = &["/proc", "/sys", "/sys/kernel/tracing", "/dev"];

/// Finds or makes the root directory: `HARK_PEER_ROOT`, or `target/lab/sid` (by debootstrap, which needs root and the
/// network). `None`, with a message, if there is none to be had.
///
/// # Errors
/// The directory is there, but bpftrace does not run in it.
pub(crate) fn open() -> Result<Option<Peer>> {
    let root = match std::env::var_os("HARK_PEER_ROOT") {
        Some(path) => PathBuf::from(path),
        None => lab().join("sid"),
    };
    if !is_root() {
        println!("bpftrace is left out: it needs root");
        return Ok(None);
    }
    if !root.join("usr/bin/bpftrace").exists()
        && let Err(error) = make(&root)
    {
        println!("bpftrace is left out: {error:#}");
        return Ok(None);
    }
    let mut peer = Peer { root, version: String::new(), mounted: Vec::new() };
    peer.mount()?;
    let version = output(Command::new("chroot").arg(&peer.root).args(["bpftrace", "--version"]))?;
    peer.version = version.trim().replace(" v", " ");
    Ok(Some(peer))
}

fn make(root: &Path) -> Result<()> {
    let debootstrap = find_program("debootstrap").context("debootstrap is not installed")?;
    let mirror = own_mirror()?.uri;
    println!("making {} by debootstrap", root.display());
    let partial = root.with_extension("partial");
    drop(std::fs::remove_dir_all(&partial));
    let mut command = Command::new(debootstrap);
    command.args(["--variant=minbase", "--include=bpftrace,bpftool,strace", "sid"]).arg(&partial).arg(mirror);
    output(&mut command)?;
    std::fs::rename(&partial, root).context("cannot rename the new root directory")
}

impl Peer {
    fn mount(&mut self) -> Result<()> {
        for from in MOUNTS {
            let to = self.root.join(from.trim_start_matches('/'));
            if is_mounted(&to) {
                continue;
            }
            let mut mount = Command::new("mount");
            if succeeds(mount.arg("--bind").arg(from).arg(&to))? {
                self.mounted.push(to);
            }
        }
        Ok(())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        for path in self.mounted.iter().rev() {
            drop(Command::new("umount").arg(path).status());
        }
    }
}

fn is_mounted(path: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(1).is_some_and(|place| Path::new(place) == path))
}
