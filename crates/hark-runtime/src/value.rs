//! Bytes and their type as a value to look at. Nothing is copied: events are rendered straight from the ring.

use hark_object::agg::Agg;
use hark_object::{Clock, RecordField, StackMode, Ty};
use std::cmp::Ordering;
use std::sync::Arc;

/// A value as it lies in a map or an event. Bytes that are missing count as zero.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// Nothing.
    Void,
    /// A value that cannot be shown.
    Null,
    /// A number.
    Int {
        /// The number.
        n: i128,
        /// Bytes it came from.
        bytes: u8,
    },
    /// A truth value.
    Bool(bool),
    /// A number with a name.
    Enum {
        /// The number.
        n: i128,
        /// Bytes it came from.
        bytes: u8,
        /// Its name, if it has one.
        name: Option<&'a str>,
    },
    /// An address.
    Ptr(u64),
    /// A text without its NUL.
    Str {
        /// The bytes.
        text: &'a [u8],
        /// Whether it was longer than its room.
        cut: bool,
    },
    /// Bytes.
    Buf(&'a [u8]),
    /// Elements.
    Array(Members<'a>),
    /// Members.
    Tuple(Members<'a>),
    /// Members with names.
    Struct(Members<'a>),
    /// Return addresses, the innermost first, 8 bytes each.
    Stack {
        /// The process, for user stacks.
        pid: Option<u64>,
        /// How to print it.
        mode: StackMode,
        /// The addresses.
        frames: &'a [u8],
    },
    /// A kernel address to be named.
    Ksym(u64),
    /// A user address to be named.
    Usym {
        /// Address.
        addr: u64,
        /// Process.
        pid: u64,
    },
    /// An internet address: family and bytes.
    Inet {
        /// `AF_INET` 2 or `AF_INET6` 10.
        family: u32,
        /// 16 bytes; the first 4 for version 4.
        addr: &'a [u8],
    },
    /// A hardware address of 6 bytes.
    Mac(&'a [u8]),
    /// A moment.
    Time {
        /// Nanoseconds of the clock.
        ns: u64,
        /// The clock.
        clock: Clock,
        /// strftime format.
        format: &'a Arc<str>,
    },
    /// A user id to be named.
    User(u64),
    /// A cgroup id to be named.
    Cgroup {
        /// The id.
        id: u64,
        /// Pattern of hierarchies.
        filter: &'a str,
    },
    /// An error number to be explained.
    Errno(i64),
    /// A signal number to be explained.
    Signal(i64),
    /// A system call number to be named.
    Syscall(u64),
    /// A merged aggregation.
    Agg(Agg, &'a [u8]),
}

impl<'a> Value<'a> {
    /// The value of type `ty` at the beginning of `bytes`.
    pub fn of(ty: &'a Ty, bytes: &'a [u8]) -> Value<'a> {
        match ty {
            Ty::Void => Value::Void,
            Ty::Float { .. } => Value::Null,
            Ty::Int { bytes: n, signed } => Value::Int { n: integer(bytes, *n, *signed), bytes: *n },
            Ty::Bool => Value::Bool(bytes.first().is_some_and(|b| *b != 0)),
            Ty::Enum(e) => {
                let n = integer(bytes, e.bytes, e.signed);
                let name =
                    e.variants.iter().find(|(v, _)| i128::from(*v) == n).map(|(_, name)| name.as_str());
                Value::Enum { n, bytes: e.bytes, name }
            }
            Ty::Ptr => Value::Ptr(word(bytes, 0)),
            Ty::Str { cap } => text(part(bytes, 0, *cap), *cap),
            Ty::Chars { len } => chars(part(bytes, 0, *len)),
            Ty::Buf { cap } => {
                let len = integer(bytes, 4, false) as u32;
                Value::Buf(part(bytes, 4, len.min(*cap)))
            }
            Ty::Array { elem, len } => {
                Value::Array(Members { bytes, at: 0, left: Left::Array { elem, n: *len } })
            }
            Ty::Tuple(members) => Value::Tuple(Members { bytes, at: 0, left: Left::Tuple(members.iter()) }),
            Ty::Record(fields) => Value::Struct(Members { bytes, at: 0, left: Left::Record(fields.iter()) }),
            Ty::Struct(s) => Value::Struct(Members { bytes, at: 0, left: Left::Struct(s.members.iter()) }),
            Ty::KStack { depth, mode } => {
                let n = word(bytes, 0).min(u64::from(*depth)) as u32;
                Value::Stack { pid: None, mode: *mode, frames: part(bytes, 8, n * 8) }
            }
            Ty::UStack { depth, mode } => {
                let n = word(bytes, 0).min(u64::from(*depth)) as u32;
                Value::Stack { pid: Some(word(bytes, 8)), mode: *mode, frames: part(bytes, 16, n * 8) }
            }
            Ty::Ksym => Value::Ksym(word(bytes, 0)),
            Ty::Usym => Value::Usym { addr: word(bytes, 0), pid: word(bytes, 8) },
            Ty::Inet => Value::Inet { family: integer(bytes, 4, false) as u32, addr: part(bytes, 4, 16) },
            Ty::Mac => Value::Mac(part(bytes, 0, 6)),
            Ty::Timestamp { format, clock } => Value::Time { ns: word(bytes, 0), clock: *clock, format },
            Ty::Username => Value::User(word(bytes, 0)),
            Ty::CgroupPath { filter } => Value::Cgroup { id: word(bytes, 0), filter },
            Ty::Strerror => Value::Errno(word(bytes, 0) as i64),
            Ty::SignalName => Value::Signal(word(bytes, 0) as i64),
            Ty::SyscallName => Value::Syscall(word(bytes, 0)),
            Ty::Agg(agg) => Value::Agg(*agg, bytes),
        }
    }

    /// It as a number, and the bytes that number came from; `None` if it is something else.
    pub fn number(&self) -> Option<(i128, u8)> {
        match self {
            Value::Int { n, bytes } | Value::Enum { n, bytes, .. } => Some((*n, *bytes)),
            Value::Bool(b) => Some((i128::from(*b), 1)),
            Value::Ptr(p) => Some((i128::from(*p), 8)),
            Value::Void
            | Value::Null
            | Value::Str { .. }
            | Value::Buf(_)
            | Value::Array(_)
            | Value::Tuple(_)
            | Value::Struct(_)
            | Value::Stack { .. }
            | Value::Ksym(_)
            | Value::Usym { .. }
            | Value::Inet { .. }
            | Value::Mac(_)
            | Value::Time { .. }
            | Value::User(_)
            | Value::Cgroup { .. }
            | Value::Errno(_)
            | Value::Signal(_)
            | Value::Syscall(_)
            | Value::Agg(..) => None,
        }
    }
}

/// Elements or members of a value, in order, with their names (empty for elements and tuples).
#[derive(Clone, Debug)]
pub struct Members<'a> {
    bytes: &'a [u8],
    at: u32,
    left: Left<'a>,
}

#[derive(Clone, Debug)]
enum Left<'a> {
    Array { elem: &'a Ty, n: u32 },
    Tuple(std::slice::Iter<'a, Ty>),
    Record(std::slice::Iter<'a, RecordField>),
    Struct(std::slice::Iter<'a, hark_object::Member>),
}

impl<'a> Members<'a> {
    fn place(&mut self, ty: &'a Ty) -> Value<'a> {
        let layout = ty.layout();
        let at = self.at.next_multiple_of(layout.align.max(1));
        self.at = at.saturating_add(layout.size);
        Value::of(ty, part(self.bytes, at, layout.size))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, Value<'a>);

    fn next(&mut self) -> Option<(&'a str, Value<'a>)> {
        match &mut self.left {
            Left::Array { elem, n } => {
                *n = n.checked_sub(1)?;
                let elem = *elem;
                Some(("", self.place(elem)))
            }
            Left::Tuple(types) => {
                let ty = types.next()?;
                Some(("", self.place(ty)))
            }
            Left::Record(fields) => {
                let field = fields.next()?;
                Some((&field.name, self.place(&field.ty)))
            }
            Left::Struct(members) => {
                let member = members.next()?;
                let bytes = part(self.bytes, member.offset, member.ty.layout().size);
                let value = match (member.bits, Value::of(&member.ty, bytes)) {
                    (Some(bits), Value::Int { bytes: width, .. }) => {
                        let signed = matches!(member.ty, Ty::Int { signed: true, .. });
                        Value::Int { n: bit_field(bytes, bits, signed), bytes: width }
                    }
                    (_, value) => value,
                };
                Some((&member.name, value))
            }
        }
    }
}

/// Bits `first..first + width` of a storage unit.
fn bit_field(bytes: &[u8], (first, width): (u8, u8), signed: bool) -> i128 {
    let width = u32::from(width.clamp(1, 64));
    let bits = word(bytes, 0).checked_shr(u32::from(first)).unwrap_or(0) << (64 - width);
    if signed { i128::from(bits as i64 >> (64 - width)) } else { i128::from(bits >> (64 - width)) }
}

fn text(bytes: &[u8], cap: u32) -> Value<'_> {
    match bytes.iter().position(|b| *b == 0) {
        Some(end) => Value::Str { text: &bytes[..end], cut: false },
        None => {
            let cut = bytes.len() as u32 == cap && cap > 0;
            Value::Str { text: &bytes[..bytes.len() - usize::from(cut)], cut }
        }
    }
}

/// All of `bytes` up to a NUL.
fn chars(bytes: &[u8]) -> Value<'_> {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    Value::Str { text: &bytes[..end], cut: false }
}

/// `bytes[at..at + len]`, as much as there is.
pub(crate) fn part(bytes: &[u8], at: u32, len: u32) -> &[u8] {
    let (at, end) = (at as usize, at as usize + len as usize);
    bytes.get(at..end.min(bytes.len())).unwrap_or(&[])
}

/// The little-endian number in the first 8 bytes at `at`.
pub(crate) fn word(bytes: &[u8], at: usize) -> u64 {
    let mut buffer = [0; 8];
    let bytes = bytes.get(at..).unwrap_or(&[]);
    let n = bytes.len().min(8);
    buffer[..n].copy_from_slice(&bytes[..n]);
    u64::from_le_bytes(buffer)
}

/// Puts a number there, if there are 8 bytes.
pub(crate) fn set_word(bytes: &mut [u8], at: usize, word: u64) {
    if let Some(place) = bytes.get_mut(at..at + 8) {
        place.copy_from_slice(&word.to_le_bytes());
    }
}

fn integer(bytes: &[u8], n: u8, signed: bool) -> i128 {
    let unused = 64 - 8 * u32::from(n.clamp(1, 8));
    let bits = word(bytes, 0) << unused;
    if signed { i128::from(bits as i64 >> unused) } else { i128::from(bits >> unused) }
}

/// The order of keys: numbers by value, with a sign even if their type has none, as programs that read the output have
/// come to expect; texts by their bytes; tuples, records and arrays member by member.
pub fn compare(a: &Value<'_>, b: &Value<'_>) -> Ordering {
    match (a, b) {
        (Value::Int { n: x, bytes }, Value::Int { n: y, .. }) => {
            with_sign(*x, *bytes).cmp(&with_sign(*y, *bytes))
        }
        (Value::Str { text: x, .. }, Value::Str { text: y, .. }) => x.cmp(y),
        (Value::Buf(x), Value::Buf(y)) | (Value::Mac(x), Value::Mac(y)) => x.cmp(y),
        (Value::Array(x), Value::Array(y))
        | (Value::Tuple(x), Value::Tuple(y))
        | (Value::Struct(x), Value::Struct(y)) => {
            let (mut x, mut y) = (x.clone(), y.clone());
            loop {
                match (x.next(), y.next()) {
                    (Some((_, x)), Some((_, y))) => match compare(&x, &y) {
                        Ordering::Equal => {}
                        order => return order,
                    },
                    (x, y) => return x.is_some().cmp(&y.is_some()),
                }
            }
        }
        (Value::Stack { pid: p, frames: x, .. }, Value::Stack { pid: q, frames: y, .. }) => {
            (x.len(), x, p).cmp(&(y.len(), y, q))
        }
        (Value::Inet { family: f, addr: x }, Value::Inet { family: g, addr: y }) => (f, x).cmp(&(g, y)),
        (Value::Usym { addr: x, pid: p }, Value::Usym { addr: y, pid: q }) => (x, p).cmp(&(y, q)),
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

/// A number of so many bytes as one with a sign.
fn with_sign(n: i128, bytes: u8) -> i128 {
    let unused = 128 - 8 * u32::from(bytes.clamp(1, 8));
    (n << unused) >> unused
}

/// The number that values of one word are ordered by.
fn rank(value: &Value<'_>) -> i128 {
    match value {
        Value::Ksym(n) | Value::User(n) | Value::Syscall(n) => i128::from(*n),
        Value::Time { ns, .. } => i128::from(*ns),
        Value::Cgroup { id, .. } => i128::from(*id),
        Value::Errno(n) | Value::Signal(n) => i128::from(*n),
        Value::Agg(agg, bytes) => agg.sort_key(bytes),
        other => other.number().map_or(0, |(n, _)| n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hark_object::{Member, StructTy};

    #[test]
    fn integers_are_extended_by_their_sign() {
        let n = |bytes, signed| integer(&[0xff; 8], bytes, signed);
        assert_eq!([n(1, true), n(2, true), n(4, true), n(8, true)], [-1; 4]);
        assert_eq!([n(1, false), n(4, false), n(8, false)], [255, 0xffff_ffff, i128::from(u64::MAX)]);
    }

    #[test]
    fn keys_have_a_sign() {
        for bytes in [1, 4, 8] {
            let ty = Ty::Int { bytes, signed: false };
            let order = |a: &[u8], b: &[u8]| compare(&Value::of(&ty, a), &Value::of(&ty, b));
            assert_eq!(order(&[0xff; 8], &[0; 8]), Ordering::Less);
            assert_eq!(order(&[1, 0, 0, 0, 0, 0, 0, 0], &[0; 8]), Ordering::Greater);
        }
    }

    #[test]
    fn bit_fields_are_taken_from_their_storage_unit() {
        let member = |name: &str, offset, bits, signed| Member {
            name: name.into(),
            offset,
            ty: Ty::Int { bytes: 4, signed },
            bits,
        };
        let ty = Ty::Struct(Arc::new(StructTy {
            name: "s".into(),
            size: 8,
            align: 4,
            members: vec![
                member("a", 0, Some((0, 3)), false),
                member("b", 0, Some((3, 7)), false),
                member("c", 0, Some((10, 2)), true),
                member("d", 4, None, true),
            ],
        }));
        let mut bytes = (5u32 | 100 << 3 | 3 << 10).to_le_bytes().to_vec();
        bytes.extend((-9i32).to_le_bytes());
        let Value::Struct(members) = Value::of(&ty, &bytes) else { unreachable!("it is a struct") };
        let numbers: Vec<i128> = members.filter_map(|(_, value)| value.number()).map(|(n, _)| n).collect();
        assert_eq!(numbers, [5, 100, -1, -9]);
    }

    #[test]
    fn a_text_without_nul_was_cut() {
        let ty = Ty::Str { cap: 4 };
        assert!(matches!(Value::of(&ty, b"abc\0"), Value::Str { text: b"abc", cut: false }));
        assert!(matches!(Value::of(&ty, b"abc\x01"), Value::Str { text: b"abc", cut: true }));
        assert!(matches!(Value::of(&ty, b""), Value::Str { text: b"", cut: false }));
    }

    #[test]
    fn tuples_compare_member_by_member() {
        let ty = Ty::Tuple(vec![Ty::Int { bytes: 1, signed: true }, Ty::Str { cap: 4 }]);
        let order = |a: &[u8], b: &[u8]| compare(&Value::of(&ty, a), &Value::of(&ty, b));
        assert_eq!(order(b"\xffz\0", b"\x01a\0"), Ordering::Less);
        assert_eq!(order(b"\x01b\0", b"\x01a\0"), Ordering::Greater);
        assert_eq!(order(b"\x01a\0x", b"\x01a\0y"), Ordering::Equal);
    }
}
