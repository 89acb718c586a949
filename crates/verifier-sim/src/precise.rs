//! Which exact values mattered: walks back from where a number decided something to what it came from.
//!
//! A checkpoint whose scalars are not marked covers any other values, so the marks are what keeps comparing states
//! sound. Where the way back cannot be followed, every scalar of every checkpoint on the path is marked.

use crate::explore::Walk;
use crate::state::MAX_FRAMES;
use ebpf_asm::{AluOp, Callee, Insn, Operand, Reg};

/// One remembered step of a path. Steps to the next instruction are left out where nothing is to be told of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// The instruction.
    pub(crate) insn: u32,
    /// The one before it; `None` at entry.
    pub(crate) prev: Option<u32>,
    /// Stack slot that it reads or writes: frame and slot.
    pub(crate) slot: Option<(u8, u8)>,
    /// A comparison's left or right side is a stack address.
    pub(crate) lhs_stack: bool,
    pub(crate) rhs_stack: bool,
    /// Registers and slots that changed together.
    pub(crate) linked: Linked,
}

/// Most registers that are narrowed together.
const MAX_LINKED: usize = 6;

/// A few registers and spilled registers of equal value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Linked {
    n: u8,
    items: [Place; MAX_LINKED],
}

/// A register, or a stack slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) frame: u8,
    pub(crate) is_reg: bool,
    pub(crate) index: u8,
}

impl Linked {
    /// Adds one; `false` if there is no room.
    pub(crate) fn push(&mut self, place: Place) -> bool {
        let Some(item) = self.items.get_mut(usize::from(self.n)) else { return false };
        *item = place;
        self.n += 1;
        true
    }

    pub(crate) fn items(&self) -> &[Place] {
        &self.items[..usize::from(self.n)]
    }
}

/// Registers and slots whose values are asked for, by frame.
#[derive(Clone, Debug, Default)]
struct Wanted {
    frame: usize,
    regs: [u16; MAX_FRAMES],
    slots: [u64; MAX_FRAMES],
}

/// The way back cannot be followed.
struct Lost;

const ARGUMENTS: u16 = 0x3e;

impl Wanted {
    fn is_empty(&self) -> bool {
        (0..=self.frame).all(|f| self.regs[f] == 0 && self.slots[f] == 0)
    }

    fn has(&self, r: Reg) -> bool {
        self.regs[self.frame] & 1 << r.index() != 0
    }

    fn set(&mut self, r: Reg) {
        if r != Reg::R10 {
            self.regs[self.frame] |= 1 << r.index();
        }
    }

    fn clear(&mut self, r: Reg) {
        self.regs[self.frame] &= !(1 << r.index());
    }

    fn has_place(&self, p: Place) -> bool {
        let mask = if p.is_reg {
            u64::from(self.regs[usize::from(p.frame)])
        } else {
            self.slots[usize::from(p.frame)]
        };
        mask & 1 << p.index != 0
    }

    fn set_place(&mut self, p: Place) {
        if p.is_reg {
            self.regs[usize::from(p.frame)] |= 1 << p.index;
        } else {
            self.slots[usize::from(p.frame)] |= 1 << p.index;
        }
    }

    /// If one of the linked ones is wanted, all are.
    fn sync(&mut self, linked: &Linked) {
        if linked.items().iter().any(|p| self.has_place(*p)) {
            for p in linked.items() {
                self.set_place(*p);
            }
        }
    }

    fn enter(&mut self) -> Result<(), Lost> {
        if self.frame + 1 >= MAX_FRAMES {
            return Err(Lost);
        }
        self.frame += 1;
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Lost> {
        if self.frame == 0 {
            return Err(Lost);
        }
        self.frame -= 1;
        Ok(())
    }
}

impl Walk<'_> {
    /// Marks what register `r` of the running frame was computed from.
    pub(crate) fn mark_precise(&mut self, r: Reg) {
        if !self.st.reg(r).is_scalar() {
            return;
        }
        let mut wanted = Wanted { frame: usize::from(self.st.top), ..Wanted::default() };
        wanted.set(r);
        self.trace_back(wanted);
    }

    /// As [`mark_precise`](Self::mark_precise), for a scalar spilled to the stack.
    pub(crate) fn mark_precise_slot(&mut self, frame: u8, slot: u8) {
        let mut wanted = Wanted { frame: usize::from(self.st.top), ..Wanted::default() };
        wanted.set_place(Place { frame, is_reg: false, index: slot });
        self.trace_back(wanted);
    }

    /// The exact values that mattered from checkpoint `old` on matter here too.
    pub(crate) fn propagate_precision(&mut self, old: crate::state::CheckpointId) {
        let old = self.checkpoint(old);
        let mut wanted = Wanted { frame: usize::from(old.st.top), ..Wanted::default() };
        for f in 0..=old.st.top {
            let frame = old.st.frame(f);
            let at = if f == old.st.top { old.insn } else { old.st.frame(f + 1).callsite };
            let live = self.env.cfg.points[at as usize].live;
            for (i, reg) in frame.regs.iter().enumerate().take(10) {
                if reg.is_scalar() && reg.precise && live & 1 << i != 0 {
                    wanted.regs[usize::from(f)] |= 1 << i;
                }
            }
            for (i, slot) in frame.stack.iter().enumerate() {
                if slot.is_scalar_spill() && slot.reg.precise && slot.read {
                    wanted.slots[usize::from(f)] |= 1 << i;
                }
            }
        }
        self.trace_back(wanted);
    }

    fn trace_back(&mut self, mut wanted: Wanted) {
        if wanted.is_empty() {
            return;
        }
        let (mut first, mut last) = (self.st.first_insn, Some(self.pc));
        let mut history = self.st.history;
        let mut parent = self.st.parent;
        let mut subseq = None;
        // The current instruction has not taken effect yet.
        let mut skip = true;
        while let Some(mut i) = last {
            loop {
                if !std::mem::take(&mut skip) {
                    let step = self.step_at(history, i);
                    if self.step_back(i, subseq, step, &mut wanted).is_err() {
                        self.mark_all_precise();
                        return;
                    }
                }
                if wanted.is_empty() {
                    return;
                }
                subseq = Some(i);
                match self.before(&mut history, i, first) {
                    Some(prev) => i = prev,
                    None => break,
                }
            }
            let Some(id) = parent else { break };
            let checkpoint = self.checkpoint_mut(id);
            mark_in(&mut checkpoint.st, &mut wanted);
            if wanted.is_empty() {
                return;
            }
            subseq = Some(first);
            last = checkpoint.st.last_insn;
            first = checkpoint.st.first_insn;
            history = checkpoint.st.history;
            parent = checkpoint.st.parent;
        }
        // Arguments of a function that is verified on its own come from nowhere.
        let at_entry = wanted.frame == 0 && wanted.slots[0] == 0 && wanted.regs[0] & !ARGUMENTS == 0;
        if !wanted.is_empty() && !at_entry {
            self.mark_all_precise();
        }
    }

    fn step_at(&self, (start, end): (u32, u32), insn: u32) -> Option<Step> {
        let step = self.history[start as usize..end as usize].last()?;
        (step.insn == insn).then_some(*step)
    }

    /// The instruction before `insn` on this path, as long as it comes after the checkpoint at `first`.
    pub(crate) fn before(&self, history: &mut (u32, u32), insn: u32, first: u32) -> Option<u32> {
        let steps = &self.history[history.0 as usize..history.1 as usize];
        if insn == first && (steps.is_empty() || steps.len() == 1 && steps[0].insn == insn) {
            return None;
        }
        match steps.last() {
            Some(step) if step.insn == insn => {
                history.1 -= 1;
                step.prev
            }
            _ => insn.checked_sub(1),
        }
    }

    fn mark_all_precise(&mut self) {
        let mut parent = self.st.parent;
        while let Some(id) = parent {
            let checkpoint = self.checkpoint_mut(id);
            parent = checkpoint.st.parent;
            checkpoint.st.update_regs(|r| r.is_scalar() && !r.precise, |r| r.precise = true);
        }
    }

    /// What must be known before instruction `i`, for `wanted` to be known after it.
    fn step_back(
        &self,
        i: u32,
        subseq: Option<u32>,
        step: Option<Step>,
        wanted: &mut Wanted,
    ) -> Result<(), Lost> {
        if let Some(step) = &step {
            wanted.sync(&step.linked);
        }
        let slot = step.and_then(|s| s.slot);
        match self.env.p.insns[i as usize] {
            Insn::Alu { op: AluOp::Mov, dst, src, .. } => {
                if wanted.has(dst) {
                    wanted.clear(dst);
                    if let Operand::Reg(src) = src {
                        wanted.set(src);
                    }
                }
            }
            Insn::MovSx { dst, src, .. } | Insn::CastAddrSpace { dst, src, .. } => {
                if wanted.has(dst) {
                    wanted.clear(dst);
                    wanted.set(src);
                }
            }
            Insn::Alu { dst, src, .. } => {
                if wanted.has(dst)
                    && let Operand::Reg(src) = src
                {
                    wanted.set(src);
                }
            }
            Insn::Neg { .. } | Insn::Swap { .. } | Insn::Jump { .. } | Insn::MayGoto { .. } => {}
            Insn::Load { dst, .. } | Insn::LoadAcquire { dst, .. } => {
                if wanted.has(dst) {
                    wanted.clear(dst);
                    if let Some((frame, index)) = slot {
                        wanted.set_place(Place { frame, is_reg: false, index });
                    }
                }
            }
            Insn::Store { base, src, .. } => step_back_store(base, src, slot, wanted)?,
            Insn::StoreRelease { base, src, .. } => step_back_store(base, Operand::Reg(src), slot, wanted)?,
            Insn::Atomic { op, fetch, base, src, .. } => {
                let loaded = match (op, fetch) {
                    (ebpf_asm::AtomicOp::Cmpxchg, _) => Some(Reg::R0),
                    (_, true) => Some(src),
                    (_, false) => None,
                };
                if wanted.has(base) {
                    return Err(Lost);
                }
                if let Some(loaded) = loaded
                    && wanted.has(loaded)
                {
                    wanted.clear(loaded);
                    if let Some((frame, index)) = slot {
                        wanted.set_place(Place { frame, is_reg: false, index });
                    }
                }
            }
            Insn::LoadPacket { .. } => {
                if wanted.has(Reg::R0) {
                    return Err(Lost);
                }
            }
            Insn::LoadImm64 { dst, .. } => wanted.clear(dst),
            Insn::Call(callee) => self.step_back_call(callee, i, subseq, wanted)?,
            Insn::Exit => {
                // Backwards, an exit enters the function that it left.
                let call = subseq.and_then(|s| s.checked_sub(1));
                let from_callback = subseq.is_some_and(|s| self.env.cfg.points[s as usize].calls_back);
                if from_callback {
                    wanted.regs[wanted.frame] &= !ARGUMENTS;
                }
                if wanted.regs[wanted.frame] & ARGUMENTS != 0 {
                    return Err(Lost);
                }
                let local = call
                    .is_some_and(|c| matches!(self.env.p.insns[c as usize], Insn::Call(Callee::Local(_))));
                let result = !from_callback && local && wanted.has(Reg::R0);
                wanted.clear(Reg::R0);
                wanted.enter()?;
                if result {
                    wanted.set(Reg::R0);
                }
            }
            Insn::JumpIf { lhs, rhs, .. } => {
                if let Operand::Reg(rhs) = rhs
                    && (wanted.has(lhs) || wanted.has(rhs))
                {
                    if !step.is_some_and(|s| s.rhs_stack) {
                        wanted.set(rhs);
                    }
                    if !step.is_some_and(|s| s.lhs_stack) {
                        wanted.set(lhs);
                    }
                }
            }
        }
        if let Some(step) = &step {
            wanted.sync(&step.linked);
        }
        Ok(())
    }

    fn step_back_call(
        &self,
        callee: Callee,
        i: u32,
        subseq: Option<u32>,
        wanted: &mut Wanted,
    ) -> Result<(), Lost> {
        match callee {
            Callee::Local(to) => {
                if self.env.is_global_at(to.0) {
                    if wanted.regs[wanted.frame] & ARGUMENTS != 0 {
                        return Err(Lost);
                    }
                    wanted.clear(Reg::R0);
                    return Ok(());
                }
                if wanted.regs[wanted.frame] & !ARGUMENTS != 0 || wanted.slots[wanted.frame] != 0 {
                    return Err(Lost);
                }
                let args = std::mem::take(&mut wanted.regs[wanted.frame]);
                wanted.leave()?;
                wanted.regs[wanted.frame] |= args;
                Ok(())
            }
            // A callback's first instruction follows its caller's call.
            Callee::Helper(_) | Callee::Kfunc { .. }
                if self.env.cfg.points[i as usize].calls_back && subseq != Some(i + 1) =>
            {
                if wanted.regs[wanted.frame] & !ARGUMENTS != 0 || wanted.slots[wanted.frame] != 0 {
                    return Err(Lost);
                }
                wanted.regs[wanted.frame] = 0;
                wanted.leave()
            }
            Callee::Helper(_) | Callee::Kfunc { .. } => {
                wanted.clear(Reg::R0);
                if wanted.regs[wanted.frame] & ARGUMENTS != 0 { Err(Lost) } else { Ok(()) }
            }
        }
    }
}

fn step_back_store(base: Reg, src: Operand, slot: Option<(u8, u8)>, wanted: &mut Wanted) -> Result<(), Lost> {
    if wanted.has(base) {
        return Err(Lost);
    }
    if let Some((frame, index)) = slot {
        let (slots, mask) = (&mut wanted.slots[usize::from(frame)], 1u64 << index);
        if *slots & mask != 0 {
            *slots &= !mask;
            if let Operand::Reg(src) = src {
                wanted.set(src);
            }
        }
    }
    Ok(())
}

/// Marks the wanted scalars of a checkpoint; what is marked already, or no scalar, is wanted no more.
fn mark_in(st: &mut crate::state::State, wanted: &mut Wanted) {
    for f in 0..=wanted.frame {
        if wanted.regs[f] == 0 && wanted.slots[f] == 0 {
            continue;
        }
        if f > usize::from(st.top) {
            continue;
        }
        let frame = st.frame_mut(f as u8);
        for r in 0..10 {
            if wanted.regs[f] & 1 << r != 0 {
                let reg = &mut frame.regs[r];
                if !reg.is_scalar() || reg.precise {
                    wanted.regs[f] &= !(1 << r);
                } else {
                    reg.precise = true;
                }
            }
        }
        for s in 0..64 {
            if wanted.slots[f] & 1 << s != 0 {
                match frame.stack.get_mut(s) {
                    Some(slot) if slot.is_scalar_spill() && !slot.reg.precise => slot.reg.precise = true,
                    _ => wanted.slots[f] &= !(1 << s),
                }
            }
        }
    }
}
