r6 = 0
again:
r6 += 1
if r6 < 1000000 goto again
r0 = 0
exit

//= verify
// reject at 2: rule=complexity: more than 1000000 instructions had to be walked
