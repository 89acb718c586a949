//! Members of kernel structs of which the verifier says that they may be null even where the struct is trusted.
//!
//! Source: `BTF_TYPE_SAFE_TRUSTED_OR_NULL` and `BTF_TYPE_SAFE_RCU_OR_NULL` in kernel/bpf/verifier.c. What these have in
//! one kernel holds for all: reading such a member's own members by a helper is right everywhere.

/// Struct and member.
const MAYBE_NULL: &[(&str, &str)] = &[
    ("dentry", "d_inode"),
    ("mm_struct", "exe_file"),
    ("request_sock", "sk"),
    ("sk_buff", "sk"),
    ("socket", "sk"),
    ("vm_area_struct", "vm_file"),
    ("vm_area_struct", "vm_mm"),
];

/// Whether programs must look at the pointer in this member before they follow it.
pub fn member_may_be_null(of: &str, member: &str) -> bool {
    MAYBE_NULL.contains(&(of, member))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(MAYBE_NULL.is_sorted());
        assert!(member_may_be_null("dentry", "d_inode") && !member_may_be_null("dentry", "d_parent"));
    }
}
