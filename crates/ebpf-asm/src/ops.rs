//! The table of operations: bits, text and age of each, read by encoder, decoder, printer and parser alike.

use crate::insn::{AluOp, AtomicOp, Callee, Cond, Imm64, Insn, Operand, SwapOp, Width};

/// An operation: an instruction without its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they mirror the variants of Insn, which are documented")]
pub enum Op {
    Alu(AluOp),
    MovSx,
    CastAddrSpace,
    Neg,
    Swap(SwapOp),
    Load,
    LoadSx,
    Store,
    Atomic { op: AtomicOp, fetch: bool },
    LoadAcquire,
    StoreRelease,
    LoadPacketAbs,
    LoadPacketInd,
    LoadConst,
    LoadMapFd,
    LoadMapValue,
    LoadBtfVar,
    LoadFunc,
    Jump,
    JumpLong,
    JumpIf(Cond),
    MayGoto,
    CallHelper,
    CallLocal,
    CallKfunc,
    Exit,
}

/// How [`OpDef::code`] and [`OpDef::select`] stand in an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Opcode is `code`, the class of the width and the source bit; `select` is the offset field.
    Alu,
    /// Opcode is `code` and the class of the width, always with a register source; the offset field is an operand.
    AluReg,
    /// Opcode is `code`; the immediate is the number of bits.
    Swap,
    /// Opcode is `code` (mode and class) and the size.
    Memory,
    /// Opcode is `code` (mode and class) and the size; `select` is the immediate.
    Atomic,
    /// Opcode is `code`, takes two slots; `select` is the source register field.
    Wide,
    /// Opcode is `code`, the class of the width and the source bit.
    JumpIf,
    /// Opcode is `code`; `select` is the source register field.
    Control,
}

/// One operation.
#[derive(Clone, Copy, Debug)]
pub struct OpDef {
    /// Which.
    pub op: Op,
    /// The word or sign that tells it in assembly; empty where the syntax does.
    pub mnemonic: &'static str,
    /// How the next two stand in the instruction.
    pub family: Family,
    /// Its bits of the opcode byte.
    pub code: u8,
    /// The other field that tells it from operations with the same opcode.
    pub select: i32,
    /// First kernel that has it.
    pub since: (u16, u16),
}

/// Instruction classes, the low three bits of an opcode.
pub(crate) mod class {
    pub(crate) const LD: u8 = 0;
    pub(crate) const LDX: u8 = 1;
    pub(crate) const ST: u8 = 2;
    pub(crate) const STX: u8 = 3;
    pub(crate) const ALU: u8 = 4;
    pub(crate) const JMP: u8 = 5;
    pub(crate) const JMP32: u8 = 6;
    pub(crate) const ALU64: u8 = 7;
    pub(crate) const MASK: u8 = 7;
}

/// The source bit: operand in a register (`X`) rather than the immediate (`K`).
pub(crate) const SRC_X: u8 = 0x08;
/// The size bits of a memory access.
pub(crate) const SIZE_MASK: u8 = 0x18;
/// The mode bits of a memory access.
pub(crate) const MODE_MASK: u8 = 0xe0;
/// `mode | class` of `LDX | MEM`, whose siblings for stores differ in the class alone.
const MEM: u8 = 0x60;

const V4: (u16, u16) = (6, 6);
const OLD: (u16, u16) = (3, 18);

const fn row(
    op: Op,
    mnemonic: &'static str,
    family: Family,
    code: u8,
    select: i32,
    since: (u16, u16),
) -> OpDef {
    OpDef { op, mnemonic, family, code, select, since }
}

const fn atomic(op: AtomicOp, fetch: bool) -> Op {
    Op::Atomic { op, fetch }
}

/// Every operation.
#[rustfmt::skip]
pub static OPS: &[OpDef] = &[
    row(Op::Alu(AluOp::Add),  "+=",   Family::Alu, 0x00, 0, OLD),
    row(Op::Alu(AluOp::Sub),  "-=",   Family::Alu, 0x10, 0, OLD),
    row(Op::Alu(AluOp::Mul),  "*=",   Family::Alu, 0x20, 0, OLD),
    row(Op::Alu(AluOp::Div),  "/=",   Family::Alu, 0x30, 0, OLD),
    row(Op::Alu(AluOp::Sdiv), "s/=",  Family::Alu, 0x30, 1, V4),
    row(Op::Alu(AluOp::Or),   "|=",   Family::Alu, 0x40, 0, OLD),
    row(Op::Alu(AluOp::And),  "&=",   Family::Alu, 0x50, 0, OLD),
    row(Op::Alu(AluOp::Lsh),  "<<=",  Family::Alu, 0x60, 0, OLD),
    row(Op::Alu(AluOp::Rsh),  ">>=",  Family::Alu, 0x70, 0, OLD),
    row(Op::Alu(AluOp::Mod),  "%=",   Family::Alu, 0x90, 0, OLD),
    row(Op::Alu(AluOp::Smod), "s%=",  Family::Alu, 0x90, 1, V4),
    row(Op::Alu(AluOp::Xor),  "^=",   Family::Alu, 0xa0, 0, OLD),
    row(Op::Alu(AluOp::Mov),  "=",    Family::Alu, 0xb0, 0, OLD),
    row(Op::Alu(AluOp::Arsh), "s>>=", Family::Alu, 0xc0, 0, OLD),
    row(Op::Neg,              "-",    Family::Alu, 0x80, 0, OLD),
    row(Op::MovSx,            "",                Family::AluReg, 0xb0, 0, V4),
    row(Op::CastAddrSpace,    "addr_space_cast", Family::AluReg, 0xb0, 1, (6, 9)),
    row(Op::Swap(SwapOp::ToLe), "le",    Family::Swap, 0xd0 | class::ALU, 0, OLD),
    row(Op::Swap(SwapOp::ToBe), "be",    Family::Swap, 0xd0 | class::ALU | SRC_X, 0, OLD),
    row(Op::Swap(SwapOp::Swap), "bswap", Family::Swap, 0xd0 | class::ALU64, 0, V4),

    row(Op::Load,          "", Family::Memory, MEM | class::LDX, 0, OLD),
    row(Op::LoadSx,        "", Family::Memory, 0x80 | class::LDX, 0, V4),
    row(Op::Store,         "", Family::Memory, MEM, 0, OLD),
    row(Op::LoadPacketAbs, "skb", Family::Memory, 0x20 | class::LD, 0, OLD),
    row(Op::LoadPacketInd, "skb", Family::Memory, 0x40 | class::LD, 0, OLD),

    row(atomic(AtomicOp::Add, false),    "+=",        Family::Atomic, 0xc0 | class::STX, 0x00, OLD),
    row(atomic(AtomicOp::Or, false),     "|=",        Family::Atomic, 0xc0 | class::STX, 0x40, (5, 12)),
    row(atomic(AtomicOp::And, false),    "&=",        Family::Atomic, 0xc0 | class::STX, 0x50, (5, 12)),
    row(atomic(AtomicOp::Xor, false),    "^=",        Family::Atomic, 0xc0 | class::STX, 0xa0, (5, 12)),
    row(atomic(AtomicOp::Add, true),     "fetch_add", Family::Atomic, 0xc0 | class::STX, 0x01, (5, 12)),
    row(atomic(AtomicOp::Or, true),      "fetch_or",  Family::Atomic, 0xc0 | class::STX, 0x41, (5, 12)),
    row(atomic(AtomicOp::And, true),     "fetch_and", Family::Atomic, 0xc0 | class::STX, 0x51, (5, 12)),
    row(atomic(AtomicOp::Xor, true),     "fetch_xor", Family::Atomic, 0xc0 | class::STX, 0xa1, (5, 12)),
    row(atomic(AtomicOp::Xchg, true),    "xchg",      Family::Atomic, 0xc0 | class::STX, 0xe1, (5, 12)),
    row(atomic(AtomicOp::Cmpxchg, true), "cmpxchg",   Family::Atomic, 0xc0 | class::STX, 0xf1, (5, 12)),
    row(Op::LoadAcquire,  "load_acquire",  Family::Atomic, 0xc0 | class::STX, 0x100, (6, 15)),
    row(Op::StoreRelease, "store_release", Family::Atomic, 0xc0 | class::STX, 0x110, (6, 15)),

    row(Op::LoadConst,    "",          Family::Wide, 0x18, 0, OLD),
    row(Op::LoadMapFd,    "map",       Family::Wide, 0x18, 1, OLD),
    row(Op::LoadMapValue, "map_value", Family::Wide, 0x18, 2, (5, 2)),
    row(Op::LoadBtfVar,   "btf_var",   Family::Wide, 0x18, 3, (5, 10)),
    row(Op::LoadFunc,     "subprog",   Family::Wide, 0x18, 4, (5, 13)),

    row(Op::JumpIf(Cond::Eq),  "==",  Family::JumpIf, 0x10, 0, OLD),
    row(Op::JumpIf(Cond::Gt),  ">",   Family::JumpIf, 0x20, 0, OLD),
    row(Op::JumpIf(Cond::Ge),  ">=",  Family::JumpIf, 0x30, 0, OLD),
    row(Op::JumpIf(Cond::Set), "&",   Family::JumpIf, 0x40, 0, OLD),
    row(Op::JumpIf(Cond::Ne),  "!=",  Family::JumpIf, 0x50, 0, OLD),
    row(Op::JumpIf(Cond::Sgt), "s>",  Family::JumpIf, 0x60, 0, OLD),
    row(Op::JumpIf(Cond::Sge), "s>=", Family::JumpIf, 0x70, 0, OLD),
    row(Op::JumpIf(Cond::Lt),  "<",   Family::JumpIf, 0xa0, 0, (4, 14)),
    row(Op::JumpIf(Cond::Le),  "<=",  Family::JumpIf, 0xb0, 0, (4, 14)),
    row(Op::JumpIf(Cond::Slt), "s<",  Family::JumpIf, 0xc0, 0, (4, 14)),
    row(Op::JumpIf(Cond::Sle), "s<=", Family::JumpIf, 0xd0, 0, (4, 14)),

    row(Op::Jump,       "goto",     Family::Control, class::JMP, 0, OLD),
    row(Op::JumpLong,   "gotol",    Family::Control, class::JMP32, 0, V4),
    row(Op::MayGoto,    "may_goto", Family::Control, 0xe0 | class::JMP, 0, (6, 9)),
    row(Op::CallHelper, "call",     Family::Control, 0x80 | class::JMP, 0, OLD),
    row(Op::CallLocal,  "call",     Family::Control, 0x80 | class::JMP, 1, (4, 16)),
    row(Op::CallKfunc,  "call",     Family::Control, 0x80 | class::JMP, 2, (5, 13)),
    row(Op::Exit,       "exit",     Family::Control, 0x90 | class::JMP, 0, OLD),
];

/// The row of `op`; `None` only for an atomic that does not exist (an exchange that fetches nothing).
pub(crate) fn find(op: Op) -> Option<&'static OpDef> {
    OPS.iter().find(|def| def.op == op)
}

/// The row of one of `family` with this mnemonic.
pub(crate) fn by_mnemonic(family: Family, mnemonic: &str) -> Option<&'static OpDef> {
    OPS.iter().find(|def| def.family == family && def.mnemonic == mnemonic)
}

/// The row of one of `family` with these bits.
pub(crate) fn by_bits(family: Family, code: u8, select: i32) -> Option<&'static OpDef> {
    OPS.iter().find(|def| def.family == family && def.code == code && def.select == select)
}

/// The operation of an instruction. Of a jump the short form; the encoder knows which one it takes.
pub(crate) fn op_of(insn: &Insn) -> Op {
    match insn {
        Insn::Alu { op, .. } => Op::Alu(*op),
        Insn::MovSx { .. } => Op::MovSx,
        Insn::Neg { .. } => Op::Neg,
        Insn::Swap { op, .. } => Op::Swap(*op),
        Insn::Load { sext: false, .. } => Op::Load,
        Insn::Load { sext: true, .. } => Op::LoadSx,
        Insn::Store { .. } => Op::Store,
        Insn::Atomic { op, fetch, .. } => Op::Atomic { op: *op, fetch: *fetch },
        Insn::LoadAcquire { .. } => Op::LoadAcquire,
        Insn::StoreRelease { .. } => Op::StoreRelease,
        Insn::CastAddrSpace { .. } => Op::CastAddrSpace,
        Insn::LoadPacket { index: None, .. } => Op::LoadPacketAbs,
        Insn::LoadPacket { index: Some(_), .. } => Op::LoadPacketInd,
        Insn::LoadImm64 { imm, .. } => match imm {
            Imm64::Const(_) => Op::LoadConst,
            Imm64::MapFd(_) => Op::LoadMapFd,
            Imm64::MapValue(..) => Op::LoadMapValue,
            Imm64::Func(_) => Op::LoadFunc,
            Imm64::BtfVar { .. } => Op::LoadBtfVar,
        },
        Insn::Jump { .. } => Op::Jump,
        Insn::JumpIf { cond, .. } => Op::JumpIf(*cond),
        Insn::MayGoto { .. } => Op::MayGoto,
        Insn::Call(Callee::Helper(_)) => Op::CallHelper,
        Insn::Call(Callee::Local(_)) => Op::CallLocal,
        Insn::Call(Callee::Kfunc { .. }) => Op::CallKfunc,
        Insn::Exit => Op::Exit,
    }
}

/// First kernel, major and minor version, that knows this instruction. Says nothing of helpers and kernel functions.
pub fn since(insn: &Insn) -> (u16, u16) {
    let op = find(op_of(insn)).map_or(OLD, |def| def.since);
    // The 32-bit jumps came as a class of their own.
    if matches!(insn, Insn::JumpIf { w: Width::W32, .. }) { op.max((5, 1)) } else { op }
}

/// The source bit of an operand.
pub(crate) fn src_bit(operand: Operand) -> u8 {
    match operand {
        Operand::Reg(_) => SRC_X,
        Operand::Imm(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_operations_share_their_bits() {
        let mut seen = HashSet::new();
        for def in OPS {
            assert!(seen.insert((def.family, def.code, def.select)), "{:?}", def.op);
        }
    }

    #[test]
    fn no_two_operations_of_a_family_share_their_mnemonic() {
        let mut seen = HashSet::new();
        for def in OPS.iter().filter(|def| !matches!(def.mnemonic, "" | "skb" | "call")) {
            assert!(seen.insert((def.family, def.mnemonic)), "{:?}", def.op);
        }
    }
}
