//! What the verifier knows of numbers.

#![no_main]

use hark_testkit::oracle::{domains};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(finding) = domains(data) {
        panic!("{finding}");
    }
});
