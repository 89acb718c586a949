//! The input languages of golden cases, and what can be shown of each.

mod asm;
mod env;
pub(crate) mod host;
mod ir;
mod script;

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;

use crate::golden::Stages;

/// File extensions with what they stand for. Scripts are compiled for the small kernel in `fixtures`.
///
/// # Errors
/// The fixtures cannot be read.
pub fn all(fixtures: &Path) -> Result<Vec<(&'static str, Arc<dyn Stages>)>> {
    Ok(vec![
        ("s", Arc::new(asm::Assembly)),
        ("ir", Arc::new(ir::IrText)),
        ("bt", Arc::new(script::Script::new(fixtures)?)),
    ])
}
