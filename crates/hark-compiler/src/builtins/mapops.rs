//! Functions on maps: `delete`, `has_key`, `clear`, `zero`, `len`.

use super::{Builtin, BuiltinCall, CheckError, Doc, arg, call_expr, error, error_with_help};
use crate::lower::{Lower, Mem, Val};
use crate::sema::Checker;
use crate::typed::{Call, CallData, Expr, MapId};
use crate::types::Type;
use ebpf_asm::Size;
use ebpf_codegen::ir::{Cond, Type as IrType};
use hark_diag::{Code, Span};
use hark_object::{EventKind, Ty};
use hark_syntax::ast;
use std::ops::RangeInclusive;

pub(super) static ALL: &[&dyn Builtin] = &[
    &Delete,
    &HasKey,
    &Find,
    &Whole { name: "clear", text: "Removes all entries of a map, when user space handles the message." },
    &Whole { name: "zero", text: "Sets all entries of a map to zero, when user space handles the message." },
    &Len,
];

/// Argument 0 as a map, and its keys.
fn map_arg<'a>(call: &BuiltinCall<'a>) -> Result<(&'a str, &'a [ast::Expr], Span), CheckError> {
    let e = arg(call, 0)?;
    match &e.kind {
        ast::ExprKind::Map { name, keys } => Ok((name, keys, e.span)),
        _ => Err(error(Code::TYPE_MISMATCH, e.span, format!("{} takes a map", call.name))),
    }
}

/// `f(@m, k)` or the old `f(@m[k])`: the map and its key.
fn map_and_key(cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<(MapId, Option<Expr>), CheckError> {
    let (name, keys, span) = map_arg(call)?;
    let map = cx.map_id(name, span);
    if call.args.len() == 1 {
        return Ok((map, cx.map_access(map, keys, span)));
    }
    if !keys.is_empty() {
        return Err(error(
            Code::WRONG_ARGUMENTS,
            span,
            format!("{} takes the map and the key apart", call.name),
        ));
    }
    let key = std::slice::from_ref(arg(call, 1)?);
    Ok((map, cx.map_access(map, key, call.span)))
}

/// `delete`
struct Delete;

impl Builtin for Delete {
    fn name(&self) -> &'static str {
        "delete"
    }
    fn doc(&self) -> Doc {
        Doc { signature: "delete(@map, key)", text: "Removes an entry; true if there was one." }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=2
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let (map, key) = map_and_key(cx, call)?;
        cx.read_map(map, call.span);
        Ok(call_expr(self, key.into_iter().collect(), CallData::MapKey(map), Type::Bool, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        let CallData::MapKey(map) = call.data else { return Val::None };
        let result = cx.map_delete(map, call.args.first());
        if call.discarded {
            return Val::None;
        }
        let zero = cx.b.iconst(0);
        Val::Scalar(cx.b.icmp(Cond::Eq, result, zero))
    }
}

/// `has_key`
struct HasKey;

impl Builtin for HasKey {
    fn name(&self) -> &'static str {
        "has_key"
    }
    fn doc(&self) -> Doc {
        Doc { signature: "has_key(@map, key)", text: "Whether the map has an entry for the key." }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=2
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let (map, key) = map_and_key(cx, call)?;
        cx.read_map(map, call.span);
        let Some(key) = key else {
            return Err(error(Code::WRONG_ARGUMENTS, call.span, "has_key() needs a map with keys"));
        };
        Ok(call_expr(self, vec![key], CallData::MapKey(map), Type::Bool, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        let CallData::MapKey(map) = call.data else { return Val::None };
        let key = cx.key(map, call.args.first());
        let found = cx.lookup(map, key);
        let var = cx.b.declare_var(IrType::I64);
        let (hit, miss, next) = (cx.b.create_block(), cx.b.create_block(), cx.b.create_block());
        cx.b.branch_nonzero(found, hit, miss);
        for (block, n) in [(hit, 1), (miss, 0)] {
            cx.b.seal_and_switch(block);
            let value = cx.b.iconst(n);
            cx.b.def_var(var, value);
            cx.b.jump(next, &[]);
        }
        cx.b.seal_and_switch(next);
        Val::Scalar(cx.b.use_var(var))
    }
}

/// `find(@map, key, $variable)`
struct Find;

impl Builtin for Find {
    fn name(&self) -> &'static str {
        "find"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "find(@map, key, $variable)",
            text: "Whether the map has an entry for the key; if so, the variable gets its value. One look-up.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        3..=3
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let (name, keys, span) = map_arg(call)?;
        if !keys.is_empty() {
            let message = "find() takes the map and the key apart";
            return Err(error(Code::WRONG_ARGUMENTS, span, message));
        }
        let map = cx.map_id(name, span);
        let key = cx.map_access(map, std::slice::from_ref(arg(call, 1)?), call.span);
        cx.read_map(map, span);
        let Some(key) = key else { return Ok(Expr::error(call.span)) };
        let value = cx.map_value(map);
        if let Type::Agg(agg) = value {
            let message = format!("find() cannot take a {}() out of its map", agg.name());
            return Err(error(Code::TYPE_MISMATCH, span, message));
        }
        let target = arg(call, 2)?;
        let ast::ExprKind::Var(variable) = &target.kind else {
            return Err(error(Code::WRONG_ARGUMENTS, target.span, "find() puts the value into a variable"));
        };
        let var = cx.var_or_new(variable, target.span);
        cx.assign_var(var, &value, target.span);
        Ok(call_expr(self, vec![key], CallData::Find(map, var), Type::Bool, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        let CallData::Find(map, var) = call.data else { return Val::None };
        let key = cx.key(map, call.args.first());
        let found = cx.lookup(map, key);
        let result = cx.b.declare_var(IrType::I64);
        let (hit, miss, next) = (cx.b.create_block(), cx.b.create_block(), cx.b.create_block());
        cx.b.branch_nonzero(found, hit, miss);
        cx.b.seal_and_switch(hit);
        let value = cx.script.maps[map.0 as usize].value.clone();
        cx.assign_from_memory(var, Mem::at(found), &value);
        for (block, n) in [(hit, 1), (miss, 0)] {
            if block == miss {
                cx.b.seal_and_switch(miss);
            }
            let n = cx.b.iconst(n);
            cx.b.def_var(result, n);
            cx.b.jump(next, &[]);
        }
        cx.b.seal_and_switch(next);
        Val::Scalar(cx.b.use_var(result))
    }
}

/// `clear`, `zero`
struct Whole {
    name: &'static str,
    text: &'static str,
}

impl Builtin for Whole {
    fn name(&self) -> &'static str {
        self.name
    }
    fn doc(&self) -> Doc {
        let signature = if self.name == "clear" { "clear(@map)" } else { "zero(@map)" };
        Doc { signature, text: self.text }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let (name, keys, span) = map_arg(call)?;
        if !keys.is_empty() {
            let help = format!("use delete() for one entry: delete(@{name}, …)");
            return Err(error_with_help(
                Code::WRONG_ARGUMENTS,
                span,
                format!("{}() takes a whole map", self.name),
                help,
            ));
        }
        let map = cx.map_id(name, span);
        cx.read_map(map, span);
        Ok(call_expr(self, Vec::new(), CallData::Map(map), Type::Void, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        let CallData::Map(map) = call.data else { return Val::None };
        let map = cx.map_ref(map);
        cx.async_map(if self.name == "clear" { EventKind::Clear(map) } else { EventKind::Zero(map) });
        Val::None
    }
}

/// `len`
struct Len;

impl Builtin for Len {
    fn name(&self) -> &'static str {
        "len"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "len(@map), len(stack)",
            text: "Number of entries of a map with keys, or of frames of a stack.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let e = arg(call, 0)?;
        if let ast::ExprKind::Map { name, keys } = &e.kind
            && keys.is_empty()
        {
            let map = cx.map_id(name, e.span);
            cx.read_map(map, e.span);
            if !matches!(cx.map_value(map), Type::Opaque(_)) {
                if cx.is_scalar_map(map) {
                    return Err(error(Code::TYPE_MISMATCH, e.span, format!("@{name} has no keys to count")));
                }
                return Ok(call_expr(self, Vec::new(), CallData::Map(map), Type::I64, call.span));
            }
        }
        let value = cx.value(e);
        match value.ty {
            Type::Opaque(Ty::KStack { .. } | Ty::UStack { .. }) => {
                Ok(call_expr(self, vec![value], CallData::None, Type::I64, call.span))
            }
            ref ty => Err(error(Code::TYPE_MISMATCH, value.span, format!("{ty} has no length"))),
        }
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        let CallData::Map(map) = call.data else {
            // A stack begins with its number of frames.
            let stack = cx.mem(&call.args[0]);
            return Val::Scalar(cx.b.load(Size::Dw, stack.ptr, stack.off));
        };
        Val::Scalar(cx.count_entries(map))
    }
}
