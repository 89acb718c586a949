//! Text to tree and back.

#![no_main]

use hark_testkit::oracle::{parser};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(finding) = parser(&String::from_utf8_lossy(data)) {
        panic!("{finding}");
    }
});
