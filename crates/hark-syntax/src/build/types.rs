//! Types.

use super::{Builder, MAX_EXPANSIONS, Rule, Tall};
use crate::ast::{Arg, TypeExpr, TypeKind};
use crate::{MAX_DEPTH, recover};
use hark_diag::Span;
use pest::iterators::Pair;

impl Builder<'_> {
    /// A `ty`, `ty_sure` or `ty_bare` pair: a base and what follows it, read from left to right.
    pub(super) fn ty(&self, pair: Pair<'_, Rule>, depth: u32) -> Tall<TypeExpr> {
        let span = self.span(&pair);
        if depth >= MAX_DEPTH {
            self.report_deep_once(span);
            return unknown(span);
        }
        let mut result = unknown(span);
        for part in pair.into_inner() {
            let part_span = self.span(&part);
            match part.as_rule() {
                Rule::star => {
                    let span = result.0.span.to(part_span);
                    result = Tall(TypeExpr { kind: TypeKind::Ptr(Box::new(result.0)), span }, result.1 + 1);
                }
                Rule::ty_array => {
                    let span = result.0.span.to(part_span);
                    let length = part
                        .into_inner()
                        .find(|p| p.as_rule() == Rule::expr)
                        .map(|p| self.expr(p, depth + 1));
                    let height = result.1.max(length.as_ref().map_or(0, |l| l.1)) + 1;
                    let kind = TypeKind::Array(Box::new(result.0), length.map(|l| Box::new(l.0)));
                    result = Tall(TypeExpr { kind, span }, height);
                }
                Rule::ty_tag | Rule::ty_typeof | Rule::ty_tuple | Rule::sure_tuple => {
                    result = self.base_type(part, depth);
                }
                Rule::c_int | Rule::ty_name | Rule::sure_name => result = self.base_type(part, depth),
                // `const` and attributes say nothing that tracing needs.
                _ => {}
            }
            if depth + result.1 > MAX_DEPTH {
                self.report_deep_once(span);
                return unknown(span);
            }
        }
        result
    }

    /// A type without stars and brackets.
    pub(super) fn base_type(&self, pair: Pair<'_, Rule>, depth: u32) -> Tall<TypeExpr> {
        let span = self.span(&pair);
        let rule = pair.as_rule();
        let mut height = 1;
        let kind = match rule {
            Rule::ty_name | Rule::sure_name => {
                if let Some(defined) = self.defined_type(pair.as_str(), span, depth) {
                    return defined;
                }
                TypeKind::Named(pair.as_str().to_string())
            }
            Rule::c_int => {
                let words: Vec<&str> =
                    pair.into_inner().filter(|p| p.as_rule() == Rule::c_word).map(|p| p.as_str()).collect();
                TypeKind::Named(words.join(" "))
            }
            Rule::ty_tag => {
                let mut parts = pair.into_inner();
                let keyword = parts.next().map(|p| p.as_rule());
                let tag = parts.next().map(|p| p.as_str().to_string()).unwrap_or_default();
                match keyword {
                    Some(Rule::kw_union) => TypeKind::Union(tag),
                    Some(Rule::kw_enum) => TypeKind::Enum(tag),
                    _ => TypeKind::Struct(tag),
                }
            }
            Rule::ty_typeof => {
                let arg = pair.into_inner().find_map(|part| match part.as_rule() {
                    Rule::expr => {
                        let Tall(expr, h) = self.expr(part, depth + 1);
                        height += h;
                        Some(Arg::Expr(expr))
                    }
                    Rule::ty_arg => {
                        let Tall(ty, h) = self.ty(part.into_inner().next()?, depth + 1);
                        height += h;
                        Some(Arg::Type(ty))
                    }
                    _ => None,
                });
                match arg {
                    Some(arg) => TypeKind::Typeof(Box::new(arg)),
                    None => TypeKind::Named(String::new()),
                }
            }
            _ => {
                let mut tallest = 0;
                let parts = pair
                    .into_inner()
                    .filter(|p| matches!(p.as_rule(), Rule::ty | Rule::ty_sure))
                    .map(|p| {
                        let Tall(ty, h) = self.ty(p, depth + 1);
                        tallest = tallest.max(h);
                        ty
                    })
                    .collect();
                height += tallest;
                TypeKind::Tuple(parts)
            }
        };
        Tall(TypeExpr { kind, span }, height)
    }
}

impl Builder<'_> {
    /// The type that a `#define` stands for.
    fn defined_type(&self, name: &str, span: Span, depth: u32) -> Option<Tall<TypeExpr>> {
        let text = self.objects.get(name)?.text.as_ref()?.text.as_str();
        if self.expansions >= MAX_EXPANSIONS || recover::too_deep(text).is_some() {
            return None;
        }
        let pairs = super::grammar(Rule::type_entry, text).ok()?;
        let inner = self.for_expansion(text, span);
        let ty = inner.ty(super::first_inner(pairs)?, depth);
        self.end_expansion(&inner);
        Some(ty)
    }
}

/// Stands where the type could not be understood; there has been a message.
fn unknown(span: Span) -> Tall<TypeExpr> {
    Tall(TypeExpr { kind: TypeKind::Named(String::new()), span }, 1)
}
