//! Kernel objects known by BTF, and contexts that BTF types.

use super::memory::Access;
use crate::era::Change;
use crate::explore::Walk;
use crate::fields::{self, Found, Value};
use crate::rules::{Check, Rule, context_access, kernel_object, null_check};
use crate::state::{Flags, Kind, RegState};
use crate::target::TRUST_SINCE;
use bpf_facts::{AttachType, HelperDef, IterField, ProgType, V};
use ebpf_asm::Reg;
use hark_btf::{Btf, TypeId};

/// First kernel that reads beyond what a union says as untrusted.
const UNIONS_SINCE: V = V(6, 4);
/// First kernel in which only programs under the GPL read kernel objects.
const GPL_SINCE: V = V(6, 2);
/// First kernel that lets programs read through pointers to numbers that it found in objects.
pub(crate) const UNTRUSTED_SINCE: V = V(6, 17);
/// First kernel in which pointers to anything but structures are numbers.
const ANY_POINTER_SINCE: V = V(7, 0);
/// Most 8-byte arguments in a context.
const MAX_CONTEXT: i64 = 12 * 8;

impl<'a> Walk<'a> {
    fn kernel_btf(&self) -> Check<&'a Btf> {
        match self.env.prog.btf {
            Some(btf) => Ok(btf),
            None => self.unsure("the kernel's types are not known"),
        }
    }

    /// A field of a kernel object.
    pub(crate) fn load_object(&mut self, ptr: &RegState, r: Reg, at: i64, size: u32) -> Check<RegState> {
        let value = self.object_field(ptr, r, at, size)?;
        let id = if value.may_be_null() { self.new_id() } else { 0 };
        Ok(RegState { id, ..value })
    }

    /// What a read of a kernel object gives: a pointer to another one, or else a number.
    pub(crate) fn object_field(&self, ptr: &RegState, r: Reg, at: i64, size: u32) -> Check<RegState> {
        null_check::check(ptr, r, "reading it")?;
        let version = self.env.profile.version;
        let btf = self.kernel_btf()?;
        if !self.env.prog.gpl && version >= GPL_SINCE {
            return Err(kernel_object::refused(ptr, r, "only programs under the GPL read kernel objects"));
        }
        let at = u32::try_from(at)
            .ok()
            .filter(|_| ptr.val.is_zero())
            .ok_or_else(|| kernel_object::refused(ptr, r, "its fields are at fixed offsets"))?;
        if ptr.flags.any(Flags::USER.with(Flags::PERCPU)) {
            return Err(kernel_object::refused(ptr, r, "it cannot be read like kernel memory"));
        }
        let ty = TypeId(ptr.aux);
        let reading = fields::Reading {
            flexible: true,
            unions: version >= UNIONS_SINCE,
            others: version >= UNTRUSTED_SINCE,
        };
        let found = fields::field_at(btf, ty, at, size, reading)
            .map_err(|why| kernel_object::refused(ptr, r, &why))?;
        Ok(match found {
            Found::Pointer { to, flags, name } => {
                RegState::pointer(Kind::Btf, self.walked(btf, ptr, ty, to, flags, name), to.0)
            }
            Found::OtherPointer => RegState::pointer(Kind::Mem, Flags::UNTRUSTED_MEM, 0),
            Found::Scalar | Found::Struct(_) => RegState::UNKNOWN,
        })
    }

    /// How far the pointer in member `name` is trusted.
    fn walked(&self, btf: &Btf, ptr: &RegState, ty: TypeId, to: TypeId, flags: Flags, name: &str) -> Flags {
        let version = self.env.profile.version;
        let tags = flags.without(Flags::RCU.with(Flags::UNTRUSTED));
        if ptr.flags.has(Flags::UNTRUSTED) {
            return if version >= TRUST_SINCE { Flags::UNTRUSTED } else { tags.with(Flags::UNTRUSTED) };
        }
        if version < TRUST_SINCE {
            return tags;
        }
        let trusted = ptr.ref_id != 0 || ptr.flags.has(Flags::TRUSTED) || ptr.flags.has(Flags::RCU);
        if !trusted {
            let lost = self.env.era.has(Change::UntrustedFromPlain);
            return if lost { Flags::UNTRUSTED } else { tags };
        }
        let shares = |suffix| fields::shares_trust(btf, ty, name, to, suffix);
        if shares("__safe_trusted") {
            return flags.with(Flags::TRUSTED);
        }
        if shares("__safe_trusted_or_null") {
            return flags.with(Flags::TRUSTED).with(Flags::MAYBE_NULL);
        }
        if !self.in_rcu_section() {
            return Flags::UNTRUSTED;
        }
        if shares("__safe_rcu") {
            return flags.with(Flags::RCU);
        }
        let or_null = shares("__safe_rcu_or_null");
        if flags.has(Flags::RCU) || or_null {
            let flags = flags.with(Flags::RCU).with(Flags::MAYBE_NULL);
            return if or_null { flags.without(Flags::UNTRUSTED) } else { flags };
        }
        if flags.any(Flags::PERCPU.with(Flags::USER)) { flags } else { tags }
    }

    /// Whether objects protected by RCU stay as long as the program runs, or as it holds the lock.
    pub(crate) fn in_rcu_section(&self) -> bool {
        !self.env.prog.sleepable || self.st.rcu_locks > 0
    }

    /// A field of a context that BTF types.
    pub(crate) fn load_typed_context(&mut self, r: Reg, at: i64, size: u32, sext: bool) -> Check<RegState> {
        let Some(target) = &self.env.target else {
            return self.unsure("the context of a program whose target is not known");
        };
        let version = self.env.profile.version;
        let refused = |why: &str| Err(context_access::refused(r, at, size, why));
        if !(0..MAX_CONTEXT).contains(&at) || at % i64::from(size) != 0 || at % 8 != 0 {
            return refused("are no argument");
        }
        let arg = (at / 8) as usize;
        let prog = self.env.prog;
        let ty = match target.args.get(arg) {
            Some(param) => param.ty,
            None if arg == target.args.len() => match prog.attach_type {
                AttachType::TraceFexit => target.ret,
                AttachType::ModifyReturn => {
                    if !matches!(fields::value_of(target.btf, target.ret), Value::Scalar) {
                        return refused("are a result that cannot be changed");
                    }
                    target.ret
                }
                _ => return refused("are beyond the arguments"),
            },
            None => return refused("are beyond the arguments"),
        };
        let void =
            ty == TypeId::VOID || target.btf.resolve(ty).is_some_and(|t| t.kind() == hark_btf::Kind::Void);
        if void {
            return refused("are nothing: the function has no result");
        }
        let resolved = target.btf.resolve(ty);
        let pointer = resolved.is_some_and(|ty| ty.kind() == hark_btf::Kind::Ptr);
        if pointer && size != 8 {
            return refused("are a part of a pointer");
        }
        if !pointer {
            return match fields::value_of(target.btf, ty) {
                Value::Scalar => Ok(RegState::UNKNOWN),
                _ => refused("are no number and no pointer"),
            };
        }
        let special = match prog.attach_type {
            AttachType::TraceIter => bpf_facts::iter_field(target.name, arg as u32),
            _ => None,
        };
        let value = fields::value_of(target.btf, ty);
        let (kind, flags, aux) = match (special, value) {
            (Some(IterField::ReadBuffer), _) => (Kind::Buf, Flags::MAYBE_NULL.with(Flags::RDONLY), 0),
            (Some(IterField::Buffer), _) => (Kind::Buf, Flags::MAYBE_NULL, 0),
            (_, Value::Scalar) => return Ok(RegState::UNKNOWN),
            (Some(field), Value::Pointer(to, _)) => {
                let trust = match field {
                    IterField::TrustedObject(since) if since <= version => Flags::TRUSTED,
                    IterField::UntrustedObject => Flags::UNTRUSTED,
                    _ => Flags::NONE,
                };
                (Kind::Btf, Flags::MAYBE_NULL.with(trust), to.0)
            }
            (None, Value::Pointer(to, tags)) => {
                let mut flags = tags.without(Flags::RCU);
                if version >= TRUST_SINCE && self.args_trusted() {
                    flags = flags.with(Flags::TRUSTED);
                }
                let nullable = target.args.get(arg).is_some_and(|param| param.name.ends_with("__nullable"));
                if nullable && version >= V(6, 12) {
                    flags = flags.with(Flags::MAYBE_NULL);
                }
                if prog.attach_type == AttachType::TraceRawTp
                    && version >= bpf_facts::TRACEPOINT_ARGS_SINCE
                    && let Some(row) = bpf_facts::tracepoint_args(target.name)
                {
                    if row.errors.contains(&(arg as u32)) {
                        return Ok(RegState::UNKNOWN);
                    }
                    if row.nullable.contains(&(arg as u32)) {
                        flags = flags.with(Flags::MAYBE_NULL);
                    }
                }
                (Kind::Btf, flags, to.0)
            }
            (_, Value::OtherPointer | Value::Other) if version >= ANY_POINTER_SINCE => {
                return Ok(RegState::UNKNOWN);
            }
            (_, Value::OtherPointer | Value::Other) => return refused("are a pointer to no structure"),
        };
        if sext {
            return refused("hold a pointer, which cannot be sign-extended");
        }
        let id = if flags.has(Flags::MAYBE_NULL) { self.new_id() } else { 0 };
        Ok(RegState { id, ..RegState::pointer(kind, flags, aux) })
    }

    fn args_trusted(&self) -> bool {
        let prog = self.env.prog;
        prog.ty == ProgType::Tracing
            && matches!(prog.attach_type, AttachType::TraceRawTp | AttachType::TraceIter)
    }

    /// The address of a kernel variable.
    pub(crate) fn kernel_variable(&mut self, btf_id: u32, btf_fd: u32) -> Check<RegState> {
        if btf_fd != 0 {
            return self.unsure("a variable of a module");
        }
        let btf = self.kernel_btf()?;
        let ty = btf.type_by_id(TypeId(btf_id));
        let Some(ty) = ty else {
            return Err(Rule::KernelObject.reject(&[], format!("the kernel has no type {btf_id}")));
        };
        if ty.kind() == hark_btf::Kind::Func {
            return Ok(RegState::pointer(Kind::Mem, Flags::RDONLY, 0));
        }
        if ty.kind() != hark_btf::Kind::Var {
            return Err(Rule::KernelObject.reject(&[], format!("type {btf_id} of the kernel is no variable")));
        }
        // Kernels that do not list the addresses of variables refuse them.
        self.doubt(format!("whether the kernel tells the address of {}", ty.name()));
        let percpu = btf.find(hark_btf::Kind::Datasec, ".data..percpu").and_then(|id| btf.type_by_id(id));
        let percpu = percpu.is_some_and(|sec| sec.section_vars().any(|var| var.var.0 == btf_id));
        let of = ty.target().unwrap_or(TypeId::VOID);
        let Some(resolved) = btf.resolve(of) else { return self.unsure("a variable of a broken type") };
        if percpu {
            return Ok(RegState::pointer(Kind::Btf, Flags::PERCPU, resolved.id().0));
        }
        if !resolved.kind().is_composite() {
            let Some(size) = btf.size_of(of) else {
                return Err(Rule::KernelObject.reject(&[], format!("variable {} has no size", ty.name())));
            };
            return Ok(RegState::pointer(Kind::Mem, Flags::RDONLY, size as u32));
        }
        Ok(RegState::pointer(Kind::Btf, Flags::NONE, resolved.id().0))
    }

    /// A pointer to a kernel struct that a helper returned.
    pub(crate) fn object(&mut self, name: &str, flags: Flags) -> Check<RegState> {
        let id = if flags.has(Flags::MAYBE_NULL) { self.new_id() } else { 0 };
        let flags =
            if self.env.profile.version < TRUST_SINCE { flags.without(Flags::TRUSTED) } else { flags };
        let Some(ty) = self.struct_id(name) else { return self.unsure(format!("struct {name} without BTF")) };
        Ok(RegState { id, ..RegState::pointer(Kind::Btf, flags, ty) })
    }

    /// What `per_cpu_ptr` and `this_cpu_ptr` return.
    pub(crate) fn percpu_object(&mut self, btf_id: u32, flags: Flags) -> Check<RegState> {
        let btf = self.kernel_btf()?;
        let id = if flags.has(Flags::MAYBE_NULL) { self.new_id() } else { 0 };
        let ty = TypeId(btf_id);
        let Some(resolved) = btf.resolve(ty) else {
            return self.unsure("a per-CPU variable of a broken type");
        };
        if resolved.kind().is_composite() {
            return Ok(RegState { id, ..RegState::pointer(Kind::Btf, flags, resolved.id().0) });
        }
        let Some(size) = btf.size_of(ty) else { return self.unsure("a per-CPU variable without a size") };
        let flags = flags.with(Flags::RDONLY);
        Ok(RegState { id, ..RegState::pointer(Kind::Mem, flags, size as u32) })
    }

    /// A kernel object given to a helper that wants a `struct name`.
    pub(crate) fn check_object_arg(&self, def: &HelperDef, value: &RegState, r: Reg, name: &str) -> Check {
        let btf = self.kernel_btf()?;
        let Some(need) = self.struct_id(name) else {
            return self.unsure(format!("struct {name} without BTF"));
        };
        let off = u32::try_from(value.off).ok().filter(|_| value.val.is_zero());
        let fits = off.is_some_and(|off| fields::nested_at(btf, TypeId(value.aux), off, TypeId(need), false));
        if fits {
            return Ok(());
        }
        Err(crate::rules::argument::wrong(def, value, r, &format!("a struct {name}")))
    }

    /// A kernel object given to a helper as memory to read.
    pub(crate) fn check_object_memory(&self, value: &RegState, r: Reg, size: u32, access: Access) -> Check {
        if access == Access::Write {
            return Err(crate::rules::writable_memory::read_only(value, r));
        }
        self.object_field(value, r, i64::from(value.off), size).map(|_| ())
    }

    pub(crate) fn struct_id(&self, name: &str) -> Option<u32> {
        self.env.prog.btf?.find(hark_btf::Kind::Struct, name).map(|id| id.0)
    }
}
