//! attach = "fentry/vfs_read"
r0 = 0
exit

//= verify
// accept
