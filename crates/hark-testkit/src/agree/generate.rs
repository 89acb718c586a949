//! Programs that are almost right.
//!
//! The generator knows, roughly, what each register holds, and mostly does sensible things with it: look-ups with
//! keys on the stack, comparisons before accesses, references that are given back. Now and then it forgets a check,
//! takes a wrong register or is off by one. So about half of its programs are accepted, and most of the others are
//! rejected for a reason worth agreeing on.

use super::maps::{DIRECT, EVENTS, READ_ONLY, RINGBUF, STACKS, TABLES, shapes};
use super::objects::Objects;
use super::rng::Rng;
use bpf_facts::{Arch, CtxFieldKind, HelperId, ProgType, V, ctx_layout};
use ebpf_asm::{
    AluOp, Assembler, AtomicOp, Callee, Cond, Imm64, Insn, Label, MapRef, Operand, Program, Reg, Size,
    SwapOp, Width,
};

/// What the generator believes a register to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Nothing,
    Number,
    Ctx,
    /// Value of a map of so many bytes.
    Value(u32),
    /// The same, perhaps NULL.
    MaybeValue(u32),
    /// Ring buffer record of so many bytes.
    Record(u32),
    MaybeRecord(u32),
    /// Address in the stack.
    Stack(i32),
    /// A kernel object.
    Object,
    Packet,
    PacketEnd,
}

/// First kernel with version 4 of the instruction set.
const ISA_V4: V = V(6, 6);

/// A label that jumps lead to, to be bound after so many more actions.
pub(super) struct Pending {
    label: Label,
    left: u32,
    /// What was known at the jump: what is known at the label is at most that.
    regs: [Holds; 10],
    written: u64,
}

pub(super) struct Gen<'a> {
    pub(super) rng: &'a mut Rng,
    pub(super) a: Assembler,
    pub(super) ty: ProgType,
    kernel: V,
    pub(super) regs: [Holds; 10],
    /// Slots written, bit `i` for `r10 - 8 * (i + 1)`.
    written: u64,
    pub(super) pending: Vec<Pending>,
    subprogs: Vec<Label>,
    /// Nesting of loops.
    pub(super) loops: u32,
    /// What of the kernel's types there is.
    pub(super) objects: Option<&'a Objects>,
    record: Option<Reg>,
    in_callback: bool,
}

pub(super) fn r(i: u8) -> Reg {
    Reg::new(i).expect("registers 0 to 10")
}

/// A program of type `ty` with instructions that `kernel` knows.
pub fn program(rng: &mut Rng, ty: ProgType, kernel: V) -> Program {
    program_with(rng, ty, kernel, None)
}

/// As [`program`], one that also uses these objects of the kernel.
pub fn program_with(rng: &mut Rng, ty: ProgType, kernel: V, objects: Option<&Objects>) -> Program {
    let n = 4 + rng.below(28);
    let mut g = Gen {
        rng,
        a: Assembler::new(),
        ty,
        kernel,
        regs: [Holds::Nothing; 10],
        written: 0,
        pending: Vec::new(),
        subprogs: Vec::new(),
        loops: 0,
        objects,
        record: None,
        in_callback: false,
    };
    g.regs[1] = Holds::Ctx;
    if g.rng.chance(85) {
        g.a.push(mov(r(6), Operand::Reg(r(1))));
        g.regs[6] = Holds::Ctx;
    }
    g.prologue();
    g.body(n);
    g.finish();
    let mut i = 0;
    while i < g.subprogs.len() {
        let label = g.subprogs[i];
        i += 1;
        g.a.bind(label);
        g.regs = [Holds::Nothing; 10];
        g.regs[1] = Holds::Number;
        g.regs[2] = if g.rng.chance(50) { Holds::Number } else { Holds::Ctx };
        g.written = 0;
        g.record = None;
        g.in_callback = true;
        let n = 1 + g.rng.below(6);
        g.body(n);
        g.finish();
    }
    g.a.finish().expect("every label is bound")
}

pub(super) fn mov(dst: Reg, src: Operand) -> Insn {
    Insn::Alu { w: Width::W64, op: AluOp::Mov, dst, src }
}

pub(super) fn add(dst: Reg, imm: i32) -> Insn {
    Insn::Alu { w: Width::W64, op: AluOp::Add, dst, src: Operand::Imm(imm) }
}

fn call(id: HelperId) -> Insn {
    Insn::Call(Callee::Helper(id.0))
}

impl Gen<'_> {
    /// A few numbers that nothing is known of.
    fn prologue(&mut self) {
        if self.regs[6] != Holds::Ctx {
            return;
        }
        if self.rng.chance(50) {
            self.a.push(call(HelperId::GET_PRANDOM_U32));
            self.clobber();
            self.a.push(mov(r(7), Operand::Reg(r(0))));
            self.set(r(7), Holds::Number);
            self.set(r(0), Holds::Number);
        }
        for _ in 0..self.rng.below(3) {
            self.load_ctx();
        }
        if self.rng.chance(30) {
            self.look_up();
        }
    }

    pub(super) fn body(&mut self, n: u64) {
        for _ in 0..n {
            self.action();
            self.bind_due();
        }
    }

    fn finish(&mut self) {
        self.bind_all();
        if let Some(reg) = self.record.take()
            && !self.rng.chance(4)
        {
            self.a.push(mov(r(1), Operand::Reg(reg)));
            self.a.push(mov(r(2), Operand::Imm(0)));
            self.a.push(call(HelperId::RINGBUF_SUBMIT));
        }
        if !self.rng.chance(3) {
            let v = if self.rng.chance(90) { self.rng.range(0, 1) } else { self.rng.range(-2, 300) };
            self.a.push(mov(r(0), Operand::Imm(v as i32)));
        }
        self.a.push(Insn::Exit);
    }

    fn bind_due(&mut self) {
        let mut i = 0;
        while i < self.pending.len() {
            self.pending[i].left = self.pending[i].left.saturating_sub(1);
            if self.pending[i].left == 0 {
                let due = self.pending.remove(i);
                self.bind(due);
            } else {
                i += 1;
            }
        }
    }

    fn bind(&mut self, due: Pending) {
        self.a.bind(due.label);
        for (now, then) in self.regs.iter_mut().zip(due.regs) {
            if *now != then {
                *now = Holds::Nothing;
            }
        }
        self.written &= due.written;
    }

    pub(super) fn bind_all(&mut self) {
        for due in std::mem::take(&mut self.pending) {
            self.bind(due);
        }
    }

    /// A label a few actions ahead.
    pub(super) fn ahead(&mut self) -> Label {
        let label = self.a.label();
        let left = 1 + self.rng.below(5) as u32;
        self.pending.push(Pending { label, left, regs: self.regs, written: self.written });
        label
    }

    fn action(&mut self) {
        let common = if self.objects.is_some() { 142 } else { 130 };
        match self.rng.below(common) {
            130.. => self.object_action(),
            100..130 => self.more(),
            0..8 => self.constant(),
            8..26 => self.arithmetic(),
            26..33 => self.copy(),
            33..41 => self.load_ctx(),
            41..49 => self.stack_store(),
            49..56 => self.stack_load(),
            56..66 => self.look_up(),
            66..72 => self.branch(),
            72..82 => self.use_value(),
            82..85 => self.count_loop(),
            85..88 => self.reserve(),
            88..95 => self.helper(),
            95..97 => self.local_call(),
            97..98 => self.callback(),
            _ => self.odd(),
        }
    }

    // ---- registers

    pub(super) fn any_reg(&mut self) -> Reg {
        r(self.rng.below(10) as u8)
    }

    /// A register that may be overwritten without losing the thread.
    pub(super) fn target(&mut self) -> Reg {
        for _ in 0..8 {
            let i = self.rng.below(10) as u8;
            if !matches!(self.regs[usize::from(i)], Holds::Ctx | Holds::Record(_) | Holds::MaybeRecord(_)) {
                return r(i);
            }
        }
        r(7)
    }

    pub(super) fn set(&mut self, reg: Reg, holds: Holds) {
        self.regs[usize::from(reg.index())] = holds;
    }

    pub(super) fn holds(&self, reg: Reg) -> Holds {
        self.regs.get(usize::from(reg.index())).copied().unwrap_or(Holds::Stack(0))
    }

    pub(super) fn find(&mut self, want: impl Fn(Holds) -> bool) -> Option<Reg> {
        if self.rng.below(1000) < 4 {
            return Some(self.any_reg());
        }
        let all: Vec<u8> = (0..10).filter(|i| want(self.regs[usize::from(*i)])).collect();
        if all.is_empty() { None } else { Some(r(*self.rng.pick(&all))) }
    }

    pub(super) fn number(&mut self) -> Option<Reg> {
        self.find(|h| h == Holds::Number)
    }

    pub(super) fn clobber(&mut self) {
        for h in &mut self.regs[..6] {
            *h = Holds::Nothing;
        }
    }

    pub(super) fn imm(&mut self) -> i32 {
        match self.rng.below(10) {
            0..4 => self.rng.range(-4, 20) as i32,
            4..6 => 1i32.wrapping_shl(self.rng.below(32) as u32).wrapping_add(self.rng.range(-1, 1) as i32),
            6 => *self.rng.pick(&[63, 64, 255, 256, 511, 512, 0xffff, 0x7fff_ffff, -1, i32::MIN]),
            7 => self.rng.any() as i32,
            _ => self.rng.range(0, 64) as i32,
        }
    }

    pub(super) fn kernel(&self) -> V {
        self.kernel
    }

    pub(super) fn isa_v4(&self) -> bool {
        self.has(ISA_V4)
    }

    /// Whether the kernel has this, which came with `since`.
    pub(super) fn has(&self, since: V) -> bool {
        self.kernel >= since
    }

    pub(super) fn width(&mut self) -> Width {
        if self.rng.chance(35) { Width::W32 } else { Width::W64 }
    }

    pub(super) fn size(&mut self) -> Size {
        *self.rng.pick(&[Size::B, Size::H, Size::W, Size::Dw, Size::Dw])
    }

    // ---- numbers

    fn constant(&mut self) {
        let dst = self.target();
        if self.rng.chance(15) {
            let v = if self.rng.chance(50) { self.rng.any() } else { 1u64 << self.rng.below(64) };
            self.a.push(Insn::LoadImm64 { dst, imm: Imm64::Const(v) });
        } else {
            let (w, imm) = (self.width(), self.imm());
            self.a.push(Insn::Alu { w, op: AluOp::Mov, dst, src: Operand::Imm(imm) });
        }
        self.set(dst, Holds::Number);
    }

    pub(super) fn arithmetic(&mut self) {
        const OPS: [AluOp; 16] = [
            AluOp::Add,
            AluOp::Add,
            AluOp::Sub,
            AluOp::Mul,
            AluOp::Div,
            AluOp::Sdiv,
            AluOp::Mod,
            AluOp::Smod,
            AluOp::Or,
            AluOp::And,
            AluOp::And,
            AluOp::Xor,
            AluOp::Lsh,
            AluOp::Rsh,
            AluOp::Rsh,
            AluOp::Arsh,
        ];
        let Some(dst) = self.number() else { return self.constant() };
        let w = self.width();
        match self.rng.below(20) {
            0 => {
                self.a.push(Insn::Neg { w, dst });
            }
            1 => {
                let bits = *self.rng.pick(&[16, 32, 64]);
                let all = [SwapOp::ToBe, SwapOp::ToLe, SwapOp::Swap];
                let op = *self.rng.pick(if self.has(ISA_V4) { &all } else { &all[..2] });
                self.a.push(Insn::Swap { op, bits, dst });
            }
            2 if self.has(ISA_V4) => {
                let Some(src) = self.number() else { return };
                let from = if w == Width::W64 {
                    *self.rng.pick(&[Size::B, Size::H, Size::W])
                } else {
                    *self.rng.pick(&[Size::B, Size::H])
                };
                self.a.push(Insn::MovSx { w, from, dst, src });
            }
            _ => {
                let mut op = *self.rng.pick(&OPS);
                if matches!(op, AluOp::Sdiv | AluOp::Smod) && !self.has(ISA_V4) {
                    op = AluOp::Add;
                }
                let shift = matches!(op, AluOp::Lsh | AluOp::Rsh | AluOp::Arsh);
                let src = match self.number() {
                    Some(src) if self.rng.chance(35) => Operand::Reg(src),
                    _ if shift && !self.rng.chance(2) => {
                        Operand::Imm(self.rng.below(if w == Width::W64 { 64 } else { 32 }) as i32)
                    }
                    _ => Operand::Imm(self.imm()),
                };
                self.a.push(Insn::Alu { w, op, dst, src });
            }
        }
        self.set(dst, Holds::Number);
    }

    fn copy(&mut self) {
        let src = if self.rng.chance(10) { r(10) } else { self.any_reg() };
        let holds = self.holds(src);
        if holds == Holds::Nothing {
            return;
        }
        let dst = self.target();
        let w = if holds == Holds::Number { self.width() } else { Width::W64 };
        self.a.push(Insn::Alu { w, op: AluOp::Mov, dst, src: Operand::Reg(src) });
        self.set(dst, holds);
    }

    fn branch(&mut self) {
        let Some(lhs) = self.number() else { return self.constant() };
        let rhs = match self.number() {
            Some(other) if self.rng.chance(25) => Operand::Reg(other),
            _ => Operand::Imm(self.imm()),
        };
        let (w, cond, label) = (self.width(), *self.rng.pick(&Cond::ALL), self.ahead());
        self.a.jump_if(w, cond, lhs, rhs, label);
        if self.rng.chance(4) {
            // An `else` part.
            let (otherwise, end) = (self.a.label(), self.ahead());
            self.a.jump_if(Width::W64, Cond::Eq, lhs, Operand::Imm(7), otherwise);
            self.arithmetic();
            self.a.jump(end);
            self.a.bind(otherwise);
            self.arithmetic();
        }
    }

    // ---- memory

    fn load_ctx(&mut self) {
        let Some(base) = self.find(|h| h == Holds::Ctx) else { return self.constant() };
        let dst = self.target();
        let packet = matches!(self.ty, ProgType::Xdp | ProgType::SchedCls);
        if packet && self.rng.chance(60) {
            return self.load_packet_pointers(base);
        }
        if self.ty == ProgType::Tracing {
            return self.load_argument(base, dst);
        }
        let layout = ctx_layout(self.ty, Arch::X86_64).expect("generated program types have layouts");
        let fields: Vec<_> = layout
            .fields
            .iter()
            .filter(|f| {
                f.kind == CtxFieldKind::Scalar && !layout.hidden.contains(&f.name) && f.attach.is_empty()
            })
            .collect();
        let (off, size) = if fields.is_empty() {
            let (size, limit) = (self.size(), layout.size.min(128));
            let off = u64::from(layout.first) + self.rng.below(u64::from(limit - layout.first));
            (off as u32 / size.bytes() * size.bytes(), size)
        } else {
            let f = *self.rng.pick(&fields);
            let size =
                if self.rng.chance(94) { Size::from_bytes(f.len).unwrap_or(Size::W) } else { self.size() };
            (f.off + f.len * self.rng.below(u64::from(f.count)) as u32, size)
        };
        let mut off = off as i16;
        if self.rng.chance(1) {
            off += self.rng.range(-9, 100) as i16;
        }
        let sext = size != Size::Dw && self.has(ISA_V4) && self.rng.chance(10);
        self.a.push(Insn::Load { size, sext, dst, base, off });
        self.set(dst, Holds::Number);
    }

    /// An argument of the tracepoint: the second and third are tasks.
    fn load_argument(&mut self, base: Reg, dst: Reg) {
        let args = if self.rng.chance(97) { 4 } else { 6 };
        let arg = self.rng.below(args);
        let size = if self.rng.chance(97) { Size::Dw } else { self.size() };
        let off = 8 * arg as i16 + i16::from(self.rng.chance(1)) * 4;
        self.a.push(Insn::Load { size, sext: false, dst, base, off });
        self.set(dst, if matches!(arg, 1 | 2) { Holds::Object } else { Holds::Number });
    }

    fn load_packet_pointers(&mut self, base: Reg) {
        let (data, end) = if self.ty == ProgType::Xdp { (0, 4) } else { (76, 80) };
        let (d, e) = (r(7), r(8));
        if base == d || base == e {
            return;
        }
        self.a.push(Insn::Load { size: Size::W, sext: false, dst: d, base, off: data });
        self.a.push(Insn::Load { size: Size::W, sext: false, dst: e, base, off: end });
        self.set(d, Holds::Packet);
        self.set(e, Holds::PacketEnd);
        let n = self.rng.range(1, 40) as i32;
        let probe = r(*self.rng.pick(&[1u8, 2, 3, 4, 5, 9]));
        if probe == base {
            return;
        }
        self.a.push(mov(probe, Operand::Reg(d)));
        if let (Some(v), true) = (self.number(), self.rng.chance(30))
            && v != d
            && v != e
            && v != probe
        {
            self.a.push(Insn::Alu { w: Width::W64, op: AluOp::And, dst: v, src: Operand::Imm(31) });
            self.a.push(Insn::Alu { w: Width::W64, op: AluOp::Add, dst: d, src: Operand::Reg(v) });
            self.a.push(mov(probe, Operand::Reg(d)));
        }
        self.a.push(add(probe, n));
        self.set(probe, Holds::Packet);
        let label = self.ahead();
        match self.rng.below(4) {
            0 => self.a.jump_if(Width::W64, Cond::Gt, probe, Operand::Reg(e), label),
            1 => self.a.jump_if(Width::W64, Cond::Lt, e, Operand::Reg(probe), label),
            2 => self.a.jump_if(Width::W64, Cond::Ge, probe, Operand::Reg(e), label),
            _ => self.a.jump_if(Width::W64, Cond::Le, e, Operand::Reg(probe), label),
        };
        let size = self.size();
        let off = self.rng.range(-1, i64::from(n)) as i16;
        let dst = self.target();
        if dst != d && dst != e {
            self.a.push(Insn::Load { size, sext: false, dst, base: d, off });
            self.set(dst, Holds::Number);
        }
    }

    pub(super) fn slot(&mut self) -> i32 {
        -8 * (1 + self.rng.below(6) as i32)
    }

    fn stack_store(&mut self) {
        let mut size = self.size();
        let mut off = self.slot();
        let src = if self.rng.chance(30) {
            Operand::Imm(if self.rng.chance(40) { 0 } else { self.imm() })
        } else {
            let reg = self.any_reg();
            if self.holds(reg) == Holds::Nothing && !self.rng.chance(2) {
                return;
            }
            if self.holds(reg) != Holds::Number && !self.rng.chance(5) {
                size = Size::Dw;
            }
            Operand::Reg(reg)
        };
        if size != Size::Dw && self.rng.chance(40) {
            off += (self.rng.below(8 / u64::from(size.bytes())) as u32 * size.bytes()) as i32;
        }
        if self.rng.chance(1) {
            off = self.rng.range(-520, 8) as i32;
        }
        self.a.push(Insn::Store { size, base: r(10), off: off as i16, src });
        if size == Size::Dw && (-512..0).contains(&off) {
            self.written |= 1 << ((-off / 8 - 1).max(0) as u64 % 64);
        }
    }

    fn stack_load(&mut self) {
        let size = self.size();
        let mut off = self.slot();
        if self.written & 1 << (-off / 8 - 1) == 0 && self.rng.chance(70) {
            return self.stack_store();
        }
        if size != Size::Dw && self.rng.chance(40) {
            off += (self.rng.below(8 / u64::from(size.bytes())) as u32 * size.bytes()) as i32;
        }
        let dst = self.target();
        if self.rng.chance(20)
            && let Some(v) = self.number()
            && v != dst
        {
            // At an offset that is a number.
            self.a.push(Insn::Alu {
                w: Width::W64,
                op: AluOp::And,
                dst: v,
                src: Operand::Imm(*self.rng.pick(&[8, 7, 15, 24])),
            });
            self.a.push(mov(dst, Operand::Reg(r(10))));
            self.a.push(Insn::Alu { w: Width::W64, op: AluOp::Add, dst, src: Operand::Reg(v) });
            if self.rng.chance(50) {
                let src = if self.rng.chance(50) { Operand::Imm(0) } else { Operand::Reg(v) };
                self.a.push(Insn::Store { size: Size::B, base: dst, off: -32, src });
            }
            let size = *self.rng.pick(&[Size::B, Size::B, Size::Dw]);
            self.a.push(Insn::Load { size, sext: false, dst, base: dst, off: -32 });
        } else {
            let sext = size != Size::Dw && self.has(ISA_V4) && self.rng.chance(10);
            self.a.push(Insn::Load { size, sext, dst, base: r(10), off: off as i16 });
        }
        self.set(dst, Holds::Number);
    }

    /// A key in the stack, and the look-up.
    fn look_up(&mut self) {
        let map = *self.rng.pick(&TABLES);
        let shape = &shapes()[map as usize];
        let key = shape.key_size as i32;
        if map == DIRECT && self.rng.chance(60) {
            let dst = self.target();
            let off = self.rng.below(36).min(u64::from(shape.value_size) - 1) as u32;
            self.a.push(Insn::LoadImm64 { dst, imm: Imm64::MapValue(MapRef(map), off) });
            self.set(dst, Holds::Value(shape.value_size - off));
            return;
        }
        let off = -8 * (1 + self.rng.below(3) as i32) - (key - 1) / 8 * 8;
        let mut at = 0;
        while at < key {
            let step = (key - at).min(8);
            let size = Size::from_bytes(step as u32).unwrap_or(Size::W);
            if !self.rng.chance(2) {
                let src = match self.number() {
                    Some(v) if self.rng.chance(50) => Operand::Reg(v),
                    _ => Operand::Imm(self.rng.range(0, 3) as i32),
                };
                self.a.push(Insn::Store { size, base: r(10), off: (off + at) as i16, src });
            }
            at += step;
        }
        self.a.push(mov(r(2), Operand::Reg(r(10))));
        self.a.push(add(r(2), off + if self.rng.chance(1) { 4 } else { 0 }));
        self.a.push(Insn::LoadImm64 { dst: r(1), imm: Imm64::MapFd(MapRef(map)) });
        self.a.push(call(HelperId::MAP_LOOKUP_ELEM));
        self.clobber();
        let size = shape.value_size;
        self.set(r(0), Holds::MaybeValue(size));
        if self.rng.chance(60) {
            let keep = r(*self.rng.pick(&[7u8, 8, 9]));
            if !matches!(self.holds(keep), Holds::Record(_) | Holds::MaybeRecord(_) | Holds::Ctx) {
                self.a.push(mov(keep, Operand::Reg(r(0))));
                self.set(keep, Holds::MaybeValue(size));
            }
        }
        if self.rng.chance(93) {
            let label = self.ahead();
            self.a.jump_if(Width::W64, Cond::Eq, r(0), Operand::Imm(0), label);
            for h in &mut self.regs {
                if *h == Holds::MaybeValue(size) {
                    *h = Holds::Value(size);
                }
            }
        }
    }

    /// Reads, writes, or moves a pointer to a map value or record.
    fn use_value(&mut self) {
        let Some(base) = self.find(|h| matches!(h, Holds::Value(_) | Holds::Record(_))) else {
            return self.look_up();
        };
        let len = match self.holds(base) {
            Holds::Value(n) | Holds::Record(n) => n,
            _ => 16,
        };
        let size = self.size();
        let bytes = size.bytes();
        match self.rng.below(10) {
            0..3 => {
                let off = self.offset(len, bytes);
                let dst = self.target();
                let sext = size != Size::Dw && self.has(ISA_V4) && self.rng.chance(10);
                self.a.push(Insn::Load { size, sext, dst, base, off });
                self.set(dst, Holds::Number);
            }
            3..5 => {
                let off = self.offset(len, bytes);
                let src = match self.number() {
                    Some(v) if self.rng.chance(60) => Operand::Reg(v),
                    _ => Operand::Imm(self.imm()),
                };
                self.a.push(Insn::Store { size, base, off, src });
            }
            5 => {
                let size = if self.rng.chance(50) { Size::W } else { Size::Dw };
                let mut off = self.offset(len, size.bytes());
                if !self.rng.chance(3) {
                    off -= off.rem_euclid(size.bytes() as i16);
                }
                let Some(src) = self.number() else { return };
                if !self.has(V(5, 12)) {
                    self.a.push(Insn::Atomic { size, op: AtomicOp::Add, fetch: false, base, off, src });
                    return;
                }
                let op = *self.rng.pick(&[
                    AtomicOp::Add,
                    AtomicOp::Or,
                    AtomicOp::And,
                    AtomicOp::Xor,
                    AtomicOp::Xchg,
                    AtomicOp::Cmpxchg,
                ]);
                let fetch = matches!(op, AtomicOp::Xchg | AtomicOp::Cmpxchg) || self.rng.chance(40);
                self.a.push(Insn::Atomic { size, op, fetch, base, off, src });
            }
            _ => self.index(base, len, size),
        }
    }

    fn offset(&mut self, len: u32, bytes: u32) -> i16 {
        let last = i64::from(len) - i64::from(bytes);
        let off =
            if self.rng.chance(95) { self.rng.range(0, last.max(0)) } else { self.rng.range(-1, last + 2) };
        off as i16
    }

    /// `base[number]` with a check that is almost right.
    fn index(&mut self, base: Reg, len: u32, size: Size) {
        let Some(v) = self.number() else { return self.constant() };
        if v == base {
            return;
        }
        let slack = i64::from(self.rng.chance(20));
        let limit = i64::from(len) - i64::from(size.bytes()) + self.rng.range(-2, slack);
        let limit = limit.max(0) as i32;
        match self.rng.below(8) {
            0..2 => {
                let mask = (limit as u32 + 1).next_power_of_two() / 2;
                let mask = mask.max(1) as i32 - 1;
                let w = self.width();
                self.a.push(Insn::Alu { w, op: AluOp::And, dst: v, src: Operand::Imm(mask) });
            }
            2..5 => {
                let (label, w) = (self.ahead(), self.width());
                self.a.jump_if(w, Cond::Gt, v, Operand::Imm(limit), label);
            }
            5 => {
                let (one, two) = (self.ahead(), self.ahead());
                self.a.jump_if(Width::W64, Cond::Sgt, v, Operand::Imm(limit), one);
                self.a.jump_if(Width::W64, Cond::Slt, v, Operand::Imm(0), two);
            }
            6 => {
                let (label, other) = (self.ahead(), self.number().unwrap_or(v));
                self.a.jump_if(Width::W64, Cond::Gt, other, Operand::Imm(limit), label);
                let (label, w) = (self.ahead(), self.width());
                self.a.jump_if(w, Cond::Gt, v, Operand::Reg(other), label);
            }
            _ => {}
        }
        let ptr = r(*self.rng.pick(&[1u8, 2, 3, 4, 5]));
        if ptr == v || ptr == base {
            return;
        }
        self.a.push(mov(ptr, Operand::Reg(base)));
        let op = if self.rng.chance(5) { AluOp::Sub } else { AluOp::Add };
        self.a.push(Insn::Alu { w: Width::W64, op, dst: ptr, src: Operand::Reg(v) });
        self.set(ptr, Holds::Nothing);
        if self.rng.chance(50) {
            let dst = self.target();
            self.a.push(Insn::Load { size, sext: false, dst, base: ptr, off: 0 });
            self.set(dst, Holds::Number);
        } else {
            self.a.push(Insn::Store { size, base: ptr, off: 0, src: Operand::Imm(1) });
        }
    }

    // ---- control

    fn count_loop(&mut self) {
        if self.loops >= 2 {
            return;
        }
        self.loops += 1;
        let counter = r(*self.rng.pick(&[7u8, 8, 9]));
        if matches!(self.holds(counter), Holds::Record(_) | Holds::MaybeRecord(_) | Holds::Ctx) {
            self.loops -= 1;
            return;
        }
        let saved = std::mem::take(&mut self.pending);
        self.a.push(mov(counter, Operand::Imm(0)));
        self.set(counter, Holds::Number);
        let top = self.a.label();
        self.a.bind(top);
        let n = self.rng.below(4);
        let may = (self.has(V(6, 9)) && self.rng.chance(15)).then(|| self.a.label());
        if let Some(out) = may {
            self.a.may_goto(out);
        }
        self.body(n);
        self.bind_all();
        if !self.rng.chance(3) {
            self.a.push(add(counter, 1));
        }
        let rounds = *self.rng.pick(&[2, 3, 8, 30]);
        let cond = *self.rng.pick(&[Cond::Lt, Cond::Ne, Cond::Slt]);
        self.a.jump_if(Width::W64, cond, counter, Operand::Imm(rounds), top);
        if let Some(out) = may {
            self.a.bind(out);
        }
        self.pending = saved;
        self.loops -= 1;
    }

    fn reserve(&mut self) {
        if self.record.is_some() && !self.rng.chance(5) {
            return self.submit();
        }
        let size = *self.rng.pick(&[8u32, 16, 24, 64]);
        self.a.push(Insn::LoadImm64 { dst: r(1), imm: Imm64::MapFd(MapRef(RINGBUF)) });
        self.a.push(mov(r(2), Operand::Imm(size as i32)));
        self.a.push(mov(r(3), Operand::Imm(0)));
        self.a.push(call(HelperId::RINGBUF_RESERVE));
        self.clobber();
        let keep = r(9);
        if self.rng.chance(90) {
            let out = self.a.label();
            self.a.jump_if(Width::W64, Cond::Ne, r(0), Operand::Imm(0), out);
            self.a.push(mov(r(0), Operand::Imm(0)));
            self.a.push(Insn::Exit);
            self.a.bind(out);
            self.a.push(mov(keep, Operand::Reg(r(0))));
            self.set(keep, Holds::Record(size));
            self.set(r(0), Holds::Record(size));
            self.record = Some(keep);
        } else {
            self.set(r(0), Holds::MaybeRecord(size));
        }
    }

    fn submit(&mut self) {
        let Some(reg) = self.record.take() else { return };
        self.a.push(mov(r(1), Operand::Reg(reg)));
        self.a.push(mov(r(2), Operand::Imm(0)));
        let id = if self.rng.chance(50) { HelperId::RINGBUF_SUBMIT } else { HelperId::RINGBUF_DISCARD };
        self.a.push(call(id));
        self.clobber();
        for h in &mut self.regs {
            if matches!(h, Holds::Record(_)) {
                *h = Holds::Nothing;
            }
        }
        if self.rng.chance(2) {
            self.set(reg, Holds::Record(8));
        }
    }

    pub(super) fn helper(&mut self) {
        match self.rng.below(12) {
            0 => self.plain_call(HelperId::KTIME_GET_NS),
            1 => self.plain_call(HelperId::GET_CURRENT_PID_TGID),
            2 => self.plain_call(HelperId::GET_PRANDOM_U32),
            3 => self.plain_call(HelperId::GET_SMP_PROCESSOR_ID),
            4 => {
                let (size, off) = (*self.rng.pick(&[8, 16, 16, 24]), -8 * self.rng.range(2, 4) as i32);
                self.stack_pointer(1, off);
                self.a.push(mov(r(2), Operand::Imm(size)));
                self.plain_call(HelperId::GET_CURRENT_COMM);
            }
            5 | 6 => self.probe_read(),
            7 => self.update(),
            8 => {
                self.ctx_arg(1);
                self.a.push(Insn::LoadImm64 { dst: r(2), imm: Imm64::MapFd(MapRef(STACKS)) });
                self.a.push(mov(r(3), Operand::Imm(0)));
                self.plain_call(HelperId::GET_STACKID);
            }
            9 => {
                self.ctx_arg(1);
                self.a.push(Insn::LoadImm64 { dst: r(2), imm: Imm64::MapFd(MapRef(EVENTS)) });
                self.a.push(Insn::LoadImm64 { dst: r(3), imm: Imm64::Const(0xffff_ffff) });
                self.stack_pointer(4, -16);
                self.a.push(mov(r(5), Operand::Imm(*self.rng.pick(&[8, 16, 24]))));
                self.plain_call(HelperId::PERF_EVENT_OUTPUT);
            }
            10 => {
                self.a.push(Insn::LoadImm64 { dst: r(1), imm: Imm64::MapFd(MapRef(RINGBUF)) });
                self.memory_arg(2, 3);
                self.a.push(mov(r(4), Operand::Imm(0)));
                self.plain_call(HelperId::RINGBUF_OUTPUT);
            }
            _ => {
                self.stack_pointer(1, -8);
                self.a.push(mov(r(2), Operand::Imm(8)));
                self.a.push(Insn::LoadImm64 {
                    dst: r(3),
                    imm: Imm64::MapValue(MapRef(READ_ONLY), *self.rng.pick(&[0, 25])),
                });
                self.plain_call(HelperId::STRNCMP);
            }
        }
    }

    pub(super) fn plain_call(&mut self, id: HelperId) {
        self.a.push(call(id));
        self.clobber();
        self.set(r(0), Holds::Number);
    }

    pub(super) fn stack_pointer(&mut self, arg: u8, off: i32) {
        self.a.push(mov(r(arg), Operand::Reg(r(10))));
        self.a.push(add(r(arg), off));
    }

    pub(super) fn ctx_arg(&mut self, arg: u8) {
        let src = self.find(|h| h == Holds::Ctx).unwrap_or(r(6));
        self.a.push(mov(r(arg), Operand::Reg(src)));
    }

    /// Memory in one argument, its length in the other, which may be a number that was checked.
    fn memory_arg(&mut self, ptr: u8, len: u8) {
        let number = self.find(|h| h == Holds::Number).filter(|v| v.index() > 5);
        let value = self.find(|h| matches!(h, Holds::Value(_) | Holds::Record(_))).filter(|v| v.index() > 5);
        let size = match value {
            Some(v) if self.rng.chance(60) => {
                self.a.push(mov(r(ptr), Operand::Reg(v)));
                match self.holds(v) {
                    Holds::Value(n) | Holds::Record(n) => n as i32,
                    _ => 8,
                }
            }
            _ => {
                let slots = self.rng.range(1, 4) as i32;
                for i in 1..=slots {
                    if self.rng.chance(90) {
                        self.a.push(Insn::Store {
                            size: Size::Dw,
                            base: r(10),
                            off: (-8 * i) as i16,
                            src: Operand::Imm(0),
                        });
                    }
                }
                self.stack_pointer(ptr, -8 * slots);
                8 * slots
            }
        };
        match number {
            Some(v) if self.rng.chance(40) => {
                self.a.push(mov(r(len), Operand::Reg(v)));
                if self.rng.chance(70) {
                    let mask = (size as u32 + 1).next_power_of_two() / 2 - 1;
                    let w = self.width();
                    self.a.push(Insn::Alu { w, op: AluOp::And, dst: r(len), src: Operand::Imm(mask as i32) });
                } else {
                    let label = self.ahead();
                    self.a.jump_if(Width::W64, Cond::Gt, r(len), Operand::Imm(size), label);
                }
                if self.rng.chance(30) {
                    self.a.push(add(r(len), 1));
                }
            }
            _ => {
                let n = if self.rng.chance(90) {
                    self.rng.range(1, i64::from(size))
                } else {
                    self.rng.range(-1, i64::from(size) + 8)
                };
                self.a.push(mov(r(len), Operand::Imm(n as i32)));
            }
        }
    }

    fn probe_read(&mut self) {
        self.memory_arg(1, 2);
        let src = self.find(|h| h == Holds::Number).filter(|v| v.index() > 2);
        match src {
            Some(v) => self.a.push(mov(r(3), Operand::Reg(v))),
            None => self.a.push(mov(r(3), Operand::Imm(0))),
        };
        let id = *self.rng.pick(&[
            HelperId::PROBE_READ_KERNEL,
            HelperId::PROBE_READ_KERNEL_STR,
            HelperId::PROBE_READ_USER_STR,
        ]);
        self.plain_call(id);
    }

    fn update(&mut self) {
        let map = *self.rng.pick(&[0u32, 1, 3, 8, 9]);
        let shape = &shapes()[map as usize];
        let slots = (shape.value_size / 8) as i32;
        for i in 1..=slots {
            if !self.rng.chance(1) {
                self.a.push(Insn::Store {
                    size: Size::Dw,
                    base: r(10),
                    off: (-8 * i) as i16,
                    src: Operand::Imm(i),
                });
            }
        }
        for i in 1..=2 {
            self.a.push(Insn::Store {
                size: Size::Dw,
                base: r(10),
                off: (-80 - 8 * i) as i16,
                src: Operand::Imm(0),
            });
        }
        self.stack_pointer(2, -96);
        self.stack_pointer(3, -8 * slots);
        self.a.push(mov(r(4), Operand::Imm(0)));
        self.a.push(Insn::LoadImm64 { dst: r(1), imm: Imm64::MapFd(MapRef(map)) });
        let id = if self.rng.chance(80) { HelperId::MAP_UPDATE_ELEM } else { HelperId::MAP_DELETE_ELEM };
        self.plain_call(id);
    }

    fn local_call(&mut self) {
        let label = if self.subprogs.is_empty() || self.rng.chance(30) && !self.in_callback {
            let label = self.a.label();
            self.subprogs.push(label);
            label
        } else if self.in_callback {
            // Subprograms do not call each other: chains would have no end.
            return;
        } else {
            *self.rng.pick(&self.subprogs.clone())
        };
        if self.in_callback {
            self.subprogs.pop();
            return;
        }
        for i in [1u8, 2] {
            let src = self.any_reg();
            if self.holds(src) != Holds::Nothing {
                self.a.push(mov(r(i), Operand::Reg(src)));
                self.set(r(i), self.holds(src));
            } else {
                self.a.push(mov(r(i), Operand::Imm(5)));
                self.set(r(i), Holds::Number);
            }
        }
        self.a.call_local(label);
        self.clobber();
        self.set(r(0), Holds::Number);
    }

    fn callback(&mut self) {
        if self.in_callback || !self.has(V(5, 17)) {
            return;
        }
        let label = self.a.label();
        self.subprogs.push(label);
        if self.rng.chance(60) {
            match self.number() {
                Some(v) if self.rng.chance(40) => self.a.push(mov(r(1), Operand::Reg(v))),
                _ => self.a.push(mov(r(1), Operand::Imm(self.rng.range(0, 6) as i32))),
            };
            self.a.load_func(r(2), label);
            self.stack_pointer(3, -8);
            self.a.push(mov(r(4), Operand::Imm(0)));
            self.plain_call(HelperId::LOOP);
        } else {
            let map = *self.rng.pick(&[0u32, 1, 3]);
            self.a.push(Insn::LoadImm64 { dst: r(1), imm: Imm64::MapFd(MapRef(map)) });
            self.a.load_func(r(2), label);
            self.a.push(mov(r(3), Operand::Imm(0)));
            self.a.push(mov(r(4), Operand::Imm(0)));
            self.plain_call(HelperId::FOR_EACH_MAP_ELEM);
        }
    }

    /// Things that are mostly wrong.
    fn odd(&mut self) {
        let (a, b) = (self.any_reg(), self.any_reg());
        if self.holds(a) == Holds::Nothing || self.holds(b) == Holds::Nothing {
            return;
        }
        match self.rng.below(7) {
            0 => {
                self.a.push(Insn::Alu { w: Width::W64, op: AluOp::Sub, dst: a, src: Operand::Reg(b) });
                self.set(a, Holds::Number);
            }
            1 => {
                let label = self.ahead();
                self.a.jump_if(Width::W64, Cond::Eq, a, Operand::Reg(b), label);
            }
            2 => {
                let label = self.ahead();
                let cond = *self.rng.pick(&[Cond::Eq, Cond::Ne]);
                let w = self.width();
                self.a.jump_if(w, cond, a, Operand::Imm(0), label);
            }
            3 => {
                let size = self.size();
                self.a.push(Insn::Load { size, sext: false, dst: b, base: a, off: 0 });
                self.set(b, Holds::Number);
            }
            4 => {
                let imm = self.rng.range(-8, 8) as i32;
                self.a.push(add(a, imm));
            }
            5 if matches!(self.ty, ProgType::SocketFilter | ProgType::SchedCls) => {
                self.a.push(Insn::LoadPacket { size: Size::W, index: None, imm: 4 });
                self.clobber();
                self.set(r(0), Holds::Number);
            }
            _ => {
                let size = *self.rng.pick(&[Size::W, Size::Dw]);
                self.a.push(Insn::Atomic {
                    size,
                    op: AtomicOp::Add,
                    fetch: true,
                    base: r(10),
                    off: -8,
                    src: a,
                });
                self.set(a, Holds::Number);
            }
        }
    }
}
