//! kernel = "6.18"
//! prog = "socket_filter"
r1 = *(u32 *)(r1 + 8)
r0 = 0
if w1 s> 20 goto out
if w1 s< -10 goto out
r1 = (s8)r1
*(u64 *)(r10 - 8) = 0
*(u64 *)(r10 - 16) = 0
*(u64 *)(r10 - 24) = 0
*(u64 *)(r10 - 32) = 0
r2 = r10
r2 += r1
r0 = *(u8 *)(r2 - 22)
out:
exit

//= verify
// accept
