//! Types as C writes them.
//!
//! The text is that of `bpftool btf dump … format c` and `bpftrace -lv 'struct x'`, to the space: scripts and people
//! compare them. Holes that the compiler would not leave by itself are shown as unnamed bitfields (`long: 64;`).

use std::fmt::Write as _;

use crate::btf::Btf;
use crate::kind::{Kind, TypeId};
use crate::layout::{MAX_CHAIN, MAX_STEPS};
use crate::types::Type;

/// Deepest nesting of definitions and signatures that is printed.
const MAX_DEPTH: usize = 32;
/// Most text that one question gets, in bytes; the largest definition of a kernel has about 20,000.
const MAX_TEXT: usize = 1 << 20;
/// Stands for what cannot be printed: broken, or beyond the limits.
const UNPRINTABLE: &str = "<broken type>";

impl Btf {
    /// The type as C names it: `struct task_struct *`, `const char *`, `u8[16]`, `int (*)(void)`.
    pub fn type_name(&self, id: TypeId) -> String {
        self.declaration(id, "")
    }

    /// The declaration of `name` with this type, without semicolon: `struct file *f`, `char comm[16]`.
    pub fn declaration(&self, id: TypeId, name: &str) -> String {
        let mut text = Text { btf: self, out: String::new(), steps: MAX_STEPS };
        text.declaration(id, name, 0);
        text.out
    }

    /// The definition of a struct, union or enumeration, closing semicolon included and members indented by tabs;
    /// `None` for other kinds. Anonymous types inside are written out, named ones are not.
    pub fn definition(&self, id: TypeId) -> Option<String> {
        let ty = self.type_by_id(id)?;
        let mut text = Text { btf: self, out: String::new(), steps: MAX_STEPS };
        match ty.kind() {
            Kind::Struct | Kind::Union => text.composite(&ty, 0),
            Kind::Enum | Kind::Enum64 => text.enumeration(&ty, 0),
            _ => return None,
        }
        text.out.push(';');
        Some(text.out)
    }
}

struct Text<'a> {
    btf: &'a Btf,
    out: String,
    /// What is left for finding alignments.
    steps: usize,
}

impl<'a> Text<'a> {
    fn line(&mut self, depth: usize) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n('\t', depth));
    }

    fn align(&mut self, id: TypeId) -> u64 {
        self.btf.align_within(id, 0, &mut self.steps).unwrap_or(1)
    }

    /// A C declaration reads from the inside out: the chain of types is collected from the declared name to the
    /// innermost type, and written back from there.
    fn declaration(&mut self, id: TypeId, name: &str, depth: usize) {
        let mut chain = Vec::new();
        let mut next = Some(id);
        while let Some(id) = next {
            let Some(ty) = self.btf.type_by_id(id) else { return self.out.push_str(UNPRINTABLE) };
            next = match ty.kind() {
                Kind::Array => ty.array().map(|a| a.element),
                Kind::Ptr | Kind::FuncProto => ty.target(),
                kind if kind.is_qualifier() => ty.target(),
                _ => None,
            };
            chain.push(ty);
            if chain.len() > MAX_CHAIN {
                return self.out.push_str(UNPRINTABLE);
            }
        }
        if depth > MAX_DEPTH || self.out.len() > MAX_TEXT {
            return self.out.push_str(UNPRINTABLE);
        }
        self.chain(&mut chain, name, depth);
    }

    /// Writes the chain from its end; what is left in it when an array or function is met goes inside brackets.
    fn chain(&mut self, chain: &mut Vec<Type<'a>>, name: &str, depth: usize) {
        // Whether the text ends in `*` or `(`, to which a name is joined without a space.
        let mut tight = true;
        while let Some(ty) = chain.pop() {
            match ty.kind() {
                Kind::Ptr => self.out.push_str(if tight { "*" } else { " *" }),
                Kind::Volatile => self.out.push_str(" volatile"),
                Kind::Const => self.out.push_str(" const"),
                Kind::Restrict => self.out.push_str(" restrict"),
                Kind::TypeTag => {
                    self.leading_qualifiers(chain);
                    let _ = write!(self.out, " __attribute__((btf_type_tag(\"{}\")))", ty.name());
                }
                Kind::Array => return self.array(&ty, chain, name, tight, depth),
                Kind::FuncProto => return self.signature(&ty, chain, name, tight, depth),
                _ => {
                    self.leading_qualifiers(chain);
                    self.innermost(&ty, depth);
                }
            }
            tight = ty.kind() == Kind::Ptr;
        }
        self.name(name, tight);
    }

    fn name(&mut self, name: &str, tight: bool) {
        if !name.is_empty() && !tight {
            self.out.push(' ');
        }
        self.out.push_str(name);
    }

    /// `const`, `volatile` and `restrict` of the innermost type stand before it.
    fn leading_qualifiers(&mut self, chain: &mut Vec<Type<'a>>) {
        while let Some(ty) = chain.last() {
            self.out.push_str(match ty.kind() {
                Kind::Volatile => "volatile ",
                Kind::Const => "const ",
                Kind::Restrict => "restrict ",
                _ => return,
            });
            chain.pop();
        }
    }

    /// Qualifiers of an array or function are those of its elements or its result, which have them already.
    fn drop_qualifiers(chain: &mut Vec<Type<'a>>) {
        while chain.last().is_some_and(|ty| ty.kind().is_qualifier() && ty.kind() != Kind::TypeTag) {
            chain.pop();
        }
    }

    fn array(&mut self, ty: &Type<'a>, chain: &mut Vec<Type<'a>>, name: &str, tight: bool, depth: usize) {
        let len = ty.array().map_or(0, |a| a.len);
        Self::drop_qualifiers(chain);
        if chain.is_empty() {
            self.name(name, tight);
        } else {
            let nested = chain.last().is_some_and(|t| t.kind() == Kind::Array);
            if !name.is_empty() && !tight {
                self.out.push(' ');
            }
            if !nested {
                self.out.push('(');
            }
            self.chain(chain, name, depth);
            if !nested {
                self.out.push(')');
            }
        }
        let _ = write!(self.out, "[{len}]");
    }

    fn signature(&mut self, ty: &Type<'a>, chain: &mut Vec<Type<'a>>, name: &str, tight: bool, depth: usize) {
        Self::drop_qualifiers(chain);
        if chain.is_empty() {
            self.name(name, tight);
        } else {
            self.out.push_str(" (");
            self.chain(chain, name, depth);
            self.out.push(')');
        }
        let n = ty.vlen() as usize;
        let unnamed = n == 0 || n == 1 && ty.params().all(|p| p.ty == TypeId::VOID);
        self.out.push_str(if unnamed { "(void" } else { "(" });
        for (i, param) in ty.params().enumerate().filter(|_| !unnamed) {
            if i > 0 {
                self.out.push_str(", ");
            }
            if i + 1 == n && param.ty == TypeId::VOID {
                self.out.push_str("...");
            } else {
                self.declaration(param.ty, param.name, depth + 1);
            }
            if self.out.len() > MAX_TEXT {
                break;
            }
        }
        self.out.push(')');
    }

    fn innermost(&mut self, ty: &Type<'a>, depth: usize) {
        let name = ty.name();
        let word = match ty.kind() {
            Kind::Void => return self.out.push_str("void"),
            Kind::Struct if name.is_empty() => return self.composite(ty, depth),
            Kind::Union if name.is_empty() => return self.composite(ty, depth),
            Kind::Enum | Kind::Enum64 if name.is_empty() => return self.enumeration(ty, depth),
            Kind::Struct => "struct ",
            Kind::Union => "union ",
            Kind::Enum | Kind::Enum64 => "enum ",
            Kind::Fwd if ty.is_union_fwd() => "union ",
            Kind::Fwd => "struct ",
            _ => "",
        };
        self.out.push_str(word);
        self.out.push_str(name);
    }

    fn composite(&mut self, ty: &Type<'a>, depth: usize) {
        if depth > MAX_DEPTH || self.out.len() > MAX_TEXT {
            return self.out.push_str(UNPRINTABLE);
        }
        let is_struct = ty.kind() == Kind::Struct;
        self.out.push_str(if is_struct { "struct" } else { "union" });
        self.name(ty.name(), false);
        self.out.push_str(" {");
        let packed = is_struct && self.btf.is_packed(ty, &mut self.steps);
        let mut holes = Holes { end: 0, after_bitfield: false };
        for member in ty.members() {
            let start = u64::from(member.bit_offset);
            let align = if packed { 1 } else { self.align(member.ty) };
            self.hole(&holes, start, align, holes.after_bitfield && member.bitfield.is_some(), depth + 1);
            self.line(depth + 1);
            self.declaration(member.ty, member.name, depth + 1);
            let bits = match member.bitfield {
                Some(width) => {
                    let _ = write!(self.out, ": {width}");
                    u64::from(width)
                }
                None => self.btf.size_of(member.ty).unwrap_or(0).saturating_mul(8),
            };
            self.out.push(';');
            holes = Holes { end: start.saturating_add(bits), after_bitfield: member.bitfield.is_some() };
            if self.out.len() > MAX_TEXT {
                break;
            }
        }
        let size = ty.stated_size().unwrap_or(0);
        if is_struct {
            let align = if packed { 1 } else { self.align(ty.id()) };
            self.hole(&holes, u64::from(size) * 8, align, false, depth + 1);
        }
        if ty.vlen() > 0 || size > 0 {
            self.line(depth);
        }
        self.out.push('}');
        if packed {
            self.out.push_str(" __attribute__((packed))");
        }
    }

    /// Unnamed bitfields that move the next member from where the last one ended to `to` (both in bits), where a
    /// member of `align` bytes would not go by itself.
    fn hole(&mut self, from: &Holes, to: u64, align: u64, in_bitfield: bool, depth: usize) {
        const UNITS: [(&str, u64); 4] = [("long", 64), ("int", 32), ("short", 16), ("char", 8)];
        let mut at = from.end;
        if at >= to {
            return;
        }
        // The largest unit whose boundary lies within the hole; the compiler aligns to it by itself or when told.
        let fitting = UNITS.iter().find(|(_, bits)| at.next_multiple_of(*bits) <= to);
        let (unit, bits) = *fitting.unwrap_or(&UNITS[3]);
        let boundary = at.next_multiple_of(bits);
        if boundary > at && boundary <= to {
            let natural = at.next_multiple_of(align.max(1).saturating_mul(8));
            let member_would_stop_short = boundary == to && natural != boundary;
            let rest_would_fit_before = boundary != to && to - boundary <= boundary - at;
            if in_bitfield || member_would_stop_short || rest_would_fit_before {
                let width = if in_bitfield { boundary - at } else { 0 };
                self.line(depth);
                let _ = write!(self.out, "{unit}: {width};");
            }
            at = boundary;
        }
        while at < to && self.out.len() <= MAX_TEXT {
            let gap = (to - at).min(bits);
            let (unit, _) = if gap == bits {
                (unit, bits)
            } else {
                *UNITS.iter().rev().find(|(_, bits)| *bits >= gap).unwrap_or(&UNITS[0])
            };
            self.line(depth);
            let _ = write!(self.out, "{unit}: {gap};");
            at += gap;
        }
    }

    fn enumeration(&mut self, ty: &Type<'a>, depth: usize) {
        self.out.push_str("enum");
        self.name(ty.name(), false);
        if ty.vlen() == 0 {
            return;
        }
        self.out.push_str(" {");
        let wide = ty.kind() == Kind::Enum64;
        for e in ty.enumerators() {
            self.line(depth + 1);
            let suffix = match (wide, ty.is_signed_enum()) {
                (false, _) => "",
                (true, true) => "LL",
                (true, false) => "ULL",
            };
            let _ = write!(self.out, "{} = {}{suffix},", e.name, e.value);
        }
        self.line(depth);
        self.out.push('}');
        // Sizes other than int's need the attribute that made them.
        match ty.stated_size() {
            Some(1) => self.out.push_str(" __attribute__((mode(byte)))"),
            Some(8) if !wide => self.out.push_str(" __attribute__((mode(word)))"),
            _ => {}
        }
    }
}

/// Where the last member ended.
struct Holes {
    end: u64,
    after_bitfield: bool,
}
