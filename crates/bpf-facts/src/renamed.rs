//! Kernel functions that scripts know by the name they once had.

use crate::version::V;

/// A function that was renamed, or whose work another one took over.
#[derive(Clone, Copy, Debug)]
pub struct Renamed {
    /// The old name.
    pub old: &'static str,
    /// What does its work now.
    pub new: &'static str,
    /// First kernel with the new name.
    pub since: V,
}

/// Renamings that scripts in circulation run into, by old name. Source: the kernel's history.
#[rustfmt::skip]
pub static RENAMED: &[Renamed] = &[
    Renamed { old: "__generic_file_aio_read", new: "generic_file_read_iter", since: V(3, 16) },
    Renamed { old: "_do_fork", new: "kernel_clone", since: V(5, 10) },
    Renamed { old: "account_page_dirtied", new: "folio_account_dirtied", since: V(5, 16) },
    Renamed { old: "add_to_page_cache_lru", new: "filemap_add_folio", since: V(5, 16) },
    Renamed { old: "blk_account_io_completion", new: "__blk_account_io_done", since: V(5, 16) },
    Renamed { old: "blk_account_io_done", new: "__blk_account_io_done", since: V(5, 16) },
    Renamed { old: "blk_account_io_start", new: "__blk_account_io_start", since: V(5, 16) },
    Renamed { old: "do_execve", new: "do_execveat_common", since: V(5, 9) },
    Renamed { old: "do_fork", new: "kernel_clone", since: V(5, 10) },
    Renamed { old: "do_sys_open", new: "do_sys_openat2", since: V(5, 6) },
    Renamed { old: "finish_task_switch", new: "finish_task_switch.isra.0", since: V(5, 16) },
    Renamed { old: "mark_page_accessed", new: "folio_mark_accessed", since: V(5, 16) },
    Renamed { old: "try_to_wake_up_local", new: "try_to_wake_up", since: V(5, 4) },
];

/// What does the work of a function that is gone.
pub fn renamed(old: &str) -> Option<&'static Renamed> {
    RENAMED.iter().find(|r| r.old == old)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order_and_lead_somewhere_else() {
        assert!(RENAMED.windows(2).all(|w| w[0].old < w[1].old));
        assert!(RENAMED.iter().all(|r| r.old != r.new));
        assert_eq!(renamed("_do_fork").map(|r| r.new), Some("kernel_clone"));
    }
}
