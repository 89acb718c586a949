//! Names and types: from the syntax tree to the typed tree.
//!
//! Types of variables and maps are the join of everything assigned to them anywhere, so the whole script is checked
//! in rounds until no type changes; only the last round's tree and diagnostics are kept.

mod checker;
mod config;
mod decl;
mod expand;
mod expr;
mod join;
mod modules;
mod operators;
mod place;
mod stmt;
mod units;
mod walk;

pub(crate) use checker::Checker;
pub(crate) use expr::parse_integer;
pub(crate) use join::join;
pub(crate) use stmt::agg_number;

use crate::ctypes::CTypes;
use crate::target::{Options, Target};
use crate::typed::TypedScript;
use hark_diag::Diagnostic;
use hark_syntax::ast;

/// More rounds than any script needs: types only grow, and the tallest chain of joins is short.
const MAX_ROUNDS: usize = 24;

/// The meaning of a script, as far as it has one, and everything that is wrong with it.
pub(crate) fn analyze(
    script: &ast::Script,
    target: &Target,
    options: &Options,
) -> (TypedScript, CTypes, Vec<Diagnostic>) {
    let mut diags = Vec::new();
    let config = config::settings(script, options, &mut diags);
    let mut types = decl::c_types(script, modules::kernel_types(script, target, &mut diags), &mut diags);
    let (script, expansions) = expand::expand(script, &mut diags);
    let script = &script;
    let units = units::find(script, target, options, &mut types, &config, &mut diags);
    let mut checker = Checker::new(script, &expansions, target, options, &types, &config);
    checker.incomplete = diags.iter().any(Diagnostic::is_error);
    checker.declare_maps(&script.items);
    let mut typed = Vec::new();
    for round in 0..MAX_ROUNDS {
        checker.start_round();
        typed = units.iter().enumerate().map(|(i, unit)| checker.unit(i, unit)).collect();
        if !checker.changed() || round + 1 == MAX_ROUNDS {
            break;
        }
    }
    // Types are settled: check once more, this time to keep what is said.
    checker.start_last_round();
    if !units.is_empty() {
        typed = units.iter().enumerate().map(|(i, unit)| checker.unit(i, unit)).collect();
    }
    checker.check_named_options();
    let (maps, more) = checker.finish();
    diags.extend(more);
    dedup(&mut diags);
    let mut script = TypedScript { units: typed, maps, config };
    crate::rounds::find(&mut script);
    (script, types, diags)
}

/// A body shared by several attach points is checked for each: what is wrong in all of them is said once.
fn dedup(diags: &mut Vec<Diagnostic>) {
    let mut seen: Vec<Diagnostic> = Vec::new();
    // Where a macro is expanded twice, once is enough too: labels are not compared.
    let same = |a: &Diagnostic, b: &Diagnostic| {
        a.code == b.code && a.message == b.message && a.primary == b.primary && a.helps == b.helps
    };
    for diag in diags.drain(..) {
        if !seen.iter().any(|other| same(other, &diag)) {
            seen.push(diag);
        }
    }
    *diags = seen;
}
