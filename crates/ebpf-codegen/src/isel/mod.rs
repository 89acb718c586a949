//! Instruction selection: the SSA IR to the machine IR.
//!
//! Works backwards, blocks in reverse order and instructions from the end, so that every use has been seen before
//! the definition: an instruction is selected only if something wants its value, and one that its users have folded
//! into themselves (a constant, an offset, a comparison) costs nothing.

mod arith;
mod memory;

use crate::frame::Layout;
use crate::graph::Cfg;
use crate::ir::{self, InstData, Terminator, Type, UnOp, Value};
use crate::mir::{self, Arg, Base, BlockId, Callee, Const, Inst, Node, Opnd, Term, VReg};
use bpf_facts::{Feature, KernelProfile, ProgType, Unsupported};
use ebpf_asm::{AluOp, Cond, Size, SrcLoc, Width};
use rustc_hash::FxHashMap;

/// What selection needs to know of its surroundings.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// The kernel.
    pub profile: &'a KernelProfile,
    /// Program type, which decides what helpers may be called.
    pub prog: ProgType,
}

/// Selects instructions for a function whose frame is laid out.
///
/// # Errors
/// Names the first helper or feature that the kernel lacks.
pub fn select(
    func: &ir::Function,
    layout: &Layout,
    target: Target<'_>,
) -> Result<mir::Function, Unsupported> {
    let cfg = func.cfg();
    let mut uses = vec![0u32; func.values.len()];
    for &b in &cfg.rpo {
        let data = &func.blocks[ir::Block::new(b as usize)];
        for &inst in &data.insts {
            func.insts[inst].data.for_each_operand(|v| uses[v.index()] += 1);
        }
        data.term.for_each_operand(|v| uses[v.index()] += 1);
    }
    let selector = Selector {
        func,
        layout,
        target,
        uses,
        regs: vec![None; func.values.len()],
        n_vregs: 0,
        consts: FxHashMap::default(),
        out: Vec::new(),
        loc: SrcLoc::default(),
    };
    selector.run(&cfg)
}

struct Selector<'a> {
    func: &'a ir::Function,
    layout: &'a Layout,
    target: Target<'a>,
    /// How often each value is used.
    uses: Vec<u32>,
    /// The register of each value that something wanted.
    regs: Vec<Option<VReg>>,
    n_vregs: u32,
    /// Registers of constants wanted in the current block.
    consts: FxHashMap<Const, VReg>,
    /// The instruction being selected, in order.
    out: Vec<Inst>,
    loc: SrcLoc,
}

/// A comparison as the machine makes it.
struct Compare {
    w: Width,
    cond: Cond,
    lhs: VReg,
    rhs: Opnd,
}

impl Selector<'_> {
    fn run(mut self, cfg: &Cfg) -> Result<mir::Function, Unsupported> {
        // Numbers first: every block, and behind it the blocks that split its critical edges.
        let mut ids = vec![BlockId(0); self.func.blocks.len()];
        let mut next = 0;
        for &b in &cfg.rpo {
            ids[b as usize] = BlockId(next);
            let term = &self.func.blocks[ir::Block::new(b as usize)].term;
            next += 1 + term.targets().filter(|to| splits(cfg, term, to)).count() as u32;
        }
        let mut blocks: Vec<mir::Block> = Vec::with_capacity(next as usize);
        for &b in cfg.rpo.iter().rev() {
            let id = ir::Block::new(b as usize);
            let data = &self.func.blocks[id];
            self.consts.clear();
            self.loc = data.term_loc;
            let (term, edges) = self.terminator(cfg, &ids, ids[b as usize], data);
            blocks.extend(edges.into_iter().rev());
            let mut insts: Vec<Node> = Vec::with_capacity(data.insts.len() + 4);
            self.flush(&mut insts);
            for &inst in data.insts.iter().rev() {
                let node = &self.func.insts[inst];
                self.loc = node.loc;
                self.inst(node)?;
                self.flush(&mut insts);
            }
            // Constants stand at the head; the allocator makes them where they are used.
            let mut consts: Vec<(Const, VReg)> = self.consts.drain().collect();
            consts.sort_by_key(|(_, r)| *r);
            insts.extend(
                consts
                    .into_iter()
                    .map(|(value, dst)| Node { inst: Inst::Const { dst, value }, loc: SrcLoc::default() }),
            );
            insts.reverse();
            let params = data.params.iter().map(|&p| self.reg(p)).collect();
            blocks.push(mir::Block { params, insts, term, term_loc: data.term_loc, cold: data.cold });
        }
        blocks.reverse();
        let mut out = mir::Function {
            name: self.func.name.clone(),
            blocks,
            n_vregs: self.n_vregs,
            frame: self.layout.stack_bytes,
        };
        renumber(&mut out);
        Ok(out)
    }

    /// Moves what was selected behind the (reversed) code of the block.
    fn flush(&mut self, insts: &mut Vec<Node>) {
        let loc = self.loc;
        insts.extend(self.out.drain(..).rev().map(|inst| Node { inst, loc }));
    }

    fn fresh(&mut self) -> VReg {
        self.n_vregs += 1;
        VReg(self.n_vregs - 1)
    }

    fn push(&mut self, inst: Inst) {
        self.out.push(inst);
    }

    // Operands

    /// What the machine can make out of nothing.
    fn constant(&self, v: Value) -> Option<Const> {
        match self.func.def_inst(v)? {
            InstData::Iconst(n) => Some(Const::Imm(*n)),
            InstData::SlotAddr(slot, off) => Some(Const::Frame(self.layout.offset(*slot) + *off as i32)),
            InstData::MapAddr(map) => Some(Const::Map(*map)),
            InstData::MapValueAddr(map, off) => Some(Const::MapValue(*map, *off)),
            InstData::FuncAddr(func) => Some(Const::Func(func.index() as u32)),
            InstData::BtfVarAddr(id) => Some(Const::BtfVar(*id)),
            InstData::PtrOff(..) => {
                let (root, off) = self.root(v);
                match (self.constant(root)?, i32::try_from(off).ok()?) {
                    (Const::Frame(base), off) => Some(Const::Frame(base.checked_add(off)?)),
                    (Const::MapValue(map, base), off) => {
                        Some(Const::MapValue(map, base.checked_add_signed(off)?))
                    }
                    (Const::Imm(_) | Const::Map(_) | Const::Func(_) | Const::BtfVar(_), _) => None,
                }
            }
            _ => None,
        }
    }

    /// The pointer without constant offsets, and their sum.
    fn root(&self, v: Value) -> (Value, i64) {
        let (mut at, mut off) = (v, 0i64);
        while let Some(InstData::PtrOff(p, n)) = self.func.def_inst(at) {
            off += i64::from(*n);
            at = *p;
        }
        (at, off)
    }

    fn imm(&self, v: Value) -> Option<i64> {
        self.func.as_const(v)
    }

    fn imm32(&self, v: Value) -> Option<i32> {
        self.imm(v).and_then(|n| i32::try_from(n).ok())
    }

    fn const_reg(&mut self, value: Const) -> VReg {
        if let Some(&r) = self.consts.get(&value) {
            return r;
        }
        let r = self.fresh();
        self.consts.insert(value, r);
        r
    }

    /// The value in a register.
    fn reg(&mut self, v: Value) -> VReg {
        if let Some(c) = self.constant(v) {
            return self.const_reg(c);
        }
        // An offset of 0 is no other value.
        let v = match self.root(v) {
            (root, 0) => root,
            _ => v,
        };
        match self.regs[v.index()] {
            Some(r) => r,
            None => {
                let r = self.fresh();
                self.regs[v.index()] = Some(r);
                r
            }
        }
    }

    /// The value as an immediate if it fits, else in a register.
    fn opnd(&mut self, v: Value) -> Opnd {
        match self.imm32(v) {
            Some(n) => Opnd::Imm(n),
            None => Opnd::Reg(self.reg(v)),
        }
    }

    /// The value as argument of a call, jump or return.
    fn arg(&mut self, v: Value) -> Arg {
        if let Some(c) = self.constant(v) {
            return Arg::Const(c);
        }
        let (root, off) = self.root(v);
        match i32::try_from(off) {
            Ok(0) => Arg::Reg(self.reg(root)),
            Ok(off) => Arg::Off(self.reg(root), off),
            Err(_) => Arg::Reg(self.reg(v)),
        }
    }

    /// Base register and offset of an access.
    fn address(&mut self, ptr: Value, off: i64) -> (Base, i16) {
        let (root, base) = self.root(ptr);
        let total = base + off;
        match (self.constant(root), i16::try_from(total)) {
            (Some(Const::Frame(at)), _) => {
                if let Ok(off) = i16::try_from(i64::from(at) + total) {
                    return (Base::Frame, off);
                }
            }
            // One register for all accesses to a map's value.
            (Some(Const::MapValue(map, at)), Ok(_)) if at < 0x4000 => {
                if let Ok(off) = i16::try_from(i64::from(at) + total) {
                    return (Base::Reg(self.const_reg(Const::MapValue(map, 0))), off);
                }
            }
            (_, Ok(off)) => return (Base::Reg(self.reg(root)), off),
            (_, Err(_)) => {}
        }
        // Too far for the 16 bits of an access: move the pointer.
        let lhs = self.reg(root);
        let dst = self.fresh();
        let rhs = match i32::try_from(total) {
            Ok(n) => Opnd::Imm(n),
            Err(_) => Opnd::Reg(self.const_reg(Const::Imm(total))),
        };
        self.push(Inst::Alu { w: Width::W64, op: AluOp::Add, dst, lhs, rhs });
        (Base::Reg(dst), 0)
    }

    // Instructions

    fn inst(&mut self, node: &ir::InstNode) -> Result<(), Unsupported> {
        let dst = node.result.and_then(|r| self.regs[r.index()]);
        match &node.data {
            // Made where they are used.
            InstData::Iconst(_)
            | InstData::SlotAddr(..)
            | InstData::MapAddr(_)
            | InstData::FuncAddr(_)
            | InstData::BtfVarAddr(_) => {}
            InstData::MapValueAddr(..) => self.target.profile.require(Feature::MapValueAddr)?,
            InstData::PtrOff(..) => {
                if let (Some(dst), Some(v)) = (dst, node.result) {
                    let (root, off) = self.root(v);
                    let lhs = self.reg(root);
                    let rhs = match i32::try_from(off) {
                        Ok(n) => Opnd::Imm(n),
                        Err(_) => Opnd::Reg(self.const_reg(Const::Imm(off))),
                    };
                    self.push(Inst::Alu { w: Width::W64, op: AluOp::Add, dst, lhs, rhs });
                }
            }
            InstData::PtrAdd(p, n) => {
                if let Some(dst) = dst {
                    let lhs = self.reg(*p);
                    let rhs = self.opnd(*n);
                    self.push(Inst::Alu { w: Width::W64, op: AluOp::Add, dst, lhs, rhs });
                }
            }
            InstData::Binary(op, a, b) => {
                if let Some(dst) = dst {
                    self.binary(dst, *op, *a, *b);
                }
            }
            InstData::Unary(op, a) => {
                if let Some(dst) = dst {
                    self.unary(dst, *op, *a);
                }
            }
            InstData::Icmp(cond, a, b) => {
                if let Some(dst) = dst {
                    let c = self.compare(*cond, *a, *b);
                    self.choose(dst, c, Opnd::Imm(1), Opnd::Imm(0));
                }
            }
            InstData::Select(c, a, b) => {
                if let Some(dst) = dst {
                    let then = self.opnd(*a);
                    let els = self.opnd(*b);
                    let c = match self.func.def_inst(*c) {
                        Some(InstData::Icmp(cond, x, y)) if self.uses[c.index()] == 1 => {
                            self.compare(*cond, *x, *y)
                        }
                        Some(_) | None => {
                            let lhs = self.reg(*c);
                            Compare { w: Width::W64, cond: Cond::Ne, lhs, rhs: Opnd::Imm(0) }
                        }
                    };
                    self.choose(dst, c, then, els);
                }
            }
            InstData::Load { size, sext, ptr, off } => {
                if let Some(dst) = dst {
                    self.load(dst, *size, *sext, *ptr, *off);
                }
            }
            InstData::LoadPtr { ptr, off } => {
                if let Some(dst) = dst {
                    self.load(dst, Size::Dw, false, *ptr, *off);
                }
            }
            InstData::Store { size, value, ptr, off } => {
                let src = match self.imm(*value) {
                    Some(n) if *size != Size::Dw => Opnd::Imm(low_bits(n, *size)),
                    Some(_) | None => self.opnd(*value),
                };
                let (base, off) = self.address(*ptr, i64::from(*off));
                self.push(Inst::Store { size: *size, base, off, src });
            }
            InstData::Atomic { op, size, fetch, value, ptr, off } => {
                let plain = *op == ebpf_asm::AtomicOp::Add && !*fetch;
                if !plain {
                    self.target.profile.require(Feature::AtomicFetch)?;
                }
                // An operation whose old value nobody wants need not fetch it, except the exchange.
                let exchange = *op == ebpf_asm::AtomicOp::Xchg;
                let dst = if *fetch && (dst.is_some() || exchange) {
                    Some(dst.unwrap_or_else(|| self.fresh()))
                } else {
                    None
                };
                let src = self.reg(*value);
                let (base, off) = self.address(*ptr, i64::from(*off));
                self.push(Inst::Atomic { size: *size, op: *op, dst, src, base, off });
            }
            InstData::MemZero { ptr, off, len } => self.mem_zero(*ptr, *off, *len)?,
            InstData::MemCopy { dst, dst_off, src, src_off, len, align } => {
                self.mem_copy((*dst, *dst_off), (*src, *src_off), *len, *align)?;
            }
            InstData::CallHelper(id, args) => {
                self.target.profile.helper(*id, self.target.prog)?;
                self.call(Callee::Helper(id.0), args, dst);
            }
            InstData::CallFunc(func, args) => self.call(Callee::Func(func.index() as u32), args, dst),
            InstData::CallKfunc { btf_id, args, .. } => self.call(Callee::Kfunc(*btf_id), args, dst),
        }
        Ok(())
    }

    fn call(&mut self, callee: Callee, args: &[Value], ret: Option<VReg>) {
        let args = args.iter().map(|&v| self.arg(v)).collect();
        self.push(Inst::Call { callee, args, ret });
    }

    fn choose(&mut self, dst: VReg, c: Compare, then: Opnd, els: Opnd) {
        self.push(Inst::Select { w: c.w, cond: c.cond, lhs: c.lhs, rhs: c.rhs, dst, then, els });
    }

    /// A comparison of two values, on 32 bits where that saves an extension or makes an immediate fit.
    fn compare(&mut self, cond: ir::Cond, a: Value, b: Value) -> Compare {
        let (cond, a, b) = if self.imm(a).is_some() && self.imm(b).is_none() {
            (cond.swapped(), b, a)
        } else {
            (cond, a, b)
        };
        if let Some(n) = self.imm(b)
            && self.target.profile.has(Feature::Jmp32)
            && self.func.values[a].ty == Type::I64
            && let Some(narrow) = self.compare32(cond, a, n)
        {
            return narrow;
        }
        let lhs = self.reg(a);
        let rhs = self.opnd(b);
        Compare { w: Width::W64, cond: machine_cond(cond), lhs, rhs }
    }

    fn compare32(&mut self, cond: ir::Cond, a: Value, n: i64) -> Option<Compare> {
        let single = self.uses[a.index()] == 1;
        let (x, cond, n) = match self.func.def_inst(a) {
            Some(InstData::Unary(UnOp::Zext(Size::W), x)) if single => {
                (*x, unsigned(cond), u32::try_from(n).ok()?.cast_signed())
            }
            // Sign extension keeps both orders.
            Some(InstData::Unary(UnOp::Sext(Size::W), x)) if single => (*x, cond, i32::try_from(n).ok()?),
            Some(_) if i32::try_from(n).is_err() && self.is_u32(a) => {
                (a, unsigned(cond), u32::try_from(n).ok()?.cast_signed())
            }
            Some(_) | None => return None,
        };
        let lhs = self.reg(x);
        Some(Compare { w: Width::W32, cond: machine_cond(cond), lhs, rhs: Opnd::Imm(n) })
    }

    /// Whether the upper half is known to be zero.
    fn is_u32(&self, v: Value) -> bool {
        match self.func.def_inst(v) {
            Some(InstData::Load { size, sext, .. }) => *size != Size::Dw && !*sext,
            Some(InstData::Unary(UnOp::Zext(_), _)) => true,
            Some(InstData::Unary(UnOp::Bswap(size), _)) => *size != Size::Dw,
            Some(InstData::Binary(ir::BinOp::Lshr, _, n)) => self.imm(*n).is_some_and(|n| n & 63 >= 32),
            Some(InstData::Binary(ir::BinOp::And, _, n)) => {
                self.imm(*n).is_some_and(|n| u32::try_from(n).is_ok())
            }
            Some(_) | None => false,
        }
    }

    // Ends of blocks

    fn terminator(
        &mut self,
        cfg: &Cfg,
        ids: &[BlockId],
        id: BlockId,
        data: &ir::BlockData,
    ) -> (Term, Vec<mir::Block>) {
        let mut edges = Vec::new();
        let term = match &data.term {
            Terminator::Jump(to) => {
                let args = to.args.iter().map(|&v| self.arg(v)).collect();
                Term::Jump { to: ids[to.block.index()], args }
            }
            Terminator::Branch { cond, lhs, rhs, then, els } => {
                let mut ends = [BlockId(0); 2];
                for (end, to) in ends.iter_mut().zip([then, els]) {
                    *end = ids[to.block.index()];
                    if splits(cfg, &data.term, to) {
                        let args = to.args.iter().map(|&v| self.arg(v)).collect();
                        let term = Term::Jump { to: *end, args };
                        *end = BlockId(id.0 + 1 + edges.len() as u32);
                        edges.push(mir::Block {
                            params: Vec::new(),
                            insts: Vec::new(),
                            term,
                            term_loc: data.term_loc,
                            cold: data.cold || self.func.blocks[to.block].cold,
                        });
                    }
                }
                let c = self.compare(*cond, *lhs, *rhs);
                Term::Branch { w: c.w, cond: c.cond, lhs: c.lhs, rhs: c.rhs, then: ends[0], els: ends[1] }
            }
            Terminator::Return(v) => Term::Exit(self.arg(*v)),
            Terminator::None => Term::Exit(Arg::Const(Const::Imm(0))),
        };
        (term, edges)
    }
}

/// Whether the edge needs a block of its own: it passes arguments, or its target has other predecessors.
fn splits(cfg: &Cfg, term: &Terminator, to: &ir::BlockCall) -> bool {
    matches!(term, Terminator::Branch { .. })
        && (!to.args.is_empty() || cfg.preds(to.block.index()).len() > 1)
}

/// The unsigned condition that is the same for numbers that are not negative.
fn unsigned(cond: ir::Cond) -> ir::Cond {
    match cond {
        ir::Cond::Slt => ir::Cond::Ult,
        ir::Cond::Sle => ir::Cond::Ule,
        ir::Cond::Sgt => ir::Cond::Ugt,
        ir::Cond::Sge => ir::Cond::Uge,
        ir::Cond::Eq | ir::Cond::Ne | ir::Cond::Ult | ir::Cond::Ule | ir::Cond::Ugt | ir::Cond::Uge => cond,
    }
}

fn machine_cond(cond: ir::Cond) -> Cond {
    match cond {
        ir::Cond::Eq => Cond::Eq,
        ir::Cond::Ne => Cond::Ne,
        ir::Cond::Ult => Cond::Lt,
        ir::Cond::Ule => Cond::Le,
        ir::Cond::Ugt => Cond::Gt,
        ir::Cond::Uge => Cond::Ge,
        ir::Cond::Slt => Cond::Slt,
        ir::Cond::Sle => Cond::Sle,
        ir::Cond::Sgt => Cond::Sgt,
        ir::Cond::Sge => Cond::Sge,
    }
}

/// The low bits of a number as the immediate of a store.
fn low_bits(n: i64, size: Size) -> i32 {
    match size {
        Size::B => i32::from(n as u8),
        Size::H => i32::from(n as u16),
        Size::W | Size::Dw => n as i32,
    }
}

/// Numbers registers in order of appearance, so that the text does not depend on the order of selection.
fn renumber(f: &mut mir::Function) {
    let mut map = vec![u32::MAX; f.n_vregs as usize];
    let mut next = 0;
    let mut name = |r: &mut VReg| {
        let new = &mut map[r.index()];
        if *new == u32::MAX {
            *new = next;
            next += 1;
        }
        *r = VReg(*new);
    };
    for block in &mut f.blocks {
        block.params.iter_mut().for_each(&mut name);
        for node in &mut block.insts {
            node.inst.for_each_reg_mut(&mut name);
        }
        block.term.for_each_reg_mut(&mut name);
    }
    f.n_vregs = next;
}
