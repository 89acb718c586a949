//! What can be wrong with BTF, and with a question asked of it.

use std::fmt;

use crate::kind::TypeId;

/// Why bytes are not BTF. Whoever made the bytes is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BtfError {
    /// Shorter than the header says, or than a header is.
    Truncated {
        /// Bytes needed.
        need: u64,
        /// Bytes there.
        have: u64,
    },
    /// Does not start with the magic number in either byte order.
    BadMagic(u16),
    /// A version other than 1.
    UnknownVersion(u8),
    /// A type whose kind is not known, so that its length is not known either.
    UnknownKind {
        /// The type.
        id: TypeId,
        /// The number found.
        kind: u32,
    },
    /// A type that reaches beyond the type section.
    TypeCut(TypeId),
    /// More types than ids.
    TooManyTypes,
    /// A string section that does not start and end with a zero byte.
    BadStrings,
    /// A split BTF whose byte order is not that of its base.
    MixedEndian,
}

impl fmt::Display for BtfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BtfError::Truncated { need, have } => {
                write!(f, "btf is cut off: {need} bytes needed, {have} there")
            }
            BtfError::BadMagic(magic) => write!(f, "not btf: magic number is {magic:#06x}, not 0xeb9f"),
            BtfError::UnknownVersion(v) => write!(f, "btf version {v} is not known (1 is)"),
            BtfError::UnknownKind { id, kind } => write!(f, "btf type {id} has the unknown kind {kind}"),
            BtfError::TypeCut(id) => write!(f, "btf type {id} reaches beyond the type section"),
            BtfError::TooManyTypes => write!(f, "btf has more types than ids"),
            BtfError::BadStrings => write!(f, "btf string section does not start and end with a zero byte"),
            BtfError::MixedEndian => write!(f, "btf and its base differ in byte order"),
        }
    }
}

impl std::error::Error for BtfError {}

/// Why a chain of member names leads nowhere. `at` counts the names already followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathError {
    /// The type has no such member, nor has any anonymous member of it.
    NoMember {
        /// The type asked, as C writes it.
        within: String,
        /// Its id (typedefs and qualifiers removed), for a search of similar names.
        id: TypeId,
        /// The name.
        member: String,
        /// Index of the name in the path.
        at: usize,
    },
    /// A member was asked of something that is neither struct nor union. A path does not follow pointers.
    NotComposite {
        /// The type asked, as C writes it.
        within: String,
        /// Index of the name in the path.
        at: usize,
    },
    /// The struct is only declared, its members are not known.
    OnlyDeclared {
        /// The type asked, as C writes it.
        within: String,
        /// Index of the name in the path.
        at: usize,
    },
    /// The BTF itself is broken there: a dangling id, a cycle, or nesting beyond all measure.
    Broken {
        /// Index of the name in the path.
        at: usize,
    },
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathError::NoMember { within, member, .. } => write!(f, "{within} has no member `{member}`"),
            PathError::NotComposite { within, .. } => write!(f, "{within} is neither struct nor union"),
            PathError::OnlyDeclared { within, .. } => {
                write!(f, "{within} is only declared, its members are not known")
            }
            PathError::Broken { .. } => write!(f, "the type information is broken here"),
        }
    }
}

impl std::error::Error for PathError {}
