//! Bytes, instructions and text.

#![no_main]

use hark_testkit::oracle::{assembler};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(finding) = assembler(data) {
        panic!("{finding}");
    }
});
