//! Expressions.

use super::access::Place;
use super::{Lower, Mem, Val};
use crate::ctypes::StructRef;
use crate::typed::{ArithOp, CompareOp, Expr, ExprKind};
use crate::types::{Space, Type};
use ebpf_asm::Size;
use ebpf_codegen::ir::{BinOp, Block, Cond, Type as IrType, UnOp, Value};
use hark_object::Ty;

impl Lower<'_> {
    /// A scalar.
    pub fn scalar(&mut self, e: &Expr) -> Value {
        self.eval(e, None).scalar()
    }

    /// A value that is no scalar, in memory that must not be written.
    pub fn mem(&mut self, e: &Expr) -> Mem {
        match self.eval(e, None) {
            Val::Mem(mem) => mem,
            Val::Scalar(value) => {
                let mem = self.dst(None, &e.ty);
                self.store(value, mem, &e.ty);
                mem
            }
            Val::None => self.new_bytes(8),
        }
    }

    /// Writes a value of any type to a place.
    pub fn into(&mut self, e: &Expr, dst: Mem) {
        match self.eval(e, Some(dst)) {
            Val::Scalar(value) => self.store(value, dst, &e.ty),
            Val::Mem(mem) if mem.ptr == dst.ptr && mem.off == dst.off => {}
            Val::Mem(mem) => {
                let len = e.ty.ty(self.types).layout().size;
                self.copy(dst, mem, len);
            }
            Val::None => {}
        }
    }

    /// Evaluates; what is no scalar goes to `dst` if that costs nothing extra.
    pub fn eval(&mut self, e: &Expr, dst: Option<Mem>) -> Val {
        let outer = self.b.loc();
        self.set_span(e.span);
        let value = self.eval_here(e, dst);
        self.b.set_loc(outer);
        value
    }

    fn eval_here(&mut self, e: &Expr, dst: Option<Mem>) -> Val {
        match &e.kind {
            ExprKind::Int(n) => Val::Scalar(self.b.iconst(*n)),
            ExprKind::Str(text) => {
                let dst = self.dst(dst, &e.ty);
                let cap = if let Type::Str { cap } = e.ty { cap } else { text.len() as u32 };
                self.write_bytes(dst, text, cap);
                Val::Mem(dst)
            }
            ExprKind::Var(var) if e.ty.is_scalar() => Val::Scalar(self.read_var(*var)),
            ExprKind::Var(var) => self.variable_memory(*var).map_or(Val::None, Val::Mem),
            ExprKind::MapGet(map, key) => self.map_get(*map, key.as_deref(), &e.ty, dst),
            ExprKind::MapReadAgg(map, key, agg) => {
                Val::Scalar(self.read_aggregate(*map, key.as_deref(), *agg, e.span))
            }
            ExprKind::Call(call) => call.builtin.lower(self, call, &e.ty, dst),
            ExprKind::Neg(x) => {
                let x = self.scalar(x);
                Val::Scalar(self.b.unary(UnOp::Neg, x))
            }
            ExprKind::BitNot(x) => {
                let x = self.scalar(x);
                Val::Scalar(self.b.unary(UnOp::Not, x))
            }
            ExprKind::Not(_) | ExprKind::And(..) | ExprKind::Or(..) => Val::Scalar(self.truth(e)),
            ExprKind::Arith(op, a, b) => Val::Scalar(self.arithmetic(*op, a, b, e)),
            ExprKind::PtrAdd(p, n, size) => {
                let p_value = self.scalar(p);
                let n = self.scalar(n);
                let bytes = if *size == 1 { n } else { self.b.binary_imm(BinOp::Mul, n, i64::from(*size)) };
                if self.is_ptr(p_value) {
                    return Val::Scalar(self.b.ptr_add(p_value, bytes));
                }
                Val::Scalar(self.b.binary(BinOp::Add, p_value, bytes))
            }
            ExprKind::PtrDiff(p, q, size) => {
                let (p, q) = (self.scalar(p), self.scalar(q));
                let (p, q) = (self.as_number(p), self.as_number(q));
                let bytes = self.b.binary(BinOp::Sub, p, q);
                if *size == 1 {
                    return Val::Scalar(bytes);
                }
                Val::Scalar(self.b.binary_imm(BinOp::Sdiv, bytes, i64::from(*size)))
            }
            ExprKind::Compare(op, signed, a, b) => {
                let (a, b) = self.compared(*op, a, b);
                Val::Scalar(self.b.icmp(condition(*op, *signed), a, b))
            }
            ExprKind::StrEq(negated, a, b) => {
                let equal = self.text_equal(a, b);
                Val::Scalar(self.maybe_not(equal, *negated))
            }
            ExprKind::MemEq(negated, a, b) => {
                let len = a.ty.ty(self.types).layout().size;
                let (a, b) = (self.mem(a), self.mem(b));
                let equal = self.bytes_equal(a, b, len);
                Val::Scalar(self.maybe_not(equal, *negated))
            }
            ExprKind::Select(cond, a, b) => self.choose(cond, a, b, &e.ty, dst),
            ExprKind::Elvis(a, b) => {
                let var = self.b.declare_var(self.ir_type(&e.ty));
                let value = self.scalar(a);
                let (zero, next) = (self.b.create_block(), self.b.create_block());
                self.b.def_var(var, value);
                self.b.branch_nonzero(value, next, zero);
                self.b.seal_and_switch(zero);
                let other = self.scalar(b);
                self.b.def_var(var, other);
                self.b.jump(next, &[]);
                self.b.seal_and_switch(next);
                Val::Scalar(self.b.use_var(var))
            }
            ExprKind::If(cond, then, els) => {
                self.if_else(cond, then, els.as_ref());
                Val::None
            }
            ExprKind::Block(block) => {
                self.statements(block);
                match &block.value {
                    Some(value) => self.eval(value, dst),
                    None => Val::None,
                }
            }
            ExprKind::Convert(inner) => self.conversion(inner, &e.ty, dst),
            ExprKind::Field { base, bits, .. } => match (self.place(e), &base.ty, &e.ty) {
                // Its characters and a terminator, which the array may lack.
                (Place::Near(mem, Space::Own), Type::Struct(StructRef::User { .. }), Type::Str { cap }) => {
                    let dst = self.dst(dst, &e.ty);
                    self.copy(dst, mem, cap - 1);
                    let zero = self.b.iconst(0);
                    self.b.store(Size::B, zero, dst.ptr, dst.off + (cap - 1) as i32);
                    Val::Mem(dst)
                }
                (place, ..) => self.read(place, &e.ty, *bits, dst),
            },
            ExprKind::Deref(_) | ExprKind::Index { .. } => {
                let place = self.place(e);
                self.read(place, &e.ty, None, dst)
            }
            ExprKind::Member(..) => {
                let place = self.place(e);
                self.read(place, &e.ty, None, None)
            }
            ExprKind::Arg(place) => self.typed_arg(place, &e.ty, dst),
            ExprKind::Args => self.all_args(&e.ty, dst),
            ExprKind::Tuple(members) => {
                let ty = e.ty.ty(self.types);
                let dst = self.dst(dst, &e.ty);
                self.tuple(members, &ty, dst);
                Val::Mem(dst)
            }
            ExprKind::IncDecVar { var, step, postfix } => {
                let ty = self.unit.vars[var.0 as usize].ty.clone();
                let before = self.read_var(*var);
                let after = if self.is_ptr(before) {
                    self.b.ptr_off(before, *step as i32)
                } else {
                    let sum = self.b.binary_imm(BinOp::Add, before, *step);
                    self.resize(sum, &Type::I64, &ty)
                };
                self.write_var(*var, after);
                Val::Scalar(if *postfix { before } else { after })
            }
            ExprKind::IncDecMap { map, key, step, postfix, used } => {
                self.map_step(*map, key.as_deref(), *step, *postfix, *used)
            }
            ExprKind::AddrOf(inner) => Val::Scalar(self.address_of(inner)),
            ExprKind::Error => Val::Scalar(self.b.iconst(0)),
        }
    }

    pub(crate) fn is_ptr(&self, value: Value) -> bool {
        self.b.func().values[value].ty == IrType::Ptr
    }

    fn ir_type(&self, ty: &Type) -> IrType {
        if super::is_pointer_value(ty) { IrType::Ptr } else { IrType::I64 }
    }

    fn read(&mut self, place: Place, ty: &Type, bits: Option<crate::ctypes::Bits>, dst: Option<Mem>) -> Val {
        if ty.is_scalar() {
            Val::Scalar(self.read_scalar(place, ty, bits))
        } else {
            Val::Mem(self.read_memory(place, ty, dst))
        }
    }

    fn address_of(&mut self, inner: &Expr) -> Value {
        match &inner.kind {
            // Variables whose address is taken lie in memory.
            ExprKind::Var(var) => match self.variable_memory(*var) {
                Some(mem) => self.address(mem),
                None => self.b.iconst(0),
            },
            ExprKind::MapGet(map, None) if self.is_direct(*map) => {
                let at = self.scalar_map(*map);
                self.address(at)
            }
            _ => match self.place(inner) {
                Place::Near(mem, _) => self.address(mem),
                Place::Remote(
                    addr,
                    off,
                    Space::Kernel | Space::User | Space::Any | Space::Trusted | Space::Own,
                ) => {
                    if off == 0 {
                        addr
                    } else {
                        self.b.binary_imm(BinOp::Add, addr, off)
                    }
                }
            },
        }
    }

    fn all_args(&mut self, ty: &Type, dst: Option<Mem>) -> Val {
        let Type::Args(args) = ty else { return Val::None };
        let dst = self.dst(dst, ty);
        let offsets = ty.ty(self.types).member_offsets();
        let len = ty.ty(self.types).layout().size;
        self.zero(dst, len);
        for (field, offset) in args.fields.iter().zip(offsets) {
            let at = dst.plus(offset);
            match self.typed_arg(&field.place, &field.ty, Some(at)) {
                Val::Scalar(value) => self.store(value, at, &field.ty),
                Val::Mem(_) | Val::None => {}
            }
        }
        Val::Mem(dst)
    }

    /// Writes the members of a tuple and zeroes what lies between them.
    pub(super) fn tuple(&mut self, members: &[Expr], ty: &Ty, dst: Mem) {
        let offsets = ty.member_offsets();
        let size = ty.layout().size;
        let mut end = 0;
        for (member, offset) in members.iter().zip(&offsets) {
            if !dst.loose && *offset > end {
                self.zero(dst.plus(end), offset - end);
            }
            self.into(member, dst.plus(*offset));
            end = offset + member.ty.ty(self.types).layout().size;
        }
        if !dst.loose && size > end {
            self.zero(dst.plus(end), size - end);
        }
    }

    /// A conversion that the checker allowed.
    fn conversion(&mut self, inner: &Expr, to: &Type, dst: Option<Mem>) -> Val {
        match (&inner.ty, to) {
            (from, to) if from.is_scalar() && to.is_scalar() => {
                let value = self.scalar(inner);
                Val::Scalar(self.resize(value, from, to))
            }
            (Type::Str { cap: have }, Type::Str { cap: want }) => {
                let dst = self.dst(dst, to);
                let (have, want) = (*have, *want);
                self.into(inner, dst);
                if want > have && !dst.loose {
                    self.zero(dst.plus(have), want - have);
                } else if want > have {
                    let zero = self.b.iconst(0);
                    self.b.store(Size::B, zero, dst.ptr, dst.off + have as i32);
                }
                Val::Mem(dst)
            }
            (Type::Buf { cap: have }, Type::Buf { cap: want }) => {
                let dst = self.dst(dst, to);
                let have = Ty::Buf { cap: *have }.layout().size;
                let want = Ty::Buf { cap: *want }.layout().size;
                self.into(inner, dst);
                if want > have && !dst.loose {
                    self.zero(dst.plus(have), want - have);
                }
                Val::Mem(dst)
            }
            (from @ (Type::Tuple(_) | Type::Record(_)), Type::Tuple(_) | Type::Record(_)) => {
                let src = self.mem(inner);
                let dst = self.dst(dst, to);
                self.convert_memory(src, from, dst, to);
                Val::Mem(dst)
            }
            (Type::Array(..), to) if to.is_scalar() => {
                let src = self.mem(inner);
                Val::Scalar(self.load(src, to))
            }
            (from, Type::Array(..)) if from.is_scalar() => {
                let value = self.scalar(inner);
                let dst = self.dst(dst, to);
                self.store(value, dst, from);
                Val::Mem(dst)
            }
            _ => self.eval(inner, dst),
        }
    }

    /// Converts a value that lies in memory: tuples and records member by member, those of records by their names.
    pub(super) fn convert_memory(&mut self, src: Mem, from: &Type, dst: Mem, to: &Type) {
        let members: Vec<(usize, &Type, &Type)> = match (from, to) {
            (Type::Tuple(have), Type::Tuple(want)) => {
                have.iter().zip(want).enumerate().map(|(i, (h, w))| (i, h, w)).collect()
            }
            (Type::Record(have), Type::Record(want)) => want
                .iter()
                .filter_map(|(name, want)| {
                    let i = have.iter().position(|(n, _)| n == name)?;
                    Some((i, &have[i].1, want))
                })
                .collect(),
            (have, want) if have.is_scalar() => {
                let value = self.load(src, have);
                let value = self.resize(value, have, want);
                return self.store(value, dst, want);
            }
            (have, want) => {
                let have = have.ty(self.types).layout().size;
                let want = want.ty(self.types).layout().size;
                self.copy(dst, src, have.min(want));
                if want > have {
                    self.zero(dst.plus(have), want - have);
                }
                return;
            }
        };
        // What lies between the members is zero.
        let from_offsets = from.ty(self.types).member_offsets();
        let to_offsets = to.ty(self.types).member_offsets();
        let mut end = 0;
        for ((i, have, want), at) in members.into_iter().zip(to_offsets) {
            self.zero(dst.plus(end), at - end);
            self.convert_memory(src.plus(from_offsets[i]), have, dst.plus(at), want);
            end = at + want.ty(self.types).layout().size;
        }
        let size = to.ty(self.types).layout().size;
        self.zero(dst.plus(end), size - end);
    }

    /// A scalar of one type as one of another.
    pub(crate) fn resize(&mut self, value: Value, from: &Type, to: &Type) -> Value {
        let value = if super::is_pointer_value(to) { value } else { self.as_number(value) };
        let Some((want, signed)) = to.int_shape() else { return value };
        let (have, was_signed) = from.int_shape().unwrap_or((8, false));
        if *to == Type::Bool {
            if *from == Type::Bool {
                return value;
            }
            let zero = self.b.iconst(0);
            return self.b.icmp(Cond::Ne, value, zero);
        }
        // Already extended as the new type wants it.
        if want == 8 || (have < want && (!was_signed || signed)) || (have == want && was_signed == signed) {
            return value;
        }
        let size = Size::from_bytes(u32::from(want)).unwrap_or(Size::Dw);
        self.b.unary(if signed { UnOp::Sext(size) } else { UnOp::Zext(size) }, value)
    }

    fn arithmetic(&mut self, op: ArithOp, a: &Expr, b: &Expr, e: &Expr) -> Value {
        let x = self.scalar(a);
        let y = self.scalar(b);
        let op = match op {
            ArithOp::Add => BinOp::Add,
            ArithOp::Sub => BinOp::Sub,
            ArithOp::Mul => BinOp::Mul,
            ArithOp::And => BinOp::And,
            ArithOp::Or => BinOp::Or,
            ArithOp::Xor => BinOp::Xor,
            ArithOp::Shl => BinOp::Shl,
            ArithOp::Shr(false) => BinOp::Lshr,
            ArithOp::Shr(true) => BinOp::Ashr,
            ArithOp::Div(signed) => {
                return self.division(if signed { BinOp::Sdiv } else { BinOp::Udiv }, x, y, b, e);
            }
            ArithOp::Mod(signed) => {
                return self.division(if signed { BinOp::Smod } else { BinOp::Umod }, x, y, b, e);
            }
        };
        self.b.binary(op, x, y)
    }

    /// Division by zero gives 1 and a warning.
    fn division(&mut self, op: BinOp, x: Value, y: Value, divisor: &Expr, e: &Expr) -> Value {
        if divisor.as_int().is_some_and(|n| n != 0) {
            return self.b.binary(op, x, y);
        }
        let var = self.b.declare_var(IrType::I64);
        let (fine, zero, next) = (self.b.create_block(), self.b.create_cold_block(), self.b.create_block());
        self.b.branch_nonzero(y, fine, zero);
        self.b.seal_and_switch(zero);
        self.runtime_warning("divide or modulo by 0 detected: the result is 1", e.span);
        let one = self.b.iconst(1);
        self.b.def_var(var, one);
        self.b.jump(next, &[]);
        self.b.seal_and_switch(fine);
        let result = self.b.binary(op, x, y);
        self.b.def_var(var, result);
        self.b.jump(next, &[]);
        self.b.seal_and_switch(next);
        self.b.use_var(var)
    }

    // Conditions

    /// Goes to `yes` if the condition holds, else to `no`.
    pub(crate) fn condition(&mut self, e: &Expr, yes: Block, no: Block) {
        match &e.kind {
            ExprKind::Not(inner) => self.condition(inner, no, yes),
            ExprKind::And(a, b) => {
                let second = self.b.create_block();
                self.condition(a, second, no);
                self.b.seal_and_switch(second);
                self.condition(b, yes, no);
            }
            ExprKind::Or(a, b) => {
                let second = self.b.create_block();
                self.condition(a, yes, second);
                self.b.seal_and_switch(second);
                self.condition(b, yes, no);
            }
            ExprKind::Compare(op, signed, a, b) => {
                self.set_span(e.span);
                let (a, b) = self.compared(*op, a, b);
                self.b.branch(condition(*op, *signed), a, b, yes, no);
            }
            _ => {
                let value = self.scalar(e);
                self.b.branch_nonzero(value, yes, no);
            }
        }
    }

    /// The sides of a comparison. Pointers can be compared with null only; anything else takes their numbers.
    fn compared(&mut self, op: CompareOp, a: &Expr, b: &Expr) -> (Value, Value) {
        let equality = matches!(op, CompareOp::Eq | CompareOp::Ne);
        let with_null = equality && b.as_int() == Some(0);
        let (a, b) = (self.scalar(a), self.scalar(b));
        if with_null { (a, b) } else { (self.as_number(a), self.as_number(b)) }
    }

    /// A condition as 0 or 1.
    fn truth(&mut self, e: &Expr) -> Value {
        if let ExprKind::Not(inner) = &e.kind
            && !matches!(inner.kind, ExprKind::And(..) | ExprKind::Or(..))
        {
            let value = self.scalar(inner);
            let zero = self.b.iconst(0);
            return self.b.icmp(Cond::Eq, value, zero);
        }
        let var = self.b.declare_var(IrType::I64);
        let (yes, no, next) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.condition(e, yes, no);
        for (block, n) in [(yes, 1), (no, 0)] {
            self.b.seal_and_switch(block);
            let value = self.b.iconst(n);
            self.b.def_var(var, value);
            self.b.jump(next, &[]);
        }
        self.b.seal_and_switch(next);
        self.b.use_var(var)
    }

    pub(super) fn maybe_not(&mut self, value: Value, negated: bool) -> Value {
        if negated { self.b.binary_imm(BinOp::Xor, value, 1) } else { value }
    }

    /// `c ? a : b`
    fn choose(&mut self, cond: &Expr, a: &Expr, b: &Expr, ty: &Type, dst: Option<Mem>) -> Val {
        let (yes, no, next) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        if ty.is_scalar() {
            let var = self.b.declare_var(self.ir_type(ty));
            self.condition(cond, yes, no);
            for (block, e) in [(yes, a), (no, b)] {
                self.b.seal_and_switch(block);
                let value = self.scalar(e);
                self.b.def_var(var, value);
                self.b.jump(next, &[]);
            }
            self.b.seal_and_switch(next);
            return Val::Scalar(self.b.use_var(var));
        }
        let dst = self.dst(dst, ty);
        self.condition(cond, yes, no);
        for (block, e) in [(yes, a), (no, b)] {
            self.b.seal_and_switch(block);
            self.into(e, dst);
            self.b.jump(next, &[]);
        }
        self.b.seal_and_switch(next);
        Val::Mem(dst)
    }
}

/// The comparison as a condition of the IR.
pub(crate) fn condition(op: CompareOp, signed: bool) -> Cond {
    match (op, signed) {
        (CompareOp::Eq, _) => Cond::Eq,
        (CompareOp::Ne, _) => Cond::Ne,
        (CompareOp::Lt, true) => Cond::Slt,
        (CompareOp::Lt, false) => Cond::Ult,
        (CompareOp::Le, true) => Cond::Sle,
        (CompareOp::Le, false) => Cond::Ule,
        (CompareOp::Gt, true) => Cond::Sgt,
        (CompareOp::Gt, false) => Cond::Ugt,
        (CompareOp::Ge, true) => Cond::Sge,
        (CompareOp::Ge, false) => Cond::Uge,
    }
}
