//! Joins of types: what a variable or map must be to hold everything that is assigned to it.

use crate::typed::{Expr, ExprKind};
use crate::types::{Space, Type};

impl Type {
    /// With every literal taken as signed: the type once inference has ended.
    pub fn settled(&self) -> Type {
        match self {
            Type::Literal(bytes) => Type::Int { bytes: *bytes, signed: true },
            Type::Tuple(members) => Type::Tuple(members.iter().map(Type::settled).collect()),
            Type::Record(fields) => {
                Type::Record(fields.iter().map(|(n, t)| (n.clone(), t.settled())).collect())
            }
            other => other.clone(),
        }
    }

    /// The smallest signed literal type that holds `value`.
    pub fn of_literal(value: u64) -> Type {
        match value {
            0..=0x7f => Type::Int { bytes: 1, signed: true },
            0x80..=0x7fff => Type::Int { bytes: 2, signed: true },
            0x8000..=0x7fff_ffff => Type::Int { bytes: 4, signed: true },
            0x8000_0000..=0x7fff_ffff_ffff_ffff => Type::I64,
            _ => Type::U64,
        }
    }
}

impl Expr {
    /// Whether it is a literal that takes the sign of what it meets.
    pub fn is_flexible(&self) -> bool {
        matches!((&self.kind, &self.ty), (ExprKind::Int(value), Type::Int { signed: true, .. }) if *value >= 0)
    }

    /// Its type for inference: literals keep their sign open.
    pub fn inferred(&self) -> Type {
        match (&self.kind, &self.ty) {
            (_, Type::Int { bytes, .. }) if self.is_flexible() => Type::Literal(*bytes),
            (ExprKind::Tuple(members), Type::Tuple(_)) => {
                Type::Tuple(members.iter().map(Expr::inferred).collect())
            }
            (ExprKind::Tuple(members), Type::Record(fields)) => Type::Record(
                fields.iter().zip(members).map(|((name, _), m)| (name.clone(), m.inferred())).collect(),
            ),
            (_, ty) => ty.clone(),
        }
    }
}

/// The type that holds values of both; `None` if there is none.
pub(crate) fn join(a: &Type, b: &Type) -> Option<Type> {
    if a == b {
        return Some(a.clone());
    }
    Some(match (a, b) {
        (Type::Unknown, other) | (other, Type::Unknown) => other.clone(),
        (Type::Literal(x), Type::Literal(y)) => Type::Literal(*x.max(y)),
        (Type::Literal(x), Type::Int { bytes, signed }) | (Type::Int { bytes, signed }, Type::Literal(x)) => {
            Type::Int { bytes: *bytes.max(x), signed: *signed }
        }
        (Type::Int { bytes: x, signed: s }, Type::Int { bytes: y, signed: t }) => {
            join_ints((*x, *s), (*y, *t))
        }
        (Type::Literal(_), ptr @ Type::Ptr(..)) | (ptr @ Type::Ptr(..), Type::Literal(_)) => ptr.parked(),
        // Where a variable lies: what it holds may still grow.
        (Type::Ptr(x, Space::Own), Type::Ptr(y, Space::Own)) if join(x, y).is_some() => {
            join(x, y)?.ptr(Space::Own)
        }
        (Type::Ptr(x, s), Type::Ptr(y, t)) => {
            // Pointers to different things: the first one's type stays, as in C with a warning.
            let to = if **x == Type::Void { y } else { x };
            Type::Ptr(to.clone(), join_spaces(*s, *t))
        }
        (Type::Enum(e), Type::Literal(x)) | (Type::Literal(x), Type::Enum(e)) => {
            if *x <= e.bytes {
                Type::Enum(e.clone())
            } else {
                join_ints((e.bytes, e.signed), (*x, true))
            }
        }
        (Type::Enum(e), Type::Int { bytes, signed }) | (Type::Int { bytes, signed }, Type::Enum(e)) => {
            join_ints((e.bytes, e.signed), (*bytes, *signed))
        }
        (Type::Enum(x), Type::Enum(y)) => join_ints((x.bytes, x.signed), (y.bytes, y.signed)),
        (Type::Str { cap: x }, Type::Str { cap: y }) => Type::Str { cap: *x.max(y) },
        (Type::Buf { cap: x }, Type::Buf { cap: y }) => Type::Buf { cap: *x.max(y) },
        (Type::Tuple(x), Type::Tuple(y)) if x.len() == y.len() => {
            Type::Tuple(x.iter().zip(y).map(|(x, y)| join(x, y)).collect::<Option<_>>()?)
        }
        (Type::Record(x), Type::Record(y)) if x.len() == y.len() => {
            let mut fields = Vec::with_capacity(x.len());
            for (name, ty) in x {
                let (_, other) = y.iter().find(|(n, _)| n == name)?;
                fields.push((name.clone(), join(ty, other)?));
            }
            Type::Record(fields)
        }
        _ => return None,
    })
}

/// Where an address of either may lie.
fn join_spaces(a: Space, b: Space) -> Space {
    match (a, b) {
        (a, b) if a == b => a,
        (Space::User | Space::Any, _) | (_, Space::User | Space::Any) => Space::Any,
        _ => Space::Kernel,
    }
}

/// Same sign: the wider. A signed one that is wider than the unsigned: that. Otherwise signed and twice as wide.
fn join_ints((x, s): (u8, bool), (y, t): (u8, bool)) -> Type {
    if s == t {
        return Type::Int { bytes: x.max(y), signed: s };
    }
    let (signed_bytes, unsigned_bytes) = if s { (x, y) } else { (y, x) };
    let bytes = if signed_bytes > unsigned_bytes { signed_bytes } else { (unsigned_bytes * 2).min(8) };
    Type::Int { bytes, signed: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    const U8: Type = Type::Int { bytes: 1, signed: false };
    const I8: Type = Type::Int { bytes: 1, signed: true };
    const I16: Type = Type::Int { bytes: 2, signed: true };

    #[test]
    fn integers_join_as_documented() {
        assert_eq!(join(&U8, &I8), Some(I16));
        assert_eq!(join(&U8, &Type::I64), Some(Type::I64));
        assert_eq!(join(&Type::U64, &Type::I64), Some(Type::I64));
        assert_eq!(join(&Type::Literal(1), &Type::U32), Some(Type::U32));
        assert_eq!(join(&Type::Literal(8), &Type::U32), Some(Type::U64));
        assert_eq!(join(&Type::Str { cap: 3 }, &Type::Str { cap: 9 }), Some(Type::Str { cap: 9 }));
        assert_eq!(join(&Type::Str { cap: 3 }, &U8), None);
    }

    #[test]
    fn join_is_commutative_and_idempotent_on_integers() {
        let ints: Vec<Type> = [1u8, 2, 4, 8]
            .into_iter()
            .flat_map(|bytes| {
                [Type::Int { bytes, signed: true }, Type::Int { bytes, signed: false }, Type::Literal(bytes)]
            })
            .collect();
        for a in &ints {
            assert_eq!(join(a, a).as_ref(), Some(a));
            for b in &ints {
                assert_eq!(join(a, b), join(b, a), "{a} {b}");
            }
        }
    }
}
