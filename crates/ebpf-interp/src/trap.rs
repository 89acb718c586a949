//! Why a run ended before its end.

use crate::memory::Fault;
use bpf_facts::HelperId;
use ebpf_asm::{Imm64, InsnIdx};
use std::fmt;

/// A run that could not go on. The fault is the program's: one that a verifier accepts never gets here, but for
/// [`Fuel`](TrapKind::Fuel) and what is not simulated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// The instruction that could not be executed.
    pub at: InsnIdx,
    /// Why.
    pub kind: TrapKind,
}

/// Why an instruction could not be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrapKind {
    /// Memory that is not there, or not as the program wants it.
    Access(Fault),
    /// Ran longer than allowed.
    Fuel,
    /// More than eight frames, callbacks included.
    CallDepth,
    /// Went beyond the last instruction.
    RanOff,
    /// Writes the frame pointer.
    FramePointer,
    /// A map, variable or function that nobody gave an address.
    Unresolved(Imm64),
    /// Calls a helper that is not simulated.
    Helper(HelperId),
    /// A helper cannot do what it is asked to.
    Refused(HelperId, &'static str),
    /// Calls a kernel function, by its BTF id.
    Kfunc(u32),
    /// An instruction that needs what is not simulated.
    Unsupported(&'static str),
    /// No fault: the run goes on as this program of the kernel, with the same context.
    TailCall(usize),
    /// Not the address of a function.
    NoFunction(u64),
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instruction {}: {}", self.at.0, self.kind)
    }
}

impl fmt::Display for TrapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |id: &HelperId| match bpf_facts::helper(*id) {
            Some(def) => format!("bpf_{}", def.name),
            None => format!("number {}", id.0),
        };
        match self {
            TrapKind::Access(fault) => write!(f, "{fault}"),
            TrapKind::Fuel => f.write_str("runs too long"),
            TrapKind::CallDepth => f.write_str("more than 8 nested calls"),
            TrapKind::RanOff => f.write_str("there is no such instruction"),
            TrapKind::FramePointer => f.write_str("r10 is read-only"),
            TrapKind::Unresolved(imm) => write!(f, "nothing is behind {imm:?}"),
            TrapKind::Helper(id) => write!(f, "helper {} is not simulated", name(id)),
            TrapKind::Refused(id, why) => write!(f, "helper {}: {why}", name(id)),
            TrapKind::Kfunc(id) => write!(f, "kernel function with BTF id {id} is not simulated"),
            TrapKind::Unsupported(what) => write!(f, "{what} not simulated"),
            TrapKind::TailCall(_) => f.write_str("goes on as another program"),
            TrapKind::NoFunction(address) => write!(f, "there is no function at {address:#x}"),
        }
    }
}

impl std::error::Error for Trap {}
