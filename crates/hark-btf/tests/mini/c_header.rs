//! Turns a small C header into BTF, with the layout rules of the x86-64 ABI.
//!
//! Enough C for `tests/fixtures/mini.h`: it panics, naming the token, at anything else. Test code only; scripts'
//! own struct definitions are the compiler's business.

use std::collections::HashMap;

use hark_btf::{Builder, Def, DefMember, Endian, IntEncoding, Linkage, SectionVar, TypeId};

/// The header as BTF.
pub(crate) fn compile(text: &str) -> Vec<u8> {
    let mut header = Header {
        tokens: tokens(text),
        at: 0,
        b: Builder::new(Endian::Little),
        named: HashMap::new(),
        derived: HashMap::new(),
        shapes: HashMap::new(),
        constants: HashMap::new(),
        variables: Vec::new(),
    };
    while header.at < header.tokens.len() {
        header.item();
    }
    header.finish()
}

fn tokens(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let len = if rest.starts_with("/*") {
            let len = rest.find("*/").expect("the comment ends") + 2;
            rest = &rest[len..];
            continue;
        } else if rest.starts_with("...") {
            3
        } else if c.is_alphanumeric() || c == '_' {
            rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())
        } else {
            c.len_utf8()
        };
        if !c.is_whitespace() {
            out.push(rest[..len].to_owned());
        }
        rest = &rest[len..];
    }
    out
}

/// Size and alignment in bytes.
type Shape = (u32, u32);

struct Header {
    tokens: Vec<String>,
    at: usize,
    b: Builder,
    /// By C name: `int`, `u32`, `struct file`.
    named: HashMap<String, TypeId>,
    /// Pointers, qualified types and arrays, each once.
    derived: HashMap<String, TypeId>,
    shapes: HashMap<TypeId, Shape>,
    constants: HashMap<String, i128>,
    variables: Vec<SectionVar>,
}

/// A declared thing.
struct Declared {
    name: String,
    ty: TypeId,
    /// For a function prototype, its parameters; `ty` is then the return type.
    params: Option<Vec<(String, TypeId)>>,
}

impl Header {
    fn peek(&self) -> &str {
        self.tokens.get(self.at).map_or("", String::as_str)
    }

    fn next(&mut self) -> String {
        self.at += 1;
        self.tokens.get(self.at - 1).cloned().unwrap_or_default()
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.peek() == token;
        self.at += usize::from(found);
        found
    }

    #[track_caller]
    fn expect(&mut self, token: &str) {
        let near = self.tokens[self.at.saturating_sub(8)..self.at].join(" ");
        assert!(self.eat(token), "expected {token}, found {} after: {near}", self.peek());
    }

    fn shape(&self, ty: TypeId) -> Shape {
        *self.shapes.get(&ty).unwrap_or_else(|| panic!("type {ty} has no size yet"))
    }

    fn add(&mut self, def: Def, shape: Option<Shape>) -> TypeId {
        let id = self.b.add(def);
        self.shapes.extend(shape.map(|s| (id, s)));
        id
    }

    fn derive(&mut self, def: Def, shape: Option<Shape>) -> TypeId {
        let key = format!("{def:?}");
        if let Some(id) = self.derived.get(&key) {
            return *id;
        }
        let id = self.add(def, shape);
        self.derived.insert(key, id);
        id
    }

    fn item(&mut self) {
        let typedef = self.eat("typedef");
        let kfunc = self.eat("__bpf_kfunc");
        let base = self.specifiers();
        if self.eat(";") {
            return;
        }
        let declared = self.declarator(base);
        self.expect(";");
        let shape = self.shapes.get(&declared.ty).copied();
        match declared.params {
            Some(params) => {
                let proto = self.b.add(Def::FuncProto(declared.ty, params));
                let func = self.b.func(&declared.name, proto, Linkage::Static);
                if kfunc {
                    self.b.add(Def::DeclTag("bpf_kfunc".to_owned(), func, None));
                }
            }
            None if typedef => {
                let id = self.add(Def::Typedef(declared.name.clone(), declared.ty), shape);
                self.named.insert(declared.name, id);
            }
            None => {
                let (size, align) = self.shape(declared.ty);
                let end = self.variables.last().map_or(0, |v| v.offset + v.size);
                let var = self.b.add(Def::Var(declared.name, declared.ty, Linkage::Global));
                self.variables.push(SectionVar { var, offset: end.next_multiple_of(align), size });
            }
        }
    }

    fn finish(mut self) -> Vec<u8> {
        let size = self.variables.last().map_or(0, |v| v.offset + v.size);
        self.b.add(Def::Datasec(".data..percpu".to_owned(), size, self.variables));
        self.b.build()
    }

    fn qualify(&mut self, ty: TypeId, qualifiers: &[String]) -> TypeId {
        qualifiers.iter().fold(ty, |ty, q| {
            let shape = self.shapes.get(&ty).copied();
            self.derive(if q == "const" { Def::Const(ty) } else { Def::Volatile(ty) }, shape)
        })
    }

    fn qualifiers(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        while matches!(self.peek(), "const" | "volatile") {
            found.push(self.next());
        }
        found
    }

    /// `const struct file`, `long unsigned int`, `u32`.
    fn specifiers(&mut self) -> TypeId {
        let mut qualifiers = self.qualifiers();
        let base = match self.peek() {
            "struct" | "union" => self.composite(),
            "enum" => self.enumeration(),
            "void" => {
                self.next();
                TypeId::VOID
            }
            _ => self.number_or_typedef(),
        };
        qualifiers.extend(self.qualifiers());
        self.qualify(base, &qualifiers)
    }

    fn number_or_typedef(&mut self) -> TypeId {
        let mut words = Vec::new();
        while matches!(self.peek(), "char" | "short" | "int" | "long" | "unsigned" | "signed" | "_Bool") {
            words.push(self.next());
        }
        if words.is_empty() {
            let name = self.next();
            return *self.named.get(&name).unwrap_or_else(|| panic!("unknown type {name}"));
        }
        let name = words.join(" ");
        if let Some(id) = self.named.get(&name) {
            return *id;
        }
        let has = |w: &str| words.iter().any(|x| x == w);
        let size = match () {
            () if has("char") || has("_Bool") => 1,
            () if has("short") => 2,
            () if has("long") => 8,
            () => 4,
        };
        // Kernels since 6.2 are built with an unsigned `char`.
        let signed = !(has("unsigned") || has("_Bool") || name == "char");
        let encoding = IntEncoding {
            signed,
            is_char: false,
            is_bool: has("_Bool"),
            bits: size as u8 * 8,
            bit_offset: 0,
        };
        let id = self.add(Def::Int(name.clone(), size, encoding), Some((size, size)));
        self.named.insert(name, id);
        id
    }

    /// The id of `struct x`, `union x` or `enum x`, which may be declared before it is defined.
    fn tag(&mut self, word: &str, name: &str) -> TypeId {
        let key = format!("{word} {name}");
        if let Some(id) = self.named.get(&key) {
            return *id;
        }
        let def = if word == "union" { Def::FwdUnion } else { Def::FwdStruct };
        let id = self.b.add(def(name.to_owned()));
        self.named.insert(key, id);
        id
    }

    /// A tag, or a new id for an anonymous type; and its name.
    fn tag_or_anonymous(&mut self, word: &str) -> (TypeId, String) {
        if self.peek() == "{" {
            return (self.b.add(Def::FwdStruct(String::new())), String::new());
        }
        let name = self.next();
        (self.tag(word, &name), name)
    }

    fn enumeration(&mut self) -> TypeId {
        self.expect("enum");
        let (id, name) = self.tag_or_anonymous("enum");
        if !self.eat("{") {
            return id;
        }
        let mut values = Vec::new();
        let mut next = 0;
        while !self.eat("}") {
            let constant = self.next();
            if self.eat("=") {
                next = self.number();
            }
            self.constants.insert(constant.clone(), next);
            values.push((constant, next));
            next += 1;
            self.eat(",");
        }
        let size = if values.iter().all(|(_, v)| (-(1 << 31)..1 << 32).contains(v)) { 4 } else { 8 };
        self.b.set(id, Def::Enum(name, size, values));
        self.shapes.insert(id, (size, size));
        id
    }

    fn number(&mut self) -> i128 {
        let sign = if self.eat("-") { -1 } else { 1 };
        let token = self.next();
        let value = match token.strip_prefix("0x") {
            Some(hex) => i128::from_str_radix(hex, 16).ok(),
            None => token.parse().ok().or_else(|| self.constants.get(&token).copied()),
        };
        sign * value.unwrap_or_else(|| panic!("{token} is not a number"))
    }

    fn composite(&mut self) -> TypeId {
        let word = self.next();
        let (id, name) = self.tag_or_anonymous(&word);
        if !self.eat("{") {
            return id;
        }
        let is_union = word == "union";
        let mut members: Vec<DefMember> = Vec::new();
        let (mut end_bits, mut size, mut most) = (0u32, 0u32, 1u32);
        while !self.eat("}") {
            let base = self.specifiers();
            if self.peek() == ";" {
                let (bytes, align) = self.shape(base);
                end_bits = end_bits.next_multiple_of(align * 8);
                members.push(DefMember {
                    name: String::new(),
                    ty: base,
                    bit_offset: end_bits,
                    bitfield: None,
                });
                end_bits += bytes * 8;
                most = most.max(align);
            }
            while self.peek() != ";" {
                self.eat(",");
                let Declared { name, ty, .. } = self.declarator(base);
                let (bytes, align) = self.shape(ty);
                let width = self.eat(":").then(|| self.number() as u32);
                match width {
                    Some(0) => {
                        end_bits = end_bits.next_multiple_of(bytes * 8);
                        continue;
                    }
                    // A bitfield may not cross a boundary of its type.
                    Some(width) if end_bits / (bytes * 8) == (end_bits + width - 1) / (bytes * 8) => {}
                    _ => end_bits = end_bits.next_multiple_of(align * 8),
                }
                let bitfield = width.map(|w| w as u8);
                members.push(DefMember { name, ty, bit_offset: end_bits, bitfield });
                end_bits += width.unwrap_or(bytes * 8);
                most = most.max(align);
                if is_union {
                    size = size.max(end_bits.div_ceil(8));
                    end_bits = 0;
                }
            }
            self.expect(";");
            size = size.max(end_bits.div_ceil(8));
            if is_union {
                end_bits = 0;
            }
        }
        let size = size.next_multiple_of(most);
        self.b.set(id, if is_union { Def::Union } else { Def::Struct }(name, size, members));
        self.shapes.insert(id, (size, most));
        id
    }

    /// `*name[4]`, `(*name)(params)`, `name(params)`; the name may be missing.
    fn declarator(&mut self, base: TypeId) -> Declared {
        let mut ty = base;
        while self.eat("*") {
            ty = self.derive(Def::Ptr(ty), Some((8, 8)));
            let qualifiers = self.qualifiers();
            ty = self.qualify(ty, &qualifiers);
        }
        if self.eat("(") {
            self.expect("*");
            let name = self.next();
            self.expect(")");
            let params = self.params();
            let proto = self.derive(Def::FuncProto(ty, params), None);
            let ty = self.derive(Def::Ptr(proto), Some((8, 8)));
            return Declared { name, ty, params: None };
        }
        let named = self.peek().starts_with(|c: char| c.is_alphabetic() || c == '_');
        let name = if named { self.next() } else { String::new() };
        if self.peek() == "(" {
            let params = self.params();
            return Declared { name, ty, params: Some(params) };
        }
        let mut lengths = Vec::new();
        while self.eat("[") {
            lengths.push(if self.peek() == "]" { 0 } else { self.number() as u32 });
            self.expect("]");
        }
        for len in lengths.into_iter().rev() {
            let (size, align) = self.shape(ty);
            let index = self.named["long unsigned int"];
            ty = self.derive(Def::Array(ty, index, len), Some((size * len, align)));
        }
        Declared { name, ty, params: None }
    }

    fn params(&mut self) -> Vec<(String, TypeId)> {
        self.expect("(");
        let mut params = Vec::new();
        while !self.eat(")") {
            if self.eat("...") {
                params.push((String::new(), TypeId::VOID));
            } else {
                let base = self.specifiers();
                let Declared { name, ty, .. } = self.declarator(base);
                params.push((name, ty));
            }
            self.eat(",");
        }
        if matches!(params.as_slice(), [(name, TypeId::VOID)] if name.is_empty()) && self.at >= 2 {
            let variadic = self.tokens[self.at - 2] == "...";
            if !variadic {
                params.clear();
            }
        }
        params
    }
}
