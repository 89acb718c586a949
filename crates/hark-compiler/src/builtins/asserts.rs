//! Conditions that a script relies on: `assert`, `static_assert`, `fail`.

use super::{Builtin, BuiltinCall, CheckError, Doc, arg, call_expr, const_text_arg, control, error, output};
use crate::lower::{Lower, Mem, Val};
use crate::sema::Checker;
use crate::typed::{Block, Call, CallData, Expr, ExprKind, Stmt, StmtKind};
use crate::types::Type;
use hark_diag::{Code, Span};
use hark_object::{ConvKind, Format, Piece};
use std::ops::RangeInclusive;
use std::sync::Arc;

pub(super) static ALL: &[&dyn Builtin] = &[&Assert, &StaticAssert, &Fail];

/// `assert(condition, message)`
struct Assert;

impl Builtin for Assert {
    fn name(&self) -> &'static str {
        "assert"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "assert(condition, \"message\")",
            text: "Ends the run with the message and status 1 if the condition does not hold.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        2..=2
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let cond = cx.condition(arg(call, 0)?);
        let text = format!("assert failed: {}", const_text_arg(cx, call, 1)?);
        let format = Arc::new(Format { pieces: vec![Piece::Text(text.into_bytes())] });
        let span = call.span;
        let says = call_expr(output::ERRORF, Vec::new(), CallData::Format(format), Type::Void, span);
        let one = vec![Expr::int(1, Type::I64, span)];
        let leaves = call_expr(&control::Exit, one, CallData::None, Type::Void, span);
        let stmt = |e| Stmt { kind: StmtKind::Expr(e), span };
        let body = Block { stmts: vec![stmt(says), stmt(leaves)], value: None };
        let wrong = Expr { span: cond.span, kind: ExprKind::Not(Box::new(cond)), ty: Type::Bool };
        Ok(Expr { kind: ExprKind::If(Box::new(wrong), body, None), ty: Type::Void, span })
    }
    fn lower(&self, _: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::None
    }
}

fn nothing(span: Span) -> Expr {
    Expr { kind: ExprKind::Block(Block::EMPTY), ty: Type::Void, span }
}

/// `static_assert(condition, message)`
struct StaticAssert;

impl Builtin for StaticAssert {
    fn name(&self) -> &'static str {
        "static_assert"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "static_assert(condition, \"message\")",
            text: "Refuses to compile the script if the condition, known at that time, does not hold.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        2..=2
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let cond = cx.condition(arg(call, 0)?);
        let text = const_text_arg(cx, call, 1)?;
        match cond.as_int() {
            Some(0) => Err(error(Code::ASSERTION, call.span, text)),
            Some(_) => Ok(nothing(call.span)),
            None => Err(error(Code::NOT_CONSTANT, cond.span, "the condition is not known at compile time")),
        }
    }
    fn lower(&self, _: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::None
    }
}

/// `fail(format, …)`
struct Fail;

impl Builtin for Fail {
    fn name(&self) -> &'static str {
        "fail"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "fail(\"format\", …)",
            text: "Refuses to compile the script, unless it stands in a branch that is known not to run.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=129
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let text = const_text_arg(cx, call, 0)?;
        let bad = |message: String| error(Code::BAD_FORMAT, call.span, message);
        let format = Format::parse(text.as_bytes()).map_err(|e| bad(e.message))?;
        let mut args = Vec::new();
        for i in 1..call.args.len() {
            args.push(cx.value(arg(call, i)?));
        }
        let types: Vec<_> = args.iter().map(|e| e.ty.ty(cx.types)).collect();
        format.check(&types).map_err(|e| bad(e.message))?;
        let mut args = args.iter();
        let mut message = String::new();
        for piece in &format.pieces {
            match piece {
                Piece::Text(text) => message.push_str(&String::from_utf8_lossy(text)),
                Piece::Conv(conv) => {
                    let Some(value) = args.next() else { continue };
                    message.push_str(&constant_text(value, conv.kind));
                }
            }
        }
        Err(error(Code::ASSERTION, call.span, message))
    }
    fn lower(&self, _: &mut Lower<'_>, _: &Call, _: &Type, _: Option<Mem>) -> Val {
        Val::None
    }
}

/// What is known of the value, in the form that was asked for.
fn constant_text(value: &Expr, kind: ConvKind) -> String {
    match (value.as_str(), value.as_int(), kind) {
        (Some(text), ..) => String::from_utf8_lossy(text).into_owned(),
        (None, Some(n), ConvKind::HexLower) => format!("{n:x}"),
        (None, Some(n), ConvKind::HexUpper) => format!("{n:X}"),
        (None, Some(n), ConvKind::Octal) => format!("{n:o}"),
        (None, Some(n), ConvKind::Pointer) => format!("{n:#x}"),
        (None, Some(n), ConvKind::Unsigned) => (n as u64).to_string(),
        (None, Some(n), _) if value.ty == Type::Bool => (n != 0).to_string(),
        (None, Some(n), _) => n.to_string(),
        (None, None, _) => format!("<{}>", value.ty),
    }
}
