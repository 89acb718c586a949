//! The simulated verifier against the kernel's.

#![no_main]

use hark_testkit::oracle::{Benches, Verdicts, verdict};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static KERNEL: LazyLock<Verdicts> =
    LazyLock::new(|| Verdicts::new().expect("this target needs the right to load programs"));

thread_local! {
    static BENCHES: Benches<'static> = KERNEL.benches();
}

fuzz_target!(|data: &[u8]| {
    if let Err(finding) = BENCHES.with(|benches| verdict(data, benches, KERNEL.version())) {
        panic!("{finding}");
    }
});
