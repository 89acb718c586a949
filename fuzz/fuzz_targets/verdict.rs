//! The simulated verifier against the kernel's.

#![no_main]

use hark_testkit::agree::Bench;
use hark_testkit::oracle::{Verdicts, verdict};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static KERNEL: LazyLock<Verdicts> =
    LazyLock::new(|| Verdicts::new().expect("this target needs the right to load programs"));

thread_local! {
    static BENCH: Bench<'static> = KERNEL.bench();
}

fuzz_target!(|data: &[u8]| {
    if let Err(finding) = BENCH.with(|bench| verdict(data, bench, KERNEL.version())) {
        panic!("{finding}");
    }
});
