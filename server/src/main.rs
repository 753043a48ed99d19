//! The program `ottla`: all of it is in the library.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: ottla_server::alloc::Allocator = ottla_server::alloc::Allocator;

fn main() -> ExitCode {
    ottla_server::main()
}
