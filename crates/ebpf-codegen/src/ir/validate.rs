//! Whether a function is well-formed. All faults are reported, not only the first.
//!
//! Checked in every function:
//! - there is an entry block, nothing jumps to it, and every reachable block has a terminator;
//! - block numbers, value numbers, slot numbers and function numbers exist;
//! - a jump gives as many arguments as its target has parameters, of the same types;
//! - a value is defined once, and its definition dominates every use;
//! - an instruction stands in one block only;
//! - operands have the type that the operation wants: arithmetic is on integers, addresses are pointers;
//! - two pointers are never compared, a pointer is compared by `eq`/`ne` with the constant 0 only;
//! - `Zext` and `Sext` are of 1, 2 or 4 bytes, `Bswap` of 2, 4 or 8;
//! - a load of 8 bytes is not sign-extending; atomics are of 4 or 8 bytes, not compare-and-exchange, and an
//!   exchange fetches;
//! - a pointer is stored with 8 bytes, and only to the address of a slot;
//! - accesses at a constant offset of a slot lie inside the slot; a `MemCopy` has alignment 1, 2, 4 or 8;
//! - maps and functions are used as arguments of calls only;
//! - helpers exist, with as many arguments as their row in bpf-facts says; pointers stand where the row wants one;
//! - called functions take integers, and as many as are given; no call has more than five arguments;
//! - the returned value is an integer.
//!
//! Unreachable blocks are not looked at: they are never emitted.

use super::entity::{Block, FuncRef, Value};
use super::function::{Function, Module, ValueDef};
use super::inst::{BlockCall, Cond, InstData, Terminator, Type, UnOp};
use crate::graph::Cfg;
use bpf_facts::{Arg, HelperId};
use ebpf_asm::{AtomicOp, Size};
use std::fmt;

/// A fault of the IR: always a bug of whoever made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IrError {
    /// Name of the function.
    pub function: String,
    /// Block.
    pub block: Option<Block>,
    /// The instruction or terminator, as text.
    pub at: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for IrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.function)?;
        if let Some(block) = self.block {
            write!(f, " {block}")?;
        }
        if let Some(at) = &self.at {
            write!(f, " `{at}`")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// The faults of a module; empty if it is valid.
pub fn validate_module(module: &Module) -> Vec<IrError> {
    module.functions.iter().flat_map(|f| validate(f, Some(module))).collect()
}

/// The faults of a function. Calls of other functions are checked if the module is given.
pub fn validate(func: &Function, module: Option<&Module>) -> Vec<IrError> {
    let mut v = Validator { func, module, errors: Vec::new(), block: None, at: None };
    v.function();
    v.errors
}

struct Validator<'a> {
    func: &'a Function,
    module: Option<&'a Module>,
    errors: Vec<IrError>,
    block: Option<Block>,
    at: Option<String>,
}

/// Where a value is defined: block and position (0 for parameters, then instructions from 1).
type Place = (Block, usize);

impl Validator<'_> {
    fn fault(&mut self, message: impl Into<String>) {
        self.errors.push(IrError {
            function: self.func.name.clone(),
            block: self.block,
            at: self.at.clone(),
            message: message.into(),
        });
    }

    fn function(&mut self) {
        let f = self.func;
        if f.blocks.is_empty() {
            return self.fault("there is no entry block");
        }
        for (block, data) in f.blocks.entries() {
            if let Some(to) = data.term.targets().find(|to| to.block.index() >= f.blocks.len()) {
                self.block = Some(block);
                return self.fault(format!("{} does not exist", to.block));
            }
        }
        let cfg = f.cfg();
        if !cfg.preds(0).is_empty() {
            self.fault("a jump goes to the entry block");
        }
        let places = self.places(&cfg);
        for (block, data) in f.blocks.entries().filter(|(b, _)| cfg.reachable(b.index())) {
            self.block = Some(block);
            for (i, &inst) in data.insts.iter().enumerate() {
                let Some(node) = f.insts.get(inst) else { continue };
                self.at = Some(node.data.to_string());
                let known = self.operands(&cfg, &places, (block, i + 1), |g| node.data.for_each_operand(g));
                if known {
                    self.inst(&node.data);
                }
            }
            self.at = Some(data.term.to_string());
            let end = (block, data.insts.len() + 1);
            if self.operands(&cfg, &places, end, |g| data.term.for_each_operand(g)) {
                self.terminator(&data.term);
            }
            self.at = None;
        }
    }

    /// Definitions of all values in reachable blocks.
    fn places(&mut self, cfg: &Cfg) -> Vec<Option<Place>> {
        let f = self.func;
        let mut places: Vec<Option<Place>> = vec![None; f.values.len()];
        let mut placed = vec![false; f.insts.len()];
        for (block, data) in f.blocks.entries().filter(|(b, _)| cfg.reachable(b.index())) {
            self.block = Some(block);
            for (n, &param) in data.params.iter().enumerate() {
                let def = ValueDef::Param(block, n as u32);
                self.define(&mut places, param, def, (block, 0));
            }
            for (i, &inst) in data.insts.iter().enumerate() {
                if placed.get(inst.index()) != Some(&false) {
                    self.fault(format!("{inst} does not exist or stands in two places"));
                    continue;
                }
                placed[inst.index()] = true;
                let node = &f.insts[inst];
                if node.data.result_type() != node.result.and_then(|r| f.values.get(r)).map(|v| v.ty) {
                    self.at = Some(node.data.to_string());
                    self.fault("the result is missing or of another type");
                    self.at = None;
                }
                if let Some(result) = node.result {
                    self.define(&mut places, result, ValueDef::Inst(inst), (block, i + 1));
                }
            }
        }
        self.block = None;
        places
    }

    fn define(&mut self, places: &mut [Option<Place>], value: Value, def: ValueDef, place: Place) {
        if self.func.values.get(value).map(|v| v.def) != Some(def) {
            return self.fault(format!("{value} is not defined as its entry says"));
        }
        places[value.index()] = Some(place);
    }

    /// Whether all operands exist; those that do must be dominated by their definitions.
    fn operands(
        &mut self,
        cfg: &Cfg,
        places: &[Option<Place>],
        at: Place,
        each: impl Fn(&mut dyn FnMut(Value)),
    ) -> bool {
        let mut bad = Vec::new();
        let mut known = true;
        each(&mut |v| match places.get(v.index()).copied().flatten() {
            None => {
                known = false;
                bad.push(format!("{v} is not defined"));
            }
            Some((block, i)) => {
                let ok = if block == at.0 { i < at.1 } else { cfg.dominates(block.index(), at.0.index()) };
                if !ok {
                    bad.push(format!("the definition of {v} does not dominate this use"));
                }
            }
        });
        for message in bad {
            self.fault(message);
        }
        known
    }

    fn ty(&self, v: Value) -> Type {
        self.func.values[v].ty
    }

    fn want(&mut self, v: Value, ty: Type) {
        if self.ty(v) != ty {
            self.fault(format!("{v} must be {ty}"));
        }
    }

    /// A pointer that memory is accessed through.
    fn address(&mut self, v: Value) {
        self.want(v, Type::Ptr);
        self.not_handle(v);
    }

    /// Maps and functions are no memory.
    fn not_handle(&mut self, v: Value) {
        if matches!(self.func.def_inst(v), Some(InstData::MapAddr(_) | InstData::FuncAddr(_))) {
            self.fault(format!("{v} is a map or function, for arguments of calls only"));
        }
    }

    fn access(&mut self, ptr: Value, off: i32, len: u32) {
        self.address(ptr);
        let Some((slot, base)) = slot_offset(self.func, ptr) else { return };
        let Some(size) = self.func.slots.get(slot).map(|s| i64::from(s.size)) else { return };
        let start = base + i64::from(off);
        if start < 0 || start + i64::from(len) > size {
            self.fault(format!("bytes {start} to {} of {slot}, which has {size}", start + i64::from(len)));
        }
    }

    fn compare(&mut self, cond: Cond, a: Value, b: Value) {
        self.not_handle(a);
        if self.ty(b) == Type::Ptr {
            return self.fault("a pointer stands on the left of a comparison with 0 only");
        }
        if self.ty(a) == Type::Ptr {
            let equality = matches!(cond, Cond::Eq | Cond::Ne);
            if !equality || self.func.as_const(b) != Some(0) {
                self.fault("a pointer is compared by eq or ne with the constant 0 only");
            }
        }
    }

    fn inst(&mut self, data: &InstData) {
        match data {
            InstData::Iconst(_)
            | InstData::MapAddr(_)
            | InstData::MapValueAddr(..)
            | InstData::BtfVarAddr(_) => {}
            InstData::Binary(_, a, b) => {
                self.want(*a, Type::I64);
                self.want(*b, Type::I64);
            }
            InstData::Unary(op, a) => {
                self.want(*a, Type::I64);
                let ok = match op {
                    UnOp::Neg | UnOp::Not => true,
                    UnOp::Zext(size) | UnOp::Sext(size) => *size != Size::Dw,
                    UnOp::Bswap(size) => *size != Size::B,
                };
                if !ok {
                    self.fault("this size is not possible");
                }
            }
            InstData::Icmp(cond, a, b) => self.compare(*cond, *a, *b),
            InstData::Select(c, a, b) => {
                for v in [*c, *a, *b] {
                    self.want(v, Type::I64);
                }
            }
            InstData::PtrAdd(p, n) => {
                self.address(*p);
                self.want(*n, Type::I64);
            }
            InstData::PtrOff(p, _) => self.address(*p),
            InstData::Load { size, sext, ptr, off } => {
                self.access(*ptr, *off, size.bytes());
                if *sext && *size == Size::Dw {
                    self.fault("a load of 8 bytes does not extend");
                }
            }
            InstData::LoadPtr { ptr, off } => self.access(*ptr, *off, 8),
            InstData::Store { size, value, ptr, off } => {
                self.access(*ptr, *off, size.bytes());
                self.not_handle(*value);
                if self.ty(*value) == Type::Ptr
                    && (*size != Size::Dw || slot_offset(self.func, *ptr).is_none())
                {
                    self.fault("a pointer is stored with 8 bytes, and to a slot only");
                }
            }
            InstData::Atomic { op, size, fetch, value, ptr, off } => {
                self.access(*ptr, *off, size.bytes());
                self.want(*value, Type::I64);
                if !matches!(size, Size::W | Size::Dw) {
                    self.fault("atomics are of 4 or 8 bytes");
                }
                match op {
                    AtomicOp::Cmpxchg => self.fault("compare-and-exchange is not in the IR"),
                    AtomicOp::Xchg if !fetch => self.fault("an exchange fetches"),
                    AtomicOp::Xchg | AtomicOp::Add | AtomicOp::And | AtomicOp::Or | AtomicOp::Xor => {}
                }
            }
            InstData::MemZero { ptr, off, len } => self.access(*ptr, *off, *len),
            InstData::MemCopy { dst, dst_off, src, src_off, len, align } => {
                self.access(*dst, *dst_off, *len);
                self.access(*src, *src_off, *len);
                if !matches!(align, 1 | 2 | 4 | 8) {
                    self.fault("the alignment is 1, 2, 4 or 8");
                }
            }
            InstData::SlotAddr(slot, off) => match self.func.slots.get(*slot) {
                None => self.fault(format!("{slot} does not exist")),
                Some(s) if *off > s.size => self.fault(format!("{slot} has {} bytes", s.size)),
                Some(_) => {}
            },
            InstData::FuncAddr(func) => {
                if self.callee(*func).is_none() && self.module.is_some() {
                    self.fault(format!("{func} does not exist"));
                }
            }
            InstData::CallHelper(id, args) => self.helper(*id, args),
            InstData::CallFunc(func, args) => {
                self.count(args.len());
                for &arg in args {
                    self.want(arg, Type::I64);
                }
                if self.module.is_some() {
                    match self.callee(*func).map(|f| f.blocks[f.entry()].params.len()) {
                        None => self.fault(format!("{func} does not exist")),
                        Some(n) if n != args.len() => self.fault(format!("{func} takes {n} arguments")),
                        Some(_) => {}
                    }
                }
            }
            InstData::CallKfunc { args, .. } => self.count(args.len()),
        }
    }

    fn callee(&self, func: FuncRef) -> Option<&Function> {
        self.module.and_then(|m| m.functions.get(func))
    }

    fn count(&mut self, n: usize) {
        if n > 5 {
            self.fault("a call has at most five arguments");
        }
    }

    fn helper(&mut self, id: HelperId, args: &[Value]) {
        let Some(def) = bpf_facts::helper(id) else {
            return self.fault(format!("there is no helper {}", id.0));
        };
        let n = def.args.iter().take_while(|a| **a != Arg::None).count();
        if args.len() < n || args.len() > n && !def.flags.more_args {
            return self.fault(format!("{} takes {n} arguments", def.name));
        }
        for (&arg, want) in args.iter().zip(&def.args) {
            let is_map = matches!(self.func.def_inst(arg), Some(InstData::MapAddr(_)));
            let is_func = matches!(self.func.def_inst(arg), Some(InstData::FuncAddr(_)));
            let pointer = self.ty(arg) == Type::Ptr;
            let null = self.func.as_const(arg) == Some(0);
            let memory = pointer && !is_map && !is_func;
            let ok = match want {
                Arg::None | Arg::Anything | Arg::Scalar => !is_func,
                Arg::ConstMapPtr => pointer && !is_func,
                Arg::Func => is_func,
                Arg::Len | Arg::LenOrZero | Arg::ConstAllocSize => !pointer,
                other => memory || (null && other.nullable()),
            };
            if !ok {
                self.fault(format!("{arg} is no {want:?}"));
            }
        }
    }

    fn target(&mut self, to: &BlockCall) {
        let params = &self.func.blocks[to.block].params;
        if params.len() != to.args.len() {
            return self.fault(format!("{} has {} parameters", to.block, params.len()));
        }
        for (&param, &arg) in params.iter().zip(&to.args) {
            self.want(arg, self.ty(param));
            self.not_handle(arg);
        }
    }

    fn terminator(&mut self, term: &Terminator) {
        match term {
            Terminator::Jump(to) => self.target(to),
            Terminator::Branch { cond, lhs, rhs, then, els } => {
                self.compare(*cond, *lhs, *rhs);
                self.target(then);
                self.target(els);
            }
            Terminator::Return(v) => self.want(*v, Type::I64),
            Terminator::None => self.fault("the block has no end"),
        }
    }
}

/// The slot and offset that an address is known to be, through chains of constant offsets.
pub fn slot_offset(func: &Function, ptr: Value) -> Option<(super::SlotId, i64)> {
    let mut at = ptr;
    let mut off = 0i64;
    // Bounded, because an invalid function may have a circle.
    for _ in 0..=func.values.len() {
        match func.def_inst(at)? {
            InstData::SlotAddr(slot, base) => return Some((*slot, off + i64::from(*base))),
            InstData::PtrOff(p, n) => {
                off += i64::from(*n);
                at = *p;
            }
            InstData::Iconst(_)
            | InstData::Binary(..)
            | InstData::Unary(..)
            | InstData::Icmp(..)
            | InstData::Select(..)
            | InstData::PtrAdd(..)
            | InstData::Load { .. }
            | InstData::LoadPtr { .. }
            | InstData::Store { .. }
            | InstData::Atomic { .. }
            | InstData::MemZero { .. }
            | InstData::MemCopy { .. }
            | InstData::MapAddr(_)
            | InstData::MapValueAddr(..)
            | InstData::FuncAddr(_)
            | InstData::BtfVarAddr(_)
            | InstData::CallHelper(..)
            | InstData::CallFunc(..)
            | InstData::CallKfunc { .. } => return None,
        }
    }
    None
}
