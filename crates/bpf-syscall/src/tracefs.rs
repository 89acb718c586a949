//! Where tracefs is; if nowhere, a private mount of it.

use crate::errno::{Result, SysError};
use crate::raw;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Where distributions mount it.
const USUAL: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// A tracefs directory that can be read.
#[derive(Debug)]
pub struct TraceFs {
    path: PathBuf,
    /// A mount that nobody else sees. Closing it unmounts it, also when the process is killed.
    _private: Option<OwnedFd>,
}

impl TraceFs {
    /// The mounted tracefs, or a private one where none is (since 5.2, CAP_SYS_ADMIN).
    ///
    /// # Errors
    /// `EPERM` or `EACCES` without rights, `ENODEV` if the kernel has no tracing.
    pub fn find() -> Result<TraceFs> {
        for path in USUAL {
            if readable(Path::new(path)) {
                return Ok(TraceFs { path: path.into(), _private: None });
            }
        }
        TraceFs::private().map_err(|error| {
            error.with_hint(
                "tracefs is not mounted, or not readable for this user: run as root, or `mount -t tracefs none /sys/kernel/tracing`",
            )
        })
    }

    /// A mount of tracefs at no path. Reached through this process's own descriptor.
    ///
    /// # Errors
    /// `EPERM` without CAP_SYS_ADMIN, `ENOSYS` before 5.2, `ENODEV` if the kernel has no tracing.
    pub fn private() -> Result<TraceFs> {
        let failed = |call| move |errno| SysError::new(call, "tracefs", errno);
        let fs = raw::fsopen(c"tracefs").map_err(failed("fsopen"))?;
        raw::fsconfig_create(fs.as_fd()).map_err(failed("fsconfig"))?;
        let mount = raw::fsmount(fs.as_fd()).map_err(failed("fsmount"))?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd()));
        Ok(TraceFs { path, _private: Some(mount) })
    }

    /// The directory, valid in this process as long as self lives.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether `path` is a tracefs that this process may look into.
fn readable(path: &Path) -> bool {
    std::fs::read_dir(path.join("events")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_mount_shows_the_events() {
        match TraceFs::private() {
            Ok(fs) => {
                let id = std::fs::read_to_string(fs.path().join("events/sched/sched_switch/id"));
                assert!(id.expect("an id").trim().parse::<u32>().is_ok());
                let mounts = std::fs::read_to_string("/proc/self/mounts").expect("mounts");
                assert!(!mounts.contains("/proc/self/fd"), "nothing is visible");
            }
            Err(error) => println!("skipped: {error}"),
        }
    }
}
