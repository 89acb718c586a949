//! Loops that never end.

use super::Rule;

/// The state is the same as one on the way here.
pub(crate) fn endless() -> Box<crate::Stop> {
    Rule::BoundedLoop.reject(&[], "the loop never ends: nothing changes from one round to the next")
}
