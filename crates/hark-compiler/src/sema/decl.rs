//! C definitions of the script: layouts as the System V ABI has them.

use crate::ctypes::{Bits, CTypes, FieldInfo, UserStruct};
use crate::kernel_types::KernelTypes;
use crate::types::{Space, Type};
use hark_diag::{Code, Diagnostic, Severity, Span};
use hark_object::EnumTy;
use hark_syntax::ast::{self, BinOp, CDef, CEnum, CMember, CStruct, CType, ExprKind, TypeKind, UnOp};
use rustc_hash::FxHashMap;
use std::cell::Cell;

/// Deepest nesting of definitions that is followed.
const MAX_DEPTH: u32 = 32;
/// Parts of constant expressions that all definitions together may have.
const MAX_STEPS: u32 = 1_000_000;

pub(super) fn c_types(script: &ast::Script, kernel: KernelTypes, diags: &mut Vec<Diagnostic>) -> CTypes {
    let mut decl = Declarer {
        types: CTypes::new(kernel),
        defines: script.defines.iter().map(|d| (d.name.text.as_str(), &d.value)).collect(),
        anonymous: 0,
        steps: Cell::new(0),
        diags,
    };
    for def in &script.c_defs {
        match def {
            CDef::Struct(def) => {
                decl.define(def, 0);
            }
            CDef::Enum(def) => {
                decl.define_enum(def);
            }
            CDef::Typedef(member) => {
                if let Some(ty) = decl.c_type(&member.ty, member.name.span, 0) {
                    decl.types.define_typedef(&member.name.text, ty);
                }
            }
        }
    }
    decl.types
}

struct Declarer<'a, 'd> {
    types: CTypes,
    defines: FxHashMap<&'a str, &'a ast::Expr>,
    anonymous: u32,
    /// Parts of constants that were looked at, against `#define`s that double each other.
    steps: Cell<u32>,
    diags: &'d mut Vec<Diagnostic>,
}

/// Where the next member goes.
struct Cursor {
    bit: u64,
    size: u64,
    align: u32,
}

impl Declarer<'_, '_> {
    fn define(&mut self, def: &CStruct, depth: u32) -> Option<Type> {
        let name = if def.name.text.is_empty() {
            self.anonymous += 1;
            format!("(anonymous {})", self.anonymous)
        } else {
            def.name.text.clone()
        };
        let mut cursor = Cursor { bit: 0, size: 0, align: 1 };
        let mut fields: Vec<(String, FieldInfo)> = Vec::new();
        for member in &def.members {
            self.member(def, member, &mut cursor, &mut fields, depth)?;
        }
        let align = def.align.unwrap_or(1).max(cursor.align);
        let size = cursor.size.next_multiple_of(u64::from(align));
        let Ok(size) = u32::try_from(size) else {
            self.diags.push(Diagnostic::error(Code::TOO_LARGE, def.span, "the struct is larger than 4 GiB"));
            return None;
        };
        if !self.types.define_struct(&name, UserStruct { size, align, fields }) {
            let message = format!("{} {name} is defined twice", if def.union { "union" } else { "struct" });
            self.diags.push(Diagnostic::error(Code::REDEFINED, def.name.span, message));
        }
        if self.types.in_kernel(&name, def.union) {
            let kind = if def.union { "union" } else { "struct" };
            let message = format!("the kernel has a {kind} {name}, too: the script's own is used");
            let mut note = Diagnostic::warning(Code::REDEFINED, def.name.span, message);
            note.severity = Severity::Note;
            self.diags.push(note);
        }
        self.types.struct_named(&name, def.union).map(Type::Struct)
    }

    fn member(
        &mut self,
        of: &CStruct,
        member: &CMember,
        at: &mut Cursor,
        fields: &mut Vec<(String, FieldInfo)>,
        depth: u32,
    ) -> Option<()> {
        let ty = self.c_type(&member.ty, member.name.span, depth + 1)?;
        let size = u64::from(self.types.size_of(&ty));
        let own = if of.packed || member.packed { 1 } else { self.align_of(&ty) };
        let align = member.align.map_or(own, |asked| own.max(asked));
        at.align = at.align.max(align);
        if let Some(width) = member.bits {
            return self.bit_field(of, member, (ty, size), width, at, fields);
        }
        let start = if of.union { 0 } else { at.bit.div_ceil(8).next_multiple_of(u64::from(align)) };
        let offset = u32::try_from(start).ok()?;
        if member.name.text.is_empty() {
            // Members of an anonymous struct are members of the struct around it.
            if let Type::Struct(inner) = &ty {
                for name in self.types.field_names(inner) {
                    if let Some(info) = self.types.field(inner, &name) {
                        fields.push((name, FieldInfo { offset: offset + info.offset, ..info }));
                    }
                }
            }
        } else {
            let ty = match (&ty, is_char(&member.ty)) {
                (Type::Array(_, len), true) if *len > 0 => Type::Str { cap: *len },
                _ => ty,
            };
            fields.push((member.name.text.clone(), FieldInfo { offset, ty, bits: None }));
        }
        at.bit = if of.union { 0 } else { (start + size) * 8 };
        at.size = at.size.max(start + size);
        Some(())
    }

    fn bit_field(
        &mut self,
        of: &CStruct,
        member: &CMember,
        (ty, size): (Type, u64),
        width: u32,
        at: &mut Cursor,
        fields: &mut Vec<(String, FieldInfo)>,
    ) -> Option<()> {
        let unit = size * 8;
        if !ty.is_integral() || u64::from(width) > unit {
            let message = format!("{} bits do not fit {ty}", width);
            self.diags.push(Diagnostic::error(Code::TYPE_MISMATCH, member.name.span, message));
            return None;
        }
        if width == 0 {
            // `int :0;` ends the storage unit.
            at.bit = at.bit.next_multiple_of(unit);
            return Some(());
        }
        let mut bit = if of.union { 0 } else { at.bit };
        if !of.packed && bit / unit != (bit + u64::from(width) - 1) / unit {
            bit = bit.next_multiple_of(unit);
        }
        // The smallest aligned load that holds all its bits.
        let (load, start) = [1u64, 2, 4, 8]
            .into_iter()
            .map(|bytes| (bytes, bit / (bytes * 8) * bytes))
            .find(|(bytes, start)| bit + u64::from(width) <= (start + bytes) * 8)?;
        if !member.name.text.is_empty() {
            let bits = Bits { load: load as u8, shift: (bit - start * 8) as u8, width: width as u8 };
            let info = FieldInfo { offset: u32::try_from(start).ok()?, ty, bits: Some(bits) };
            fields.push((member.name.text.clone(), info));
        }
        let end = bit + u64::from(width);
        at.bit = if of.union { 0 } else { end };
        at.size = at.size.max(end.div_ceil(8));
        Some(())
    }

    fn align_of(&self, ty: &Type) -> u32 {
        match ty {
            Type::Struct(s) => self.types.struct_layout(s).1.max(1),
            Type::Array(elem, _) => self.align_of(elem),
            Type::Str { .. } | Type::Void => 1,
            Type::Opaque(ty) => ty.layout().align,
            other => self.types.size_of(other).clamp(1, 8),
        }
    }

    fn c_type(&mut self, ty: &CType, span: Span, depth: u32) -> Option<Type> {
        if depth > MAX_DEPTH {
            self.diags.push(Diagnostic::error(Code::TOO_DEEP, span, "definitions are nested too deeply"));
            return None;
        }
        match ty {
            CType::Inline(def) => self.define(def, depth + 1),
            CType::InlineEnum(def) => Some(self.define_enum(def)),
            CType::Function => Some(Type::Void),
            CType::Ptr(to) => {
                // What it points to may be declared only.
                let to = match &**to {
                    CType::Base(base) => self.base(base, true)?,
                    other => self.c_type(other, span, depth + 1)?,
                };
                Some(to.ptr(Space::Kernel))
            }
            CType::Array(elem, len) => {
                let elem = self.c_type(elem, span, depth + 1)?;
                let len = match len {
                    None => 0,
                    Some(e) => match self.constant(e, 0).and_then(|n| u32::try_from(n).ok()) {
                        Some(n) => n,
                        None => {
                            let message = "the length of an array is a constant";
                            self.diags.push(Diagnostic::error(Code::NOT_CONSTANT, e.span, message));
                            return None;
                        }
                    },
                };
                Some(Type::Array(Box::new(elem), len))
            }
            CType::Base(base) => self.base(base, false),
        }
    }

    fn base(&mut self, ty: &ast::TypeExpr, behind_pointer: bool) -> Option<Type> {
        let found = match &ty.kind {
            TypeKind::Named(name) => self.types.type_named(name),
            TypeKind::Struct(name) => self.types.struct_named(name, false).map(Type::Struct),
            TypeKind::Union(name) => self.types.struct_named(name, true).map(Type::Struct),
            TypeKind::Enum(name) => Some(self.types.enum_named(name).unwrap_or(Type::U32)),
            _ => None,
        };
        if found.is_none() && behind_pointer {
            // A struct may point to itself, or to one that is defined later: resolved by name when it is used.
            return Some(match &ty.kind {
                TypeKind::Struct(name) => {
                    Type::Struct(crate::ctypes::StructRef::User { name: name.as_str().into(), union: false })
                }
                TypeKind::Union(name) => {
                    Type::Struct(crate::ctypes::StructRef::User { name: name.as_str().into(), union: true })
                }
                _ => Type::Void,
            });
        }
        if found.is_none() {
            let what = match &ty.kind {
                TypeKind::Named(name) => name.clone(),
                TypeKind::Struct(name) => format!("struct {name}"),
                TypeKind::Union(name) => format!("union {name}"),
                _ => "this".into(),
            };
            self.diags.push(Diagnostic::error(Code::UNKNOWN_TYPE, ty.span, format!("unknown type: {what}")));
        }
        found
    }

    fn define_enum(&mut self, def: &CEnum) -> Type {
        let mut next = 0i64;
        let mut variants = Vec::new();
        for (name, value) in &def.variants {
            if let Some(value) = value {
                match self.constant(value, 0) {
                    Some(n) => next = n,
                    None => {
                        let message = "an enumerator's value is a constant";
                        self.diags.push(Diagnostic::error(Code::NOT_CONSTANT, value.span, message));
                    }
                }
            }
            variants.push((next, name.text.clone()));
            next = next.wrapping_add(1);
        }
        let signed = variants.iter().any(|(v, _)| *v < 0);
        let wide = variants.iter().any(|(v, _)| i32::try_from(*v).is_err() && u32::try_from(*v).is_err());
        let name = if def.name.text.is_empty() {
            self.anonymous += 1;
            format!("(anonymous {})", self.anonymous)
        } else {
            def.name.text.clone()
        };
        self.types.define_enum(EnumTy {
            name: name.clone(),
            bytes: if wide { 8 } else { 4 },
            signed,
            variants,
        });
        self.types.enum_named(&name).unwrap_or(Type::U32)
    }

    /// A constant expression of C.
    fn constant(&self, e: &ast::Expr, depth: u32) -> Option<i64> {
        self.steps.set(self.steps.get() + 1);
        if depth > MAX_DEPTH || self.steps.get() > MAX_STEPS {
            return None;
        }
        let eval = |e: &ast::Expr| self.constant(e, depth + 1);
        Some(match &e.kind {
            ExprKind::Int { value, .. } => *value as i64,
            ExprKind::Bool(b) => i64::from(*b),
            ExprKind::Ident(name) => match self.defines.get(name.as_str()) {
                Some(value) => eval(value)?,
                None => self.types.enumerator(name)?.0,
            },
            ExprKind::Unary(UnOp::Neg, e) => eval(e)?.wrapping_neg(),
            ExprKind::Unary(UnOp::Plus, e) => eval(e)?,
            ExprKind::Unary(UnOp::BitNot, e) => !eval(e)?,
            ExprKind::Cast(_, e) => eval(e)?,
            ExprKind::Binary(op, a, b) => {
                let (a, b) = (eval(a)?, eval(b)?);
                match op {
                    BinOp::Add => a.wrapping_add(b),
                    BinOp::Sub => a.wrapping_sub(b),
                    BinOp::Mul => a.wrapping_mul(b),
                    BinOp::Div => a.checked_div(b)?,
                    BinOp::Mod => a.checked_rem(b)?,
                    BinOp::Shl => a.checked_shl(u32::try_from(b).ok()?)?,
                    BinOp::Shr => a.checked_shr(u32::try_from(b).ok()?)?,
                    BinOp::BitOr => a | b,
                    BinOp::BitAnd => a & b,
                    BinOp::BitXor => a ^ b,
                    BinOp::Or => i64::from(a != 0 || b != 0),
                    BinOp::And => i64::from(a != 0 && b != 0),
                    BinOp::Eq => i64::from(a == b),
                    BinOp::Ne => i64::from(a != b),
                    BinOp::Lt => i64::from(a < b),
                    BinOp::Gt => i64::from(a > b),
                    BinOp::Le => i64::from(a <= b),
                    BinOp::Ge => i64::from(a >= b),
                }
            }
            _ => return None,
        })
    }
}

/// Whether it is an array of plain `char`: text.
fn is_char(ty: &CType) -> bool {
    matches!(ty, CType::Array(elem, _)
        if matches!(&**elem, CType::Base(base) if matches!(&base.kind, TypeKind::Named(name) if name == "char")))
}
