r0 = 0
r1 = 0
again:
r1 += 1
if r1 < 1000 goto again
exit

//= verify
// accept
