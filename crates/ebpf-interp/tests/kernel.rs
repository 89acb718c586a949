//! The simulated kernel, through the interface of the real one.

mod support;

use bpf_facts::{MapFlags, MapType, ProgType, SOFTWARE_EVENTS, perf_event};
use bpf_syscall::{
    Errno, Kernel, LinkCreate, MapCreate, MapFd, PerfEvent, PerfKind, PerfTarget, ProgFd, ProgLoad, Sampling,
    TestRun, UpdateMode, walk,
};
use ebpf_asm::{MapRef, Program, encode, parse_with_helpers};
use ebpf_interp::{SimClock, SimKernel, Site, Task, TrapKind};
use proptest::prelude::{ProptestConfig, proptest};
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::time::Duration;
use support::anything;

fn sim() -> SimKernel {
    let task = Task { pid: 10, tid: 11, uid: 12, gid: 13, comm: "somebody".into(), ..Task::default() };
    SimKernel::new(2, task, SimClock::Set { ns: 1000 }).expect("a kernel")
}

fn map(kernel: &SimKernel, ty: MapType, key: u32, value: u32, max: u32) -> MapFd {
    kernel.map_create(&MapCreate::new("map", ty, key, value, max)).expect("a map")
}

/// Loads a text; `map[n]` is the n-th of `maps`.
#[track_caller]
fn load(kernel: &SimKernel, ty: ProgType, maps: &[&MapFd], text: &str) -> ProgFd {
    let helper = |name: &str| bpf_facts::helper_by_name(name).map(|def| def.id.0);
    let program = parse_with_helpers(text, &helper).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let slots = encode(&program, &|MapRef(n)| maps[n as usize].as_raw_fd()).expect("it encodes");
    kernel.prog_load(&ProgLoad::new("text", ty, &slots)).expect("it loads").prog
}

#[track_caller]
fn run(kernel: &SimKernel, maps: &[&MapFd], text: &str) -> u32 {
    let program = load(kernel, ProgType::RawTracepoint, maps, text);
    kernel.prog_test_run(&program, &TestRun::default()).expect("it runs").retval
}

fn word(kernel: &SimKernel, map: &MapFd, key: u64) -> Option<u64> {
    let mut value = vec![0; map.shape().value_bytes()];
    let key = &key.to_le_bytes()[..map.shape().key_size as usize];
    let found = kernel.map_lookup(map, key, &mut value).expect("a look-up");
    found.then(|| value.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).sum())
}

fn put(kernel: &SimKernel, map: &MapFd, key: u64, value: u64, mode: UpdateMode) -> Result<(), Errno> {
    kernel.map_update(map, &key.to_le_bytes(), &value.to_le_bytes(), mode).map_err(|error| error.errno)
}

#[test]
fn hash_tables_have_room_for_so_many_and_no_more() {
    let kernel = sim();
    let hash = map(&kernel, MapType::Hash, 8, 8, 2);
    assert_eq!(put(&kernel, &hash, 1, 10, UpdateMode::Replace), Err(Errno::ENOENT));
    assert_eq!(put(&kernel, &hash, 1, 10, UpdateMode::Create), Ok(()));
    assert_eq!(put(&kernel, &hash, 1, 11, UpdateMode::Create), Err(Errno::EEXIST));
    assert_eq!(put(&kernel, &hash, 2, 20, UpdateMode::Any), Ok(()));
    assert_eq!(put(&kernel, &hash, 3, 30, UpdateMode::Any), Err(Errno::E2BIG));
    assert_eq!(kernel.map_delete(&hash, &1u64.to_le_bytes()), Ok(true));
    assert_eq!(put(&kernel, &hash, 3, 30, UpdateMode::Any), Ok(()));
    let mut all = Vec::new();
    walk(&kernel, &hash, &mut |key, value| all.push((key[0], value[0]))).expect("a walk");
    assert_eq!(all, [(2, 20), (3, 30)]);
}

#[test]
fn lru_tables_forget_what_was_not_used_longest() {
    let kernel = sim();
    let lru = map(&kernel, MapType::LruHash, 8, 8, 2);
    for key in [1, 2] {
        assert_eq!(put(&kernel, &lru, key, key, UpdateMode::Any), Ok(()));
    }
    assert_eq!(word(&kernel, &lru, 1), Some(1));
    assert_eq!(put(&kernel, &lru, 3, 3, UpdateMode::Any), Ok(()));
    assert_eq!([1, 2, 3].map(|key| word(&kernel, &lru, key)), [Some(1), None, Some(3)]);
}

#[test]
fn arrays_are_all_there_and_frozen_maps_do_not_change() {
    let kernel = sim();
    let read_only =
        MapCreate { flags: MapFlags::RDONLY_PROG, ..MapCreate::new("data", MapType::Array, 4, 8, 1) };
    let data = kernel.map_create(&read_only).expect("a map");
    let key = [0; 4];
    assert_eq!(
        kernel.map_update(&data, &[1, 0, 0, 0], &[0; 8], UpdateMode::Any).unwrap_err().errno,
        Errno::E2BIG
    );
    kernel.map_update(&data, &key, &[7, 0, 0, 0, 0, 0, 0, 0], UpdateMode::Any).expect("an update");
    kernel.map_freeze(&data).expect("frozen");
    assert_eq!(kernel.map_update(&data, &key, &[0; 8], UpdateMode::Any).unwrap_err().errno, Errno::EPERM);
    assert_eq!(kernel.map_delete(&data, &key).unwrap_err().errno, Errno::EINVAL);
    assert_eq!(run(&kernel, &[&data], "r1 = map[0][0]+0 ll\nr0 = *(u64 *)(r1 + 0)\nexit"), 7);
    let writes = load(
        &kernel,
        ProgType::RawTracepoint,
        &[&data],
        "r1 = map[0][0]+0 ll\n*(u8 *)(r1 + 0) = 1\nr0 = 0\nexit",
    );
    assert!(kernel.prog_test_run(&writes, &TestRun::default()).is_err());
    assert!(matches!(kernel.last_trap().map(|trap| trap.kind), Some(TrapKind::Access(_))));
}

#[test]
fn every_cpu_has_a_value_of_its_own() {
    let kernel = sim();
    let counts = map(&kernel, MapType::PercpuArray, 4, 8, 1);
    let add = "*(u32 *)(r10 - 4) = 0\nr1 = map[0] ll\nr2 = r10\nr2 += -4\ncall map_lookup_elem\nif r0 == 0 goto out\n\
               r1 = *(u64 *)(r0 + 0)\nr1 += 1\n*(u64 *)(r0 + 0) = r1\nout: r0 = 0\nexit";
    let program = load(&kernel, ProgType::RawTracepoint, &[&counts], add);
    for cpu in [0, 1, 1] {
        let run = TestRun { cpu: Some(cpu), ..TestRun::default() };
        kernel.prog_test_run(&program, &run).expect("it runs");
    }
    let mut value = [0; 16];
    assert_eq!(kernel.map_lookup(&counts, &[0; 4], &mut value), Ok(true));
    assert_eq!((value[0], value[8]), (1, 2));
    let other = "*(u32 *)(r10 - 4) = 0\nr1 = map[0] ll\nr2 = r10\nr2 += -4\nr3 = 1\ncall map_lookup_percpu_elem\n\
                 if r0 == 0 goto out\nr0 = *(u64 *)(r0 + 0)\nout: exit";
    assert_eq!(run(&kernel, &[&counts], other), 2);
}

#[test]
fn rings_hand_records_over_in_order_and_fill_up() {
    let kernel = sim();
    let ring = map(&kernel, MapType::Ringbuf, 0, 0, 4096);
    let mut records = kernel.open_ring(&ring).expect("a ring");
    let send = |n: u32, end: &str| {
        let text = format!(
            "r1 = map[0] ll\nr2 = 1000\nr3 = 0\ncall ringbuf_reserve\nif r0 == 0 goto full\n*(u64 *)(r0 + 992) = {n}\n\
             r1 = r0\nr2 = 0\ncall {end}\nr0 = 0\nexit\nfull: r0 = 1\nexit"
        );
        run(&kernel, &[&ring], &text)
    };
    for round in 0..5 {
        let sent = [send(1, "ringbuf_submit"), send(2, "ringbuf_discard"), send(3, "ringbuf_submit")];
        assert_eq!(sent, [0, 0, 0]);
        assert_eq!((send(4, "ringbuf_submit"), send(5, "ringbuf_submit")), (0, 1), "full");
        let mut seen = Vec::new();
        let n = records.consume(10, &mut |_, record| {
            seen.push((record.len(), record[992]));
            ControlFlow::Continue(())
        });
        assert_eq!((n, seen), (3, vec![(1000, 1), (1000, 3), (1000, 4)]), "round {round}");
        assert_eq!(records.available(), 0);
    }
}

#[test]
fn failed_reads_leave_zeros() {
    let kernel = sim();
    kernel.put_memory(0xffff_8880_0000_1000, b"hello\0rest");
    let read = |helper: &str, len: u32, from: &str| {
        let text = format!(
            "*(u64 *)(r10 - 8) = -1\nr1 = r10\nr1 += -8\nr2 = {len}\nr3 = {from} ll\ncall {helper}\nr6 = r0\n\
             r0 = *(u64 *)(r10 - 8)\nr0 <<= 16\nw6 &= 65535\nr0 |= r6\nexit"
        );
        run(&kernel, &[], &text)
    };
    let fault = (-14i16) as u16 as u32;
    assert_eq!(read("probe_read_kernel", 2, "0xffff888000001001"), u32::from_le_bytes([0, 0, b'e', b'l']));
    assert_eq!(read("probe_read_kernel", 2, "0"), fault);
    assert_eq!(read("probe_read_user", 2, "0xffff888000001009"), fault, "one byte is missing");
    assert_eq!(read("probe_read_kernel_str", 8, "0xffff888000001004"), u32::from_le_bytes([2, 0, b'o', 0]));
    assert_eq!(read("probe_read_kernel_str", 2, "0xffff888000001000"), u32::from_le_bytes([2, 0, b'h', 0]));
    assert_eq!(read("probe_read_user_str", 8, "0x1234"), fault);
}

#[test]
fn programs_see_the_task_and_the_time_that_were_set() {
    let kernel = sim();
    let call = |name: &str, more: &str| run(&kernel, &[], &format!("call {name}\n{more}\nexit"));
    assert_eq!(call("get_current_pid_tgid", "r0 >>= 32"), 10);
    assert_eq!(call("get_current_pid_tgid", ""), 11);
    assert_eq!(call("get_current_uid_gid", ""), 12);
    assert_eq!(call("ktime_get_ns", ""), 1000);
    kernel.advance(Duration::from_nanos(234)).expect("a settable clock");
    assert_eq!(call("ktime_get_boot_ns", ""), 1234);
    let comm = "r1 = r10\nr1 += -16\nr2 = 16\ncall get_current_comm\nr0 = *(u32 *)(r10 - 16)\nexit";
    assert_eq!(run(&kernel, &[], comm), u32::from_le_bytes(*b"some"));
}

#[test]
fn callbacks_walk_maps_and_loops() {
    let kernel = sim();
    let hash = map(&kernel, MapType::Hash, 8, 8, 8);
    for key in 1..=4 {
        put(&kernel, &hash, key, key * 10, UpdateMode::Any).expect("an update");
    }
    let sum = "*(u64 *)(r10 - 8) = 0\nr1 = map[0] ll\nr2 = subprog[each] ll\nr3 = r10\nr3 += -8\nr4 = 0\n\
               call for_each_map_elem\nr1 = *(u64 *)(r10 - 8)\nr0 <<= 16\nr0 |= r1\nexit\n\
               each: r5 = *(u64 *)(r3 + 0)\nr1 = *(u64 *)(r4 + 0)\nr1 += r5\n*(u64 *)(r4 + 0) = r1\nr0 = 0\n\
               if r5 != 30 goto out\nr0 = 1\nout: exit";
    assert_eq!(run(&kernel, &[&hash], sum), 3 << 16 | 60, "it stops where the callback says so");
    let turns = "*(u64 *)(r10 - 8) = 0\nr1 = 10\nr2 = subprog[each] ll\nr3 = r10\nr3 += -8\nr4 = 0\ncall loop\n\
                 r1 = *(u64 *)(r10 - 8)\nr0 <<= 16\nr0 |= r1\nexit\n\
                 each: r3 = *(u64 *)(r2 + 0)\nr3 += r1\n*(u64 *)(r2 + 0) = r3\nr0 = 0\nexit";
    assert_eq!(run(&kernel, &[], turns), 10 << 16 | 45);
}

/// A clock with a program that counts in the array.
fn timer(kernel: &SimKernel, counts: &MapFd, period: u64) -> (bpf_syscall::PerfFd, bpf_syscall::LinkFd) {
    let count = "r1 = map[0][0]+0 ll\nr0 = *(u64 *)(r1 + 0)\nr0 += 1\n*(u64 *)(r1 + 0) = r0\nr0 = 0\nexit";
    let prog = load(kernel, ProgType::PerfEvent, &[counts], count);
    let clock = perf_event(SOFTWARE_EVENTS, "cpu-clock").expect("a clock").config;
    let event = PerfEvent {
        kind: PerfKind::Software(clock),
        target: PerfTarget::Cpu(0),
        sampling: Sampling::Period(period),
        inherit: false,
    };
    let event = kernel.perf_event_open(&event).expect("an event");
    let link = LinkCreate::PerfEvent { prog: &prog, event: &event, cookie: 0 };
    let link = kernel.link_create(&link).expect("a link");
    kernel.perf_enable(&event).expect("enabled");
    (event, link)
}

#[test]
fn clocks_fire_as_time_passes_until_they_are_closed() {
    let kernel = sim();
    let counts = map(&kernel, MapType::Array, 4, 8, 1);
    let (event, link) = timer(&kernel, &counts, 100);
    kernel.advance(Duration::from_nanos(350)).expect("time");
    assert_eq!(word(&kernel, &counts, 0), Some(3));
    kernel.perf_disable(&event).expect("disabled");
    kernel.advance(Duration::from_nanos(350)).expect("time");
    kernel.perf_enable(&event).expect("enabled");
    kernel.advance(Duration::from_nanos(100)).expect("time");
    assert_eq!(word(&kernel, &counts, 0), Some(4));
    drop(link);
    kernel.advance(Duration::from_nanos(1000)).expect("time");
    assert_eq!(word(&kernel, &counts, 0), Some(4));
}

#[test]
fn the_clock_of_the_machine_wakes_whoever_waits() {
    let kernel = SimKernel::new(1, Task::current(), SimClock::Host).expect("a kernel");
    let counts = map(&kernel, MapType::Array, 4, 8, 1);
    let _attached = timer(&kernel, &counts, 1_000_000);
    let poller = bpf_syscall::wait::Poller::new().expect("a poller");
    poller.add(kernel.due().expect("a simulated kernel does not run by itself"), 1).expect("added");
    let mut ready = Vec::new();
    for round in 1..=3 {
        poller.wait(Some(Duration::from_secs(5)), &mut ready).expect("waited");
        assert_eq!(ready, [1]);
        kernel.step().expect("it runs");
        assert_eq!(word(&kernel, &counts, 0), Some(round));
    }
}

#[test]
fn tests_fire_probes_with_a_context() {
    let kernel = sim();
    let last = map(&kernel, MapType::Array, 4, 8, 1);
    let keep = "r2 = *(u64 *)(r1 + 8)\nr1 = map[0][0]+0 ll\n*(u64 *)(r1 + 0) = r2\nr0 = 0\nexit";
    let prog = load(&kernel, ProgType::RawTracepoint, &[&last], keep);
    let link = kernel
        .link_create(&LinkCreate::RawTracepoint { prog: &prog, name: "sched_switch", cookie: 0 })
        .expect("a link");
    let at = |name: &'static str| move |site: &Site| *site == Site::RawTracepoint(name.into());
    assert_eq!(kernel.fire(&at("sys_enter"), &[1; 16]), Ok(0));
    assert_eq!(kernel.fire(&at("sched_switch"), &[2; 16]), Ok(1));
    assert_eq!(word(&kernel, &last, 0), Some(0x0202_0202_0202_0202));
    assert!(kernel.fire(&at("sched_switch"), &[2; 8]).is_err(), "there is no second argument");
    drop(link);
    assert_eq!(kernel.fire(&at("sched_switch"), &[2; 16]), Ok(0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever helpers are called with, on whatever maps.
    #[test]
    fn no_call_panics(insns in proptest::collection::vec(anything(24), 1..24), key in 0u64..3) {
        let kernel = sim();
        kernel.set_fuel(2000);
        let maps = [
            map(&kernel, MapType::Hash, 8, 8, 2),
            map(&kernel, MapType::Array, 4, 24, 3),
            map(&kernel, MapType::Ringbuf, 0, 0, 4096),
            map(&kernel, MapType::PercpuHash, 8, 16, 2),
        ];
        put(&kernel, &maps[0], key, key, UpdateMode::Any).expect("an update");
        // Calls that a program might make, before whatever it is that follows.
        let prologue = ebpf_asm::parse("r6 = r1\n*(u64 *)(r10 - 8) = 1\nr1 = map[0] ll\nr2 = r10\nr2 += -8\nr3 = r2\nr4 = 0");
        let mut code = prologue.expect("it assembles").insns;
        let n = code.len() as u32;
        code.extend(insns.into_iter().map(|mut insn| {
            if let Some(to) = insn.target_mut() {
                to.0 += n;
            }
            insn
        }));
        let program = Program { insns: code, locs: Vec::new() };
        if let Ok(slots) = encode(&program, &|MapRef(n)| maps[n as usize].as_raw_fd())
            && let Ok(loaded) = kernel.prog_load(&ProgLoad::new("any", ProgType::RawTracepoint, &slots))
        {
            let _ = kernel.prog_test_run(&loaded.prog, &TestRun { ctx: &[3; 96], ..TestRun::default() });
            let _ = kernel.open_ring(&maps[2]).expect("a ring").consume(9, &mut |_, _| ControlFlow::Continue(()));
        }
    }
}

#[test]
fn queues_stacks_and_sets_take_values_without_keys() {
    let kernel = sim();
    let maps = [MapType::Queue, MapType::Stack, MapType::BloomFilter].map(|ty| map(&kernel, ty, 0, 8, 2));
    let maps: Vec<&MapFd> = maps.iter().collect();
    let push = |n: u32, value: i32, flags: i32| {
        let text = format!(
            "*(u64 *)(r10 - 8) = {value}\nr1 = map[{n}] ll\nr2 = r10\nr2 += -8\nr3 = {flags}\ncall map_push_elem\nexit"
        );
        run(&kernel, &maps, &text).cast_signed()
    };
    let next = |n: u32, how: &str| {
        let text = format!(
            "*(u64 *)(r10 - 8) = 9\nr1 = map[{n}] ll\nr2 = r10\nr2 += -8\ncall map_{how}_elem\nr1 = *(u64 *)(r10 - 8)\nr0 <<= 8\nr0 += r1\nexit"
        );
        run(&kernel, &maps, &text).cast_signed()
    };
    let failed = |errno: Errno| -(errno.0 << 8);
    for n in 0..2 {
        assert_eq!([push(n, 1, 0), push(n, 2, 0), push(n, 3, 0)], [0, 0, -Errno::E2BIG.0]);
        assert_eq!(push(n, 3, 2), 0);
    }
    assert_eq!([next(0, "peek"), next(0, "pop"), next(0, "pop")], [2, 2, 3]);
    assert_eq!([next(1, "peek"), next(1, "pop"), next(1, "pop")], [3, 3, 2]);
    assert_eq!([next(0, "pop"), next(1, "peek")], [failed(Errno::ENOENT); 2]);
    assert_eq!(next(2, "peek"), failed(Errno::ENOENT) + 9);
    assert_eq!([push(2, 9, 0), push(2, 9, 0), next(2, "peek")], [0, 0, 9]);
}

#[test]
fn maps_in_maps_are_looked_up_twice() {
    let kernel = sim();
    let inner = map(&kernel, MapType::Array, 4, 8, 2);
    let value = 77u64.to_le_bytes();
    kernel.map_update(&inner, &1u32.to_le_bytes(), &value, UpdateMode::Any).expect("an element");
    let outer = map(&kernel, MapType::ArrayOfMaps, 4, 4, 2);
    let fd = inner.as_raw_fd().to_le_bytes();
    kernel.map_update(&outer, &1u32.to_le_bytes(), &fd, UpdateMode::Any).expect("a map is put in");
    let text = |index: u32| {
        format!(
            "*(u32 *)(r10 - 4) = {index}\nr1 = map[0] ll\nr2 = r10\nr2 += -4\ncall map_lookup_elem\nif r0 == 0 goto out\nr1 = r0\nr2 = r10\nr2 += -4\ncall map_lookup_elem\nif r0 == 0 goto out\nr0 = *(u64 *)(r0 + 0)\nout:\nexit"
        )
    };
    assert_eq!(run(&kernel, &[&outer], &text(1)), 77);
    assert_eq!(run(&kernel, &[&outer], &text(0)), 0);
    assert_eq!(kernel.map_delete(&outer, &1u32.to_le_bytes()), Ok(true));
    assert_eq!(run(&kernel, &[&outer], &text(1)), 0);
    let number = kernel.map_update(&outer, &[0; 4], &(-1i32).to_le_bytes(), UpdateMode::Any);
    assert_eq!(number.map_err(|e| e.errno), Err(Errno::EBADF));
}

#[test]
fn tail_calls_go_on_as_another_program() {
    let kernel = sim();
    let table = map(&kernel, MapType::ProgArray, 4, 4, 2);
    let call = |index: u32| format!("r6 = r1\nr2 = map[0] ll\nr3 = {index}\ncall tail_call\nr0 = 5\nexit");
    let last = load(&kernel, ProgType::RawTracepoint, &[], "r0 = 42\nexit");
    assert_eq!(run(&kernel, &[&table], &call(0)), 5, "there is no program yet");
    let fd = last.as_raw_fd().to_le_bytes();
    kernel.map_update(&table, &[0; 4], &fd, UpdateMode::Any).expect("a program is put in");
    assert_eq!(run(&kernel, &[&table], &call(0)), 42);
    // One that calls itself comes to an end, too.
    let own = load(&kernel, ProgType::RawTracepoint, &[&table], &call(1));
    kernel
        .map_update(&table, &1u32.to_le_bytes(), &own.as_raw_fd().to_le_bytes(), UpdateMode::Any)
        .expect("itself");
    assert_eq!(kernel.prog_test_run(&own, &TestRun::default()).expect("it ends").retval, 5);
}
