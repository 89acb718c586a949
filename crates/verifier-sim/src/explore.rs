//! Walks every path of a program, as the kernel does: depth first, the fall-through of a branch before its target.
//!
//! At prune points the state is compared with those verified there before, and now and then remembered: a checkpoint.
//! When states are remembered decides how much is walked, and so which programs exceed the limit; the heuristics are
//! the kernel's.

use crate::env::Env;
use crate::precise::{Linked, Step};
use crate::prune::{Compare, Exact, iterators_moved, may_be_looping};
use crate::rules::{Check, Rule};
use crate::state::{CheckpointId, Flags, Frame, Kind, Slot, State};
use crate::states::States;
use crate::transfer::Ordering;
use crate::{LogLine, Options, Stats, Stop};
use bpf_facts::MapType;
use ebpf_asm::{Insn, InsnIdx, Operand};

/// What a remembered state counts, besides one for each reference in it: loops that acquire and never release make the
/// states longer and longer.
const KEPT_STATE: u64 = 64;
/// Most that is remembered, some hundred megabytes.
const MOST_KEPT: u64 = 1 << 25;

/// A remembered state.
pub(crate) struct Checkpoint {
    pub(crate) st: State,
    /// Where it was remembered.
    pub(crate) insn: u32,
    /// Paths from here that are not walked to their end.
    branches: u32,
    hits: u32,
    misses: u32,
    /// Still compared with.
    listed: bool,
    /// Other states' loops lead here.
    loop_head: bool,
    /// What its paths did not read is forgotten.
    cleaned: bool,
}

/// A path to be walked later.
struct Pending {
    st: State,
    pc: u32,
    prev: Option<u32>,
}

/// Where control goes after an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// To the next instruction.
    Next,
    /// Elsewhere.
    To(u32),
    /// The path ends.
    End,
}

/// What is known of a pointer register's use at an instruction, over all paths.
pub(crate) type PtrUse = Option<(Kind, Flags)>;

/// The walk.
pub(crate) struct Walk<'a> {
    pub(crate) env: &'a Env<'a>,
    /// The state of the current path.
    pub(crate) st: State,
    /// The current instruction.
    pub(crate) pc: u32,
    /// The one before it on this path.
    pub(crate) prev: Option<u32>,
    pending: Vec<Pending>,
    arena: Vec<Option<Box<Checkpoint>>>,
    unused: Vec<u32>,
    explored: Vec<Vec<CheckpointId>>,
    pub(crate) history: Vec<Step>,
    /// The current instruction has an entry in `history`.
    step_open: bool,
    last_id: u32,
    processed: u64,
    jumps: u64,
    /// How much was remembered, see [`MOST_KEPT`].
    kept: u64,
    jumps_at_checkpoint: u64,
    processed_at_checkpoint: u64,
    pub(crate) ptr_uses: Vec<PtrUse>,
    /// Which instructions were walked.
    pub(crate) seen: Vec<bool>,
    /// Deepest stack use of each subprogram, in bytes.
    pub(crate) depths: Vec<u32>,
    /// Which subprograms are called back.
    pub(crate) is_callback: Vec<bool>,
    /// Which global functions are called.
    pub(crate) called_global: Vec<bool>,
    /// Something that may be refused for reasons that are not known here; the walk goes on.
    pub(crate) doubt: Option<(InsnIdx, String)>,
    pub(crate) stats: Stats,
    pub(crate) states: Option<States>,
    pub(crate) log: Option<Vec<LogLine>>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(env: &'a Env<'a>, options: &Options) -> Walk<'a> {
        let n = env.p.insns.len();
        Walk {
            env,
            st: State::new(Frame::new(0, u32::MAX, 0)),
            pc: 0,
            prev: None,
            pending: Vec::new(),
            arena: Vec::new(),
            unused: Vec::new(),
            explored: vec![Vec::new(); n],
            history: Vec::new(),
            step_open: false,
            last_id: 0,
            processed: 0,
            jumps: 0,
            kept: 0,
            jumps_at_checkpoint: 0,
            processed_at_checkpoint: 0,
            ptr_uses: vec![None; n],
            seen: vec![false; n],
            depths: vec![0; env.cfg.subprogs.len()],
            is_callback: vec![false; env.cfg.subprogs.len()],
            called_global: vec![false; env.cfg.subprogs.len()],
            doubt: env.doubt.clone().map(|what| (InsnIdx(0), what)),
            stats: Stats::default(),
            states: options
                .record
                .then(|| States::new(env.cfg.points.iter().map(|point| point.live).collect())),
            log: options.log.then(Vec::new),
        }
    }

    /// A number for what is equal, or NULL, together.
    pub(crate) fn new_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    /// Walks all paths from `frame` at `entry`.
    pub(crate) fn run(&mut self, entry: u32, frame: Frame) -> Check {
        self.st = State::new(frame);
        self.st.first_insn = entry;
        self.pc = entry;
        self.prev = None;
        self.history.clear();
        self.arena.clear();
        self.unused.clear();
        self.explored.iter_mut().for_each(Vec::clear);
        loop {
            self.step_open = false;
            self.processed += 1;
            if self.processed > u64::from(self.env.profile.limits.processed) {
                return Err(Rule::Complexity.reject(
                    &[],
                    format!("more than {} instructions had to be walked", self.env.profile.limits.processed),
                ));
            }
            self.st.last_insn = self.prev;
            let point = self.env.cfg.points[self.pc as usize];
            if point.prune && self.visited()? {
                if !self.next_path() {
                    return Ok(());
                }
                continue;
            }
            if point.jump {
                self.open_step();
            }
            if let Some(states) = &mut self.states {
                states.record(InsnIdx(self.pc), self.st.cur());
            }
            self.write_log();
            self.prev = Some(self.pc);
            self.seen[self.pc as usize] = true;
            match self.step()? {
                Flow::Next => self.pc += 1,
                Flow::To(pc) => self.pc = pc,
                Flow::End => {
                    if !self.next_path() {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn step(&mut self) -> Check<Flow> {
        let insn = self.env.p.insns[self.pc as usize];
        crate::rules::instruction_known::check(self.env, &insn)?;
        crate::rules::instruction_known::check_fields(self.env, InsnIdx(self.pc))?;
        if matches!(
            insn,
            Insn::Jump { .. } | Insn::JumpIf { .. } | Insn::MayGoto { .. } | Insn::Call(_) | Insn::Exit
        ) {
            self.jumps += 1;
        }
        match insn {
            Insn::Alu { w, op, dst, src } => self.alu(w, op, dst, src),
            Insn::MovSx { w, from, dst, src } => self.move_extended(w, from, dst, src),
            Insn::Neg { w, dst } => self.negate(w, dst),
            Insn::Swap { op, bits, dst } => self.swap(op, bits, dst),
            Insn::Load { size, sext, dst, base, off } => self.load(size, sext, dst, base, off),
            Insn::Store { size, base, off, src } => self.store(size, base, off, src),
            Insn::Atomic { size, op, fetch, base, off, src } => self.atomic(size, op, fetch, base, off, src),
            Insn::LoadAcquire { size, dst, base, off } => {
                self.load_with(size, false, dst, base, off, Ordering::Atomic)
            }
            Insn::StoreRelease { size, base, off, src } => {
                self.store_with(size, base, off, Operand::Reg(src), Ordering::Atomic)
            }
            Insn::CastAddrSpace { src, .. } => {
                self.read(src)?;
                if self.env.maps.iter().any(|m| m.shape.ty == MapType::Arena) {
                    return self.unsure("an arena");
                }
                Err(Rule::InstructionKnown
                    .reject(&[src], "address spaces are for programs that use an arena"))
            }
            Insn::LoadPacket { index, .. } => self.load_packet(index),
            Insn::LoadImm64 { dst, imm } => self.load_imm64(dst, imm),
            Insn::Jump { to } => Ok(Flow::To(to.0)),
            Insn::JumpIf { w, cond, lhs, rhs, to } => self.jump_if(w, cond, lhs, rhs, to.0),
            Insn::MayGoto { to } => self.may_goto(to.0),
            Insn::Call(callee) => self.call(callee),
            Insn::Exit => self.exit(),
        }
    }

    // ---- paths

    /// Puts the current state, to continue at `pc`, aside; returns it for changes.
    pub(crate) fn fork(&mut self, pc: u32) -> Check<&mut State> {
        if self.pending.len() as u32 >= self.env.profile.limits.jumps {
            return Err(Rule::Complexity.reject(
                &[],
                format!("more than {} branches wait to be walked", self.env.profile.limits.jumps),
            ));
        }
        if let Some(parent) = self.st.parent {
            self.checkpoint_mut(parent).branches += 1;
        }
        let mut st = self.st.clone();
        st.loop_entry = None;
        self.pending.push(Pending { st, pc, prev: Some(self.pc) });
        self.stats.max_pending = self.stats.max_pending.max(self.pending.len() as u32);
        Ok(&mut self.pending.last_mut().expect("just pushed").st)
    }

    /// The state just put aside, for changes; [`put_fork`](Self::put_fork) returns it.
    pub(crate) fn take_fork(&mut self) -> State {
        let empty = State::new(Frame::new(0, u32::MAX, 0));
        let pending = self.pending.last_mut().expect("a path was put aside");
        std::mem::replace(&mut pending.st, empty)
    }

    /// See [`take_fork`](Self::take_fork).
    pub(crate) fn put_fork(&mut self, st: State) {
        self.pending.last_mut().expect("a path was put aside").st = st;
    }

    /// Ends the current path and takes up the last one put aside; `false` if there is none.
    fn next_path(&mut self) -> bool {
        self.path_done();
        self.stats.paths += 1;
        let Some(next) = self.pending.pop() else { return false };
        self.st = next.st;
        self.pc = next.pc;
        self.prev = next.prev;
        self.history.truncate(self.st.history.1 as usize);
        true
    }

    /// One path less from every checkpoint on the way, until one has others.
    fn path_done(&mut self) {
        let (mut parent, mut entry) = (self.st.parent, self.st.loop_entry);
        while let Some(id) = parent {
            let depth = self.checkpoint(id).st.depth;
            if let Some(head) = entry.filter(|head| self.checkpoint(*head).st.depth <= depth) {
                self.set_loop_entry(id, head);
            }
            let checkpoint = self.checkpoint_mut(id);
            checkpoint.branches -= 1;
            if checkpoint.branches > 0 {
                break;
            }
            (parent, entry) = (checkpoint.st.parent, checkpoint.st.loop_entry);
            if !checkpoint.listed && !checkpoint.loop_head {
                self.arena[id.0 as usize] = None;
                self.unused.push(id.0);
            }
        }
    }

    // ---- history

    /// The entry of the current instruction in the history of the path.
    pub(crate) fn open_step(&mut self) -> &mut Step {
        if !self.step_open {
            self.history.truncate(self.st.history.1 as usize);
            self.history.push(Step {
                insn: self.pc,
                prev: self.prev,
                slot: None,
                lhs_stack: false,
                rhs_stack: false,
                linked: Linked::default(),
            });
            self.st.history.1 += 1;
            self.step_open = true;
        }
        self.history.last_mut().expect("just pushed")
    }

    /// The instructions of the current path, oldest first, the current one last; the last `max` of them.
    pub(crate) fn path(&self, max: usize) -> Vec<InsnIdx> {
        let mut path = vec![InsnIdx(self.pc)];
        let (mut first, mut at) = (self.st.first_insn, self.prev);
        let mut history = self.st.history;
        // The current instruction's own entry tells of its predecessor, which is known.
        if self.history[history.0 as usize..history.1 as usize].last().is_some_and(|s| s.insn == self.pc) {
            history.1 -= 1;
        }
        let mut parent = self.st.parent;
        if self.pc == first && history.0 == history.1 {
            at = None;
        }
        loop {
            while let Some(i) = at {
                if path.len() >= max {
                    break;
                }
                path.push(InsnIdx(i));
                at = self.before(&mut history, i, first);
            }
            let Some(id) = parent.filter(|_| path.len() < max) else { break };
            let checkpoint = self.checkpoint(id);
            at = checkpoint.st.last_insn;
            first = checkpoint.st.first_insn;
            history = checkpoint.st.history;
            parent = checkpoint.st.parent;
        }
        path.reverse();
        path
    }

    // ---- checkpoints

    pub(crate) fn checkpoint(&self, id: CheckpointId) -> &Checkpoint {
        self.arena[id.0 as usize].as_deref().expect("checkpoints live as long as they are referred to")
    }

    pub(crate) fn checkpoint_mut(&mut self, id: CheckpointId) -> &mut Checkpoint {
        self.arena[id.0 as usize].as_deref_mut().expect("checkpoints live as long as they are referred to")
    }

    /// Compares the state with those remembered here; remembers it if it is time. `true`: nothing new follows.
    fn visited(&mut self) -> Check<bool> {
        let point = self.env.cfg.points[self.pc as usize];
        let (new_jumps, new_insns) =
            (self.jumps - self.jumps_at_checkpoint, self.processed - self.processed_at_checkpoint);
        let force = point.force || self.st.history.1 - self.st.history.0 > 40;
        let mut remember = force || new_jumps >= 2 && new_insns >= 8;
        self.clean();
        let may_goto = matches!(self.env.p.insns[self.pc as usize], Insn::MayGoto { .. });
        let mut i = self.explored[self.pc as usize].len();
        while i > 0 {
            i -= 1;
            let id = self.explored[self.pc as usize][i];
            let old = self.checkpoint(id);
            // The kernel keeps the states of different calls apart.
            if old.st.cur().callsite != self.st.cur().callsite {
                continue;
            }
            if old.branches > 0 {
                if may_goto {
                    if old.st.may_goto_depth != self.st.may_goto_depth
                        && self.covered_by(id, Exact::RangeWithin)
                    {
                        self.enter_loop(id);
                        return self.hit(id);
                    }
                } else if point.calls_back && self.covered_by(id, Exact::RangeWithin) {
                    self.enter_loop(id);
                    return self.hit(id);
                }
                if point.iter_next && self.covered_by(id, Exact::RangeWithin) && self.asks_active_iterator() {
                    self.enter_loop(id);
                    return self.hit(id);
                }
                if !point.calls_back && !point.iter_next && self.is_endless(id) {
                    return Err(crate::rules::bounded_loop::endless());
                }
                if !force && new_jumps < 20 && new_insns < 100 {
                    remember = false;
                }
            } else {
                let head = self.loop_head_of(id).filter(|head| self.checkpoint(*head).branches > 0);
                // States that are kept must hold all that runs through here, whatever is read later.
                let within = head.is_some() || self.states.is_some();
                let exact = if within { Exact::RangeWithin } else { Exact::No };
                if self.covered_by(id, exact) {
                    if let Some(head) = head {
                        self.enter_loop(head);
                    }
                    return self.hit(id);
                }
            }
            let old = self.checkpoint_mut(id);
            if remember {
                old.misses += 1;
            }
            let patience = if point.force && old.branches > 0 { 64 } else { 3 };
            if old.misses > old.hits * patience + patience {
                old.listed = false;
                let gone = old.branches == 0 && !old.loop_head;
                self.explored[self.pc as usize].remove(i);
                if gone {
                    self.arena[id.0 as usize] = None;
                    self.unused.push(id.0);
                }
            }
        }
        if remember {
            self.kept += KEPT_STATE + self.st.refs.len() as u64;
            if self.kept > MOST_KEPT {
                return self.unsure("so many states that they do not fit into memory");
            }
            self.remember();
        }
        Ok(false)
    }

    fn covered_by(&self, id: CheckpointId, exact: Exact) -> bool {
        let compare = Compare {
            cfg: &self.env.cfg,
            exact,
            uninit_ok: self.env.era.has(crate::era::Change::UninitStack),
            last_id: self.last_id,
        };
        compare.covers(&self.checkpoint(id).st, &self.st, self.pc)
    }

    fn is_endless(&self, id: CheckpointId) -> bool {
        let old = &self.checkpoint(id).st;
        may_be_looping(old, &self.st)
            && !iterators_moved(old, &self.st)
            && old.may_goto_depth == self.st.may_goto_depth
            && old.callback_unroll_depth == self.st.callback_unroll_depth
            && self.covered_by(id, Exact::Yes)
    }

    /// What mattered after the old state matters on this path too.
    fn hit(&mut self, id: CheckpointId) -> Check<bool> {
        self.checkpoint_mut(id).hits += 1;
        let mut read = Vec::new();
        let old = self.checkpoint(id);
        for f in 0..=old.st.top {
            let slots = old.st.frame(f).stack.iter().enumerate();
            read.extend(slots.filter(|(_, s)| s.read).map(|(i, _)| (f, i)));
        }
        for (f, i) in read {
            self.mark_slot_read(f, i);
        }
        if self.env.cfg.points[self.pc as usize].jump {
            self.open_step();
        }
        self.propagate_precision(id);
        self.stats.pruned += 1;
        Ok(true)
    }

    fn remember(&mut self) {
        self.jumps_at_checkpoint = self.jumps;
        self.processed_at_checkpoint = self.processed;
        self.stats.checkpoints += 1;
        self.st.update_regs(|r| r.is_scalar() && r.precise, |r| r.precise = false);
        let checkpoint = Box::new(Checkpoint {
            st: self.st.clone(),
            insn: self.pc,
            branches: 1,
            hits: 0,
            misses: 0,
            listed: true,
            loop_head: false,
            cleaned: false,
        });
        let id = match self.unused.pop() {
            Some(i) => {
                self.arena[i as usize] = Some(checkpoint);
                CheckpointId(i)
            }
            None => {
                self.arena.push(Some(checkpoint));
                CheckpointId(self.arena.len() as u32 - 1)
            }
        };
        self.explored[self.pc as usize].push(id);
        self.st.parent = Some(id);
        self.st.first_insn = self.pc;
        self.st.history.0 = self.st.history.1;
        self.st.depth += 1;
        self.st.loop_entry = None;
        for f in 0..=self.st.top {
            let frame = self.st.frame(f);
            if frame.fresh || frame.stack.iter().any(|s| s.written || s.read) {
                let frame = self.st.frame_mut(f);
                frame.fresh = false;
                for slot in &mut frame.stack {
                    (slot.written, slot.read) = (false, false);
                }
            }
        }
    }

    /// Forgets stack that no path from the remembered states here read.
    fn clean(&mut self) {
        // States that are kept are compared whole.
        if self.states.is_some() {
            return;
        }
        for i in 0..self.explored[self.pc as usize].len() {
            let id = self.explored[self.pc as usize][i];
            let old = self.checkpoint(id);
            let in_loop = || self.loop_head_of(id).is_some_and(|head| self.checkpoint(head).branches > 0);
            if old.cleaned || old.branches > 0 || in_loop() {
                continue;
            }
            let old = self.checkpoint_mut(id);
            old.cleaned = true;
            for f in 0..=old.st.top {
                if old.st.frame(f).stack.iter().any(|s| !s.read && *s != Slot::EMPTY) {
                    for slot in &mut old.st.frame_mut(f).stack {
                        if !slot.read {
                            *slot = Slot::EMPTY;
                        }
                    }
                }
            }
        }
    }

    /// Slot `spi` of frame `f` is read here: every checkpoint back to where it was written depends on it.
    pub(crate) fn mark_slot_read(&mut self, f: u8, spi: usize) {
        let frame = self.st.frame(f);
        if frame.fresh || frame.stack.get(spi).is_none_or(|s| s.written) {
            return;
        }
        let mut parent = self.st.parent;
        while let Some(id) = parent {
            let checkpoint = self.checkpoint_mut(id);
            if f > checkpoint.st.top {
                return;
            }
            let frame = checkpoint.st.frame(f);
            let Some(slot) = frame.stack.get(spi) else { return };
            if slot.read {
                return;
            }
            let stop = slot.written || frame.fresh;
            parent = checkpoint.st.parent;
            checkpoint.st.frame_mut(f).stack[spi].read = true;
            if stop {
                return;
            }
        }
    }

    // ---- loops whose end is not found by walking them

    /// The current path is covered by a state that is still being walked: all states up to it are provisional.
    fn enter_loop(&mut self, head: CheckpointId) {
        let head = self.loop_head_of(head).unwrap_or(head);
        self.checkpoint_mut(head).loop_head = true;
        let keep =
            self.st.loop_entry.is_some_and(|e| self.checkpoint(e).st.depth <= self.checkpoint(head).st.depth);
        if !keep {
            self.st.loop_entry = Some(head);
        }
    }

    fn set_loop_entry(&mut self, id: CheckpointId, head: CheckpointId) {
        if id == head {
            return;
        }
        let depth = self.checkpoint(head).st.depth;
        let outer = self.checkpoint(id).st.loop_entry.map(|e| self.checkpoint(e).st.depth);
        if outer.is_none_or(|d| depth < d) {
            self.checkpoint_mut(head).loop_head = true;
            self.checkpoint_mut(id).st.loop_entry = Some(head);
        }
    }

    /// Outermost state that the paths of `id` lead back to.
    fn loop_head_of(&self, id: CheckpointId) -> Option<CheckpointId> {
        let mut head = self.checkpoint(id).st.loop_entry?;
        while let Some(next) = self.checkpoint(head).st.loop_entry.filter(|next| *next != head) {
            head = next;
        }
        Some(head)
    }

    /// The last state on this path remembered at `insn`, in the same frame depth.
    pub(crate) fn previous_visit(&self, insn: u32) -> Option<CheckpointId> {
        let mut parent = self.st.parent;
        while let Some(id) = parent {
            let checkpoint = self.checkpoint(id);
            if checkpoint.insn == insn && same_callsites(&checkpoint.st, &self.st) {
                return Some(id);
            }
            parent = checkpoint.st.parent;
        }
        None
    }

    pub(crate) fn finish(&mut self) {
        self.stats.processed = self.processed;
    }

    /// Something the simulation has no model of.
    pub(crate) fn unsure<T>(&self, what: impl Into<String>) -> Check<T> {
        Err(Box::new(Stop::Unsure(what.into())))
    }

    /// Something that may be refused for reasons that are not known here.
    pub(crate) fn doubt(&mut self, what: impl Into<String>) {
        if self.doubt.is_none() {
            self.doubt = Some((InsnIdx(self.pc), what.into()));
        }
    }

    fn write_log(&mut self) {
        if let Some(log) = &mut self.log {
            log.push(LogLine {
                at: InsnIdx(self.pc),
                path: self.stats.paths,
                depth: self.st.top,
                before: self.st.cur().clone(),
            });
        }
    }
}

pub(crate) fn same_callsites(a: &State, b: &State) -> bool {
    a.top == b.top && (0..=a.top).all(|i| a.frame(i).callsite == b.frame(i).callsite)
}
