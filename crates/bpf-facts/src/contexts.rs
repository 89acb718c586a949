//! What a program's first argument points to, and the registers of the traced code.

use crate::progs::ProgType;

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
}

/// One field of a context.
#[derive(Clone, Copy, Debug)]
pub struct CtxField {
    /// Name as the kernel writes it.
    pub name: &'static str,
    /// Offset in bytes.
    pub off: u32,
    /// Length in bytes.
    pub len: u32,
    /// What it holds.
    pub kind: CtxFieldKind,
    /// Whether programs may write it.
    pub write: bool,
    /// Whether a part of it may be read.
    pub narrow: bool,
}

/// The context of a program type.
#[derive(Clone, Copy, Debug)]
pub struct CtxLayout {
    /// Program type.
    pub prog: ProgType,
    /// Size in bytes; accesses beyond are refused.
    pub size: u32,
    /// Fields. Empty: any aligned read within `size` is allowed.
    pub fields: &'static [CtxField],
}

/// The context of `prog` on `arch`; `None` where the context is typed by BTF or unknown to hark.
pub fn ctx_layout(prog: ProgType, arch: Arch) -> Option<&'static CtxLayout> {
    let _ = (prog, arch);
    None
}

/// Offset in `struct pt_regs` of a register by the name that `reg("…")` takes (`ax`, `di`, `sp`…).
pub fn pt_regs(arch: Arch, name: &str) -> Option<u32> {
    let _ = (arch, name);
    None
}
