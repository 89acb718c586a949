//! prog = "kprobe"
//! kernel = "5.15"
r0 = *(u64 *)(r10 - 8)
exit

//= verify
// reject at 0: rule=stack-bounds: r10 holds a stack address; 8 bytes at r10-8 are outside of the stack
