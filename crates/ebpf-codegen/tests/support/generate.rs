//! Random functions from random bytes, through the builder: nested conditions and loops, variables, memory, calls.

use bpf_facts::HelperId;
use ebpf_asm::{AtomicOp, MapRef, Size};
use ebpf_codegen::ir::{BinOp, Builder, Cond, Function, InstData, SlotId, Type, UnOp, Value, Variable};

/// Bytes of context that functions read.
pub const CTX_BYTES: usize = 64;

/// What the function may contain.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// Everything that the simulated machines know.
    Simulated,
    /// What the kernel runs with the same result.
    Kernel,
}

/// A function of the context. The bytes decide everything; when they run out, zeros follow.
pub fn function(bytes: &[u8], flavour: Flavour) -> Function {
    let mut b = Builder::new("random", &[Type::Ptr]);
    let ctx = b.param(0);
    let sizes: &[u32] =
        if bytes.first().is_some_and(|b| b % 3 == 0) { &[16, 24, 40, 400, 304] } else { &[16, 24, 40] };
    let slots: Vec<SlotId> = sizes.iter().map(|s| b.slot(*s)).collect();
    for (slot, size) in slots.iter().zip(sizes) {
        let at = b.slot_addr(*slot);
        b.mem_zero(at, 0, *size);
    }
    let vars: Vec<Variable> = (0..6).map(|_| b.declare_var(Type::I64)).collect();
    let mut values = Vec::new();
    for (i, var) in vars.iter().enumerate() {
        let v = b.load(Size::Dw, ctx, i as i32 * 8);
        b.def_var(*var, v);
        values.push(v);
    }
    let slots = slots.into_iter().zip(sizes.iter().copied()).collect();
    let mut g = Generator { b, bytes, at: 1, ctx, slots, vars, values, flavour };
    g.body(0);
    while g.at < bytes.len() {
        g.body(0);
    }
    let mut sum = g.b.iconst(0);
    for var in g.vars.clone() {
        let v = g.b.use_var(var);
        sum = g.b.binary(BinOp::Xor, sum, v);
    }
    for (slot, size) in g.slots.clone() {
        let p = g.b.slot_addr(slot);
        let v = g.b.load(Size::Dw, p, (size - 8) as i32);
        sum = g.b.binary(BinOp::Add, sum, v);
    }
    let array = g.b.value(InstData::MapValueAddr(MapRef(3), 0));
    g.b.store(Size::Dw, sum, array, 0);
    g.b.ret(sum);
    g.b.finish()
}

struct Generator<'a> {
    b: Builder,
    bytes: &'a [u8],
    at: usize,
    ctx: Value,
    slots: Vec<(SlotId, u32)>,
    vars: Vec<Variable>,
    /// Values that dominate the current place.
    values: Vec<Value>,
    flavour: Flavour,
}

const SIZES: [Size; 4] = [Size::B, Size::H, Size::W, Size::Dw];

impl Generator<'_> {
    fn next(&mut self) -> u8 {
        self.at += 1;
        self.bytes.get(self.at - 1).copied().unwrap_or(0)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::from(self.next()) % n
    }

    fn pick(&mut self) -> Value {
        let n = self.next();
        match n % 5 {
            0 => {
                let k = self.constant();
                self.b.iconst(k)
            }
            1 => {
                let i = self.below(self.vars.len());
                let var = self.vars[i];
                self.b.use_var(var)
            }
            _ => {
                // Recent values more often.
                let back = usize::from(n / 5) % self.values.len();
                self.values[self.values.len() - 1 - back]
            }
        }
    }

    fn constant(&mut self) -> i64 {
        let n = self.next();
        let m = i64::from(self.next());
        match n % 12 {
            0 => 0,
            1 => 1,
            2 => -1,
            3 => 32,
            4 => 1 << (m % 63),
            5 => 0xff,
            6 => 0xffff_ffff,
            7 => i64::MIN,
            8 => 0x8000_0000,
            9 => m << 33 | m,
            10 => -m,
            _ => m,
        }
    }

    fn body(&mut self, depth: usize) {
        let n = 1 + self.below(8);
        for _ in 0..n {
            self.statement(depth);
        }
    }

    fn scoped(&mut self, depth: usize) {
        let n = self.values.len();
        self.body(depth + 1);
        self.values.truncate(n);
    }

    /// Slot, its address and an offset for an access of `size`.
    fn place(&mut self, size: u32) -> (Value, i32) {
        let i = self.below(self.slots.len());
        let (slot, bytes) = self.slots[i];
        let p = self.b.slot_addr(slot);
        let off = (self.below((bytes / size) as usize) as u32 * size) as i32;
        if self.next().is_multiple_of(2) { (p, off) } else { (self.b.ptr_off(p, off), 0) }
    }

    fn statement(&mut self, depth: usize) {
        let kind = self.next() % 24;
        match kind {
            0..=6 => {
                let op = BinOp::ALL[self.below(BinOp::ALL.len())].0;
                let (x, y) = (self.pick(), self.pick());
                let v = self.b.binary(op, x, y);
                self.values.push(v);
            }
            7 | 8 => {
                let op = [
                    UnOp::Neg,
                    UnOp::Not,
                    UnOp::Zext(Size::B),
                    UnOp::Zext(Size::H),
                    UnOp::Zext(Size::W),
                    UnOp::Sext(Size::B),
                    UnOp::Sext(Size::H),
                    UnOp::Sext(Size::W),
                    UnOp::Bswap(Size::H),
                    UnOp::Bswap(Size::W),
                    UnOp::Bswap(Size::Dw),
                ][self.below(11)];
                let x = self.pick();
                let v = self.b.unary(op, x);
                self.values.push(v);
            }
            9 => {
                let cond = Cond::ALL[self.below(10)].0;
                let (x, y) = (self.pick(), self.pick());
                let v = self.b.icmp(cond, x, y);
                self.values.push(v);
            }
            10 => {
                let (c, x, y) = (self.pick(), self.pick(), self.pick());
                let v = self.b.select(c, x, y);
                self.values.push(v);
            }
            11..=13 => {
                let i = self.below(self.vars.len());
                let v = self.pick();
                let var = self.vars[i];
                self.b.def_var(var, v);
            }
            14 => {
                let size = SIZES[self.below(4)];
                let (p, off) = self.place(size.bytes());
                let v = self.pick();
                self.b.store(size, v, p, off);
            }
            15 => {
                let size = SIZES[self.below(4)];
                let (p, off) = self.place(size.bytes());
                let signed = self.next().is_multiple_of(2);
                let v = self.b.load_ext(size, signed, p, off);
                self.values.push(v);
            }
            16 => self.memory(),
            17 | 18 => self.call(),
            19..=21 if depth < 4 => self.condition(depth),
            22 if depth < 3 => self.counted_loop(depth),
            _ => {
                let k = self.constant();
                let v = self.b.iconst(k);
                self.values.push(v);
            }
        }
    }

    fn memory(&mut self) {
        match self.next() % 5 {
            0 => {
                let (p, off) = self.place(8);
                self.b.mem_zero(p, off, 8);
            }
            1 => {
                let (to, from) = (self.below(self.slots.len()), self.below(self.slots.len()));
                let len = self.slots[to].1.min(self.slots[from].1);
                if to != from {
                    let dst = self.b.slot_addr(self.slots[to].0);
                    let src = self.b.slot_addr(self.slots[from].0);
                    let cut = self.next() % 3;
                    self.b.mem_copy((dst, 0), (src, 0), len - u32::from(cut), 8);
                }
            }
            2 => {
                let (p, off) = self.place(8);
                let v = self.pick();
                let op = [AtomicOp::Add, AtomicOp::And, AtomicOp::Or, AtomicOp::Xor, AtomicOp::Xchg]
                    [self.below(5)];
                let fetch = op == AtomicOp::Xchg || self.next().is_multiple_of(2);
                let data = InstData::Atomic { op, size: Size::Dw, fetch, value: v, ptr: p, off };
                let inst = self.b.inst(data);
                if let Some(v) = self.b.func().insts[inst].result {
                    self.values.push(v);
                }
            }
            3 => {
                let v = self.pick();
                let n = self.b.binary_imm(BinOp::And, v, 7);
                let i = self.below(self.slots.len());
                let p = self.b.slot_addr(self.slots[i].0);
                let p = self.b.ptr_add(p, n);
                let v = self.b.load(Size::B, p, 3);
                self.values.push(v);
            }
            _ => {
                let size = SIZES[self.below(4)];
                let off = self.below(CTX_BYTES / size.bytes() as usize) as i32 * size.bytes() as i32;
                let v = self.b.load(size, self.ctx, off);
                self.values.push(v);
            }
        }
    }

    /// A key of 16 bytes, built anew: two halves, or bytes.
    fn key(&mut self) {
        let slot = self.b.slot(16);
        let p = self.b.slot_addr(slot);
        match self.next() % 3 {
            0 => {
                self.b.mem_zero(p, 0, 16);
                let v = self.pick();
                self.b.store(Size::W, v, p, 8);
            }
            1 => {
                let (v, w) = (self.pick(), self.pick());
                self.b.store(Size::Dw, v, p, 0);
                self.b.store(Size::Dw, w, p, 8);
            }
            _ => {
                self.b.mem_zero(p, 0, 16);
                for i in 0..5 {
                    let byte = i64::from(self.next());
                    let v = self.b.iconst(byte);
                    self.b.store(Size::B, v, p, i * 2);
                }
            }
        }
        let map = self.b.map(MapRef(0));
        if self.flavour == Flavour::Simulated && self.next().is_multiple_of(2) {
            let found = self.b.call(HelperId::MAP_LOOKUP_ELEM, &[map, p]);
            let (some, end) = (self.b.create_block(), self.b.create_block());
            self.b.branch_nonzero(found, some, end);
            self.b.seal_and_switch(some);
            let v = self.b.load(Size::Dw, found, 8);
            let n = self.b.binary_imm(BinOp::Add, v, 1);
            self.b.store(Size::Dw, n, found, 8);
            self.b.def_var(self.vars[0], v);
            self.b.jump(end, &[]);
            self.b.seal_and_switch(end);
            return;
        }
        self.b.call_void(HelperId::MAP_DELETE_ELEM, &[map, p]);
    }

    fn call(&mut self) {
        if self.next().is_multiple_of(3) {
            return self.key();
        }
        if self.flavour == Flavour::Kernel {
            // Its result differs from run to run; what matters is that registers are lost.
            let v = self.b.call(HelperId::KTIME_GET_NS, &[]);
            let zero = self.b.iconst(0);
            let p = self.b.slot_addr(self.slots[1].0);
            let last = self.slots[1].1 as i32 - 16;
            let v = self.b.binary(BinOp::Lshr, v, zero);
            let gone = self.b.binary(BinOp::And, v, zero);
            self.b.store(Size::Dw, gone, p, last);
            return;
        }
        match self.next() % 4 {
            0 => {
                let id = [HelperId::GET_CURRENT_PID_TGID, HelperId::KTIME_GET_NS, HelperId::GET_PRANDOM_U32];
                let id = id[self.below(3)];
                let v = self.b.call(id, &[]);
                self.values.push(v);
            }
            1 | 2 => {
                let x = self.pick();
                let v = self.b.call(HelperId::SEND_SIGNAL, &[x]);
                self.values.push(v);
            }
            _ => {
                let (p, off) = self.place(8);
                let p = self.b.ptr_off(p, off);
                let len = self.b.iconst(8);
                let from = self.pick();
                let v = self.b.call(HelperId::PROBE_READ_KERNEL, &[p, len, from]);
                self.values.push(v);
            }
        }
    }

    fn condition(&mut self, depth: usize) {
        let cond = Cond::ALL[self.below(10)].0;
        let (x, y) = (self.pick(), self.pick());
        let cold = self.next().is_multiple_of(4);
        let then = if cold { self.b.create_cold_block() } else { self.b.create_block() };
        let (els, end) = (self.b.create_block(), self.b.create_block());
        self.b.branch(cond, x, y, then, els);
        self.b.seal_and_switch(then);
        self.scoped(depth);
        self.b.jump(end, &[]);
        self.b.seal_and_switch(els);
        if self.next().is_multiple_of(2) {
            self.scoped(depth);
        }
        self.b.jump(end, &[]);
        self.b.seal_and_switch(end);
    }

    fn counted_loop(&mut self, depth: usize) {
        let turns = 1 + self.below(3) as i64;
        let counter = self.b.declare_var(Type::I64);
        let zero = self.b.iconst(0);
        self.b.def_var(counter, zero);
        let (head, body, end) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.b.jump(head, &[]);
        self.b.switch_to(head);
        let n = self.b.use_var(counter);
        let limit = self.b.iconst(turns);
        self.b.branch(Cond::Ult, n, limit, body, end);
        self.b.seal_and_switch(body);
        self.scoped(depth);
        let n = self.b.use_var(counter);
        let n = self.b.binary_imm(BinOp::Add, n, 1);
        self.b.def_var(counter, n);
        self.b.jump(head, &[]);
        self.b.seal(head);
        self.b.seal_and_switch(end);
    }
}
