//! The typed tree: every name resolved, every expression typed, every implicit step made explicit.

use crate::builtins::Builtin;
use crate::ctypes::Bits;
use crate::probes::Context;
use crate::types::{ArgPlace, Type};
use hark_diag::Span;
use hark_object::{Config, Format, ProbeSpec, agg::Agg};
use indexmap::IndexMap;
use std::sync::Arc;

/// A script whose every part has a meaning.
#[derive(Debug)]
pub(crate) struct TypedScript {
    /// One per program to be compiled.
    pub units: Vec<Unit>,
    /// Maps by name (without `@`), in order of first use.
    pub maps: IndexMap<String, MapInfo>,
    /// Settings.
    pub config: Config,
}

/// A map of the script.
#[derive(Clone, Debug)]
pub(crate) struct MapInfo {
    /// Key; `None` for a map without.
    pub key: Option<Type>,
    /// Value.
    pub value: Type,
    /// Kind and size, if declared by `let`.
    pub declared: Option<(MapKind, u32)>,
    /// Whether user space takes all entries of a moment: see [`crate::rounds`].
    pub generations: bool,
}

/// Kinds of maps that a script may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapKind {
    /// `hash`
    Hash,
    /// `lruhash`
    LruHash,
    /// `percpuhash`
    PercpuHash,
    /// `percpulruhash`
    PercpuLruHash,
}

/// A map of the script, by its position in [`TypedScript::maps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MapId(pub u32);

/// A scratch variable of a unit, by its position in [`Unit::vars`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VarId(pub u32);

/// One body with the attach points it is compiled for.
#[derive(Debug)]
pub(crate) struct Unit {
    /// Probes that run this program, at least one: spec, full name, place.
    pub probes: Vec<(ProbeSpec, String, Span)>,
    /// What the body can use of its context.
    pub context: Arc<Context>,
    /// Variables.
    pub vars: Vec<VarInfo>,
    /// Predicate.
    pub predicate: Option<Expr>,
    /// Body.
    pub body: Block,
}

/// A scratch variable.
#[derive(Clone, Debug)]
pub(crate) struct VarInfo {
    /// Name without `$`.
    pub name: String,
    /// Type: the join of all that is assigned.
    pub ty: Type,
    /// Whether `let` says the type: what is assigned must fit it.
    pub fixed: bool,
    /// Whether it begins as zero, which no address that the verifier knows can be.
    pub zeroed: bool,
}

/// Statements and a value.
#[derive(Clone, Debug)]
pub struct Block {
    /// Statements.
    pub stmts: Vec<Stmt>,
    /// Value, if it has one.
    pub value: Option<Box<Expr>>,
}

impl Block {
    /// Nothing.
    pub const EMPTY: Block = Block { stmts: Vec::new(), value: None };
}

/// A statement.
#[derive(Clone, Debug)]
pub struct Stmt {
    /// What.
    pub kind: StmtKind,
    /// Where.
    pub span: Span,
}

/// Kinds of statements.
#[derive(Clone, Debug)]
pub enum StmtKind {
    /// For its effect.
    Expr(Expr),
    /// `$x = e`; `None` zero-initialises.
    AssignVar(VarId, Option<Expr>),
    /// `@m[k] = e`
    AssignMap {
        /// Map.
        map: MapId,
        /// Key.
        key: Option<Expr>,
        /// Value, already of the map's type.
        value: Expr,
    },
    /// `@m[k] = count()` and its kin.
    Aggregate {
        /// Map.
        map: MapId,
        /// Key.
        key: Option<Expr>,
        /// What is kept.
        agg: Agg,
        /// The value counted; none for `count`.
        value: Option<Expr>,
        /// Other arguments of the call that are not constants.
        extra: Vec<Expr>,
    },
    /// `while`
    While {
        /// Condition.
        cond: Expr,
        /// Body.
        body: Block,
    },
    /// `for ($i : from..to)`
    ForRange {
        /// Variable.
        var: VarId,
        /// First.
        from: Expr,
        /// One past the last.
        to: Expr,
        /// Body.
        body: Block,
    },
    /// `for ($kv : @m)`
    ForMap {
        /// Variable: tuple of key and value.
        var: VarId,
        /// Map.
        map: MapId,
        /// Body.
        body: Block,
    },
    /// `unroll(n)`
    Unroll {
        /// How often.
        count: u32,
        /// Body.
        body: Block,
    },
    /// `break`
    Break,
    /// `continue`
    Continue,
    /// `return`
    Return(Option<Expr>),
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What.
    pub kind: ExprKind,
    /// Type.
    pub ty: Type,
    /// Where.
    pub span: Span,
}

/// Arithmetic on integers, 64 bit wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArithOp {
    Add,
    Sub,
    Mul,
    Div(bool),
    Mod(bool),
    And,
    Or,
    Xor,
    Shl,
    Shr(bool),
}

/// Comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl CompareOp {
    /// Whether it is true of two numbers.
    pub(crate) fn holds(self, signed: bool, a: i64, b: i64) -> bool {
        let order = if signed { a.cmp(&b) } else { a.cast_unsigned().cmp(&b.cast_unsigned()) };
        match self {
            CompareOp::Eq => order.is_eq(),
            CompareOp::Ne => order.is_ne(),
            CompareOp::Lt => order.is_lt(),
            CompareOp::Le => order.is_le(),
            CompareOp::Gt => order.is_gt(),
            CompareOp::Ge => order.is_ge(),
        }
    }
}

/// Kinds of expressions.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// A number.
    Int(i64),
    /// Text (without terminator), or the bytes of an array.
    Str(Arc<[u8]>),
    /// `$x`
    Var(VarId),
    /// `@m[k]`: the zero value if there is none.
    MapGet(MapId, Option<Box<Expr>>),
    /// An aggregation read as a number.
    MapReadAgg(MapId, Option<Box<Expr>>, Agg),
    /// A call of a builtin.
    Call(Box<Call>),
    /// `-x`
    Neg(Box<Expr>),
    /// `~x`
    BitNot(Box<Expr>),
    /// `!x`
    Not(Box<Expr>),
    /// Integer arithmetic.
    Arith(ArithOp, Box<Expr>, Box<Expr>),
    /// `p + n`, `p - n` (with `n` negated), scaled by this many bytes.
    PtrAdd(Box<Expr>, Box<Expr>, u32),
    /// `p - q`, divided by this many bytes.
    PtrDiff(Box<Expr>, Box<Expr>, u32),
    /// Comparison of integers or pointers, as signed or unsigned.
    Compare(CompareOp, bool, Box<Expr>, Box<Expr>),
    /// Equality (or inequality, if true) of texts: up to their terminators.
    StrEq(bool, Box<Expr>, Box<Expr>),
    /// Equality (or inequality, if true) of other values in memory, bytewise; types agree.
    MemEq(bool, Box<Expr>, Box<Expr>),
    /// `a && b`
    And(Box<Expr>, Box<Expr>),
    /// `a || b`
    Or(Box<Expr>, Box<Expr>),
    /// `c ? a : b` and `if` as a value; both sides are of the expression's type.
    Select(Box<Expr>, Box<Expr>, Box<Expr>),
    /// `c ?: b`: both sides are of the expression's type.
    Elvis(Box<Expr>, Box<Expr>),
    /// `if` without a value.
    If(Box<Expr>, Block, Option<Block>),
    /// `{ … }` with a value.
    Block(Block),
    /// Conversion to the expression's type: integers among each other, pointers and integers, text to a larger
    /// capacity, tuples member by member.
    Convert(Box<Expr>),
    /// `*p`, or what a pointer points to where `.` or `[]` follows.
    Deref(Box<Expr>),
    /// A member of a struct in memory.
    Field {
        /// The struct.
        base: Box<Expr>,
        /// Offset in bytes.
        offset: u32,
        /// Bit-field.
        bits: Option<Bits>,
    },
    /// An argument of a typed probe.
    Arg(ArgPlace),
    /// All arguments of a typed probe.
    Args,
    /// An element of an array in memory; `checked` if the index must be compared with the length at run time.
    Index {
        /// The array.
        base: Box<Expr>,
        /// The index.
        index: Box<Expr>,
        /// Bytes of an element.
        size: u32,
        /// Length to check against.
        bound: Option<u32>,
    },
    /// A member of a tuple or record.
    Member(Box<Expr>, u32),
    /// A tuple or record.
    Tuple(Vec<Expr>),
    /// `x++` and its kin on a variable.
    IncDecVar {
        /// Variable.
        var: VarId,
        /// Added: 1, -1 or the size of what a pointer points to.
        step: i64,
        /// The value is that before.
        postfix: bool,
    },
    /// `@m[k]++` and its kin.
    IncDecMap {
        /// Map.
        map: MapId,
        /// Key.
        key: Option<Box<Expr>>,
        /// Added.
        step: i64,
        /// The value is that before.
        postfix: bool,
        /// Whether the value is used.
        used: bool,
    },
    /// `&$x`, `&@m[k]`.
    AddrOf(Box<Expr>),
    /// Nothing: stands where an error was reported.
    Error,
}

/// A call of a builtin.
#[derive(Clone)]
pub struct Call {
    /// Which.
    pub builtin: &'static dyn Builtin,
    /// Arguments that are evaluated, in order.
    pub args: Vec<Expr>,
    /// What the check found out besides.
    pub data: CallData,
    /// Whether the result is dropped.
    pub discarded: bool,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("builtin", &self.builtin.name())
            .field("args", &self.args)
            .field("data", &self.data)
            .finish()
    }
}

/// Constant parts of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum CallData {
    /// None.
    None,
    /// A number.
    Int(i64),
    /// A text.
    Text(Arc<str>),
    /// A format string.
    Format(Arc<Format>),
    /// A format string, and the calls of the macros that it was expanded from, innermost first.
    Message(Arc<Format>, Arc<[Span]>),
    /// A map (`clear`, `zero`, `print(@m)`, `len`).
    Map(MapId),
    /// A map that is printed, and what becomes of its entries: `print(@m); clear(@m);`.
    Take(MapId, hark_object::Then),
    /// A map access (`delete`, `has_key`, `print(@m[k])`): the key is the first argument.
    MapKey(MapId),
    /// A map and the variable that takes a value of it (`find`): the key is the first argument.
    Find(MapId, VarId),
}

impl Expr {
    /// A number of type `ty`.
    pub fn int(value: i64, ty: Type, span: Span) -> Self {
        Self { kind: ExprKind::Int(value), ty, span }
    }

    /// Stands where an error was reported; its type fits everywhere.
    pub fn error(span: Span) -> Self {
        Self { kind: ExprKind::Error, ty: Type::Unknown, span }
    }

    /// The number that it is known to be.
    pub fn as_int(&self) -> Option<i64> {
        match &self.kind {
            ExprKind::Int(value) => Some(*value),
            ExprKind::Convert(inner) if inner.ty.is_integral() => {
                let value = inner.as_int()?;
                let (bytes, signed) = self.ty.int_shape()?;
                Some(wrap(value, bytes, signed))
            }
            _ => None,
        }
    }

    /// The text that it is known to be.
    pub fn as_str(&self) -> Option<&[u8]> {
        match &self.kind {
            ExprKind::Str(text) if matches!(self.ty, Type::Str { .. }) => Some(text),
            ExprKind::Convert(inner) if matches!(self.ty, Type::Str { .. }) => inner.as_str(),
            _ => None,
        }
    }
}

/// `value` cut to `bytes` and extended again.
pub(crate) fn wrap(value: i64, bytes: u8, signed: bool) -> i64 {
    let bits = 64 - 8 * u32::from(bytes.clamp(1, 8));
    if signed { value << bits >> bits } else { ((value as u64) << bits >> bits) as i64 }
}
