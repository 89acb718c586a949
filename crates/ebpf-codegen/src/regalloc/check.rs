//! Judges an allocation: runs the allocated code on symbols instead of numbers.
//!
//! The state says for each register and spill slot which values of the machine IR it is known to hold (several,
//! when copies were made). Added instructions move symbols about, calls forget `R0`–`R5`, a definition takes its
//! value out of every other place. Where paths meet, only what is known on all of them remains. An operand must be
//! found in the register that the allocation names; block parameters take the symbols of their arguments.
//!
//! Nothing of the allocator is used here. The idea is that of regalloc2's checker.

use super::{Allocation, BlockAllocation, Edit, Operands, Point, SpillSlot};
use crate::mir::{Arg, BlockId, Const, Function, Inst, Term, VReg};
use ebpf_asm::Reg;
use std::fmt;

/// Something wrong with an allocation: always a bug of the allocator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckError {
    /// Block.
    pub block: BlockId,
    /// Instruction in the block; the terminator counts as the last.
    pub inst: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} instruction {}: {}", self.block, self.inst, self.message)
    }
}

/// What a place may be known to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Symbol {
    Value(VReg),
    Const(Const),
    Off(VReg, i32),
}

/// Sets of symbols per place; `R0`–`R9`, then spill slots.
#[derive(Clone, PartialEq, Eq)]
struct State {
    places: Vec<Vec<Symbol>>,
}

const N_REGS: usize = 10;

impl State {
    fn reg(&mut self, r: Reg) -> &mut Vec<Symbol> {
        &mut self.places[usize::from(r.index())]
    }

    fn slot(&mut self, s: SpillSlot) -> Option<&mut Vec<Symbol>> {
        self.places.get_mut(N_REGS + s.0 as usize)
    }

    fn define(&mut self, v: VReg) {
        for place in &mut self.places {
            place.retain(|s| !matches!(s, Symbol::Value(x) | Symbol::Off(x, _) if *x == v));
        }
    }

    /// Keeps what `other` knows too; whether anything was lost.
    fn meet(&mut self, other: &State) -> bool {
        let mut changed = false;
        for (a, b) in self.places.iter_mut().zip(&other.places) {
            let n = a.len();
            a.retain(|s| b.contains(s));
            changed |= a.len() != n;
        }
        changed
    }
}

/// The faults of an allocation; empty if it is right.
pub fn check(f: &Function, allocation: &Allocation) -> Vec<CheckError> {
    let mut c = Checker {
        f,
        consts: f.consts(),
        errors: Vec::new(),
        block: 0,
        inst: 0,
        slots: allocation.spill_slots,
    };
    if allocation.blocks.len() != f.blocks.len() {
        c.fault("the allocation is of another function");
        return c.errors;
    }
    for (b, a) in allocation.blocks.iter().enumerate() {
        if a.operands.len() != f.blocks[b].insts.len() + 1 {
            c.block = b;
            c.fault("not every instruction has operands");
            return c.errors;
        }
        if !a.edits.is_sorted_by_key(|e| e.0) {
            c.block = b;
            c.fault("edits are out of order");
        }
    }
    let empty = State { places: vec![Vec::new(); N_REGS + allocation.spill_slots as usize] };
    let mut entry: Vec<Option<State>> = vec![None; f.blocks.len()];
    let mut first = empty;
    for (i, &p) in f.blocks[0].params.iter().enumerate() {
        first.places[i + 1].push(Symbol::Value(p));
    }
    entry[0] = Some(first);
    // To the fixed point without complaints, then once more with.
    let mut work = vec![0usize];
    while let Some(b) = work.pop() {
        let mut state = entry[b].clone().expect("a block in the list has a state");
        c.errors.clear();
        c.run(b, &allocation.blocks[b], &mut state);
        for to in f.blocks[b].term.targets() {
            let arriving = c.across(b, to, state.clone());
            match &mut entry[to.index()] {
                Some(known) => {
                    if known.meet(&arriving) {
                        work.push(to.index());
                    }
                }
                none => {
                    *none = Some(arriving);
                    work.push(to.index());
                }
            }
        }
    }
    c.errors.clear();
    for (b, state) in entry.into_iter().enumerate() {
        if let Some(mut state) = state {
            c.run(b, &allocation.blocks[b], &mut state);
        }
    }
    c.errors
}

struct Checker<'a> {
    f: &'a Function,
    consts: Vec<Option<Const>>,
    errors: Vec<CheckError>,
    block: usize,
    inst: usize,
    slots: u32,
}

impl Checker<'_> {
    fn fault(&mut self, message: impl Into<String>) {
        let message = message.into();
        self.errors.push(CheckError { block: BlockId(self.block as u32), inst: self.inst, message });
    }

    fn run(&mut self, b: usize, a: &BlockAllocation, state: &mut State) {
        let block = &self.f.blocks[b];
        self.block = b;
        self.inst = 0;
        let mut edits = a.edits.iter().peekable();
        let mut up_to = |this: &mut Self, state: &mut State, point: Point| {
            while let Some((_, edit)) = edits.next_if(|e| e.0 <= point) {
                this.edit(*edit, state);
            }
        };
        for (i, node) in block.insts.iter().enumerate() {
            self.inst = i;
            up_to(self, state, Point::before(i));
            self.inst(&node.inst, &a.operands[i], state);
            up_to(self, state, Point::after(i));
        }
        self.inst = block.insts.len();
        up_to(self, state, Point::before(self.inst));
        self.term(&block.term, &a.operands[self.inst], state);
        up_to(self, state, Point::after(self.inst));
    }

    fn edit(&mut self, edit: Edit, state: &mut State) {
        match edit {
            Edit::Move { to, from } => {
                if state.reg(from).is_empty() {
                    self.fault(format!("r{} is moved, but holds nothing", from.index()));
                }
                *state.reg(to) = state.reg(from).clone();
            }
            Edit::Spill { slot, from } => {
                let symbols = state.reg(from).clone();
                match state.slot(slot) {
                    Some(place) => *place = symbols,
                    None => self.fault(format!("there are {} spill slots", self.slots)),
                }
            }
            Edit::Reload { to, slot } => match state.slot(slot).cloned() {
                Some(symbols) if !symbols.is_empty() => *state.reg(to) = symbols,
                Some(_) => self.fault(format!("slot {} is loaded, but holds nothing", slot.0)),
                None => self.fault(format!("there are {} spill slots", self.slots)),
            },
            Edit::Make { to, value } => *state.reg(to) = vec![Symbol::Const(value)],
            Edit::SpillImm { slot, imm } => match state.slot(slot) {
                Some(place) => *place = vec![Symbol::Const(Const::Imm(i64::from(imm)))],
                None => self.fault(format!("there are {} spill slots", self.slots)),
            },
            Edit::Add { reg, imm } => {
                let consts = &self.consts;
                let moved = state.reg(reg).iter().filter_map(|s| match *s {
                    Symbol::Value(v) => match consts[v.index()] {
                        Some(c) => plus(c, imm).map(Symbol::Const),
                        None => Some(Symbol::Off(v, imm)),
                    },
                    Symbol::Off(v, off) => Some(Symbol::Off(v, off.checked_add(imm)?)),
                    Symbol::Const(c) => plus(c, imm).map(Symbol::Const),
                });
                let moved = moved.collect();
                *state.reg(reg) = moved;
            }
        }
    }

    fn holds(&self, place: &[Symbol], want: Symbol) -> bool {
        let as_const = match want {
            Symbol::Value(v) => self.consts[v.index()].map(Symbol::Const),
            Symbol::Off(v, off) => self.consts[v.index()].and_then(|c| plus(c, off)).map(Symbol::Const),
            Symbol::Const(_) => None,
        };
        place.iter().any(|s| *s == want || Some(*s) == as_const)
    }

    fn want(&mut self, state: &mut State, r: Option<Reg>, v: VReg) {
        let Some(r) = r else { return self.fault(format!("{v} has no register")) };
        if r == Reg::R10 {
            return self.fault("r10 is not for values");
        }
        if !self.holds(state.reg(r), Symbol::Value(v)) {
            let found = state.reg(r).clone();
            self.fault(format!("{v} is wanted in r{}, which holds {found:?}", r.index()));
        }
    }

    fn want_arg(&mut self, state: &mut State, r: u8, arg: Arg) {
        let want = symbol(arg);
        let place = &state.places[usize::from(r)];
        if !self.holds(place, want) {
            let message = format!("{want:?} is wanted in r{r}, which holds {place:?}");
            self.fault(message);
        }
    }

    fn inst(&mut self, inst: &Inst, operands: &Operands, state: &mut State) {
        if let Inst::Const { .. } = inst {
            return;
        }
        if let Inst::Call { args, ret, .. } = inst {
            for (n, arg) in args.iter().enumerate() {
                self.want_arg(state, n as u8 + 1, *arg);
            }
            for place in &mut state.places[0..6] {
                place.clear();
            }
            if let Some(ret) = ret {
                state.define(*ret);
                state.places[0] = vec![Symbol::Value(*ret)];
            }
            return;
        }
        let mut uses = Vec::with_capacity(4);
        inst.for_each_use(|v| uses.push(v));
        for (n, v) in uses.iter().enumerate() {
            self.want(state, operands.uses[n], *v);
        }
        let Some(dst) = inst.def() else { return };
        let Some(r) = operands.def.filter(|r| *r != Reg::R10) else {
            return self.fault(format!("{dst} has no register"));
        };
        let at = |n: usize| operands.uses.get(n).copied().flatten();
        if inst.tied().is_some() {
            let swapped = inst.commutes().is_some() && at(1) == Some(r);
            if at(0) != Some(r) && !swapped {
                self.fault(format!("{dst} is in r{}, but its operand is not", r.index()));
            }
            // A copied left operand must not have overwritten the right one.
        } else if matches!(inst, Inst::Select { .. }) && operands.uses.contains(&Some(r)) {
            self.fault(format!("{dst} overwrites r{} before it is read", r.index()));
        }
        state.define(dst);
        *state.reg(r) = vec![Symbol::Value(dst)];
    }

    fn term(&mut self, term: &Term, operands: &Operands, state: &mut State) {
        match term {
            Term::Branch { lhs, rhs, .. } => {
                self.want(state, operands.uses[0], *lhs);
                if let Some(rhs) = rhs.reg() {
                    self.want(state, operands.uses[1], rhs);
                }
            }
            Term::Exit(arg) => self.want_arg(state, 0, *arg),
            Term::Jump { .. } => {}
        }
    }

    /// The state at the start of `to`: each parameter is where its argument is. The parameters' old values (from
    /// the turn before, in a loop) are gone.
    fn across(&self, from: usize, to: BlockId, mut state: State) -> State {
        let params = &self.f.blocks[to.index()].params;
        let Term::Jump { args, .. } = &self.f.blocks[from].term else { return state };
        for place in &mut state.places {
            let mut new: Vec<Symbol> = place
                .iter()
                .copied()
                .filter(|s| !matches!(s, Symbol::Value(v) | Symbol::Off(v, _) if params.contains(v)))
                .collect();
            for (&p, &arg) in params.iter().zip(args) {
                if self.holds(place, symbol(arg)) {
                    new.push(Symbol::Value(p));
                }
            }
            *place = new;
        }
        state
    }
}

fn symbol(arg: Arg) -> Symbol {
    match arg {
        Arg::Reg(v) | Arg::Off(v, 0) => Symbol::Value(v),
        Arg::Off(v, off) => Symbol::Off(v, off),
        Arg::Const(c) => Symbol::Const(c),
    }
}

fn plus(c: Const, off: i32) -> Option<Const> {
    match c {
        _ if off == 0 => Some(c),
        Const::Imm(n) => Some(Const::Imm(n.wrapping_add(i64::from(off)))),
        Const::Frame(at) => Some(Const::Frame(at.checked_add(off)?)),
        Const::MapValue(map, at) => Some(Const::MapValue(map, at.checked_add_signed(off)?)),
        Const::Map(_) | Const::Func(_) | Const::BtfVar(_) => None,
    }
}
