//! What kernel versions judge differently, as data.
//!
//! The simulation follows the newest kernel; a change listed here is applied where the profile's version has it, and
//! the older behaviour is taken where it has not. Distributions run stable kernels, which took over many changes long
//! after their first release: a version stands for the last of its stable series (5.10.223, 6.1.176, 6.12.107,
//! 6.18.44…), and `since` is the first series that has the change by now.

use bpf_facts::V;

/// A change in the verifier's judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Change {
    /// Loads and stores through stack pointers with a variable offset.
    VariableStackOffset,
    /// Scalars narrower than 8 bytes are tracked when spilled.
    NarrowSpills,
    /// Reading stack that was never written is allowed to the privileged.
    UninitStack,
    /// The same for stack below all that was written.
    DeepUninitStack,
    /// Products of unknown bits are tracked by summing masks.
    MulMaskSum,
    /// Products of unknown bits are tracked as unions of partial sums.
    MulPartialSums,
    /// Any scalar is tracked when spilled, zero and unknown ones too, and may be filled in part.
    WholeScalarSpills,
    /// Comparison of two unknown registers narrows both.
    RegRegRefine,
    /// `==` and `!=` are decided by ranges, and comparisons of a constant with a register like the reverse.
    EqualByRange,
    /// A 32-bit move of a value that has no high half links both registers.
    LinkNarrowMoves,
    /// 64-bit bounds are refined from 32-bit ones and back.
    MixedBounds,
    /// Signed and unsigned ranges that overlap in one place are intersected there.
    CrossSignBounds,
    /// Negation keeps its range.
    NegRange,
    /// Signed products keep their range.
    MulSignedRange,
    /// `and` and `or` of a value that is 0 or -1 are verified for both.
    ForkScalars,
    /// Division and modulo by a constant keep their range.
    DivRange,
    /// Byte swaps keep what is known of the bits.
    SwapBits,
    /// `and`, `or`, `xor` derive signed bounds from unsigned ones whatever the signs were, and products, `or` and `xor`
    /// of two unknown values are computed.
    BitwiseSignedFromUnsigned,
    /// A register equal to another plus a constant follows the other's bounds.
    LinkedOffsets,
    /// The same for differences, negative constants and 32-bit sums.
    LinkedSums,
    /// A pointer compared with one known not to be NULL is not NULL where they are equal.
    EqualPointersNotNull,
    /// `get_smp_processor_id` returns less than the number of CPUs.
    SmpIdRange,
    /// Stack that a helper only reads keeps what is known of it.
    HelperReadsKeepStack,
    /// Looking up a constant index that an array has does not return NULL.
    ConstantKeys,
    /// Sums and differences whose range wraps as a whole keep it.
    WholeWraps,
    /// Bits and a range that have one value in common are that value.
    SingleMember,
    /// Callbacks are walked as often as they find something new; before, once.
    CallbackLoops,
    /// Frames count in multiples of 16 bytes; before, of 32.
    SmallFrames,
    /// Comparisons of a register with itself are decided.
    SameRegister,
    /// What is sign-extended keeps the signed range of its low half, where that fits. Seen in 6.18.44, not in 7.3.4.
    SextOfLowHalf,
    /// What an object points to is not trusted where nothing is known of the object itself. Seen in 6.18.44, not in 7.3.4.
    UntrustedFromPlain,
    /// Slices of dynptrs end when their buffer in the stack is written to. Seen in 6.18.44, not in 7.3.4.
    SlicesOfBuffers,
}

/// One row: the change, and the first version that has it.
pub(crate) struct ChangeDef {
    pub(crate) change: Change,
    pub(crate) since: V,
    /// The first that was seen without it again.
    until: Option<V>,
}

const fn row(change: Change, major: u16, minor: u16) -> ChangeDef {
    ChangeDef { change, since: V(major, minor), until: None }
}

/// Every change, in order of the enum.
pub(crate) static CHANGES: &[ChangeDef] = &[
    row(Change::VariableStackOffset, 5, 10),
    row(Change::NarrowSpills, 5, 10),
    row(Change::UninitStack, 5, 10),
    row(Change::DeepUninitStack, 6, 8),
    row(Change::MulMaskSum, 5, 14),
    row(Change::MulPartialSums, 6, 18),
    row(Change::WholeScalarSpills, 6, 9),
    row(Change::RegRegRefine, 6, 8),
    row(Change::EqualByRange, 6, 4),
    row(Change::LinkNarrowMoves, 6, 8),
    row(Change::MixedBounds, 6, 8),
    row(Change::CrossSignBounds, 6, 12),
    row(Change::NegRange, 6, 17),
    row(Change::MulSignedRange, 6, 14),
    row(Change::ForkScalars, 6, 12),
    row(Change::DivRange, 7, 0),
    row(Change::SwapBits, 6, 18),
    row(Change::BitwiseSignedFromUnsigned, 6, 10),
    row(Change::LinkedOffsets, 6, 10),
    row(Change::LinkedSums, 6, 18),
    row(Change::EqualPointersNotNull, 6, 2),
    row(Change::SmpIdRange, 6, 12),
    row(Change::HelperReadsKeepStack, 6, 14),
    row(Change::ConstantKeys, 6, 14),
    row(Change::WholeWraps, 6, 17),
    row(Change::SingleMember, 6, 18),
    row(Change::CallbackLoops, 6, 6),
    row(Change::SmallFrames, 6, 8),
    row(Change::SameRegister, 7, 0),
    ChangeDef { change: Change::SextOfLowHalf, since: V(6, 18), until: Some(V(6, 19)) },
    ChangeDef { change: Change::UntrustedFromPlain, since: V(6, 18), until: Some(V(6, 19)) },
    ChangeDef { change: Change::SlicesOfBuffers, since: V(6, 18), until: Some(V(6, 19)) },
];

/// The changes a kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Era(u64);

impl Era {
    /// Those of `version`.
    pub(crate) fn of(version: V) -> Era {
        let has =
            CHANGES.iter().filter(|def| def.since <= version && def.until.is_none_or(|end| version < end));
        Era(has.fold(0, |bits, def| bits | 1 << def.change as u64))
    }

    /// Whether it has `change`.
    pub(crate) fn has(self, change: Change) -> bool {
        self.0 & 1 << change as u64 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_order_of_the_enum() {
        for (i, def) in CHANGES.iter().enumerate() {
            assert_eq!(def.change as usize, i);
        }
        assert!(CHANGES.len() <= 64);
    }

    #[test]
    fn newer_kernels_have_what_older_ones_have() {
        let versions = [V(5, 10), V(5, 15), V(6, 1), V(6, 6), V(6, 12), V(6, 18), V(7, 3)];
        let lost = CHANGES.iter().filter(|def| def.until.is_some());
        let lost = lost.fold(0, |bits, def| bits | 1 << def.change as u64);
        for pair in versions.windows(2) {
            assert_eq!(Era::of(pair[0]).0 & !Era::of(pair[1]).0 & !lost, 0);
        }
    }
}
