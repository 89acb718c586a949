//! kernel = "6.18"
// Both are dropped at once: the address of the first becomes that of `other`, the second's that of nothing.
r1 = subprog[fn] ll
r2 = subprog[second] ll
call other
r0 = 0
exit
fn:
r0 = 0
exit
second:
r0 = 0
exit
other:
r0 = 0
exit

//= verify
// reject at 1: rule=callback: the function at 7 is never called, so it is dropped, and its address is that of no function
