//! Accepted programs, run and compared with what the verifier knows.

#![no_main]

use hark_testkit::oracle::{states};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(finding) = states(data) {
        panic!("{finding}");
    }
});
