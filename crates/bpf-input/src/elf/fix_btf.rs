//! What a compiler leaves open in BTF, and the kernel wants to be filled in: sizes of sections, places of variables,
//! what is defined elsewhere.

use super::ElfError;
use hark_btf::{Btf, Kind, Linkage, TypeId};
use hark_symbols::ObjectFile;

/// Bytes of a type's head.
const HEAD: usize = 12;
/// Bytes of a variable in a section, and of a member in a struct.
const ENTRY: usize = 12;
/// Bytes of a parameter.
const PARAM: usize = 8;

/// `bytes` as the kernel takes them.
pub(super) fn fix(bytes: &[u8], object: &ObjectFile<'_>) -> Result<Vec<u8>, ElfError> {
    let btf = Btf::parse(bytes.to_vec()).map_err(|e| ElfError::Btf(e.to_string()))?;
    let mut out = bytes.to_vec();
    let word = |at: usize| bytes.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let mut at = word(4) as usize + word(8) as usize;
    let mut patch = |at: usize, value: u32| {
        if let Some(place) = out.get_mut(at..at + 4) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    };
    let int = btf.own_types().find(|ty| ty.kind() == Kind::Int && ty.stated_size() == Some(4));
    let int = int.map_or(TypeId::VOID, |ty| ty.id());
    for ty in btf.own_types() {
        let info = word(at + 4);
        match ty.kind() {
            Kind::Datasec if ty.section_vars().any(|v| is_func(&btf, v.var)) => {
                // Functions have no place in a section: a struct of as many numbers stands for it.
                patch(at, 0);
                patch(at + 4, (Kind::Struct as u32) << 24 | ty.vlen());
                patch(at + 8, ty.vlen() * 4);
                for i in 0..ty.vlen() {
                    let entry = at + HEAD + i as usize * ENTRY;
                    patch(entry, 0);
                    patch(entry + 4, int.0);
                    patch(entry + 8, i * 32);
                }
            }
            Kind::Datasec => fix_section(&btf, object, &ty, at, &mut patch),
            Kind::Var if ty.linkage() == Some(Linkage::Extern) => {
                patch(at + HEAD, Linkage::Global.number());
                if ty.target().and_then(|id| btf.size_of(id)).is_none_or(|size| size == 0) {
                    // What has no size cannot be a variable.
                    patch(at + 8, int.0);
                }
            }
            Kind::Func if ty.linkage() == Some(Linkage::Extern) => {
                patch(at + 4, info & !0xffff | Linkage::Global.number());
            }
            Kind::Func if ty.linkage() == Some(Linkage::Global) => {
                let hidden =
                    |s: &&hark_symbols::ObjectSymbol<'_>| s.function && s.name == ty.name() && s.hidden;
                if object.symbols.iter().any(|s| hidden(&s)) {
                    patch(at + 4, info & !0xffff | Linkage::Static.number());
                }
            }
            _ => {}
        }
        at += HEAD + ty.kind().body_len(ty.vlen());
    }
    name_params(&btf, bytes, &mut out);
    Ok(out)
}

fn is_func(btf: &Btf, id: TypeId) -> bool {
    btf.type_by_id(id).is_some_and(|ty| ty.kind() == Kind::Func)
}

fn fix_section(
    btf: &Btf,
    object: &ObjectFile<'_>,
    ty: &hark_btf::Type<'_>,
    at: usize,
    patch: &mut impl FnMut(usize, u32),
) {
    let section = object.section(ty.name());
    let mut places: Vec<(u32, TypeId, u32)> = Vec::new();
    let mut next = 0u32;
    for var in ty.section_vars() {
        let name = btf.type_by_id(var.var).map_or("", |v| v.name());
        let size = btf.size_of(var.var).unwrap_or(0) as u32;
        let size = if size == 0 { var.size.max(4) } else { size };
        let symbol =
            object.symbols.iter().find(|s| s.name == name && s.section.is_some() && s.section == section);
        let off = match symbol {
            Some(symbol) => symbol.value as u32,
            None if section.is_some() => var.offset,
            // Defined elsewhere: in order, each at its alignment.
            None => next.next_multiple_of(btf.align_of(var.var).unwrap_or(8).max(1) as u32),
        };
        next = off + size;
        places.push((off, var.var, size));
    }
    places.sort_by_key(|place| place.0);
    let size = section.map_or(next, |i| object.sections[i].size as u32).max(next);
    patch(at + 8, size);
    for (i, (off, var, size)) in places.iter().enumerate() {
        let entry = at + HEAD + i * ENTRY;
        patch(entry, var.0);
        patch(entry + 4, *off);
        patch(entry + 8, *size);
    }
}

/// Functions must name their parameters; declarations need not. The function's own name will do.
fn name_params(btf: &Btf, bytes: &[u8], out: &mut [u8]) {
    let word = |at: usize| bytes.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let mut offsets = vec![0usize];
    let mut at = word(4) as usize + word(8) as usize;
    for ty in btf.own_types() {
        offsets.push(at);
        at += HEAD + ty.kind().body_len(ty.vlen());
    }
    for ty in btf.own_types().filter(|ty| ty.kind() == Kind::Func && ty.linkage() == Some(Linkage::Extern)) {
        let Some(proto) = ty.target() else { continue };
        let (Some(func), Some(proto_at)) = (offsets.get(ty.id().0 as usize), offsets.get(proto.0 as usize))
        else {
            continue;
        };
        let name = word(*func);
        let Some(proto) = btf.type_by_id(proto) else { continue };
        for i in 0..proto.vlen() as usize {
            let param = proto_at + HEAD + i * PARAM;
            if word(param) == 0 && word(param + 4) != 0 {
                out[param..param + 4].copy_from_slice(&name.to_le_bytes());
            }
        }
    }
}
