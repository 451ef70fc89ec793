//! How fast the convolutions are beside what the machine can do. A measurement, run by hand on a machine that does nothing else:
//!
//! ```sh
//! cargo bench --bench roofline --features measuring
//! ```
//!
//! The roof (Williams, Waterman and Patterson, 2009) is the lower of two lines: what the machine multiplies, taken from the best of
//! several large matrix products by the library that candle uses, and what its memory delivers for as many operations a byte as a layer
//! has if each of its tensors is moved once.

use std::time::{Duration, Instant};

use candle_core::{CustomOp3, Device, Result, Tensor, Var};
use rayon::prelude::*;

use super::conv2d::Conv2d;
use crate::platform::train::spec;

/// How long each thing is measured.
const TIME: Duration = Duration::from_secs(2);
/// The batch of `benches/training/bench.py`.
const BATCH: usize = 64;

/// Seconds of one call: the median of all calls within [`TIME`].
fn seconds(mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    call()?;
    let (begun, mut each) = (Instant::now(), Vec::new());
    while begun.elapsed() < TIME || each.len() < 3 {
        let begun = Instant::now();
        call()?;
        each.push(begun.elapsed().as_secs_f64());
    }
    each.sort_by(f64::total_cmp);
    Ok(each[each.len() / 2])
}

/// Operations a second of the best of some matrix products.
fn product_peak() -> Result<f64> {
    let mut best = 0.0_f64;
    for n in [512, 1024, 2048] {
        let of = || Tensor::randn(0_f32, 1.0, (n, n), &Device::Cpu);
        let (a, b) = (of()?, of()?);
        best = best.max(2.0 * (n as f64).powi(3) / seconds(|| a.matmul(&b).map(drop))?);
    }
    Ok(best)
}

/// Bytes a second of a sum of two long arrays into a third (McCalpin's STREAM counts the same three).
fn memory_peak() -> Result<f64> {
    const LENGTH: usize = 16 << 20;
    let (a, b, mut c) = (vec![1_f32; LENGTH], vec![2_f32; LENGTH], vec![0_f32; LENGTH]);
    let time = seconds(|| {
        c.par_chunks_mut(1 << 16).zip(a.par_chunks(1 << 16).zip(b.par_chunks(1 << 16))).for_each(
            |(c, (a, b))| c.iter_mut().zip(a.iter().zip(b)).for_each(|(c, (a, b))| *c = a + 3.0 * b),
        );
        std::hint::black_box(&c);
        Ok(())
    })?;
    Ok((3 * LENGTH * size_of::<f32>()) as f64 / time)
}

/// One layer: how many operations and bytes it has, and how long it takes, there and back.
struct Layer {
    operations: f64,
    bytes: f64,
    seconds: f64,
}

/// `there`: only its output. Otherwise only its gradients, of which the first layer needs none for its input.
fn layer(channels: usize, out: usize, size: usize, pool: bool, there: bool) -> Result<Layer> {
    let window = spec::Conv2d { out, kernel: 3, stride: 1, padding: 0, dilation: 1, groups: 1 };
    let op = || Conv2d::new(window, true, pool, None);
    let input_gradient = channels > 1;
    let of = |shape: &[usize]| Tensor::randn(0_f32, 0.1, shape, &Device::Cpu);
    let x = of(&[BATCH, channels, size, size])?;
    let x = if input_gradient { Var::from_tensor(&x)?.as_tensor().clone() } else { x };
    let (weight, bias) = (of(&[out, channels, 3, 3])?, of(&[out])?);
    let y = x.apply_op3_no_bwd(&weight, &bias, &op())?;
    let dy = of(y.dims())?;
    let forward = seconds(|| x.apply_op3_no_bwd(&weight, &bias, &op()).map(drop))?;
    let products = 2.0 * (BATCH * out * channels * 9 * (size - 2) * (size - 2)) as f64;
    let floats =
        |tensors: &[&Tensor]| tensors.iter().map(|tensor| tensor.elem_count() * 4).sum::<usize>() as f64;
    if there {
        return Ok(Layer { operations: products, bytes: floats(&[&x, &weight, &y]), seconds: forward });
    }
    // The way back reads where pooling took its values from, which the way there has left.
    let both = seconds(|| {
        let op = op();
        let y = x.apply_op3_no_bwd(&weight, &bias, &op)?;
        op.bwd(&x, &weight, &bias, &y, &dy).map(drop)
    })?;
    let gradients = if input_gradient { 2.0 } else { 1.0 };
    let dx = if input_gradient { floats(&[&x]) } else { 0.0 };
    let bytes = floats(&[&x, &weight, &weight, &y, &dy]) + dx;
    Ok(Layer { operations: gradients * products, bytes, seconds: both - forward })
}

/// Measures all, for some ten seconds each, and gives a table in Markdown.
///
/// # Errors
/// What candle says of a product.
pub fn roofline() -> Result<String> {
    let (products, memory) = (product_peak()?, memory_peak()?);
    let mut text = format!(
        "matrix products {:.0} GFLOP/s, memory {:.1} GB/s\n\n\
         | layer | FLOP a byte | roof GFLOP/s | reached GFLOP/s | of the roof | of the products |\n|---|---|---|---|---|---|\n",
        products / 1e9,
        memory / 1e9
    );
    let (mut all, mut time) = (0.0, 0.0);
    for (name, channels, out, size, pool, there) in [
        ("conv 32, forward", 1, 32, 28, false, true),
        ("conv 32, gradients", 1, 32, 28, false, false),
        ("conv 64, relu, pool, forward", 32, 64, 26, true, true),
        ("conv 64, relu, pool, gradients", 32, 64, 26, true, false),
    ] {
        let Layer { operations, bytes, seconds } = layer(channels, out, size, pool, there)?;
        let (intensity, reached) = (operations / bytes, operations / seconds);
        let roof = products.min(intensity * memory);
        text += &format!(
            "| {name} | {intensity:.1} | {:.0} | {:.0} | {:.0} % | {:.0} % |\n",
            roof / 1e9,
            reached / 1e9,
            100.0 * reached / roof,
            100.0 * reached / products
        );
        (all, time) = (all + operations, time + seconds);
    }
    let (rate, share) = (all / time / 1e9, 100.0 * all / time / products);
    Ok(text + &format!("\nall convolutions: {rate:.0} GFLOP/s, {share:.0} % of the products\n"))
}
