//! Type information of programs whose functions the kernel calls back: it wants a static function in BTF for each
//! (`check_btf_func`, kernel/bpf/verifier.c), but does not look at what their types say.

use ebpf_asm::InsnIdx;
use hark_btf::{Builder, Def, Endian, Linkage};
use hark_object::ProgramBtf;

/// The BTF of a program with these functions; `None` if it has but one.
pub(crate) fn of(functions: &[(String, InsnIdx)]) -> Option<ProgramBtf> {
    if functions.len() < 2 {
        return None;
    }
    let mut b = Builder::new(Endian::Little);
    let int = b.int("long", 8, true);
    let nothing = b.add(Def::Ptr(hark_btf::TypeId(0)));
    let proto = b.func_proto(int, &[("ctx", nothing)]);
    let mut rows: Vec<(InsnIdx, u32)> = functions
        .iter()
        .enumerate()
        .map(|(i, (name, at))| {
            let linkage = if i == 0 { Linkage::Global } else { Linkage::Static };
            (*at, b.func(&identifier(name, i), proto, linkage).0)
        })
        .collect();
    rows.sort_by_key(|(at, _)| *at);
    Some(ProgramBtf { bytes: b.build(), functions: rows })
}

/// A name that BTF takes: an identifier of C, unique in the program.
fn identifier(name: &str, i: usize) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("f{i}_{plain}")
}
