//! What a function of a binary takes and returns, as its debug information says.

/// A function as its source declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSignature {
    /// Parameters in order: name (empty if it has none) and type, as an index of `types`.
    pub params: Vec<(String, usize)>,
    /// Type of the result, as an index of `types`.
    pub ret: usize,
    /// All types that can be reached from these.
    pub types: Vec<UserType>,
}

/// A type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserType {
    /// Not described, or in a way that is not known here.
    Unknown,
    /// `void`, or a function.
    Void,
    /// Truth value of one byte.
    Bool,
    /// Integer.
    Int {
        /// Name in its source: `unsigned long`.
        name: String,
        /// Size.
        bytes: u64,
        /// Has a sign.
        signed: bool,
    },
    /// Floating point number.
    Float {
        /// Name in its source.
        name: String,
        /// Size.
        bytes: u64,
    },
    /// Pointer or reference.
    Pointer(usize),
    /// Array of a type and a number of them; 0 when not stated.
    Array(usize, u64),
    /// Struct, class or union.
    Struct {
        /// Tag; empty when anonymous.
        name: String,
        /// Size.
        bytes: u64,
        /// Is a union.
        union: bool,
        /// Members. `None` if it is only declared.
        members: Option<Vec<UserMember>>,
    },
    /// Enumeration.
    Enum {
        /// Tag; empty when anonymous.
        name: String,
        /// Size.
        bytes: u64,
        /// Constants.
        values: Vec<(String, i64)>,
    },
    /// Another name for a type.
    Typedef(String, usize),
    /// A type with a qualifier.
    Same(usize),
}

/// A member of a struct or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserMember {
    /// Name; empty when anonymous, and for a C++ base class.
    pub name: String,
    /// Type, as an index of [`UserSignature::types`].
    pub ty: usize,
    /// Offset in bits.
    pub bit_offset: u64,
    /// Width in bits of a bit-field.
    pub bits: Option<u64>,
}

impl UserSignature {
    /// A type as C names it, roughly: `struct fact *`, `char[10]`, `unsigned long`.
    pub fn type_name(&self, ty: usize) -> String {
        /// Deepest nesting that is told.
        const MAX_DEPTH: u32 = 16;
        self.name_of(ty, MAX_DEPTH)
    }

    fn name_of(&self, ty: usize, depth: u32) -> String {
        let Some(depth) = depth.checked_sub(1) else { return "…".to_string() };
        match self.types.get(ty) {
            None | Some(UserType::Unknown) => "?".to_string(),
            Some(UserType::Void) => "void".to_string(),
            Some(UserType::Bool) => "bool".to_string(),
            Some(UserType::Int { name, .. } | UserType::Float { name, .. } | UserType::Typedef(name, _)) => {
                name.clone()
            }
            Some(UserType::Pointer(to)) => {
                let to = self.name_of(*to, depth);
                if to.ends_with('*') { format!("{to}*") } else { format!("{to} *") }
            }
            Some(UserType::Array(of, len)) => format!("{}[{len}]", self.name_of(*of, depth)),
            Some(UserType::Struct { name, union, .. }) => {
                format!("{} {name}", if *union { "union" } else { "struct" })
            }
            Some(UserType::Enum { name, .. }) => format!("enum {name}"),
            Some(UserType::Same(of)) => self.name_of(*of, depth),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_as_in_c() {
        let int = UserType::Int { name: "char".into(), bytes: 1, signed: true };
        let types =
            vec![int, UserType::Pointer(0), UserType::Pointer(1), UserType::Same(2), UserType::Pointer(4)];
        let signature = UserSignature { params: Vec::new(), ret: 0, types };
        assert_eq!(signature.type_name(3), "char **");
        assert!(signature.type_name(4).ends_with('*'), "endless types come to an end");
        assert_eq!(signature.type_name(9), "?");
    }
}
