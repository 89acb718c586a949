//! attach = "fentry/vfs_read"
r1 = *(u64 *)(r1 + 0)
r2 = *(u64 *)(r1 + 0)
r0 = 0
exit

//= verify
// accept
