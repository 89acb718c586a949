//! The text form of the machine IR.
//!
//! ```text
//! mfn "f" frame 16 {
//! b0(x0):
//!     x1 = load.u64 [x0+112]
//!     store.32 [fp-8], 0
//!     x2 = call map_lookup_elem(map m0, fp-8)
//!     if x2 == 0 goto b2 else b1
//! b1:
//!     x3 = load.u64 [x2]
//!     x4 = add x3, 1
//!     store.64 [x2], x4
//!     jump b2
//! b2:
//!     exit 0
//! }
//! ```

use super::{Arg, Base, BlockId, Callee, Const, Function, Inst, Node, Opnd, Term, VReg};
use ebpf_asm::{AluOp, AtomicOp, Cond, Size, Width};
use std::fmt::{self, Display, Formatter};

impl Display for VReg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "x{}", self.0)
    }
}

impl Display for BlockId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "b{}", self.0)
    }
}

impl Display for Const {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Const::Imm(n) => write!(f, "{n}"),
            Const::Frame(off) => write!(f, "fp{off:+}"),
            Const::Map(map) => write!(f, "map m{}", map.0),
            Const::MapValue(map, off) => write!(f, "map_value m{}+{off}", map.0),
            Const::Func(func) => write!(f, "func {func}"),
            Const::BtfVar(id) => write!(f, "btf_var {id}"),
        }
    }
}

impl Display for Opnd {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Opnd::Reg(r) => write!(f, "{r}"),
            Opnd::Imm(n) => write!(f, "{n}"),
        }
    }
}

impl Display for Arg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Arg::Reg(r) => write!(f, "{r}"),
            Arg::Off(r, off) => write!(f, "{r}{off:+}"),
            Arg::Const(c) => write!(f, "{c}"),
        }
    }
}

struct Address(Base, i16);

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (Base::Reg(r), 0) => write!(f, "[{r}]"),
            (Base::Reg(r), off) => write!(f, "[{r}{off:+}]"),
            (Base::Frame, off) => write!(f, "[fp{off:+}]"),
        }
    }
}

struct List<'a, T>(&'a [T]);

impl<T: Display> Display for List<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, item) in self.0.iter().enumerate() {
            write!(f, "{}{item}", if i > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// Names of arithmetic operations.
pub(super) const ALU: [(AluOp, &str); 13] = [
    (AluOp::Add, "add"),
    (AluOp::Sub, "sub"),
    (AluOp::Mul, "mul"),
    (AluOp::Div, "div"),
    (AluOp::Sdiv, "sdiv"),
    (AluOp::Mod, "mod"),
    (AluOp::Smod, "smod"),
    (AluOp::Or, "or"),
    (AluOp::And, "and"),
    (AluOp::Xor, "xor"),
    (AluOp::Lsh, "shl"),
    (AluOp::Rsh, "shr"),
    (AluOp::Arsh, "sar"),
];

/// Spellings of conditions.
pub(super) const CONDS: [(Cond, &str); 11] = [
    (Cond::Eq, "=="),
    (Cond::Ne, "!="),
    (Cond::Ge, ">="),
    (Cond::Gt, ">"),
    (Cond::Le, "<="),
    (Cond::Lt, "<"),
    (Cond::Sge, "s>="),
    (Cond::Sgt, "s>"),
    (Cond::Sle, "s<="),
    (Cond::Slt, "s<"),
    (Cond::Set, "&"),
];

/// Names of atomic operations.
pub(super) const ATOMICS: [(AtomicOp, &str); 5] = [
    (AtomicOp::Add, "add"),
    (AtomicOp::Or, "or"),
    (AtomicOp::And, "and"),
    (AtomicOp::Xor, "xor"),
    (AtomicOp::Xchg, "xchg"),
];

fn name<T: PartialEq>(table: &[(T, &'static str)], item: T) -> &'static str {
    table.iter().find(|(t, _)| *t == item).map_or("?", |(_, n)| n)
}

fn bits(size: Size) -> u32 {
    size.bytes() * 8
}

/// `.32` behind the name of a 32-bit operation.
fn narrow(w: Width) -> &'static str {
    match w {
        Width::W32 => ".32",
        Width::W64 => "",
    }
}

impl Display for Inst {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Inst::Const { dst, value } => write!(f, "{dst} = {value}"),
            Inst::Alu { w, op, dst, lhs, rhs } => {
                write!(f, "{dst} = {}{} {lhs}, {rhs}", name(&ALU, *op), narrow(*w))
            }
            Inst::Neg { w, dst, src } => write!(f, "{dst} = neg{} {src}", narrow(*w)),
            Inst::Swap { bits, dst, src } => write!(f, "{dst} = swap.{bits} {src}"),
            Inst::Zext32 { dst, src } => write!(f, "{dst} = zext.32 {src}"),
            Inst::MovSx { from, dst, src } => write!(f, "{dst} = sext.{} {src}", bits(*from)),
            Inst::Load { size, sext, dst, base, off } => {
                let sign = if *sext { 's' } else { 'u' };
                write!(f, "{dst} = load.{sign}{} {}", bits(*size), Address(*base, *off))
            }
            Inst::Store { size, base, off, src } => {
                write!(f, "store.{} {}, {src}", bits(*size), Address(*base, *off))
            }
            Inst::Atomic { size, op, dst, src, base, off } => {
                if let Some(dst) = dst {
                    write!(f, "{dst} = ")?;
                }
                write!(f, "atomic.{}.{} {}, {src}", name(&ATOMICS, *op), bits(*size), Address(*base, *off))
            }
            Inst::Select { w, cond, lhs, rhs, dst, then, els } => {
                write!(
                    f,
                    "{dst} = if{} {lhs} {} {rhs} then {then} else {els}",
                    narrow(*w),
                    name(&CONDS, *cond)
                )
            }
            Inst::Call { callee, args, ret } => {
                if let Some(ret) = ret {
                    write!(f, "{ret} = ")?;
                }
                match callee {
                    Callee::Helper(id) => match bpf_facts::helper(bpf_facts::HelperId(*id)) {
                        Some(def) => write!(f, "call {}({})", def.name, List(args)),
                        None => write!(f, "call #{id}({})", List(args)),
                    },
                    Callee::Func(n) => write!(f, "call fn {n}({})", List(args)),
                    Callee::Kfunc(id) => write!(f, "call kfunc {id}({})", List(args)),
                }
            }
        }
    }
}

impl Display for Term {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Term::Jump { to, args } if args.is_empty() => write!(f, "jump {to}"),
            Term::Jump { to, args } => write!(f, "jump {to}({})", List(args)),
            Term::Branch { w, cond, lhs, rhs, then, els } => {
                write!(f, "if{} {lhs} {} {rhs} goto {then} else {els}", narrow(*w), name(&CONDS, *cond))
            }
            Term::Exit(arg) => write!(f, "exit {arg}"),
        }
    }
}

impl Display for Function {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "mfn {:?} frame {} {{", self.name, self.frame)?;
        for (i, block) in self.blocks.iter().enumerate() {
            write!(f, "b{i}")?;
            if !block.params.is_empty() {
                write!(f, "({})", List(&block.params))?;
            }
            writeln!(f, "{}:", if block.cold { " cold" } else { "" })?;
            for Node { inst, .. } in &block.insts {
                writeln!(f, "    {inst}")?;
            }
            writeln!(f, "    {}", block.term)?;
        }
        writeln!(f, "}}")
    }
}
