//! maps = [{ type = "array", key = 4, value = 16, max = 4, lock = 0 }]
r1 = map[0] ll
r0 = 0
exit

//= verify
// reject at 0: rule=map-use: map[0]: programs of this type cannot use maps whose values hold locks, timers or lists
