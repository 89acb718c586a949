//! C definitions from the tree. (Where there is a source, they are left as written.)

use super::Printer;
use crate::ast::{CDef, CEnum, CMember, CStruct, CType};

impl Printer<'_> {
    /// A definition with its `;`.
    pub(super) fn c_def(&self, def: &CDef) -> String {
        match def {
            CDef::Struct(s) => format!("{};", self.c_struct(s, 0)),
            CDef::Enum(e) => format!("{};", self.c_enum(e, 0)),
            CDef::Typedef(member) => format!("typedef {};", self.c_member(member, 0)),
        }
    }

    fn c_struct(&self, s: &CStruct, indent: usize) -> String {
        let word = if s.union { "union" } else { "struct" };
        let name = if s.name.text.is_empty() { String::new() } else { format!(" {}", s.name.text) };
        let pad = " ".repeat(indent + 2);
        let members: String =
            s.members.iter().map(|m| format!("{pad}{};\n", self.c_member(m, indent + 2))).collect();
        let attributes = attributes(s.packed, s.align).map(|a| format!(" {a}")).unwrap_or_default();
        format!("{word}{name} {{\n{members}{}}}{attributes}", " ".repeat(indent))
    }

    fn c_enum(&self, e: &CEnum, indent: usize) -> String {
        let name = if e.name.text.is_empty() { String::new() } else { format!(" {}", e.name.text) };
        let pad = " ".repeat(indent + 2);
        let variants: String = e
            .variants
            .iter()
            .map(|(name, value)| match value {
                Some(value) => format!("{pad}{} = {},\n", name.text, self.expr(value, indent).flat()),
                None => format!("{pad}{},\n", name.text),
            })
            .collect();
        format!("enum{name} {{\n{variants}{}}}", " ".repeat(indent))
    }

    fn c_member(&self, member: &CMember, indent: usize) -> String {
        let bits = member.bits.map(|n| format!(" : {n}")).unwrap_or_default();
        // In front: behind the `}` of a struct they would be the struct's.
        let attributes = attributes(member.packed, member.align);
        let attributes = attributes.map(|a| format!("{a} ")).unwrap_or_default();
        format!("{attributes}{}{bits}", self.declaration(&member.ty, member.name.text.clone(), indent))
    }

    /// C's declarators are written from the inside out: `declarator` is what has been written so far.
    fn declaration(&self, ty: &CType, declarator: String, indent: usize) -> String {
        let base = match ty {
            CType::Ptr(inner) => {
                let inside = matches!(**inner, CType::Array(..) | CType::Function);
                let declarator = if inside { format!("(*{declarator})") } else { format!("*{declarator}") };
                return self.declaration(inner, declarator, indent);
            }
            CType::Array(inner, length) => {
                let length = length.as_ref().map(|l| self.expr(l, indent).flat()).unwrap_or_default();
                return self.declaration(inner, format!("{declarator}[{length}]"), indent);
            }
            // What it takes and returns is not in the tree, and does not matter.
            CType::Function => return format!("void {declarator}(void)"),
            CType::Base(ty) => self.ty(ty),
            CType::Inline(s) => self.c_struct(s, indent),
            CType::InlineEnum(e) => self.c_enum(e, indent),
        };
        if declarator.is_empty() { base } else { format!("{base} {declarator}") }
    }
}

/// The attributes of a struct or member, if it has any.
fn attributes(packed: bool, align: Option<u32>) -> Option<String> {
    Some(match (packed, align) {
        (false, None) => return None,
        (true, None) => "__attribute__((packed))".to_string(),
        (false, Some(n)) => format!("__attribute__((aligned({n})))"),
        (true, Some(n)) => format!("__attribute__((packed, aligned({n})))"),
    })
}
