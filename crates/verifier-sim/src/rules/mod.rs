//! What a program must not do: one file per assertion. The meaning of instructions is in `transfer`.

use crate::Stop;
use ebpf_asm::Reg;
use std::fmt;

pub(crate) mod alignment;
pub(crate) mod argument;
pub(crate) mod argument_length;
pub(crate) mod atomic_target;
pub(crate) mod bounded_loop;
pub(crate) mod callback;
pub(crate) mod constant_operand;
pub(crate) mod context_access;
pub(crate) mod format_string;
pub(crate) mod frame_pointer;
pub(crate) mod helper_allowed;
pub(crate) mod initialised_stack;
pub(crate) mod instruction_known;
pub(crate) mod jump_target;
pub(crate) mod kernel_object;
pub(crate) mod lock;
pub(crate) mod map_helper;
pub(crate) mod map_use;
pub(crate) mod memory_bounds;
pub(crate) mod null_check;
pub(crate) mod one_pointer_kind;
pub(crate) mod packet_bounds;
pub(crate) mod pointer_arithmetic;
pub(crate) mod pointer_kind;
pub(crate) mod reachable;
pub(crate) mod readable_register;
pub(crate) mod reference;
pub(crate) mod return_value;
pub(crate) mod spill_size;
pub(crate) mod stack_bounds;
pub(crate) mod stack_depth;
pub(crate) mod tail_call;
pub(crate) mod writable_memory;

/// Result of a check.
pub(crate) type Check<T = ()> = Result<T, Box<Stop>>;

macro_rules! rules {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// The assertions. Names are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Rule {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &[Rule] = &[$(Rule::$variant,)*];

            /// Its name, as goldens and `hark explain` write it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Rule::$variant => $name,)*
                }
            }

            /// What it demands.
            pub fn doc(self) -> &'static str {
                match self {
                    $(Rule::$variant => concat!($($doc, "\n",)*),)*
                }
            }
        }
    };
}

rules! {
    /// Loads and stores through a spilled pointer's bytes, or of a part of a pointer, are not allowed.
    SpillSize = "spill-size",
    /// Stack accesses, and atomic ones, are aligned to their size.
    Alignment = "alignment",
    /// A tracing program is attached to something the kernel has and lets be traced.
    AttachTarget = "attach-target",
    /// A helper's argument must be of the kind it asks for.
    Argument = "argument",
    /// A length given to a helper must be bounded, and not be negative.
    ArgumentLength = "argument-length",
    /// Atomic operations work on plain memory only.
    AtomicTarget = "atomic-target",
    /// Every loop must come to an end.
    BoundedLoop = "bounded-loop",
    /// A callback must be a static function with type information, and return 0 or 1.
    Callback = "callback",
    /// The verifier gives up on programs with too many paths, calls or instructions.
    Complexity = "complexity",
    /// Division by the constant 0 and shifts by more than the width are refused.
    ConstantOperand = "constant-operand",
    /// The context is read and written only where its program type allows.
    ContextAccess = "context-access",
    /// `r10` is read-only.
    FramePointer = "frame-pointer",
    /// The kernel must have the helper and allow it to this program type and licence.
    HelperAllowed = "helper-allowed",
    /// Stack must be written before it is read.
    InitialisedStack = "initialised-stack",
    /// The kernel must know the instruction.
    InstructionKnown = "instruction-known",
    /// Jumps stay inside of their function, which ends with an exit or a jump.
    JumpTarget = "jump-target",
    /// Kernel objects are read where their type has a field.
    KernelObject = "kernel-object",
    /// Functions of the kernel take what their types say, trusted, from programs that may call them.
    Kfunc = "kfunc",
    /// A lock is taken once, given back, and little is called in between.
    Lock = "lock",
    /// Helpers take certain types of maps.
    MapHelper = "map-helper",
    /// Some maps cannot be used by some program types.
    MapUse = "map-use",
    /// Accesses stay inside of map values, keys, records and buffers.
    MemoryBounds = "memory-bounds",
    /// A pointer that may be NULL must be compared with 0 before it is used.
    NullCheck = "null-check",
    /// One instruction cannot access different kinds of memory on different paths.
    OnePointerKind = "one-pointer-kind",
    /// Packet accesses are compared with the packet's end before.
    PacketBounds = "packet-bounds",
    /// Pointers are added to and subtracted from only, within limits.
    PointerArithmetic = "pointer-arithmetic",
    /// Only pointers can be loaded from and stored to.
    PointerKind = "pointer-kind",
    /// Every instruction must be reachable.
    Reachable = "reachable",
    /// A register must be written before it is read.
    ReadableRegister = "readable-register",
    /// What is acquired must be released, once.
    Reference = "reference",
    /// The result must lie in the range that the program type demands.
    ReturnValue = "return-value",
    /// Accesses stay inside of the 512 bytes of stack.
    StackBounds = "stack-bounds",
    /// All frames together have 512 bytes of stack, and calls nest 8 deep.
    StackDepth = "stack-depth",
    /// Read-only memory cannot be written to.
    WritableMemory = "writable-memory",
}

impl Rule {
    /// The rule is broken, by these registers.
    pub(crate) fn reject(self, regs: &[Reg], message: impl Into<String>) -> Box<Stop> {
        Box::new(Stop::Reject { rule: self, regs: regs.to_vec(), message: message.into() })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A register's name.
pub(crate) fn name(r: Reg) -> String {
    format!("r{}", r.index())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = Rule::ALL.iter().map(|r| r.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Rule::ALL.len());
    }
}
