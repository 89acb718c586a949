//! attach = "fentry/vfs_read"
r1 = *(u64 *)(r1 + 0)
r2 = *(u64 *)(r1 + 4096)
r0 = 0
exit

//= verify
// reject at 1: rule=kernel-object: r1 holds a kernel object; 8 bytes at offset 4096 are beyond struct file of 72 bytes
