r0 = 0
again:
if r0 == 0 goto again
exit

//= verify
// reject at 1: rule=bounded-loop: the loop never ends: nothing changes from one round to the next
