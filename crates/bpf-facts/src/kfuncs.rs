//! Functions of the kernel that programs may call. Sources: the kernel's registrations of them (`BTF_KFUNCS_START`);
//! their arguments and results are in the kernel's BTF.
//!
//! Only those stand here whose whole meaning is in these columns.

use crate::progs::{ProgSet, ProgType as P};
use crate::version::V;

/// What a kernel function does besides what its type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KfuncKind {
    /// Nothing.
    Plain,
    /// `bpf_rcu_read_lock`.
    RcuLock,
    /// `bpf_rcu_read_unlock`.
    RcuUnlock,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct KfuncDef {
    /// Name, as BTF has it.
    pub name: &'static str,
    /// First kernel whose rules are those of this row; what older ones do is not known.
    pub since: V,
    /// Program types that may call it, on all of these kernels.
    pub progs: ProgSet,
    /// Returns a reference that must be released.
    pub acquires: bool,
    /// Takes the reference in its first argument away.
    pub releases: bool,
    /// May return NULL.
    pub nullable: bool,
    /// Objects protected by RCU will do for arguments; otherwise they must be trusted.
    pub rcu_args: bool,
    /// What it does.
    pub kind: KfuncKind,
}

const COMMON: ProgSet = ProgSet::ALL;
/// Those that all kernels since 6.12 register the functions on tasks and cgroups for.
const GENERIC: ProgSet = ProgSet::of(&[P::Tracing, P::SchedCls, P::Xdp, P::StructOps, P::Syscall]);

const fn row(name: &'static str, progs: ProgSet, kind: KfuncKind) -> KfuncDef {
    KfuncDef {
        name,
        since: V(6, 12),
        progs,
        acquires: false,
        releases: false,
        nullable: false,
        rcu_args: false,
        kind,
    }
}

const fn acquire(name: &'static str, rcu_args: bool) -> KfuncDef {
    KfuncDef { acquires: true, nullable: true, rcu_args, ..row(name, GENERIC, KfuncKind::Plain) }
}

const fn release(name: &'static str) -> KfuncDef {
    KfuncDef { releases: true, ..row(name, GENERIC, KfuncKind::Plain) }
}

/// Every one that is known.
pub static KFUNCS: &[KfuncDef] = &[
    row("bpf_rcu_read_lock", COMMON, KfuncKind::RcuLock),
    row("bpf_rcu_read_unlock", COMMON, KfuncKind::RcuUnlock),
    acquire("bpf_task_acquire", true),
    acquire("bpf_task_from_pid", false),
    release("bpf_task_release"),
    acquire("bpf_cgroup_acquire", true),
    acquire("bpf_cgroup_from_id", false),
    acquire("bpf_cgroup_ancestor", true),
    release("bpf_cgroup_release"),
];

/// The row of a kernel function.
pub fn kfunc(name: &str) -> Option<&'static KfuncDef> {
    KFUNCS.iter().find(|def| def.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for (i, def) in KFUNCS.iter().enumerate() {
            assert!(KFUNCS[..i].iter().all(|other| other.name != def.name), "{}", def.name);
            assert!(!(def.acquires && def.releases), "{}", def.name);
        }
    }
}
