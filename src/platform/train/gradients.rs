//! The gradients of one step: summed over its batches, and kept from being too large.

use candle_core::{Result, Tensor};

/// One gradient for each trained tensor that takes part in the loss.
pub(super) struct Gradients(pub(super) Vec<Option<Tensor>>);

impl Gradients {
    /// Of so many tensors, nothing yet.
    pub(super) fn none(count: usize) -> Self {
        Self(vec![None; count])
    }

    /// Adds those of one batch, in the same order.
    pub(super) fn add(&mut self, batch: impl Iterator<Item = Option<Tensor>>) -> Result<()> {
        for (sum, gradient) in self.0.iter_mut().zip(batch) {
            *sum = match (sum.take(), gradient) {
                (Some(sum), Some(gradient)) => Some((sum + gradient)?),
                (sum, gradient) => sum.or(gradient),
            };
        }
        Ok(())
    }

    /// Scales them so that their norm together is at most `most` (Pascanu and others, 2013), as PyTorch's
    /// `clip_grad_norm_` does.
    pub(super) fn clip(&mut self, most: f64) -> Result<()> {
        let mut squares = 0_f64;
        for gradient in self.0.iter().flatten() {
            let values = gradient.flatten_all()?.to_vec1::<f32>()?;
            squares += values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
        }
        let factor = most / (squares.sqrt() + 1e-6);
        if factor < 1.0 {
            for gradient in self.0.iter_mut().flatten() {
                *gradient = (&*gradient * factor)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn gradients_are_summed_and_scaled_to_the_largest_norm() {
        let half = || Some(Tensor::from_vec(vec![1.5_f32, 2.0], 2, &Device::Cpu).expect("a tensor"));
        let mut gradients = Gradients::none(2);
        gradients.add([half(), None].into_iter()).expect("adds");
        gradients.add([half(), None].into_iter()).expect("adds");
        let values = |gradients: &Gradients| {
            gradients.0[0].as_ref().expect("a gradient").to_vec1::<f32>().expect("values")
        };
        assert_eq!(values(&gradients), [3.0, 4.0]);
        assert!(gradients.0[1].is_none());
        gradients.clip(10.0).expect("clips");
        assert_eq!(values(&gradients), [3.0, 4.0]);
        gradients.clip(1.0).expect("clips");
        let clipped = values(&gradients);
        assert!((clipped[0] - 0.6).abs() < 1e-6 && (clipped[1] - 0.8).abs() < 1e-6, "{clipped:?}");
    }
}
