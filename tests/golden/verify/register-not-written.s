//! prog = "kprobe"
//! kernel = "5.15"
r1 = *(u64 *)(r0 + 0)
exit

//= verify
// reject at 0: rule=readable-register: r0 is read before it is written
