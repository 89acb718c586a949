//! Where things lie: sizes, alignments, members and paths of members.
//!
//! Every walk here is bounded by [`MAX_CHAIN`] and [`MAX_STEPS`], far above what any kernel contains (chains of about
//! 10, a few thousand members), because a file can describe a tree of 2^64 anonymous structs in a kilobyte.

use crate::btf::Btf;
use crate::error::PathError;
use crate::kind::{Kind, TypeId};
use crate::raw::Endian;
use crate::types::{Member, Type};

/// Longest chain of typedefs, qualifiers or nested arrays that is followed.
pub(crate) const MAX_CHAIN: usize = 64;
/// Most members looked at in answering one question.
pub(crate) const MAX_STEPS: usize = 1 << 17;

/// Bits of an integer that is loaded from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitRange {
    /// Bytes to load: 1, 2, 4 or 8.
    pub load: u8,
    /// Bits to shift the loaded number right by, in the BTF's byte order.
    pub shift: u8,
    /// Bits that remain after that, at least 1.
    pub width: u8,
}

/// What a path of members leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldAccess {
    /// Offset in bytes from the start of the outermost struct.
    pub offset: u64,
    /// For a bitfield: what to load at `offset` and which bits of it to keep.
    pub bits: Option<BitRange>,
    /// Type as declared, typedefs and qualifiers included.
    pub ty: TypeId,
}

/// A member by name, with those of anonymous structs and unions lifted into the struct around them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Name; empty only for an unnamed bitfield.
    pub name: &'a str,
    /// Where and what it is.
    pub at: FieldAccess,
}

/// A struct or union as C sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout<'a> {
    /// Size in bytes.
    pub size: u64,
    /// Alignment in bytes; 1 for a packed struct.
    pub align: u64,
    /// Members, in order of declaration.
    pub fields: Vec<Field<'a>>,
}

impl Btf {
    /// The type behind typedefs, `const`, `volatile`, `restrict` and type tags; `None` when an id on the way does not
    /// exist or the chain has no end.
    pub fn resolve(&self, id: TypeId) -> Option<Type<'_>> {
        let mut ty = self.type_by_id(id)?;
        for _ in 0..MAX_CHAIN {
            if !(ty.kind().is_qualifier() || ty.kind() == Kind::Typedef) {
                return Some(ty);
            }
            ty = self.type_by_id(ty.target()?)?;
        }
        None
    }

    /// Size in bytes; `None` for `void`, functions, declared-only structs and broken types. A variable has the size
    /// of its type, a flexible array 0.
    pub fn size_of(&self, id: TypeId) -> Option<u64> {
        let mut ty = self.resolve(id)?;
        let mut n = 1u64;
        for _ in 0..MAX_CHAIN {
            match ty.kind() {
                Kind::Array => {
                    let array = ty.array()?;
                    n = n.checked_mul(u64::from(array.len))?;
                    ty = self.resolve(array.element)?;
                }
                Kind::Var => ty = self.resolve(ty.target()?)?,
                Kind::Ptr => return n.checked_mul(u64::from(self.pointer_size())),
                _ => return n.checked_mul(u64::from(ty.stated_size()?)),
            }
        }
        None
    }

    /// Alignment in bytes; `None` where [`Btf::size_of`] gives none. A struct any of whose members lies against its
    /// own alignment is packed and has 1.
    pub fn align_of(&self, id: TypeId) -> Option<u64> {
        self.align_within(id, 0, &mut { MAX_STEPS })
    }

    /// As [`Btf::align_of`], within a number of steps that several questions share.
    pub(crate) fn align_within(&self, id: TypeId, depth: usize, steps: &mut usize) -> Option<u64> {
        if depth > MAX_CHAIN {
            return None;
        }
        let mut ty = self.resolve(id)?;
        for _ in 0..MAX_CHAIN {
            match ty.kind() {
                Kind::Array => ty = self.resolve(ty.array()?.element)?,
                Kind::Var => ty = self.resolve(ty.target()?)?,
                _ => break,
            }
        }
        let pointer = u64::from(self.pointer_size());
        match ty.kind() {
            Kind::Ptr => Some(pointer),
            Kind::Struct | Kind::Union => {
                let mut most = 1;
                for member in ty.members() {
                    *steps = steps.checked_sub(1)?;
                    let align = self.align_within(member.ty, depth + 1, steps)?;
                    if member.bitfield.is_none() && u64::from(member.bit_offset) % (8 * align) != 0 {
                        return Some(1);
                    }
                    most = most.max(align);
                }
                let size = u64::from(ty.stated_size()?);
                Some(if size % most == 0 { most } else { 1 })
            }
            _ => Some(u64::from(ty.stated_size()?).clamp(1, pointer)),
        }
    }

    /// Whether a struct is declared packed: some member, or its size, goes against natural alignment.
    pub(crate) fn is_packed(&self, ty: &Type<'_>, steps: &mut usize) -> bool {
        let mut most = 1;
        for member in ty.members() {
            let Some(align) = self.align_within(member.ty, 1, steps) else { return false };
            if member.bitfield.is_none() && u64::from(member.bit_offset) % (8 * align) != 0 {
                return true;
            }
            most = most.max(align);
        }
        u64::from(ty.stated_size().unwrap_or(0)) % most != 0
    }

    /// The members of a struct or union (typedefs removed) by name, anonymous ones flattened; `None` for other kinds
    /// and for broken ones.
    pub fn layout(&self, id: TypeId) -> Option<Layout<'_>> {
        let ty = self.resolve(id)?;
        if !ty.kind().is_composite() {
            return None;
        }
        let mut fields = Vec::new();
        self.walk_fields(ty, 0, |member, bits| {
            fields.push(Field { name: member.name, at: self.access(member, bits)? });
            Some(false)
        })?;
        Some(Layout { size: u64::from(ty.stated_size()?), align: self.align_of(ty.id())?, fields })
    }

    /// The names that [`Btf::resolve_path`] accepts for one step into `id`, for "did you mean".
    pub fn member_names(&self, id: TypeId) -> Vec<&str> {
        let mut names = Vec::new();
        if let Some(ty) = self.resolve(id) {
            self.walk_fields(ty, 0, |member, _| {
                names.push(member.name);
                Some(false)
            });
        }
        names
    }

    /// Follows a chain of member names, `["sk", "__sk_common", "skc_dport"]`, through structs and unions and their
    /// anonymous members. Typedefs and qualifiers are seen through, pointers and arrays are not followed.
    ///
    /// # Errors
    /// [`PathError`] says at which name it ended and why.
    pub fn resolve_path(&self, id: TypeId, path: &[&str]) -> Result<FieldAccess, PathError> {
        let mut here = FieldAccess { offset: 0, bits: None, ty: id };
        for (at, name) in path.iter().enumerate() {
            let ty = self.resolve(here.ty).ok_or(PathError::Broken { at })?;
            match ty.kind() {
                Kind::Struct | Kind::Union => {}
                Kind::Fwd => return Err(PathError::OnlyDeclared { within: self.type_name(here.ty), at }),
                _ => return Err(PathError::NotComposite { within: self.type_name(here.ty), at }),
            }
            let mut found = None;
            self.walk_fields(ty, 0, |member, bits| {
                if member.name == *name {
                    found = Some(self.access(member, bits)?);
                }
                Some(found.is_some())
            })
            .ok_or(PathError::Broken { at })?;
            let Some(next) = found else {
                let within = self.type_name(here.ty);
                return Err(PathError::NoMember { within, id: ty.id(), member: (*name).to_owned(), at });
            };
            let offset = here.offset.checked_add(next.offset).ok_or(PathError::Broken { at })?;
            here = FieldAccess { offset, ..next };
        }
        Ok(here)
    }

    /// Calls `visit` with each named member and its bit offset, entering anonymous structs and unions; it answers
    /// whether to stop. `None` when something is broken.
    fn walk_fields<'a>(
        &'a self,
        ty: Type<'a>,
        bits: u64,
        mut visit: impl FnMut(Member<'a>, u64) -> Option<bool>,
    ) -> Option<()> {
        let mut steps = MAX_STEPS;
        let mut stack = vec![(ty.members(), bits)];
        while let Some((members, start)) = stack.last_mut() {
            let start = *start;
            let Some(member) = members.next() else {
                stack.pop();
                continue;
            };
            steps = steps.checked_sub(1)?;
            let bits = start + u64::from(member.bit_offset);
            if member.name.is_empty() && member.bitfield.is_none() {
                let inner = self.resolve(member.ty)?;
                if inner.kind().is_composite() {
                    if stack.len() >= MAX_CHAIN {
                        return None;
                    }
                    stack.push((inner.members(), bits));
                }
            } else if visit(member, bits)? {
                return Some(());
            }
        }
        Some(())
    }

    fn access(&self, member: Member<'_>, bits: u64) -> Option<FieldAccess> {
        match member.bitfield {
            None => Some(FieldAccess { offset: bits / 8, bits: None, ty: member.ty }),
            Some(width) => {
                let unit = self.size_of(member.ty)?;
                let (offset, range) = bit_range(self.endian(), bits, width, unit)?;
                Some(FieldAccess { offset, bits: Some(range), ty: member.ty })
            }
        }
    }
}

/// The load that contains a bitfield: the unit of its declared type if the field lies within one (as compilers do it,
/// and as the kernel's verifier accepts it for typed pointers), else the smallest that reaches from its first byte to
/// its last.
fn bit_range(endian: Endian, bits: u64, width: u8, unit: u64) -> Option<(u64, BitRange)> {
    let width_bits = u64::from(width);
    let fits = |offset: u64, load: u64| bits + width_bits <= (offset + load) * 8;
    let aligned = |load: u64| bits / 8 / load * load;
    let (offset, load) = [unit]
        .into_iter()
        .filter(|load| matches!(load, 1 | 2 | 4 | 8))
        .map(|load| (aligned(load), load))
        .chain([1, 2, 4, 8].map(|load| (bits / 8, load)))
        .find(|(offset, load)| fits(*offset, *load))?;
    let from_start = bits - offset * 8;
    let shift = match endian {
        Endian::Little => from_start,
        Endian::Big => load * 8 - from_start - width_bits,
    };
    // At most 64 − 1, as the field lies within the load.
    Some((offset, BitRange { load: load as u8, shift: shift as u8, width }))
}
