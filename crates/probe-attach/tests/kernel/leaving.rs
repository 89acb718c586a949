//! How long it takes to leave.

use crate::{Counter, kernel, profile, tracepoints};
use bpf_facts::{AttachType, ProgType, V};
use probe_attach::{Scope, attach, detach_all};
use std::time::{Duration, Instant};

/// Some 40 ms each, twice, when left one by one.
const MANY: usize = 40;

/// How long the end of a run may wait.
const PATIENCE: Duration = Duration::from_millis(300);

#[test]
fn many_tracepoints_are_left_in_the_time_of_few() {
    let Some(kernel) = kernel() else { return };
    let points = tracepoints("syscalls", "sys_enter_s", MANY);
    if points.is_empty() {
        return;
    }
    let counter = Counter::new(&*kernel, ProgType::Tracepoint, AttachType::None);
    let start = Instant::now();
    let links: Vec<_> = points
        .iter()
        .map(|point| attach(&*kernel, counter.program(), point, Scope::default()).expect("attached"))
        .collect();
    let attached = Instant::now();
    let leftovers = detach_all(links, PATIENCE);
    let detached = Instant::now();
    let (n, complete) = (leftovers.len(), leftovers.is_complete());
    leftovers.close_in_background();
    let closed = Instant::now();
    println!(
        "{} tracepoints: attached in {:?}, detached in {:?} (complete: {complete}), {n} events left behind in {:?}",
        points.len(),
        attached - start,
        detached - attached,
        closed - detached,
    );
    // One by one it would be seconds.
    assert!(closed - attached < PATIENCE + Duration::from_millis(700));
    // Newer kernels let the waits overlap.
    assert!(complete || profile().version < V(6, 18));
    if complete {
        let runs = counter.runs(&*kernel);
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(counter.runs(&*kernel), runs, "the programs are off");
    }
}
