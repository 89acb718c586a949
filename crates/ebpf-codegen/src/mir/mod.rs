//! The machine IR: eBPF instructions on virtual registers.
//!
//! It is SSA with block parameters like the IR, with three addresses where the machine has two (`dst` is *tied* to
//! the left operand: the allocator copies it when it lives on). Constants and addresses that the machine can make
//! out of nothing are [`Const`]s; as arguments of calls and jumps they need no register before.
//!
//! Guaranteed by instruction selection, wanted by the register allocator:
//! - blocks are in reverse postorder and all reachable, the first is the entry, which has no predecessors;
//! - only jumps have arguments, and an edge from a block of several successors to a block of several predecessors
//!   does not exist (critical edges are split).

pub mod parse;
mod print;

use ebpf_asm::{AluOp, AtomicOp, Cond, MapRef, Size, SrcLoc, Width};

/// A virtual register, defined once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VReg(pub u32);

impl VReg {
    /// Its number.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A block, by its position in [`Function::blocks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(pub u32);

impl BlockId {
    /// Its position.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What can be put into a register out of nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Const {
    /// A number.
    Imm(i64),
    /// An address in the frame: `R10` plus a negative offset.
    Frame(i32),
    /// A map.
    Map(MapRef),
    /// The address of a byte of the value of a one-element array map.
    MapValue(MapRef, u32),
    /// The address of a function of the module.
    Func(u32),
    /// The address of a kernel variable by BTF id.
    BtfVar(u32),
}

impl Const {
    /// How many 8-byte slots of code it takes to make it.
    pub fn cost(self) -> u32 {
        match self {
            Const::Imm(n) => {
                if i32::try_from(n).is_ok() || u32::try_from(n).is_ok() {
                    1
                } else {
                    2
                }
            }
            Const::Frame(_) | Const::Map(_) | Const::MapValue(..) | Const::Func(_) | Const::BtfVar(_) => 2,
        }
    }
}

/// Second operand of arithmetic, comparisons, stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opnd {
    /// A register.
    Reg(VReg),
    /// An immediate, sign-extended.
    Imm(i32),
}

impl Opnd {
    /// The register, if it is one.
    pub fn reg(self) -> Option<VReg> {
        match self {
            Opnd::Reg(r) => Some(r),
            Opnd::Imm(_) => None,
        }
    }
}

/// Base of a memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Base {
    /// A register.
    Reg(VReg),
    /// The frame pointer.
    Frame,
}

impl Base {
    /// The virtual register, if it is one.
    pub fn reg(self) -> Option<VReg> {
        match self {
            Base::Reg(r) => Some(r),
            Base::Frame => None,
        }
    }
}

/// Argument of a call, a jump or a return: made in its place by the moves before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arg {
    /// A register's value.
    Reg(VReg),
    /// A register's value plus a constant.
    Off(VReg, i32),
    /// A constant.
    Const(Const),
}

impl Arg {
    /// The register it needs, if any.
    pub fn reg(self) -> Option<VReg> {
        match self {
            Arg::Reg(r) | Arg::Off(r, _) => Some(r),
            Arg::Const(_) => None,
        }
    }
}

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Callee {
    /// A helper, by its UAPI number.
    Helper(u32),
    /// A function of the module.
    Func(u32),
    /// A kernel function, by BTF id in vmlinux.
    Kfunc(u32),
}

/// An instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inst {
    /// `dst = const`. Never needs its register across other instructions: it can be made again.
    Const {
        /// Result.
        dst: VReg,
        /// What.
        value: Const,
    },
    /// `dst = lhs op rhs`, `dst` tied to `lhs`; never `Mov`.
    Alu {
        /// Width.
        w: Width,
        /// Operation.
        op: AluOp,
        /// Result.
        dst: VReg,
        /// Left operand.
        lhs: VReg,
        /// Right operand.
        rhs: Opnd,
    },
    /// `dst = -src`, tied.
    Neg {
        /// Width.
        w: Width,
        /// Result.
        dst: VReg,
        /// Operand.
        src: VReg,
    },
    /// `dst = src` of the low `bits` swapped, the rest zero; tied.
    Swap {
        /// 16, 32 or 64.
        bits: u8,
        /// Result.
        dst: VReg,
        /// Operand.
        src: VReg,
    },
    /// `dst = (u32) src`
    Zext32 {
        /// Result.
        dst: VReg,
        /// Operand.
        src: VReg,
    },
    /// `dst = (sN) src` to 64 bits (ISA v4).
    MovSx {
        /// Size extended from.
        from: Size,
        /// Result.
        dst: VReg,
        /// Operand.
        src: VReg,
    },
    /// `dst = *(size *)(base + off)`
    Load {
        /// Access size.
        size: Size,
        /// Sign-extend (ISA v4).
        sext: bool,
        /// Result.
        dst: VReg,
        /// Address.
        base: Base,
        /// Added to the address.
        off: i16,
    },
    /// `*(size *)(base + off) = src`
    Store {
        /// Access size.
        size: Size,
        /// Address.
        base: Base,
        /// Added to the address.
        off: i16,
        /// What.
        src: Opnd,
    },
    /// `*(size *)(base + off) op= src`; with `dst` the old value comes back, tied to `src`.
    Atomic {
        /// `W` or `Dw`.
        size: Size,
        /// Operation.
        op: AtomicOp,
        /// Result, if the old value is wanted.
        dst: Option<VReg>,
        /// Operand.
        src: VReg,
        /// Address.
        base: Base,
        /// Added to the address.
        off: i16,
    },
    /// `dst = lhs cond rhs ? then : els`, `dst` tied to `then`. Becomes `dst = then; if cond skip; dst = els`, so
    /// `dst` shares its register with none of `lhs`, `rhs` and `els` unless `then` does.
    Select {
        /// Width of the comparison.
        w: Width,
        /// Condition.
        cond: Cond,
        /// Left operand of the comparison.
        lhs: VReg,
        /// Right operand of the comparison.
        rhs: Opnd,
        /// Result.
        dst: VReg,
        /// Value if the condition holds.
        then: Opnd,
        /// Value if not.
        els: Opnd,
    },
    /// `ret = callee(args)`: arguments in `R1`–`R5`, result in `R0`; `R0`–`R5` are lost.
    Call {
        /// What is called.
        callee: Callee,
        /// At most five arguments.
        args: Vec<Arg>,
        /// Result.
        ret: Option<VReg>,
    },
}

/// How a block ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// Goes on in `to` with `args` as its parameters.
    Jump {
        /// Where to.
        to: BlockId,
        /// One per parameter.
        args: Vec<Arg>,
    },
    /// Goes to `then` if the comparison holds, else to `els`; neither has parameters.
    Branch {
        /// Width of the comparison.
        w: Width,
        /// Condition.
        cond: Cond,
        /// Left operand.
        lhs: VReg,
        /// Right operand.
        rhs: Opnd,
        /// Where to if it holds.
        then: BlockId,
        /// Where to if not.
        els: BlockId,
    },
    /// Returns a value in `R0`.
    Exit(Arg),
}

/// An instruction and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The instruction.
    pub inst: Inst,
    /// Source position.
    pub loc: SrcLoc,
}

/// A block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Parameters; of the entry: the function's, in `R1`…
    pub params: Vec<VReg>,
    /// Instructions.
    pub insts: Vec<Node>,
    /// End.
    pub term: Term,
    /// Source position of the end.
    pub term_loc: SrcLoc,
    /// Expected to run rarely.
    pub cold: bool,
}

/// A function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Name, for people.
    pub name: String,
    /// Blocks; the first is the entry.
    pub blocks: Vec<Block>,
    /// Virtual registers are numbered below this.
    pub n_vregs: u32,
    /// Bytes of stack used by slots, a multiple of 8; spills lie below.
    pub frame: u32,
}

impl Inst {
    /// Calls `f` on every register read, in a fixed order; a tied operand comes first. Arguments of calls included.
    pub fn for_each_use(&self, mut f: impl FnMut(VReg)) {
        match self {
            Inst::Const { .. } => {}
            Inst::Alu { lhs, rhs, .. } => {
                f(*lhs);
                rhs.reg().into_iter().for_each(f);
            }
            Inst::Neg { src, .. }
            | Inst::Swap { src, .. }
            | Inst::Zext32 { src, .. }
            | Inst::MovSx { src, .. } => {
                f(*src);
            }
            Inst::Load { base, .. } => base.reg().into_iter().for_each(f),
            Inst::Store { base, src, .. } => {
                base.reg().into_iter().for_each(&mut f);
                src.reg().into_iter().for_each(f);
            }
            Inst::Atomic { src, base, .. } => {
                f(*src);
                base.reg().into_iter().for_each(f);
            }
            Inst::Select { lhs, rhs, then, els, .. } => {
                then.reg().into_iter().for_each(&mut f);
                f(*lhs);
                rhs.reg().into_iter().for_each(&mut f);
                els.reg().into_iter().for_each(f);
            }
            Inst::Call { args, .. } => args.iter().filter_map(|a| a.reg()).for_each(f),
        }
    }

    /// The register written.
    pub fn def(&self) -> Option<VReg> {
        match self {
            Inst::Const { dst, .. }
            | Inst::Alu { dst, .. }
            | Inst::Neg { dst, .. }
            | Inst::Swap { dst, .. }
            | Inst::Zext32 { dst, .. }
            | Inst::MovSx { dst, .. }
            | Inst::Load { dst, .. }
            | Inst::Select { dst, .. } => Some(*dst),
            Inst::Atomic { dst, .. } => *dst,
            Inst::Call { ret, .. } => *ret,
            Inst::Store { .. } => None,
        }
    }

    /// The operand whose register the result takes.
    pub fn tied(&self) -> Option<VReg> {
        match self {
            Inst::Alu { lhs, .. } => Some(*lhs),
            Inst::Neg { src, .. } | Inst::Swap { src, .. } => Some(*src),
            Inst::Atomic { dst: Some(_), src, .. } => Some(*src),
            Inst::Select { then, .. } => then.reg(),
            Inst::Const { .. }
            | Inst::Zext32 { .. }
            | Inst::MovSx { .. }
            | Inst::Load { .. }
            | Inst::Store { .. }
            | Inst::Atomic { dst: None, .. }
            | Inst::Call { .. } => None,
        }
    }

    /// Whether the two operands may change places, so that the result may be tied to the right one.
    pub fn commutes(&self) -> Option<VReg> {
        match self {
            Inst::Alu { op: AluOp::Add | AluOp::Mul | AluOp::Or | AluOp::And | AluOp::Xor, rhs, .. } => {
                rhs.reg()
            }
            _ => None,
        }
    }
}

impl Term {
    /// Calls `f` on every register read, in a fixed order.
    pub fn for_each_use(&self, mut f: impl FnMut(VReg)) {
        match self {
            Term::Jump { args, .. } => args.iter().filter_map(|a| a.reg()).for_each(f),
            Term::Branch { lhs, rhs, .. } => {
                f(*lhs);
                rhs.reg().into_iter().for_each(f);
            }
            Term::Exit(arg) => arg.reg().into_iter().for_each(f),
        }
    }

    /// Where it goes.
    pub fn targets(&self) -> impl Iterator<Item = BlockId> {
        let (a, b) = match self {
            Term::Jump { to, .. } => (Some(*to), None),
            Term::Branch { then, els, .. } => (Some(*then), Some(*els)),
            Term::Exit(_) => (None, None),
        };
        a.into_iter().chain(b)
    }
}

impl Function {
    /// The control-flow graph.
    pub fn cfg(&self) -> crate::graph::Cfg {
        crate::graph::Cfg::new(self.blocks.iter().map(|b| b.term.targets().map(|t| t.0)))
    }

    /// What each register is known to be, for registers that are constants.
    pub fn consts(&self) -> Vec<Option<Const>> {
        let mut consts = vec![None; self.n_vregs as usize];
        for block in &self.blocks {
            for node in &block.insts {
                if let Inst::Const { dst, value } = node.inst {
                    consts[dst.index()] = Some(value);
                }
            }
        }
        consts
    }
}

impl Inst {
    /// Calls `f` on every register named, defined ones first.
    pub fn for_each_reg_mut(&mut self, mut f: impl FnMut(&mut VReg)) {
        fn opnd(o: &mut Opnd, f: &mut impl FnMut(&mut VReg)) {
            if let Opnd::Reg(r) = o {
                f(r);
            }
        }
        fn base_reg(b: &mut Base, f: &mut impl FnMut(&mut VReg)) {
            if let Base::Reg(r) = b {
                f(r);
            }
        }
        match self {
            Inst::Const { dst, .. } => f(dst),
            Inst::Alu { dst, lhs, rhs, .. } => {
                f(dst);
                f(lhs);
                opnd(rhs, &mut f);
            }
            Inst::Neg { dst, src, .. }
            | Inst::Swap { dst, src, .. }
            | Inst::Zext32 { dst, src }
            | Inst::MovSx { dst, src, .. } => {
                f(dst);
                f(src);
            }
            Inst::Load { dst, base, .. } => {
                f(dst);
                base_reg(base, &mut f);
            }
            Inst::Store { base, src, .. } => {
                base_reg(base, &mut f);
                opnd(src, &mut f);
            }
            Inst::Atomic { dst, src, base, .. } => {
                dst.iter_mut().for_each(&mut f);
                f(src);
                base_reg(base, &mut f);
            }
            Inst::Select { lhs, rhs, dst, then, els, .. } => {
                f(dst);
                f(lhs);
                opnd(rhs, &mut f);
                opnd(then, &mut f);
                opnd(els, &mut f);
            }
            Inst::Call { args, ret, .. } => {
                ret.iter_mut().for_each(&mut f);
                args.iter_mut().for_each(|a| a.for_each_reg_mut(&mut f));
            }
        }
    }
}

impl Arg {
    fn for_each_reg_mut(&mut self, f: &mut impl FnMut(&mut VReg)) {
        match self {
            Arg::Reg(r) | Arg::Off(r, _) => f(r),
            Arg::Const(_) => {}
        }
    }
}

impl Term {
    /// Calls `f` on every register named.
    pub fn for_each_reg_mut(&mut self, mut f: impl FnMut(&mut VReg)) {
        match self {
            Term::Jump { args, .. } => args.iter_mut().for_each(|a| a.for_each_reg_mut(&mut f)),
            Term::Branch { lhs, rhs, .. } => {
                f(lhs);
                if let Opnd::Reg(r) = rhs {
                    f(r);
                }
            }
            Term::Exit(arg) => arg.for_each_reg_mut(&mut f),
        }
    }
}
