*(u64 *)(r10 - 520) = 0
r0 = 0
exit

//= verify
// reject at 0: rule=stack-bounds: r10 holds a stack address; 8 bytes at r10-520 are outside of the stack
