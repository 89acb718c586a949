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
    /// Makes an iterator, in its first argument; with `rcu`, what it gives is protected by RCU.
    IterNew {
        /// See above.
        rcu: bool,
    },
    /// Gives the next value of the iterator in its first argument, or NULL.
    IterNext,
    /// Ends the iterator in its first argument.
    IterDestroy,
    /// `bpf_preempt_disable`.
    PreemptDisable,
    /// `bpf_preempt_enable`.
    PreemptEnable,
    /// Makes a dynptr of its context's packet, in its third argument.
    DynptrFromPacket,
    /// Memory of a dynptr, or the buffer given; what packets hold may be written through `writes` ones only.
    DynptrSlice {
        /// See above.
        writes: bool,
    },
    /// Makes a second dynptr, in its second argument, of the one in its first.
    DynptrClone,
    /// `bpf_rdonly_cast`: its first argument as a kernel object of the type that the second names.
    ReadOnlyCast,
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
const GENERIC: ProgSet = ProgSet::of(&[
    P::Tracing,
    P::Tracepoint,
    P::PerfEvent,
    P::Lsm,
    P::SchedCls,
    P::Xdp,
    P::StructOps,
    P::Syscall,
]);

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

/// A function that takes objects protected by RCU, or trusted.
const fn on_rcu(name: &'static str, progs: ProgSet) -> KfuncDef {
    KfuncDef { rcu_args: true, ..row(name, progs, KfuncKind::Plain) }
}

/// Those for CPU masks.
const MASKS: ProgSet =
    ProgSet::of(&[P::Tracing, P::Tracepoint, P::PerfEvent, P::Lsm, P::StructOps, P::Syscall]);

/// A function on text anywhere: bad addresses are its own error.
const fn text(name: &'static str) -> KfuncDef {
    KfuncDef { since: V(6, 17), ..row(name, COMMON, KfuncKind::Plain) }
}

/// Those with socket buffers that all kernels since 6.12 let make dynptrs of them.
const BUFFERS: ProgSet = ProgSet::of(&[P::SocketFilter, P::SchedCls, P::SchedAct, P::CgroupSkb]);

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
    on_rcu("bpf_task_under_cgroup", GENERIC),
    row("bpf_iter_num_new", COMMON, KfuncKind::IterNew { rcu: false }),
    KfuncDef { nullable: true, ..row("bpf_iter_num_next", COMMON, KfuncKind::IterNext) },
    row("bpf_iter_num_destroy", COMMON, KfuncKind::IterDestroy),
    row("bpf_iter_task_new", COMMON, KfuncKind::IterNew { rcu: true }),
    KfuncDef { nullable: true, ..row("bpf_iter_task_next", COMMON, KfuncKind::IterNext) },
    row("bpf_iter_task_destroy", COMMON, KfuncKind::IterDestroy),
    row("bpf_iter_css_new", COMMON, KfuncKind::IterNew { rcu: true }),
    KfuncDef { nullable: true, ..row("bpf_iter_css_next", COMMON, KfuncKind::IterNext) },
    row("bpf_iter_css_destroy", COMMON, KfuncKind::IterDestroy),
    row("bpf_iter_bits_new", COMMON, KfuncKind::IterNew { rcu: false }),
    KfuncDef { nullable: true, ..row("bpf_iter_bits_next", COMMON, KfuncKind::IterNext) },
    row("bpf_iter_bits_destroy", COMMON, KfuncKind::IterDestroy),
    KfuncDef { rcu_args: true, ..row("bpf_iter_task_vma_new", COMMON, KfuncKind::IterNew { rcu: false }) },
    KfuncDef { nullable: true, ..row("bpf_iter_task_vma_next", COMMON, KfuncKind::IterNext) },
    row("bpf_iter_task_vma_destroy", COMMON, KfuncKind::IterDestroy),
    row("bpf_preempt_disable", COMMON, KfuncKind::PreemptDisable),
    row("bpf_preempt_enable", COMMON, KfuncKind::PreemptEnable),
    row("bpf_rdonly_cast", COMMON, KfuncKind::ReadOnlyCast),
    KfuncDef { acquires: true, nullable: true, ..row("bpf_cpumask_create", MASKS, KfuncKind::Plain) },
    KfuncDef { releases: true, ..row("bpf_cpumask_release", MASKS, KfuncKind::Plain) },
    on_rcu("bpf_cpumask_first", MASKS),
    on_rcu("bpf_cpumask_first_zero", MASKS),
    on_rcu("bpf_cpumask_first_and", MASKS),
    on_rcu("bpf_cpumask_set_cpu", MASKS),
    on_rcu("bpf_cpumask_clear_cpu", MASKS),
    on_rcu("bpf_cpumask_test_cpu", MASKS),
    on_rcu("bpf_cpumask_test_and_set_cpu", MASKS),
    on_rcu("bpf_cpumask_test_and_clear_cpu", MASKS),
    on_rcu("bpf_cpumask_setall", MASKS),
    on_rcu("bpf_cpumask_clear", MASKS),
    on_rcu("bpf_cpumask_and", MASKS),
    on_rcu("bpf_cpumask_or", MASKS),
    on_rcu("bpf_cpumask_xor", MASKS),
    on_rcu("bpf_cpumask_equal", MASKS),
    on_rcu("bpf_cpumask_intersects", MASKS),
    on_rcu("bpf_cpumask_subset", MASKS),
    on_rcu("bpf_cpumask_empty", MASKS),
    on_rcu("bpf_cpumask_full", MASKS),
    on_rcu("bpf_cpumask_copy", MASKS),
    on_rcu("bpf_cpumask_any_distribute", MASKS),
    on_rcu("bpf_cpumask_any_and_distribute", MASKS),
    on_rcu("bpf_cpumask_weight", MASKS),
    row("bpf_dynptr_from_skb", BUFFERS, KfuncKind::DynptrFromPacket),
    row("bpf_dynptr_from_xdp", ProgSet::of(&[P::Xdp]), KfuncKind::DynptrFromPacket),
    KfuncDef { nullable: true, ..row("bpf_dynptr_slice", COMMON, KfuncKind::DynptrSlice { writes: false }) },
    KfuncDef {
        nullable: true,
        ..row("bpf_dynptr_slice_rdwr", COMMON, KfuncKind::DynptrSlice { writes: true })
    },
    row("bpf_dynptr_adjust", COMMON, KfuncKind::Plain),
    row("bpf_dynptr_is_null", COMMON, KfuncKind::Plain),
    row("bpf_dynptr_is_rdonly", COMMON, KfuncKind::Plain),
    row("bpf_dynptr_size", COMMON, KfuncKind::Plain),
    row("bpf_dynptr_clone", COMMON, KfuncKind::DynptrClone),
    text("bpf_strcmp"),
    text("bpf_strchr"),
    text("bpf_strchrnul"),
    text("bpf_strnchr"),
    text("bpf_strrchr"),
    text("bpf_strlen"),
    text("bpf_strnlen"),
    text("bpf_strspn"),
    text("bpf_strcspn"),
    text("bpf_strstr"),
    text("bpf_strnstr"),
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
