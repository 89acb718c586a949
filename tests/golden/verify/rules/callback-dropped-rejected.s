//! kernel = "6.18"
r1 = 0
r2 = subprog[fn] ll
r3 = 0
r4 = 0
call loop
call other
r0 = 0
exit
other:
r0 = 0
exit
fn:
r0 = 0
exit

//= verify
// reject at 1: rule=callback: the function at 10 is never called, so it is dropped, and its address is that of no function
