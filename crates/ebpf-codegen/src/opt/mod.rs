//! The optimiser: passes over one function, as a table.

mod branch_fold;
mod const_fold;
mod dce;
mod dead_stores;
mod fold;
mod gvn;
mod load_forward;
mod memory;
mod merge_slots;
mod merge_stores;
mod params;
mod ranges;
mod reuse_lookups;
mod rewrite;
mod run_loops;
mod sccp;
mod sink;
mod tail_merge;
mod unused;

use crate::ir::Function;
use crate::ir::validate::validate;
use bpf_facts::KernelProfile;

pub use unused::without_unused;

/// What passes may look at, and which of them run.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    /// The kernel.
    pub profile: &'a KernelProfile,
    /// Names of passes to leave out; `all` for every one.
    pub disabled: &'a [String],
}

impl Plan<'_> {
    fn runs(&self, pass: &str) -> bool {
        !self.disabled.iter().any(|d| d == pass || d == "all")
    }
}

/// A pass.
pub struct Pass {
    /// Name: a verb with `-`.
    pub name: &'static str,
    /// What it does, in one line.
    pub what: &'static str,
    /// Does it; true if anything changed.
    pub run: fn(&mut Function, &Plan<'_>) -> bool,
}

/// The passes in the order they run. Those from the first to [`LAST_REPEATED`] run again while they change
/// something.
pub static PASSES: &[Pass] = &[
    // One to a line.
    params::PASS,
    sccp::PASS,
    const_fold::PASS,
    run_loops::PASS,
    branch_fold::PASS,
    gvn::PASS,
    load_forward::PASS,
    merge_slots::PASS,
    reuse_lookups::PASS,
    dead_stores::PASS,
    ranges::PASS,
    dce::PASS,
    merge_stores::PASS,
    sink::PASS,
    tail_merge::PASS,
];

/// The end of the group that is repeated.
const LAST_REPEATED: &str = "dce";

/// How often the group is repeated at most; what is left then is left.
const MAX_ROUNDS: usize = 4;

/// `(earlier, later, why)`: constraints that [`PASSES`] keeps.
pub static ORDER: &[(&str, &str, &str)] = &[
    ("sccp", "branch-fold", "what cannot run is taken away by it"),
    ("simplify-params", "const-fold", "a parameter that is always the same value may be a constant"),
    ("sccp", "run-loops", "a loop is run once what it starts from is seen to be constant"),
    ("run-loops", "branch-fold", "the loop that is passed by is taken away by it"),
    ("const-fold", "branch-fold", "branches on constants are seen after the constants"),
    ("branch-fold", "gvn", "fewer blocks mean more dominance"),
    ("gvn", "load-forward", "equal addresses are one value"),
    ("load-forward", "dead-stores", "a store is dead once its loads are gone"),
    ("load-forward", "ranges", "what is loaded again is known better as what was stored"),
    ("gvn", "merge-slots", "equal contents are equal values"),
    ("load-forward", "merge-slots", "a slot that is never loaded from is only a key"),
    ("merge-slots", "reuse-lookups", "equal keys are in one slot"),
    ("reuse-lookups", "ranges", "the second result is compared with NULL again"),
    ("dead-stores", "merge-stores", "zeroing is narrowed before it is taken apart"),
    ("dce", "sink", "dead users would keep values up"),
    ("gvn", "sink", "equal computations in several branches are shared above them first"),
    ("branch-fold", "tail-merge", "blocks must have their last form to be alike"),
    ("gvn", "dce", "what was found equal is left unused"),
];

/// What a pass did, over all rounds and functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassStats {
    /// The pass.
    pub name: &'static str,
    /// How often it ran.
    pub runs: u32,
    /// How often it changed something.
    pub changes: u32,
    /// IR instructions it removed (negative: added).
    pub removed: i64,
}

/// Is told of every pass that ran.
pub trait Trace {
    /// Called before a pass.
    fn before(&mut self, pass: &'static str, f: &Function);
    /// Called after a pass.
    fn after(&mut self, pass: &'static str, f: &Function, changed: bool);
}

/// Keeps figures, and the IR after the passes asked for.
pub struct Log {
    wanted: Option<String>,
    texts: Vec<(String, String)>,
    times: Vec<PassStats>,
    size: usize,
}

impl Log {
    /// Texts are kept after the pass of this name, or after all for `all`.
    pub fn new(wanted: Option<String>) -> Self {
        Self { wanted, texts: Vec::new(), times: Vec::new(), size: 0 }
    }

    /// Figures, in order of the first run.
    pub fn times(&self) -> Vec<PassStats> {
        self.times.clone()
    }

    /// The texts kept.
    pub fn into_texts(self) -> Vec<(String, String)> {
        self.texts
    }
}

fn size(f: &Function) -> usize {
    f.blocks.iter().map(|b| b.insts.len() + 1).sum()
}

impl Trace for Log {
    fn before(&mut self, _: &'static str, f: &Function) {
        self.size = size(f);
    }

    fn after(&mut self, pass: &'static str, f: &Function, changed: bool) {
        if self.wanted.as_deref().is_some_and(|w| w == pass || w == "all") {
            self.texts.push((format!("{} after {pass}", f.name), f.compacted().to_string()));
        }
        let removed = self.size as i64 - size(f) as i64;
        let at = match self.times.iter().position(|t| t.name == pass) {
            Some(at) => at,
            None => {
                self.times.push(PassStats { name: pass, runs: 0, changes: 0, removed: 0 });
                self.times.len() - 1
            }
        };
        let time = &mut self.times[at];
        time.runs += 1;
        time.changes += u32::from(changed);
        time.removed += removed;
    }
}

/// Runs the passes of `plan` on a function.
///
/// # Panics
/// In debug builds, if a pass leaves an invalid function behind.
pub fn run(f: &mut Function, plan: &Plan<'_>, trace: &mut dyn Trace) {
    let split = PASSES.iter().position(|p| p.name == LAST_REPEATED).map_or(0, |i| i + 1);
    let (group, rest) = PASSES.split_at(split);
    // A pass that found nothing to do is left out until another one changes something.
    let mut version = 0u32;
    let mut clean_at = vec![None; group.len()];
    for _ in 0..MAX_ROUNDS {
        let before = version;
        for (pass, clean_at) in group.iter().zip(&mut clean_at) {
            if *clean_at == Some(version) {
                continue;
            }
            if run_pass(pass, f, plan, trace) {
                version += 1;
            } else {
                *clean_at = Some(version);
            }
        }
        if version == before {
            break;
        }
    }
    for pass in rest {
        run_pass(pass, f, plan, trace);
    }
    *f = f.compacted();
}

/// Runs one pass if the plan has it.
pub fn run_pass(pass: &Pass, f: &mut Function, plan: &Plan<'_>, trace: &mut dyn Trace) -> bool {
    if !plan.runs(pass.name) {
        return false;
    }
    trace.before(pass.name, f);
    let changed = (pass.run)(f, plan);
    if cfg!(debug_assertions) {
        let errors = validate(f, None);
        assert!(errors.is_empty(), "{} left invalid IR: {errors:?}\n{f}", pass.name);
    }
    trace.after(pass.name, f, changed);
    changed
}

#[cfg(test)]
mod tests {
    use super::{LAST_REPEATED, ORDER, PASSES};

    #[test]
    fn the_table_keeps_its_order() {
        let at = |name: &str| PASSES.iter().position(|p| p.name == name);
        for (earlier, later, why) in ORDER {
            assert!(at(earlier).is_some() && at(later).is_some(), "{earlier} or {later} is no pass");
            assert!(at(earlier) < at(later), "{earlier} before {later}: {why}");
        }
        assert!(at(LAST_REPEATED).is_some());
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = PASSES.iter().map(|p| p.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PASSES.len());
    }
}
