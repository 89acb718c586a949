//! Building a program front to back, with labels for what is not there yet.

use crate::insn::{Callee, Cond, Imm64, Insn, InsnIdx, Operand, Program, Reg, SrcLoc, Width};
use std::fmt;

/// A place in the program being built, known or not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(u32);

/// A label that [`Assembler::finish`] cannot resolve: a fault of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssembleError {
    /// Used, but never bound.
    Unbound {
        /// The label.
        label: Label,
        /// First instruction that uses it.
        used_by: InsnIdx,
    },
    /// Used, and bound behind the last instruction.
    AtEnd {
        /// The label.
        label: Label,
        /// First instruction that uses it.
        used_by: InsnIdx,
    },
}

impl fmt::Display for AssembleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (label, at, what) = match self {
            AssembleError::Unbound { label, used_by } => (label, used_by, "is never bound"),
            AssembleError::AtEnd { label, used_by } => (label, used_by, "is behind the last instruction"),
        };
        write!(f, "label {} of instruction {} {what}", label.0, at.0)
    }
}

impl std::error::Error for AssembleError {}

/// A program being built.
#[derive(Clone, Debug, Default)]
pub struct Assembler {
    program: Program,
    labels: Vec<Option<InsnIdx>>,
    uses: Vec<(InsnIdx, Label)>,
    loc: Option<SrcLoc>,
}

impl Assembler {
    /// An empty program.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new label, not bound yet.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(u32::try_from(self.labels.len() - 1).unwrap_or(u32::MAX))
    }

    /// Binds `label` to the next instruction.
    ///
    /// # Panics
    /// If it is bound already or belongs to another assembler.
    pub fn bind(&mut self, label: Label) {
        let here = self.here();
        let bound = self.labels[label.0 as usize].replace(here);
        assert!(bound.is_none(), "label {} is bound twice", label.0);
    }

    /// Index of the next instruction.
    pub fn here(&self) -> InsnIdx {
        InsnIdx(u32::try_from(self.program.insns.len()).unwrap_or(u32::MAX))
    }

    /// What follows comes from `loc`.
    pub fn set_loc(&mut self, loc: SrcLoc) {
        self.loc = Some(loc);
    }

    /// Appends an instruction. Targets it has are taken as they stand.
    pub fn push(&mut self, insn: Insn) -> InsnIdx {
        let at = self.here();
        if let Some(loc) = self.loc.take()
            && self.program.locs.last().is_none_or(|(_, last)| *last != loc)
        {
            self.program.locs.push((at, loc));
        }
        self.program.insns.push(insn);
        at
    }

    /// Appends `goto label`.
    pub fn jump(&mut self, label: Label) -> InsnIdx {
        self.push_to(Insn::Jump { to: InsnIdx::default() }, label)
    }

    /// Appends `if lhs cond rhs goto label`.
    pub fn jump_if(&mut self, w: Width, cond: Cond, lhs: Reg, rhs: Operand, label: Label) -> InsnIdx {
        self.push_to(Insn::JumpIf { w, cond, lhs, rhs, to: InsnIdx::default() }, label)
    }

    /// Appends `may_goto label`.
    pub fn may_goto(&mut self, label: Label) -> InsnIdx {
        self.push_to(Insn::MayGoto { to: InsnIdx::default() }, label)
    }

    /// Appends a call of the subprogram at `label`.
    pub fn call_local(&mut self, label: Label) -> InsnIdx {
        self.push_to(Insn::Call(Callee::Local(InsnIdx::default())), label)
    }

    /// Appends a load of the address of the subprogram at `label`.
    pub fn load_func(&mut self, dst: Reg, label: Label) -> InsnIdx {
        self.push_to(Insn::LoadImm64 { dst, imm: Imm64::Func(InsnIdx::default()) }, label)
    }

    fn push_to(&mut self, insn: Insn, label: Label) -> InsnIdx {
        let at = self.push(insn);
        self.uses.push((at, label));
        at
    }

    /// The finished program.
    ///
    /// # Errors
    /// Names a label that is used but leads nowhere.
    pub fn finish(mut self) -> Result<Program, AssembleError> {
        let end = self.here();
        for (used_by, label) in self.uses {
            let to = match self.labels.get(label.0 as usize).copied().flatten() {
                Some(to) if to < end => to,
                Some(_) => return Err(AssembleError::AtEnd { label, used_by }),
                None => return Err(AssembleError::Unbound { label, used_by }),
            };
            if let Some(target) = self.program.insns[used_by.0 as usize].target_mut() {
                *target = to;
            }
        }
        Ok(self.program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_become_targets() {
        let mut asm = Assembler::new();
        let (top, out) = (asm.label(), asm.label());
        asm.bind(top);
        asm.jump_if(Width::W64, Cond::Eq, Reg::R1, Operand::Imm(0), out);
        asm.jump(top);
        asm.bind(out);
        asm.push(Insn::Exit);
        let program = asm.finish().expect("all labels are bound");
        assert_eq!(program.insns[0].target(), Some(InsnIdx(2)));
        assert_eq!(program.insns[1].target(), Some(InsnIdx(0)));
    }

    #[test]
    fn labels_that_lead_nowhere() {
        let mut asm = Assembler::new();
        let label = asm.label();
        let used_by = asm.jump(label);
        let mut bound = asm.clone();
        assert_eq!(asm.finish(), Err(AssembleError::Unbound { label, used_by }));
        bound.bind(label);
        assert_eq!(bound.finish(), Err(AssembleError::AtEnd { label, used_by }));
    }

    #[test]
    fn locations_are_kept_where_they_change() {
        let mut asm = Assembler::new();
        asm.push(Insn::Exit);
        asm.set_loc(SrcLoc(7));
        asm.push(Insn::Exit);
        asm.set_loc(SrcLoc(7));
        asm.push(Insn::Exit);
        asm.set_loc(SrcLoc(8));
        asm.push(Insn::Exit);
        let program = asm.finish().expect("no labels");
        assert_eq!(program.locs, [(InsnIdx(1), SrcLoc(7)), (InsnIdx(3), SrcLoc(8))]);
        assert_eq!(program.loc(InsnIdx(0)), None);
        assert_eq!(program.loc(InsnIdx(2)), Some(SrcLoc(7)));
    }
}
