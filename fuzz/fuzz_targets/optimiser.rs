//! Functions through the optimiser and the back end.

#![no_main]

use hark_testkit::oracle::{optimiser};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(finding) = optimiser(data) {
        panic!("{finding}");
    }
});
