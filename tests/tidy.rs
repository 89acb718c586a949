//! The rules of the house that a machine can check: floors, walls, unsafe code, file sizes, documents.
//!
//! Each test says what to do about a finding. The lists below may be changed, in the open: together with the change
//! that makes it necessary and its reason.

mod tidy {
    pub(crate) mod crates;
    pub(crate) mod files;
    pub(crate) mod sources;
}
