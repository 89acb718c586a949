//! Kernel objects known by BTF.

use crate::explore::Walk;
use crate::rules::{Check, kernel_object, null_check};
use crate::state::{Flags, Kind, RegState};
use bpf_facts::HelperDef;
use ebpf_asm::Reg;

impl Walk<'_> {
    /// A field of a kernel object.
    pub(crate) fn load_object(&mut self, ptr: &RegState, r: Reg, at: i64, size: u32) -> Check<RegState> {
        null_check::check(ptr, r, "reading it")?;
        if at < 0 || !ptr.val.is_zero() {
            return Err(kernel_object::refused(ptr, r, "its fields are at fixed offsets"));
        }
        self.unsure(format!("{size} bytes of a kernel object are read"))
    }

    /// A field of a context that BTF types.
    pub(crate) fn load_typed_context(&mut self, r: Reg, at: i64, size: u32) -> Check<RegState> {
        let _ = (r, at, size);
        self.unsure("the context of a tracing program")
    }

    /// The address of a kernel variable.
    pub(crate) fn kernel_variable(&mut self, btf_id: u32, btf_fd: u32) -> Check<RegState> {
        self.unsure(format!("kernel variable {btf_id} of BTF {btf_fd}"))
    }

    /// A pointer to a kernel struct that a helper returned.
    pub(crate) fn object(&mut self, name: &str, flags: Flags) -> Check<RegState> {
        let id = if flags.has(Flags::MAYBE_NULL) { self.new_id() } else { 0 };
        let Some(ty) = self.struct_id(name) else { return self.unsure(format!("struct {name} without BTF")) };
        Ok(RegState { id, ..RegState::pointer(Kind::Btf, flags, ty) })
    }

    /// What `per_cpu_ptr` and `this_cpu_ptr` return.
    pub(crate) fn percpu_object(&mut self, btf_id: u32, flags: Flags) -> Check<RegState> {
        let _ = flags;
        self.unsure(format!("a per-CPU variable of type {btf_id}"))
    }

    /// A kernel object given to a helper that wants a `struct name`.
    pub(crate) fn check_object_arg(&self, def: &HelperDef, value: &RegState, r: Reg, name: &str) -> Check {
        let _ = (value, r, name);
        self.unsure(format!("kernel objects given to helper {}", def.name))
    }

    fn struct_id(&self, name: &str) -> Option<u32> {
        self.env.prog.btf?.find(hark_btf::Kind::Struct, name).map(|id| id.0)
    }
}
