//! attach = "fentry/vfs_read"
//! kernel = "6.12"
call kfunc(1000000)
r0 = 0
exit

//= verify
// reject at 0: rule=kfunc: the kernel has no function of type 1000000
