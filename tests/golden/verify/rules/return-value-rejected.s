//! attach = "fentry/vfs_read"
r0 = 1
exit

//= verify
// reject at 1: rule=return-value: r0 is 1; the program must return 0 to 0
