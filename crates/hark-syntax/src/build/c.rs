//! C definitions.

use super::{Builder, Rule, Tall, inner};
use crate::MAX_DEPTH;
use crate::ast::{CDef, CEnum, CMember, CStruct, CType, Expr, ExprKind, TypeExpr, TypeKind};
use hark_diag::{Code, Span};
use pest::iterators::Pair;
use std::ops::Range;

/// What `__attribute__((aligned))` without a number means on the machines we know.
const MAX_ALIGNMENT: u32 = 16;

/// What attributes say of a struct or member.
#[derive(Clone, Copy, Default)]
struct Attributes {
    packed: bool,
    align: Option<u32>,
}

impl Builder<'_> {
    /// The definitions in `range`: one, or several for a typedef of several names; none for a declaration.
    pub(crate) fn c_def(&self, range: Range<usize>) -> Vec<CDef> {
        self.with_repairs(Rule::c_entry, range, |pairs| {
            let mut defs = Vec::new();
            for part in inner(pairs)? {
                match part.as_rule() {
                    Rule::c_struct => defs.push(CDef::Struct(self.c_struct(part, 0).0)),
                    Rule::c_enum => defs.push(CDef::Enum(self.c_enum(part, 0).0)),
                    Rule::c_typedef => {
                        defs.extend(self.c_fields(part, 0).0.into_iter().map(CDef::Typedef));
                    }
                    _ => {}
                }
            }
            Some(defs)
        })
        .unwrap_or_default()
    }

    fn c_struct(&self, pair: Pair<'_, Rule>, depth: u32) -> Tall<CStruct> {
        let span = self.span(&pair);
        let mut result = CStruct {
            name: self.no_name(span),
            union: false,
            members: Vec::new(),
            packed: false,
            align: None,
            span,
        };
        if depth >= MAX_DEPTH {
            self.report_deep_once(span);
            return Tall(result, 1);
        }
        let mut attributes = Attributes::default();
        let mut height = 0;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::kw_union => result.union = true,
                Rule::tag_name => result.name = self.name(&part, 0),
                Rule::c_member => {
                    let Tall(members, h) = self.c_fields(part, depth + 1);
                    height = height.max(h);
                    result.members.extend(members);
                }
                Rule::c_attr => self.attribute(part, &mut attributes),
                _ => {}
            }
        }
        result.packed = attributes.packed;
        result.align = attributes.align;
        Tall(result, height + 1)
    }

    /// The members that a `c_member` or `c_typedef` declares; one without name for an anonymous struct.
    fn c_fields(&self, pair: Pair<'_, Rule>, depth: u32) -> Tall<Vec<CMember>> {
        let span = self.span(&pair);
        let mut base = Tall(named("int", span), 1);
        let mut inline = false;
        let mut attributes = Attributes::default();
        let mut members = Vec::new();
        let mut height = 1;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::c_specs => {
                    base = self.c_specs(part, depth, &mut attributes);
                    inline = matches!(base.0, CType::Inline(_));
                    height = base.1;
                }
                Rule::c_field => {
                    let Tall(member, h) = self.c_field(part, &base, attributes, depth);
                    height = height.max(h);
                    members.push(member);
                }
                _ => {}
            }
        }
        if members.is_empty() && inline {
            members.push(self.nameless(span, base.0, attributes));
        }
        Tall(members, height)
    }

    /// A member that has no name yet.
    fn nameless(&self, span: Span, ty: CType, attributes: Attributes) -> CMember {
        let Attributes { packed, align } = attributes;
        CMember { name: self.no_name(span), ty, bits: None, packed, align }
    }

    /// The type, and the attributes that stand beside it: they are the members'.
    fn c_specs(&self, pair: Pair<'_, Rule>, depth: u32, attributes: &mut Attributes) -> Tall<CType> {
        let span = self.span(&pair);
        let mut ty = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::c_struct => {
                    let Tall(s, h) = self.c_struct(part, depth);
                    ty = Some(Tall(CType::Inline(Box::new(s)), h));
                }
                Rule::c_enum => {
                    let Tall(e, h) = self.c_enum(part, depth);
                    ty = Some(Tall(CType::InlineEnum(Box::new(e)), h));
                }
                Rule::ty_tag | Rule::ty_typeof | Rule::c_int | Rule::ty_name => {
                    let Tall(base, h) = self.base_type(part, depth);
                    ty = Some(Tall(CType::Base(base), h));
                }
                Rule::c_attr => self.attribute(part, attributes),
                _ => {}
            }
        }
        ty.unwrap_or_else(|| Tall(named("int", span), 1))
    }

    fn c_field(
        &self,
        pair: Pair<'_, Rule>,
        base: &Tall<CType>,
        mut attributes: Attributes,
        depth: u32,
    ) -> Tall<CMember> {
        let span = self.span(&pair);
        let mut member = self.nameless(span, named("int", span), attributes);
        let mut declared = Tall(base.0.clone(), base.1);
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::c_declarator => declared = self.declarator(part, declared, &mut member, depth),
                Rule::expr => {
                    let width = self.expr(part, depth).0;
                    member.bits = Some(self.small_constant(&width));
                }
                Rule::c_attr => self.attribute(part, &mut attributes),
                _ => {}
            }
        }
        member.ty = declared.0;
        (member.packed, member.align) = (attributes.packed, attributes.align);
        Tall(member, declared.1)
    }

    /// Applies a declarator to the type before it: stars first, then what follows the name, then what is in
    /// parentheses around the name: `int (*f)(void)` is a pointer to a function.
    fn declarator(
        &self,
        pair: Pair<'_, Rule>,
        base: Tall<CType>,
        member: &mut CMember,
        depth: u32,
    ) -> Tall<CType> {
        let span = self.span(&pair);
        let Tall(mut ty, mut height) = base;
        let mut inner_declarator = None;
        let mut suffixes = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::star => {
                    ty = CType::Ptr(Box::new(ty));
                    height += 1;
                }
                Rule::member_name => member.name = self.name(&part, 0),
                Rule::c_inner => inner_declarator = Some(part),
                Rule::ty_array | Rule::c_params => suffixes.push(part),
                _ => {}
            }
            if depth + height + suffixes.len() as u32 > MAX_DEPTH {
                self.report_deep_once(span);
                return Tall(named("int", span), 1);
            }
        }
        // `a[2][3]` is two of three: the last bracket is the innermost.
        for suffix in suffixes.into_iter().rev() {
            height += 1;
            ty = if suffix.as_rule() == Rule::c_params {
                CType::Function
            } else {
                let length = suffix
                    .into_inner()
                    .find(|p| p.as_rule() == Rule::expr)
                    .map(|p| Box::new(self.expr(p, depth + 1).0));
                CType::Array(Box::new(ty), length)
            };
        }
        match inner_declarator {
            Some(inner) if depth < MAX_DEPTH => self.declarator(inner, Tall(ty, height), member, depth + 1),
            _ => Tall(ty, height),
        }
    }

    fn c_enum(&self, pair: Pair<'_, Rule>, depth: u32) -> Tall<CEnum> {
        let span = self.span(&pair);
        let mut result = CEnum { name: self.no_name(span), variants: Vec::new(), span };
        let mut height = 0;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::tag_name => result.name = self.name(&part, 0),
                Rule::c_variant => {
                    let mut parts = part.into_inner();
                    let Some(name) = parts.next() else { continue };
                    let value = parts.find(|p| p.as_rule() == Rule::expr).map(|p| self.expr(p, depth + 1));
                    height = height.max(value.as_ref().map_or(0, |v| v.1));
                    result.variants.push((self.name(&name, 0), value.map(|v| v.0)));
                }
                _ => {}
            }
        }
        Tall(result, height + 1)
    }

    fn attribute(&self, pair: Pair<'_, Rule>, found: &mut Attributes) {
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::attr_packed => found.packed = true,
                Rule::attr_aligned => {
                    if let Some(p) = part.into_inner().find(|p| p.as_rule() == Rule::expr) {
                        let value = self.expr(p, 0).0;
                        found.align = Some(self.small_constant(&value));
                    }
                }
                Rule::attr_list => {
                    for item in part.into_inner().filter(|p| p.as_rule() == Rule::attr_item) {
                        self.attribute_item(item, found);
                    }
                }
                _ => {}
            }
        }
    }

    fn attribute_item(&self, pair: Pair<'_, Rule>, found: &mut Attributes) {
        let mut name = "";
        let mut argument = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::attr_name => name = part.as_str().trim_matches('_'),
                Rule::c_balanced => argument = Some(part),
                _ => {}
            }
        }
        match (name, argument) {
            ("packed", _) => found.packed = true,
            ("aligned", None) => found.align = Some(MAX_ALIGNMENT),
            ("aligned", Some(argument)) => {
                let offset = self.base.get() + argument.as_span().start();
                let base = self.base.get();
                let value = self.expr_or_nothing(argument.as_str(), offset);
                self.base.set(base);
                match value {
                    Some(value) => found.align = Some(self.small_constant(&value)),
                    None => self.error(Code::SYNTAX, self.span(&argument), "expected a number of bytes"),
                }
            }
            // The others do not change the layout.
            _ => {}
        }
    }

    /// The value of an expression of integer literals, for widths and alignments.
    fn small_constant(&self, expr: &Expr) -> u32 {
        let value = match &expr.kind {
            ExprKind::Int { value, .. } => u32::try_from(*value).ok(),
            ExprKind::Error => return 1,
            _ => None,
        };
        value.unwrap_or_else(|| {
            self.error(Code::NOT_CONSTANT, expr.span, "only a number can stand here");
            1
        })
    }
}

fn named(name: &str, span: Span) -> CType {
    CType::Base(TypeExpr { kind: TypeKind::Named(name.to_string()), span })
}
