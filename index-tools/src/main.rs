//! The command line of vicinage.
fn main() {}
