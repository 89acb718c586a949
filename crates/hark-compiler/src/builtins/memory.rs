//! What there is to know of types: `sizeof`, `offsetof`, `typeinfo`.

use super::{Builtin, BuiltinCall, CheckError, Doc, arg, error, error_with_help};
use crate::lower::{Lower, Mem, Val};
use crate::sema::Checker;
use crate::typed::{Call, Expr, ExprKind};
use crate::types::Type;
use hark_diag::{Code, Diagnostic, did_you_mean};
use hark_syntax::ast;
use std::ops::RangeInclusive;

pub(super) static ALL: &[&dyn Builtin] = &[&Sizeof, &Offsetof, &Typeinfo];

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
            cx.unevaluated += 1;
            let ty = cx.value(e).ty;
            cx.unevaluated -= 1;
            Ok(ty)
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

/// `typeinfo(type or expression)`
struct Typeinfo;

impl Builtin for Typeinfo {
    fn name(&self) -> &'static str {
        "typeinfo"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "typeinfo(type), typeinfo(expression)",
            text: "The names of a type, as a record of constants: btf_id, base_type, full_type.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        match cx.config.unstable_typeinfo.as_str() {
            "error" => {
                let message = "typeinfo() is switched off by unstable_typeinfo";
                let help = "set unstable_typeinfo to \"enable\" in a config block";
                return Err(error_with_help(Code::BAD_CONFIG, call.span, message, help));
            }
            "warn" => {
                let message = "typeinfo() is not stable yet: its form may change";
                let diag = Diagnostic::warning(Code::UNSTABLE, call.span, message)
                    .with_help("set unstable_typeinfo to \"enable\" to silence this");
                cx.report(diag);
            }
            _ => {}
        }
        let ty = match call.args.first() {
            // An aggregation is one, whatever number it reads as.
            Some(ast::Arg::Expr(e)) if matches!(e.kind, ast::ExprKind::Map { .. }) => cx.expr(e).ty,
            _ => type_arg(cx, call, 0)?,
        };
        let names = [base_name(&ty), full_name(&ty)];
        let mut values = vec![Expr::int(0, Type::U64, call.span)];
        values.extend(names.iter().map(|name| cx.text(name.as_bytes(), call.span)));
        let fields = ["btf_id", "base_type", "full_type"].map(str::to_string);
        let types = values.iter().map(|value| value.ty.clone());
        let ty = Type::Record(fields.into_iter().zip(types).collect());
        Ok(Expr { kind: ExprKind::Tuple(values), ty, span: call.span })
    }
    fn lower(&self, _: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        // The check leaves constants.
        Val::None
    }
}

/// The kind of a type, as bpftrace calls it.
fn base_name(ty: &Type) -> String {
    match ty {
        Type::Int { .. } | Type::Literal(_) | Type::Enum(_) => "int".into(),
        Type::Ptr(..) => "pointer".into(),
        Type::Struct(_) | Type::Args(_) => "c_type".into(),
        Type::Array(..) => "array".into(),
        Type::Str { .. } => "string".into(),
        Type::Buf { .. } => "buffer".into(),
        Type::Tuple(_) => "tuple".into(),
        Type::Record(_) => "record".into(),
        Type::Agg(agg) => format!("{}_t", agg.name()),
        Type::Opaque(hark_object::Ty::Ksym) => "ksym_t".into(),
        Type::Opaque(hark_object::Ty::Usym) => "usym_t".into(),
        Type::Unknown | Type::Void | Type::Bool | Type::Opaque(_) => ty.to_string(),
    }
}

/// A type as it is written.
fn full_name(ty: &Type) -> String {
    match ty {
        Type::Record(_) => format!("record {ty}"),
        Type::Agg(_) | Type::Opaque(_) => base_name(ty),
        other => other.to_string(),
    }
}
