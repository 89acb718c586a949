//! Two-slot loads, and packet loads of classic BPF.

use crate::explore::{Flow, Walk};
use crate::rules::{Check, Rule, callback, context_access, frame_pointer, lock, reference};
use crate::state::{Flags, Kind, RegState};
use bpf_facts::ProgType;
use ebpf_asm::{Imm64, Reg};

impl Walk<'_> {
    pub(crate) fn load_imm64(&mut self, dst: Reg, imm: Imm64) -> Check<Flow> {
        frame_pointer::check(dst)?;
        let value = match imm {
            Imm64::Const(v) => RegState::constant(v),
            Imm64::MapFd(m) => RegState::pointer(Kind::Map, Flags::NONE, m.0),
            Imm64::MapValue(m, off) => {
                let off = off as i32;
                let special = &self.env.map(m.0).special;
                let locked = special.iter().any(|field| field.kind == crate::SpecialKind::SpinLock);
                let id = if locked { self.new_id() } else { 0 };
                RegState { off, id, ..RegState::pointer(Kind::MapValue, Flags::NONE, m.0) }
            }
            Imm64::Func(to) => {
                let subprog = self.env.cfg.subprog_at(to.0).expect("taken addresses begin subprograms");
                callback::check_function(self.env, subprog)?;
                RegState::pointer(Kind::Func, Flags::NONE, subprog)
            }
            Imm64::BtfVar { btf_id, btf_fd } => self.kernel_variable(btf_id, btf_fd)?,
        };
        self.write(dst, value)?;
        Ok(Flow::Next)
    }

    pub(crate) fn load_packet(&mut self, index: Option<Reg>) -> Check<Flow> {
        if !matches!(self.env.prog.ty, ProgType::SocketFilter | ProgType::SchedCls | ProgType::SchedAct) {
            return Err(Rule::InstructionKnown.reject(&[], "packet loads are not for programs of this type"));
        }
        let ctx = self.read(Reg::R6)?;
        reference::check_none_left(&self.st, "a packet load, which may end the program")?;
        lock::check_leaving(self.env.profile.version, &self.st, "a packet load, which may end the program,")?;
        if ctx.kind != Kind::Ctx {
            return Err(Rule::ContextAccess
                .reject(&[Reg::R6], format!("r6 holds {ctx}; packet loads need the context there")));
        }
        if let Some(r) = index {
            self.read(r)?;
        }
        context_access::check_pointer(&ctx, Reg::R6)?;
        self.clobber_caller_saved();
        self.write(Reg::R0, RegState::UNKNOWN)?;
        if self.st.top > 0 {
            return self.unsure("a packet load in a subprogram");
        }
        Ok(Flow::Next)
    }
}
