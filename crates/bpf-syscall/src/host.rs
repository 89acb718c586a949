//! Facts about this machine and this process.

use crate::errno::{Errno, Result, SysError};
use bpf_facts::V;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What uname(2) says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uname {
    /// Release: `6.1.0-32-cloud-amd64`.
    pub release: String,
    /// Build: `#1 SMP …`.
    pub version: String,
    /// Machine: `x86_64`.
    pub machine: String,
}

impl Uname {
    /// The kernel's version as the release names it.
    pub fn kernel(&self) -> Option<V> {
        V::parse(&self.release)
    }
}

/// The running kernel's name and version.
///
/// # Errors
/// None in practice.
pub fn uname() -> Result<Uname> {
    let name =
        nix::sys::utsname::uname().map_err(|errno| SysError::new("uname", "this machine", errno.into()))?;
    let text = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
    Ok(Uname { release: text(name.release()), version: text(name.version()), machine: text(name.machine()) })
}

/// A PID namespace as `bpf_get_ns_current_pid_tgid` wants it named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PidNamespace {
    /// Device of nsfs, in the kernel's own encoding (major in the bits from 20 on).
    pub dev: u64,
    /// Inode of the namespace.
    pub ino: u64,
}

impl PidNamespace {
    /// Whether it is the first one, in which pids are those that programs see without asking.
    pub fn is_initial(&self) -> bool {
        /// `PROC_PID_INIT_INO`, fixed in the kernel's ABI.
        const INITIAL: u64 = 0xEFFF_FFFC;
        self.ino == INITIAL
    }
}

/// The PID namespace of this process.
///
/// # Errors
/// If `/proc` is not mounted.
pub fn pid_namespace() -> Result<PidNamespace> {
    const PATH: &str = "/proc/self/ns/pid";
    let meta = fs::metadata(PATH).map_err(|error| {
        SysError::io("stat", PATH, &error).with_hint("mount procfs: `mount -t proc proc /proc`")
    })?;
    // stat(2) spreads the numbers over the word; inside the kernel they stand side by side.
    let (major, minor) = (libc::major(meta.dev()), libc::minor(meta.dev()));
    Ok(PidNamespace { dev: u64::from(major) << 20 | u64::from(minor), ino: meta.ino() })
}

/// This process, as its own PID namespace numbers it.
pub fn pid() -> u32 {
    std::process::id()
}

/// This thread, as its own PID namespace numbers it.
pub fn tid() -> u32 {
    nix::unistd::gettid().as_raw() as u32
}

/// Bytes of a page.
pub fn page_size() -> usize {
    crate::shared_memory::page_size()
}

/// The id that programs see for the cgroup (version 2) at `path`.
///
/// # Errors
/// `ENOENT` if there is none, `EINVAL` if `path` lies in another file system.
pub fn cgroup_id(path: &Path) -> Result<u64> {
    let name = || path.display().to_string();
    let fs_type = statfs(path).map_err(|errno| SysError::new("statfs", name(), errno.into()))?;
    if fs_type.filesystem_type() != CGROUP2_SUPER_MAGIC {
        return Err(SysError::new("statfs", name(), Errno::EINVAL)
            .with_hint("this is no directory of a cgroup2 file system"));
    }
    let meta = fs::metadata(path).map_err(|error| SysError::io("stat", name(), &error))?;
    Ok(meta.ino())
}

/// Names of users, from `/etc/passwd` alone: a static binary cannot ask the name service.
#[derive(Clone, Debug, Default)]
pub struct Users {
    names: HashMap<u32, String>,
}

impl Users {
    /// Reads `/etc/passwd`. Empty if that cannot be read.
    pub fn read() -> Users {
        Users::parse(&fs::read_to_string("/etc/passwd").unwrap_or_default())
    }

    fn parse(passwd: &str) -> Users {
        let mut names = HashMap::new();
        for line in passwd.lines() {
            let mut fields = line.split(':');
            if let (Some(name), Some(_), Some(Ok(uid))) =
                (fields.next(), fields.next(), fields.next().map(str::parse))
            {
                names.entry(uid).or_insert_with(|| name.to_string());
            }
        }
        Users { names }
    }

    /// The first name with this number.
    pub fn name(&self, uid: u32) -> Option<&str> {
        self.names.get(&uid).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_a_number_counts() {
        let users = Users::parse("root:x:0:0:root:/root:/bin/sh\n\ntoor:x:0:0::/:\nbad:x:y\nd:x:1\n");
        assert_eq!(users.name(0), Some("root"));
        assert_eq!(users.name(1), Some("d"));
        assert_eq!(users.name(2), None);
    }

    #[test]
    fn knows_this_machine() {
        let name = uname().expect("uname");
        assert!(name.kernel().is_some(), "{}", name.release);
        assert_ne!(pid_namespace().expect("procfs").ino, 0);
        // The test runner's threads have numbers of their own.
        assert!(Path::new(&format!("/proc/{}/task/{}", pid(), tid())).exists());
    }

    #[test]
    fn a_directory_elsewhere_is_no_cgroup() {
        assert_eq!(cgroup_id(Path::new("/proc")).expect_err("no cgroup").errno, Errno::EINVAL);
        assert_eq!(cgroup_id(Path::new("/no/such")).expect_err("nothing").errno, Errno::ENOENT);
    }
}
