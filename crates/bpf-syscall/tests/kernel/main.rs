//! Every call against the running kernel. Needs root; a test that cannot run prints why.

mod attaching;
mod detecting;
mod loading;
mod maps;
mod rings;

use bpf_facts::ProgType;
use bpf_syscall::{Errno, Kernel, LinuxKernel, MapCreate, MapFd, ProgFd, ProgLoad, UpdateMode};
use std::os::fd::AsRawFd;

/// The kernel, if it lets us in.
fn kernel() -> Option<LinuxKernel> {
    let kernel = LinuxKernel::new().expect("sysfs");
    match kernel.map_create(&MapCreate::new("try", bpf_facts::MapType::Array, 4, 8, 1)) {
        Ok(_) => Some(kernel),
        Err(error) if error.errno == Errno::EPERM => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// The code of assembly text whose `map[n]` are `maps`.
fn assemble(text: &str, maps: &[&MapFd]) -> Vec<[u8; 8]> {
    let program = ebpf_asm::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    ebpf_asm::encode(&program, &|map| maps[map.0 as usize].as_raw_fd()).expect("encodes")
}

#[track_caller]
fn load(kernel: &dyn Kernel, ty: ProgType, text: &str, maps: &[&MapFd]) -> ProgFd {
    let code = assemble(text, maps);
    match kernel.prog_load(&ProgLoad::new("test", ty, &code)) {
        Ok(loaded) => loaded.prog,
        Err(error) => panic!("{error}\n{}", error.log.text),
    }
}

/// An array of one 8-byte number, for programs to count in.
fn counter(kernel: &dyn Kernel) -> MapFd {
    let map =
        kernel.map_create(&MapCreate::new("counter", bpf_facts::MapType::Array, 4, 8, 1)).expect("a map");
    kernel.map_update(&map, &[0; 4], &[0; 8], UpdateMode::Any).expect("zeroed");
    map
}

fn count(kernel: &dyn Kernel, map: &MapFd) -> u64 {
    let mut value = [0; 8];
    assert!(kernel.map_lookup(map, &[0; 4], &mut value).expect("a look-up"));
    u64::from_ne_bytes(value)
}

/// A program that adds one to `map[0]` each time it runs in this process.
const COUNT_OWN: &str = "
    call 14
    r0 >>= 32
    r1 = PID
    if r0 != r1 goto out
    r1 = map[0][0]+0 ll
    r2 = 1
    lock *(u64 *)(r1 + 0) += r2
out:
    r0 = 0
    exit";

fn count_own() -> String {
    COUNT_OWN.replace("PID", &std::process::id().to_string())
}
