r0 = 0
exit
r0 = 1
exit

//= verify
// reject at 2: rule=reachable: no path leads to this instruction
