r2 = r10
r2 *= 2
r0 = 0
exit

//= verify
// reject at 1: rule=pointer-arithmetic: r2 holds a stack address; numbers can only be added to and subtracted from it
