//! What a program's first argument points to. Sources: the structures of `include/uapi/linux/bpf.h` and what the
//! kernel lets each program type read and write of them.

use crate::progs::{AttachType, ProgType};
use crate::version::V;

mod tables;

/// Architecture of the traced machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    /// x86-64.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

/// What a program finds in a context field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtxFieldKind {
    /// A number.
    Scalar,
    /// Start of packet data.
    Packet,
    /// End of packet data.
    PacketEnd,
    /// Start of packet metadata.
    PacketMeta,
    /// The keys a flow dissector fills in (`struct bpf_flow_keys`).
    FlowKeys,
    /// A full socket.
    Socket,
    /// A full socket or NULL.
    SocketOrNull,
    /// A socket of any kind, or NULL.
    SockCommonOrNull,
    /// The buffer of a writable raw tracepoint.
    TpBuffer,
}

/// How much of a field an access may take. Every access is aligned to its own size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtxAccess {
    /// The whole field (of an array: one element).
    Whole,
    /// Reads of the whole field or an aligned part of it; writes of the whole.
    Narrow,
    /// As `Narrow`, but every part begins where the field does.
    NarrowFromStart,
    /// As `Narrow`, but reads of at least 2 bytes.
    NarrowTo2,
    /// As `Narrow`, and reads of 4 bytes from its start, beyond the 2 it has.
    NarrowOrWord,
    /// As `Narrow`, and reads and writes of 8 bytes of an array whose elements have 4.
    NarrowOrPair,
    /// Reads and writes of any size, within the array as one.
    Any,
}

/// One field of a context.
#[derive(Clone, Copy, Debug)]
pub struct CtxField {
    /// Name as the kernel writes it.
    pub name: &'static str,
    /// Offset in bytes.
    pub off: u32,
    /// Length in bytes, of an array of one element.
    pub len: u32,
    /// How many elements: 1 if it is no array.
    pub count: u32,
    /// What it holds.
    pub kind: CtxFieldKind,
    /// What accesses it takes.
    pub access: CtxAccess,
    /// First kernel that has it.
    pub since: V,
    /// Attach types that see it; empty: all.
    pub attach: &'static [AttachType],
}

impl CtxField {
    /// First byte behind it.
    pub const fn end(&self) -> u32 {
        self.off + self.len * self.count
    }
}

/// The context of a program type.
#[derive(Clone, Copy, Debug)]
pub struct CtxLayout {
    /// Program type.
    pub prog: ProgType,
    /// The structure, as the kernel calls it.
    pub name: &'static str,
    /// First byte that may be read.
    pub first: u32,
    /// Size in bytes; accesses beyond are refused.
    pub size: u32,
    /// Fields. Empty: any aligned read from `first` to `size` is allowed and gives a number.
    pub fields: &'static [CtxField],
    /// Fields of the structure that this program type does not see.
    pub hidden: &'static [&'static str],
    /// Fields it may write, with the attach types that may; empty: all.
    pub writable: &'static [(&'static str, &'static [AttachType])],
    /// Whether aligned reads before it pass the verifier, too: what is there is the kernel's own.
    pub below: bool,
    /// Whether all of it may be written, and read at an offset that is no constant.
    pub open: bool,
}

impl CtxLayout {
    /// Its size in bytes on `kernel`: records of tracepoints were shorter before 5.13.
    pub fn size_in(&self, kernel: V) -> u32 {
        if self.prog == ProgType::Tracepoint && kernel < V(5, 13) { self.size.min(2048) } else { self.size }
    }

    /// The field that byte `off` is part of, if this program type sees it.
    pub fn field_at(&self, off: u32) -> Option<&'static CtxField> {
        self.fields
            .iter()
            .find(|field| (field.off..field.end()).contains(&off))
            .filter(|field| !self.hidden.contains(&field.name))
    }

    /// The field called `name`, if this program type sees it.
    pub fn field(&self, name: &str) -> Option<&'static CtxField> {
        self.fields.iter().find(|field| field.name == name && !self.hidden.contains(&field.name))
    }

    /// Whether a program of attach type `attach` may write `field`.
    pub fn may_write(&self, field: &CtxField, attach: AttachType) -> bool {
        self.writable
            .iter()
            .any(|(name, types)| *name == field.name && (types.is_empty() || types.contains(&attach)))
    }
}

/// The context of `prog` on `arch`; `None` where the context is typed by BTF (tracing, LSM, struct_ops, netfilter)
/// or that of another program (`ext`).
pub fn ctx_layout(prog: ProgType, arch: Arch) -> Option<&'static CtxLayout> {
    let arch_tables = match arch {
        Arch::X86_64 => tables::X86_64,
        Arch::Aarch64 => tables::AARCH64,
    };
    arch_tables.iter().chain(tables::EVERYWHERE).find(|layout| layout.prog == prog)
}

/// The fields of `struct bpf_sock`, what a socket pointer leads to.
pub fn sock_fields() -> &'static [CtxField] {
    tables::SOCK
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progs::PROG_TYPES;

    fn layouts() -> impl Iterator<Item = &'static CtxLayout> {
        [Arch::X86_64, Arch::Aarch64]
            .into_iter()
            .flat_map(|arch| PROG_TYPES.iter().filter_map(move |def| ctx_layout(def.ty, arch)))
    }

    #[test]
    fn fields_are_in_order_aligned_and_inside() {
        for layout in layouts() {
            let mut end = layout.first;
            for field in layout.fields {
                assert!(field.off >= end, "{} of {} overlaps", field.name, layout.name);
                assert_eq!(field.off % field.len, 0, "{} of {}", field.name, layout.name);
                end = field.end();
            }
            assert!(end <= layout.size, "{}", layout.name);
        }
    }

    #[test]
    fn hidden_and_writable_fields_exist() {
        for layout in layouts() {
            for name in layout.hidden {
                assert!(layout.fields.iter().any(|f| f.name == *name), "{name} of {}", layout.name);
            }
            for (name, _) in layout.writable {
                assert!(layout.field(name).is_some(), "{name} of {}", layout.name);
            }
        }
    }

    #[test]
    fn program_types_see_different_parts_of_a_packet() {
        let tc = ctx_layout(ProgType::SchedCls, Arch::X86_64).expect("a layout");
        let filter = ctx_layout(ProgType::SocketFilter, Arch::X86_64).expect("a layout");
        assert_eq!(tc.field("data").map(|f| (f.off, f.kind)), Some((76, CtxFieldKind::Packet)));
        assert!(filter.field("data").is_none());
        let mark = tc.field_at(8).expect("mark");
        assert!(tc.may_write(mark, AttachType::None) && !filter.may_write(mark, AttachType::None));
        assert_eq!(tc.field_at(60).map(|f| f.name), Some("cb"));
    }

    #[test]
    fn kprobes_read_registers() {
        let kprobe = ctx_layout(ProgType::Kprobe, Arch::X86_64).expect("a layout");
        assert_eq!((kprobe.first, kprobe.size, kprobe.fields.len()), (0, 168, 0));
        let tracepoint = ctx_layout(ProgType::Tracepoint, Arch::X86_64).expect("a layout");
        assert_eq!((tracepoint.first, tracepoint.size), (8, 8192));
        assert!(ctx_layout(ProgType::Tracing, Arch::X86_64).is_none());
    }
}
