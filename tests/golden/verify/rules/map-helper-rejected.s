//! maps = [{ type = "perf_event_array", key = 4, value = 4, max = 4 }]
*(u32 *)(r10 - 4) = 1
r2 = r10
r2 += -4
r1 = map[0] ll
call map_lookup_elem

r0 = 0
exit

//= verify
// reject at 4: rule=map-helper: helper map_lookup_elem does not take a map of type PerfEventArray
