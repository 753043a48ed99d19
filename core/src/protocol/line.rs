//! One line for a message: what a person wants to read of it.
