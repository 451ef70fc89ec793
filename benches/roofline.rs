//! The convolutions of `training/bench.py` beside what the machine can do: `cargo bench --bench roofline --features measuring`.

#![allow(clippy::print_stdout)]

fn main() -> candle_core::Result<()> {
    print!("{}", mlp::platform::train::roofline()?);
    Ok(())
}
