//! Who runs, and what time it is.

use bpf_syscall::{clock, host};
use std::fs;

/// What programs learn about the task that they interrupt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Parent process; nothing but its `task_struct` says so.
    pub ppid: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Name; 15 bytes of it are seen.
    pub comm: String,
    /// Id of its cgroup in the second hierarchy.
    pub cgroup: u64,
    /// Address of its `task_struct`, if there is to be one.
    pub address: Option<u64>,
}

impl Task {
    /// This thread of this process.
    pub fn current() -> Task {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        let id = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|ids| ids.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        let comm = fs::read_to_string("/proc/thread-self/comm").unwrap_or_default();
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let group = groups.lines().find_map(|line| line.strip_prefix("0::/"));
        // The second hierarchy lies beside the first where a machine has both.
        let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
        let cgroup = group.and_then(|path| {
            mounts.iter().find_map(|mount| host::cgroup_id(format!("{mount}/{path}").as_ref()).ok())
        });
        Task {
            pid: host::pid(),
            tid: host::tid(),
            ppid: id("PPid:"),
            uid: id("Uid:"),
            gid: id("Gid:"),
            comm: comm.trim_end_matches('\n').to_string(),
            cgroup: cgroup.unwrap_or(0),
            address: None,
        }
    }
}

/// What clocks show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimClock {
    /// What the machine's show.
    Host,
    /// All the same, until it is [moved on](crate::SimKernel::advance).
    Set {
        /// Nanoseconds since boot.
        ns: u64,
    },
}

impl SimClock {
    pub(crate) fn now_ns(self, which: clock::Clock) -> u64 {
        match self {
            SimClock::Host => clock::now_ns(which),
            SimClock::Set { ns } => ns,
        }
    }
}
