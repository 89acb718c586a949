r1 = r10
r1 += -16
r3 = 0
r2 = -1
call probe_read_kernel
r0 = 0
exit

//= verify
// reject at 4: rule=argument-length: r2 is -1; as a length for helper probe_read_kernel it must not be negative: compare it with 0, or mask it
