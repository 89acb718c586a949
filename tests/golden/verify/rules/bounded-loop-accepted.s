r0 = 0
again:
r0 += 1
if r0 < 10 goto again
exit

//= verify
// accept
