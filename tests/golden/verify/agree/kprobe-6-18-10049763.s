//! kernel = "6.18"
//! prog = "kprobe"
//! maps = [{ type = "array", key = 4, value = 64, max = 4 }, { type = "hash", key = 8, value = 48, max = 16 }, { type = "ringbuf", key = 0, value = 0, max = 4096 }, { type = "percpu_array", key = 4, value = 16, max = 2 }, { type = "array", key = 4, value = 32, max = 1 }, { type = "stack_trace", key = 4, value = 80, max = 16 }, { type = "perf_event_array", key = 4, value = 4, max = 2 }, { type = "prog_array", key = 4, value = 4, max = 4 }, { type = "array", key = 4, value = 32, max = 1, flags = 128, frozen = 1, data = "2564202573000102030400000000ffffffff1000000000000061626364656600" }, { type = "lru_hash", key = 16, value = 8, max = 16 }, { type = "queue", key = 0, value = 8, max = 16 }, { type = "hash", key = 4, value = 1024, max = 16 }, { type = "stack", key = 0, value = 8, max = 16 }, { type = "bloom_filter", key = 0, value = 8, max = 16 }, { type = "array_of_maps", key = 4, value = 4, max = 2, inner = { type = "array", key = 4, value = 64, max = 4 } }, { type = "percpu_hash", key = 4, value = 24, max = 16 }, { type = "lru_percpu_hash", key = 8, value = 8, max = 16 }, { type = "cgroup_array", key = 4, value = 4, max = 2 }]
//! A kernel was seen to accept it.
    *(u64 *)(r10 - 8) = 0
    r1 = map[13] ll
    r2 = r10
    r2 += -8
    call 89
    r2 = subprog[F1] ll
    r2 = *(u16 *)(r10 - 8)
    r5 = r10
    r5 += -128
    r5 += r2
    r0 = *(u8 *)(r5 + 0)
    exit
F1:
    exit

//= verdict
// accept
