//! `dw_ustack`: user stacks walked by the tables that compilers leave for exceptions, where there are no frame pointers.
//!
//! The program finds for each frame the mapping that its address is in, then the row of the mapping's file that says
//! where the frame ends, both by halving; there are the caller's address and base pointer. The tables are in
//! [`hark_object::unwind`]; the runtime fills them for one process.

use super::stacks::mode_and_depth;
use super::{Builtin, BuiltinCall, CheckError, Doc, call_expr, error, error_with_help};
use crate::lower::{Lower, Mem, Val};
use crate::sema::Checker;
use crate::typed::{Call, CallData, Expr};
use crate::types::Type;
use bpf_facts::{Arch, Feature, HelperId, pt_regs};
use ebpf_asm::{MapRef, Size};
use ebpf_codegen::ir::{BinOp, Cond, Type as IrType, Value};
use hark_diag::{Code, Diagnostic};
use hark_object::Ty;
use hark_object::unwind::{BLOCK_ROWS, BLOCKS, Cfa, MAPPINGS, ROW_SIZE, mapping, row};
use std::ops::RangeInclusive;

pub(super) static ALL: &[&dyn Builtin] = &[&DwUstack];

/// Words of the walk's state: where it is, and how many frames there are.
const IP: i32 = 0;
const SP: i32 = 8;
const BP: i32 = 16;
const FRAMES: i32 = 24;
const STATE_SIZE: u32 = 32;
/// Length of a jump slot, and from which byte on its frame is one word longer.
const SLOT: i64 = 16;
const SLOT_PUSHED: i64 = 11;

/// `dw_ustack`
struct DwUstack;

impl Builtin for DwUstack {
    fn name(&self) -> &'static str {
        "dw_ustack"
    }
    fn doc(&self) -> Doc {
        Doc {
            signature: "dw_ustack, dw_ustack([mode,] [depth])",
            text: "Stack of the process of -p, -c or --dwarf-pid by its unwind tables: works without frame pointers \
                   (x86-64, unstable).",
        }
    }
    fn arity(&self) -> RangeInclusive<usize> {
        0..=2
    }
    fn check(&'static self, cx: &mut Checker<'_>, call: &BuiltinCall<'_>) -> Result<Expr, CheckError> {
        let (mode, depth) = mode_and_depth(cx, call)?;
        match cx.config.unstable_dw_ustack.as_str() {
            "error" => {
                let message = "dw_ustack() is switched off by unstable_dw_ustack";
                return Err(error(Code::BAD_CONFIG, call.span, message));
            }
            "warn" => {
                let message = "dw_ustack() is not stable yet: its form may change";
                let diag = Diagnostic::warning(Code::UNSTABLE, call.span, message)
                    .with_help("set unstable_dw_ustack to \"enable\" to silence this");
                cx.report(diag);
            }
            _ => {}
        }
        let refuse = |message: &str, help: &str| {
            Err(error_with_help(Code::NOT_AVAILABLE_HERE, call.span, message, help))
        };
        if cx.target.profile.arch != Arch::X86_64 {
            return refuse("dw_ustack() is for x86-64", "ustack works here");
        }
        if !cx.options.unwinds {
            return refuse("dw_ustack() needs to know the process", "name it with -p, -c or --dwarf-pid");
        }
        Ok(call_expr(self, Vec::new(), CallData::None, Type::Opaque(Ty::UStack { depth, mode }), call.span))
    }
    fn calls_back(&self) -> bool {
        true
    }
    fn lower(&self, cx: &mut Lower<'_>, _: &Call, ty: &Type, dst: Option<Mem>) -> Val {
        let Type::Opaque(Ty::UStack { depth, .. }) = *ty else { return Val::None };
        let span = cx.here();
        let dst = cx.dst(dst, ty);
        // What is beyond the last frame must be equal for equal stacks: the value may be a key.
        cx.zero(dst, 16 + 8 * depth);
        super::symbols::store_pid(cx, dst.plus(8));
        if depth == 0 {
            return Val::Mem(dst);
        }
        if !cx.require(Feature::BpfLoop, span) {
            return Val::Mem(dst);
        }
        let Some([ip, sp, bp]) = registers(cx) else {
            let message = "programs of this kind cannot read the registers of the process";
            cx.report(Diagnostic::error(Code::NOT_AVAILABLE_HERE, span, message));
            return Val::Mem(dst);
        };
        let slot = cx.b.slot(STATE_SIZE);
        let state = cx.b.slot_addr(slot);
        for (value, at) in [(ip, IP), (sp, SP), (bp, BP)] {
            cx.b.store(Size::Dw, value, state, at);
        }
        let zero = cx.b.iconst(0);
        let first = cx.b.icmp(Cond::Ne, ip, zero);
        cx.b.store(Size::Dw, first, state, FRAMES);
        cx.b.store(Size::Dw, ip, dst.ptr, dst.off + 16);
        // The kernel takes a body out that it sees is never called, and then misses it.
        if depth > 1 {
            let turns = cx.b.iconst(i64::from(depth) - 1);
            let frames = cx.address(dst.plus(16));
            cx.repeat("dw_frame", turns, &[state, frames], |cx, pointers| {
                step(cx, pointers[0], pointers[1], depth);
            });
        }
        let n = cx.b.load(Size::Dw, state, FRAMES);
        cx.b.store(Size::Dw, n, dst.ptr, dst.off);
        Val::Mem(dst)
    }
}

/// Instruction, stack and base pointer of the process.
fn registers(cx: &mut Lower<'_>) -> Option<[Value; 3]> {
    let arch = cx.target.profile.arch;
    let offset = |name| pt_regs(arch, name).map(|at| at as i32);
    let offsets = [offset("ip")?, offset("sp")?, offset("bp")?];
    let context = &cx.unit.context;
    let (base, at) = match context.regs {
        // Probes in code of processes see its registers.
        Some(at) if context.user => (cx.ctx(), at as i32),
        // Elsewhere they are where the kernel saved them when the process entered it.
        _ => {
            cx.target.profile.helper(HelperId::TASK_PT_REGS, context.prog).ok()?;
            let task = cx.current_task()?;
            (cx.b.call(HelperId::TASK_PT_REGS, &[task]), 0)
        }
    };
    Some(offsets.map(|offset| cx.b.load(Size::Dw, base, at + offset)))
}

/// Walks one frame up; stops the loop where nothing is known.
fn step(cx: &mut Lower<'_>, state: Value, frames: Value, depth: u32) {
    let turn = cx.b.param(0);
    let [ip, sp, bp] = [IP, SP, BP].map(|at| cx.b.load(Size::Dw, state, at));
    stop_unless(cx, Cond::Ne, ip, 0);
    // A return address is that of the instruction behind the call, which may be another function's.
    let zero = cx.b.iconst(0);
    let returned = cx.b.icmp(Cond::Ne, turn, zero);
    let pc = cx.b.binary(BinOp::Sub, ip, returned);

    let mappings = cx.shared.unwind_mappings();
    let head = found(cx, mappings, zero);
    let n = cx.b.load(Size::Dw, head, 0);
    let one = cx.b.iconst(1);
    let end = cx.b.binary_imm(BinOp::Add, n, 1);
    let at = last_not_above(cx, one, end, MAPPINGS, |cx, i| {
        let entry = found(cx, mappings, i);
        let start = cx.b.load(Size::Dw, entry, mapping::START);
        (start, pc)
    });
    let entry = found(cx, mappings, at);
    let limit = cx.b.load(Size::Dw, entry, mapping::END);
    stop_unless_values(cx, Cond::Ult, pc, limit);
    let bias = cx.b.load(Size::Dw, entry, mapping::BIAS);
    let address = cx.b.binary(BinOp::Sub, pc, bias);
    let first = cx.b.load(Size::W, entry, mapping::FIRST);
    let last = cx.b.load(Size::W, entry, mapping::LAST);

    let rows = cx.shared.unwind_rows();
    let at = last_not_above(cx, first, last, BLOCKS * BLOCK_ROWS, |cx, i| {
        let row = row_at(cx, rows, i);
        (cx.b.load(Size::W, row, row::ADDRESS), address)
    });
    let row = row_at(cx, rows, at);
    let cfa = frame_end(cx, row, pc, sp, bp);

    let ra = read_word(cx, cfa, -8);
    stop_unless(cx, Cond::Ne, ra, 0);
    let saved = cx.b.load_ext(Size::H, true, row, row::BP_OFFSET);
    let caller = cx.b.declare_var(IrType::I64);
    cx.b.def_var(caller, bp);
    let (restore, next) = (cx.b.create_block(), cx.b.create_block());
    cx.b.branch_nonzero(saved, restore, next);
    cx.b.seal_and_switch(restore);
    let place = cx.b.binary(BinOp::Add, cfa, saved);
    let word = read_word(cx, place, 0);
    cx.b.def_var(caller, word);
    cx.b.jump(next, &[]);
    cx.b.seal_and_switch(next);
    let bp = cx.b.use_var(caller);
    for (value, at) in [(ra, IP), (cfa, SP), (bp, BP)] {
        cx.b.store(Size::Dw, value, state, at);
    }
    let index = cx.b.binary_imm(BinOp::Add, turn, 1);
    stop_unless(cx, Cond::Ult, index, i64::from(depth));
    let offset = cx.b.binary_imm(BinOp::Shl, index, 3);
    let frame = cx.b.ptr_add(frames, offset);
    cx.b.store(Size::Dw, ra, frame, 0);
    let n = cx.b.binary_imm(BinOp::Add, index, 1);
    cx.b.store(Size::Dw, n, state, FRAMES);
}

/// Where the frame ends that `row` is about.
fn frame_end(cx: &mut Lower<'_>, row: Value, pc: Value, sp: Value, bp: Value) -> Value {
    let kind = cx.b.load(Size::B, row, row::CFA);
    let offset = cx.b.load_ext(Size::W, true, row, row::CFA_OFFSET);
    let cfa = cx.b.declare_var(IrType::I64);
    let next = cx.b.create_block();
    let case = |cx: &mut Lower<'_>, of: Cfa, base: Value| {
        let (this, others) = (cx.b.create_block(), cx.b.create_block());
        let wanted = cx.b.iconst(of as i64);
        cx.b.branch(Cond::Eq, kind, wanted, this, others);
        cx.b.seal_and_switch(this);
        let end = cx.b.binary(BinOp::Add, base, offset);
        cx.b.def_var(cfa, end);
        cx.b.jump(next, &[]);
        cx.b.seal_and_switch(others);
    };
    case(cx, Cfa::StackPointer, sp);
    case(cx, Cfa::BasePointer, bp);
    // In a jump slot the number of the function is pushed at the end.
    let within = cx.b.binary_imm(BinOp::And, pc, SLOT - 1);
    let last = cx.b.iconst(SLOT_PUSHED);
    let pushed = cx.b.icmp(Cond::Uge, within, last);
    let word = cx.b.binary_imm(BinOp::Shl, pushed, 3);
    let base = cx.b.binary(BinOp::Add, sp, word);
    case(cx, Cfa::JumpSlot, base);
    let stop = cx.loop_end();
    cx.b.jump(stop, &[]);
    cx.b.seal_and_switch(next);
    cx.b.use_var(cfa)
}

/// The last number from `first` up to before `end` whose value is not above what is looked for; stops the loop if there
/// is none. There are at most `most`. `values` gives both, which are below 2^63.
///
/// By steps of powers of two, without branches on what is found: the verifier walks every path, and each would double
/// their number.
fn last_not_above(
    cx: &mut Lower<'_>,
    first: Value,
    end: Value,
    most: u32,
    mut values: impl FnMut(&mut Lower<'_>, Value) -> (Value, Value),
) -> Value {
    stop_unless_values(cx, Cond::Ult, first, end);
    let (found, step) = (cx.b.declare_var(IrType::I64), cx.b.declare_var(IrType::I64));
    let before = cx.b.binary_imm(BinOp::Sub, first, 1);
    cx.b.def_var(found, before);
    let longest = cx.b.iconst(i64::from(most.next_power_of_two() / 2));
    cx.b.def_var(step, longest);
    let last = cx.b.binary_imm(BinOp::Sub, end, 1);
    let (head, inside, done) = (cx.b.create_block(), cx.b.create_block(), cx.b.create_block());
    cx.b.jump(head, &[]);
    cx.b.switch_to(head);
    let by = cx.b.use_var(step);
    cx.b.branch_nonzero(by, inside, done);
    cx.b.seal_and_switch(inside);
    let at = cx.b.use_var(found);
    let next = cx.b.binary(BinOp::Add, at, by);
    // What lies beyond the end is not looked at: the last one is, in its place.
    let beyond = negative(cx, last, next);
    let instead = between(cx, next, last, beyond);
    let (value, wanted) = values(cx, instead);
    let above = negative(cx, wanted, value);
    let stays = cx.b.binary(BinOp::Or, above, beyond);
    let at = between(cx, next, at, stays);
    cx.b.def_var(found, at);
    let shorter = cx.b.binary_imm(BinOp::Lshr, by, 1);
    cx.b.def_var(step, shorter);
    cx.b.jump(head, &[]);
    cx.b.seal(head);
    cx.b.seal_and_switch(done);
    let at = cx.b.use_var(found);
    let behind = cx.b.binary_imm(BinOp::Add, at, 1);
    stop_unless_values(cx, Cond::Ugt, behind, first);
    at
}

/// All ones if `a - b` is negative, else 0.
fn negative(cx: &mut Lower<'_>, a: Value, b: Value) -> Value {
    let difference = cx.b.binary(BinOp::Sub, a, b);
    cx.b.binary_imm(BinOp::Ashr, difference, 63)
}

/// `b` where the mask is all ones, `a` where it is 0.
fn between(cx: &mut Lower<'_>, a: Value, b: Value, mask: Value) -> Value {
    let both = cx.b.binary(BinOp::Xor, a, b);
    let changed = cx.b.binary(BinOp::And, both, mask);
    cx.b.binary(BinOp::Xor, a, changed)
}

/// Row number `i`.
fn row_at(cx: &mut Lower<'_>, rows: MapRef, i: Value) -> Value {
    let block = cx.b.binary_imm(BinOp::Lshr, i, i64::from(BLOCK_ROWS.trailing_zeros()));
    let within = cx.b.binary_imm(BinOp::And, i, i64::from(BLOCK_ROWS) - 1);
    let offset = cx.b.binary_imm(BinOp::Shl, within, i64::from(ROW_SIZE.trailing_zeros()));
    let block = found(cx, rows, block);
    cx.b.ptr_add(block, offset)
}

/// The entry of an array; stops the loop if there is none.
fn found(cx: &mut Lower<'_>, map: MapRef, index: Value) -> Value {
    let key = cx.new_bytes(4);
    cx.b.store(Size::W, index, key.ptr, key.off);
    let (map, key) = (cx.b.map(map), cx.address(key));
    let entry = cx.b.call(HelperId::MAP_LOOKUP_ELEM, &[map, key]);
    let (next, stop) = (cx.b.create_block(), cx.loop_end());
    cx.b.branch_nonzero(entry, next, stop);
    cx.b.seal_and_switch(next);
    entry
}

/// A word of the process's stack; stops the loop if it cannot be read.
fn read_word(cx: &mut Lower<'_>, address: Value, off: i64) -> Value {
    let at = cx.new_bytes(8);
    let (to, len) = (cx.address(at), cx.b.iconst(8));
    let from = cx.b.binary_imm(BinOp::Add, address, off);
    let failed = cx.b.call(HelperId::PROBE_READ_USER, &[to, len, from]);
    let (next, stop) = (cx.b.create_block(), cx.loop_end());
    cx.b.branch_nonzero(failed, stop, next);
    cx.b.seal_and_switch(next);
    cx.b.load(Size::Dw, at.ptr, at.off)
}

fn stop_unless(cx: &mut Lower<'_>, cond: Cond, value: Value, than: i64) {
    let than = cx.b.iconst(than);
    stop_unless_values(cx, cond, value, than);
}

fn stop_unless_values(cx: &mut Lower<'_>, cond: Cond, value: Value, than: Value) {
    let (next, stop) = (cx.b.create_block(), cx.loop_end());
    cx.b.branch(cond, value, than, next, stop);
    cx.b.seal_and_switch(next);
}
