//! Reads the text form of the machine IR.
