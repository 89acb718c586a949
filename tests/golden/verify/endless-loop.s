//! prog = "kprobe"
r0 = 0
again:
goto again
exit

//= verify
// reject at 2: rule=reachable: no path leads to this instruction
