//! The syntax tree: what the author wrote, spelled in one way.
//!
//! Old and new spellings are one tree: `args->x` and `args.x` are [`ExprKind::Field`]; `delete(@m[k])` keeps the map
//! access as its argument; `BEGIN` and `begin` differ only in [`AttachPoint::text`]. Preprocessor conditionals are
//! already decided; `#define`d names are expressions in [`Script::defines`] and stay [`ExprKind::Ident`] where used.

use hark_diag::Span;

/// A name and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The text, without `$` or `@`.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// A whole script.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    /// The `#!` line, without its line end.
    pub shebang: Option<String>,
    /// `#include`s, in order; the text between the brackets or quotes.
    pub includes: Vec<Include>,
    /// Object-like `#define`s whose text is an expression.
    pub defines: Vec<Define>,
    /// C struct, union, enum and typedef definitions.
    pub c_defs: Vec<CDef>,
    /// `config = { … }`.
    pub config: Vec<ConfigItem>,
    /// `import "…";`
    pub imports: Vec<Import>,
    /// Everything else, in order.
    pub items: Vec<Item>,
    /// Comments in order of place, for the formatter.
    pub comments: Vec<Comment>,
    /// Preprocessor lines with the lines they exclude, as written and in order of place, for the formatter.
    pub directives: Vec<Comment>,
}

/// A comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// With its `//` or `/* */`.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// `#include <…>` or `#include "…"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    /// The path.
    pub path: String,
    /// Whether it stood in angle brackets.
    pub system: bool,
    /// Where.
    pub span: Span,
}

/// `#define NAME expression`.
#[derive(Clone, Debug, PartialEq)]
pub struct Define {
    /// The name.
    pub name: Name,
    /// What it stands for; its spans are those of the definition.
    pub value: Expr,
}

/// `key = value;` of a config block.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigItem {
    /// The key, as written.
    pub key: Name,
    /// The value: an integer, string, bool or bare word (as [`ExprKind::Ident`]).
    pub value: Expr,
}

/// `import "…";`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The path.
    pub path: String,
    /// Where.
    pub span: Span,
}

/// A top-level item.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A probe block.
    Probe(Probe),
    /// `macro name(params) { … }`
    Macro(Macro),
    /// `fn name($a : int32) : int32 { … }`
    Func(Func),
    /// `let @m = lruhash(100);`
    MapDecl(MapDecl),
}

/// A probe block: attach points, predicate, body.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// Attach points, at least one.
    pub attach_points: Vec<AttachPoint>,
    /// `/predicate/`.
    pub predicate: Option<Expr>,
    /// The body.
    pub body: Block,
    /// All of it.
    pub span: Span,
}

/// One attach point: its parts between colons, unquoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachPoint {
    /// `name=` before it.
    pub name: Option<String>,
    /// Parts in order, quotes and escapes removed: `["kprobe", "vfs_read"]`. Positional parameters are not yet
    /// replaced.
    pub parts: Vec<ApPart>,
    /// As written.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// A part of an attach point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApPart {
    /// The text.
    pub text: String,
    /// Whether it stood in quotes: wildcards and `$1` in it are meant literally.
    pub quoted: bool,
    /// Where.
    pub span: Span,
}

/// `let @m = kind(size);`
#[derive(Clone, Debug, PartialEq)]
pub struct MapDecl {
    /// The map.
    pub map: Name,
    /// `hash`, `lruhash`, `percpuhash`, `percpulruhash`.
    pub kind: Name,
    /// Number of entries.
    pub size: Expr,
    /// All of it.
    pub span: Span,
}

/// A macro.
#[derive(Clone, Debug, PartialEq)]
pub struct Macro {
    /// Name.
    pub name: Name,
    /// Parameters.
    pub params: Vec<MacroParam>,
    /// Body; its value is the macro's.
    pub body: Block,
    /// All of it.
    pub span: Span,
}

/// A parameter of a macro.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MacroParam {
    /// `$v`: a variable, by reference.
    Var(Name),
    /// `@m`: a map, by reference.
    Map(Name),
    /// `e`: an expression, substituted.
    Expr(Name),
}

/// A function.
#[derive(Clone, Debug, PartialEq)]
pub struct Func {
    /// Name.
    pub name: Name,
    /// Parameters: variable and type.
    pub params: Vec<(Name, TypeExpr)>,
    /// Type of the result.
    pub ret: Option<TypeExpr>,
    /// Body.
    pub body: Block,
    /// All of it.
    pub span: Span,
}

/// Statements in braces. A last expression without `;` is the value of the block.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Statements.
    pub stmts: Vec<Stmt>,
    /// The value. An `if` or a block at the end is one only if it has a value whichever way it goes; the body of a
    /// probe has one, too, if its last expression lacks the `;`.
    pub value: Option<Box<Expr>>,
    /// With its braces.
    pub span: Span,
}

/// A statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Stmt {
    /// What it is.
    pub kind: StmtKind,
    /// Where, without the `;`.
    pub span: Span,
}

/// Kinds of statements. Assignments to maps and variables are statements; `++`, `--` are expressions.
#[derive(Clone, Debug, PartialEq)]
pub enum StmtKind {
    /// An expression for its effect. `if` and blocks in statement position are expressions too.
    Expr(Expr),
    /// `target op= value`; `op` is `None` for plain `=`.
    Assign {
        /// A variable, map access, tuple field… whatever was written.
        target: Expr,
        /// The operator of a compound assignment.
        op: Option<BinOp>,
        /// The value.
        value: Expr,
    },
    /// `_ = value`
    Discard(Expr),
    /// `let $x : type = value`
    Let {
        /// The variable.
        var: Name,
        /// Its type.
        ty: Option<TypeExpr>,
        /// Its value.
        value: Option<Expr>,
    },
    /// `while (cond) { … }`
    While {
        /// Condition.
        cond: Expr,
        /// Body.
        body: Block,
    },
    /// `for ($i : a..b) { … }`
    ForRange {
        /// The variable.
        var: Name,
        /// First value.
        from: Expr,
        /// One past the last.
        to: Expr,
        /// Body.
        body: Block,
    },
    /// `for ($kv : @map) { … }`
    ForMap {
        /// The variable: a tuple of key and value.
        var: Name,
        /// The map (an [`ExprKind::Map`] without key).
        map: Expr,
        /// Body.
        body: Block,
    },
    /// `unroll(n) { … }`
    Unroll {
        /// How often.
        count: Expr,
        /// Body.
        body: Block,
    },
    /// `break`
    Break,
    /// `continue`
    Continue,
    /// `return` with an optional value.
    Return(Option<Expr>),
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where, with the parentheses around it.
    pub span: Span,
}

/// Kinds of expressions.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A number; a minus before it is an operator.
    Int {
        /// The value.
        value: u64,
        /// Whether it was written as a duration (`10ms`), in nanoseconds.
        duration: bool,
    },
    /// `true`, `false`
    Bool(bool),
    /// A string with its escapes resolved.
    Str(Vec<u8>),
    /// A bare name: a builtin, a constant, a `#define`, an enumerator, a macro parameter.
    Ident(String),
    /// `$1`, `$2`…
    Positional(u32),
    /// `$#`
    PositionalCount,
    /// `$x`
    Var(String),
    /// `@m`, `@m[k]`, `@m[a, b]`: the keys as written; `@m[(a, b)]` has one key, a tuple. An empty name is `@`.
    Map {
        /// Name without `@`.
        name: String,
        /// Keys.
        keys: Vec<Expr>,
    },
    /// `f(args)`; arguments may be types for `sizeof`, `offsetof`, `typeof`.
    Call {
        /// Name.
        func: Name,
        /// Arguments.
        args: Vec<Arg>,
    },
    /// `op x`
    Unary(UnOp, Box<Expr>),
    /// `++x`, `x++`, `--x`, `x--`
    IncDec {
        /// The variable or map access.
        target: Box<Expr>,
        /// `++` rather than `--`.
        increment: bool,
        /// Written after the operand.
        postfix: bool,
    },
    /// `a op b`
    Binary(BinOp, Box<Expr>, Box<Expr>),
    /// `c ? a : b`; without `a` the elvis form `c ?: b`.
    Ternary {
        /// Condition.
        cond: Box<Expr>,
        /// Value if it holds; `None` for `?:`.
        then: Option<Box<Expr>>,
        /// Value if not.
        els: Box<Expr>,
    },
    /// `if c { … } else { … }`
    If {
        /// Condition.
        cond: Box<Expr>,
        /// Taken if it holds.
        then: Block,
        /// Taken if not: an [`ExprKind::Block`] or another [`ExprKind::If`].
        els: Option<Box<Expr>>,
    },
    /// `{ … }`
    Block(Block),
    /// `comptime e`
    Comptime(Box<Expr>),
    /// `(type)x`
    Cast(TypeExpr, Box<Expr>),
    /// `x.name` and `x->name`
    Field {
        /// The object.
        base: Box<Expr>,
        /// The member.
        field: Name,
        /// Whether it was written `->`.
        arrow: bool,
    },
    /// `x.0`
    TupleField {
        /// The tuple.
        base: Box<Expr>,
        /// Which.
        index: u32,
    },
    /// `x[i]`
    Index(Box<Expr>, Box<Expr>),
    /// `(a, b)`, `(a,)`, `()`
    Tuple(Vec<Expr>),
    /// `(a = 1, b = 2)`
    Record(Vec<(Name, Expr)>),
    /// Stands where the text could not be understood; a diagnostic has been given.
    Error,
}

/// An argument of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    /// A value.
    Expr(Expr),
    /// A type: `sizeof(struct x)`, `offsetof(struct x, a.b)`. A bare name is one only if it is `int32` and the like,
    /// one of `u8` … `s64`, or ends in `_t`; another, `sizeof(foo)`, is an [`ExprKind::Ident`].
    Type(TypeExpr),
}

/// Binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is its symbol, see `BinOp::symbol`")]
pub enum BinOp {
    Or,
    And,
    BitOr,
    BitXor,
    BitAnd,
    Eq,
    Ne,
    Lt,
    Gt,
    Le,
    Ge,
    Shl,
    Shr,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
}

impl BinOp {
    /// As it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            BinOp::Or => "||",
            BinOp::And => "&&",
            BinOp::BitOr => "|",
            BinOp::BitXor => "^",
            BinOp::BitAnd => "&",
            BinOp::Eq => "==",
            BinOp::Ne => "!=",
            BinOp::Lt => "<",
            BinOp::Gt => ">",
            BinOp::Le => "<=",
            BinOp::Ge => ">=",
            BinOp::Shl => "<<",
            BinOp::Shr => ">>",
            BinOp::Add => "+",
            BinOp::Sub => "-",
            BinOp::Mul => "*",
            BinOp::Div => "/",
            BinOp::Mod => "%",
        }
    }
}

/// Unary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnOp {
    /// `!`
    Not,
    /// `~`
    BitNot,
    /// `-`
    Neg,
    /// `+`
    Plus,
    /// `*`
    Deref,
    /// `&`: address of a variable or map
    AddrOf,
}

/// A type as written.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeExpr {
    /// What it is.
    pub kind: TypeKind,
    /// Where.
    pub span: Span,
}

/// Kinds of types.
#[derive(Clone, Debug, PartialEq)]
pub enum TypeKind {
    /// `uint32`, `size_t`, `unsigned int` (spelled with single blanks), `string`, `buffer`, `bool`, `void`.
    Named(String),
    /// `struct name`
    Struct(String),
    /// `union name`
    Union(String),
    /// `enum name`
    Enum(String),
    /// `T *`
    Ptr(Box<TypeExpr>),
    /// `T[n]`; `None` for `T[]`. `string[64]` is an array of the named type `string`.
    Array(Box<TypeExpr>, Option<Box<Expr>>),
    /// `(T, U)`
    Tuple(Vec<TypeExpr>),
    /// `typeof(e)` of an expression or type.
    Typeof(Box<Arg>),
}

/// A C definition at the top of a script.
#[derive(Clone, Debug, PartialEq)]
pub enum CDef {
    /// `struct s { … };` or `union`.
    Struct(CStruct),
    /// `enum e { … };`
    Enum(CEnum),
    /// `typedef T name;`
    Typedef(CMember),
}

/// A struct or union definition.
#[derive(Clone, Debug, PartialEq)]
pub struct CStruct {
    /// Its tag; empty if anonymous.
    pub name: Name,
    /// Whether it is a union.
    pub union: bool,
    /// Members.
    pub members: Vec<CMember>,
    /// `__attribute__((packed))`
    pub packed: bool,
    /// `__attribute__((aligned(n)))`
    pub align: Option<u32>,
    /// All of it.
    pub span: Span,
}

/// A member (or typedef).
#[derive(Clone, Debug, PartialEq)]
pub struct CMember {
    /// Its name; empty for an anonymous struct or union member.
    pub name: Name,
    /// Its type.
    pub ty: CType,
    /// Width of a bit-field.
    pub bits: Option<u32>,
    /// `__attribute__((packed))`: it follows the one before it without a gap.
    pub packed: bool,
    /// `__attribute__((aligned(n)))`: it begins at a multiple of so many bytes.
    pub align: Option<u32>,
}

/// A C type.
#[derive(Clone, Debug, PartialEq)]
pub enum CType {
    /// Base types and typedef names: `unsigned long`, `u32`, `struct x`, `enum e`.
    Base(TypeExpr),
    /// A struct or union defined in place.
    Inline(Box<CStruct>),
    /// An enum defined in place.
    InlineEnum(Box<CEnum>),
    /// Pointer.
    Ptr(Box<CType>),
    /// Array; `None` for a flexible one. The length is an expression of constants and `#define`s.
    Array(Box<CType>, Option<Box<Expr>>),
    /// A function (only behind a pointer); its parameters do not matter.
    Function,
}

/// An enum definition.
#[derive(Clone, Debug, PartialEq)]
pub struct CEnum {
    /// Its tag; empty if anonymous.
    pub name: Name,
    /// Enumerators with their explicit values.
    pub variants: Vec<(Name, Option<Expr>)>,
    /// All of it.
    pub span: Span,
}
