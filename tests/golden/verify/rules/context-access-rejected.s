r0 = *(u64 *)(r1 + 168)
exit

//= verify
// reject at 0: rule=context-access: r1: 8 bytes at offset 168 of the context are outside of it, or not aligned
