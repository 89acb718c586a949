//! Errors of system calls: which call, on what, the number, and what the operator can do about it.

use crate::limits;
use std::fmt;

/// An error number as the kernel returns it, including those it keeps from `errno.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(pub i32);

#[expect(missing_docs, reason = "the names are those of errno(3)")]
impl Errno {
    pub const EPERM: Errno = Errno(libc::EPERM);
    pub const ENOENT: Errno = Errno(libc::ENOENT);
    pub const ESRCH: Errno = Errno(libc::ESRCH);
    pub const EINTR: Errno = Errno(libc::EINTR);
    pub const EIO: Errno = Errno(libc::EIO);
    pub const E2BIG: Errno = Errno(libc::E2BIG);
    pub const EBADF: Errno = Errno(libc::EBADF);
    pub const ECHILD: Errno = Errno(libc::ECHILD);
    pub const EAGAIN: Errno = Errno(libc::EAGAIN);
    pub const ENOMEM: Errno = Errno(libc::ENOMEM);
    pub const EACCES: Errno = Errno(libc::EACCES);
    pub const EFAULT: Errno = Errno(libc::EFAULT);
    pub const EBUSY: Errno = Errno(libc::EBUSY);
    pub const EEXIST: Errno = Errno(libc::EEXIST);
    pub const ENODEV: Errno = Errno(libc::ENODEV);
    pub const EINVAL: Errno = Errno(libc::EINVAL);
    pub const ENFILE: Errno = Errno(libc::ENFILE);
    pub const EMFILE: Errno = Errno(libc::EMFILE);
    pub const ENOSPC: Errno = Errno(libc::ENOSPC);
    pub const ERANGE: Errno = Errno(libc::ERANGE);
    pub const ENOSYS: Errno = Errno(libc::ENOSYS);
    pub const EILSEQ: Errno = Errno(libc::EILSEQ);
    pub const EADDRNOTAVAIL: Errno = Errno(libc::EADDRNOTAVAIL);
    pub const EOPNOTSUPP: Errno = Errno(libc::EOPNOTSUPP);
    /// `ENOTSUPP`, 524: internal to the kernel, and yet what bpf(2) returns for operations that an object lacks.
    pub const ENOTSUPP: Errno = Errno(524);

    /// The error number in `error`, or `EIO` where it carries none.
    pub fn of(error: &std::io::Error) -> Errno {
        Errno(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl From<nix::errno::Errno> for Errno {
    fn from(errno: nix::errno::Errno) -> Errno {
        Errno(errno as i32)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Errno::ENOTSUPP {
            return f.write_str("Operation not supported by the kernel (ENOTSUPP)");
        }
        match nix::errno::Errno::from_raw(self.0) {
            nix::errno::Errno::UnknownErrno => write!(f, "error {}", self.0),
            known => write!(f, "{} ({known:?})", known.desc()),
        }
    }
}

/// A system call that failed. The fault lies with permissions, limits or the kernel's configuration; whoever
/// prints it should print [`hint`](SysError::hint) as well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call} of {object}: {errno}")]
pub struct SysError {
    /// The call as its manual page spells it: `bpf(BPF_MAP_CREATE)`, `perf_event_open`.
    pub call: &'static str,
    /// What it was called on: a map, a program, a probe, a path.
    pub object: String,
    /// What the kernel answered.
    pub errno: Errno,
    /// What may be done about it, in one sentence without a full stop.
    pub hint: Option<&'static str>,
}

impl SysError {
    /// The error `errno` of `call` on `object`, with the hint that fits this process's rights.
    pub fn new(call: &'static str, object: impl Into<String>, errno: Errno) -> SysError {
        let object = object.into();
        let hint = hint(call, &object, errno);
        SysError { call, object, errno, hint }
    }

    /// From an error of the standard library.
    pub fn io(call: &'static str, object: impl Into<String>, error: &std::io::Error) -> SysError {
        SysError::new(call, object, Errno::of(error))
    }

    /// The same error with `hint` instead of the general one.
    pub fn with_hint(self, hint: &'static str) -> SysError {
        SysError { hint: Some(hint), ..self }
    }
}

/// The result of a system call.
pub type Result<T> = std::result::Result<T, SysError>;

fn hint(call: &str, object: &str, errno: Errno) -> Option<&'static str> {
    let hardware = object.starts_with("hardware event");
    let bpf = call.starts_with("bpf(");
    let perf = call.starts_with("perf_event_open");
    match errno {
        Errno::EPERM | Errno::EACCES if bpf || perf => Some(permission_hint(call, errno)),
        Errno::EPERM | Errno::EACCES => Some("run as root"),
        Errno::ENOTSUPP | Errno::EOPNOTSUPP if bpf => {
            Some("this kernel, or the way it was configured, lacks the operation")
        }
        Errno::EOPNOTSUPP | Errno::ENODEV | Errno::ENOENT if hardware => Some(
            "this machine has no hardware counters that can be used (virtual machines often have none); \
             try profile:hz:99 or software:cpu-clock",
        ),
        Errno::EOPNOTSUPP | Errno::ENODEV if perf => {
            Some("the machine has no such performance counter (virtual machines often have none)")
        }
        Errno::ENOENT if perf => Some("the kernel has no such event; it may be configured without it"),
        Errno::ENOSYS => Some("the kernel is older than this call, or was configured without it"),
        Errno::EMFILE => Some("too many open files in this process: raise the limit with `ulimit -n`"),
        Errno::ENFILE => Some("too many open files in the system: see fs.file-max"),
        Errno::ENOMEM => Some(
            "the kernel is out of memory for this, or a memory cgroup limits it; try fewer or smaller maps",
        ),
        Errno::ENOSPC if perf => Some("no free hardware counter or breakpoint register is left"),
        Errno::E2BIG if call.contains("MAP_UPDATE") => Some("the map is full: raise its number of entries"),
        Errno::E2BIG if bpf => Some("the program or its verification is too large for this kernel"),
        Errno::EBUSY => Some("another tracer uses it, or it is being changed at this moment; try again"),
        _ => None,
    }
}

/// Why a privileged call was refused: rights that are missing, or a lock that root cannot open.
fn permission_hint(call: &str, errno: Errno) -> &'static str {
    let caps = limits::effective_capabilities();
    let may_bpf = caps.has(limits::Cap::SysAdmin) || caps.has(limits::Cap::Bpf);
    let may_perf = caps.has(limits::Cap::SysAdmin) || caps.has(limits::Cap::Perfmon);
    if call.starts_with("perf_event_open") {
        return if may_perf {
            "the kernel refuses this to everybody: it is locked down, or a security module or seccomp filter forbids it"
        } else {
            "run as root, or give the binary CAP_PERFMON (and CAP_BPF); see also kernel.perf_event_paranoid"
        };
    }
    if !may_bpf {
        return "run as root, or give the binary CAP_BPF and CAP_PERFMON";
    }
    if !may_perf {
        return "CAP_PERFMON is missing besides CAP_BPF";
    }
    if call.contains("PROG_LOAD") && errno == Errno::EACCES {
        return "the kernel's verifier rejected the program; its log says why";
    }
    "the kernel refuses this even to root: it is locked down (see /sys/kernel/security/lockdown), or a security module or seccomp filter forbids it"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_call_object_and_number() {
        let error = SysError::new("bpf(BPF_MAP_CREATE)", "map @x", Errno::EMFILE);
        assert_eq!(error.to_string(), "bpf(BPF_MAP_CREATE) of map @x: Too many open files (EMFILE)");
        assert!(error.hint.is_some_and(|hint| hint.contains("ulimit -n")));
    }

    #[test]
    fn numbers_outside_errno_h_still_read_well() {
        assert_eq!(Errno::ENOTSUPP.to_string(), "Operation not supported by the kernel (ENOTSUPP)");
        assert_eq!(Errno(9999).to_string(), "error 9999");
    }
}
