//! `fentry`, `fexit`, `iter`: programs that are loaded for their target, which leaves nothing to choose.

use crate::attach::Attacher;
use crate::error::AttachError;
use crate::link::Link;
use crate::point::{AttachPoint, Place};
use bpf_syscall::LinkCreate;
use hark_object::ProbeSpec;

pub(crate) fn fentry(spec: &ProbeSpec) -> Vec<AttachPoint> {
    vec![AttachPoint::new(spec, Place::Fentry)]
}

pub(crate) fn iter(spec: &ProbeSpec) -> Vec<AttachPoint> {
    vec![AttachPoint::new(spec, Place::Iter)]
}

pub(crate) fn attach_tracing(cx: &Attacher<'_>, point: &AttachPoint) -> Result<Link, AttachError> {
    let (prog, attach_type) = (cx.program.fd, cx.program.attach_type);
    cx.link(point, &LinkCreate::Tracing { prog, attach_type, cookie: point.cookie })
}

pub(crate) fn attach_iter(cx: &Attacher<'_>, point: &AttachPoint) -> Result<Link, AttachError> {
    cx.link(point, &LinkCreate::Iter { prog: cx.program.fd })
}
