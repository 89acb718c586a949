//! maps = [{ type = "hash", key = 4, value = 8, max = 16 }]
r1 = 0
r2 = r10
r2 += -4
call map_lookup_elem
r0 = 0
exit

//= verify
// reject at 3: rule=argument: r1 holds 0; helper map_lookup_elem wants a map there
