//! Prints what can be probed in a binary: `cargo run -p hark-symbols --example symbols -- FILE|LIBRARY|COMMAND`.

use std::path::Path;

use hark_symbols::{Elf, library::Search, parse_args};

fn main() {
    let path_var = std::env::var("PATH").unwrap_or_default();
    let search = Search { root: Path::new("/"), path: &path_var };
    for spec in std::env::args().skip(1) {
        for path in search.resolve(&spec).expect("a file") {
            let elf = Elf::open_with_debug(&path, &hark_symbols::DebugDirs::default()).expect("an ELF file");
            for f in elf.functions() {
                println!(
                    "uprobe:{}:{} {:#x} {:#x?}",
                    path.display(),
                    f.name,
                    f.addr,
                    elf.file_offset(f.addr)
                );
            }
            for p in elf.usdt_probes() {
                let args = parse_args(elf.machine(), p.args);
                println!(
                    "usdt:{}:{}:{} at {:#x}, semaphore {:?}: {args:?}",
                    path.display(),
                    p.provider,
                    p.name,
                    p.addr,
                    p.semaphore
                );
            }
        }
    }
}
