//! What compilers and people write besides: sums of copies, sign extensions, spills of all sizes, atomics on the stack,
//! tail calls, maps in maps, queues, ordered loads, odd places of the context, and any helper with about the right
//! arguments.

use super::generate::{Gen, Holds, add, mov, r};
use super::maps::{EVENTS, MAP_ARRAY, PROGS, QUEUES, READ_ONLY, RINGBUF, STACKS, shapes};
use bpf_facts::{Arch, Arg, HELPERS, HelperId, MapType, MemAccess, ProgType, V, ctx_layout};
use ebpf_asm::{AluOp, AtomicOp, Cond, Imm64, Insn, MapRef, Operand, Reg, Size, Width};

/// First kernel with ordered loads and stores.
const ORDERED_SINCE: V = V(6, 15);
/// Helpers that are left alone: they change what is attached or running, or ask for what the machine does not let.
const SHY: [HelperId; 3] = [HelperId::PROBE_WRITE_USER, HelperId::OVERRIDE_RETURN, HelperId::SEND_SIGNAL];

impl Gen<'_> {
    /// One of the things above.
    pub(super) fn more(&mut self) {
        match self.rng.below(40) {
            0..9 => self.linked(),
            9..13 => self.extended(),
            13..18 => self.signed_index(),
            18..24 => self.spill(),
            24..26 => self.stack_atomic(),
            26 => self.ordered(),
            27..29 => self.tail_call(),
            29 => self.inner_map(),
            30 => self.queue(),
            31..34 => self.odd_context(),
            34..37 => self.any_helper(),
            _ => self.diamond(),
        }
    }

    /// A copy and a constant added to it, one of both compared, and the other used.
    fn linked(&mut self) {
        let Some(v) = self.number() else { return };
        if self.rng.chance(40) {
            let bound = *self.rng.pick(&[15, 63, 255, 4095]);
            let w = self.width();
            self.a.push(Insn::Alu { w, op: AluOp::And, dst: v, src: Operand::Imm(bound) });
        }
        let copy = self.target();
        if copy == v {
            return;
        }
        let w = self.width();
        self.a.push(Insn::Alu { w, op: AluOp::Mov, dst: copy, src: Operand::Reg(v) });
        self.set(copy, Holds::Number);
        for _ in 0..1 + self.rng.below(2) {
            let (on, w) = (if self.rng.chance(85) { copy } else { v }, self.width());
            let op = if self.rng.chance(65) { AluOp::Add } else { AluOp::Sub };
            let imm = if self.rng.chance(85) { self.rng.range(-40, 40) as i32 } else { self.imm() };
            self.a.push(Insn::Alu { w, op, dst: on, src: Operand::Imm(imm) });
            if self.rng.chance(70) {
                break;
            }
        }
        let (tested, other) = if self.rng.chance(60) { (copy, v) } else { (v, copy) };
        let (w, label) = (self.width(), self.ahead());
        let cond = *self.rng.pick(&[Cond::Gt, Cond::Ge, Cond::Lt, Cond::Sgt, Cond::Slt, Cond::Ne, Cond::Eq]);
        let limit = self.rng.range(-8, 48) as i32;
        self.a.jump_if(w, cond, tested, Operand::Imm(limit), label);
        if self.rng.chance(30) {
            let (w, label) = (self.width(), self.ahead());
            self.a.jump_if(w, Cond::Sgt, other, Operand::Imm(self.rng.range(0, 63) as i32), label);
        }
        if self.rng.chance(50) {
            self.use_as_offset(other);
        }
    }

    /// `v` is added to a pointer, which is then read through.
    fn use_as_offset(&mut self, v: Reg) {
        let base = self.find(|h| matches!(h, Holds::Value(_) | Holds::Record(_)));
        let ptr = r(*self.rng.pick(&[1u8, 2, 3, 4, 5]));
        if ptr == v || base == Some(ptr) || base == Some(v) {
            return;
        }
        match base {
            Some(base) if self.rng.chance(75) => {
                self.a.push(mov(ptr, Operand::Reg(base)));
            }
            _ => {
                self.a.push(mov(ptr, Operand::Reg(r(10))));
                self.a.push(add(ptr, *self.rng.pick(&[-48, -64, -128])));
            }
        }
        self.a.push(Insn::Alu { w: Width::W64, op: AluOp::Add, dst: ptr, src: Operand::Reg(v) });
        self.set(ptr, Holds::Nothing);
        let dst = self.target();
        let off = if self.rng.chance(70) { 0 } else { self.rng.range(-8, 8) as i16 };
        let size = *self.rng.pick(&[Size::B, Size::B, Size::H, Size::W, Size::Dw]);
        self.a.push(Insn::Load { size, sext: false, dst, base: ptr, off });
        self.set(dst, Holds::Number);
    }

    /// A number extended with its sign, by the instruction or by two shifts.
    fn extended(&mut self) {
        let (Some(src), dst) = (self.number(), self.target()) else { return };
        let shift = *self.rng.pick(&[16, 24, 32, 48, 56]);
        let w = self.width();
        if self.isa_v4() && self.rng.chance(60) {
            let from = match w {
                Width::W64 => *self.rng.pick(&[Size::B, Size::H, Size::W]),
                Width::W32 => *self.rng.pick(&[Size::B, Size::H]),
            };
            self.a.push(Insn::MovSx { w, from, dst, src });
        } else {
            let shift = if w == Width::W32 { shift % 32 } else { shift };
            self.a.push(Insn::Alu { w, op: AluOp::Mov, dst, src: Operand::Reg(src) });
            self.a.push(Insn::Alu { w, op: AluOp::Lsh, dst, src: Operand::Imm(shift) });
            let op = if self.rng.chance(70) { AluOp::Arsh } else { AluOp::Rsh };
            self.a.push(Insn::Alu { w, op, dst, src: Operand::Imm(shift) });
        }
        self.set(dst, Holds::Number);
        if self.rng.chance(40) {
            self.use_as_offset(dst);
        }
    }

    /// A number within signed limits as an index.
    fn signed_index(&mut self) {
        let Some(v) = self.number() else { return };
        let w = self.width();
        let (low, high) = (self.rng.range(-20, 4) as i32, self.rng.range(0, 40) as i32);
        let (one, two) = (self.ahead(), self.ahead());
        if self.rng.chance(50) {
            self.a.jump_if(w, Cond::Slt, v, Operand::Imm(low), one);
            self.a.jump_if(w, Cond::Sgt, v, Operand::Imm(high), two);
        } else {
            self.a.jump_if(w, Cond::Sge, v, Operand::Imm(high), one);
            let w = self.width();
            self.a.jump_if(w, Cond::Sle, v, Operand::Imm(low), two);
        }
        if w == Width::W32 && self.rng.chance(60) {
            let (op, src) = (AluOp::Mov, Operand::Reg(v));
            if self.isa_v4() && self.rng.chance(50) {
                self.a.push(Insn::MovSx { w: Width::W64, from: Size::W, dst: v, src: v });
            } else {
                self.a.push(Insn::Alu { w: Width::W32, op, dst: v, src });
            }
        }
        if self.rng.chance(30) {
            let w = self.width();
            let op =
                *self.rng.pick(&[AluOp::Mul, AluOp::Lsh, AluOp::Div, AluOp::Mod, AluOp::And, AluOp::Xor]);
            let imm = self.rng.range(1, 7) as i32;
            self.a.push(Insn::Alu { w, op, dst: v, src: Operand::Imm(imm) });
        }
        self.use_as_offset(v);
    }

    /// A register stored and read again, in whole or in part.
    fn spill(&mut self) {
        let (from, slot) = (self.any_reg(), self.slot());
        let holds = self.holds(from);
        if holds == Holds::Nothing {
            return;
        }
        let narrow = holds == Holds::Number && self.rng.chance(50);
        let size = if narrow { self.size() } else { Size::Dw };
        let shift = if self.rng.chance(80) { 0 } else { self.rng.below(8) as i32 };
        let off = (slot + shift / size.bytes() as i32 * size.bytes() as i32) as i16;
        self.a.push(Insn::Store { size, base: r(10), off, src: Operand::Reg(from) });
        if self.rng.chance(30) {
            self.arithmetic();
        }
        if self.rng.chance(10) {
            let imm = *self.rng.pick(&[0, 0, 1, -1]);
            let size = *self.rng.pick(&[Size::B, Size::W]);
            self.a.push(Insn::Store { size, base: r(10), off: slot as i16, src: Operand::Imm(imm) });
        }
        let dst = self.target();
        let again = if self.rng.chance(70) { size } else { self.size() };
        let sext = again != Size::Dw && self.isa_v4() && self.rng.chance(15);
        self.a.push(Insn::Load { size: again, sext, dst, base: r(10), off });
        self.set(dst, if again == Size::Dw && size == Size::Dw { holds } else { Holds::Number });
    }

    fn stack_atomic(&mut self) {
        let (Some(src), slot) = (self.number(), self.slot()) else { return };
        let size = *self.rng.pick(&[Size::W, Size::Dw, Size::Dw]);
        if self.rng.chance(85) {
            let from = self.number().unwrap_or(src);
            self.a.push(Insn::Store {
                size: Size::Dw,
                base: r(10),
                off: slot as i16,
                src: Operand::Reg(from),
            });
        }
        let ops =
            [AtomicOp::Add, AtomicOp::Or, AtomicOp::And, AtomicOp::Xor, AtomicOp::Xchg, AtomicOp::Cmpxchg];
        let op = if self.has(V(5, 12)) { *self.rng.pick(&ops) } else { AtomicOp::Add };
        let always = matches!(op, AtomicOp::Xchg | AtomicOp::Cmpxchg);
        let fetch = always || self.has(V(5, 12)) && self.rng.chance(60);
        if op == AtomicOp::Cmpxchg && self.rng.chance(80) {
            self.a.push(mov(r(0), Operand::Imm(self.rng.range(0, 4) as i32)));
        }
        self.a.push(Insn::Atomic { size, op, fetch, base: r(10), off: slot as i16, src });
        if op == AtomicOp::Cmpxchg {
            self.set(r(0), Holds::Number);
        }
        if self.rng.chance(50) {
            self.use_as_offset(src);
        }
        let dst = self.target();
        self.a.push(Insn::Load { size, sext: false, dst, base: r(10), off: slot as i16 });
        self.set(dst, Holds::Number);
    }

    /// A load that acquires, or a store that releases.
    fn ordered(&mut self) {
        if !self.has(ORDERED_SINCE) {
            return;
        }
        let base =
            self.find(|h| matches!(h, Holds::Value(_) | Holds::Ctx | Holds::Record(_))).unwrap_or(r(10));
        let size = self.size();
        let off = if base == r(10) { self.slot() as i16 } else { 8 * self.rng.below(3) as i16 };
        if self.rng.chance(50) {
            let dst = self.target();
            self.a.push(Insn::LoadAcquire { size, dst, base, off });
            self.set(dst, Holds::Number);
        } else if let Some(src) = self.number() {
            self.a.push(Insn::StoreRelease { size, base, off, src });
        }
    }

    fn tail_call(&mut self) {
        self.ctx_arg(1);
        self.a.push(Insn::LoadImm64 { dst: r(2), imm: Imm64::MapFd(MapRef(PROGS)) });
        match self.number().filter(|v| v.index() > 5) {
            Some(v) if self.rng.chance(50) => self.a.push(mov(r(3), Operand::Reg(v))),
            _ => self.a.push(mov(r(3), Operand::Imm(self.rng.range(0, 5) as i32))),
        };
        self.plain_call(HelperId::TAIL_CALL);
        if self.rng.chance(95) {
            self.set(r(0), Holds::Nothing);
        }
    }

    /// A look-up in a map that is looked up.
    fn inner_map(&mut self) {
        let index = self.rng.range(0, 2) as i32;
        self.a.push(Insn::Store { size: Size::W, base: r(10), off: -4, src: Operand::Imm(index) });
        self.stack_pointer(2, -4);
        self.a.push(Insn::LoadImm64 { dst: r(1), imm: Imm64::MapFd(MapRef(MAP_ARRAY)) });
        self.plain_call(HelperId::MAP_LOOKUP_ELEM);
        let out = self.ahead();
        if self.rng.chance(90) {
            self.a.jump_if(Width::W64, Cond::Eq, r(0), Operand::Imm(0), out);
        }
        self.a.push(mov(r(1), Operand::Reg(r(0))));
        let update = self.rng.chance(20);
        let off = if self.rng.chance(95) { -4 } else { -2 };
        self.stack_pointer(2, off);
        if update {
            self.stack_pointer(3, -64);
            self.a.push(mov(r(4), Operand::Imm(0)));
            return self.plain_call(HelperId::MAP_UPDATE_ELEM);
        }
        self.plain_call(HelperId::MAP_LOOKUP_ELEM);
        self.set(r(0), Holds::MaybeValue(64));
        if self.rng.chance(90) {
            let out = self.ahead();
            self.a.jump_if(Width::W64, Cond::Eq, r(0), Operand::Imm(0), out);
            self.set(r(0), Holds::Value(64));
        }
    }

    fn queue(&mut self) {
        let map = *self.rng.pick(&QUEUES);
        if self.rng.chance(80) {
            self.a.push(Insn::Store { size: Size::Dw, base: r(10), off: -8, src: Operand::Imm(1) });
        }
        let id = *self.rng.pick(&[HelperId::MAP_PUSH_ELEM, HelperId::MAP_POP_ELEM, HelperId::MAP_PEEK_ELEM]);
        self.a.push(Insn::LoadImm64 { dst: r(1), imm: Imm64::MapFd(MapRef(map)) });
        self.stack_pointer(2, -8);
        self.a.push(mov(r(3), Operand::Imm(*self.rng.pick(&[0, 0, 2, 7]))));
        self.plain_call(id);
    }

    /// Any place of the context, read or written.
    fn odd_context(&mut self) {
        let Some(base) = self.find(|h| h == Holds::Ctx) else { return };
        let limit = match self.ty {
            ProgType::Tracing => 64,
            ty => ctx_layout(ty, Arch::X86_64).map_or(64, |layout| layout.size.min(280)),
        };
        let size = self.size();
        let mut off = self.rng.below(u64::from(limit) + 8) as i16;
        if self.rng.chance(80) {
            off -= off % size.bytes() as i16;
        }
        if self.rng.chance(65) {
            let dst = self.target();
            let sext = size != Size::Dw && self.isa_v4() && self.rng.chance(10);
            self.a.push(Insn::Load { size, sext, dst, base, off });
            self.set(dst, Holds::Number);
        } else {
            let src = match self.number() {
                Some(v) if self.rng.chance(60) => Operand::Reg(v),
                _ => Operand::Imm(0),
            };
            self.a.push(Insn::Store { size, base, off, src });
        }
    }

    /// Any helper, with arguments of the kinds that it wants, mostly.
    fn any_helper(&mut self) {
        let kernel = self.kernel();
        let all: Vec<_> = HELPERS
            .iter()
            .filter(|def| {
                def.since_in(self.ty).is_some_and(|since| since <= kernel) && !SHY.contains(&def.id)
            })
            .collect();
        let strangers = self.rng.chance(4);
        let def = if strangers {
            *self.rng.pick(&HELPERS.iter().collect::<Vec<_>>())
        } else {
            *self.rng.pick(&all)
        };
        if SHY.contains(&def.id) {
            return;
        }
        let args = def.args_in(self.ty, kernel);
        let mut map = None;
        let mut room = 8i32;
        let slots = self.rng.range(1, 4) as i32;
        for i in 1..=slots {
            if self.rng.chance(92) {
                let src = Operand::Imm(self.rng.range(0, 1) as i32);
                self.a.push(Insn::Store { size: Size::Dw, base: r(10), off: (-8 * i) as i16, src });
            }
        }
        for (i, arg) in args.into_iter().enumerate() {
            let reg = i as u8 + 1;
            match arg {
                Arg::None => break,
                Arg::Ctx | Arg::CtxOrNull => self.ctx_arg(reg),
                Arg::ConstMapPtr => {
                    let index = self.map_for(def.maps);
                    map = Some(index);
                    self.a.push(Insn::LoadImm64 { dst: r(reg), imm: Imm64::MapFd(MapRef(index)) });
                }
                Arg::MapKey | Arg::MapValue | Arg::MapValueOrNull | Arg::UninitMapValue => {
                    let shape = map.map(|index| shapes()[index as usize].clone());
                    let size = shape.map_or(8, |shape| match arg {
                        Arg::MapKey => shape.key_size,
                        _ => shape.value_size,
                    });
                    self.stack_pointer(reg, -(size.min(64) as i32).max(1));
                }
                Arg::Mem(access) | Arg::MemOrNull(access) => {
                    room = self.memory(reg, access, slots);
                }
                Arg::FixedMem(_, n) => self.stack_pointer(reg, -(n as i32)),
                Arg::Len | Arg::LenOrZero => {
                    let low = i64::from(!self.rng.chance(10));
                    let n = if self.rng.chance(93) {
                        self.rng.range(low, i64::from(room))
                    } else {
                        i64::from(room) + 8
                    };
                    self.a.push(mov(r(reg), Operand::Imm(n as i32)));
                }
                Arg::ConstAllocSize => {
                    self.a.push(mov(r(reg), Operand::Imm(*self.rng.pick(&[8, 16, 24]))));
                }
                Arg::IntPtr(n) => self.stack_pointer(reg, -(n as i32)),
                Arg::ConstStr => {
                    let off = *self.rng.pick(&[0, 25]);
                    self.a
                        .push(Insn::LoadImm64 { dst: r(reg), imm: Imm64::MapValue(MapRef(READ_ONLY), off) });
                }
                Arg::StackOrNull if self.rng.chance(50) => self.stack_pointer(reg, -8),
                Arg::BtfPtr(_) | Arg::BtfPtrOrNull(_) => {
                    let object = self.find(|h| h == Holds::Object).filter(|o| o.index() > 5);
                    match object {
                        Some(object) => self.a.push(mov(r(reg), Operand::Reg(object))),
                        None => self.a.push(mov(r(reg), Operand::Imm(0))),
                    };
                }
                _ => match self.number().filter(|v| v.index() > 5) {
                    Some(v) if self.rng.chance(50) => {
                        self.a.push(mov(r(reg), Operand::Reg(v)));
                    }
                    _ => {
                        self.a.push(mov(r(reg), Operand::Imm(self.rng.range(0, 3) as i32)));
                    }
                },
            }
        }
        self.plain_call(def.id);
        if def.id == HelperId::TAIL_CALL {
            self.set(r(0), Holds::Nothing);
        }
    }

    /// Memory in `reg`; how many bytes of it there are.
    fn memory(&mut self, reg: u8, access: MemAccess, slots: i32) -> i32 {
        let value = self.find(|h| matches!(h, Holds::Value(_) | Holds::Record(_))).filter(|v| v.index() > 5);
        match value {
            Some(v) if self.rng.chance(50) => {
                self.a.push(mov(r(reg), Operand::Reg(v)));
                match self.holds(v) {
                    Holds::Value(n) | Holds::Record(n) => n as i32,
                    _ => 8,
                }
            }
            _ if access == MemAccess::Read && self.rng.chance(10) => {
                self.a.push(Insn::LoadImm64 { dst: r(reg), imm: Imm64::MapValue(MapRef(READ_ONLY), 0) });
                32
            }
            _ => {
                self.stack_pointer(reg, -8 * slots);
                8 * slots
            }
        }
    }

    /// A map of one of these types, mostly.
    fn map_for(&mut self, types: &[MapType]) -> u32 {
        let fitting: Vec<u32> =
            (0..).zip(shapes()).filter(|(_, shape)| types.contains(&shape.ty)).map(|(i, _)| i).collect();
        if fitting.is_empty() || self.rng.chance(4) {
            return *self.rng.pick(&[0, RINGBUF, STACKS, EVENTS, PROGS, MAP_ARRAY]);
        }
        *self.rng.pick(&fitting)
    }

    /// Two ways that leave different things in the same places, and meet again.
    fn diamond(&mut self) {
        let Some(v) = self.number() else { return };
        let (otherwise, end) = (self.a.label(), self.a.label());
        let (w, cond) = (self.width(), *self.rng.pick(&Cond::ALL));
        let limit = self.imm();
        self.a.jump_if(w, cond, v, Operand::Imm(limit), otherwise);
        let (reg, slot) = (self.target(), self.slot());
        let size = self.size();
        for side in 0..2 {
            match self.rng.below(3) {
                0 => self.a.push(mov(reg, Operand::Imm(self.rng.range(0, 40) as i32))),
                1 => {
                    self.a.push(mov(reg, Operand::Reg(v)));
                    self.a.push(Insn::Alu { w, op: AluOp::And, dst: reg, src: Operand::Imm(31) })
                }
                _ => self.a.push(mov(reg, Operand::Imm(8 * side))),
            };
            if self.rng.chance(60) {
                let src = if self.rng.chance(50) { Operand::Imm(side) } else { Operand::Reg(reg) };
                self.a.push(Insn::Store { size, base: r(10), off: slot as i16, src });
            }
            if side == 0 {
                self.a.jump(end);
                self.a.bind(otherwise);
            }
        }
        self.a.bind(end);
        self.set(reg, Holds::Number);
        if self.rng.chance(60) {
            let dst = self.target();
            self.a.push(Insn::Load { size, sext: false, dst, base: r(10), off: slot as i16 });
            self.set(dst, Holds::Number);
            self.use_as_offset(dst);
        } else {
            self.use_as_offset(reg);
        }
    }
}
