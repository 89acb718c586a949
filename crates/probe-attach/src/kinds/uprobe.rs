//! `uprobe`, `uretprobe`: functions and instructions of files.

use crate::attach::{Attacher, divide};
use crate::error::AttachError;
use crate::link::Link;
use crate::point::{AttachPoint, Place};
use bpf_syscall::{Errno, LinkCreate, MultiFlavour, PerfEvent, PerfKind, PerfTarget, SysError};
use hark_object::{Catalog, ProbeSpec, UserFunction, UserLocation, glob, is_pattern};
use std::path::{Path, PathBuf};

pub(crate) fn expand(
    spec: &ProbeSpec,
    binary: &str,
    at: &UserLocation,
    ret: bool,
    catalog: &dyn Catalog,
) -> Result<Vec<AttachPoint>, AttachError> {
    let refused = |error| AttachError::catalog(spec, error);
    let paths = catalog.binaries(binary).map_err(refused)?;
    // Among all files that are mapped are some that are no programs.
    let any_file = is_pattern(binary);
    let mut points = Vec::new();
    for path in &paths {
        if any_file && catalog.user_functions(path).is_err() {
            continue;
        }
        let point = |at: UserLocation, offset: u64| {
            let name = ProbeSpec::Uprobe { binary: path.clone(), at, ret };
            let place = Place::Uprobe { path: PathBuf::from(path), offset, ref_ctr_offset: 0, ret };
            AttachPoint::new(name, place)
        };
        match at {
            UserLocation::Symbol { name, offset, cpp: true } => {
                for function in catalog.demangled_functions(path, name).map_err(refused)? {
                    check_offset(spec, &function, *offset, ret)?;
                    let at = UserLocation::Symbol { name: function.name, offset: *offset, cpp: true };
                    points.push(point(at, function.offset + offset));
                }
            }
            UserLocation::Line { file, line, column } => {
                let places = match catalog.source_line(path, file, *line, *column) {
                    Err(_) if any_file => continue,
                    places => places.map_err(refused)?,
                };
                points.extend(places.into_iter().map(|offset| point(at.clone(), offset)));
            }
            UserLocation::Symbol { name, offset, cpp: false } => {
                let functions = catalog.user_functions(path).map_err(refused)?;
                // Labels without a size are not functions for sure: only who names one gets it.
                let matches = |f: &&UserFunction| {
                    if is_pattern(name) { f.size > 0 && glob(name, &f.name) } else { f.name == *name }
                };
                for function in functions.iter().filter(matches) {
                    check_offset(spec, function, *offset, ret)?;
                    let at =
                        UserLocation::Symbol { name: function.name.clone(), offset: *offset, cpp: false };
                    points.push(point(at, function.offset + offset));
                }
            }
            UserLocation::Address(addr) => {
                let offset = catalog.file_offset(path, *addr).map_err(refused)?;
                let why = || format!("no code of {path} lies at {addr:#x}");
                let offset = offset.ok_or_else(|| AttachError::missing(spec, why()))?;
                points.push(point(at.clone(), offset));
            }
        }
    }
    points.dedup();
    if points.is_empty() {
        let why = match at {
            UserLocation::Symbol { name, .. } if is_pattern(name) => {
                format!("no function of {binary} matches {name}")
            }
            UserLocation::Symbol { name, .. } => format!("{} has no function {name}", paths.join(", ")),
            UserLocation::Line { file, line, .. } => {
                format!("{} has no code at or after line {line} of {file}", paths.join(", "))
            }
            UserLocation::Address(_) => format!("{binary} has no such place"),
        };
        return Err(AttachError::missing(spec, why));
    }
    Ok(points)
}

fn check_offset(
    spec: &ProbeSpec,
    function: &UserFunction,
    offset: u64,
    ret: bool,
) -> Result<(), AttachError> {
    if ret && offset != 0 {
        return Err(AttachError::invalid(spec, "a return probe takes no offset"));
    }
    if function.size > 0 && offset >= function.size {
        let why = format!("{} is only {} bytes long", function.name, function.size);
        return Err(AttachError::invalid(spec, why));
    }
    Ok(())
}

/// What a uprobe needs to know of its place.
pub(crate) struct At<'a> {
    pub(crate) path: &'a Path,
    pub(crate) offset: u64,
    pub(crate) ref_ctr_offset: u32,
    pub(crate) ret: bool,
}

pub(crate) fn attach(cx: &Attacher<'_>, point: &AttachPoint, at: &At<'_>) -> Result<Link, AttachError> {
    let kind = PerfKind::Uprobe {
        path: at.path.to_path_buf(),
        offset: at.offset,
        ref_ctr_offset: at.ref_ctr_offset,
        ret: at.ret,
    };
    // Opened on one task, the kernel puts the breakpoint into that task's memory alone: all its threads have it.
    let target = cx.scope.pid.map_or(PerfTarget::Cpu(0), PerfTarget::Task);
    let event = PerfEvent { target, ..PerfEvent::every(kind) };
    cx.perf(point, &[event]).map_err(|error| match error {
        AttachError::Kernel { probe, source } => AttachError::Kernel { probe, source: explain(source) },
        error => error,
    })
}

fn explain(source: SysError) -> SysError {
    match source.errno {
        Errno::EINVAL => {
            source.with_hint("the place must be the first byte of an instruction in the file's code")
        }
        Errno::EOPNOTSUPP | Errno::ENOTSUPP => {
            source.with_hint("the kernel cannot put a breakpoint on this instruction")
        }
        Errno::EIO => {
            source.with_hint("the file system that holds the file does not permit breakpoints in it")
        }
        _ => source,
    }
}

/// One link per file for many places (since 6.6). Those that the kernel refuses are found by halving, and reported
/// one by one.
pub(crate) fn attach_multi(
    cx: &Attacher<'_>,
    points: &[&AttachPoint],
    flavour: MultiFlavour,
) -> Vec<Result<Link, AttachError>> {
    let mut results = Vec::new();
    let path_of = |point: &AttachPoint| match &point.place {
        Place::Uprobe { path, .. } => Some(path.clone()),
        _ => None,
    };
    for group in points.chunk_by(|a, b| path_of(a) == path_of(b)) {
        let Some(path) = path_of(group[0]) else { continue };
        let create = |points: &[&AttachPoint]| {
            let (mut offsets, mut ref_ctr_offsets) = (Vec::new(), Vec::new());
            for point in points {
                if let Place::Uprobe { offset, ref_ctr_offset, .. } = point.place {
                    offsets.push(offset);
                    ref_ctr_offsets.push(u64::from(ref_ctr_offset));
                }
            }
            if ref_ctr_offsets.iter().all(|&offset| offset == 0) {
                ref_ctr_offsets.clear();
            }
            let cookies = cx.cookies(points);
            cx.kernel.link_create(&LinkCreate::UprobeMulti {
                prog: cx.program.fd,
                path: &path,
                offsets: &offsets,
                ref_ctr_offsets: &ref_ctr_offsets,
                cookies: &cookies,
                pid: cx.scope.pid,
                flavour,
            })
        };
        results.extend(divide(group, &|points| create(points).map_err(explain), &|_| false));
    }
    results
}
