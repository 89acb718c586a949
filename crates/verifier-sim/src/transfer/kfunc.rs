//! Calls of functions of the kernel.

use crate::explore::{Flow, Walk};
use crate::fields::{self, Value};
use crate::rules::{Check, Rule, name, reference};
use crate::state::{Flags, Kind, Ref, RegState};
use bpf_facts::{KfuncDef, KfuncKind, kfunc};
use ebpf_asm::Reg;
use hark_btf::{Btf, Kind as BtfKind, TypeId};

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
        let Some(def) = known.filter(|def| def.progs.contains(self.env.prog.ty)) else {
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
        let mut released = 0;
        for (i, param) in proto.params().enumerate() {
            let Some(r) = Reg::new(i as u8 + 1).filter(|r| r.index() <= 5) else {
                return self.unsure("a kernel function with more than five arguments");
            };
            let id = self.check_kfunc_arg(btf, def, param.ty, r)?;
            if i == 0 {
                released = id;
            }
        }
        if def.releases {
            self.release(released)?;
        }
        match def.kind {
            KfuncKind::Plain => {}
            KfuncKind::RcuLock => {
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
            }
        }
        self.clobber_caller_saved();
        let result = self.kfunc_result(btf, def, proto.target().unwrap_or(TypeId::VOID))?;
        *self.st.reg_mut(Reg::R0) = result;
        Ok(Flow::Next)
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

    fn kfunc_result(&mut self, btf: &Btf, def: &KfuncDef, ret: TypeId) -> Check<RegState> {
        let resolved = btf.resolve(ret);
        if resolved.is_none_or(|ty| ty.kind() == BtfKind::Void) {
            return Ok(RegState::NOT_INIT);
        }
        match fields::value_of(btf, ret) {
            Value::Scalar if resolved.is_some_and(|ty| ty.kind() != BtfKind::Ptr) => Ok(RegState::UNKNOWN),
            Value::Pointer(to, _) => {
                let flags = if def.nullable { Flags::MAYBE_NULL } else { Flags::NONE };
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
