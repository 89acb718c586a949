//! Finds `print(@m); … clear(@m);`: what is printed there is what is to be cleared, and nothing that came between.
//!
//! Both are messages to user space, which reads the map at one moment and empties it at another. Where the one follows
//! the other in the same list of statements, they become one message that takes the entries and prints them; the map
//! then keeps generations apart (`hark_object::UserMap::generations`), so that each event is printed exactly once.

use crate::lower::Uses;
use crate::typed::{Block, CallData, ExprKind, MapId, MapKind, Stmt, StmtKind, TypedScript};
use crate::types::Type;
use hark_object::Then;

/// Marks what it finds in the calls and the maps.
pub(crate) fn find(script: &mut TypedScript) {
    let mut found = Vec::new();
    for unit in &mut script.units {
        block(&mut unit.body, &mut |map| can_take(&script.maps[map.0 as usize].declared), &mut found);
    }
    for map in found {
        script.maps[map.0 as usize].generations = true;
    }
}

/// Entries of maps that drop what was not used for long cannot be kept apart.
fn can_take(declared: &Option<(MapKind, u32)>) -> bool {
    match declared {
        None | Some((MapKind::Hash | MapKind::PercpuHash, _)) => true,
        Some((MapKind::LruHash | MapKind::PercpuLruHash, _)) => false,
    }
}

fn block(block: &mut Block, can: &mut dyn FnMut(MapId) -> bool, found: &mut Vec<MapId>) {
    // A call that stands last is the block's value, if one of no type.
    if let Some(value) = block.value.take_if(|value| value.ty == Type::Void) {
        let span = value.span;
        block.stmts.push(Stmt { kind: StmtKind::Expr(*value), span });
    }
    let mut at = 0;
    while at < block.stmts.len() {
        let pair = ending(&block.stmts[at])
            .filter(|(map, _)| can(*map))
            .and_then(|(map, then)| print_before(&block.stmts[..at], map).map(|print| (print, map, then)));
        let Some((print, map, then)) = pair else {
            inner(&mut block.stmts[at], can, found);
            at += 1;
            continue;
        };
        if let StmtKind::Expr(e) = &mut block.stmts[print].kind
            && let ExprKind::Call(call) = &mut e.kind
        {
            call.data = CallData::Take(map, then);
            block.stmts.remove(at);
            found.push(map);
        }
    }
}

/// Blocks inside of a statement.
fn inner(stmt: &mut Stmt, can: &mut dyn FnMut(MapId) -> bool, found: &mut Vec<MapId>) {
    match &mut stmt.kind {
        StmtKind::Expr(e) => match &mut e.kind {
            ExprKind::If(_, then, els) => {
                block(then, can, found);
                els.iter_mut().for_each(|els| block(els, can, found));
            }
            ExprKind::Block(inside) => block(inside, can, found),
            _ => {}
        },
        StmtKind::While { body, .. }
        | StmtKind::ForRange { body, .. }
        | StmtKind::ForMap { body, .. }
        | StmtKind::Unroll { body, .. } => block(body, can, found),
        StmtKind::AssignVar(..)
        | StmtKind::AssignMap { .. }
        | StmtKind::Aggregate { .. }
        | StmtKind::Break
        | StmtKind::Continue
        | StmtKind::Return(_) => {}
    }
}

/// The map and builtin of a statement that is a call about a whole map.
fn whole_map(stmt: &Stmt) -> Option<(&'static str, MapId)> {
    let StmtKind::Expr(e) = &stmt.kind else { return None };
    let ExprKind::Call(call) = &e.kind else { return None };
    match call.data {
        CallData::Map(map) => Some((call.builtin.name(), map)),
        _ => None,
    }
}

fn ending(stmt: &Stmt) -> Option<(MapId, Then)> {
    match whole_map(stmt)? {
        ("clear", map) => Some((map, Then::Clear)),
        ("zero", map) => Some((map, Then::Zero)),
        _ => None,
    }
}

/// The last `print` of `map` in `stmts`, if it is certain that what follows it runs as well and leaves the map alone.
fn print_before(stmts: &[Stmt], map: MapId) -> Option<usize> {
    for (i, stmt) in stmts.iter().enumerate().rev() {
        if whole_map(stmt) == Some(("print", map)) {
            return Some(i);
        }
        let uses = Uses::of_stmt(stmt);
        if uses.leaves || uses.maps.contains(&map) || uses.jumps {
            return None;
        }
    }
    None
}
