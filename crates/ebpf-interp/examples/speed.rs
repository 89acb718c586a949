//! How many simple instructions a second: `cargo run --release -p ebpf-interp --example speed`.

use ebpf_asm::parse;
use ebpf_interp::{Code, Entry, Memory, NoHelpers, run};
use std::time::Instant;

const LOOPS: &[(&str, &str)] = &[
    (
        "arithmetic",
        "r0 = 0\nr1 = 20000000\nagain: r0 += r1\nr0 ^= 12345\nr2 = r0\nr2 >>= 3\nw0 += w2\nr1 -= 1\n\
         if r1 != 0 goto again\nexit",
    ),
    (
        "memory",
        "r1 = 20000000\n*(u64 *)(r10 - 8) = 0\nagain: r0 = *(u64 *)(r10 - 8)\nr0 += r1\n*(u64 *)(r10 - 8) = r0\n\
         r2 = *(u32 *)(r10 - 4)\nr1 -= 1\nif r1 > 0 goto again\nexit",
    ),
    ("calls", "r6 = 5000000\nagain: r1 = r6\ncall f\nr6 -= 1\nif r6 != 0 goto again\nexit\nf: r0 = r1\nexit"),
];

fn main() {
    for (name, text) in LOOPS {
        let program = parse(text).expect("the texts above are well-formed");
        let code = Code::new(&program, &|_| None);
        let begun = Instant::now();
        let outcome =
            run(&code, &mut Memory::new(), &mut NoHelpers, Entry::with_context(0)).expect("it runs");
        let seconds = begun.elapsed().as_secs_f64();
        println!("{name:<12}{:>8.0} M instructions/s", outcome.executed as f64 / seconds / 1e6);
    }
}
