//! Logical indices and slots, translated both ways: the kernel counts slots, we count instructions.

use crate::insn::{InsnIdx, Program, Slot};

/// The slots of a program. Build it once for many look-ups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotMap {
    /// First slot of each instruction, and one more entry: the number of slots.
    first: Vec<Slot>,
}

impl SlotMap {
    /// The slots that `program` takes.
    pub fn new(program: &Program) -> Self {
        let mut next = 0;
        let mut first = Vec::with_capacity(program.insns.len() + 1);
        for insn in &program.insns {
            first.push(Slot(next));
            next += insn.slots();
        }
        first.push(Slot(next));
        Self { first }
    }

    /// First slot of instruction `at`; the one after the last instruction has the number of slots.
    pub fn slot_of(&self, at: InsnIdx) -> Option<Slot> {
        self.first.get(at.0 as usize).copied()
    }

    /// The instruction that occupies `slot`, be it with its first or its second half.
    pub fn insn_at(&self, slot: Slot) -> Option<InsnIdx> {
        if slot.0 >= self.n_slots() {
            return None;
        }
        let after = self.first.partition_point(|first| *first <= slot);
        u32::try_from(after.checked_sub(1)?).ok().map(InsnIdx)
    }

    /// The instruction that begins at `slot`: what a jump may go to.
    pub fn starting_at(&self, slot: Slot) -> Option<InsnIdx> {
        self.insn_at(slot).filter(|at| self.slot_of(*at) == Some(slot))
    }

    /// Number of slots of the program.
    pub fn n_slots(&self) -> u32 {
        self.first.last().map_or(0, |slot| slot.0)
    }
}

impl Program {
    /// Its slots, for translating many indices.
    pub fn slots(&self) -> SlotMap {
        SlotMap::new(self)
    }

    /// First slot of one instruction; the index after the last is allowed. Linear: see [`slots`](Self::slots).
    pub fn slot_of(&self, at: InsnIdx) -> Option<Slot> {
        let before = self.insns.get(..at.0 as usize)?;
        Some(Slot(before.iter().map(|insn| insn.slots()).sum()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Imm64, Insn, Reg};

    #[test]
    fn a_wide_load_takes_two_slots() {
        let wide = Insn::LoadImm64 { dst: Reg::R1, imm: Imm64::Const(1) };
        let program = Program { insns: vec![Insn::Exit, wide, Insn::Exit], locs: vec![] };
        let slots = program.slots();
        assert_eq!(slots.n_slots(), 4);
        assert_eq!(slots.slot_of(InsnIdx(2)), Some(Slot(3)));
        assert_eq!(program.slot_of(InsnIdx(2)), Some(Slot(3)));
        assert_eq!(program.slot_of(InsnIdx(3)), Some(Slot(4)));
        assert_eq!(program.slot_of(InsnIdx(4)), None);
        assert_eq!(slots.insn_at(Slot(2)), Some(InsnIdx(1)));
        assert_eq!(slots.starting_at(Slot(2)), None);
        assert_eq!(slots.starting_at(Slot(3)), Some(InsnIdx(2)));
        assert_eq!(slots.insn_at(Slot(4)), None);
    }
}
