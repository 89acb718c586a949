//! Register allocation.
//!
//! One pass over the blocks in reverse postorder, keeping track of which value each register holds. When registers
//! run out, the value whose next use is farthest away goes (Belady's rule on global next-use distances, as in Braun
//! and Hack, "Register Spilling and Live-Range Splitting for SSA-Form Programs", 2009). A value may so live in
//! several registers one after another, and in memory: it is stored once, where it is defined, so its slot is valid
//! wherever it is live. Constants are never stored but made again.
//!
//! A call empties `R0`–`R5`. What lives on is moved to `R6`–`R9` in the same parallel move that brings the
//! arguments into place; values that will live across a call are given one of `R6`–`R9` from the start if one is
//! free. Values wanted in a certain register (arguments, block parameters, the result) are defined there if it is
//! free. Blocks begin with the registers as one predecessor left them; on the other edges moves make up for the
//! difference.
//!
//! The result is judged by [`check`], which shares nothing with the allocator but the types.

mod assign;
pub mod check;
mod choose;
mod edges;
mod joins;
mod liveness;
mod moves;
mod print;

pub use check::{CheckError, check};
pub use print::text;

use crate::mir::{self, Const};
use ebpf_asm::Reg;

/// A spill slot: 8 bytes of stack below the function's own slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpillSlot(pub u32);

/// An instruction added by the allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// `to = from`
    Move {
        /// Destination.
        to: Reg,
        /// Source.
        from: Reg,
    },
    /// `slot = from`
    Spill {
        /// Destination.
        slot: SpillSlot,
        /// Source.
        from: Reg,
    },
    /// `to = slot`
    Reload {
        /// Destination.
        to: Reg,
        /// Source.
        slot: SpillSlot,
    },
    /// `to = value`
    Make {
        /// Destination.
        to: Reg,
        /// What.
        value: Const,
    },
    /// `slot = imm`
    SpillImm {
        /// Destination.
        slot: SpillSlot,
        /// What, sign-extended.
        imm: i32,
    },
    /// `reg += imm`
    Add {
        /// Register.
        reg: Reg,
        /// What.
        imm: i32,
    },
}

/// Registers of one instruction or terminator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Operands {
    /// Registers of the uses, in order of `for_each_use`; unused for calls, jumps and returns, whose places are fixed.
    pub uses: [Option<Reg>; 4],
    /// Register of the result.
    pub def: Option<Reg>,
}

/// What was decided for one block.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct BlockAllocation {
    /// One per instruction, and one for the terminator.
    pub operands: Vec<Operands>,
    /// Added instructions, sorted by [`Point`].
    pub edits: Vec<(Point, Edit)>,
}

/// A place between instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point(u32);

impl Point {
    /// At the head of a block: moves of the edge that leads there.
    pub const HEAD: Point = Point(0);
    /// Behind the head: where parameters are stored.
    pub const PARAMS: Point = Point(1);

    /// Before instruction `i`; the terminator counts as the last.
    pub fn before(i: usize) -> Point {
        Point(2 * i as u32 + 2)
    }

    /// Behind instruction `i`.
    pub fn after(i: usize) -> Point {
        Point(2 * i as u32 + 3)
    }
}

/// Where everything is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// One per block.
    pub blocks: Vec<BlockAllocation>,
    /// How many spill slots there are.
    pub spill_slots: u32,
    /// Figures.
    pub stats: Stats,
}

/// What the allocator added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stats {
    /// Values that have a spill slot.
    pub spilled: u32,
    /// Register-to-register moves.
    pub moves: u32,
    /// Loads from spill slots.
    pub reloads: u32,
}

impl Allocation {
    /// Frame offset of a spill slot in a function whose slots take `frame` bytes.
    pub fn spill_offset(frame: u32, slot: SpillSlot) -> i32 {
        -((frame + 8 * (slot.0 + 1)) as i32)
    }

    /// Bytes of stack of the whole frame.
    pub fn stack_bytes(&self, f: &mir::Function) -> u32 {
        f.frame + 8 * self.spill_slots
    }
}

/// Why there is no allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllocError {
    /// The function is not in the form that [`mir`] describes: a bug of whoever made it.
    Malformed(String),
}

impl std::fmt::Display for AllocError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AllocError::Malformed(what) => write!(f, "malformed machine code: {what}"),
        }
    }
}

impl std::error::Error for AllocError {}

/// Allocates registers. It always succeeds for well-formed functions; whether the spill slots fit on the stack is
/// for the caller to see.
///
/// # Errors
/// If the function is malformed.
pub fn allocate(f: &mir::Function) -> Result<Allocation, AllocError> {
    let cfg = f.cfg();
    if f.blocks.is_empty() || cfg.rpo.len() != f.blocks.len() {
        return Err(AllocError::Malformed("a block is not reachable".to_string()));
    }
    if !cfg.preds(0).is_empty() {
        return Err(AllocError::Malformed("the entry is jumped to".to_string()));
    }
    if f.blocks[0].params.len() > 5 {
        return Err(AllocError::Malformed("more than five parameters".to_string()));
    }
    let consts = f.consts();
    let movable = |arg: &mir::Arg| match arg {
        mir::Arg::Off(v, off) => consts[v.index()].is_none_or(|c| edges::shifted(c, *off).is_some()),
        mir::Arg::Reg(_) | mir::Arg::Const(_) => true,
    };
    for (b, block) in f.blocks.iter().enumerate() {
        let n = cfg.succs(b).len();
        let args: &[mir::Arg] = match &block.term {
            mir::Term::Jump { args, .. } => args,
            mir::Term::Exit(arg) => std::slice::from_ref(arg),
            mir::Term::Branch { .. } => &[],
        };
        let calls = block.insts.iter().filter_map(|n| match &n.inst {
            mir::Inst::Call { args, .. } => Some(args),
            _ => None,
        });
        if !args.iter().chain(calls.flatten()).all(movable) {
            return Err(AllocError::Malformed(format!("an address in b{b} is no constant")));
        }
        for to in block.term.targets() {
            if n > 1 && cfg.preds(to.index()).len() > 1 {
                return Err(AllocError::Malformed(format!("the edge from b{b} to {to} is critical")));
            }
            let args = if let mir::Term::Jump { args, .. } = &block.term { args.len() } else { 0 };
            if args != f.blocks[to.index()].params.len() {
                return Err(AllocError::Malformed(format!("{to} is given {args} arguments by b{b}")));
            }
        }
        for node in &block.insts {
            if let mir::Inst::Call { args, .. } = &node.inst
                && args.len() > 5
            {
                return Err(AllocError::Malformed(format!("a call in b{b} has {} arguments", args.len())));
            }
        }
    }
    Ok(assign::Assigner::new(f, &cfg).run())
}
