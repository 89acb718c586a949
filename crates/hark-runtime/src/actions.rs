//! What user space does for a script: each record of the ring is one action, done in order of arrival.

use crate::error::RunError;
use crate::load::Maps;
use crate::maps::{self, Snapshot, Table};
use crate::names::Names;
use crate::output::{Output, TextKind};
use crate::pcap::Captures;
use crate::render::Context;
use crate::render::printf::{self, field_value};
use crate::render::table::Selection;
use crate::value::{Value, part, word};
use bpf_syscall::{Kernel, UpdateMode, clock};
use ebpf_asm::MapRef;
use hark_object::{EventDef, EventKind, Field, MapDef, MapRole, Object, TextFormat, Then, Ty, UserMap};
use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

/// Longest text that `time` prints, in bytes.
const MAX_TIME: usize = 63;

/// Does what records say.
pub(crate) struct Actions<'a> {
    pub(crate) kernel: &'a dyn Kernel,
    pub(crate) object: &'a Object,
    pub(crate) names: &'a dyn Names,
    pub(crate) output: Output<'a>,
    /// Exit status, once the script has called `exit`. What is asked for after that is not done, up to the end probes:
    /// whoever takes the status begins with those.
    pub(crate) exit: Option<i32>,
    /// Requests that were made again before they were done.
    pub(crate) folded: u64,
    /// The generation of each map, by [`MapRef`].
    generations: Vec<u64>,
    captures: Captures,
    scratch: Vec<u8>,
}

impl<'a> Actions<'a> {
    pub(crate) fn new(
        kernel: &'a dyn Kernel,
        object: &'a Object,
        names: &'a dyn Names,
        output: Output<'a>,
    ) -> Actions<'a> {
        Actions {
            kernel,
            object,
            names,
            output,
            exit: None,
            folded: 0,
            generations: vec![0; object.maps.len()],
            captures: Captures::default(),
            scratch: Vec::new(),
        }
    }

    /// Borrows the object, not `self`.
    fn context(&self) -> Context<'a> {
        Context { names: self.names, trailer: &self.object.config.str_trunc_trailer }
    }

    /// Does what one record says.
    ///
    /// # Errors
    /// If output or maps fail; what is merely impossible (a file that `cat` cannot open) is reported and is no error.
    pub(crate) fn record(&mut self, maps: &Maps, record: &[u8]) -> Result<(), RunError> {
        let object = self.object;
        let number = word(part(record, 0, 4), 0);
        let Some(event) = object.events.get(number as usize) else {
            return Err(RunError::Object(format!(
                "a program sent event {number}, of {}",
                object.events.len()
            )));
        };
        if (record.len() as u64) < u64::from(event.size) {
            let have = record.len();
            return Err(RunError::Object(format!("event {number} has {} bytes, {have} came", event.size)));
        }
        if self.exit.is_some() {
            return Ok(());
        }
        self.event(maps, event, record)?;
        self.output.sink.after_event()
    }

    fn event(&mut self, maps: &Maps, event: &'a EventDef, record: &[u8]) -> Result<(), RunError> {
        let cx = self.context();
        match &event.kind {
            EventKind::Printf(format) => {
                self.output.text(TextKind::Printf, &mut self.scratch, |out| {
                    printf::render(&cx, format, record, out);
                });
            }
            EventKind::Message(severity, format, calls) => {
                let message = formatted(&cx, format, record);
                self.output.message(*severity, event.span, calls, &message)?;
            }
            EventKind::Print(field) => self.output.value(&cx, &field_value(field, record)),
            EventKind::PrintMap { map, top, div, then } => {
                let number = |field: &Option<Field>| {
                    field.as_ref().and_then(|field| field_value(field, record).number()).map(|(n, _)| n)
                };
                let top = number(top).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
                let div = number(div).and_then(|n| i64::try_from(n).ok()).unwrap_or(1);
                self.print_map(maps, *map, Selection { top, div }, *then)?;
            }
            EventKind::PrintMapValue { map, key, value } => {
                let table = self.table(maps, *map)?;
                if let Ty::Agg(agg) = &table.map.value {
                    let key = part(record, key.offset, key.ty.layout().size);
                    let merged = table.entry(key)?;
                    self.output.value(&cx, &Value::Agg(*agg, &merged));
                } else {
                    self.output.value(&cx, &field_value(value, record));
                }
            }
            EventKind::Clear(map) => self.table(maps, *map)?.clear()?,
            EventKind::Zero(map) => self.table(maps, *map)?.zero()?,
            EventKind::Exit(code) => {
                let code = code.as_ref().and_then(|field| field_value(field, record).number());
                self.exit = Some(code.map_or(0, |(n, _)| n as i32));
            }
            EventKind::Time(format) => {
                let now = i128::from(clock::now_ns(clock::Clock::Real));
                let text = self.names.strftime(format, (now / 1_000_000_000) as i64).unwrap_or_default();
                match text.len() {
                    0 => {}
                    1..=MAX_TIME => self.output.text(TextKind::Time, &mut self.scratch, |out| {
                        out.extend_from_slice(text.as_bytes());
                    }),
                    n => {
                        let message = format!("time() prints at most {MAX_TIME} bytes, not {n}");
                        self.output.warning(event.span, &message)?;
                    }
                }
            }
            EventKind::Join { separator, count, parts } => {
                let n = field_value(count, record).number().map_or(0, |(n, _)| n);
                let n = usize::try_from(n).unwrap_or(0);
                self.output.text(TextKind::Join, &mut self.scratch, |out| {
                    for (i, field) in parts.iter().take(n).enumerate() {
                        if i > 0 {
                            out.extend_from_slice(separator);
                        }
                        crate::render::text::value(&cx, &field_value(field, record), 1, out);
                    }
                });
            }
            EventKind::Cat(format) => self.cat(&formatted(&cx, format, record))?,
            EventKind::System(format) => self.system(&formatted(&cx, format, record))?,
            EventKind::RuntimeWarning(text) => self.output.runtime_warning(event.span, text)?,
            EventKind::Packet { path, data } => {
                let Value::Buf(bytes) = field_value(data, record) else { return Ok(()) };
                let now = clock::now_ns(clock::Clock::Real);
                if let Err(error) = self.captures.write(path, now, bytes) {
                    self.output.say(&format!("ERROR: cannot write packets to '{path}' ({error})\n"))?;
                }
            }
        }
        Ok(())
    }

    /// Does an action of which only word came, because the ring was full: once, however often it was asked for.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub(crate) fn pending(
        &mut self,
        maps: &Maps,
        event: &EventDef,
        before: u64,
        after: u64,
    ) -> Result<(), RunError> {
        if self.exit.is_some() {
            return Ok(());
        }
        if let EventKind::Exit(_) = &event.kind {
            self.exit = Some((after as u32).wrapping_sub(1) as i32);
            return Ok(());
        }
        self.folded += after.wrapping_sub(before).saturating_sub(1);
        match &event.kind {
            EventKind::Clear(map) => self.table(maps, *map)?.clear(),
            EventKind::Zero(map) => self.table(maps, *map)?.zero(),
            EventKind::PrintMap { map, then, .. } => self.print_map(maps, *map, Selection::ALL, *then),
            EventKind::Exit(_)
            | EventKind::Printf(_)
            | EventKind::Message(..)
            | EventKind::Print(_)
            | EventKind::PrintMapValue { .. }
            | EventKind::Time(_)
            | EventKind::Join { .. }
            | EventKind::Cat(_)
            | EventKind::System(_)
            | EventKind::RuntimeWarning(_)
            | EventKind::Packet { .. } => Ok(()),
        }
    }

    fn table<'t>(&self, maps: &'t Maps, map: MapRef) -> Result<Table<'t>, RunError>
    where
        'a: 't,
    {
        let (def, user) = self.user_map(map)?;
        let generation = self.generations.get(map.0 as usize).copied().unwrap_or(0);
        Ok(Table { kernel: self.kernel, def, map: user, fd: maps.get(map)?, generation })
    }

    fn user_map(&self, map: MapRef) -> Result<(&'a MapDef, &'a UserMap), RunError> {
        match self.object.maps.get(map.0 as usize) {
            Some(def) => match &def.role {
                MapRole::User(user) => Ok((def, user)),
                role => Err(RunError::Object(format!("map[{}] is no map of the script: {role:?}", map.0))),
            },
            None => Err(RunError::Object(format!("there is no map[{}]", map.0))),
        }
    }

    /// `print(@m)`: a map without keys prints its zero value if it was never assigned, unless it is a chart.
    fn print_map(
        &mut self,
        maps: &Maps,
        map: MapRef,
        selection: Selection,
        then: Then,
    ) -> Result<(), RunError> {
        let table = self.table(maps, map)?;
        let snapshot = match then {
            Then::Keep => table.read()?,
            Then::Clear | Then::Zero => self.take(maps, map, then)?,
        };
        if snapshot.is_assigned() || !maps::is_chart(table.map) {
            let cx = self.context();
            self.output.map(&cx, &snapshot.entries(table.def, table.map), selection);
        }
        Ok(())
    }

    /// Everything in a map, which is ours then; programs go on with a new generation.
    fn take(&mut self, maps: &Maps, map: MapRef, then: Then) -> Result<Snapshot, RunError> {
        let table = self.table(maps, map)?;
        let Some((def, fd)) = maps.of_role(self.object, &MapRole::Generations) else {
            return Err(RunError::Object("there are no generations".to_string()));
        };
        let (kernel, generations) = (self.kernel, &mut self.generations);
        table.take(then, &mut |generation| {
            generations[map.0 as usize] = generation;
            let words: Vec<u8> = generations.iter().flat_map(|word| word.to_le_bytes()).collect();
            let value = &words[..words.len().min(fd.shape().value_bytes())];
            kernel
                .map_update(fd, &[0; 4], value, UpdateMode::Any)
                .map_err(|error| RunError::Map { name: def.name.clone(), error })
        })
    }

    /// All maps of the script by name, those without anything in them left out.
    ///
    /// # Errors
    /// If a map cannot be read or the output not be written.
    pub(crate) fn print_final_maps(&mut self, maps: &Maps) -> Result<(), RunError> {
        self.output.before_final_maps();
        if !self.object.config.print_maps_on_exit {
            return Ok(());
        }
        let mut order: Vec<usize> = (0..self.object.maps.len()).collect();
        order.sort_by_key(|i| &self.object.maps[*i].name);
        for i in order {
            let map = MapRef(i as u32);
            if self.user_map(map).is_err() {
                continue;
            }
            let table = self.table(maps, map)?;
            let snapshot = table.read()?;
            if snapshot.is_assigned() {
                let cx = self.context();
                self.output.map(&cx, &snapshot.entries(table.def, table.map), Selection::ALL);
            } else {
                self.output.unassigned_map(&table.def.name, table.map);
            }
            self.output.sink.after_event()?;
        }
        Ok(())
    }

    fn cat(&mut self, path: &[u8]) -> Result<(), RunError> {
        let path = String::from_utf8_lossy(path).into_owned();
        let limit = self.object.config.max_cat_bytes;
        let mut content = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(limit).read_to_end(&mut content));
        if let Err(error) = read {
            let why = describe(&error);
            return self.output.say(&format!("ERROR: failed to open file '{path}' ({why})\n"));
        }
        self.output.text(TextKind::Cat, &mut self.scratch, |out| out.extend_from_slice(&content));
        Ok(())
    }

    /// Runs a command to its end. Nothing it printed is shown if it failed.
    fn system(&mut self, command: &[u8]) -> Result<(), RunError> {
        // The command may write to the same terminal.
        self.output.sink.flush()?;
        let command = String::from_utf8_lossy(command).into_owned();
        let result = Command::new("sh")
            .args(["-c", &command])
            .stdin(Stdio::inherit())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .output();
        match result {
            Ok(done) if done.status.success() => {
                self.output.text(TextKind::System, &mut self.scratch, |out| {
                    out.extend_from_slice(&done.stdout);
                });
                Ok(())
            }
            Ok(done) => self.output.say(&format!("ERROR: command '{command}' failed: {}\n", done.status)),
            Err(error) => self.output.say(&format!("ERROR: cannot run sh: {}\n", describe(&error))),
        }
    }

    /// Writes everything that is still in memory.
    ///
    /// # Errors
    /// If that fails.
    pub(crate) fn finish(&mut self) -> Result<(), RunError> {
        self.captures.flush().map_err(RunError::Output)?;
        self.output.sink.flush()
    }
}

fn formatted(cx: &Context<'_>, format: &TextFormat, record: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    printf::render(cx, format, record, &mut out);
    out
}

/// The text of an error number, without the number.
fn describe(error: &std::io::Error) -> String {
    let known = error.raw_os_error().and_then(|n| bpf_facts::errno(n.into()));
    known.map_or_else(|| error.to_string(), |def| def.text.to_string())
}
