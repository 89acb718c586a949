//! Sizes and offsets of types: `sizeof`, `offsetof`.

use super::{Builtin, BuiltinCall, CheckError, Doc, arg, error, error_with_help};
use crate::lower::{Lower, Mem, Val};
use crate::sema::Checker;
use crate::typed::{Call, Expr};
use crate::types::Type;
use hark_diag::{Code, did_you_mean};
use hark_syntax::ast;
use std::ops::RangeInclusive;

pub(super) static ALL: &[&dyn Builtin] = &[&Sizeof, &Offsetof];

/// The type that an argument names or has.
fn type_arg(cx: &mut Checker<'_>, call: &BuiltinCall<'_>, i: usize) -> Result<Type, CheckError> {
    match call.args.get(i) {
        Some(ast::Arg::Type(ty)) => {
            cx.type_expr(ty).ok_or_else(|| error(Code::UNKNOWN_TYPE, ty.span, "the type is not known"))
        }
        _ => {
            let e = arg(call, i)?;
            // A bare name may be a type: sizeof(uint32).
            if let ast::ExprKind::Ident(name) = &e.kind {
                if let Some(ty) = cx.types.type_named(name) {
                    return Ok(ty);
                }
                if let Some(of) = cx.types.struct_named(name, false) {
                    return Ok(Type::Struct(of));
                }
            }
            Ok(cx.value(e).ty)
        }
    }
}

/// `sizeof(type or expression)`
struct Sizeof;

impl Builtin for Sizeof {
    fn name(&self) -> &'static str {
        "sizeof"
    }
    fn doc(&self) -> Doc {
        Doc { signature: "sizeof(type), sizeof(expression)", text: "Size in bytes." }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let ty = type_arg(cx, call, 0)?;
        let size = cx.types.size_of(&ty);
        Ok(Expr::int(i64::from(size), Type::U64, call.span))
    }
    fn lower(&self, _: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::None
    }
}

/// `offsetof(type, member)`
struct Offsetof;

impl Builtin for Offsetof {
    fn name(&self) -> &'static str {
        "offsetof"
    }
    fn doc(&self) -> Doc {
        Doc { signature: "offsetof(struct, member.member…)", text: "Offset of a member in bytes." }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        2..=2
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let (_, offset) = member_of(cx, call, 0)?;
        Ok(Expr::int(i64::from(offset), Type::U64, call.span))
    }
    fn lower(&self, _: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::None
    }
}

/// The struct that argument `i` names or has, and the offset of the member that the next argument names.
pub(super) fn member_of(
    cx: &mut Checker<'_>,
    call: &BuiltinCall<'_>,
    i: usize,
) -> Result<(Type, u32), CheckError> {
    let mut ty = type_arg(cx, call, i)?;
    if let Type::Ptr(to, _) = &ty {
        ty = (**to).clone();
    }
    let outer = ty.clone();
    let path = member_path(arg(call, i + 1)?).ok_or_else(|| {
        error(Code::WRONG_ARGUMENTS, call.span, format!("{}() takes the names of members", call.name))
    })?;
    let mut offset = 0;
    for name in path {
        let Type::Struct(of) = &ty else {
            return Err(error(Code::TYPE_MISMATCH, call.span, format!("{ty} has no members")));
        };
        let Some(field) = cx.types.field(of, &name) else {
            let names = cx.types.field_names(of);
            let help = did_you_mean(&name, names.iter().map(String::as_str))
                .map_or("see its definition".to_string(), |near| format!("did you mean `{near}`?"));
            let message = format!("{of} has no member {name}");
            return Err(error_with_help(Code::UNKNOWN_FIELD, call.span, message, help));
        };
        offset += field.offset;
        ty = field.ty;
    }
    Ok((outer, offset))
}

/// `a.b.c` as names.
fn member_path(e: &ast::Expr) -> Option<Vec<String>> {
    match &e.kind {
        ast::ExprKind::Ident(name) => Some(vec![name.clone()]),
        ast::ExprKind::Field { base, field, .. } => {
            let mut path = member_path(base)?;
            path.push(field.text.clone());
            Some(path)
        }
        _ => None,
    }
}
