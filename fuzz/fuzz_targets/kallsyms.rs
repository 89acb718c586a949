//! The reader of kallsyms.

#![no_main]

use hark_testkit::oracle::{Reader, readers};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(finding) = readers(Reader::Kallsyms, data) {
        panic!("{finding}");
    }
});
