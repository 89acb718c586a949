//! Code that never runs.

use super::Rule;

/// No path leads to the instruction.
pub(crate) fn unreachable() -> Box<crate::Stop> {
    Rule::Reachable.reject(&[], "no path leads to this instruction")
}
