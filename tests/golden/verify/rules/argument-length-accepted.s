r1 = r10
r1 += -16
r3 = 0
r2 = 16
call probe_read_kernel
r0 = 0
exit

//= verify
// accept
