//! Unary and binary operators: types, signs, folding of constants.

use super::checker::Checker;
use crate::typed::{ArithOp, CompareOp, Expr, ExprKind};
use crate::types::Type;
use hark_diag::{Code, Diagnostic, Span};
use hark_syntax::ast::{self, BinOp, UnOp};

impl Checker<'_> {
    pub(super) fn unary(&mut self, op: UnOp, inner: &ast::Expr, span: Span) -> Expr {
        match op {
            UnOp::Deref => {
                let value = self.value(inner);
                self.deref(value, span)
            }
            UnOp::AddrOf => self.addr_of(inner, span),
            UnOp::Not => {
                let value = self.condition(inner);
                if let Some(n) = value.as_int() {
                    return Expr::int(i64::from(n == 0), Type::Bool, span);
                }
                Expr { kind: ExprKind::Not(Box::new(value)), ty: Type::Bool, span }
            }
            UnOp::Plus => self.integer(inner),
            UnOp::Neg => {
                // -128 is an int8 though 128 is not.
                if let ast::ExprKind::Int { value, duration: false } = inner.kind {
                    let n = (value as i64).wrapping_neg();
                    let ty = [1u8, 2, 4]
                        .into_iter()
                        .find(|bytes| n >= -(1i64 << (8 * bytes - 1)) && n < 1i64 << (8 * bytes - 1))
                        .map_or(Type::I64, |bytes| Type::Int { bytes, signed: true });
                    return Expr::int(n, ty, span);
                }
                let value = self.integer(inner);
                if let Some(n) = value.as_int()
                    && value.ty.int_shape().is_none_or(|(_, signed)| signed)
                {
                    return Expr::int(n.wrapping_neg(), Type::I64, span);
                }
                self.in_own_width(value, ExprKind::Neg, span)
            }
            UnOp::BitNot => {
                let value = self.integer(inner);
                // A literal has no sign to keep.
                if let Some(n) = value.as_int()
                    && value.ty.int_shape().is_none_or(|(_, signed)| signed)
                {
                    let literal = value.ty == Type::of_literal(n as u64);
                    return Expr::int(!n, if literal { Type::U64 } else { Type::I64 }, span);
                }
                self.in_own_width(value, ExprKind::BitNot, span)
            }
        }
    }

    /// A unary operation: of a signed number in 64 bits, of one without sign in its own width, without sign.
    fn in_own_width(&mut self, value: Expr, kind: impl Fn(Box<Expr>) -> ExprKind, span: Span) -> Expr {
        let own = value.ty.clone();
        match own.int_shape() {
            Some((_, false)) if own != Type::Bool => {
                let constant = value.as_int();
                let whole = Expr { kind: kind(Box::new(value)), ty: Type::U64, span };
                let whole = match (constant, &whole.kind) {
                    (Some(n), ExprKind::Neg(_)) => Expr::int(n.wrapping_neg(), Type::U64, span),
                    (Some(n), _) => Expr::int(!n, Type::U64, span),
                    (None, _) => whole,
                };
                let cut = self.convert(whole, &own);
                self.convert(cut, &Type::U64)
            }
            shape => {
                let signed = shape.is_none_or(|(_, signed)| signed);
                let ty = if signed { Type::I64 } else { Type::U64 };
                Expr { kind: kind(Box::new(value)), ty, span }
            }
        }
    }

    pub(super) fn binary(&mut self, op: BinOp, a: Expr, b: Expr, span: Span) -> Expr {
        let (a, b) = (self.use_value(a), self.use_value(b));
        if matches!(a.kind, ExprKind::Error) || matches!(b.kind, ExprKind::Error) {
            return Expr { kind: ExprKind::Error, ty: result_shape(op), span };
        }
        match op {
            BinOp::And | BinOp::Or => self.logic(op, a, b, span),
            BinOp::Eq => self.compare(CompareOp::Eq, a, b, span),
            BinOp::Ne => self.compare(CompareOp::Ne, a, b, span),
            BinOp::Lt => self.compare(CompareOp::Lt, a, b, span),
            BinOp::Le => self.compare(CompareOp::Le, a, b, span),
            BinOp::Gt => self.compare(CompareOp::Gt, a, b, span),
            BinOp::Ge => self.compare(CompareOp::Ge, a, b, span),
            BinOp::Add
            | BinOp::Sub
            | BinOp::Mul
            | BinOp::Div
            | BinOp::Mod
            | BinOp::BitAnd
            | BinOp::BitOr
            | BinOp::BitXor
            | BinOp::Shl
            | BinOp::Shr => self.arithmetic(op, a, b, span),
        }
    }

    fn logic(&mut self, op: BinOp, a: Expr, b: Expr, span: Span) -> Expr {
        for side in [&a, &b] {
            if !side.ty.is_truthy() {
                let message = format!("{} is neither true nor false", side.ty);
                return self.fail(Diagnostic::error(Code::TYPE_MISMATCH, side.span, message));
            }
        }
        let known = a.as_int().map(|n| n != 0);
        match (op, known, b.as_int().map(|n| n != 0)) {
            (BinOp::And, Some(false), _) => return Expr::int(0, Type::Bool, span),
            (BinOp::Or, Some(true), _) => return Expr::int(1, Type::Bool, span),
            (_, Some(_), Some(b)) => return Expr::int(i64::from(b), Type::Bool, span),
            _ => {}
        }
        let (a, b) = (Box::new(a), Box::new(b));
        let kind = if op == BinOp::And { ExprKind::And(a, b) } else { ExprKind::Or(a, b) };
        Expr { kind, ty: Type::Bool, span }
    }

    fn compare(&mut self, op: CompareOp, a: Expr, b: Expr, span: Span) -> Expr {
        let equality = matches!(op, CompareOp::Eq | CompareOp::Ne);
        let boolean = |kind| Expr { kind, ty: Type::Bool, span };
        match (&a.ty, &b.ty) {
            (x, y) if x.is_truthy() && y.is_truthy() => {
                let pointer = matches!(x, Type::Ptr(..)) || matches!(y, Type::Ptr(..));
                let signed = !pointer && self.signed_pair(&a, &b, true, span);
                if let (Some(m), Some(n)) = (a.as_int(), b.as_int()) {
                    return Expr::int(i64::from(op.holds(signed, m, n)), Type::Bool, span);
                }
                boolean(ExprKind::Compare(op, signed, Box::new(a), Box::new(b)))
            }
            (Type::Str { .. }, Type::Str { .. }) if equality => {
                if let (Some(x), Some(y)) = (a.as_str(), b.as_str()) {
                    let until_nul = |s: &[u8]| s.split(|c| *c == 0).next().unwrap_or(&[]).to_vec();
                    let equal = until_nul(x) == until_nul(y);
                    return Expr::int(i64::from(equal == (op == CompareOp::Eq)), Type::Bool, span);
                }
                boolean(ExprKind::StrEq(op == CompareOp::Ne, Box::new(a), Box::new(b)))
            }
            (Type::Opaque(x), Type::Opaque(y)) if x == y && a.ty.is_scalar() && equality => {
                boolean(ExprKind::Compare(op, false, Box::new(a), Box::new(b)))
            }
            (Type::Opaque(_), y) if a.ty.is_scalar() && y.is_integral() => {
                boolean(ExprKind::Compare(op, false, Box::new(a), Box::new(b)))
            }
            (x, y) if equality && !x.is_scalar() && !y.is_scalar() => match self.common_type(&a, &b, span) {
                Some(ty) => {
                    let (a, b) = (self.convert(a, &ty), self.convert(b, &ty));
                    boolean(ExprKind::MemEq(op == CompareOp::Ne, Box::new(a), Box::new(b)))
                }
                None => Expr::error(span),
            },
            (x, y) => {
                let message = format!("{x} and {y} cannot be compared");
                self.fail(Diagnostic::error(Code::TYPE_MISMATCH, span, message))
            }
        }
    }

    /// Whether an operation on both is signed: if either operand is; a literal takes the sign of the other.
    fn signed_pair(&mut self, a: &Expr, b: &Expr, comparing: bool, span: Span) -> bool {
        let shape = |e: &Expr| e.ty.int_shape().unwrap_or((8, true));
        let ((x, s), (y, t)) = (shape(a), shape(b));
        match (a.is_flexible(), b.is_flexible()) {
            (true, false) => t,
            (false, true) => s,
            _ => {
                let mixed = s != t;
                let unsigned_width = if s { y } else { x };
                if mixed && comparing && unsigned_width == 8 {
                    let diag = Diagnostic::warning(
                        Code::SIGN_MISMATCH,
                        span,
                        format!("comparison of {} with {}: both are taken as signed", a.ty, b.ty),
                    )
                    .with_help("cast one side to say which is meant");
                    self.report(diag);
                }
                s || t
            }
        }
    }

    fn arithmetic(&mut self, op: BinOp, a: Expr, b: Expr, span: Span) -> Expr {
        match (&a.ty, &b.ty, op) {
            (Type::Ptr(to, _), y, BinOp::Add | BinOp::Sub) if y.is_integral() => {
                let size = self.types.size_of(to).max(1);
                let ty = a.ty.clone();
                let b = if op == BinOp::Sub { negate(b) } else { b };
                return Expr { kind: ExprKind::PtrAdd(Box::new(a), Box::new(b), size), ty, span };
            }
            (x, Type::Ptr(to, _), BinOp::Add) if x.is_integral() => {
                let size = self.types.size_of(to).max(1);
                let ty = b.ty.clone();
                return Expr { kind: ExprKind::PtrAdd(Box::new(b), Box::new(a), size), ty, span };
            }
            (Type::Ptr(to, _), Type::Ptr(..), BinOp::Sub) => {
                let size = self.types.size_of(to).max(1);
                return Expr { kind: ExprKind::PtrDiff(Box::new(a), Box::new(b), size), ty: Type::I64, span };
            }
            (x, y, _) if x.is_integral() && y.is_integral() => {}
            (x, y, _) => {
                let message = format!("{} cannot be applied to {x} and {y}", op.symbol());
                return self.fail(Diagnostic::error(Code::TYPE_MISMATCH, span, message));
            }
        }
        let either_signed = self.signed_pair(&a, &b, false, span);
        let signed = either_signed || op == BinOp::Sub;
        let ty = Type::Int { bytes: 8, signed };
        let left_signed = a.ty.int_shape().is_none_or(|(_, s)| s);
        let op = match op {
            BinOp::Add => ArithOp::Add,
            BinOp::Sub => ArithOp::Sub,
            BinOp::Mul => ArithOp::Mul,
            BinOp::Div => ArithOp::Div(either_signed),
            BinOp::Mod => ArithOp::Mod(either_signed),
            BinOp::BitAnd => ArithOp::And,
            BinOp::BitOr => ArithOp::Or,
            BinOp::BitXor => ArithOp::Xor,
            BinOp::Shl => ArithOp::Shl,
            _ => ArithOp::Shr(left_signed),
        };
        if let (Some(m), Some(n)) = (a.as_int(), b.as_int())
            && let Some(value) = fold(op, m, n)
        {
            let past_signed = |n: i128| n > i128::from(i64::MAX) && n <= i128::from(u64::MAX);
            let ty = match exact(op, wide(&a, m), wide(&b, n)) {
                Some(n) if past_signed(n) => Type::U64,
                _ => ty,
            };
            return Expr::int(value, ty, span);
        }
        Expr { kind: ExprKind::Arith(op, Box::new(a), Box::new(b)), ty, span }
    }
}

/// The type of an operation whose operands are broken, so that what follows is not blamed.
fn result_shape(op: BinOp) -> Type {
    match op {
        BinOp::Add | BinOp::Sub | BinOp::Mul | BinOp::Div | BinOp::Mod => Type::Unknown,
        BinOp::BitAnd | BinOp::BitOr | BinOp::BitXor | BinOp::Shl | BinOp::Shr => Type::Unknown,
        BinOp::And | BinOp::Or | BinOp::Eq | BinOp::Ne | BinOp::Lt | BinOp::Gt | BinOp::Le | BinOp::Ge => {
            Type::Bool
        }
    }
}

fn negate(e: Expr) -> Expr {
    let span = e.span;
    match e.as_int() {
        Some(n) => Expr::int(n.wrapping_neg(), Type::I64, span),
        None => Expr { kind: ExprKind::Neg(Box::new(e)), ty: Type::I64, span },
    }
}

/// The operation on constants; `None` where the run-time result is reported (division by zero) or C leaves it open.
fn fold(op: ArithOp, a: i64, b: i64) -> Option<i64> {
    Some(match op {
        ArithOp::Add => a.wrapping_add(b),
        ArithOp::Sub => a.wrapping_sub(b),
        ArithOp::Mul => a.wrapping_mul(b),
        ArithOp::Div(_) | ArithOp::Mod(_) if b == 0 => return None,
        ArithOp::Div(true) => a.wrapping_div(b),
        ArithOp::Div(false) => (a as u64 / b as u64) as i64,
        ArithOp::Mod(true) => a.wrapping_rem(b),
        ArithOp::Mod(false) => (a as u64 % b as u64) as i64,
        ArithOp::And => a & b,
        ArithOp::Or => a | b,
        ArithOp::Xor => a ^ b,
        ArithOp::Shl | ArithOp::Shr(_) if !(0..64).contains(&b) => return None,
        ArithOp::Shl => a << b,
        ArithOp::Shr(true) => a >> b,
        ArithOp::Shr(false) => (a as u64 >> b) as i64,
    })
}

/// The constant `n`, which is what `e` is, with its own sign.
fn wide(e: &Expr, n: i64) -> i128 {
    match e.ty.int_shape() {
        Some((8, false)) => i128::from(n as u64),
        _ => i128::from(n),
    }
}

/// What constants come to with as many bits as it takes; `None` of operations that stay within those they have.
fn exact(op: ArithOp, a: i128, b: i128) -> Option<i128> {
    match op {
        ArithOp::Add => Some(a + b),
        ArithOp::Sub => Some(a - b),
        ArithOp::Mul => a.checked_mul(b),
        // Bits that leave at the top are gone; what a number that is not negative becomes is not either.
        ArithOp::Shl if a >= 0 => Some(i128::from((a as u64) << b)),
        _ => None,
    }
}
