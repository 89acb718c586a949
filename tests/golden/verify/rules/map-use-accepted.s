//! maps = [{ type = "hash", key = 4, value = 8, max = 16 }]
r1 = map[0] ll
r0 = 0
exit

//= verify
// accept
