//! What programs that BTF types are given: arguments that may be NULL or an error number, fields of iterators,
//! functions nothing may be attached to. Sources: the kernel's own lists, which no type information repeats.

use crate::version::V;

/// Arguments of a tracepoint that are not what their type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracepointArgs {
    /// The tracepoint.
    pub name: &'static str,
    /// Arguments, from 0, that may be NULL.
    pub nullable: &'static [u32],
    /// Arguments that may be an error number, and so are taken for numbers.
    pub errors: &'static [u32],
}

const fn tracepoint(name: &'static str, nullable: &'static [u32], errors: &'static [u32]) -> TracepointArgs {
    TracepointArgs { name, nullable, errors }
}

/// First kernel that looks at [`TRACEPOINT_ARGS`].
pub const TRACEPOINT_ARGS_SINCE: V = V(6, 12);

/// Tracepoints with such arguments, by name.
#[rustfmt::skip]
pub static TRACEPOINT_ARGS: &[TracepointArgs] = &[
    tracepoint("afs_flock_ev", &[1], &[]),
    tracepoint("afs_make_fs_call", &[1], &[]),
    tracepoint("afs_make_fs_call1", &[1], &[]),
    tracepoint("afs_make_fs_call2", &[1], &[]),
    tracepoint("afs_make_fs_calli", &[1], &[]),
    tracepoint("afs_protocol_error", &[0], &[]),
    tracepoint("amdgpu_vm_bo_map", &[0], &[]),
    tracepoint("amdgpu_vm_bo_unmap", &[0], &[]),
    tracepoint("amdtp_packet", &[2], &[]),
    tracepoint("binder_transaction", &[2], &[]),
    tracepoint("break_lease_block", &[1], &[]),
    tracepoint("break_lease_noblock", &[1], &[]),
    tracepoint("break_lease_unblock", &[1], &[]),
    tracepoint("btree_path_free", &[2], &[]),
    tracepoint("cachefiles_io_error", &[0], &[]),
    tracepoint("cachefiles_lookup", &[0], &[2]),
    tracepoint("cachefiles_mark_active", &[0], &[]),
    tracepoint("cachefiles_mark_failed", &[0], &[]),
    tracepoint("cachefiles_mark_inactive", &[0], &[]),
    tracepoint("cachefiles_ondemand_close", &[0], &[]),
    tracepoint("cachefiles_ondemand_copen", &[0], &[]),
    tracepoint("cachefiles_ondemand_cread", &[0], &[]),
    tracepoint("cachefiles_ondemand_fd_release", &[0], &[]),
    tracepoint("cachefiles_ondemand_fd_write", &[0], &[]),
    tracepoint("cachefiles_ondemand_open", &[0], &[]),
    tracepoint("cachefiles_ondemand_read", &[0], &[]),
    tracepoint("cachefiles_prep_read", &[0], &[]),
    tracepoint("cachefiles_rename", &[0], &[]),
    tracepoint("cachefiles_unlink", &[0], &[]),
    tracepoint("cachefiles_vfs_error", &[0], &[]),
    tracepoint("cfg80211_inform_bss_frame", &[2], &[]),
    tracepoint("cfg80211_michael_mic_failure", &[4], &[]),
    tracepoint("cfg80211_report_wowlan_wakeup", &[2], &[]),
    tracepoint("cfg80211_scan_done", &[0, 1], &[]),
    tracepoint("coda_dec_pic_done", &[1], &[]),
    tracepoint("coda_dec_pic_run", &[1], &[]),
    tracepoint("device_pm_callback_start", &[1], &[]),
    tracepoint("dpu_crtc_setup_mixer", &[2], &[]),
    tracepoint("ext4_mballoc_discard", &[1], &[]),
    tracepoint("ext4_mballoc_free", &[1], &[]),
    tracepoint("fcntl_setlk", &[1], &[]),
    tracepoint("fib_table_lookup", &[2], &[]),
    tracepoint("flock_lock_inode", &[1], &[]),
    tracepoint("folio_wait_writeback", &[1], &[]),
    tracepoint("generic_delete_lease", &[1], &[]),
    tracepoint("hfi1_sdma_progress", &[3], &[]),
    tracepoint("host1x_cdma_push_gather", &[4], &[]),
    tracepoint("hugetlbfs_alloc_inode", &[1], &[]),
    tracepoint("iptfs_ingress_postq_event", &[3], &[]),
    tracepoint("kfree_skb", &[3], &[]),
    tracepoint("kvm_page_fault_enter", &[2], &[]),
    tracepoint("locks_remove_posix", &[1], &[]),
    tracepoint("mm_collapse_huge_page_isolate", &[0], &[]),
    tracepoint("mm_khugepaged_collapse_file", &[1], &[]),
    tracepoint("mm_khugepaged_scan_file", &[1], &[]),
    tracepoint("mm_khugepaged_scan_pmd", &[1], &[]),
    tracepoint("mm_page_alloc", &[0], &[]),
    tracepoint("mm_page_alloc_zone_locked", &[0], &[]),
    tracepoint("mm_page_pcpu_drain", &[0], &[]),
    tracepoint("mr_integ_alloc", &[], &[3]),
    tracepoint("neigh_update", &[1], &[]),
    tracepoint("netfs_failure", &[1], &[]),
    tracepoint("netfs_folioq", &[0], &[]),
    tracepoint("nfs4_inode_callback_event", &[], &[2]),
    tracepoint("nfs4_inode_stateid_callback_event", &[], &[2]),
    tracepoint("nfs4_setup_sequence", &[0], &[]),
    tracepoint("nfsd_dirent", &[0], &[]),
    tracepoint("nfsd_file_acquire", &[0, 3], &[]),
    tracepoint("nfsd_file_cons_err", &[0], &[]),
    tracepoint("nfsd_file_insert_err", &[0], &[]),
    tracepoint("pnfs_mds_fallback_pg_get_mirror_count", &[4], &[]),
    tracepoint("pnfs_mds_fallback_pg_init_read", &[4], &[]),
    tracepoint("pnfs_mds_fallback_pg_init_write", &[4], &[]),
    tracepoint("pnfs_mds_fallback_read_done", &[4], &[]),
    tracepoint("pnfs_mds_fallback_read_pagelist", &[4], &[]),
    tracepoint("pnfs_mds_fallback_write_done", &[4], &[]),
    tracepoint("pnfs_mds_fallback_write_pagelist", &[4], &[]),
    tracepoint("pnfs_update_layout", &[4], &[]),
    tracepoint("posix_lock_inode", &[1], &[]),
    tracepoint("qdisc_dequeue", &[3], &[]),
    tracepoint("rdev_set_coalesce", &[1], &[]),
    tracepoint("rxrpc_client", &[0], &[]),
    tracepoint("rxrpc_recvdata", &[0], &[]),
    tracepoint("rxrpc_resend", &[1], &[]),
    tracepoint("rxrpc_tq", &[1], &[]),
    tracepoint("sched_pi_setprio", &[1], &[]),
    tracepoint("sched_process_wait", &[0], &[]),
    tracepoint("sched_stick_numa", &[2], &[]),
    tracepoint("sched_swap_numa", &[2], &[]),
    tracepoint("signal_deliver", &[], &[1]),
    tracepoint("signal_generate", &[], &[1]),
    tracepoint("spufs_context", &[1], &[]),
    tracepoint("tcp_send_reset", &[0, 1], &[]),
    tracepoint("tcp_sendmsg_locked", &[2], &[]),
    tracepoint("tegra_dma_tx_status", &[2], &[]),
    tracepoint("time_out_leases", &[1], &[]),
    tracepoint("tmigr_update_events", &[0], &[]),
    tracepoint("wiphy_work_cancel", &[1], &[]),
    tracepoint("wiphy_work_flush", &[1], &[]),
    tracepoint("wiphy_work_queue", &[1], &[]),
    tracepoint("wiphy_work_run", &[1], &[]),
    tracepoint("writeback_dirty_folio", &[1], &[]),
    tracepoint("xchk_metapath_lookup", &[2], &[]),
    tracepoint("xchk_nlinks_live_update", &[1], &[]),
    tracepoint("xfs_blockgc_flush_all", &[0], &[]),
    tracepoint("xfs_blockgc_free_space", &[1], &[]),
    tracepoint("xfs_blockgc_start", &[0], &[]),
    tracepoint("xfs_blockgc_stop", &[0], &[]),
    tracepoint("xfs_blockgc_worker", &[0], &[]),
    tracepoint("xfs_btree_overlapped_query_range", &[2], &[]),
    tracepoint("xfs_btree_updkeys", &[2], &[]),
    tracepoint("xfs_defer_add_item", &[0], &[]),
    tracepoint("xfs_defer_cancel_item", &[0], &[]),
    tracepoint("xfs_defer_cancel_list", &[0], &[]),
    tracepoint("xfs_defer_create_intent", &[0], &[]),
    tracepoint("xfs_defer_finish_item", &[0], &[]),
    tracepoint("xfs_defer_isolate_paused", &[0], &[]),
    tracepoint("xfs_defer_item_pause", &[0], &[]),
    tracepoint("xfs_defer_item_unpause", &[0], &[]),
    tracepoint("xfs_defer_pending_abort", &[0], &[]),
    tracepoint("xfs_defer_pending_finish", &[0], &[]),
    tracepoint("xfs_defer_relog_intent", &[0], &[]),
    tracepoint("xfs_fs_sync_fs", &[0], &[]),
    tracepoint("xfs_inodegc_flush", &[0], &[]),
    tracepoint("xfs_inodegc_push", &[0], &[]),
    tracepoint("xfs_inodegc_queue", &[0], &[]),
    tracepoint("xfs_inodegc_start", &[0], &[]),
    tracepoint("xfs_inodegc_stop", &[0], &[]),
    tracepoint("xfs_inodegc_throttle", &[0], &[]),
    tracepoint("xfs_ioc_free_eofblocks", &[1], &[]),
    tracepoint("xfs_iomap_alloc", &[3], &[]),
    tracepoint("xfs_iomap_found", &[3], &[]),
    tracepoint("xfs_map_blocks_alloc", &[4], &[]),
    tracepoint("xfs_map_blocks_found", &[4], &[]),
    tracepoint("xprt_get_cong", &[1], &[]),
    tracepoint("xprt_put_cong", &[1], &[]),
    tracepoint("xprt_release_cong", &[1], &[]),
    tracepoint("xprt_reserve_cong", &[1], &[]),
    tracepoint("xs_stream_read_data", &[0], &[]),
];

/// What a field of an iterator's context is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IterField {
    /// An object, or NULL.
    Object,
    /// An object that is trusted (since the version), or NULL.
    TrustedObject(V),
    /// An object that is not trusted, or NULL.
    UntrustedObject,
    /// Memory that may be read, or NULL.
    ReadBuffer,
    /// Memory that may be read and written, or NULL.
    Buffer,
}

/// A field of an iterator's context that is not what its type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IterArg {
    /// The iterator, as in `bpf_iter_NAME`.
    pub iter: &'static str,
    /// Which argument of that function, from 0.
    pub arg: u32,
    /// What it is.
    pub field: IterField,
}

const fn iter(iter: &'static str, arg: u32, field: IterField) -> IterArg {
    IterArg { iter, arg, field }
}

use IterField as F;

/// Every iterator's fields that may be NULL. Iterators that stand nowhere here are not known.
pub static ITER_ARGS: &[IterArg] = &[
    iter("bpf_link", 1, F::Object),
    iter("bpf_map", 1, F::TrustedObject(V(6, 5))),
    iter("bpf_map_elem", 2, F::ReadBuffer),
    iter("bpf_map_elem", 3, F::Buffer),
    iter("bpf_prog", 1, F::Object),
    iter("bpf_sk_storage_map", 2, F::Object),
    iter("bpf_sk_storage_map", 3, F::Buffer),
    iter("cgroup", 1, F::TrustedObject(V(6, 5))),
    iter("dmabuf", 1, F::TrustedObject(V(6, 16))),
    iter("ipv6_route", 1, F::Object),
    iter("kmem_cache", 1, F::UntrustedObject),
    iter("ksym", 1, F::Object),
    iter("netlink", 1, F::Object),
    iter("sockmap", 2, F::ReadBuffer),
    iter("sockmap", 3, F::Object),
    iter("task", 1, F::TrustedObject(V(6, 4))),
    iter("task_file", 1, F::Object),
    iter("task_file", 3, F::Object),
    iter("task_vma", 1, F::Object),
    iter("task_vma", 2, F::Object),
    iter("tcp", 1, F::TrustedObject(V(6, 5))),
    iter("udp", 1, F::TrustedObject(V(6, 5))),
    iter("unix", 1, F::TrustedObject(V(6, 5))),
];

/// Functions to which no fentry, fexit or fmod_ret program is attached.
pub static UNTRACEABLE: &[&str] = &[
    "migrate_disable",
    "migrate_enable",
    "rcu_read_unlock_strict",
    "preempt_count_add",
    "preempt_count_sub",
    "__rcu_read_lock",
    "__rcu_read_unlock",
];

/// Functions that never return: no fexit or fmod_ret since [`NO_RETURN_SINCE`].
pub static NO_RETURN: &[&str] = &[
    "__ia32_sys_exit",
    "__ia32_sys_exit_group",
    "__module_put_and_kthread_exit",
    "__x64_sys_exit",
    "__x64_sys_exit_group",
    "do_exit",
    "do_group_exit",
    "kthread_complete_and_exit",
    "make_task_dead",
];

/// First kernel that looks at [`NO_RETURN`].
pub const NO_RETURN_SINCE: V = V(6, 12);

/// The row of a tracepoint.
pub fn tracepoint_args(name: &str) -> Option<&'static TracepointArgs> {
    TRACEPOINT_ARGS.binary_search_by_key(&name, |row| row.name).ok().map(|i| &TRACEPOINT_ARGS[i])
}

/// What the argument of an iterator is, if it is not what its type says.
pub fn iter_field(name: &str, arg: u32) -> Option<IterField> {
    ITER_ARGS.iter().find(|row| row.iter == name && row.arg == arg).map(|row| row.field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracepoints_stand_in_order_and_say_something() {
        assert!(TRACEPOINT_ARGS.is_sorted_by(|a, b| a.name < b.name));
        assert!(TRACEPOINT_ARGS.iter().all(|row| !row.nullable.is_empty() || !row.errors.is_empty()));
        assert_eq!(tracepoint_args("kfree_skb").map(|row| row.nullable), Some(&[3][..]));
    }

    #[test]
    fn iterators() {
        assert_eq!(iter_field("task", 1), Some(IterField::TrustedObject(V(6, 4))));
        assert_eq!(iter_field("task", 0), None);
    }
}
