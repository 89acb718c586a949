//! Calls of subprograms, callbacks, and returning from them.

use super::jump::widen;
use crate::era::Change;
use crate::explore::{Flow, Walk};
use crate::rules::{Check, Rule, callback, lock, readable_register, reference, return_value, stack_depth};
use crate::state::{Frame, Kind, MAX_FRAMES, RegState, RetRange, State};
use ebpf_asm::{Callee, Reg};

impl Walk<'_> {
    pub(crate) fn call(&mut self, callee: Callee) -> Check<Flow> {
        lock::check_call(self.env, &self.st, callee)?;
        match callee {
            Callee::Helper(id) => self.call_helper(id),
            Callee::Local(to) => self.call_local(to.0),
            Callee::Kfunc { btf_id, module } => self.call_kfunc(btf_id, module != 0),
        }
    }

    fn call_local(&mut self, to: u32) -> Check<Flow> {
        let subprog = self.env.cfg.subprog_at(to).expect("calls lead to subprograms");
        if self.env.global[subprog as usize] {
            return self.call_global(subprog);
        }
        let frame = self.callee(subprog, self.pc)?;
        let mut frame = frame;
        let caller = self.st.cur();
        frame.regs[1..=5].copy_from_slice(&caller.regs[1..=5]);
        self.clobber_caller_saved();
        self.st.push_frame(frame);
        Ok(Flow::To(to))
    }

    fn callee(&self, subprog: u32, callsite: u32) -> Check<Frame> {
        if usize::from(self.st.n_frames()) >= MAX_FRAMES {
            return Err(stack_depth::too_many_frames(MAX_FRAMES));
        }
        Ok(Frame::new(self.st.n_frames(), callsite, subprog))
    }

    /// Puts aside a path that runs the callback once and comes back to this call. In older kernels the callback runs
    /// here, once: the result is its frame and first instruction.
    pub(crate) fn call_back(
        &mut self,
        subprog: u32,
        range: RetRange,
        set: impl FnOnce(&Frame, &mut Frame),
    ) -> Check<Option<(Frame, u32)>> {
        self.is_callback[subprog as usize] = true;
        let mut frame = self.callee(subprog, self.pc)?;
        frame.callback = Some(range);
        set(self.st.cur(), &mut frame);
        let entry = self.env.cfg.subprogs[subprog as usize];
        if !self.env.era.has(Change::CallbackLoops) {
            return Ok(Some((frame, entry)));
        }
        let st: &mut State = self.fork(entry)?;
        st.callback_unroll_depth += 1;
        st.cur_mut().callback_depth += 1;
        st.push_frame(frame);
        self.st.cur_mut().callback_depth = 0;
        Ok(None)
    }

    pub(crate) fn clobber_caller_saved(&mut self) {
        for reg in &mut self.st.cur_mut().regs[..=5] {
            *reg = RegState::NOT_INIT;
        }
    }

    pub(crate) fn exit(&mut self) -> Check<Flow> {
        reference::check_none_left(&self.st, "the function returns")?;
        let of_callers = self.env.profile.version >= lock::KEPT_IN_CALLBACKS_SINCE;
        if self.st.top == 0 || self.st.cur().callback.is_some() && !of_callers {
            lock::check_none_held(&self.st)?;
        }
        if self.st.top > 0 {
            return self.leave();
        }
        let value = *self.st.reg(Reg::R0);
        let demanded = match return_value::demanded(self.env) {
            Ok(demanded) => demanded,
            Err(what) => return self.unsure(what),
        };
        readable_register::check(&value, Reg::R0)?;
        if self.st.cur().subprog != 0 {
            if !value.is_scalar() {
                return Err(Rule::ReturnValue
                    .reject(&[Reg::R0], format!("r0 holds {value}; a global function returns a number")));
            }
            return Ok(Flow::End);
        }
        if let Some(range) = demanded {
            if value.is_scalar() {
                self.mark_precise(Reg::R0);
            }
            return_value::check(&value, range)?;
        }
        Ok(Flow::End)
    }

    pub(super) fn leave(&mut self) -> Check<Flow> {
        let value = *self.st.reg(Reg::R0);
        if value.kind == Kind::Stack {
            return Err(Rule::ReturnValue
                .reject(&[Reg::R0], "r0 holds a stack address, which ends with the function"));
        }
        let callsite = self.st.cur().callsite;
        let Some(range) = self.st.cur().callback else {
            self.st.pop_frame();
            self.st.cur_mut().regs[0] = value;
            return Ok(Flow::To(callsite + 1));
        };
        readable_register::check(&value, Reg::R0)?;
        self.mark_precise(Reg::R0);
        callback::check_result(&value, range)?;
        self.st.pop_frame();
        if !self.env.era.has(Change::CallbackLoops) {
            return Ok(Flow::To(callsite + 1));
        }
        if let Some(before) = self.previous_visit(callsite) {
            let mut st = std::mem::replace(&mut self.st, State::new(Frame::new(0, u32::MAX, 0)));
            widen(&self.checkpoint(before).st, &mut st);
            self.st = st;
        }
        Ok(Flow::To(callsite))
    }
}
