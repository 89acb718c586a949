//! maps = [{ type = "hash", key = 4, value = 8, max = 16 }]
r2 = r10
r2 += -4
r1 = map[0] ll
call map_lookup_elem
r0 = 0
exit

//= verify
// reject at 3: rule=initialised-stack: the byte at r10-4 was not written before 4 bytes of stack are read
