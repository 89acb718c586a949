//! Calls of functions of the kernel.

use super::dynptr::{Dynptr, DynptrKind};
use super::iterator::{Iterator, iterator_type};
use crate::era::Change;
use crate::explore::{Flow, Walk};
use crate::fields::{self, Value};
use crate::rules::{Check, Rule, context_access, name, reference};
use crate::state::{Flags, Kind, Ref, RegState};
use bpf_facts::{KfuncDef, KfuncKind, ProgSet, ProgType, V, kfunc};
use ebpf_asm::Reg;
use hark_btf::{Btf, Kind as BtfKind, TypeId};

/// First kernel that refuses iterators outside of the sections that protect what they give.
const PROTECTED_SINCE: V = V(6, 18);

/// Program types for which the functions that not all may call are never registered.
const NEVER: ProgSet = ProgSet::of(&[ProgType::Kprobe, ProgType::SocketFilter]);
/// First kernel in which they are registered for raw tracepoints as well.
const RAW_SINCE: V = V(7, 0);

/// First kernel in which sections of RCU nest.
const NESTED_SINCE: V = V(7, 0);

/// Largest length of memory.
const MAX_LEN: u64 = 1 << 29;

/// What the arguments of a call were found to be.
#[derive(Default)]
struct Used {
    dynptr: Option<Dynptr>,
    /// Constant length of memory.
    size: Option<u32>,
    /// The next argument is a length that was looked at.
    skip_length: bool,
    /// Frame and offset of the stack that a slice may lie in.
    buffer: Option<(u8, i32)>,
}

/// Whether an argument is a dynptr.
fn is_dynptr(btf: &Btf, param: TypeId) -> bool {
    let of = btf.resolve(param).filter(|ty| ty.kind() == BtfKind::Ptr).and_then(|ty| ty.target());
    of.and_then(|id| btf.resolve(id)).is_some_and(|ty| ty.name() == "bpf_dynptr")
}

/// Whether the first argument is an iterator.
fn is_iterators(kind: KfuncKind) -> bool {
    matches!(kind, KfuncKind::IterNew { .. } | KfuncKind::IterNext | KfuncKind::IterDestroy)
}

impl<'a> Walk<'a> {
    pub(crate) fn call_kfunc(&mut self, btf_id: u32, module: bool) -> Check<Flow> {
        if module {
            return self.unsure("a call of a module's function");
        }
        let Some(btf) = self.env.prog.btf else {
            return self.unsure("a kernel function without the kernel's types");
        };
        let Some(ty) = btf.type_by_id(TypeId(btf_id)).filter(|ty| ty.kind() == BtfKind::Func) else {
            return Err(Rule::Kfunc.reject(&[], format!("the kernel has no function of type {btf_id}")));
        };
        let known = kfunc(ty.name()).filter(|def| def.since <= self.env.profile.version);
        let prog = self.env.prog.ty;
        let raw = prog == ProgType::RawTracepoint && self.env.profile.version < RAW_SINCE;
        if known.is_some_and(|def| !def.progs.contains(prog)) && (raw || NEVER.contains(prog)) {
            let why = format!("programs of this type cannot call {}", ty.name());
            return Err(Rule::Kfunc.reject(&[], why));
        }
        let Some(def) = known.filter(|def| def.progs.contains(prog)) else {
            return self.unsure(format!("a call of kernel function {}", ty.name()));
        };
        if !self.env.prog.gpl {
            return Err(Rule::Kfunc.reject(&[], "only programs under the GPL call functions of the kernel"));
        }
        if self.st.lock.is_some() {
            return self.unsure("a kernel function called while a lock is held");
        }
        let proto =
            ty.target().and_then(|id| btf.type_by_id(id)).filter(|ty| ty.kind() == BtfKind::FuncProto);
        let Some(proto) = proto else { return self.unsure("a kernel function of a broken type") };
        let (mut released, mut iterator) = (0, None);
        let mut used = Used::default();
        for (i, param) in proto.params().enumerate() {
            let Some(r) = Reg::new(i as u8 + 1).filter(|r| r.index() <= 5) else {
                return self.unsure("a kernel function with more than five arguments");
            };
            if param.name.ends_with("__ign") {
                continue;
            }
            if i == 0 && is_iterators(def.kind) {
                self.read(r)?;
                iterator = self.check_iterator(btf, def, param.ty, r)?;
                continue;
            }
            if param.name.ends_with("__nullable") && self.read(r)?.is_null() {
                continue;
            }
            if used.skip_length {
                used.skip_length = false;
                continue;
            }
            if is_dynptr(btf, param.ty) {
                self.read(r)?;
                self.check_dynptr_arg(def, param.name, r, &mut used)?;
                continue;
            }
            let next = proto.params().nth(i + 1).map_or("", |param| param.name);
            if next.ends_with("__sz") || next.ends_with("__szk") {
                let optional = param.name.ends_with("__opt") || param.name.ends_with("__nullable");
                self.check_sized_memory(def, r, optional, next.ends_with("__szk"), &mut used)?;
                continue;
            }
            let id = self.check_kfunc_arg(btf, def, param.ty, r)?;
            if i == 0 {
                released = id;
            }
        }
        if def.releases {
            self.release(released)?;
        }
        match def.kind {
            KfuncKind::Plain
            | KfuncKind::IterNew { .. }
            | KfuncKind::IterNext
            | KfuncKind::IterDestroy
            | KfuncKind::DynptrFromPacket
            | KfuncKind::DynptrSlice { .. }
            | KfuncKind::DynptrClone
            | KfuncKind::ReadOnlyCast => {}
            KfuncKind::PreemptDisable => self.st.preempt_locks += 1,
            KfuncKind::PreemptEnable => {
                if self.st.preempt_locks == 0 {
                    return Err(Rule::Lock.reject(&[], "bpf_preempt_enable without bpf_preempt_disable"));
                }
                self.st.preempt_locks -= 1;
            }
            KfuncKind::RcuLock => {
                if self.st.rcu_locks > 0 && self.env.profile.version < NESTED_SINCE {
                    return Err(Rule::Lock.reject(&[], "read-side sections of RCU do not nest"));
                }
                if self.st.rcu_locks > 0 {
                    return self.unsure("nested read-side sections of RCU");
                }
                self.st.rcu_locks = 1;
            }
            KfuncKind::RcuUnlock => {
                if self.st.rcu_locks == 0 {
                    return Err(Rule::Lock.reject(&[], "bpf_rcu_read_unlock without a lock"));
                }
                self.st.rcu_locks = 0;
                self.st.update_regs(
                    |r| r.flags.has(Flags::RCU),
                    |r| {
                        r.flags = r.flags.without(Flags::RCU.with(Flags::MAYBE_NULL)).with(Flags::UNTRUSTED);
                    },
                );
                self.leave_rcu_iterators();
            }
        }
        let cast = match def.kind {
            KfuncKind::ReadOnlyCast => Some(self.read_only_cast(btf)?),
            KfuncKind::DynptrSlice { writes } => Some(self.slice(def, writes, &used)?),
            _ => None,
        };
        self.clobber_caller_saved();
        let result = match cast {
            Some(result) => result,
            None => self.kfunc_result(btf, def, proto.target().unwrap_or(TypeId::VOID), iterator)?,
        };
        *self.st.reg_mut(Reg::R0) = result;
        if let (KfuncKind::IterNext, Some(it)) = (def.kind, iterator) {
            self.ask_iterator(it)?;
        }
        Ok(Flow::Next)
    }

    /// Checks the iterator that a function of iterators is given, which it may make or end.
    fn check_iterator(
        &mut self,
        btf: &Btf,
        def: &KfuncDef,
        param: TypeId,
        r: Reg,
    ) -> Check<Option<Iterator>> {
        let Some(ty) = iterator_type(btf, param) else {
            return self.unsure(format!("the type of {}", def.name));
        };
        match def.kind {
            KfuncKind::IterNew { rcu } => {
                if rcu && !self.in_rcu_section() && self.env.profile.version >= PROTECTED_SINCE {
                    let why = format!("{} is called within read-side sections of RCU only", def.name);
                    return Err(Rule::Kfunc.reject(&[], why));
                }
                self.new_iterator(btf, ty, r, rcu)?;
                Ok(None)
            }
            kind => {
                let it = self.iterator(btf, ty, r)?;
                if kind == KfuncKind::IterDestroy {
                    self.destroy_iterator(it)?;
                }
                Ok(Some(it))
            }
        }
    }

    fn check_dynptr_arg(&mut self, def: &KfuncDef, param: &str, r: Reg, used: &mut Used) -> Check {
        if param.ends_with("__uninit") || def.kind == KfuncKind::DynptrClone && param.ends_with("__init") {
            return match (def.kind, used.dynptr) {
                (KfuncKind::DynptrFromPacket, _) if self.env.prog.ty == ProgType::Xdp => {
                    self.new_dynptr(DynptrKind::Xdp, r, None)
                }
                (KfuncKind::DynptrFromPacket, _) => self.new_dynptr(DynptrKind::Skb, r, None),
                (KfuncKind::DynptrClone, Some(of)) => self.new_dynptr(of.kind, r, Some(of)),
                _ => self.unsure(format!("the dynptr that {} makes", def.name)),
            };
        }
        used.dynptr = Some(self.dynptr(r, false)?);
        Ok(())
    }

    /// Memory in `r` and its length in the next register, which is a constant if `constant`.
    fn check_sized_memory(
        &mut self,
        def: &KfuncDef,
        r: Reg,
        optional: bool,
        constant: bool,
        used: &mut Used,
    ) -> Check {
        let Some(len_reg) = Reg::new(r.index() + 1) else { return self.unsure("a length in no register") };
        let (value, len) = (self.read(r)?, self.read(len_reg)?);
        let refuse = |r: Reg, value: &RegState, why: &str| {
            Err(Rule::Kfunc.reject(&[r], format!("{} holds {value}; {} takes {why}", name(r), def.name)))
        };
        if !len.is_scalar() {
            return refuse(len_reg, &len, "a length");
        }
        used.skip_length = true;
        if !(value.is_null() && optional) {
            if len.val.smin < 0 || len.val.umax >= MAX_LEN {
                return refuse(len_reg, &len, "a length that is bounded, and not negative");
            }
            if value.is_scalar() && !(value.is_null() && len.as_const() == Some(0)) {
                return refuse(r, &value, "memory");
            }
            if len.val.umin == 0 && len.val.umax > 0 {
                self.check_global_memory(&value, r, 0)?;
            }
            if !value.is_scalar() {
                self.check_global_memory(&value, r, len.val.umax as u32)?;
            }
            self.mark_precise(len_reg);
            if value.kind == Kind::Stack {
                used.buffer =
                    value.val.as_const().map(|var| (value.frame, value.off.wrapping_add(var as i32)));
            }
        }
        if constant {
            let Some(size) = len.as_const() else { return refuse(len_reg, &len, "a constant length") };
            used.size = Some(size as u32);
        }
        Ok(())
    }

    /// What `bpf_dynptr_slice` and its sister return.
    fn slice(&mut self, def: &KfuncDef, writes: bool, used: &Used) -> Check<RegState> {
        let (Some(of), Some(size)) = (used.dynptr, used.size) else {
            return self.unsure(format!("the arguments of {}", def.name));
        };
        if writes && !self.env.prog.may_write_packets() {
            return Err(Rule::Kfunc.reject(&[], "programs of this type cannot write to packets"));
        }
        let flags = of.slice_flags().with(Flags::MAYBE_NULL);
        let flags = if writes { flags } else { flags.with(Flags::RDONLY) };
        let id = self.new_id();
        let (frame, range) =
            used.buffer.filter(|_| self.env.era.has(Change::SlicesOfBuffers)).unwrap_or((0, 0));
        Ok(RegState { id, uid: of.id, frame, range, ..RegState::pointer(Kind::Mem, flags, size) })
    }

    /// What `bpf_rdonly_cast` returns.
    fn read_only_cast(&mut self, btf: &Btf) -> Check<RegState> {
        let r = Reg::R2;
        let Some(id) = self.read(r)?.as_const() else {
            return Err(Rule::Kfunc.reject(&[r], "bpf_rdonly_cast takes the id of a type, as a constant"));
        };
        self.mark_precise(r);
        let ty = u32::try_from(id).ok().and_then(|id| btf.type_by_id(TypeId(id)));
        match ty {
            Some(ty) if ty.kind() == BtfKind::Struct => {
                Ok(RegState::pointer(Kind::Btf, Flags::UNTRUSTED, ty.id().0))
            }
            Some(ty) if ty.kind() == BtfKind::Void => self.unsure("a cast to memory of no type"),
            _ => Err(Rule::Kfunc.reject(&[r], "bpf_rdonly_cast takes the id of a structure")),
        }
    }

    /// Checks an argument; the reference that it holds.
    fn check_kfunc_arg(&mut self, btf: &Btf, def: &KfuncDef, ty: TypeId, r: Reg) -> Check<u32> {
        let value = self.read(r)?;
        let refuse = |why: String| {
            Err(Rule::Kfunc.reject(&[r], format!("{} holds {value}; {} takes {why}", name(r), def.name)))
        };
        match fields::value_of(btf, ty) {
            Value::Scalar => {
                if btf.resolve(ty).is_some_and(|ty| ty.kind() == BtfKind::Ptr) {
                    return self.unsure(format!("memory given to {}", def.name));
                }
                if !value.is_scalar() {
                    return refuse("a number".into());
                }
                Ok(0)
            }
            Value::Pointer(..) if def.kind == KfuncKind::DynptrFromPacket => {
                if value.kind != Kind::Ctx {
                    return refuse("the context".into());
                }
                context_access::check_pointer(&value, r).map(|()| 0)
            }
            Value::Pointer(need, _) => {
                let of = btf.type_by_id(need).map_or("", |ty| ty.name());
                let trusted =
                    value.flags == Flags::TRUSTED || value.ref_id != 0 && value.flags == Flags::NONE;
                let rcu = def.rcu_args && value.flags == Flags::RCU;
                if value.kind != Kind::Btf || !(trusted || rcu) {
                    return refuse(format!("a struct {of} that is trusted, and not NULL"));
                }
                if def.releases {
                    if value.ref_id == 0 {
                        return refuse(format!("a struct {of} that was acquired"));
                    }
                    reference::check_releasable(&value, r)?;
                }
                let off = u32::try_from(value.off).ok().filter(|_| value.val.is_zero());
                let strict = def.releases;
                if !off.is_some_and(|off| fields::nested_at(btf, TypeId(value.aux), off, need, strict)) {
                    return refuse(format!("a struct {of}"));
                }
                Ok(value.ref_id)
            }
            Value::OtherPointer | Value::Other => self.unsure(format!("arguments of {}", def.name)),
        }
    }

    fn kfunc_result(
        &mut self,
        btf: &Btf,
        def: &KfuncDef,
        ret: TypeId,
        iterator: Option<Iterator>,
    ) -> Check<RegState> {
        let resolved = btf.resolve(ret);
        if resolved.is_none_or(|ty| ty.kind() == BtfKind::Void) {
            return Ok(RegState::NOT_INIT);
        }
        match fields::value_of(btf, ret) {
            Value::Scalar if resolved.is_some_and(|ty| ty.kind() != BtfKind::Ptr) => Ok(RegState::UNKNOWN),
            Value::Scalar if let Some(it) = iterator => {
                let to = resolved.and_then(|ty| ty.target());
                let Some(size) = to.and_then(|id| btf.size_of(id)).and_then(|n| u32::try_from(n).ok()) else {
                    return self.unsure(format!("the result of {}", def.name));
                };
                let flags = Flags::MAYBE_NULL.with(Flags::RDONLY);
                let id = self.new_id();
                Ok(RegState { id, ref_id: it.ref_id, ..RegState::pointer(Kind::Mem, flags, size) })
            }
            Value::Pointer(to, _) => {
                let flags = if def.nullable { Flags::MAYBE_NULL } else { Flags::NONE };
                let trust = match iterator {
                    Some(it) if self.gives_rcu(it) => Flags::RCU,
                    Some(_) => Flags::TRUSTED,
                    None => Flags::NONE,
                };
                let flags = flags.with(trust);
                let id = self.new_id();
                let mut result = RegState { id, ..RegState::pointer(Kind::Btf, flags, to.0) };
                if def.acquires {
                    let frame = self.st.top;
                    self.st.refs.push(Ref { id, acquired_at: self.pc, frame });
                    result.ref_id = id;
                }
                Ok(result)
            }
            _ => self.unsure(format!("the result of {}", def.name)),
        }
    }
}
