r1 = 5
r0 = *(u64 *)(r1 + 0)
exit

//= verify
// reject at 1: rule=pointer-kind: r1 holds 5, which cannot be accessed as memory
