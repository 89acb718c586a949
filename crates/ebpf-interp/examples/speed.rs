//! How many simple instructions a second: `cargo run --release -p ebpf-interp --example speed`.
//!
//! Prints the rows of a table. What counts is the time that this thread had a CPU, so that other work on the machine
//! does not show; of several runs the fastest is taken.

use ebpf_asm::parse;
use ebpf_interp::{Code, Entry, Memory, NoHelpers, run};

/// Runs of each loop.
const ROUNDS: u32 = 7;

const LOOPS: &[(&str, &str)] = &[
    (
        "arithmetic",
        "r0 = 0\nr1 = 8000000\nagain: r0 += r1\nr0 ^= 12345\nr2 = r0\nr2 >>= 3\nw0 += w2\nr1 -= 1\n\
         if r1 != 0 goto again\nexit",
    ),
    (
        "branches",
        "r0 = 0\nr1 = 8000000\nagain: r2 = r1\nr2 &= 3\nif r2 == 0 goto next\nr0 += r2\nif r2 > 2 goto next\n\
         r0 ^= r1\nnext: r1 -= 1\nif r1 != 0 goto again\nexit",
    ),
    (
        "memory",
        "r1 = 8000000\n*(u64 *)(r10 - 8) = 0\nagain: r0 = *(u64 *)(r10 - 8)\nr0 += r1\n*(u64 *)(r10 - 8) = r0\n\
         r2 = *(u32 *)(r10 - 4)\nr1 -= 1\nif r1 > 0 goto again\nexit",
    ),
    ("calls", "r6 = 4000000\nagain: r1 = r6\ncall f\nr6 -= 1\nif r6 != 0 goto again\nexit\nf: r0 = r1\nexit"),
];

/// Nanoseconds that this process has had a CPU.
fn on_cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").expect("Linux counts CPU time");
    text.split_whitespace().next().and_then(|ns| ns.parse().ok()).expect("nanoseconds come first")
}

fn main() {
    for (name, text) in LOOPS {
        let program = parse(text).expect("the texts above are well-formed");
        let code = Code::new(&program, &|_| None);
        let rate = |_| {
            let begun = on_cpu();
            let outcome =
                run(&code, &mut Memory::new(), &mut NoHelpers, Entry::with_context(0)).expect("it runs");
            outcome.executed as f64 * 1e3 / (on_cpu() - begun).max(1) as f64
        };
        let best = (0..ROUNDS).map(rate).fold(0.0, f64::max);
        println!("| {name} | {best:.0} M/s |");
    }
}
