//! Rights and limits of this process.

use crate::errno::{Result, SysError};
use crate::raw;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use std::fs;

/// Capabilities that matter to tracing, by their number in `linux/capability.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the kernel's")]
pub enum Cap {
    DacReadSearch = 2,
    Kill = 5,
    NetAdmin = 12,
    SysPtrace = 19,
    SysAdmin = 21,
    SysResource = 24,
    Syslog = 34,
    Perfmon = 38,
    Bpf = 39,
}

impl Cap {
    /// Those above, in order.
    pub const ALL: [Cap; 9] = [
        Cap::DacReadSearch,
        Cap::Kill,
        Cap::NetAdmin,
        Cap::SysPtrace,
        Cap::SysAdmin,
        Cap::SysResource,
        Cap::Syslog,
        Cap::Perfmon,
        Cap::Bpf,
    ];

    /// Its name: `CAP_BPF`.
    pub const fn name(self) -> &'static str {
        match self {
            Cap::DacReadSearch => "CAP_DAC_READ_SEARCH",
            Cap::Kill => "CAP_KILL",
            Cap::NetAdmin => "CAP_NET_ADMIN",
            Cap::SysPtrace => "CAP_SYS_PTRACE",
            Cap::SysAdmin => "CAP_SYS_ADMIN",
            Cap::SysResource => "CAP_SYS_RESOURCE",
            Cap::Syslog => "CAP_SYSLOG",
            Cap::Perfmon => "CAP_PERFMON",
            Cap::Bpf => "CAP_BPF",
        }
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapSet(pub u64);

impl CapSet {
    /// Whether `cap` is in it.
    pub const fn has(self, cap: Cap) -> bool {
        self.0 & (1 << cap as u8) != 0
    }
}

/// The capabilities that this thread may use now. Empty if `/proc` cannot be read.
pub fn effective_capabilities() -> CapSet {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    CapSet(parse_effective(&status).unwrap_or(0))
}

/// Gives up all capabilities but `kept`, for good. What this process has not got it does not get.
///
/// # Errors
/// None in practice.
pub fn keep_capabilities(kept: &[Cap]) -> Result<()> {
    let mask = kept.iter().fold(0, |mask, cap| mask | 1 << *cap as u8);
    let failed = |call, errno| SysError::new(call, "capabilities", errno);
    let [effective, permitted, inheritable] = raw::capget().map_err(|errno| failed("capget", errno))?;
    let less = [effective & mask, permitted & mask, inheritable & mask];
    if less == [effective, permitted, inheritable] {
        return Ok(());
    }
    raw::capset(less).map_err(|errno| failed("capset", errno))
}

fn parse_effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// A limit, soft and hard; `None` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What counts now.
    pub soft: Option<u64>,
    /// What it may be raised to without CAP_SYS_RESOURCE.
    pub hard: Option<u64>,
}

/// The limit on open files.
///
/// # Errors
/// None in practice.
pub fn open_files() -> Result<Limit> {
    get(Resource::RLIMIT_NOFILE)
}

/// Raises the limit on open files to at least `wanted`, or as far as the hard limit permits; returns the new soft
/// limit (`u64::MAX` for none). With CAP_SYS_RESOURCE the hard limit is raised too.
///
/// # Errors
/// If not even the hard limit can be reached.
pub fn raise_open_files(wanted: u64) -> Result<u64> {
    let limit = open_files()?;
    let (soft, hard) = (limit.soft.unwrap_or(RLIM_INFINITY), limit.hard.unwrap_or(RLIM_INFINITY));
    if soft >= wanted {
        return Ok(soft);
    }
    if hard < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).is_ok() {
        return Ok(wanted);
    }
    let new = wanted.min(hard);
    setrlimit(Resource::RLIMIT_NOFILE, new, hard)
        .map_err(|errno| SysError::new("setrlimit", "RLIMIT_NOFILE", errno.into()))?;
    Ok(new)
}

/// Lifts the limit on locked memory, to which kernels before 5.11 charge maps and programs.
///
/// # Errors
/// `EPERM` without CAP_SYS_RESOURCE, if the hard limit is finite.
pub fn lift_locked_memory() -> Result<()> {
    setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY)
        .map_err(|errno| SysError::new("setrlimit", "RLIMIT_MEMLOCK", errno.into()))
}

fn get(resource: Resource) -> Result<Limit> {
    let finite = |limit| (limit != RLIM_INFINITY).then_some(limit);
    getrlimit(resource)
        .map(|(soft, hard)| Limit { soft: finite(soft), hard: finite(hard) })
        .map_err(|errno| SysError::new("getrlimit", format!("{resource:?}"), errno.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_effective_set() {
        let set = parse_effective("Name:\tx\nCapPrm:\t0\nCapEff:\t000000c000000000\n").map(CapSet);
        let set = set.expect("a set");
        assert!(set.has(Cap::Bpf) && set.has(Cap::Perfmon) && !set.has(Cap::SysAdmin));
    }

    #[test]
    fn raising_to_what_we_have_changes_nothing() {
        let before = open_files().expect("a limit");
        assert!(raise_open_files(1).expect("no change") >= 1);
        assert_eq!(open_files().expect("a limit"), before);
    }
}
