//! The tables by which programs walk the stacks of one process.

use crate::error::RunError;
use crate::load::Maps;
use crate::output::Output;
use bpf_syscall::{Kernel, MapFd, UpdateMode};
use hark_object::{Catalog, MapRole, Object};

/// Keeps the tables of a script that walks stacks.
pub(crate) struct Unwinder<'a> {
    kernel: &'a dyn Kernel,
    catalog: &'a dyn Catalog,
    mappings: &'a MapFd,
    rows: &'a MapFd,
    pid: u32,
    told: bool,
}

impl<'a> Unwinder<'a> {
    /// For process `pid`; `None` if the script walks no stacks.
    pub(crate) fn new(
        kernel: &'a dyn Kernel,
        catalog: &'a dyn Catalog,
        object: &'a Object,
        maps: &'a Maps,
        pid: Option<u32>,
    ) -> Option<Unwinder<'a>> {
        let (_, mappings) = maps.of_role(object, &MapRole::UnwindMappings)?;
        let (_, rows) = maps.of_role(object, &MapRole::UnwindRows)?;
        Some(Unwinder { kernel, catalog, mappings, rows, pid: pid?, told: false })
    }

    /// Fills the tables with what the process has mapped now.
    ///
    /// # Errors
    /// If its mappings cannot be read, or the tables not be written.
    pub(crate) fn load(&mut self, output: &mut Output<'_>) -> Result<(), RunError> {
        let tables = self.catalog.unwind_tables(self.pid).map_err(|error| RunError::Unwind(error.message))?;
        // Rows first: what is mapped must find its own.
        for (i, block) in (0u32..).zip(tables.row_entries()) {
            self.kernel.map_update(self.rows, &i.to_le_bytes(), &block, UpdateMode::Any)?;
        }
        for (i, entry) in tables.mapping_entries().iter().enumerate().rev() {
            self.kernel.map_update(self.mappings, &(i as u32).to_le_bytes(), entry, UpdateMode::Any)?;
        }
        if !tables.left_out.is_empty() && !self.told {
            self.told = true;
            let files = tables.left_out.join(", ");
            output
                .say(&format!("WARNING: stacks end in {files}: there is no room for its unwind tables\n"))?;
        }
        Ok(())
    }
}
