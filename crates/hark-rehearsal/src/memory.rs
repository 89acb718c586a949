//! Memory that a test makes up: texts, and structs that point to each other, laid out as BTF says.

use crate::syntax::{Assignment, Value};
use ebpf_interp::SimKernel;
use hark_btf::{Btf, FieldAccess, Kind, PathError, TypeId};
use hark_diag::{Code, Diagnostic, Span, did_you_mean};
use std::collections::HashMap;

/// A piece of memory, by its place in [`Objects`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ObjectId(usize);

/// What lies in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Number(u64),
    AddressOf(ObjectId),
}

/// Memory that is being put together.
pub(crate) struct Objects<'a> {
    btf: Option<&'a Btf>,
    objects: Vec<Vec<u8>>,
    /// Words that are addresses: object, offset, what they point to.
    pointers: HashMap<(ObjectId, u64), ObjectId>,
}

/// A mistake in a test.
pub(crate) fn bad(span: Span, message: impl Into<String>) -> Box<Diagnostic> {
    Box::new(Diagnostic::error(Code::BAD_TEST, span, message))
}

type Result<T> = std::result::Result<T, Box<Diagnostic>>;

impl<'a> Objects<'a> {
    pub(crate) fn new(btf: Option<&'a Btf>) -> Objects<'a> {
        Objects { btf, objects: Vec::new(), pointers: HashMap::new() }
    }

    pub(crate) fn add(&mut self, bytes: Vec<u8>) -> ObjectId {
        self.objects.push(bytes);
        ObjectId(self.objects.len() - 1)
    }

    /// The word that stands for a value.
    pub(crate) fn word(&mut self, value: &Value, span: Span) -> Result<Word> {
        match value {
            Value::Number(n) => Ok(Word::Number(*n as u64)),
            Value::Text(text) => Ok(Word::AddressOf(self.text(text))),
            Value::Struct(name, members) => self.structure(name, members, span).map(Word::AddressOf),
            Value::List(values) => {
                let list = self.add(vec![0; 8 * (values.len() + 1)]);
                for (i, value) in values.iter().enumerate() {
                    match self.word(value, span)? {
                        Word::Number(n) => {
                            self.bytes(list, 8 * i as u64, 8, span)?.copy_from_slice(&n.to_le_bytes());
                        }
                        Word::AddressOf(id) => self.point(list, 8 * i as u64, id),
                    }
                }
                Ok(Word::AddressOf(list))
            }
        }
    }

    /// A text with its final zero.
    fn text(&mut self, text: &str) -> ObjectId {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        self.add(bytes)
    }

    fn structure(&mut self, name: &str, members: &[Assignment], span: Span) -> Result<ObjectId> {
        let Some(btf) = self.btf else {
            return Err(bad(
                span,
                format!("where the members of struct {name} lie is not known: there is no BTF"),
            ));
        };
        let Some(ty) = btf.find(Kind::Struct, name).or_else(|| btf.find(Kind::Union, name)) else {
            let mut diag = *bad(span, format!("the kernel has no struct {name}"));
            let names: Vec<&str> = btf.types_of(Kind::Struct).map(|t| t.name()).collect();
            if let Some(near) = did_you_mean(name, names) {
                diag = diag.with_help(format!("did you mean `struct {near}`?"));
            }
            return Err(Box::new(diag));
        };
        let id = self.zeroed(ty, span)?;
        for member in members {
            self.set(id, ty, &member.name, &member.value, member.span)?;
        }
        Ok(id)
    }

    fn zeroed(&mut self, ty: TypeId, span: Span) -> Result<ObjectId> {
        let size = self.btf.and_then(|btf| btf.size_of(ty)).filter(|size| *size <= 1 << 20);
        match size {
            Some(size) => Ok(self.add(vec![0; size as usize])),
            None => Err(bad(span, "the size of the struct is not known")),
        }
    }

    /// Sets the member that `path` leads to, `a.b.c`; where it leads through pointers, what they point to is made.
    pub(crate) fn set(
        &mut self,
        id: ObjectId,
        ty: TypeId,
        path: &str,
        value: &Value,
        span: Span,
    ) -> Result<()> {
        let Some(btf) = self.btf else { return Err(bad(span, "there is no BTF")) };
        let (mut id, mut base) = (id, 0);
        let mut ty = ty;
        let mut steps = path.split('.').peekable();
        let field = loop {
            let Some(step) = steps.next() else { return Err(bad(span, "the name of a member is missing")) };
            let field = btf.resolve_path(ty, &[step]).map_err(|error| unknown(btf, &error, step, span))?;
            if steps.peek().is_none() {
                break field;
            }
            let inner = btf.resolve(field.ty).ok_or_else(|| bad(span, format!("`{step}` has no members")))?;
            if inner.kind() == Kind::Ptr {
                let target = inner.target().ok_or_else(|| bad(span, format!("`{step}` has no members")))?;
                let at = (id, base + field.offset);
                id = match self.pointers.get(&at) {
                    Some(known) => *known,
                    None => {
                        let made = self.zeroed(target, span)?;
                        self.pointers.insert(at, made);
                        made
                    }
                };
                (base, ty) = (0, target);
            } else {
                (base, ty) = (base + field.offset, field.ty);
            }
        };
        self.put(id, base, field, value, span)
    }

    fn put(&mut self, id: ObjectId, base: u64, field: FieldAccess, value: &Value, span: Span) -> Result<()> {
        let Some(btf) = self.btf else { return Err(bad(span, "there is no BTF")) };
        let at = base + field.offset;
        let inner = btf.resolve(field.ty);
        let is_array = inner.is_some_and(|ty| ty.kind() == Kind::Array);
        let size = btf.size_of(field.ty).unwrap_or(0) as usize;
        if let (Value::Text(text), true) = (value, is_array) {
            let n = text.len().min(size.saturating_sub(1));
            let place = self.bytes(id, at, size, span)?;
            place.fill(0);
            place[..n].copy_from_slice(&text.as_bytes()[..n]);
            return Ok(());
        }
        if let Some(bits) = field.bits {
            let Value::Number(n) = value else { return Err(bad(span, "a bitfield is a number")) };
            let place = self.bytes(id, at, bits.load.into(), span)?;
            let mut word = [0; 8];
            word[..place.len()].copy_from_slice(place);
            let mask = (u64::MAX >> (64 - u32::from(bits.width.clamp(1, 64)))) << bits.shift;
            let word = u64::from_le_bytes(word) & !mask | (*n as u64) << bits.shift & mask;
            place.copy_from_slice(&word.to_le_bytes()[..place.len()]);
            return Ok(());
        }
        match self.word(value, span)? {
            Word::Number(n) if matches!(size, 1 | 2 | 4 | 8) => {
                self.bytes(id, at, size, span)?.copy_from_slice(&n.to_le_bytes()[..size]);
                Ok(())
            }
            Word::AddressOf(target) if size == 8 => {
                self.pointers.insert((id, at), target);
                Ok(())
            }
            Word::Number(_) => Err(bad(span, "a struct cannot be a number: name its members, as `a.b=1`")),
            Word::AddressOf(_) => Err(bad(span, "this member is no pointer and no text")),
        }
    }

    fn bytes(&mut self, id: ObjectId, at: u64, len: usize, span: Span) -> Result<&mut [u8]> {
        let object = self.objects.get_mut(id.0);
        let found = object.and_then(|bytes| bytes.get_mut(at as usize..)?.get_mut(..len));
        found.ok_or_else(|| bad(span, "the member lies outside of its struct"))
    }

    /// Lets a word of one object point to another.
    pub(crate) fn point(&mut self, from: ObjectId, at: u64, to: ObjectId) {
        self.pointers.insert((from, at), to);
    }

    /// Puts everything into the kernel's memory; returns where each object is.
    pub(crate) fn commit(&self, kernel: &SimKernel) -> Addresses {
        let places: Vec<u64> = self.objects.iter().map(|bytes| kernel.add_memory(bytes)).collect();
        for ((from, at), to) in &self.pointers {
            kernel.write_memory(places[from.0].wrapping_add(*at), &places[to.0].to_le_bytes());
        }
        Addresses(places)
    }
}

/// Where objects are.
pub(crate) struct Addresses(Vec<u64>);

impl Addresses {
    pub(crate) fn of(&self, id: ObjectId) -> u64 {
        self.0.get(id.0).copied().unwrap_or(0)
    }
}

fn unknown(btf: &Btf, error: &PathError, step: &str, span: Span) -> Box<Diagnostic> {
    let mut diag = *bad(span, error.to_string());
    if let PathError::NoMember { id, .. } = error
        && let Some(near) = did_you_mean(step, btf.member_names(*id))
    {
        diag = diag.with_help(format!("did you mean `{near}`?"));
    }
    Box::new(diag)
}
