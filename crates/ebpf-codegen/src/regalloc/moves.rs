//! Parallel moves put in order.

use super::{Edit, SpillSlot};
use crate::mir::Const;
use ebpf_asm::Reg;

/// The slot used where no register is free for a moment.
pub(super) const TEMP: SpillSlot = SpillSlot(u32::MAX);

/// The slot that keeps a register lent for one move from memory to memory.
pub(super) const LENT: SpillSlot = SpillSlot(u32::MAX - 1);

/// Where something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loc {
    Reg(Reg),
    Slot(SpillSlot),
}

/// What goes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The contents of a place.
    Loc(Loc),
    /// The contents of a place plus a constant.
    Off(Loc, i32),
    /// A constant.
    Const(Const),
}

impl Source {
    fn loc(self) -> Option<Loc> {
        match self {
            Source::Loc(loc) | Source::Off(loc, _) => Some(loc),
            Source::Const(_) => None,
        }
    }

    fn replace(&mut self, from: Loc, to: Loc) {
        match self {
            Source::Loc(loc) | Source::Off(loc, _) if *loc == from => *loc = to,
            Source::Loc(_) | Source::Off(..) | Source::Const(_) => {}
        }
    }
}

/// A set of moves that happen at once.
#[derive(Default)]
pub(super) struct ParallelMove {
    moves: Vec<(Loc, Source)>,
}

impl ParallelMove {
    pub(super) fn add(&mut self, to: Loc, from: Source) {
        if from != Source::Loc(to) {
            self.moves.push((to, from));
        }
    }

    /// The moves one after another. `free` has a bit for each register that holds nothing that is wanted, before
    /// or after.
    pub(super) fn sequence(mut self, free: u16, out: &mut Vec<Edit>) {
        let mut order = Order { out, free };
        while !self.moves.is_empty() {
            let ready = (0..self.moves.len()).find(|&i| {
                let to = self.moves[i].0;
                self.moves.iter().enumerate().all(|(j, m)| j == i || m.1.loc() != Some(to))
            });
            match ready {
                Some(i) => {
                    // Keeps the order of the rest, so that the result reads as written.
                    let (to, from) = self.moves.remove(i);
                    order.emit(to, from, &self.moves);
                }
                None => {
                    // A circle: what is in the first destination moves aside.
                    let to = self.moves[0].0;
                    let aside = match order.spare(&self.moves, None) {
                        Some(reg) => Loc::Reg(reg),
                        None => Loc::Slot(TEMP),
                    };
                    order.emit(aside, Source::Loc(to), &self.moves);
                    for m in &mut self.moves {
                        m.1.replace(to, aside);
                    }
                    if let Loc::Reg(reg) = aside {
                        order.free &= !bit(reg);
                    }
                }
            }
        }
    }
}

fn bit(reg: Reg) -> u16 {
    1 << reg.index()
}

struct Order<'a> {
    out: &'a mut Vec<Edit>,
    free: u16,
}

impl Order<'_> {
    /// A register that may be overwritten now.
    fn spare(&self, pending: &[(Loc, Source)], not: Option<Loc>) -> Option<Reg> {
        let mut free = self.free;
        for (to, _) in pending {
            if let Loc::Reg(reg) = to {
                free |= bit(*reg);
            }
        }
        for (_, from) in pending {
            if let Some(Loc::Reg(reg)) = from.loc() {
                free &= !bit(reg);
            }
        }
        if let Some(Loc::Reg(reg)) = not {
            free &= !bit(reg);
        }
        (0..10).find(|i| free & (1 << i) != 0).and_then(Reg::new)
    }

    fn emit(&mut self, to: Loc, from: Source, pending: &[(Loc, Source)]) {
        let slot = match to {
            Loc::Reg(reg) => return self.load(reg, from),
            Loc::Slot(slot) => slot,
        };
        match from {
            Source::Loc(Loc::Reg(from)) => return self.out.push(Edit::Spill { slot, from }),
            Source::Const(Const::Imm(n)) => {
                if let Ok(imm) = i32::try_from(n) {
                    return self.out.push(Edit::SpillImm { slot, imm });
                }
            }
            Source::Loc(Loc::Slot(_)) | Source::Off(..) | Source::Const(_) => {}
        }
        if let Some(spare) = self.spare(pending, from.loc()) {
            self.load(spare, from);
            return self.out.push(Edit::Spill { slot, from: spare });
        }
        // No register at all: lend one, unless it is the one that is read.
        let lent = if from.loc() == Some(Loc::Reg(Reg::R0)) { Reg::R1 } else { Reg::R0 };
        self.out.push(Edit::Spill { slot: LENT, from: lent });
        self.load(lent, from);
        self.out.push(Edit::Spill { slot, from: lent });
        self.out.push(Edit::Reload { to: lent, slot: LENT });
    }

    fn load(&mut self, to: Reg, from: Source) {
        let get = |loc| match loc {
            Loc::Reg(from) => Edit::Move { to, from },
            Loc::Slot(slot) => Edit::Reload { to, slot },
        };
        match from {
            Source::Loc(loc) => self.out.push(get(loc)),
            Source::Off(loc, imm) => {
                if loc != Loc::Reg(to) {
                    self.out.push(get(loc));
                }
                if imm != 0 {
                    self.out.push(Edit::Add { reg: to, imm });
                }
            }
            Source::Const(value) => self.out.push(Edit::Make { to, value }),
        }
    }
}
