//! kernel = "6.6"
r1 = 10
r2 = subprog[fn] ll
r3 = 0
r4 = 0
call loop
r0 = 0
exit
fn:
r0 = 2
exit

//= verify
// reject at 8: rule=callback: r0 is 2; a callback must return 0 to 1
