//! What generated programs do with the kernel's objects: tasks and what they point to, functions of the kernel,
//! iterators, dynptrs, sections of RCU.

use super::generate::{Gen, Holds, add, mov, r};
use super::maps::{DIRECT, RINGBUF};
use bpf_facts::{AttachType, HelperId};
use ebpf_asm::{Callee, Cond, Imm64, Insn, MapRef, Operand, Reg, Size, Width};
use hark_btf::{Btf, Kind};
use std::sync::Arc;

/// The tracepoint that tracing programs are generated for: a number, two tasks, a number.
const TRACEPOINT: &str = "btf_trace_sched_switch";

/// What of the kernel's types generated programs use.
#[derive(Clone, Debug)]
pub struct Objects {
    /// The types.
    pub btf: Arc<Btf>,
    /// What tracing programs are attached to.
    pub target: (AttachType, u32),
    /// Members of `struct task_struct`: offset, size, whether it points to a structure.
    fields: Vec<(u32, u32, bool)>,
    calls: Calls,
}

/// Ids of functions; `None` where the kernel has none of the name.
#[derive(Clone, Copy, Debug, Default)]
struct Calls {
    num: [Option<u32>; 3],
    task: [Option<u32>; 3],
    rcu: [Option<u32>; 2],
    preempt: [Option<u32>; 2],
    acquire: Option<u32>,
    from_pid: Option<u32>,
    release: Option<u32>,
    size: Option<u32>,
    adjust: Option<u32>,
    clone: Option<u32>,
    slice: Option<u32>,
}

impl Objects {
    /// Those of `btf`; `None` if it lacks what every kernel has.
    pub fn of(btf: Arc<Btf>) -> Option<Objects> {
        let target = (AttachType::TraceRawTp, btf.find(Kind::Typedef, TRACEPOINT)?.0);
        let task = btf.type_by_id(btf.find(Kind::Struct, "task_struct")?)?;
        let mut fields = Vec::new();
        for member in task.members().filter(|member| member.bitfield.is_none()) {
            let Some(ty) = btf.resolve(member.ty) else { continue };
            let of = ty.target().and_then(|id| btf.resolve(id));
            let pointer = ty.kind() == Kind::Ptr && of.is_some_and(|of| of.kind() == Kind::Struct);
            let number = matches!(ty.kind(), Kind::Int | Kind::Enum);
            let size = btf.size_of(member.ty).unwrap_or(0) as u32;
            if (pointer || number) && matches!(size, 1 | 2 | 4 | 8) && member.bit_offset / 8 < 1 << 15 {
                fields.push((member.bit_offset / 8, size, pointer));
            }
        }
        let id = |name: &str| btf.find(Kind::Func, name).map(|id| id.0);
        let iter = |of: &str| ["new", "next", "destroy"].map(|step| id(&format!("bpf_iter_{of}_{step}")));
        let calls = Calls {
            num: iter("num"),
            task: iter("task"),
            rcu: [id("bpf_rcu_read_lock"), id("bpf_rcu_read_unlock")],
            preempt: [id("bpf_preempt_disable"), id("bpf_preempt_enable")],
            acquire: id("bpf_task_acquire"),
            from_pid: id("bpf_task_from_pid"),
            release: id("bpf_task_release"),
            size: id("bpf_dynptr_size"),
            adjust: id("bpf_dynptr_adjust"),
            clone: id("bpf_dynptr_clone"),
            slice: id("bpf_dynptr_slice"),
        };
        Some(Objects { btf, target, fields, calls })
    }
}

impl Gen<'_> {
    /// One of the things above.
    pub(super) fn object_action(&mut self) {
        let Some(objects) = self.objects else { return self.helper() };
        let calls = objects.calls;
        match self.rng.below(12) {
            0 | 1 => self.iterate(calls.num, false),
            2 => self.iterate(calls.task, true),
            3 => self.section(calls.rcu),
            4 => self.section(calls.preempt),
            5 | 6 => self.walk_object(&objects.fields),
            7 => {
                self.plain_call(HelperId::GET_CURRENT_TASK_BTF);
                let keep = self.target();
                self.a.push(mov(keep, Operand::Reg(r(0))));
                self.set(keep, Holds::Object);
                self.set(r(0), Holds::Object);
            }
            8 => self.acquired(&calls),
            9 => self.local_dynptr(&calls),
            10 => self.record_dynptr(&calls),
            _ => self.use_object(),
        }
    }

    fn kfunc(&mut self, id: Option<u32>) {
        match id {
            Some(btf_id) => {
                self.a.push(Insn::Call(Callee::Kfunc { btf_id, module: 0 }));
            }
            None => {
                self.a.push(mov(r(0), Operand::Imm(0)));
            }
        }
        self.clobber();
    }

    /// Almost always `off`; now and then somewhere else.
    fn place(&mut self, off: i32) -> i32 {
        if self.rng.chance(3) { self.slot() } else { off }
    }

    /// A loop over what an iterator gives.
    fn iterate(&mut self, [new, next, destroy]: [Option<u32>; 3], tasks: bool) {
        if self.loops >= 2 || new.is_none() || next.is_none() || destroy.is_none() {
            return;
        }
        let at = -144 - 16 * self.loops as i32;
        let guarded = tasks && self.rng.chance(70);
        let rcu = self.objects.map_or([None; 2], |objects| objects.calls.rcu);
        if guarded {
            self.kfunc(rcu[0]);
        }
        let off = self.place(at);
        self.stack_pointer(1, off);
        if tasks {
            self.a.push(mov(r(2), Operand::Imm(0)));
            self.a.push(mov(r(3), Operand::Imm(0)));
        } else {
            match self.number().filter(|v| v.index() > 5) {
                Some(v) if self.rng.chance(30) => self.a.push(mov(r(2), Operand::Reg(v))),
                _ => self.a.push(mov(r(2), Operand::Imm(self.rng.range(-2, 2) as i32))),
            };
            self.a.push(mov(r(3), Operand::Imm(self.rng.range(0, 40) as i32)));
        }
        self.kfunc(new);
        self.loops += 1;
        let saved = std::mem::take(&mut self.pending);
        let (top, out) = (self.a.label(), self.a.label());
        let rounds = self.rng.chance(80);
        if rounds {
            self.a.bind(top);
            // What the body changes is not what it was, in the second round.
            for reg in 7..10 {
                if self.regs[reg] != Holds::Nothing && self.rng.chance(80) {
                    self.a.push(mov(r(reg as u8), Operand::Imm(0)));
                    self.regs[reg] = Holds::Number;
                }
            }
        }
        let off = self.place(at);
        self.stack_pointer(1, off);
        self.kfunc(next);
        if self.rng.chance(96) {
            self.a.jump_if(Width::W64, Cond::Eq, r(0), Operand::Imm(0), out);
        }
        self.set(r(0), if tasks { Holds::Object } else { Holds::Value(4) });
        let n = self.rng.below(4);
        self.body(n);
        self.bind_all();
        if rounds {
            self.a.jump(top);
        }
        self.a.bind(out);
        self.clobber();
        self.pending = saved;
        self.loops -= 1;
        if self.rng.chance(96) {
            let off = self.place(at);
            self.stack_pointer(1, off);
            self.kfunc(destroy);
        }
        if guarded && self.rng.chance(96) {
            self.kfunc(rcu[1]);
        }
    }

    /// A section, with something in it.
    fn section(&mut self, [enter, leave]: [Option<u32>; 2]) {
        if self.loops >= 2 {
            return;
        }
        let saved = std::mem::take(&mut self.pending);
        self.loops += 1;
        self.kfunc(enter);
        let n = self.rng.below(4);
        self.body(n);
        self.bind_all();
        if self.rng.chance(96) {
            self.kfunc(leave);
        }
        self.loops -= 1;
        self.pending = saved;
    }

    /// A field of an object.
    fn walk_object(&mut self, fields: &[(u32, u32, bool)]) {
        let Some(base) = self.find(|h| h == Holds::Object) else { return };
        let (mut off, mut size, mut pointer) = *self.rng.pick(fields);
        if self.rng.chance(6) {
            (off, pointer) = (off + self.rng.below(9) as u32, false);
        }
        if self.rng.chance(4) {
            size = *self.rng.pick(&[1, 2, 4, 8]);
        }
        let dst = self.target();
        let size = Size::from_bytes(size).unwrap_or(Size::W);
        self.a.push(Insn::Load { size, sext: false, dst, base, off: off as i16 });
        self.set(dst, if pointer { Holds::Object } else { Holds::Number });
        if pointer && self.rng.chance(60) {
            let label = self.ahead();
            self.a.jump_if(Width::W64, Cond::Eq, dst, Operand::Imm(0), label);
        }
    }

    /// An object given to something.
    fn use_object(&mut self) {
        let Some(base) = self.find(|h| h == Holds::Object) else { return };
        match self.rng.below(6) {
            0 => {
                self.a.push(Insn::Store { size: Size::Dw, base: r(10), off: -8, src: Operand::Reg(base) });
            }
            1 => {
                self.a.push(mov(r(3), Operand::Reg(base)));
                self.stack_pointer(1, -16);
                self.a.push(mov(r(2), Operand::Imm(16)));
                self.plain_call(HelperId::PROBE_READ_KERNEL);
            }
            2 => {
                self.a.push(mov(r(1), Operand::Reg(base)));
                self.plain_call(HelperId::TASK_PT_REGS);
            }
            3 => {
                self.a.push(mov(r(1), Operand::Reg(base)));
                self.stack_pointer(2, -32);
                self.a.push(mov(r(3), Operand::Imm(32)));
                self.a.push(mov(r(4), Operand::Imm(0)));
                self.plain_call(HelperId::GET_TASK_STACK);
            }
            4 => {
                let by = self.rng.range(-8, 64) as i32;
                self.a.push(add(base, by));
            }
            _ => {
                let label = self.ahead();
                self.a.jump_if(Width::W64, Cond::Eq, base, Operand::Imm(0), label);
            }
        }
    }

    /// A reference to a task, mostly given back.
    fn acquired(&mut self, calls: &Calls) {
        if self.loops >= 2 {
            return;
        }
        match self.find(|h| h == Holds::Object) {
            Some(base) if self.rng.chance(70) => {
                self.a.push(mov(r(1), Operand::Reg(base)));
                self.kfunc(calls.acquire);
            }
            _ => {
                self.a.push(mov(r(1), Operand::Imm(1)));
                self.kfunc(calls.from_pid);
            }
        }
        let saved = std::mem::take(&mut self.pending);
        self.loops += 1;
        let keep: Reg = r(*self.rng.pick(&[7u8, 8]));
        let out = self.a.label();
        self.a.push(mov(keep, Operand::Reg(r(0))));
        if self.rng.chance(95) {
            self.a.jump_if(Width::W64, Cond::Eq, r(0), Operand::Imm(0), out);
        }
        let before = self.holds(keep);
        if before != Holds::Ctx {
            self.set(keep, Holds::Object);
        }
        let n = self.rng.below(3);
        self.body(n);
        self.bind_all();
        if self.rng.chance(95) {
            self.a.push(mov(r(1), Operand::Reg(keep)));
            self.kfunc(calls.release);
        }
        self.a.bind(out);
        self.clobber();
        self.set(keep, Holds::Nothing);
        self.loops -= 1;
        self.pending = saved;
    }

    /// A dynptr to a map value.
    fn local_dynptr(&mut self, calls: &Calls) {
        let at = self.place(-192);
        self.a.push(Insn::LoadImm64 { dst: r(1), imm: Imm64::MapValue(MapRef(DIRECT), 0) });
        self.a.push(mov(r(2), Operand::Imm(*self.rng.pick(&[8, 32, 32, 33]))));
        self.a.push(mov(r(3), Operand::Imm(0)));
        self.stack_pointer(4, at);
        self.plain_call(HelperId::DYNPTR_FROM_MEM);
        for _ in 0..self.rng.below(4) {
            self.use_dynptr(at, calls);
        }
    }

    /// A dynptr to a record, mostly given back.
    fn record_dynptr(&mut self, calls: &Calls) {
        let at = self.place(-192);
        self.a.push(Insn::LoadImm64 { dst: r(1), imm: Imm64::MapFd(MapRef(RINGBUF)) });
        self.a.push(mov(r(2), Operand::Imm(32)));
        self.a.push(mov(r(3), Operand::Imm(0)));
        self.stack_pointer(4, at);
        self.plain_call(HelperId::RINGBUF_RESERVE_DYNPTR);
        for _ in 0..self.rng.below(4) {
            self.use_dynptr(at, calls);
        }
        if self.rng.chance(95) {
            let off = self.place(at);
            self.stack_pointer(1, off);
            self.a.push(mov(r(2), Operand::Imm(0)));
            let submit = self.rng.chance(50);
            self.plain_call(if submit {
                HelperId::RINGBUF_SUBMIT_DYNPTR
            } else {
                HelperId::RINGBUF_DISCARD_DYNPTR
            });
        }
    }

    fn use_dynptr(&mut self, at: i32, calls: &Calls) {
        let off = self.place(at);
        match self.rng.below(9) {
            0 | 1 => {
                self.stack_pointer(1, off);
                self.a.push(mov(r(2), Operand::Imm(0)));
                self.a.push(mov(r(3), Operand::Imm(8)));
                self.plain_call(HelperId::DYNPTR_DATA);
                let keep = self.target();
                self.a.push(mov(keep, Operand::Reg(r(0))));
                self.set(keep, Holds::MaybeValue(8));
                if self.rng.chance(80) {
                    let label = self.ahead();
                    self.a.jump_if(Width::W64, Cond::Eq, keep, Operand::Imm(0), label);
                    self.set(keep, Holds::Value(8));
                }
            }
            2 => {
                self.stack_pointer(1, -16);
                self.a.push(mov(r(2), Operand::Imm(16)));
                self.stack_pointer(3, off);
                self.a.push(mov(r(4), Operand::Imm(0)));
                self.a.push(mov(r(5), Operand::Imm(0)));
                self.plain_call(HelperId::DYNPTR_READ);
            }
            3 => {
                self.stack_pointer(1, off);
                self.a.push(mov(r(2), Operand::Imm(0)));
                self.stack_pointer(3, -16);
                self.a.push(mov(r(4), Operand::Imm(16)));
                self.a.push(mov(r(5), Operand::Imm(0)));
                self.plain_call(HelperId::DYNPTR_WRITE);
            }
            4 => {
                self.stack_pointer(1, off);
                self.kfunc(calls.size);
                self.set(r(0), Holds::Number);
            }
            5 => {
                self.stack_pointer(1, off);
                self.a.push(mov(r(2), Operand::Imm(1)));
                self.a.push(mov(r(3), Operand::Imm(8)));
                self.kfunc(calls.adjust);
                self.set(r(0), Holds::Number);
            }
            6 => {
                self.stack_pointer(1, off);
                let to = self.place(-224);
                self.stack_pointer(2, to);
                self.kfunc(calls.clone);
                self.set(r(0), Holds::Number);
            }
            7 => {
                self.stack_pointer(1, off);
                self.a.push(mov(r(2), Operand::Imm(0)));
                if self.rng.chance(50) {
                    self.a.push(mov(r(3), Operand::Imm(0)));
                } else {
                    self.stack_pointer(3, -16);
                }
                self.a.push(mov(r(4), Operand::Imm(8)));
                self.kfunc(calls.slice);
                self.set(r(0), Holds::MaybeValue(8));
                if self.rng.chance(80) {
                    let label = self.ahead();
                    self.a.jump_if(Width::W64, Cond::Eq, r(0), Operand::Imm(0), label);
                    self.set(r(0), Holds::Value(8));
                }
            }
            _ => {
                let size = self.size();
                let off = off + self.rng.below(16) as i32;
                if self.rng.chance(50) {
                    self.a.push(Insn::Store { size, base: r(10), off: off as i16, src: Operand::Imm(0) });
                } else {
                    let dst = self.target();
                    self.a.push(Insn::Load { size, sext: false, dst, base: r(10), off: off as i16 });
                    self.set(dst, Holds::Number);
                }
            }
        }
    }
}
