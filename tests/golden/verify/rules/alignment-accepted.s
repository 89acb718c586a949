*(u32 *)(r10 - 8) = 1
r0 = 0
exit

//= verify
// accept
