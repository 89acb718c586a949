r2 = r10
r2 += -16
r3 = 4
r2 += r3
r0 = 0
exit

//= verify
// accept
