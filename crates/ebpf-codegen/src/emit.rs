//! Emission: allocated machine code to a program.
//!
//! Blocks are laid out in reverse postorder, those that rarely run last; blocks that only jump on are skipped. The
//! functions of a module follow one another, the entry first.

use crate::mir::{Arg, Base, Callee, Const, Function, Inst, Opnd, Term};
use crate::regalloc::{Allocation, Edit, Operands, Point};
use ebpf_asm::{AluOp, Cond, Imm64, Insn, InsnIdx, Operand, Program, Reg, Size, SrcLoc, SwapOp, Width};
use rustc_hash::FxHashMap;

/// Emits the functions of a module with their allocations; also tells where each begins.
pub fn emit(functions: &[(Function, Allocation)]) -> (Program, Vec<InsnIdx>) {
    let mut e = Emitter::default();
    let mut starts = Vec::with_capacity(functions.len());
    for (f, allocation) in functions {
        starts.push(InsnIdx(e.insns.len() as u32));
        e.function(f, allocation);
    }
    for insn in &mut e.insns {
        match insn {
            Insn::Call(ebpf_asm::Callee::Local(to)) | Insn::LoadImm64 { imm: Imm64::Func(to), .. } => {
                *to = starts[to.0 as usize];
            }
            _ => {}
        }
    }
    (Program { insns: e.insns, locs: e.locs }, starts)
}

#[derive(Default)]
struct Emitter {
    insns: Vec<Insn>,
    locs: Vec<(InsnIdx, SrcLoc)>,
    loc: SrcLoc,
    /// Jumps to be completed: the instruction and the block.
    jumps: Vec<(usize, usize)>,
    /// Bytes of the current function's slots.
    frame: u32,
}

impl Emitter {
    fn push(&mut self, insn: Insn) {
        if self.locs.last().is_none_or(|l| l.1 != self.loc) {
            self.locs.push((InsnIdx(self.insns.len() as u32), self.loc));
        }
        self.insns.push(insn);
    }

    fn function(&mut self, f: &Function, allocation: &Allocation) {
        self.frame = f.frame;
        let final_of = skip_empty(f, allocation);
        let order = layout(f, &final_of);
        let mut starts = vec![0u32; f.blocks.len()];
        for (i, &b) in order.iter().enumerate() {
            starts[b] = self.insns.len() as u32;
            self.block(f, allocation, b, order.get(i + 1).copied(), &final_of);
        }
        for (at, block) in std::mem::take(&mut self.jumps) {
            match &mut self.insns[at] {
                Insn::Jump { to } | Insn::JumpIf { to, .. } => *to = InsnIdx(starts[block]),
                _ => unreachable!("only jumps are completed"),
            }
        }
    }

    fn block(
        &mut self,
        f: &Function,
        allocation: &Allocation,
        b: usize,
        next: Option<usize>,
        final_of: &[usize],
    ) {
        let block = &f.blocks[b];
        let a = &allocation.blocks[b];
        let mut edits = a.edits.iter().peekable();
        for (i, node) in block.insts.iter().enumerate() {
            if !matches!(node.inst, Inst::Const { .. }) {
                self.loc = node.loc;
            }
            while let Some((_, edit)) = edits.next_if(|e| e.0 <= Point::before(i)) {
                self.edit(*edit);
            }
            self.inst(&node.inst, &a.operands[i]);
            while let Some((_, edit)) = edits.next_if(|e| e.0 <= Point::after(i)) {
                self.edit(*edit);
            }
        }
        self.loc = block.term_loc;
        for (_, edit) in edits {
            self.edit(*edit);
        }
        let operands = &a.operands[block.insts.len()];
        match &block.term {
            Term::Jump { to, .. } => self.jump(final_of[to.index()], next),
            Term::Exit(_) => self.push(Insn::Exit),
            Term::Branch { w, cond, lhs: _, rhs, then, els } => {
                let (then, els) = (final_of[then.index()], final_of[els.index()]);
                let lhs = used(operands, 0);
                let rhs = operand(*rhs, operands, 1);
                if then == els {
                    return self.jump(then, next);
                }
                let (cond, then, els) = match negated(*cond) {
                    Some(negated) if next == Some(then) => (negated, els, then),
                    Some(_) | None => (*cond, then, els),
                };
                self.jumps.push((self.insns.len(), then));
                self.push(Insn::JumpIf { w: *w, cond, lhs, rhs, to: InsnIdx(0) });
                self.jump(els, next);
            }
        }
    }

    fn jump(&mut self, to: usize, next: Option<usize>) {
        if next != Some(to) {
            self.jumps.push((self.insns.len(), to));
            self.push(Insn::Jump { to: InsnIdx(0) });
        }
    }

    fn mov(&mut self, dst: Reg, src: Operand) {
        if src != Operand::Reg(dst) {
            self.push(Insn::Alu { w: Width::W64, op: AluOp::Mov, dst, src });
        }
    }

    fn add(&mut self, dst: Reg, imm: i32) {
        if imm != 0 {
            self.push(Insn::Alu { w: Width::W64, op: AluOp::Add, dst, src: Operand::Imm(imm) });
        }
    }

    fn edit(&mut self, edit: Edit) {
        let at = |e: &Self, slot| {
            let off = Allocation::spill_offset(e.frame, slot);
            i16::try_from(off).expect("a frame has at most 512 bytes")
        };
        match edit {
            Edit::Move { to, from } => self.mov(to, Operand::Reg(from)),
            Edit::Spill { slot, from } => {
                let off = at(self, slot);
                self.push(Insn::Store { size: Size::Dw, base: Reg::R10, off, src: Operand::Reg(from) });
            }
            Edit::SpillImm { slot, imm } => {
                let off = at(self, slot);
                self.push(Insn::Store { size: Size::Dw, base: Reg::R10, off, src: Operand::Imm(imm) });
            }
            Edit::Reload { to, slot } => {
                let off = at(self, slot);
                self.push(Insn::Load { size: Size::Dw, sext: false, dst: to, base: Reg::R10, off });
            }
            Edit::Make { to, value } => self.make(to, value),
            Edit::Add { reg, imm } => self.add(reg, imm),
        }
    }

    fn make(&mut self, dst: Reg, value: Const) {
        let imm = match value {
            Const::Imm(n) => {
                if let Ok(n) = i32::try_from(n) {
                    return self.mov(dst, Operand::Imm(n));
                }
                if let Ok(n) = u32::try_from(n) {
                    // A 32-bit move clears the upper half.
                    let src = Operand::Imm(n.cast_signed());
                    return self.push(Insn::Alu { w: Width::W32, op: AluOp::Mov, dst, src });
                }
                Imm64::Const(n.cast_unsigned())
            }
            Const::Frame(off) => {
                self.mov(dst, Operand::Reg(Reg::R10));
                return self.add(dst, off);
            }
            Const::Map(map) => Imm64::MapFd(map),
            Const::MapValue(map, off) => Imm64::MapValue(map, off),
            // The number of the function, until all of them are placed.
            Const::Func(func) => Imm64::Func(InsnIdx(func)),
            Const::BtfVar(btf_id) => Imm64::BtfVar { btf_id, btf_fd: 0 },
        };
        self.push(Insn::LoadImm64 { dst, imm });
    }

    fn inst(&mut self, inst: &Inst, operands: &Operands) {
        let dst = operands.def.unwrap_or(Reg::R0);
        match inst {
            Inst::Const { .. } => {}
            Inst::Alu { w, op, rhs, .. } => {
                let left = used(operands, 0);
                let mut src = operand(*rhs, operands, 1);
                if dst != left {
                    // The operands have changed places.
                    src = Operand::Reg(left);
                }
                self.push(Insn::Alu { w: *w, op: *op, dst, src });
            }
            Inst::Neg { w, .. } => self.push(Insn::Neg { w: *w, dst }),
            Inst::Swap { bits, .. } => self.push(Insn::Swap { op: SwapOp::ToBe, bits: *bits, dst }),
            Inst::Zext32 { .. } => {
                let src = Operand::Reg(used(operands, 0));
                self.push(Insn::Alu { w: Width::W32, op: AluOp::Mov, dst, src });
            }
            Inst::MovSx { from, .. } => {
                self.push(Insn::MovSx { w: Width::W64, from: *from, dst, src: used(operands, 0) });
            }
            Inst::Load { size, sext, base, off, .. } => {
                let base = self.base(*base, operands, 0);
                self.push(Insn::Load { size: *size, sext: *sext, dst, base, off: *off });
            }
            Inst::Store { size, base, off, src } => {
                let n = usize::from(base.reg().is_some());
                let src = operand(*src, operands, n);
                let base = self.base(*base, operands, 0);
                self.push(Insn::Store { size: *size, base, off: *off, src });
            }
            Inst::Atomic { size, op, dst, base, off, .. } => {
                let src = used(operands, 0);
                let base = self.base(*base, operands, 1);
                self.push(Insn::Atomic { size: *size, op: *op, fetch: dst.is_some(), base, off: *off, src });
            }
            Inst::Select { w, cond, rhs, then, els, .. } => {
                let first = usize::from(then.reg().is_some());
                if first == 0 {
                    self.mov(dst, operand(*then, operands, 0));
                }
                let lhs = used(operands, first);
                let rhs_reg = usize::from(rhs.reg().is_some());
                let rhs = operand(*rhs, operands, first + 1);
                let els = operand(*els, operands, first + 1 + rhs_reg);
                let over = InsnIdx(self.insns.len() as u32 + 2);
                self.push(Insn::JumpIf { w: *w, cond: *cond, lhs, rhs, to: over });
                self.push(Insn::Alu { w: Width::W64, op: AluOp::Mov, dst, src: els });
            }
            Inst::Call { callee, .. } => self.push(Insn::Call(match callee {
                Callee::Helper(id) => ebpf_asm::Callee::Helper(*id),
                Callee::Func(func) => ebpf_asm::Callee::Local(InsnIdx(*func)),
                Callee::Kfunc(btf_id) => ebpf_asm::Callee::Kfunc { btf_id: *btf_id, module: 0 },
            })),
        }
    }

    fn base(&self, base: Base, operands: &Operands, n: usize) -> Reg {
        match base {
            Base::Reg(_) => used(operands, n),
            Base::Frame => Reg::R10,
        }
    }
}

fn used(operands: &Operands, n: usize) -> Reg {
    operands.uses[n].expect("every operand has a register")
}

fn operand(o: Opnd, operands: &Operands, n: usize) -> Operand {
    match o {
        Opnd::Reg(_) => Operand::Reg(used(operands, n)),
        Opnd::Imm(n) => Operand::Imm(n),
    }
}

fn negated(cond: Cond) -> Option<Cond> {
    Some(match cond {
        Cond::Eq => Cond::Ne,
        Cond::Ne => Cond::Eq,
        Cond::Gt => Cond::Le,
        Cond::Ge => Cond::Lt,
        Cond::Lt => Cond::Ge,
        Cond::Le => Cond::Gt,
        Cond::Sgt => Cond::Sle,
        Cond::Sge => Cond::Slt,
        Cond::Slt => Cond::Sge,
        Cond::Sle => Cond::Sgt,
        Cond::Set => return None,
    })
}

/// Where a jump to each block ends up: blocks without any code are passed through, and of blocks that only return
/// the same constant one is enough.
fn skip_empty(f: &Function, allocation: &Allocation) -> Vec<usize> {
    let n = f.blocks.len();
    let mut final_of: Vec<usize> = (0..n).collect();
    let mut ends: FxHashMap<Const, usize> = FxHashMap::default();
    for (b, block) in f.blocks.iter().enumerate().skip(1) {
        if let Term::Exit(Arg::Const(value)) = block.term
            && block.insts.is_empty()
            && allocation.blocks[b].edits.len() == 1
        {
            final_of[b] = *ends.entry(value).or_insert(b);
        }
    }
    // Edges go forward except to loop headers, so one walk from the end follows whole chains; a circle of empty
    // blocks (an endless loop) is left as it is.
    for b in (0..n).rev() {
        let block = &f.blocks[b];
        let empty = block.insts.iter().all(|i| matches!(i.inst, Inst::Const { .. }))
            && allocation.blocks[b].edits.is_empty();
        if final_of[b] == b
            && let Term::Jump { to, .. } = block.term
            && empty
            && b != 0
            && final_of[to.index()] != b
        {
            final_of[b] = final_of[to.index()];
        }
    }
    // Back edges may point at a block that was resolved later.
    for b in 0..n {
        let next = final_of[final_of[b]];
        final_of[b] = next;
    }
    final_of
}

/// Order of emission: reverse postorder, rarely run blocks last.
fn layout(f: &Function, final_of: &[usize]) -> Vec<usize> {
    let cfg = f.cfg();
    let kept = |b: &usize| final_of[*b] == *b;
    let all: Vec<usize> = cfg.rpo.iter().map(|b| *b as usize).filter(kept).collect();
    let (cold, mut order): (Vec<usize>, Vec<usize>) =
        all.into_iter().partition(|&b| b != 0 && f.blocks[b].cold);
    order.extend(cold);
    order
}
