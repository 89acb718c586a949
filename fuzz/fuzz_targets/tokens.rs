//! As `parser`, on texts of tokens.

#![no_main]

use hark_testkit::oracle::{parser_of_tokens};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(finding) = parser_of_tokens(data) {
        panic!("{finding}");
    }
});
