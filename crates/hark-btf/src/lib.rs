//! BTF: read, query, write.
