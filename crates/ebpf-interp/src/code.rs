//! A program in the form that runs fast: 16 bytes an instruction, one flat number for what to do, operands where every
//! instruction finds them.
//!
//! The right operand is always `r[src] + imm`: an immediate has `src` at a register that stays zero, a register has
//! zero as `imm`. So neither needs a branch, and loads find their address the same way.

use ebpf_asm::{AluOp, Callee, Cond, Imm64, Insn, InsnIdx, Operand, Program, Reg, Size, Width};

/// Number of the register that stays zero.
pub(crate) const ZERO: u8 = 11;
/// High half of addresses of functions.
const FUNCTIONS: u32 = 0xfe00_0000;

/// What to do. `Other` is done from the instruction as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[rustfmt::skip]
pub(crate) enum Do {
    Add64, Sub64, Mul64, Div64, Sdiv64, Mod64, Smod64, Or64, And64, Xor64, Lsh64, Rsh64, Arsh64, Mov64,
    Add32, Sub32, Mul32, Div32, Sdiv32, Mod32, Smod32, Or32, And32, Xor32, Lsh32, Rsh32, Arsh32, Mov32,
    LoadB, LoadH, LoadW, LoadDw, LoadSxB, LoadSxH, LoadSxW,
    StoreB, StoreH, StoreW, StoreDw,
    Jump,
    Eq64, Ne64, Gt64, Ge64, Lt64, Le64, Sgt64, Sge64, Slt64, Sle64, Set64,
    Eq32, Ne32, Gt32, Ge32, Lt32, Le32, Sgt32, Sge32, Slt32, Sle32, Set32,
    CallHelper, CallLocal, Exit, FramePointer, Other,
}

/// An instruction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    /// Added to the right operand: immediate, offset of a load, number of a helper.
    pub(crate) imm: u64,
    /// Where a jump goes; the offset of a store.
    pub(crate) to: u32,
    pub(crate) what: Do,
    pub(crate) dst: u8,
    pub(crate) src: u8,
}

/// A program, prepared to run.
#[derive(Clone, Debug)]
pub struct Code {
    pub(crate) ops: Vec<Op>,
    pub(crate) insns: Vec<Insn>,
    /// Whether loads from where there is no memory give zero.
    pub(crate) forgiving: bool,
}

impl Code {
    /// Prepares `program`. `resolve` gives the addresses of maps, map values and variables; where it has none, the
    /// instruction traps when it is reached.
    pub fn new(program: &Program, resolve: &dyn Fn(Imm64) -> Option<u64>) -> Code {
        let ops = program.insns.iter().map(|insn| op(insn, resolve)).collect();
        Code { ops, insns: program.insns.clone(), forgiving: false }
    }

    /// Lets loads from where there is no memory give zero, as the kernel does where programs follow typed pointers.
    pub fn following_pointers(self) -> Code {
        Code { forgiving: true, ..self }
    }

    /// How many instructions it has.
    pub fn len(&self) -> usize {
        self.insns.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.insns.is_empty()
    }

    /// The function at a guest's address.
    pub(crate) fn function(&self, address: u64) -> Option<InsnIdx> {
        let at = address as u32;
        ((address >> 32) as u32 == FUNCTIONS && (at as usize) < self.len()).then_some(InsnIdx(at))
    }
}

fn op(insn: &Insn, resolve: &dyn Fn(Imm64) -> Option<u64>) -> Op {
    let other = Op { imm: 0, to: 0, what: Do::Other, dst: 0, src: ZERO };
    if written(insn) == Some(Reg::R10) {
        return Op { what: Do::FramePointer, ..other };
    }
    let right = |operand: Operand| match operand {
        Operand::Reg(reg) => (reg.index(), 0),
        Operand::Imm(n) => (ZERO, i64::from(n) as u64),
    };
    match *insn {
        Insn::Alu { w, op, dst, src } => {
            let (src, imm) = right(src);
            Op { what: alu(w, op), dst: dst.index(), src, imm, to: 0 }
        }
        Insn::Load { size, sext, dst, base, off } => Op {
            what: load(size, sext),
            dst: dst.index(),
            src: base.index(),
            imm: i64::from(off) as u64,
            to: 0,
        },
        Insn::Store { size, base, off, src } => {
            let (src, imm) = right(src);
            Op { what: store(size), dst: base.index(), src, imm, to: i32::from(off) as u32 }
        }
        Insn::Jump { to } => Op { what: Do::Jump, to: to.0, ..other },
        Insn::JumpIf { w, cond, lhs, rhs, to } => {
            let (src, imm) = right(rhs);
            Op { what: jump(w, cond), dst: lhs.index(), src, imm, to: to.0 }
        }
        Insn::LoadImm64 { dst, imm } => {
            let value = match imm {
                Imm64::Const(n) => Some(n),
                Imm64::Func(at) => Some(u64::from(FUNCTIONS) << 32 | u64::from(at.0)),
                Imm64::MapFd(_) | Imm64::MapValue(..) | Imm64::BtfVar { .. } => resolve(imm),
            };
            value.map_or(other, |imm| Op { what: Do::Mov64, dst: dst.index(), imm, ..other })
        }
        Insn::Call(Callee::Helper(id)) => Op { what: Do::CallHelper, imm: id.into(), ..other },
        Insn::Call(Callee::Local(to)) => Op { what: Do::CallLocal, to: to.0, ..other },
        Insn::Exit => Op { what: Do::Exit, ..other },
        Insn::MovSx { .. }
        | Insn::Neg { .. }
        | Insn::Swap { .. }
        | Insn::Atomic { .. }
        | Insn::LoadAcquire { .. }
        | Insn::StoreRelease { .. }
        | Insn::CastAddrSpace { .. }
        | Insn::LoadPacket { .. }
        | Insn::MayGoto { .. }
        | Insn::Call(Callee::Kfunc { .. }) => other,
    }
}

/// The register that is written, other than by calls.
fn written(insn: &Insn) -> Option<Reg> {
    match *insn {
        Insn::Alu { dst, .. }
        | Insn::MovSx { dst, .. }
        | Insn::Neg { dst, .. }
        | Insn::Swap { dst, .. }
        | Insn::Load { dst, .. }
        | Insn::LoadAcquire { dst, .. }
        | Insn::CastAddrSpace { dst, .. }
        | Insn::LoadImm64 { dst, .. } => Some(dst),
        Insn::Atomic { fetch: true, src, op, .. } if op != ebpf_asm::AtomicOp::Cmpxchg => Some(src),
        Insn::Atomic { .. }
        | Insn::Store { .. }
        | Insn::StoreRelease { .. }
        | Insn::LoadPacket { .. }
        | Insn::Jump { .. }
        | Insn::JumpIf { .. }
        | Insn::MayGoto { .. }
        | Insn::Call(_)
        | Insn::Exit => None,
    }
}

fn alu(w: Width, op: AluOp) -> Do {
    let pick = |w64, w32| if w == Width::W64 { w64 } else { w32 };
    match op {
        AluOp::Add => pick(Do::Add64, Do::Add32),
        AluOp::Sub => pick(Do::Sub64, Do::Sub32),
        AluOp::Mul => pick(Do::Mul64, Do::Mul32),
        AluOp::Div => pick(Do::Div64, Do::Div32),
        AluOp::Sdiv => pick(Do::Sdiv64, Do::Sdiv32),
        AluOp::Mod => pick(Do::Mod64, Do::Mod32),
        AluOp::Smod => pick(Do::Smod64, Do::Smod32),
        AluOp::Or => pick(Do::Or64, Do::Or32),
        AluOp::And => pick(Do::And64, Do::And32),
        AluOp::Xor => pick(Do::Xor64, Do::Xor32),
        AluOp::Lsh => pick(Do::Lsh64, Do::Lsh32),
        AluOp::Rsh => pick(Do::Rsh64, Do::Rsh32),
        AluOp::Arsh => pick(Do::Arsh64, Do::Arsh32),
        AluOp::Mov => pick(Do::Mov64, Do::Mov32),
    }
}

fn jump(w: Width, cond: Cond) -> Do {
    let pick = |w64, w32| if w == Width::W64 { w64 } else { w32 };
    match cond {
        Cond::Eq => pick(Do::Eq64, Do::Eq32),
        Cond::Ne => pick(Do::Ne64, Do::Ne32),
        Cond::Gt => pick(Do::Gt64, Do::Gt32),
        Cond::Ge => pick(Do::Ge64, Do::Ge32),
        Cond::Lt => pick(Do::Lt64, Do::Lt32),
        Cond::Le => pick(Do::Le64, Do::Le32),
        Cond::Sgt => pick(Do::Sgt64, Do::Sgt32),
        Cond::Sge => pick(Do::Sge64, Do::Sge32),
        Cond::Slt => pick(Do::Slt64, Do::Slt32),
        Cond::Sle => pick(Do::Sle64, Do::Sle32),
        Cond::Set => pick(Do::Set64, Do::Set32),
    }
}

fn load(size: Size, sext: bool) -> Do {
    match (size, sext) {
        (Size::B, false) => Do::LoadB,
        (Size::H, false) => Do::LoadH,
        (Size::W, false) => Do::LoadW,
        (Size::Dw, _) => Do::LoadDw,
        (Size::B, true) => Do::LoadSxB,
        (Size::H, true) => Do::LoadSxH,
        (Size::W, true) => Do::LoadSxW,
    }
}

fn store(size: Size) -> Do {
    match size {
        Size::B => Do::StoreB,
        Size::H => Do::StoreH,
        Size::W => Do::StoreW,
        Size::Dw => Do::StoreDw,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_stay_dense() {
        assert_eq!(size_of::<Op>(), 16);
    }
}
