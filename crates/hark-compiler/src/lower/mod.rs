//! From the typed tree to IR.
//!
//! Scalars are SSA values, integers always extended to 64 bit by the sign of their type. Everything else lies in
//! memory and is written where it is wanted: an argument of `printf` goes straight into the ring buffer's record, a
//! part of a key straight into the key.

mod access;
mod aggregate;
mod closure;
mod compare;
mod events;
mod expr;
mod loops;
mod maps;
mod mem;
mod shared;
mod stmt;
mod task;
mod uses;

pub(crate) use access::Place;
pub(crate) use mem::{Mem, Val, is_signed, scalar_size};
pub(crate) use shared::Shared;
pub(crate) use uses::Uses;

use crate::ctypes::CTypes;
use crate::target::{Options, Target};
use crate::typed::{TypedScript, Unit, VarId};
use crate::types::Type;
use bpf_facts::HelperId;
use ebpf_asm::SrcLoc;
use ebpf_codegen::ir::{
    Block, Builder, Cond, FuncRef, Function, InstData, Module, SlotId, Type as IrType, Value, Variable,
};
use hark_diag::{Code, Diagnostic, Span};
use hark_object::Loss;

/// Everything that lowering makes.
pub(crate) struct Lowered {
    /// One module per unit, in order.
    pub modules: Vec<Module>,
    /// Maps, events, source positions.
    pub shared: Shared,
    /// What the target's kernel cannot do.
    pub diags: Vec<Diagnostic>,
}

/// Lowers a script.
pub(crate) fn lower(script: &TypedScript, types: &CTypes, target: &Target, options: &Options) -> Lowered {
    let mut shared = Shared::new(script, types);
    let mut diags = Vec::new();
    let modules: Vec<Module> = script
        .units
        .iter()
        .enumerate()
        .map(|(i, unit)| {
            let mut lower = Lower::new(i as u32, unit, script, types, target, options, &mut shared);
            lower.program();
            let (module, more) = lower.finish();
            diags.extend(more);
            module
        })
        .collect();
    shared.settle();
    Lowered { modules, shared, diags }
}

/// Where a scratch variable lives.
#[derive(Clone, Copy)]
enum Storage {
    Scalar(Variable),
    Memory(SlotId),
    /// In memory of the function that this one is called back for.
    Far(Value),
}

/// Lowers one program. Builtins see it as their context.
pub struct Lower<'a> {
    /// The function being built.
    pub b: Builder,
    pub(crate) types: &'a CTypes,
    pub(crate) target: &'a Target,
    pub(crate) options: &'a Options,
    pub(crate) unit: &'a Unit,
    pub(crate) script: &'a TypedScript,
    pub(crate) shared: &'a mut Shared,
    program: u32,
    storage: Vec<Storage>,
    /// The program's context.
    ctx: Value,
    /// In a function that is called back: what it shares with the code around it.
    capture: Option<Value>,
    /// Pointers of the context that were looked at on entry, by their offsets.
    objects: Vec<(u32, Value)>,
    /// Uses of variables in the whole program.
    totals: Uses,
    /// Where `continue` and `break` go.
    loops: Vec<(Block, Block)>,
    /// The generation of each map that keeps them, read when the function began.
    generations: Vec<Option<Value>>,
    others: Vec<Function>,
    diags: Vec<Diagnostic>,
}

impl<'a> Lower<'a> {
    fn new(
        program: u32,
        unit: &'a Unit,
        script: &'a TypedScript,
        types: &'a CTypes,
        target: &'a Target,
        options: &'a Options,
        shared: &'a mut Shared,
    ) -> Self {
        let name = unit.probes.first().map_or("program", |(_, name, _)| name.as_str());
        let b = Builder::new(name, &[IrType::Ptr]);
        let ctx = b.param(0);
        let mut totals = Uses::of_block(&unit.body);
        unit.predicate.iter().for_each(|e| totals.add(e));
        let mut lower = Self {
            b,
            types,
            target,
            options,
            unit,
            script,
            shared,
            program,
            storage: Vec::new(),
            ctx,
            capture: None,
            objects: Vec::new(),
            totals,
            loops: Vec::new(),
            generations: Vec::new(),
            others: Vec::new(),
            diags: Vec::new(),
        };
        lower.storage = lower.fresh_storage();
        lower.generations = lower.read_generations();
        lower
    }

    /// A place in the current function for every variable of the unit.
    fn fresh_storage(&mut self) -> Vec<Storage> {
        let unit = self.unit;
        unit.vars
            .iter()
            .enumerate()
            .map(|(i, var)| {
                let id = VarId(i as u32);
                if var.ty.is_scalar() && !self.totals.addressed.contains(&id) {
                    let ty = if is_pointer_value(&var.ty) { IrType::Ptr } else { IrType::I64 };
                    Storage::Scalar(self.b.declare_var(ty))
                } else {
                    Storage::Memory(self.b.slot(var.ty.ty(self.types).layout().size + 8))
                }
            })
            .collect()
    }

    fn program(&mut self) {
        if let Some(span) = self.unit.probes.first().map(|(_, _, span)| *span) {
            self.set_span(span);
        }
        let done = self.b.create_block();
        self.find_objects(done);
        if let Some(pid) = self.pid_filter() {
            let mine = self.b.create_block();
            let tgid = crate::builtins::current_tgid(self);
            let want = self.b.iconst(i64::from(pid));
            self.b.branch(Cond::Eq, tgid, want, mine, done);
            self.b.seal_and_switch(mine);
        }
        if let Some(predicate) = &self.unit.predicate {
            let body = self.b.create_block();
            self.set_span(predicate.span);
            self.condition(predicate, body, done);
            self.b.seal_and_switch(body);
        }
        self.block(&self.unit.body);
        self.b.jump(done, &[]);
        self.b.seal_and_switch(done);
        let zero = self.b.iconst(0);
        self.b.ret(zero);
    }

    /// Loads the objects of an iterator's context, once: the verifier knows of a loaded pointer that it is not null, not
    /// of the place it was loaded from. Without objects there is nothing to do.
    fn find_objects(&mut self, done: Block) {
        for offset in &self.unit.context.objects {
            let object = self.b.value(InstData::LoadPtr { ptr: self.ctx, off: *offset as i32 });
            let there = self.b.create_block();
            let null = self.b.iconst(0);
            self.b.branch(Cond::Ne, object, null, there, done);
            self.b.seal_and_switch(there);
            self.objects.push((*offset, object));
        }
    }

    /// The process to look at, where the kernel does not filter by itself.
    fn pid_filter(&self) -> Option<u32> {
        let context = &self.unit.context;
        let special =
            matches!(context.probe_type, "special" | "self" | "test" | "bench" | "interval" | "iter");
        self.options.pid_filter.filter(|_| !special && !context.filters_pid)
    }

    fn finish(self) -> (Module, Vec<Diagnostic>) {
        let mut module = Module::default();
        module.functions.push(self.b.finish());
        for function in self.others {
            module.functions.push(function);
        }
        (module, self.diags)
    }

    /// Adds a function that helpers call back.
    pub(crate) fn add_function(&mut self, function: Function) -> FuncRef {
        self.others.push(function);
        FuncRef::new(self.others.len())
    }

    /// Says what the kernel lacks; the code after it does not matter.
    pub(crate) fn unsupported(&mut self, what: &bpf_facts::Unsupported, span: Span) {
        let message = format!("{what}; this one is {}", self.target.profile.version);
        self.diags.push(Diagnostic::error(Code::NEEDS_KERNEL, span, message));
    }

    /// Requires a feature of the kernel.
    pub(crate) fn require(&mut self, feature: bpf_facts::Feature, span: Span) -> bool {
        match self.target.profile.require(feature) {
            Ok(()) => true,
            Err(what) => {
                self.unsupported(&what, span);
                false
            }
        }
    }

    /// Reports anything else that only shows here.
    pub(crate) fn report(&mut self, diag: Diagnostic) {
        self.diags.push(diag);
    }

    /// Source position of what follows.
    pub(crate) fn set_span(&mut self, span: Span) {
        let loc: SrcLoc = self.shared.loc(span);
        self.b.set_loc(loc);
    }

    /// The place in the script that is being lowered.
    pub(crate) fn here(&self) -> Span {
        self.shared.locs[self.b.loc().0 as usize]
    }

    /// The context pointer.
    pub(crate) fn ctx(&self) -> Value {
        self.ctx
    }

    fn storage(&self, var: VarId) -> Storage {
        self.storage[var.0 as usize]
    }

    /// The value of a variable that is a scalar.
    fn read_var(&mut self, var: VarId) -> Value {
        if let Storage::Scalar(variable) = self.storage(var) {
            return self.b.use_var(variable);
        }
        let ty = self.unit.vars[var.0 as usize].ty.clone();
        match self.variable_memory(var) {
            Some(mem) => self.load_any(mem, &ty),
            None => self.b.iconst(0),
        }
    }

    /// Gives a variable that is a scalar another value.
    fn write_var(&mut self, var: VarId, value: Value) {
        if let Storage::Scalar(variable) = self.storage(var) {
            return self.b.def_var(variable, value);
        }
        let ty = self.unit.vars[var.0 as usize].ty.clone();
        if let Some(mem) = self.variable_memory(var) {
            // A pointer stays one.
            self.b.store(scalar_size(&ty), value, mem.ptr, mem.off);
        }
    }

    /// The memory of a variable that has one: it is no scalar, or its address is taken.
    fn variable_memory(&mut self, var: VarId) -> Option<Mem> {
        match self.storage(var) {
            Storage::Scalar(_) => None,
            Storage::Memory(slot) => Some(Mem::at(self.b.slot_addr(slot))),
            Storage::Far(ptr) => Some(Mem::at(ptr)),
        }
    }

    /// Counts a loss, in the current block.
    pub(crate) fn count_loss(&mut self, loss: Loss) {
        let offset = loss.row(self.program) * 8;
        let map = self.shared.losses(self.script.units.len() as u32);
        let ptr = self.b.value(InstData::MapValueAddr(map, offset));
        self.add_one(ptr);
    }

    /// Counts a loss, and tells of it, if `result`, as the helper returned it, is negative.
    pub(crate) fn report_if_failed(&mut self, result: Value, loss: Loss, helper: HelperId) {
        let failed = self.b.create_cold_block();
        let next = self.b.create_block();
        let zero = self.b.iconst(0);
        self.b.branch(Cond::Slt, result, zero, failed, next);
        self.b.seal_and_switch(failed);
        self.report_failure(result, Some(loss), helper);
        self.b.jump(next, &[]);
        self.b.seal_and_switch(next);
    }
}

/// Whether values of the type are pointers in the verifier's sense.
pub(crate) fn is_pointer_value(ty: &Type) -> bool {
    matches!(ty, Type::Ptr(_, crate::types::Space::Trusted | crate::types::Space::Own))
}
