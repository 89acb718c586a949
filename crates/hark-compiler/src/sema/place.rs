//! Expressions that are places in memory: members, elements, what pointers point to. And types as written.

use super::checker::Checker;
use crate::ctypes::StructRef;
use crate::typed::{Expr, ExprKind};
use crate::types::{ArgsType, Space, Type};
use hark_diag::{Code, Diagnostic, Span, did_you_mean};
use hark_syntax::ast::{self, TypeKind};
use std::sync::Arc;

impl Checker<'_> {
    /// `*p`
    pub(super) fn deref(&mut self, value: Expr, span: Span) -> Expr {
        match value.ty.clone() {
            Type::Ptr(to, _) if *to == Type::Void => {
                let diag = Diagnostic::error(Code::TYPE_MISMATCH, span, "a void pointer cannot be followed")
                    .with_help("cast it to what it points to: *(uint64 *)p");
                self.fail(diag)
            }
            Type::Ptr(to, _) => Expr { kind: ExprKind::Deref(Box::new(value)), ty: *to, span },
            // An address from kaddr() and the like: what is there is taken as a word.
            Type::Int { .. } => {
                let span_inner = value.span;
                let ptr = Type::U64.ptr(self.space_of_number(&value));
                let ptr = Expr { kind: ExprKind::Convert(Box::new(value)), ty: ptr, span: span_inner };
                Expr { kind: ExprKind::Deref(Box::new(ptr)), ty: Type::U64, span }
            }
            Type::Unknown => Expr { kind: ExprKind::Error, ty: Type::Unknown, span },
            other => {
                let message = format!("{other} is not a pointer");
                self.fail(Diagnostic::error(Code::TYPE_MISMATCH, span, message))
            }
        }
    }

    /// `&x`
    pub(super) fn addr_of(&mut self, inner: &ast::Expr, span: Span) -> Expr {
        if let ast::ExprKind::Var(name) = &inner.kind
            && let Some(id) = self.find_var(name)
        {
            self.mark_assigned(id);
        }
        let value = self.expr(inner);
        let space = match &value.kind {
            ExprKind::Var(_) | ExprKind::MapGet(..) => Space::Own,
            ExprKind::Field { .. } | ExprKind::Index { .. } | ExprKind::Deref(_) => self.space_of(&value),
            ExprKind::Error => return value,
            _ => {
                let diag = Diagnostic::error(Code::TYPE_MISMATCH, span, "this has no address")
                    .with_help("& takes a variable, a map access or a member");
                return self.fail(diag);
            }
        };
        let ty = value.ty.clone().ptr(space);
        Expr { kind: ExprKind::AddrOf(Box::new(value)), ty, span }
    }

    /// The memory that a number is an address in. What a builtin tells is of the probe's own side: an argument, the
    /// address of a symbol. What a probe in the kernel found elsewhere may be of either: `mm->arg_start` is a user's.
    pub(crate) fn space_of_number(&self, number: &Expr) -> Space {
        match (self.context.space(), &number.kind) {
            (Space::Kernel, ExprKind::Call(_)) => Space::Kernel,
            (Space::Kernel, _) => Space::Any,
            (space, _) => space,
        }
    }

    /// The memory that a place lies in.
    pub(crate) fn space_of(&self, place: &Expr) -> Space {
        match &place.kind {
            ExprKind::Deref(ptr) => match ptr.ty {
                Type::Ptr(_, space) => space,
                _ => Space::Kernel,
            },
            ExprKind::Field { base, .. } | ExprKind::Index { base, .. } | ExprKind::Member(base, _) => {
                self.space_of(base)
            }
            _ => Space::Own,
        }
    }

    /// `x.name`, `x->name`
    pub(super) fn field(&mut self, base: &ast::Expr, field: &ast::Name, span: Span) -> Expr {
        let base = self.value(base);
        let base = match &base.ty {
            Type::Ptr(to, _) if matches!(**to, Type::Struct(_)) => {
                let span = base.span;
                self.deref(base, span)
            }
            _ => base,
        };
        match base.ty.clone() {
            Type::Struct(of) => match self.types.field(&of, &field.text) {
                Some(info) => {
                    // Pointers found in memory are as good as the memory they were found in.
                    let space = self.space_of(&base);
                    let ty = match info.ty {
                        Type::Ptr(to, _) => {
                            let space = match space {
                                Space::Own => Space::Kernel,
                                Space::Trusted
                                    if !matches!(*to, Type::Struct(_))
                                        || bpf_facts::member_may_be_null(of.tag(), &field.text) =>
                                {
                                    Space::Kernel
                                }
                                other => other,
                            };
                            Type::Ptr(to, space)
                        }
                        // The characters of an array may fill it. Those of the kernel's own end within it.
                        Type::Str { cap } if matches!(of, StructRef::User { .. }) => {
                            Type::Str { cap: cap + 1 }
                        }
                        other => other,
                    };
                    let kind = ExprKind::Field { base: Box::new(base), offset: info.offset, bits: info.bits };
                    Expr { kind, ty, span }
                }
                None => {
                    let message = format!("{of} has no member {}", field.text);
                    let mut diag = Diagnostic::error(Code::UNKNOWN_FIELD, field.span, message);
                    let names = self.types.field_names(&of);
                    if let Some(near) = did_you_mean(&field.text, names.iter().map(String::as_str)) {
                        diag = diag.with_help(format!("did you mean `{near}`?"));
                    }
                    self.fail(diag)
                }
            },
            Type::Args(args) => self.arg(&args, field, span),
            Type::Record(fields) => match fields.iter().position(|(name, _)| *name == field.text) {
                Some(i) => {
                    // A member of a record of constants is one.
                    if let ExprKind::Tuple(values) = &base.kind
                        && values.iter().all(|v| matches!(v.kind, ExprKind::Int(_) | ExprKind::Str(_)))
                        && let Some(value) = values.get(i)
                    {
                        return Expr { span, ..value.clone() };
                    }
                    let ty = fields[i].1.clone();
                    let is_constant = |e: &Expr| matches!(e.kind, ExprKind::Int(_) | ExprKind::Str(_));
                    match base.kind {
                        // Of a record of constants only the member is left.
                        ExprKind::Tuple(mut members) if members.iter().all(is_constant) => {
                            Expr { span, ..members.swap_remove(i) }
                        }
                        kind => {
                            let base = Box::new(Expr { kind, ..base });
                            Expr { kind: ExprKind::Member(base, i as u32), ty, span }
                        }
                    }
                }
                None => {
                    let message = format!("the record has no field {}", field.text);
                    let mut diag = Diagnostic::error(Code::UNKNOWN_FIELD, field.span, message);
                    if let Some(near) = did_you_mean(&field.text, fields.iter().map(|(n, _)| n.as_str())) {
                        diag = diag.with_help(format!("did you mean `{near}`?"));
                    }
                    self.fail(diag)
                }
            },
            Type::Unknown => Expr { kind: ExprKind::Error, ty: Type::Unknown, span },
            other => {
                let mut diag =
                    Diagnostic::error(Code::TYPE_MISMATCH, span, format!("{other} has no members"));
                if matches!(other, Type::Int { .. }) {
                    diag = diag.with_help("cast it to a pointer to a struct: ((struct task_struct *)x).pid");
                }
                self.fail(diag)
            }
        }
    }

    fn arg(&mut self, args: &Arc<ArgsType>, field: &ast::Name, span: Span) -> Expr {
        match args.fields.iter().find(|f| f.name == field.text) {
            Some(found) => Expr { kind: ExprKind::Arg(found.place.clone()), ty: found.ty.clone(), span },
            None => {
                let message = format!("{} has no argument {}", args.name, field.text);
                let mut diag = Diagnostic::error(Code::UNKNOWN_FIELD, field.span, message);
                let names: Vec<&str> = args.fields.iter().map(|f| f.name.as_str()).collect();
                diag = match did_you_mean(&field.text, names.iter().copied()) {
                    Some(near) => diag.with_help(format!("did you mean `{near}`?")),
                    None => diag.with_help(format!("it has {}", names.join(", "))),
                };
                self.fail(diag)
            }
        }
    }

    /// `x.0`
    pub(super) fn tuple_member(&mut self, base: Expr, index: u32, span: Span) -> Expr {
        match &base.ty {
            Type::Tuple(members) => match members.get(index as usize) {
                Some(ty) => {
                    let ty = ty.clone();
                    Expr { kind: ExprKind::Member(Box::new(base), index), ty, span }
                }
                None => {
                    let message = format!("the tuple has {} members, there is no .{index}", members.len());
                    self.fail(Diagnostic::error(Code::UNKNOWN_FIELD, span, message))
                }
            },
            Type::Unknown => Expr { kind: ExprKind::Error, ty: Type::Unknown, span },
            other => {
                let message = format!("{other} is not a tuple");
                self.fail(Diagnostic::error(Code::TYPE_MISMATCH, span, message))
            }
        }
    }

    /// `x[i]`
    pub(super) fn index(&mut self, base: &ast::Expr, index: &ast::Expr, span: Span) -> Expr {
        let base = self.value(base);
        let index = self.integer(index);
        if let (Type::Tuple(_), Some(n)) = (&base.ty, index.as_int()) {
            return self.tuple_member(base, u32::try_from(n).unwrap_or(u32::MAX), span);
        }
        let out_of_bounds = |cx: &mut Self, n: i64, len: u32| {
            let message = format!("index {n} is outside the array of {len}");
            cx.fail(Diagnostic::error(Code::TYPE_MISMATCH, span, message))
        };
        let (base, elem, len) = match base.ty.clone() {
            Type::Array(elem, len) => (base, *elem, Some(len)),
            Type::Str { cap } => (base, Type::Int { bytes: 1, signed: true }, Some(cap)),
            Type::Ptr(to, _) if *to != Type::Void => {
                // p[i] is *(p + i).
                let size = self.types.size_of(&to).max(1);
                let ty = base.ty.clone();
                let sum = Expr { kind: ExprKind::PtrAdd(Box::new(base), Box::new(index), size), ty, span };
                return self.deref(sum, span);
            }
            Type::Unknown => return Expr { kind: ExprKind::Error, ty: Type::Unknown, span },
            other => {
                let message = format!("{other} has no elements");
                return self.fail(Diagnostic::error(Code::TYPE_MISMATCH, span, message));
            }
        };
        let size = self.types.size_of(&elem).max(1);
        // A flexible array says length 0: its end is not known.
        let known_len = len.filter(|l| *l > 0);
        if let (Some(n), Some(len)) = (index.as_int(), known_len)
            && !(0..i64::from(len)).contains(&n)
        {
            return out_of_bounds(self, n, len);
        }
        let bound = if index.as_int().is_some() { None } else { known_len };
        let kind = ExprKind::Index { base: Box::new(base), index: Box::new(index), size, bound };
        Expr { kind, ty: elem, span }
    }

    /// A type as written.
    pub(crate) fn type_expr(&mut self, ty: &ast::TypeExpr) -> Option<Type> {
        let unknown = |cx: &mut Self, what: &str, names: Vec<String>, name: &str| {
            let mut diag = Diagnostic::error(Code::UNKNOWN_TYPE, ty.span, format!("unknown type: {what}"));
            if let Some(near) = did_you_mean(name, names.iter().map(String::as_str)) {
                diag = diag.with_help(format!("did you mean `{near}`?"));
            } else if cx.types.btf().is_none() {
                diag = diag.with_help("the kernel has no BTF: define the type in the script");
            }
            cx.report(diag);
            None
        };
        match &ty.kind {
            TypeKind::Named(name) => match name.as_str() {
                "string" => Some(Type::Str { cap: self.config.max_strlen as u32 }),
                "buffer" => Some(Type::Buf { cap: self.config.max_strlen as u32 - 4 }),
                _ => match self.types.type_named(name) {
                    Some(ty) => Some(ty),
                    // C++ style: the tag alone.
                    None => match self.types.struct_named(name, false) {
                        Some(s) => Some(Type::Struct(s)),
                        None => unknown(self, name, BASE_TYPES.iter().map(|s| s.to_string()).collect(), name),
                    },
                },
            },
            TypeKind::Struct(name) | TypeKind::Union(name) => {
                let union = matches!(ty.kind, TypeKind::Union(_));
                match self.types.struct_named(name, union) {
                    Some(s) => Some(Type::Struct(s)),
                    None => {
                        let names = self.types.struct_names().into_iter().map(str::to_string).collect();
                        unknown(
                            self,
                            &format!("{} {name}", if union { "union" } else { "struct" }),
                            names,
                            name,
                        )
                    }
                }
            }
            TypeKind::Enum(name) => match self.types.enum_named(name) {
                Some(ty) => Some(ty),
                None => unknown(self, &format!("enum {name}"), Vec::new(), name),
            },
            // Nobody writes whose memory it points into.
            TypeKind::Ptr(to) => self.type_expr(to).map(|t| t.ptr(Space::Any)),
            TypeKind::Array(elem, len) => {
                let len = match len {
                    Some(len) => {
                        let n = self.integer(len);
                        match n.as_int().and_then(|n| u32::try_from(n).ok()) {
                            Some(n) => n,
                            None => {
                                let message = "the length of an array is a constant";
                                self.report(Diagnostic::error(Code::NOT_CONSTANT, len.span, message));
                                return None;
                            }
                        }
                    }
                    None => 0,
                };
                match &elem.kind {
                    TypeKind::Named(name) if name == "string" => Some(Type::Str { cap: len.max(1) }),
                    TypeKind::Named(name) if name == "buffer" => Some(Type::Buf { cap: len }),
                    _ => self.type_expr(elem).map(|t| Type::Array(Box::new(t), len)),
                }
            }
            TypeKind::Tuple(members) => {
                members.iter().map(|m| self.type_expr(m)).collect::<Option<Vec<_>>>().map(Type::Tuple)
            }
            TypeKind::Typeof(what) => match &**what {
                ast::Arg::Type(ty) => self.type_expr(ty),
                ast::Arg::Expr(e) => {
                    self.unevaluated += 1;
                    let ty = self.value(e).ty;
                    self.unevaluated -= 1;
                    Some(ty)
                }
            },
        }
    }
}

const BASE_TYPES: &[&str] = &[
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "string", "buffer",
    "void", "char", "short", "int", "long", "unsigned",
];
