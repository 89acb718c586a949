//! From instructions to text: the kernel's assembly dialect.
//!
//! One instruction a line, signs and words as the kernel's disassembler has them (`r1 += 4`, `*(u64 *)(r10 - 8) = r1`).
//! What we write, [`parse`](crate::parse) reads back.

use crate::insn::{
    AluOp, AtomicOp, Callee, Imm64, Insn, InsnIdx, Operand, Program, Reg, Size, Target, Width,
};
use crate::ops;
use crate::slots::SlotMap;
use std::collections::BTreeMap;
use std::fmt;

/// How targets are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jumps {
    /// `goto L1` and a line `L1:`; subprograms are `F1`, `F2`….
    Labels,
    /// `goto +3`, counted in slots from the next one.
    Relative,
}

/// A program to be printed, and how.
#[derive(Clone, Copy)]
pub struct DisplayWith<'a> {
    /// The program.
    pub program: &'a Program,
    /// How targets are written.
    pub jumps: Jumps,
    /// Name of a helper, for `call bpf_get_current_comm#16` instead of `call 16`.
    pub helper: &'a dyn Fn(u32) -> Option<&'a str>,
    /// A comment to stand on lines of its own before the instruction.
    pub note: &'a dyn Fn(InsnIdx) -> Option<String>,
}

impl Program {
    /// The program to be printed with labels, helpers by number and no comments; change what you like.
    pub fn display(&self) -> DisplayWith<'_> {
        DisplayWith { program: self, jumps: Jumps::Labels, helper: &|_| None, note: &|_| None }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.display().fmt(f)
    }
}

impl fmt::Display for DisplayWith<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Names::new(self.program, self.jumps);
        for (insn, at) in self.program.insns.iter().zip((0..).map(InsnIdx)) {
            if let Names::Labels(labels) = &names
                && let Some(label) = labels.get(&at)
            {
                writeln!(f, "{label}:")?;
            }
            if let Some(note) = (self.note)(at) {
                for line in note.lines() {
                    writeln!(f, "    ; {line}")?;
                }
            }
            f.write_str("    ")?;
            Line { insn, at, names: &names, helper: self.helper }.fmt(f)?;
            f.write_str("\n")?;
        }
        Ok(())
    }
}

/// One instruction as text, with relative targets and helpers by number. Linear in the program: for messages.
pub fn show(program: &Program, at: InsnIdx) -> String {
    let names = Names::Slots(program.slots());
    match program.insns.get(at.0 as usize) {
        Some(insn) => Line { insn, at, names: &names, helper: &|_| None }.to_string(),
        None => String::new(),
    }
}

/// What targets are called.
enum Names {
    Labels(BTreeMap<InsnIdx, String>),
    Slots(SlotMap),
}

impl Names {
    fn new(program: &Program, jumps: Jumps) -> Names {
        if jumps == Jumps::Relative {
            return Names::Slots(program.slots());
        }
        // A target both jumped to and called is called: its label is an `F`.
        let mut targets: BTreeMap<InsnIdx, bool> = BTreeMap::new();
        for insn in &program.insns {
            if let Some(to) = insn.target() {
                *targets.entry(to).or_default() |= matches!(insn, Insn::Call(_) | Insn::LoadImm64 { .. });
            }
        }
        let (mut functions, mut places) = (0, 0);
        let labels = targets.into_iter().map(|(at, function)| {
            let (prefix, count) = if function { ("F", &mut functions) } else { ("L", &mut places) };
            *count += 1;
            (at, format!("{prefix}{count}"))
        });
        Names::Labels(labels.collect())
    }

    fn target(&self, at: InsnIdx, to: Target) -> String {
        match self {
            Names::Labels(labels) => labels.get(&to).cloned().unwrap_or_else(|| format!("<no {}>", to.0)),
            Names::Slots(slots) => match (slots.slot_of(at), slots.slot_of(to)) {
                (Some(at), Some(to)) => format!("{:+}", i64::from(to.0) - i64::from(at.0) - 1),
                _ => format!("<no {}>", to.0),
            },
        }
    }
}

struct Line<'a, 'h> {
    insn: &'a Insn,
    at: InsnIdx,
    names: &'a Names,
    helper: &'a dyn Fn(u32) -> Option<&'h str>,
}

impl fmt::Display for Line<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = ops::find(ops::op_of(self.insn)).map_or("", |def| def.mnemonic);
        let target = |to| self.names.target(self.at, to);
        match *self.insn {
            Insn::Alu { w, op: AluOp::Mov, dst, src } => write!(f, "{} = {}", R(w, dst), Rhs(w, src)),
            Insn::Alu { w, dst, src, .. } => write!(f, "{} {sign} {}", R(w, dst), Rhs(w, src)),
            Insn::MovSx { w, from, dst, src } => {
                write!(f, "{} = (s{}){}", R(w, dst), from.bits(), R(w, src))
            }
            Insn::CastAddrSpace { dst, src, to, from } => {
                write!(f, "{} = {sign}({}, {to}, {from})", R64(dst), R64(src))
            }
            Insn::Neg { w, dst } => write!(f, "{0} = -{0}", R(w, dst)),
            Insn::Swap { bits, dst, .. } => write!(f, "{0} = {sign}{bits} {0}", R64(dst)),
            Insn::Load { size, sext, dst, base, off } => {
                write!(f, "{} = *({} *){}", R64(dst), Ty(size, sext), At(base, off))
            }
            Insn::Store { size, base, off, src } => {
                write!(f, "*({} *){} = {}", Ty(size, false), At(base, off), Rhs(Width::W64, src))
            }
            Insn::Atomic { size, op, fetch, base, off, src } => {
                let (ty, at) = (Ty(size, false), At(base, off));
                if !fetch {
                    return write!(f, "lock *({ty} *){at} {sign} {}", R64(src));
                }
                let word = if size == Size::Dw { "atomic64" } else { "atomic" };
                match op {
                    AtomicOp::Cmpxchg => write!(f, "r0 = {word}_{sign}(({ty} *){at}, r0, {})", R64(src)),
                    AtomicOp::Add | AtomicOp::Or | AtomicOp::And | AtomicOp::Xor | AtomicOp::Xchg => {
                        write!(f, "{0} = {word}_{sign}(({ty} *){at}, {0})", R64(src))
                    }
                }
            }
            Insn::LoadAcquire { size, dst, base, off } => {
                write!(f, "{} = {sign}(({} *){})", R64(dst), Ty(size, false), At(base, off))
            }
            Insn::StoreRelease { size, base, off, src } => {
                write!(f, "{sign}(({} *){}, {})", Ty(size, false), At(base, off), R64(src))
            }
            Insn::LoadPacket { size, index, imm } => {
                write!(f, "r0 = *({} *){sign}[", Ty(size, false))?;
                match index {
                    Some(index) => write!(f, "{} {}]", R64(index), Off(imm.into())),
                    None => write!(f, "{imm}]"),
                }
            }
            Insn::LoadImm64 { dst, imm } => {
                write!(f, "{} = ", R64(dst))?;
                match imm {
                    Imm64::Const(value) => write!(f, "{value:#x}")?,
                    Imm64::MapFd(map) => write!(f, "{sign}[{}]", map.0)?,
                    Imm64::MapValue(map, off) => write!(f, "{sign}[{}]+{off}", map.0)?,
                    Imm64::BtfVar { btf_id, btf_fd } => write!(f, "{sign}({btf_id}, {btf_fd})")?,
                    Imm64::Func(to) => write!(f, "{sign}[{}]", target(to))?,
                }
                f.write_str(" ll")
            }
            Insn::Jump { to } => write!(f, "{sign} {}", target(to)),
            Insn::JumpIf { w, lhs, rhs, to, .. } => {
                write!(f, "if {} {sign} {} goto {}", R(w, lhs), Rhs(w, rhs), target(to))
            }
            Insn::MayGoto { to } => write!(f, "{sign} {}", target(to)),
            Insn::Call(Callee::Helper(id)) => match (self.helper)(id) {
                Some(name) => write!(f, "{sign} bpf_{}#{id}", name.trim_start_matches("bpf_")),
                None => write!(f, "{sign} {id}"),
            },
            Insn::Call(Callee::Local(to)) => match self.names {
                Names::Labels(_) => write!(f, "{sign} {}", target(to)),
                Names::Slots(_) => write!(f, "{sign} pc{}", target(to)),
            },
            Insn::Call(Callee::Kfunc { btf_id, module }) => write!(f, "{sign} kfunc({btf_id}, {module})"),
            Insn::Exit => f.write_str(sign),
        }
    }
}

/// A register of a width.
struct R(Width, Reg);

impl fmt::Display for R {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.0 {
            Width::W32 => 'w',
            Width::W64 => 'r',
        };
        write!(f, "{letter}{}", self.1.index())
    }
}

struct R64(Reg);

impl fmt::Display for R64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        R(Width::W64, self.0).fmt(f)
    }
}

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        R64(*self).fmt(f)
    }
}

/// A second operand.
struct Rhs(Width, Operand);

impl fmt::Display for Rhs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Operand::Reg(reg) => R(self.0, reg).fmt(f),
            Operand::Imm(imm) => imm.fmt(f),
        }
    }
}

/// Type of a memory access.
struct Ty(Size, bool);

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.1 { 's' } else { 'u' }, self.0.bits())
    }
}

/// An address in brackets.
struct At(Reg, i16);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} {})", R64(self.0), Off(self.1.into()))
    }
}

/// A signed offset, the sign apart.
struct Off(i64);

impl fmt::Display for Off {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.0 < 0 { '-' } else { '+' }, self.0.unsigned_abs())
    }
}
