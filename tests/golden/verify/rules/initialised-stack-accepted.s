//! kernel = "6.1"
*(u64 *)(r10 - 8) = 0
r0 = *(u64 *)(r10 - 8)
exit

//= verify
// accept
