//! prog = "kprobe"
//! kernel = "6.1"
# Kernels before 6.9 forget that the bytes beside a part that is stored were zero: all of it can be read.
*(u64 *)(r10 - 8) = 0
r0 = *(u8 *)(r1 + 0)
*(u8 *)(r10 - 8) = r0
r0 = *(u64 *)(r10 - 8)
r0 = 0
exit

//= verify
// accept
