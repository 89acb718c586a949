//! maps = [{ type = "hash", key = 4, value = 8, max = 16 }]
*(u64 *)(r10 - 8) = 1
r0 = 0
exit

//= verify
// accept
