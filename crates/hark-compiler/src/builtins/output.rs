//! What is printed: `printf`, `print`, `cat`, `join`, `system`…

use super::control::require_unsafe;
use super::{
    Builtin, BuiltinCall, CheckError, Doc, arg, call_expr, const_text_arg, error, error_with_help, int_arg,
    kernel_format,
};
use crate::lower::{Lower, Mem, Val};
use crate::sema::Checker;
use crate::typed::{Call, CallData, Expr, ExprKind, MapId};
use crate::types::{Space, Type};
use ebpf_asm::Size;
use ebpf_codegen::ir::{BinOp, Cond, Type as IrType};
use hark_diag::{Code, Diagnostic, Span};
use hark_object::{EventKind, Field, Format, Severity, TextFormat, Then, Ty};
use hark_syntax::ast;
use std::ops::RangeInclusive;
use std::sync::Arc;

pub(super) static ALL: &[&dyn Builtin] = &[
    &Formatted { name: "printf", kind: Kind::Printf, text: "Prints formatted text." },
    &Formatted { name: "cat", kind: Kind::Cat, text: "Prints a file whose name is formatted as by printf." },
    &Formatted {
        name: "system",
        kind: Kind::System,
        text: "Runs a shell command and prints its output; needs --unsafe.",
    },
    ERRORF,
    &Formatted {
        name: "warnf",
        kind: Kind::Warning,
        text: "Prints a warning with its place in the script to standard error.",
    },
    &Formatted {
        name: "debugf",
        kind: Kind::Debug,
        text: "Writes formatted text to the kernel's trace_pipe, for a look beside the output. All tracers share it and it is slow, so a warning says that it is used. The kernel formats: it takes three arguments, and knows %d, %u, %x, %X and %s.",
    },
    &Print,
    &Join,
];

/// `errorf`, which other builtins use.
pub(super) static ERRORF: &dyn Builtin = &Formatted {
    name: "errorf",
    kind: Kind::Error,
    text: "Prints an error with its place in the script to standard error.",
};

/// Most arguments of `printf`.
const MAX_ARGS: usize = 128;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Printf,
    Cat,
    System,
    Error,
    Warning,
    Debug,
}

/// `printf` and everything that takes a format.
struct Formatted {
    name: &'static str,
    kind: Kind,
    text: &'static str,
}

impl Builtin for Formatted {
    fn name(&self) -> &'static str {
        self.name
    }
    fn doc(&self) -> Doc {
        let signature = match self.kind {
            Kind::Printf => "printf(\"format\", …)",
            Kind::Cat => "cat(\"format\", …)",
            Kind::System => "system(\"format\", …)",
            Kind::Error => "errorf(\"format\", …)",
            Kind::Warning => "warnf(\"format\", …)",
            Kind::Debug => "debugf(\"format\", …)",
        };
        Doc { signature, text: self.text }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=MAX_ARGS + 1
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        if self.kind == Kind::System {
            require_unsafe(cx, self.name, call.span)?;
        }
        let text = const_text_arg(cx, call, 0)?;
        let format_span = arg(call, 0)?.span;
        let mut args = Vec::new();
        for i in 1..call.args.len() {
            let value = cx.value(arg(call, i)?);
            if matches!(value.kind, ExprKind::Error) {
                return Ok(Expr::error(call.span));
            }
            args.push(value);
        }
        let bad = |message: String| error(Code::BAD_FORMAT, format_span, message);
        let format = Format::parse(text.as_bytes()).map_err(|e| bad(e.message))?;
        let types: Vec<Ty> = args.iter().map(|e| e.ty.ty(cx.types)).collect();
        format.check(&types).map_err(|e| bad(e.message))?;
        if self.kind == Kind::Printf
            && let Some(why) = kernel_format::seq_refusal(cx, &format, &args)
        {
            return Err(bad(format!("the kernel itself formats what a pinned iterator prints, and {why}")));
        }
        if self.kind == Kind::Debug {
            if let Some(why) = kernel_format::trace_refusal(&format, &args) {
                return Err(bad(format!("the kernel itself formats what debugf() writes, and {why}")));
            }
            let message = "debugf() is meant for a look by hand: it is slow, and its text mixes with others'";
            let diag = Diagnostic::warning(Code::DEBUGGING, call.span, message).with_help(
                "read it from /sys/kernel/tracing/trace_pipe; printf() is quick and hark prints it",
            );
            cx.report(diag);
        }
        let format = Arc::new(format);
        let data = match self.kind {
            Kind::Error | Kind::Warning => CallData::Message(format, cx.expanded_from().into()),
            Kind::Printf | Kind::Cat | Kind::System | Kind::Debug => CallData::Format(format),
        };
        Ok(call_expr(self, args, data, Type::Void, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        let (format, calls) = match &call.data {
            CallData::Format(format) => (format, Arc::default()),
            CallData::Message(format, calls) => (format, calls.clone()),
            _ => return Val::None,
        };
        if self.kind == Kind::Printf && cx.unit.context.pinned {
            kernel_format::seq_printf(cx, format, &call.args);
            return Val::None;
        }
        if self.kind == Kind::Debug {
            kernel_format::trace_printk(cx, format, &call.args);
            return Val::None;
        }
        let span = cx.here();
        let args: Vec<&Expr> = call.args.iter().collect();
        cx.send(span, &args, |args| {
            let text = TextFormat { format: Format::clone(format), args };
            match self.kind {
                Kind::Printf | Kind::Debug => EventKind::Printf(text),
                Kind::Cat => EventKind::Cat(text),
                Kind::System => EventKind::System(text),
                Kind::Error => EventKind::Message(Severity::Error, text, calls),
                Kind::Warning => EventKind::Message(Severity::Warning, text, calls),
            }
        });
        Val::None
    }
}

/// `print(x)`, `print(@m, top, div)`
struct Print;

impl Builtin for Print {
    fn name(&self) -> &'static str {
        "print"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "print(value), print(@map [, top [, div]])",
            text: "Prints a value and a line end, or a map as it is when the message is handled: its `top` largest entries, divided by `div`.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=3
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let first = arg(call, 0)?;
        if let ast::ExprKind::Map { name, keys } = &first.kind {
            let map = cx.map_id(name, first.span);
            cx.read_map(map, first.span);
            if keys.is_empty() {
                let mut args = Vec::new();
                for i in 1..call.args.len() {
                    let n = int_arg(cx, call, i)?;
                    args.push(cx.convert(n, &Type::I64));
                }
                return Ok(call_expr(self, args, CallData::Map(map), Type::Void, call.span));
            }
            if call.args.len() > 1 {
                let message = "top and div go with a whole map";
                return Err(error(Code::WRONG_ARGUMENTS, call.span, message));
            }
            let key = cx.map_access(map, keys, first.span);
            let value_ty = cx.map_value(map);
            if let (Type::Agg(agg), Some(key)) = (&value_ty, &key) {
                if crate::sema::agg_number(*agg).is_none()
                    && !matches!(agg, hark_object::agg::Agg::Stats { .. })
                {
                    let help = "print the whole map: print(@map)";
                    let message = format!("one key of a {}() map cannot be printed", agg.name());
                    return Err(error_with_help(Code::TYPE_MISMATCH, first.span, message, help));
                }
                return Ok(call_expr(self, vec![key.clone()], CallData::MapKey(map), Type::Void, call.span));
            }
        }
        if call.args.len() > 1 {
            return Err(error(Code::WRONG_ARGUMENTS, call.span, "top and div go with a map"));
        }
        let value = cx.value(first);
        Ok(call_expr(self, vec![value], CallData::None, Type::Void, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        let span = cx.here();
        let args: Vec<&Expr> = call.args.iter().collect();
        match call.data {
            CallData::Map(map) => print_map(cx, span, &args, map, Then::Keep),
            CallData::Take(map, then) => print_map(cx, span, &args, map, then),
            CallData::MapKey(map) => {
                let value = cx.script.maps[map.0 as usize].value.ty(cx.types);
                let map = cx.map_ref(map);
                // The value is summed over CPUs by user space; the record holds the key only.
                cx.send(span, &args, |mut fields| {
                    let key = fields.pop().unwrap_or(Field { offset: 8, ty: Ty::Void });
                    EventKind::PrintMapValue { map, key, value: Field { offset: 0, ty: value } }
                });
            }
            _ => cx.send(span, &args, |mut fields| {
                EventKind::Print(fields.pop().unwrap_or(Field { offset: 8, ty: Ty::Void }))
            }),
        }
        Val::None
    }
}

fn print_map(cx: &mut Lower<'_>, span: Span, args: &[&Expr], map: MapId, then: Then) {
    let map = cx.map_ref(map);
    cx.command(span, args, |fields| {
        let mut fields = fields.into_iter();
        EventKind::PrintMap { map, top: fields.next(), div: fields.next(), then }
    });
}

/// `join(ptrs[, separator])`
struct Join;

/// Most parts that are joined.
const JOIN_PARTS: u32 = 16;
/// Bytes of a part.
const JOIN_LEN: u32 = 1024;

impl Builtin for Join {
    fn name(&self) -> &'static str {
        "join"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "join(pointers [, separator])",
            text: "Prints up to 16 texts of an array of pointers such as argv, with a blank or the separator between them, and a line end.",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        1..=2
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let separator = if call.args.len() > 1 { const_text_arg(cx, call, 1)? } else { " ".to_string() };
        let ptrs = super::address_arg(cx, call, 0)?;
        if let Type::Ptr(to, _) = &ptrs.ty
            && !matches!(**to, Type::Ptr(..) | Type::Int { bytes: 8, .. } | Type::Void)
        {
            cx.report(Diagnostic::warning(
                Code::TYPE_MISMATCH,
                ptrs.span,
                format!("join() takes a char **, not {}", ptrs.ty),
            ));
        }
        Ok(call_expr(self, vec![ptrs], CallData::Text(separator.into()), Type::Void, call.span))
    }
    fn lower(&self, cx: &mut Lower<'_>, call: &Call, _: &Type, _: Option<Mem>) -> Val {
        let CallData::Text(separator) = &call.data else { return Val::None };
        let span = cx.here();
        let space = match &call.args[0].ty {
            Type::Ptr(_, space) => *space,
            _ if cx.unit.context.user => Space::User,
            _ => Space::Any,
        };
        let count_ty = Ty::Int { bytes: 4, signed: false };
        let mut types = vec![count_ty];
        types.resize(1 + JOIN_PARTS as usize, Ty::Str { cap: JOIN_LEN });
        // Parts lie at equal distances, so that the loop can reach them.
        let first = 16;
        let fields: Vec<Field> = types
            .into_iter()
            .enumerate()
            .map(|(i, ty)| Field { offset: if i == 0 { 8 } else { first + (i as u32 - 1) * JOIN_LEN }, ty })
            .collect();
        let size = first + JOIN_PARTS * JOIN_LEN + 8;
        let array = cx.scalar(&call.args[0]);
        let kind = EventKind::Join {
            separator: separator.as_bytes().to_vec(),
            count: fields[0].clone(),
            parts: fields[1..].to_vec(),
        };
        let event = cx.event_id(kind, size, span);
        cx.with_record(event, size, |cx, record| join_loop(cx, record, array, first, space));
        Val::None
    }
}

/// Reads pointers until one is NULL or empty, and the text each points to.
fn join_loop(cx: &mut Lower<'_>, record: Mem, array: ebpf_codegen::ir::Value, first: u32, space: Space) {
    let n = cx.b.declare_var(IrType::I64);
    let zero = cx.b.iconst(0);
    cx.b.def_var(n, zero);
    let (head, body, full, more, done) = (
        cx.b.create_block(),
        cx.b.create_block(),
        cx.b.create_block(),
        cx.b.create_block(),
        cx.b.create_block(),
    );
    let pointer = cx.new_bytes(8);
    cx.b.jump(head, &[]);
    cx.b.switch_to(head);
    let i = cx.b.use_var(n);
    let limit = cx.b.iconst(i64::from(JOIN_PARTS));
    cx.b.branch(Cond::Ult, i, limit, body, done);
    cx.b.seal_and_switch(body);
    let offset = cx.b.binary_imm(BinOp::Shl, i, 3);
    let at =
        if cx.is_ptr(array) { cx.b.ptr_add(array, offset) } else { cx.b.binary(BinOp::Add, array, offset) };
    cx.read_remote(pointer, 8, at, 0, space);
    let text = cx.b.load(Size::Dw, pointer.ptr, pointer.off);
    cx.b.branch_nonzero(text, full, done);
    cx.b.seal_and_switch(full);
    let offset = cx.b.binary_imm(BinOp::Mul, i, i64::from(JOIN_LEN));
    let part = cx.b.ptr_add(record.ptr, offset);
    let part = cx.b.ptr_off(part, first as i32);
    let len = cx.b.iconst(i64::from(JOIN_LEN));
    let helper = space.read_text_helper();
    let read = cx.b.call(helper, &[part, len, text]);
    // One byte is the terminator alone; negative could not be read.
    let one = cx.b.iconst(1);
    cx.b.branch(Cond::Sgt, read, one, more, done);
    cx.b.seal_and_switch(more);
    let following = cx.b.binary_imm(BinOp::Add, i, 1);
    cx.b.def_var(n, following);
    cx.b.jump(head, &[]);
    cx.b.seal(head);
    cx.b.seal_and_switch(done);
    let count = cx.b.use_var(n);
    cx.b.store(Size::W, count, record.ptr, 8);
}
