//! Prints C definitions: `cargo run -p hark-btf --example definitions -- [struct|union|enum [NAME]]`.
//!
//! The variable `HARK_BTF` names a file other than the running kernel's.

use hark_btf::{Btf, Kind};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let start = std::time::Instant::now();
    let bytes = {
        let path = std::env::var_os("HARK_BTF").unwrap_or_else(|| "/sys/kernel/btf/vmlinux".into());
        std::fs::read(path).expect("a BTF file")
    };
    let read = start.elapsed();
    let btf = Btf::parse(bytes).expect("the kernel's BTF is sound");
    eprintln!("{btf:?}: read in {read:?}, parsed in {:?}", start.elapsed() - read);
    let kinds: &[Kind] = match args.first().map(String::as_str) {
        Some("struct") => &[Kind::Struct],
        Some("union") => &[Kind::Union],
        Some("enum") => &[Kind::Enum, Kind::Enum64],
        _ => &[Kind::Struct, Kind::Union, Kind::Enum, Kind::Enum64],
    };
    for ty in kinds.iter().flat_map(|kind| btf.types_of(*kind)) {
        if !ty.name().is_empty() && args.get(1).is_none_or(|name| name == ty.name()) {
            println!("vmlinux: {}\n", btf.definition(ty.id()).unwrap_or_default());
        }
    }
}
