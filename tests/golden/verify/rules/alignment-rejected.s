*(u32 *)(r10 - 7) = 1
r0 = 0
exit

//= verify
// reject at 0: rule=alignment: r10 holds a stack address; 4 bytes at offset -7 from it are not aligned
