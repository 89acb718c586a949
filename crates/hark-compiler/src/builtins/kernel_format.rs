//! What the kernel formats itself: `printf` of a pinned iterator, whose text whoever reads the pinned file gets long
//! after hark has gone (`bpf_seq_printf`), and `debugf`, which writes to the `trace_pipe` (`bpf_trace_printk`).

use crate::lower::{Lower, is_signed, scalar_size};
use crate::sema::Checker;
use crate::typed::{Expr, ExprKind};
use crate::types::Type;
use bpf_facts::HelperId;
use ebpf_asm::Size;
use ebpf_codegen::ir::{InstData, UnOp, Value};
use hark_object::{Conv, ConvKind, Format, Length, Loss, Piece};

/// Most arguments of `bpf_seq_printf` (`MAX_BPRINTF_VARARGS`, include/linux/bpf.h).
const MAX_SEQ_ARGS: usize = 12;
/// Most arguments of `bpf_trace_printk`: the registers left beside the format and its length.
const MAX_TRACE_ARGS: usize = 3;
/// Where the context of every iterator has its `struct bpf_iter_meta *`, and that its `struct seq_file *`.
const META: i32 = 0;

/// Why the kernel cannot format what a pinned iterator prints, if it cannot.
pub(super) fn seq_refusal(cx: &Checker<'_>, format: &Format, args: &[Expr]) -> Option<String> {
    if cx.context.pinned { refusal(format, args, MAX_SEQ_ARGS) } else { None }
}

/// Why the kernel cannot write this to the `trace_pipe`, if it cannot.
pub(super) fn trace_refusal(format: &Format, args: &[Expr]) -> Option<String> {
    refusal(format, args, MAX_TRACE_ARGS)
}

fn refusal(format: &Format, args: &[Expr], max_args: usize) -> Option<String> {
    if args.len() > max_args {
        return Some(format!("it takes {max_args} arguments at most"));
    }
    let convs = format.pieces.iter().filter_map(|piece| match piece {
        Piece::Conv(conv) => Some(conv),
        Piece::Text(_) => None,
    });
    convs.zip(args).find_map(|(conv, arg)| {
        let known = match conv.kind {
            ConvKind::Signed | ConvKind::Unsigned | ConvKind::HexLower | ConvKind::HexUpper => true,
            ConvKind::Str => matches!(arg.ty, Type::Str { .. }) || arg.ty.is_integral(),
            _ => false,
        };
        if !known {
            return Some(format!("it has no such conversion for {}; it has %d, %u, %x, %X and %s", arg.ty));
        }
        (conv.precision.is_some() || conv.alternate).then(|| "it knows no precision and no `#`".to_string())
    })
}

/// Writes formatted text to the file of the iterator.
pub(super) fn seq_printf(cx: &mut Lower<'_>, format: &Format, args: &[Expr]) {
    let words = cx.new_bytes(8 * args.len().max(1) as u32);
    let (text, len, values) = operands(cx, format, args);
    for (i, value) in values.into_iter().enumerate() {
        cx.store_word(value, words.plus(8 * i as u32));
    }
    let ctx = cx.ctx();
    let meta = cx.b.value(InstData::LoadPtr { ptr: ctx, off: META });
    let file = cx.b.value(InstData::LoadPtr { ptr: meta, off: META });
    let (data, bytes) = (cx.address(words), cx.b.iconst(8 * args.len() as i64));
    let result = cx.b.call(HelperId::SEQ_PRINTF, &[file, text, len, data, bytes]);
    cx.report_if_failed(result, Loss::FailedRead, HelperId::SEQ_PRINTF);
}

/// Writes formatted text to the `trace_pipe`.
pub(super) fn trace_printk(cx: &mut Lower<'_>, format: &Format, args: &[Expr]) {
    let (text, len, values) = operands(cx, format, args);
    let operands: Vec<Value> = [text, len].into_iter().chain(values).collect();
    let result = cx.b.call(HelperId::TRACE_PRINTK, &operands);
    cx.report_if_failed(result, Loss::FailedRead, HelperId::TRACE_PRINTK);
}

/// The format as the kernel reads it, its length, and a word for each argument.
fn operands(cx: &mut Lower<'_>, format: &Format, args: &[Expr]) -> (Value, Value, Vec<Value>) {
    let mut text = Vec::new();
    let mut values = Vec::new();
    let mut next = args.iter();
    for piece in &format.pieces {
        match piece {
            Piece::Text(literal) => {
                for byte in literal {
                    text.extend_from_slice(if *byte == b'%' { b"%%" } else { std::slice::from_ref(byte) });
                }
            }
            Piece::Conv(conv) => {
                let Some(arg) = next.next() else { continue };
                values.push(if matches!(arg.ty, Type::Str { .. }) {
                    let mem = cx.mem(arg);
                    cx.address(mem)
                } else {
                    let value = cx.scalar(arg);
                    match narrowed(conv, &arg.ty) {
                        Some(size) => cx.b.unary(UnOp::Zext(size), value),
                        None => value,
                    }
                });
                text.extend(conversion(conv, &arg.ty));
            }
        }
    }
    text.push(0);
    let span = cx.here();
    let len = text.len() as i64;
    let literal =
        Expr { kind: ExprKind::Str(text.as_slice().into()), ty: Type::Str { cap: len as u32 }, span };
    let literal = cx.mem(&literal);
    (cx.address(literal), cx.b.iconst(len), values)
}

/// The width to which an argument is cut: it comes with its sign, but is to be shown without.
fn narrowed(conv: &Conv, ty: &Type) -> Option<Size> {
    let shown = match conv.length {
        Length::Own => scalar_size(ty),
        Length::Char => Size::B,
        Length::Short => Size::H,
        Length::Long => Size::Dw,
    };
    let unsigned = matches!(conv.kind, ConvKind::Unsigned | ConvKind::HexLower | ConvKind::HexUpper);
    (unsigned && shown != Size::Dw && (is_signed(ty) || conv.length != Length::Own)).then_some(shown)
}

/// The conversion as the kernel spells it, for a word of 64 bits.
fn conversion(conv: &Conv, ty: &Type) -> Vec<u8> {
    let mut out = String::from("%");
    for (flag, is_set) in [('-', conv.left), ('+', conv.plus), (' ', conv.space), ('0', conv.zero)] {
        if is_set {
            out.push(flag);
        }
    }
    if let Some(width) = conv.width {
        out += &width.to_string();
    }
    out += match conv.kind {
        ConvKind::Unsigned => "llu",
        ConvKind::HexLower => "llx",
        ConvKind::HexUpper => "llX",
        ConvKind::Str if matches!(ty, Type::Str { .. }) => "s",
        ConvKind::Str if !is_signed(ty) => "llu",
        _ => "lld",
    };
    out.into_bytes()
}
