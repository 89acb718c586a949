//! A spilled pointer is loaded in part.
*(u64 *)(r10 - 8) = r1
r2 = *(u32 *)(r10 - 8)
r0 = 0
exit

//= verify
// reject at 1: rule=spill-size: the stack at r10-8 holds the context; only all 8 bytes of a pointer can be loaded, not 4
