//! A kernel in memory: maps, programs, a clock, a task, and places where programs are attached.
//!
//! It runs when it is told to: programs by [`prog_test_run`](bpf_syscall::Kernel::prog_test_run), attached ones by
//! [`SimKernel::fire`], timers by [`SimKernel::advance`] or, where the clock is the machine's, by
//! [`step`](bpf_syscall::Kernel::step), which [`due`](bpf_syscall::Kernel::due) calls for.

mod helpers;
mod kernel;
mod maps;
mod queue;
mod ring;
mod sites;
mod task;

pub use self::helpers::{confine, simulates};
pub use sites::Site;
pub use task::{SimClock, Task};

use self::helpers::World;
use crate::code::Code;
use crate::machine::{Entry, Helpers, Observer, observe, run};
use crate::memory::{Access, Memory};
use crate::trap::{Trap, TrapKind};
use bpf_facts::{Arch, ProgType, ctx_layout};
use bpf_syscall::wait::Timer;
use bpf_syscall::{Errno, ProgFd, Result, SysError};
use sites::Sites;
use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A simulated kernel. Clones share everything.
#[derive(Clone, Debug)]
pub struct SimKernel {
    state: Arc<Mutex<State>>,
    /// Fires when the next timer is due by the machine's clock.
    alarm: Arc<Timer>,
    n_cpus: u32,
}

/// What a descriptor stands for. Objects themselves live as long as their kernel, since programs refer to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Object {
    Map(usize),
    Program(usize),
    /// By its key in [`Sites`].
    Event(u64),
}

#[derive(Debug)]
struct State {
    memory: Memory,
    world: World,
    programs: Vec<SimProgram>,
    objects: HashMap<RawFd, Object>,
    sites: Sites,
    trap: Option<Trap>,
    statistics: bool,
    fuel: u64,
}

/// Instructions that a run may take unless told otherwise: some seconds' worth, and more than a verifier lets pass but
/// for nested loops by helpers.
const FUEL: u64 = 1 << 30;

#[derive(Debug)]
struct SimProgram {
    name: String,
    ty: ProgType,
    code: Arc<Code>,
    n_slots: u32,
    run_time_ns: u64,
    run_cnt: u64,
}

/// The helpers of a kernel of `n_cpus` CPUs that has no maps, on whose first CPU `task` runs.
pub fn helpers(n_cpus: u32, task: Task, clock: SimClock) -> Box<dyn Helpers> {
    Box::new(World::new(n_cpus.max(1), task, clock))
}

impl SimKernel {
    /// A kernel of `n_cpus` CPUs on whose first one `task` runs.
    ///
    /// # Errors
    /// `EMFILE` if there are too many open files.
    pub fn new(n_cpus: u32, task: Task, clock: SimClock) -> Result<SimKernel> {
        let n_cpus = n_cpus.max(1);
        let state = State {
            memory: Memory::new(),
            world: World::new(n_cpus, task, clock),
            programs: Vec::new(),
            objects: HashMap::new(),
            sites: Sites::new()?,
            trap: None,
            statistics: false,
            fuel: FUEL,
        };
        let alarm = Arc::new(Timer::every(Duration::ZERO)?);
        Ok(SimKernel { state: Arc::new(Mutex::new(state)), alarm, n_cpus })
    }

    /// Sets who is running.
    pub fn set_task(&self, task: Task) {
        self.lock().world.task = task;
    }

    /// Sets the CPU that programs run on from now on.
    ///
    /// # Errors
    /// `EINVAL` if there is no such CPU.
    pub fn set_cpu(&self, cpu: u32) -> Result<()> {
        if cpu >= self.n_cpus {
            return Err(SysError::new("sched_setaffinity", format!("CPU {cpu}"), Errno::EINVAL));
        }
        self.lock().world.cpu = cpu;
        Ok(())
    }

    /// Sets how many instructions one run may execute.
    pub fn set_fuel(&self, instructions: u64) {
        self.lock().fuel = instructions;
    }

    /// Puts `bytes` at `addr`, for programs that read memory by `bpf_probe_read_*`: of the kernel, of a process, or
    /// whatever the address is to mean.
    pub fn put_memory(&self, addr: u64, bytes: &[u8]) {
        self.lock().world.foreign.insert(addr, bytes.to_vec());
    }

    /// Gives programs `bytes`, for as long as the kernel lives, and returns their address: memory of the kernel or of a
    /// process, which they read by helpers, or directly where the pointer has a type.
    pub fn add_memory(&self, bytes: &[u8]) -> u64 {
        let mut state = self.lock();
        let region = state.memory.add(bytes.to_vec(), Access::Read);
        state.memory.address(region, 0)
    }

    /// Changes what was [added](Self::add_memory), whoever may write it; whether all of it is there.
    pub fn write_memory(&self, addr: u64, bytes: &[u8]) -> bool {
        self.lock().memory.overwrite(addr, bytes)
    }

    /// Moves the clock on, and runs the programs of timers that become due, each at its time.
    ///
    /// # Errors
    /// `EINVAL` if the clock is the machine's. If a program traps, after all others have run.
    pub fn advance(&self, time: Duration) -> Result<()> {
        let mut state = self.lock();
        let SimClock::Set { ns } = state.world.clock else {
            return Err(SysError::new("clock_settime", "the machine's clock", Errno::EINVAL));
        };
        let end = ns.saturating_add(time.as_nanos() as u64);
        let mut result = Ok(());
        while let Some((at, key)) = state.next_timer().filter(|(at, _)| *at <= end) {
            state.world.clock = SimClock::Set { ns: at.max(ns) };
            result = result.and(state.tick(key, at));
        }
        state.world.clock = SimClock::Set { ns: end };
        result
    }

    /// Runs the programs that are attached at such sites, in the order of their attachment, with this context; returns
    /// how many.
    ///
    /// # Errors
    /// If a program traps, after all others have run.
    pub fn fire(&self, at: &dyn Fn(&Site) -> bool, ctx: &[u8]) -> Result<usize> {
        let mut state = self.lock();
        let programs = state.sites.attached(at);
        let mut result = Ok(());
        for (program, cookie) in &programs {
            state.world.cookie = *cookie;
            result = result.and(state.run(*program, ctx, &[], None).map(|_| ()));
        }
        result.map(|()| programs.len())
    }

    /// Runs a program with this context and packet, showing `observer` every instruction.
    ///
    /// # Errors
    /// `EBADF` if the program is not of this kernel. If it traps.
    pub fn observe(
        &self,
        prog: &ProgFd,
        ctx: &[u8],
        packet: &[u8],
        observer: &mut Observer<'_>,
    ) -> Result<u64> {
        let n = self.program_of("observe", prog)?;
        self.lock().run_observed(n, ctx, packet, None, Some(observer))
    }

    /// The last trap that ended a program, if any did.
    pub fn last_trap(&self) -> Option<Trap> {
        self.lock().trap.clone()
    }

    /// What programs wrote by `bpf_trace_printk` since this was last asked: format strings and arguments are not put
    /// together.
    pub fn take_trace(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().world.trace)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; should it all the same, the maps are still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the alarm to the next timer.
    fn set_alarm(&self, state: &State) -> Result<()> {
        if state.world.clock != SimClock::Host {
            return Ok(());
        }
        let Some((at, _)) = state.next_timer() else { return Ok(()) };
        self.alarm.rearm(Duration::from_nanos(at.saturating_sub(state.world.now_ns())))
    }

    fn run_due(&self) -> Result<()> {
        let mut state = self.lock();
        let _ = self.alarm.fired();
        let now = state.world.now_ns();
        let mut result = Ok(());
        while let Some((at, key)) = state.next_timer().filter(|(at, _)| *at <= now) {
            // What was missed is not made up for.
            result = result.and(state.tick(key, at.max(now)));
        }
        result.and(self.set_alarm(&state))
    }
}

impl State {
    /// When which timer is due next. Those that are closed are not.
    fn next_timer(&self) -> Option<(u64, u64)> {
        self.sites.next_timer()
    }

    /// Runs the program of the timer `key`, which was due at `at`.
    fn tick(&mut self, key: u64, at: u64) -> Result<()> {
        let Some((program, cookie)) = self.sites.tick(key, at) else { return Ok(()) };
        self.world.cookie = cookie;
        // The registers of nobody.
        let bytes = ctx_layout(ProgType::PerfEvent, Arch::X86_64).map_or(0, |ctx| ctx.size as usize);
        self.run(program, &vec![0; bytes], &[], None).map(|_| ())
    }

    fn run(&mut self, program: usize, ctx: &[u8], packet: &[u8], cpu: Option<u32>) -> Result<u64> {
        self.run_observed(program, ctx, packet, cpu, None)
    }

    fn run_observed(
        &mut self,
        program: usize,
        ctx: &[u8],
        packet: &[u8],
        cpu: Option<u32>,
        observer: Option<&mut Observer<'_>>,
    ) -> Result<u64> {
        let State { memory, world, programs, .. } = self;
        let home = world.cpu;
        world.cpu = cpu.unwrap_or(home);
        world.tail_calls = 0;
        let access = if programs[program].ty == ProgType::Syscall { Access::ReadWrite } else { Access::Read };
        let region = memory.add(ctx.to_vec(), access);
        let entry = Entry { packet, fuel: self.fuel, ..Entry::with_context(memory.address(region, 0)) };
        let (mut running, mut observer) = (program, observer);
        let begun = Instant::now();
        let result = loop {
            let code = Arc::clone(&programs[running].code);
            let result = match &mut observer {
                Some(observer) => observe(&code, memory, world, entry, observer),
                None => run(&code, memory, world, entry),
            };
            match result {
                Err(Trap { kind: TrapKind::TailCall(next), .. }) => running = next,
                ended => break ended,
            }
        };
        let program = &mut programs[program];
        if self.statistics {
            program.run_cnt += 1;
            program.run_time_ns += begun.elapsed().as_nanos() as u64;
        }
        memory.remove(region);
        world.cpu = home;
        world.settle();
        result.map(|outcome| outcome.r0).map_err(|trap| {
            let what = format!("program {}, {trap}", program.name);
            self.trap = Some(trap);
            SysError::new("embedded engine", what, Errno::EFAULT)
                .with_hint("this is a fault of the program, or needs the kernel: `--engine kernel`")
        })
    }
}
