//! Ring buffers, filled by programs that we run ourselves.

use crate::{kernel, load};
use bpf_facts::{MapType, ProgType};
use bpf_syscall::wait::Poller;
use bpf_syscall::{Kernel, MapCreate, MapFd, ProgFd, TestRun};
use std::ops::ControlFlow;
use std::time::Duration;

const SIZE: u32 = 4096;

/// Outputs its first two arguments as a 16-byte record, and returns what `ringbuf_output` returned.
const OUTPUT: &str = "
    r2 = *(u64 *)(r1 + 0)
    *(u64 *)(r10 - 16) = r2
    r2 = *(u64 *)(r1 + 8)
    *(u64 *)(r10 - 8) = r2
    r1 = map[0] ll
    r2 = r10
    r2 += -16
    r3 = 16
    r4 = 0
    call 130
    exit";

/// Reserves a record and gives it up.
const DISCARD: &str = "
    r1 = map[0] ll
    r2 = 24
    r3 = 0
    call 131
    if r0 == 0 goto out
    r1 = r0
    r2 = 0
    call 133
out:
    r0 = 0
    exit";

fn ring(kernel: &dyn Kernel) -> MapFd {
    kernel.map_create(&MapCreate::new("ring", MapType::Ringbuf, 0, 0, SIZE)).expect("a ring")
}

/// Runs `prog` with two arguments.
fn run(kernel: &dyn Kernel, prog: &ProgFd, a: u64, b: u64) -> u32 {
    let ctx: Vec<u8> = [a, b].into_iter().flat_map(u64::to_ne_bytes).collect();
    let run = TestRun { ctx: &ctx, ..TestRun::default() };
    kernel.prog_test_run(prog, &run).expect("it ran").retval
}

fn pair(record: &[u8]) -> (u64, u64) {
    let (a, b) = record.split_at(8);
    (u64::from_ne_bytes(a.try_into().expect("8 bytes")), u64::from_ne_bytes(b.try_into().expect("8 bytes")))
}

#[test]
fn records_come_out_as_they_went_in_round_after_round() {
    let Some(kernel) = kernel() else { return };
    let map = ring(&kernel);
    let prog = load(&kernel, ProgType::RawTracepoint, OUTPUT, &[&map]);
    let mut records = kernel.open_ring(&map).expect("opened");
    assert_eq!((records.capacity(), records.available()), (u64::from(SIZE), 0));
    // 300 records of 24 bytes pass the end of the ring more than once.
    for round in 0..30u64 {
        for i in 0..10 {
            assert_eq!(run(&kernel, &prog, round, i), 0);
        }
        assert_eq!(records.available(), 240);
        let mut seen = Vec::new();
        let n = records.consume(usize::MAX, &mut |_, record| {
            seen.push(pair(record));
            ControlFlow::Continue(())
        });
        assert_eq!(n, 10);
        assert_eq!(seen, (0..10).map(|i| (round, i)).collect::<Vec<_>>());
    }
    assert_eq!(records.available(), 0);
}

#[test]
fn batches_end_where_they_are_told_to() {
    let Some(kernel) = kernel() else { return };
    let map = ring(&kernel);
    let prog = load(&kernel, ProgType::RawTracepoint, OUTPUT, &[&map]);
    let mut records = kernel.open_ring(&map).expect("opened");
    (0..5).for_each(|i| assert_eq!(run(&kernel, &prog, i, 0), 0));
    assert_eq!(records.consume(2, &mut |_, _| ControlFlow::Continue(())), 2);
    assert_eq!(records.consume(usize::MAX, &mut |_, _| ControlFlow::Break(())), 1);
    let mut rest = Vec::new();
    records.consume(usize::MAX, &mut |_, record| {
        rest.push(pair(record).0);
        ControlFlow::Continue(())
    });
    assert_eq!(rest, [3, 4]);
}

#[test]
fn a_full_ring_refuses_and_recovers() {
    let Some(kernel) = kernel() else { return };
    let map = ring(&kernel);
    let prog = load(&kernel, ProgType::RawTracepoint, OUTPUT, &[&map]);
    let mut records = kernel.open_ring(&map).expect("opened");
    // Each takes 24 bytes; the kernel keeps the ring from becoming entirely full.
    let fit = (0..200).take_while(|&i| run(&kernel, &prog, i, 0) == 0).count();
    assert_eq!(fit, 170);
    assert_eq!(records.consume(usize::MAX, &mut |_, _| ControlFlow::Continue(())), fit);
    assert_eq!(run(&kernel, &prog, 0, 0), 0);
}

#[test]
fn discarded_records_are_passed_over() {
    let Some(kernel) = kernel() else { return };
    let map = ring(&kernel);
    let output = load(&kernel, ProgType::RawTracepoint, OUTPUT, &[&map]);
    let discard = load(&kernel, ProgType::RawTracepoint, DISCARD, &[&map]);
    let mut records = kernel.open_ring(&map).expect("opened");
    run(&kernel, &discard, 0, 0);
    run(&kernel, &output, 8, 9);
    run(&kernel, &discard, 0, 0);
    let mut seen = Vec::new();
    let n = records.consume(usize::MAX, &mut |_, record| {
        seen.push(pair(record));
        ControlFlow::Continue(())
    });
    assert_eq!((n, seen), (1, vec![(8, 9)]));
    assert_eq!(records.available(), 0);
}

#[test]
fn a_record_wakes_the_poller() {
    let Some(kernel) = kernel() else { return };
    let map = ring(&kernel);
    let prog = load(&kernel, ProgType::RawTracepoint, OUTPUT, &[&map]);
    let mut records = kernel.open_ring(&map).expect("opened");
    let poller = Poller::new().expect("a poller");
    poller.add(records.fd().expect("a descriptor"), 3).expect("added");
    let mut ready = Vec::new();
    poller.wait(Some(Duration::ZERO), &mut ready).expect("waited");
    assert!(ready.is_empty());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(5));
            run(&kernel, &prog, 1, 2)
        });
        poller.wait(Some(Duration::from_secs(10)), &mut ready).expect("waited");
    });
    assert_eq!(ready, [3]);
    assert_eq!(records.consume(usize::MAX, &mut |_, _| ControlFlow::Continue(())), 1);
}

#[test]
fn nothing_is_lost_while_the_consumer_keeps_up() {
    const N: u64 = 20_000;
    let Some(kernel) = kernel() else { return };
    let map = ring(&kernel);
    let prog = load(&kernel, ProgType::RawTracepoint, OUTPUT, &[&map]);
    let mut records = kernel.open_ring(&map).expect("opened");
    let poller = Poller::new().expect("a poller");
    poller.add(records.fd().expect("a descriptor"), 0).expect("added");
    let mut next = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..N {
                while run(&kernel, &prog, i, !i) != 0 {
                    std::thread::yield_now();
                }
            }
        });
        let mut ready = Vec::new();
        while next < N {
            records.consume(usize::MAX, &mut |_, record| {
                assert_eq!(pair(record), (next, !next));
                next += 1;
                ControlFlow::Continue(())
            });
            if next < N {
                poller.wait(Some(Duration::from_secs(20)), &mut ready).expect("waited");
                assert!(!ready.is_empty(), "a wake-up was missed at {next}");
            }
        }
    });
}
