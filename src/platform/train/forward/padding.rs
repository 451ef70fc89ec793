//! Which positions of a sequence are of the text, and which only fill it up: what looks along a sequence leaves the latter out.

use candle_core::{Result, Tensor};

/// The positions of a batch of sequences that hold other tokens than the padding. The first one always counts, so that
/// an empty text is one position of padding.
#[derive(Clone)]
pub(super) struct Present {
    /// `[batch, length, 1]`: 1 where the position counts, else 0.
    counts: Tensor,
    /// `[batch, 1, 1, length]`: 0 where the position counts, else minus infinity.
    bias: Tensor,
    /// `[batch, length, 1]`: 1 at the last position that counts, else 0.
    last: Tensor,
}

impl Present {
    /// Of tokens `[batch, length]`, which are whole numbers in f32.
    pub(super) fn of(tokens: &Tensor, padding: usize) -> Result<Self> {
        let (batch, length) = tokens.dims2()?;
        let (mut counts, mut last) = (Vec::with_capacity(batch * length), vec![0.0_f32; batch * length]);
        for (number, row) in tokens.to_vec2::<f32>()?.iter().enumerate() {
            let present = |at: usize| at == 0 || row[at] != padding as f32;
            counts.extend((0..length).map(|at| f32::from(u8::from(present(at)))));
            if let Some(at) = (0..length).rev().find(|at| present(*at)) {
                last[number * length + at] = 1.0;
            }
        }
        let bias: Vec<f32> =
            counts.iter().map(|counts| if *counts > 0.0 { 0.0 } else { f32::NEG_INFINITY }).collect();
        let device = tokens.device();
        Ok(Self {
            counts: Tensor::from_vec(counts, (batch, length, 1), device)?,
            bias: Tensor::from_vec(bias, (batch, 1, 1, length), device)?,
            last: Tensor::from_vec(last, (batch, length, 1), device)?,
        })
    }

    /// Scores `[batch * heads, length, length]` of attention, where no position looks at padding.
    pub(super) fn masked(&self, scores: &Tensor) -> Result<Tensor> {
        let (_, _, _, length) = self.bias.dims4()?;
        let apart = scores.reshape((self.bias.dim(0)?, (), length, length))?;
        apart.broadcast_add(&self.bias)?.reshape(scores.shape())
    }

    /// The mean of each feature of `x` `[batch, length, features]`.
    pub(super) fn mean(&self, x: &Tensor) -> Result<Tensor> {
        x.broadcast_mul(&self.counts)?.sum(1)?.broadcast_div(&self.counts.sum(1)?)
    }

    /// `x` `[batch, length, features]` with what can be no maximum in place of padding.
    pub(super) fn lowered(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, _, _, length) = self.bias.dims4()?;
        x.broadcast_add(&self.bias.reshape((batch, length, 1))?)
    }

    /// The features `[batch, features]` at the last position of each text.
    pub(super) fn last(&self, x: &Tensor) -> Result<Tensor> {
        x.broadcast_mul(&self.last)?.sum(1)
    }
}
