//! Type information of programs: the kernel calls back only functions that it knows the types of.

use ebpf_codegen::Compiled;
use hark_btf::{Builder, Endian, Linkage};
use hark_object::ProgramTypes;

/// The types of a program of several functions; nothing for one that has only its entry.
///
/// All are static functions that return an `int`. What a callback takes, the verifier knows from who calls it.
pub(crate) fn of(compiled: &Compiled) -> Option<ProgramTypes> {
    if compiled.functions.len() < 2 {
        return None;
    }
    let mut btf = Builder::new(Endian::Little);
    let int = btf.int("int", 4, true);
    let proto = btf.func_proto(int, &[]);
    let functions = compiled
        .functions
        .iter()
        .enumerate()
        .map(|(i, (name, at))| (*at, btf.func(&identifier(name, i), proto, Linkage::Static).0))
        .collect();
    Some(ProgramTypes { btf: btf.build(), functions })
}

/// `name` as a C identifier, which is all that the kernel takes; `i` tells functions apart.
fn identifier(name: &str, i: usize) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    format!("f{i}_{}", name.chars().map(plain).take(100).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ebpf_asm::{InsnIdx, Program};

    fn compiled(functions: &[(&str, u32)]) -> Compiled {
        Compiled {
            program: Program::default(),
            functions: functions.iter().map(|(name, at)| ((*name).into(), InsnIdx(*at))).collect(),
            scratch_bytes: 0,
            stats: ebpf_codegen::Stats::default(),
            trace: vec![],
        }
    }

    #[test]
    fn only_programs_with_several_functions_need_types() {
        assert_eq!(of(&compiled(&[("begin", 0)])), None);
        let types = of(&compiled(&[("kprobe:vfs_*", 0), ("kprobe:vfs_*.1", 7)])).expect("types");
        assert_eq!(types.functions.len(), 2);
        assert_eq!(types.functions[1].0, InsnIdx(7));
        let btf = hark_btf::Btf::parse(types.btf.clone()).expect("BTF");
        let names: Vec<_> =
            types.functions.iter().map(|(_, id)| btf.type_name(hark_btf::TypeId(*id))).collect();
        assert_eq!(names, ["f0_kprobe_vfs__", "f1_kprobe_vfs___1"]);
    }
}
