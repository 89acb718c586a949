//! Writing BTF.

use std::collections::HashMap;

use crate::kind::{Kind, Linkage, TypeId};
use crate::raw::{Endian, HEADER_LEN, MAGIC};
use crate::types::{IntEncoding, SectionVar};

/// A member of a struct or union to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefMember {
    /// Name; empty when anonymous.
    pub name: String,
    /// Type.
    pub ty: TypeId,
    /// Offset in bits, below 2^24.
    pub bit_offset: u32,
    /// Width of a bitfield.
    pub bitfield: Option<u8>,
}

impl DefMember {
    /// An ordinary member at a byte offset.
    pub fn new(name: &str, ty: TypeId, offset: u32) -> Self {
        DefMember { name: name.to_owned(), ty, bit_offset: offset * 8, bitfield: None }
    }
}

/// A type to be written. Names may be empty where C allows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Def {
    /// Integer: name, size in bytes, encoding.
    Int(String, u32, IntEncoding),
    /// Pointer to a type.
    Ptr(TypeId),
    /// Array: element, index type, length.
    Array(TypeId, TypeId, u32),
    /// Struct: name, size in bytes, members.
    Struct(String, u32, Vec<DefMember>),
    /// Union: name, size in bytes, members.
    Union(String, u32, Vec<DefMember>),
    /// Enumeration: name, size in bytes (1 to 8), values. 8 bytes are written as `Enum64`.
    Enum(String, u32, Vec<(String, i128)>),
    /// Declared struct.
    FwdStruct(String),
    /// Declared union.
    FwdUnion(String),
    /// Another name for a type.
    Typedef(String, TypeId),
    /// `volatile`.
    Volatile(TypeId),
    /// `const`.
    Const(TypeId),
    /// `restrict`.
    Restrict(TypeId),
    /// Function: name, signature, linkage.
    Func(String, TypeId, Linkage),
    /// Signature: return type, parameters. A last unnamed parameter of type `void` is `...`.
    FuncProto(TypeId, Vec<(String, TypeId)>),
    /// Variable: name, type, linkage.
    Var(String, TypeId, Linkage),
    /// Section: name, size, variables.
    Datasec(String, u32, Vec<SectionVar>),
    /// Floating point number: name, size in bytes.
    Float(String, u32),
    /// Tag on a declaration: tag, what it is on, which of its members or parameters.
    DeclTag(String, TypeId, Option<u32>),
    /// Tag on a type.
    TypeTag(String, TypeId),
}

/// Collects types and strings and writes them as one BTF. Equal strings are stored once.
///
/// ```
/// use hark_btf::{Btf, Builder, DefMember, Endian, Kind};
/// let mut b = Builder::new(Endian::Little);
/// let int = b.int("int", 4, true);
/// b.structure("pair", 8, vec![DefMember::new("a", int, 0), DefMember::new("b", int, 4)]);
/// let btf = Btf::parse(b.build()).unwrap();
/// let pair = btf.find(Kind::Struct, "pair").unwrap();
/// assert_eq!(btf.resolve_path(pair, &["b"]).unwrap().offset, 4);
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    endian: Endian,
    defs: Vec<Def>,
    strings: Vec<u8>,
    by_string: HashMap<String, u32>,
    first_id: u32,
    first_str: u32,
}

impl Builder {
    /// An empty BTF of this byte order.
    pub fn new(endian: Endian) -> Self {
        Builder {
            endian,
            defs: Vec::new(),
            strings: vec![0],
            by_string: HashMap::from([(String::new(), 0)]),
            first_id: 1,
            first_str: 0,
        }
    }

    /// An empty split BTF that may refer to the types of `base`; to be opened with `Btf::parse_split`.
    pub fn split(base: &crate::Btf) -> Self {
        let strings = base.end_str();
        // The empty string is the base's.
        Builder {
            first_id: base.end_id(),
            first_str: strings,
            strings: Vec::new(),
            ..Self::new(base.endian())
        }
    }

    /// Adds a type and returns its id.
    pub fn add(&mut self, def: Def) -> TypeId {
        self.defs.push(def);
        TypeId(self.first_id + self.defs.len() as u32 - 1)
    }

    /// Defines a type added before anew: types that point at each other are first added as `FwdStruct`.
    /// Ids that were never handed out are ignored.
    pub fn set(&mut self, id: TypeId, def: Def) {
        let at = id.0.checked_sub(self.first_id).and_then(|i| self.defs.get_mut(i as usize));
        if let Some(slot) = at {
            *slot = def;
        }
    }

    /// Offset of a string, which is added if it is not there yet. Also for [`crate::LineInfo`].
    pub fn string(&mut self, s: &str) -> u32 {
        // A zero byte would end it early.
        let s = s.split('\0').next().unwrap_or("");
        if let Some(off) = self.by_string.get(s) {
            return *off;
        }
        let off = self.first_str + self.strings.len() as u32;
        self.strings.extend_from_slice(s.as_bytes());
        self.strings.push(0);
        self.by_string.insert(s.to_owned(), off);
        off
    }

    /// Adds an integer that uses all its bits.
    pub fn int(&mut self, name: &str, size: u32, signed: bool) -> TypeId {
        let bits = (size * 8).min(255) as u8;
        let encoding = IntEncoding { signed, is_char: false, is_bool: false, bits, bit_offset: 0 };
        self.add(Def::Int(name.to_owned(), size, encoding))
    }

    /// Adds a pointer.
    pub fn ptr(&mut self, to: TypeId) -> TypeId {
        self.add(Def::Ptr(to))
    }

    /// Adds an array.
    pub fn array(&mut self, element: TypeId, index: TypeId, len: u32) -> TypeId {
        self.add(Def::Array(element, index, len))
    }

    /// Adds a struct.
    pub fn structure(&mut self, name: &str, size: u32, members: Vec<DefMember>) -> TypeId {
        self.add(Def::Struct(name.to_owned(), size, members))
    }

    /// Adds a union.
    pub fn union(&mut self, name: &str, size: u32, members: Vec<DefMember>) -> TypeId {
        self.add(Def::Union(name.to_owned(), size, members))
    }

    /// Adds a typedef.
    pub fn typedef(&mut self, name: &str, to: TypeId) -> TypeId {
        self.add(Def::Typedef(name.to_owned(), to))
    }

    /// Adds a signature.
    pub fn func_proto(&mut self, ret: TypeId, params: &[(&str, TypeId)]) -> TypeId {
        let params = params.iter().map(|(name, ty)| ((*name).to_owned(), *ty)).collect();
        self.add(Def::FuncProto(ret, params))
    }

    /// Adds a function of a signature.
    pub fn func(&mut self, name: &str, proto: TypeId, linkage: Linkage) -> TypeId {
        self.add(Def::Func(name.to_owned(), proto, linkage))
    }

    /// The file: header, types, strings.
    pub fn build(&self) -> Vec<u8> {
        let mut me = self.clone();
        let defs = std::mem::take(&mut me.defs);
        let mut types = Vec::new();
        for def in &defs {
            me.write(def, &mut types);
        }
        let mut out = Vec::with_capacity(HEADER_LEN + types.len() + me.strings.len());
        me.endian.push_u16(&mut out, MAGIC);
        out.extend_from_slice(&[1, 0]);
        for n in [HEADER_LEN, 0, types.len(), types.len(), me.strings.len()] {
            me.endian.push_u32(&mut out, n as u32);
        }
        out.append(&mut types);
        out.append(&mut me.strings);
        out
    }

    fn write(&mut self, def: &Def, out: &mut Vec<u8>) {
        let endian = self.endian;
        match def {
            Def::Int(name, size, e) => {
                self.head(out, name, Kind::Int, 0, false, *size);
                let flags = u32::from(e.signed) | u32::from(e.is_char) << 1 | u32::from(e.is_bool) << 2;
                endian.push_u32(out, flags << 24 | u32::from(e.bit_offset) << 16 | u32::from(e.bits));
            }
            Def::Ptr(to) => self.head(out, "", Kind::Ptr, 0, false, to.0),
            Def::Array(element, index, len) => {
                self.head(out, "", Kind::Array, 0, false, 0);
                for n in [element.0, index.0, *len] {
                    endian.push_u32(out, n);
                }
            }
            Def::Struct(name, size, members) => self.composite(out, Kind::Struct, name, *size, members),
            Def::Union(name, size, members) => self.composite(out, Kind::Union, name, *size, members),
            Def::Enum(name, size, values) => {
                let kind = if *size == 8 { Kind::Enum64 } else { Kind::Enum };
                let signed = values.iter().any(|(_, v)| *v < 0);
                self.head(out, name, kind, capped(values).len(), signed, *size);
                for (name, value) in capped(values) {
                    let name = self.string(name);
                    endian.push_u32(out, name);
                    endian.push_u32(out, *value as u32);
                    if kind == Kind::Enum64 {
                        endian.push_u32(out, (*value >> 32) as u32);
                    }
                }
            }
            Def::FwdStruct(name) => self.head(out, name, Kind::Fwd, 0, false, 0),
            Def::FwdUnion(name) => self.head(out, name, Kind::Fwd, 0, true, 0),
            Def::Typedef(name, to) => self.head(out, name, Kind::Typedef, 0, false, to.0),
            Def::Volatile(to) => self.head(out, "", Kind::Volatile, 0, false, to.0),
            Def::Const(to) => self.head(out, "", Kind::Const, 0, false, to.0),
            Def::Restrict(to) => self.head(out, "", Kind::Restrict, 0, false, to.0),
            Def::Func(name, proto, linkage) => {
                self.head(out, name, Kind::Func, linkage.number() as usize, false, proto.0);
            }
            Def::FuncProto(ret, params) => {
                self.head(out, "", Kind::FuncProto, capped(params).len(), false, ret.0);
                for (name, ty) in capped(params) {
                    let name = self.string(name);
                    endian.push_u32(out, name);
                    endian.push_u32(out, ty.0);
                }
            }
            Def::Var(name, ty, linkage) => {
                self.head(out, name, Kind::Var, 0, false, ty.0);
                endian.push_u32(out, linkage.number());
            }
            Def::Datasec(name, size, vars) => {
                self.head(out, name, Kind::Datasec, capped(vars).len(), false, *size);
                for n in capped(vars).iter().flat_map(|v| [v.var.0, v.offset, v.size]) {
                    endian.push_u32(out, n);
                }
            }
            Def::Float(name, size) => self.head(out, name, Kind::Float, 0, false, *size),
            Def::DeclTag(name, on, component) => {
                self.head(out, name, Kind::DeclTag, 0, false, on.0);
                endian.push_u32(out, component.unwrap_or(u32::MAX));
            }
            Def::TypeTag(name, on) => self.head(out, name, Kind::TypeTag, 0, false, on.0),
        }
    }

    fn composite(&mut self, out: &mut Vec<u8>, kind: Kind, name: &str, size: u32, members: &[DefMember]) {
        let flag = members.iter().any(|m| m.bitfield.is_some());
        self.head(out, name, kind, capped(members).len(), flag, size);
        for m in capped(members) {
            let width = u32::from(m.bitfield.unwrap_or(0)) << 24;
            let name = self.string(&m.name);
            self.endian.push_u32(out, name);
            self.endian.push_u32(out, m.ty.0);
            self.endian.push_u32(out, if flag { width | m.bit_offset & 0x00ff_ffff } else { m.bit_offset });
        }
    }

    fn head(
        &mut self,
        out: &mut Vec<u8>,
        name: &str,
        kind: Kind,
        vlen: usize,
        flag: bool,
        size_or_type: u32,
    ) {
        let name = self.string(name);
        self.endian.push_u32(out, name);
        self.endian.push_u32(out, u32::from(flag) << 31 | (kind as u32) << 24 | vlen as u32);
        self.endian.push_u32(out, size_or_type);
    }
}

/// As many elements as a type can have: their number has 16 bits. The rest is not written.
fn capped<T>(elements: &[T]) -> &[T] {
    &elements[..elements.len().min(0xffff)]
}
