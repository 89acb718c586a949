//! Instructions and terminators.

use super::entity::{Block, FuncRef, SlotId, Value};
use bpf_facts::HelperId;
use ebpf_asm::{AtomicOp, MapRef, Size};

/// Type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// A 64-bit integer.
    I64,
    /// A pointer, as the verifier understands it.
    Ptr,
}

/// Arithmetic on two 64-bit integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinOp {
    /// Wrapping addition.
    Add,
    /// Wrapping subtraction.
    Sub,
    /// Wrapping multiplication.
    Mul,
    /// Unsigned division; by zero gives 0.
    Udiv,
    /// Signed division, truncating; by zero gives 0, `MIN / -1` is `MIN`.
    Sdiv,
    /// Unsigned remainder; by zero gives the left operand.
    Umod,
    /// Signed remainder with the sign of the left operand; by zero gives the left operand, `MIN % -1` is 0.
    Smod,
    /// Bitwise and.
    And,
    /// Bitwise or.
    Or,
    /// Bitwise exclusive or.
    Xor,
    /// Left shift; the count is taken modulo 64.
    Shl,
    /// Logical right shift; the count is taken modulo 64.
    Lshr,
    /// Arithmetic right shift; the count is taken modulo 64.
    Ashr,
}

/// Operations on one 64-bit integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnOp {
    /// Two's complement negation.
    Neg,
    /// Bitwise complement.
    Not,
    /// Keep the low bits of this size (`B`, `H`, `W`), zero the rest.
    Zext(Size),
    /// Keep the low bits of this size (`B`, `H`, `W`), copy its sign into the rest.
    Sext(Size),
    /// Swap the bytes of the low `H`, `W` or `Dw`; the rest becomes zero.
    Bswap(Size),
}

/// Comparison of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cond {
    /// Equal. With a pointer on the left, the right must be the constant 0 (NULL test).
    Eq,
    /// Not equal. With a pointer on the left, the right must be the constant 0 (NULL test).
    Ne,
    /// Unsigned less.
    Ult,
    /// Unsigned less or equal.
    Ule,
    /// Unsigned greater.
    Ugt,
    /// Unsigned greater or equal.
    Uge,
    /// Signed less.
    Slt,
    /// Signed less or equal.
    Sle,
    /// Signed greater.
    Sgt,
    /// Signed greater or equal.
    Sge,
}

impl Cond {
    /// The condition that holds exactly when this does not.
    pub fn negated(self) -> Cond {
        match self {
            Cond::Eq => Cond::Ne,
            Cond::Ne => Cond::Eq,
            Cond::Ult => Cond::Uge,
            Cond::Ule => Cond::Ugt,
            Cond::Ugt => Cond::Ule,
            Cond::Uge => Cond::Ult,
            Cond::Slt => Cond::Sge,
            Cond::Sle => Cond::Sgt,
            Cond::Sgt => Cond::Sle,
            Cond::Sge => Cond::Slt,
        }
    }

    /// The condition that holds for `(b, a)` exactly when this holds for `(a, b)`.
    pub fn swapped(self) -> Cond {
        match self {
            Cond::Eq => Cond::Eq,
            Cond::Ne => Cond::Ne,
            Cond::Ult => Cond::Ugt,
            Cond::Ule => Cond::Uge,
            Cond::Ugt => Cond::Ult,
            Cond::Uge => Cond::Ule,
            Cond::Slt => Cond::Sgt,
            Cond::Sle => Cond::Sge,
            Cond::Sgt => Cond::Slt,
            Cond::Sge => Cond::Sle,
        }
    }
}

/// An instruction. At most one result, whose type [`InstData::result_type`] tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum InstData {
    /// `iconst n`
    Iconst(i64),
    /// `add a, b` and so on.
    Binary(BinOp, Value, Value),
    /// `neg a` and so on.
    Unary(UnOp, Value),
    /// `icmp.cond a, b`: 1 or 0.
    Icmp(Cond, Value, Value),
    /// `select c, a, b`: `a` if `c` is not zero, else `b`; both are evaluated. Integers only.
    Select(Value, Value, Value),
    /// `ptr_add p, n`: a pointer moved by a run-time amount. The range of `n` must be visible to the verifier.
    PtrAdd(Value, Value),
    /// `ptr_off p, 8`: a pointer moved by a constant.
    PtrOff(Value, i32),
    /// `load.size[.s] p+off`, zero- or sign-extended.
    Load {
        /// Access size.
        size: Size,
        /// Sign-extend.
        sext: bool,
        /// Address.
        ptr: Value,
        /// Added to the address.
        off: i32,
    },
    /// `load_ptr p+off`: an 8-byte load whose result the verifier knows to be a pointer (context fields of BTF-typed
    /// programs, members of trusted objects).
    LoadPtr {
        /// Address.
        ptr: Value,
        /// Added to the address.
        off: i32,
    },
    /// `store.size v, p+off`. A pointer may be stored with `Dw` into stack slots only.
    Store {
        /// Access size.
        size: Size,
        /// What.
        value: Value,
        /// Address.
        ptr: Value,
        /// Added to the address.
        off: i32,
    },
    /// `atomic.op.size v, p+off`: the old value is the result if `fetch`.
    Atomic {
        /// Operation; `Cmpxchg` is not available in the IR.
        op: AtomicOp,
        /// `W` or `Dw`.
        size: Size,
        /// Whether the old value is wanted.
        fetch: bool,
        /// Operand.
        value: Value,
        /// Address.
        ptr: Value,
        /// Added to the address.
        off: i32,
    },
    /// `mem_zero p+off, len`: zeroes `len` bytes.
    MemZero {
        /// Address.
        ptr: Value,
        /// Added to the address.
        off: i32,
        /// Bytes.
        len: u32,
    },
    /// `mem_copy dst+off, src+off, len`: copies between memory that does not overlap. Both sides are readable by
    /// plain loads; `align` (1, 2, 4, 8) is what both addresses are multiples of.
    MemCopy {
        /// Destination address.
        dst: Value,
        /// Added to the destination.
        dst_off: i32,
        /// Source address.
        src: Value,
        /// Added to the source.
        src_off: i32,
        /// Bytes.
        len: u32,
        /// Alignment of both addresses.
        align: u32,
    },
    /// `slot_addr ssN+off`: address inside a slot.
    SlotAddr(SlotId, u32),
    /// `map mN`: a map, as argument of helpers only.
    MapAddr(MapRef),
    /// `map_value mN+off`: address inside the value of a one-element array map.
    MapValueAddr(MapRef, u32),
    /// `func_addr fnN`: a function of the module, as callback argument of helpers only.
    FuncAddr(FuncRef),
    /// `btf_var id`: address of a kernel variable.
    BtfVarAddr(u32),
    /// `call helper(args)`: result by the helper's row in bpf-facts; a result that may be NULL must be compared
    /// with 0 before use.
    CallHelper(HelperId, Vec<Value>),
    /// `call_fn fnN(args)`: a function of the module; integers only, result is an integer.
    CallFunc(FuncRef, Vec<Value>),
    /// `call_kfunc id(args)`: a kernel function by BTF id; `ptr` tells whether the result is a pointer.
    CallKfunc {
        /// BTF id in vmlinux.
        btf_id: u32,
        /// Arguments.
        args: Vec<Value>,
        /// Whether the result is a pointer.
        ptr: bool,
    },
}

/// A block and what its parameters receive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlockCall {
    /// The block.
    pub block: Block,
    /// One value per parameter.
    pub args: Vec<Value>,
}

/// How a block ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Terminator {
    /// `jump b(args)`
    Jump(BlockCall),
    /// `br.cond a, b, then, else`
    Branch {
        /// Condition.
        cond: Cond,
        /// Left operand.
        lhs: Value,
        /// Right operand.
        rhs: Value,
        /// Where to if it holds.
        then: BlockCall,
        /// Where to if not.
        els: BlockCall,
    },
    /// `ret v`
    Return(Value),
    /// Not built yet; the validator refuses it.
    None,
}

impl InstData {
    /// Type of the result; `None` if there is none.
    pub fn result_type(&self) -> Option<Type> {
        use bpf_facts::Ret;
        match self {
            InstData::Iconst(_)
            | InstData::Binary(..)
            | InstData::Unary(..)
            | InstData::Icmp(..)
            | InstData::Select(..)
            | InstData::Load { .. }
            | InstData::CallFunc(..) => Some(Type::I64),
            InstData::Atomic { fetch, .. } => fetch.then_some(Type::I64),
            InstData::PtrAdd(..)
            | InstData::PtrOff(..)
            | InstData::LoadPtr { .. }
            | InstData::SlotAddr(..)
            | InstData::MapAddr(_)
            | InstData::MapValueAddr(..)
            | InstData::FuncAddr(_)
            | InstData::BtfVarAddr(_) => Some(Type::Ptr),
            InstData::CallKfunc { ptr, .. } => Some(if *ptr { Type::Ptr } else { Type::I64 }),
            InstData::CallHelper(id, _) => match bpf_facts::helper(*id).map(|def| def.ret) {
                Some(Ret::Void) => None,
                Some(Ret::Scalar) | None => Some(Type::I64),
                Some(_) => Some(Type::Ptr),
            },
            InstData::Store { .. } | InstData::MemZero { .. } | InstData::MemCopy { .. } => None,
        }
    }

    /// Calls `f` on every operand.
    pub fn for_each_operand(&self, mut f: impl FnMut(Value)) {
        match self {
            InstData::Iconst(_)
            | InstData::SlotAddr(..)
            | InstData::MapAddr(_)
            | InstData::MapValueAddr(..)
            | InstData::FuncAddr(_)
            | InstData::BtfVarAddr(_) => {}
            InstData::Unary(_, a) | InstData::PtrOff(a, _) => f(*a),
            InstData::Binary(_, a, b) | InstData::Icmp(_, a, b) | InstData::PtrAdd(a, b) => {
                f(*a);
                f(*b);
            }
            InstData::Select(a, b, c) => {
                f(*a);
                f(*b);
                f(*c);
            }
            InstData::Load { ptr, .. } | InstData::LoadPtr { ptr, .. } | InstData::MemZero { ptr, .. } => {
                f(*ptr)
            }
            InstData::Store { value, ptr, .. } | InstData::Atomic { value, ptr, .. } => {
                f(*value);
                f(*ptr);
            }
            InstData::MemCopy { dst, src, .. } => {
                f(*dst);
                f(*src);
            }
            InstData::CallHelper(_, args)
            | InstData::CallFunc(_, args)
            | InstData::CallKfunc { args, .. } => args.iter().copied().for_each(f),
        }
    }

    /// Replaces every operand.
    pub fn map_operands(&mut self, mut f: impl FnMut(Value) -> Value) {
        match self {
            InstData::Iconst(_)
            | InstData::SlotAddr(..)
            | InstData::MapAddr(_)
            | InstData::MapValueAddr(..)
            | InstData::FuncAddr(_)
            | InstData::BtfVarAddr(_) => {}
            InstData::Unary(_, a) | InstData::PtrOff(a, _) => *a = f(*a),
            InstData::Binary(_, a, b) | InstData::Icmp(_, a, b) | InstData::PtrAdd(a, b) => {
                *a = f(*a);
                *b = f(*b);
            }
            InstData::Select(a, b, c) => {
                *a = f(*a);
                *b = f(*b);
                *c = f(*c);
            }
            InstData::Load { ptr, .. } | InstData::LoadPtr { ptr, .. } | InstData::MemZero { ptr, .. } => {
                *ptr = f(*ptr)
            }
            InstData::Store { value, ptr, .. } | InstData::Atomic { value, ptr, .. } => {
                *value = f(*value);
                *ptr = f(*ptr);
            }
            InstData::MemCopy { dst, src, .. } => {
                *dst = f(*dst);
                *src = f(*src);
            }
            InstData::CallHelper(_, args)
            | InstData::CallFunc(_, args)
            | InstData::CallKfunc { args, .. } => {
                for arg in args {
                    *arg = f(*arg);
                }
            }
        }
    }
}

impl Terminator {
    /// Calls `f` on every operand and block argument.
    pub fn for_each_operand(&self, mut f: impl FnMut(Value)) {
        if let Terminator::Branch { lhs, rhs, .. } = self {
            f(*lhs);
            f(*rhs);
        }
        if let Terminator::Return(v) = self {
            f(*v);
        }
        for call in self.targets() {
            call.args.iter().copied().for_each(&mut f);
        }
    }

    /// Replaces every operand and block argument.
    pub fn map_operands(&mut self, mut f: impl FnMut(Value) -> Value) {
        if let Terminator::Branch { lhs, rhs, .. } = self {
            *lhs = f(*lhs);
            *rhs = f(*rhs);
        }
        if let Terminator::Return(v) = self {
            *v = f(*v);
        }
        for call in self.targets_mut() {
            for arg in &mut call.args {
                *arg = f(*arg);
            }
        }
    }

    /// Where it goes, in order: for a branch `then`, `else`.
    pub fn targets(&self) -> impl Iterator<Item = &BlockCall> {
        let (a, b) = match self {
            Terminator::Jump(to) => (Some(to), None),
            Terminator::Branch { then, els, .. } => (Some(then), Some(els)),
            Terminator::Return(_) | Terminator::None => (None, None),
        };
        a.into_iter().chain(b)
    }

    /// As [`Terminator::targets`], to change them.
    pub fn targets_mut(&mut self) -> impl Iterator<Item = &mut BlockCall> {
        let (a, b) = match self {
            Terminator::Jump(to) => (Some(to), None),
            Terminator::Branch { then, els, .. } => (Some(then), Some(els)),
            Terminator::Return(_) | Terminator::None => (None, None),
        };
        a.into_iter().chain(b)
    }
}
