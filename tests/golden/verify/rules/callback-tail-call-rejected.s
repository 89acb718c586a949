//! kernel = "6.18"
//! maps = [{ type = "prog_array", key = 4, value = 4, max = 4 }]
// The kernel refuses it although the call is never reached.
r1 = 5
r2 = subprog[fn] ll
r3 = 0
r4 = 0
call loop
r0 = 0
exit
fn:
w1 &= 15
if w1 != 20 goto out
r1 = r2
r2 = map[0] ll
r3 = 0
call tail_call
out:
r0 = 1
exit

//= verify
// reject at 4: rule=callback: callbacks cannot make tail calls
