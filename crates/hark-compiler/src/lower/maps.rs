//! Reading and writing maps of the script.
//!
//! A map without keys is an array of one value whose address is a constant of the program: no look-up. Behind the
//! value lies a word that says whether the map has been assigned.

use super::{Lower, Mem, Val};
use crate::typed::{Expr, MapId};
use crate::types::Type;
use bpf_facts::{HelperId, MapType};
use ebpf_asm::{AtomicOp, MapRef, Size};
use ebpf_codegen::ir::{BinOp, Builder, Cond, InstData, Type as IrType, Value};
use hark_object::{Loss, MapRole, Ty};

/// `BPF_ANY`: create or replace.
pub(crate) const ANY: i64 = 0;
/// `BPF_NOEXIST`: create only.
pub(crate) const NOEXIST: i64 = 1;

impl Lower<'_> {
    /// The map itself.
    pub(crate) fn map_ref(&self, map: MapId) -> MapRef {
        self.shared.map_ref(map)
    }

    fn user_value(&self, map: MapId) -> &Ty {
        match &self.shared.maps[map.0 as usize].role {
            MapRole::User(user) => &user.value,
            _ => &Ty::Void,
        }
    }

    /// Offset of the word that says whether a map without keys has been assigned.
    fn presence_offset(&self, map: MapId) -> i32 {
        match &self.shared.maps[map.0 as usize].role {
            MapRole::User(user) => user.presence_offset() as i32,
            _ => 0,
        }
    }

    /// Whether its value is kept per CPU.
    pub(crate) fn is_per_cpu(&self, map: MapId) -> bool {
        use MapType::{LruPercpuHash, PercpuArray, PercpuHash};
        matches!(self.shared.maps[map.0 as usize].ty, PercpuArray | PercpuHash | LruPercpuHash)
    }

    /// The value of a map without keys, at its constant address.
    fn scalar_map(&mut self, map: MapId) -> Mem {
        let map = self.map_ref(map);
        Mem::at(self.b.value(InstData::MapValueAddr(map, 0)))
    }

    /// Says that a map without keys has been assigned.
    pub(super) fn mark_present(&mut self, map: MapId, value: Mem) {
        let offset = self.presence_offset(map);
        let one = self.b.iconst(1);
        self.b.store(Size::Dw, one, value.ptr, value.off + offset);
    }

    /// The key in memory, as helpers take it. Without a key: index 0.
    pub(crate) fn key(&mut self, key: Option<&Expr>) -> Mem {
        match key {
            None => {
                let mem = self.new_bytes(4);
                let zero = self.b.iconst(0);
                self.b.store(Size::W, zero, mem.ptr, mem.off);
                mem
            }
            Some(key) => {
                let ty = key.ty.ty(self.types);
                let mem = self.new_mem(&ty);
                self.into(key, mem);
                mem
            }
        }
    }

    /// The address of the value of `key`, or NULL.
    pub(crate) fn lookup(&mut self, map: MapId, key: Mem) -> Value {
        let map = self.map_ref(map);
        let (map, key) = (self.b.map(map), self.address(key));
        self.b.call(HelperId::MAP_LOOKUP_ELEM, &[map, key])
    }

    /// Writes a value; counts it as lost if that fails, unless `flags` is what makes it fail.
    pub(crate) fn update(&mut self, map: MapId, key: Mem, value: Mem, flags: i64) -> Value {
        let map = self.map_ref(map);
        let (map, key, value) = (self.b.map(map), self.address(key), self.address(value));
        let flags = self.b.iconst(flags);
        self.b.call(HelperId::MAP_UPDATE_ELEM, &[map, key, value, flags])
    }

    /// `@m[k]`: the value, or zero.
    pub(super) fn map_get(&mut self, map: MapId, key: Option<&Expr>, ty: &Type, dst: Option<Mem>) -> Val {
        if key.is_none() && !self.is_per_cpu(map) {
            let value = self.scalar_map(map);
            if ty.is_scalar() {
                return Val::Scalar(self.load(value, ty));
            }
            // Another CPU may write while we read: take a copy.
            let dst = self.dst(dst, ty);
            let len = ty.ty(self.types).layout().size;
            self.copy(dst, value, len);
            return Val::Mem(dst);
        }
        // Before the branch: both sides write it.
        let dst = if ty.is_scalar() { None } else { Some(self.dst(dst, ty)) };
        let key = self.key(key);
        let found = self.lookup(map, key);
        let (hit, miss, next) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.b.branch_nonzero(found, hit, miss);
        let Some(dst) = dst else {
            let var = self.b.declare_var(IrType::I64);
            self.b.seal_and_switch(miss);
            let zero = self.b.iconst(0);
            self.b.def_var(var, zero);
            self.b.jump(next, &[]);
            self.b.seal_and_switch(hit);
            let value = self.load(Mem::at(found), ty);
            self.b.def_var(var, value);
            self.b.jump(next, &[]);
            self.b.seal_and_switch(next);
            return Val::Scalar(self.b.use_var(var));
        };
        let len = ty.ty(self.types).layout().size;
        self.b.seal_and_switch(miss);
        self.zero(dst, len);
        self.b.jump(next, &[]);
        self.b.seal_and_switch(hit);
        self.copy(dst, Mem::at(found), len);
        self.b.jump(next, &[]);
        self.b.seal_and_switch(next);
        Val::Mem(dst)
    }

    /// `@m[k] = e`
    pub(super) fn map_set(&mut self, map: MapId, key: Option<&Expr>, value: &Expr) {
        if key.is_none() && !self.is_per_cpu(map) {
            if value.ty.is_scalar() {
                let word = self.scalar(value);
                let at = self.scalar_map(map);
                self.store(word, at, &value.ty);
                self.mark_present(map, at);
                return;
            }
            // The whole value first: it may be made of the map's own.
            let src = self.mem(value);
            let at = self.scalar_map(map);
            let len = value.ty.ty(self.types).layout().size;
            self.copy(at, src, len);
            self.mark_present(map, at);
            return;
        }
        let src = self.value_for_update(map, value);
        let key = self.key(key);
        let result = self.update(map, key, src, ANY);
        self.count_if_failed(result, Loss::MapFull);
    }

    /// A value in memory of the map's value size, its tail zeroed.
    fn value_for_update(&mut self, map: MapId, value: &Expr) -> Mem {
        let ty = self.user_value(map).clone();
        let size = ty.layout().size;
        let room = self.shared.maps[map.0 as usize].value_size;
        let mem = self.new_bytes(room + 1);
        if room > size {
            let from = size / 8 * 8;
            self.zero(mem.plus(from), room - from);
        }
        self.into(value, mem);
        mem
    }

    /// `@m[k]++` and its kin. The addition is atomic: no CPU loses a count of another.
    pub(super) fn map_step(
        &mut self,
        map: MapId,
        key: Option<&Expr>,
        step: i64,
        postfix: bool,
        used: bool,
    ) -> Val {
        let adjusted = |cx: &mut Self, before: Value| {
            if postfix { before } else { cx.b.binary_imm(BinOp::Add, before, step) }
        };
        if key.is_none() && !self.is_per_cpu(map) {
            let at = self.scalar_map(map);
            let before = self.add_at(at, step, used);
            self.mark_present(map, at);
            return match before {
                Some(before) => Val::Scalar(adjusted(self, before)),
                None => Val::None,
            };
        }
        let key = self.key(key);
        let found = self.lookup(map, key);
        let (hit, miss, next) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let var = self.b.declare_var(IrType::I64);
        self.b.branch_nonzero(found, hit, miss);

        self.b.seal_and_switch(miss);
        let first = self.new_bytes(8);
        let value = self.b.iconst(step);
        self.store_word(value, first);
        let result = self.update(map, key, first, NOEXIST);
        let zero = self.b.iconst(0);
        self.b.def_var(var, zero);
        let failed = self.b.create_cold_block();
        let zero = self.b.iconst(0);
        self.b.branch(Cond::Slt, result, zero, failed, next);

        // Another CPU was first, or the map is full: look again.
        self.b.seal_and_switch(failed);
        let again = self.lookup(map, key);
        let (second, full) = (self.b.create_cold_block(), self.b.create_cold_block());
        self.b.branch_nonzero(again, second, full);
        self.b.seal_and_switch(second);
        let before = self.add_at(Mem::at(again), step, used);
        self.define_if_used(var, before);
        self.b.jump(next, &[]);
        self.b.seal_and_switch(full);
        self.count_loss(Loss::MapFull);
        self.b.jump(next, &[]);

        self.b.seal_and_switch(hit);
        let before = self.add_at(Mem::at(found), step, used);
        self.define_if_used(var, before);
        self.b.jump(next, &[]);

        self.b.seal_and_switch(next);
        if !used {
            return Val::None;
        }
        let before = self.b.use_var(var);
        Val::Scalar(adjusted(self, before))
    }

    fn define_if_used(&mut self, var: ebpf_codegen::ir::Variable, value: Option<Value>) {
        if let Some(value) = value {
            self.b.def_var(var, value);
        }
    }

    /// Adds atomically; gives the value before if it is wanted.
    fn add_at(&mut self, at: Mem, step: i64, wanted: bool) -> Option<Value> {
        // Kernels before 5.12 cannot fetch: what is read just before is the best there is.
        let fetch = wanted && self.target.profile.has(bpf_facts::Feature::AtomicFetch);
        let early = if wanted && !fetch { Some(self.b.load(Size::Dw, at.ptr, at.off)) } else { None };
        let value = self.b.iconst(step);
        let inst = self.b.inst(InstData::Atomic {
            op: AtomicOp::Add,
            size: Size::Dw,
            fetch,
            value,
            ptr: at.ptr,
            off: at.off,
        });
        early.or(self.b.func().insts[inst].result)
    }

    /// `delete(@m, k)`: 0, or negative if there was no such key.
    pub(crate) fn map_delete(&mut self, map: MapId, key: Option<&Expr>) -> Value {
        let Some(key) = key else {
            // A map without keys goes back to "never assigned".
            let at = if self.is_per_cpu(map) { None } else { Some(self.scalar_map(map)) };
            if let Some(at) = at {
                let size = self.shared.maps[map.0 as usize].value_size;
                self.zero(at, size);
            } else {
                self.async_map(hark_object::EventKind::Clear(self.shared.map_ref(map)));
            }
            return self.b.iconst(0);
        };
        let key = self.key(Some(key));
        let map = self.map_ref(map);
        let (map, key) = (self.b.map(map), self.address(key));
        self.b.call(HelperId::MAP_DELETE_ELEM, &[map, key])
    }

    /// Number of entries of a map with keys, by walking over them with an empty callback.
    pub(crate) fn count_entries(&mut self, map: MapId) -> Value {
        let span = self.here();
        if !self.require(bpf_facts::Feature::ForEachMapElem, span) {
            return self.b.iconst(0);
        }
        let mut callback = Builder::new("count", &[IrType::Ptr, IrType::Ptr, IrType::Ptr, IrType::Ptr]);
        let go_on = callback.iconst(0);
        callback.ret(go_on);
        let function = self.add_function(callback.finish());
        let map = self.map_ref(map);
        let map = self.b.map(map);
        let function = self.b.value(InstData::FuncAddr(function));
        let (none, flags) = (self.b.iconst(0), self.b.iconst(0));
        self.b.call(HelperId::FOR_EACH_MAP_ELEM, &[map, function, none, flags])
    }
}
