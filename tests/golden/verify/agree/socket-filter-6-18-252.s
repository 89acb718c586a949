//! kernel = "6.18"
//! prog = "socket_filter"
//! maps = [{ type = "array", key = 4, value = 64, max = 4 }, { type = "hash", key = 8, value = 48, max = 16 }, { type = "ringbuf", key = 0, value = 0, max = 4096 }, { type = "percpu_array", key = 4, value = 16, max = 2 }, { type = "array", key = 4, value = 32, max = 1 }, { type = "stack_trace", key = 4, value = 80, max = 16 }, { type = "perf_event_array", key = 4, value = 4, max = 2 }, { type = "prog_array", key = 4, value = 4, max = 4 }, { type = "array", key = 4, value = 32, max = 1, flags = 128, frozen = 1, data = "2564202573000102030400000000ffffffff1000000000000061626364656600" }, { type = "lru_hash", key = 16, value = 8, max = 16 }, { type = "queue", key = 0, value = 8, max = 16 }, { type = "hash", key = 4, value = 1024, max = 16 }, { type = "stack", key = 0, value = 8, max = 16 }, { type = "bloom_filter", key = 0, value = 8, max = 16 }, { type = "array_of_maps", key = 4, value = 4, max = 2, inner = { type = "array", key = 4, value = 64, max = 4 } }, { type = "percpu_hash", key = 4, value = 24, max = 16 }, { type = "lru_percpu_hash", key = 8, value = 8, max = 16 }, { type = "cgroup_array", key = 4, value = 4, max = 2 }]
//! A kernel was seen to accept it.
    call 7
    r7 = r0
    r0 = map_value[4]+20 ll
    r7 += 1508831838
    if r7 s< 3 goto L1
    r5 = r0
    r5 += r7
L1:
    exit

//= verdict
// accept
