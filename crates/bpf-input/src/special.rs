//! Structures of the kernel in map values, found by their type.

use hark_btf::{Btf, Kind, TypeId};
use verifier_sim::{SpecialField, SpecialKind};

/// Deepest nesting of structures that is followed; the kernel's own limit is lower.
const MAX_DEPTH: u32 = 8;
/// Most fields; the kernel's own limit is lower.
const MAX_FIELDS: usize = 64;

/// The structures of the kernel in a value of type `value`, by rising offset.
pub fn special_fields(btf: &Btf, value: u32, kernel: Option<&Btf>) -> Vec<SpecialField> {
    let mut finder = Finder { btf, kernel, found: Vec::new() };
    finder.walk(TypeId(value), 0, 0);
    finder.found.sort_by_key(|field| field.off);
    finder.found
}

/// What a structure of this name is, by the names of `include/uapi/linux/bpf.h`.
pub(crate) fn kind_of(name: &str) -> Option<SpecialKind> {
    Some(match name {
        "bpf_spin_lock" => SpecialKind::SpinLock,
        "bpf_timer" => SpecialKind::Timer,
        "bpf_wq" => SpecialKind::Workqueue,
        "bpf_res_spin_lock" => SpecialKind::ResSpinLock,
        "bpf_list_head" | "bpf_rb_root" => SpecialKind::Collection,
        "bpf_task_work" | "bpf_list_node" | "bpf_rb_node" | "bpf_refcount" => SpecialKind::Other,
        _ => return None,
    })
}

struct Finder<'a> {
    btf: &'a Btf,
    kernel: Option<&'a Btf>,
    found: Vec<SpecialField>,
}

impl Finder<'_> {
    fn walk(&mut self, ty: TypeId, off: u32, depth: u32) {
        if depth > MAX_DEPTH || self.found.len() > MAX_FIELDS {
            return;
        }
        let Some(ty) = self.btf.resolve(ty) else { return };
        match ty.kind() {
            Kind::Struct => {
                if let Some(kind) = kind_of(ty.name()) {
                    let size = ty.stated_size().unwrap_or(0);
                    self.found.push(SpecialField { kind, off, size });
                    return;
                }
                for member in ty.members() {
                    self.walk(member.ty, off + member.bit_offset / 8, depth + 1);
                }
            }
            Kind::Array => {
                let Some(array) = ty.array() else { return };
                let Some(size) = self.btf.size_of(array.element) else { return };
                let before = self.found.len();
                for i in 0..array.len.min(MAX_FIELDS as u32) {
                    self.walk(array.element, off + i * size as u32, depth + 1);
                    if self.found.len() == before {
                        return;
                    }
                }
            }
            Kind::Ptr => self.pointer(ty.target(), off),
            _ => {}
        }
    }

    /// A pointer is one of the kernel's if its target carries the tag.
    fn pointer(&mut self, target: Option<TypeId>, off: u32) {
        let Some(tag) = target.and_then(|id| self.btf.type_by_id(id)) else { return };
        if tag.kind() != Kind::TypeTag {
            return;
        }
        let kind = match tag.name() {
            "kptr" | "kptr_ref" => {
                SpecialKind::Kptr { target: self.kernel_type(tag.target()), referenced: true }
            }
            "kptr_untrusted" => {
                SpecialKind::Kptr { target: self.kernel_type(tag.target()), referenced: false }
            }
            "percpu_kptr" | "uptr" => SpecialKind::Other,
            _ => return,
        };
        self.found.push(SpecialField { kind, off, size: 8 });
    }

    fn kernel_type(&self, id: Option<TypeId>) -> Option<u32> {
        let ty = self.btf.resolve(id?)?;
        let kind = if ty.kind() == Kind::Fwd { Kind::Struct } else { ty.kind() };
        self.kernel?.find(kind, ty.name()).map(|id| id.0)
    }
}
