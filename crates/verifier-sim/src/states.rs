//! The states the walk went through, for judging it by concrete runs.

use crate::state::{Byte, Frame, Kind, RegState};
use ebpf_asm::InsnIdx;
use std::fmt;

/// Abstract states by instruction, before it.
#[derive(Clone, Debug)]
pub struct States {
    at: Vec<Vec<Frame>>,
    /// By instruction, the registers that are read from there on, one bit each.
    live: Vec<u16>,
}

/// What a machine holds before an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// `R0` to `R10`; pointers as the machine has them.
    pub regs: [u64; 11],
    /// The running frame's stack, the byte at `R10 - 1` first.
    pub stack: Vec<u8>,
}

/// Why a snapshot fits none of the states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The instruction.
    pub at: InsnIdx,
    /// One line per state.
    pub why: Vec<String>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "before instruction {} the machine is in none of {} states", self.at.0, self.why.len())?;
        for why in &self.why {
            write!(f, "\n  {why}")?;
        }
        Ok(())
    }
}

impl States {
    pub(crate) fn new(live: Vec<u16>) -> States {
        States { at: vec![Vec::new(); live.len()], live }
    }

    pub(crate) fn record(&mut self, at: InsnIdx, frame: &Frame) {
        if let Some(list) = self.at.get_mut(at.0 as usize) {
            list.push(frame.clone());
        }
    }

    /// How many states were seen before an instruction.
    pub fn len_at(&self, at: InsnIdx) -> usize {
        self.at.get(at.0 as usize).map_or(0, Vec::len)
    }

    /// Whether one of the states before `at` holds `concrete`.
    ///
    /// Only numbers are compared, and only in registers that are read from there on: where a state says pointer, any
    /// value will do.
    ///
    /// # Errors
    /// Why each of the states does not hold it.
    pub fn admits(&self, at: InsnIdx, concrete: &Snapshot) -> Result<(), Mismatch> {
        let live = self.live.get(at.0 as usize).copied().unwrap_or(0);
        let mut why = Vec::new();
        for frame in self.at.get(at.0 as usize).into_iter().flatten() {
            match fits(frame, concrete, live) {
                Ok(()) => return Ok(()),
                Err(reason) => why.push(reason),
            }
        }
        Err(Mismatch { at, why })
    }
}

fn fits(frame: &Frame, concrete: &Snapshot, live: u16) -> Result<(), String> {
    for (i, (reg, v)) in frame.regs.iter().zip(concrete.regs).enumerate() {
        let counts = live & 1 << i != 0;
        if counts && !holds(reg, v) {
            return Err(format!("r{i} is {v:#x}, not {reg}"));
        }
    }
    for (i, slot) in frame.stack.iter().enumerate() {
        let Some(bytes) = concrete.stack.get(i * 8..i * 8 + 8) else { break };
        for (byte, v) in slot.bytes.iter().zip(bytes) {
            if *byte == Byte::Zero && *v != 0 {
                return Err(format!("a byte of fp-{} is {v:#x}, not 0", (i + 1) * 8));
            }
        }
        if slot.bytes[0] == Byte::Spill {
            // The bytes run downwards: the last is the lowest.
            let v = bytes.iter().fold(0u64, |v, b| v << 8 | u64::from(*b));
            if !holds(&slot.reg, v) {
                return Err(format!("fp-{} is {v:#x}, not {}", (i + 1) * 8, slot.reg));
            }
        }
    }
    Ok(())
}

fn holds(reg: &RegState, v: u64) -> bool {
    match reg.kind {
        Kind::Scalar => reg.val.contains(v),
        _ if reg.flags.has(crate::state::Flags::MAYBE_NULL) => true,
        _ => true,
    }
}
