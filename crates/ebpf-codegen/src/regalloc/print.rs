//! An allocation as text: the machine code with registers beside it.

use super::{Allocation, Edit, Operands, Point, SpillSlot};
use crate::mir::Function;
use std::fmt::{self, Display, Formatter, Write as _};

impl Display for SpillSlot {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "spill{}", self.0)
    }
}

impl Display for Edit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Edit::Move { to, from } => write!(f, "r{} = r{}", to.index(), from.index()),
            Edit::Spill { slot, from } => write!(f, "{slot} = r{}", from.index()),
            Edit::Reload { to, slot } => write!(f, "r{} = {slot}", to.index()),
            Edit::Make { to, value } => write!(f, "r{} = {value}", to.index()),
            Edit::SpillImm { slot, imm } => write!(f, "{slot} = {imm}"),
            Edit::Add { reg, imm } => write!(f, "r{} += {imm}", reg.index()),
        }
    }
}

/// The function with the instructions that were added (`+`), and the registers of the others.
pub fn text(f: &Function, allocation: &Allocation) -> String {
    let mut out = String::new();
    write(&mut out, f, allocation).expect("writing to a string succeeds");
    out
}

fn write(out: &mut String, f: &Function, allocation: &Allocation) -> fmt::Result {
    writeln!(out, "mfn {:?} frame {} spills {} {{", f.name, f.frame, allocation.spill_slots)?;
    for (b, block) in f.blocks.iter().enumerate() {
        write!(out, "b{b}")?;
        if !block.params.is_empty() {
            let params: Vec<String> = block.params.iter().map(ToString::to_string).collect();
            write!(out, "({})", params.join(", "))?;
        }
        writeln!(out, "{}:", if block.cold { " cold" } else { "" })?;
        let alloc = &allocation.blocks[b];
        let mut edits = alloc.edits.iter().peekable();
        let mut up_to = |out: &mut String, point: Point| -> fmt::Result {
            while let Some((_, edit)) = edits.next_if(|e| e.0 <= point) {
                writeln!(out, "  + {edit}")?;
            }
            Ok(())
        };
        for (i, node) in block.insts.iter().enumerate() {
            up_to(out, Point::before(i))?;
            writeln!(out, "    {}{}", node.inst, Regs(&alloc.operands[i]))?;
            up_to(out, Point::after(i))?;
        }
        let n = block.insts.len();
        up_to(out, Point::before(n))?;
        writeln!(out, "    {}{}", block.term, Regs(&alloc.operands[n]))?;
    }
    writeln!(out, "}}")
}

struct Regs<'a>(&'a Operands);

impl Display for Regs<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.def.is_none() && self.0.uses.iter().all(Option::is_none) {
            return Ok(());
        }
        f.write_str("  ;")?;
        if let Some(def) = self.0.def {
            write!(f, " r{} <-", def.index())?;
        }
        for r in self.0.uses.iter().flatten() {
            write!(f, " r{}", r.index())?;
        }
        Ok(())
    }
}
