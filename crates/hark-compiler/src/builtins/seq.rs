//! `printf` of a pinned iterator: whoever reads the pinned file gets the text, long after hark has gone, so the kernel
//! formats it (`bpf_seq_printf`).

use crate::lower::{Lower, is_signed, scalar_size};
use crate::sema::Checker;
use crate::typed::{Expr, ExprKind};
use crate::types::Type;
use bpf_facts::HelperId;
use ebpf_asm::Size;
use ebpf_codegen::ir::{InstData, UnOp};
use hark_object::{Conv, ConvKind, Format, Length, Loss, Piece};

/// Most arguments that the kernel takes (`MAX_BPRINTF_VARARGS`, include/linux/bpf.h).
const MAX_ARGS: usize = 12;
/// Where the context of every iterator has its `struct bpf_iter_meta *`, and that its `struct seq_file *`.
const META: i32 = 0;

/// Why the kernel cannot format this, if it cannot.
pub(super) fn refusal(cx: &Checker<'_>, format: &Format, args: &[Expr]) -> Option<String> {
    if !cx.context.pinned {
        return None;
    }
    if args.len() > MAX_ARGS {
        return Some(format!("it takes {MAX_ARGS} arguments at most"));
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
pub(super) fn printf(cx: &mut Lower<'_>, format: &Format, args: &[Expr]) {
    let mut text = Vec::new();
    let words = cx.new_bytes(8 * args.len().max(1) as u32);
    let mut next = args.iter().enumerate();
    for piece in &format.pieces {
        match piece {
            Piece::Text(literal) => {
                for byte in literal {
                    text.extend_from_slice(if *byte == b'%' { b"%%" } else { std::slice::from_ref(byte) });
                }
            }
            Piece::Conv(conv) => {
                let Some((i, arg)) = next.next() else { continue };
                let word = words.plus(8 * i as u32);
                let value = if matches!(arg.ty, Type::Str { .. }) {
                    let mem = cx.mem(arg);
                    cx.address(mem)
                } else {
                    let value = cx.scalar(arg);
                    match narrowed(conv, &arg.ty) {
                        Some(size) => cx.b.unary(UnOp::Zext(size), value),
                        None => value,
                    }
                };
                cx.store_word(value, word);
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
    let ctx = cx.ctx();
    let meta = cx.b.value(InstData::LoadPtr { ptr: ctx, off: META });
    let file = cx.b.value(InstData::LoadPtr { ptr: meta, off: META });
    let (text, len) = (cx.address(literal), cx.b.iconst(len));
    let (data, bytes) = (cx.address(words), cx.b.iconst(8 * args.len() as i64));
    let result = cx.b.call(HelperId::SEQ_PRINTF, &[file, text, len, data, bytes]);
    cx.report_if_failed(result, Loss::FailedRead, HelperId::SEQ_PRINTF);
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
