//! The input languages of golden cases, and what can be shown of each.

mod asm;
mod env;
mod ir;

use std::sync::Arc;

use crate::golden::Stages;

/// File extensions with what they stand for.
pub fn all() -> Vec<(&'static str, Arc<dyn Stages>)> {
    vec![("s", Arc::new(asm::Assembly)), ("ir", Arc::new(ir::IrText))]
}
