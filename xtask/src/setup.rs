//! What the tests need of the machine: programs, packages, mounted file systems.

use std::fs::read_to_string;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::shell::{find_program, is_root, succeeds};

/// A program or file that the tests need, and the Debian package that has it.
struct Need {
    what: &'static str,
    package: &'static str,
    present: fn() -> bool,
}

const NEEDS: &[Need] = &[
    Need { what: "a C compiler (cc)", package: "gcc", present: || find_program("cc").is_some() },
    Need {
        what: "the C library for static linking",
        package: "libc6-dev",
        present: || Path::new("/usr/lib/x86_64-linux-gnu/libc.a").exists(),
    },
    Need {
        what: "qemu-system-x86_64",
        package: "qemu-system-x86",
        present: || find_program("qemu-system-x86_64").is_some(),
    },
    Need {
        what: "the firmware of virtual machines",
        package: "seabios",
        present: || Path::new("/usr/share/seabios/bios-256k.bin").exists(),
    },
    Need {
        what: "a statically linked busybox",
        package: "busybox-static",
        present: || find_program("busybox").is_some_and(|path| is_static(&path)),
    },
    Need { what: "dpkg-deb", package: "dpkg", present: || find_program("dpkg-deb").is_some() },
    Need { what: "xz", package: "xz-utils", present: || find_program("xz").is_some() },
];

/// A statically linked program has no interpreter; the name of every dynamic loader begins like this.
fn is_static(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|bytes| {
        let head = &bytes[..bytes.len().min(4096)];
        head.starts_with(b"\x7fELF") && !head.windows(9).any(|window| window == b"ld-linux-")
    })
}

/// Installs what is missing, if this is root on a machine with apt; mounts tracefs. Returns what is still missing.
///
/// # Errors
/// A program that is there cannot be started.
pub(crate) fn run() -> Result<Vec<&'static str>> {
    if missing().next().is_some() && is_root() && find_program("apt-get").is_some() {
        let packages: Vec<&str> = missing().map(|need| need.package).collect();
        println!("installing {}", packages.join(" "));
        let mut update = Command::new("apt-get");
        update.args(["-q", "-y", "update"]);
        let mut install = Command::new("apt-get");
        install.args(["-q", "-y", "--no-install-recommends", "install"]).args(packages);
        install.env("DEBIAN_FRONTEND", "noninteractive");
        // A package source that fails does not matter if the packages can be installed all the same.
        succeeds(&mut update)?;
        succeeds(&mut install)?;
    }
    if is_root() {
        mount_tracefs()?;
    }
    let left: Vec<&Need> = missing().collect();
    for need in &left {
        println!("missing: {} (package {})", need.what, need.package);
    }
    Ok(left.iter().map(|need| need.what).collect())
}

fn missing() -> impl Iterator<Item = &'static Need> {
    NEEDS.iter().filter(|need| !(need.present)())
}

/// Tracepoints are found through tracefs, which minimal systems do not mount.
fn mount_tracefs() -> Result<()> {
    let target = "/sys/kernel/tracing";
    let mounted = read_to_string("/proc/mounts").unwrap_or_default();
    if Path::new(target).is_dir() && !mounted.lines().any(|line| line.split(' ').nth(1) == Some(target)) {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tracefs", "none", target]);
        if !succeeds(&mut mount)? {
            println!("tracefs cannot be mounted at {target}");
        }
    }
    Ok(())
}
