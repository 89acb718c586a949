//! Scripts, from text to what they print, and to the kernel.

#![no_main]

use hark_testkit::oracle::{Compilers, compiler};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static WITH: Compilers = Compilers::new(Some(include_bytes!("../../tests/fixtures/mini.btf").to_vec()));
}

fuzz_target!(|data: &[u8]| {
    if let Err(finding) = WITH.with(|with| compiler(data, with)) {
        panic!("{finding}");
    }
});
