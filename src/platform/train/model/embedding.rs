//! What a model makes of an input before its last layer: points that lie near each other for inputs that it takes for alike.

use candle_core::{Device, Tensor};

use super::{BATCH, Model};
use crate::platform::data::Inputs;
use crate::platform::train::forward::Pass;
use crate::platform::train::network::{Operation, Resolved};
use crate::platform::train::random::{Purpose, Stream};
use crate::platform::train::{TrainError, preprocess};

/// Numbers of an embedding at most.
const LENGTH: usize = 32;

impl Model {
    /// The embedding of each of some inputs: the activations that the last linear layer is given. More than 32 of them are
    /// projected on 32 random directions, which keeps distances (Johnson and Lindenstrauss, 1984); the directions depend on
    /// nothing but the number of activations.
    ///
    /// The same example always has the same embedding, bit for bit, as for [`Model::predict`].
    ///
    /// # Errors
    /// As for [`Model::predict`].
    pub fn embed(&self, inputs: &Inputs) -> Result<Vec<Vec<f32>>, TrainError> {
        let order = self.order(inputs)?;
        let layers = self.hidden_layers();
        let mut points = Vec::with_capacity(order.len());
        for order in order.chunks(BATCH) {
            let hidden = self.hidden(layers, inputs, order)?;
            let width = hidden.len() / order.len();
            points.extend(hidden.chunks(width.max(1)).map(projected));
        }
        Ok(points)
    }

    /// The layers before the last linear one; all but the last where there is none.
    fn hidden_layers(&self) -> &[Resolved] {
        let layers = &self.network.layers;
        let last = layers.iter().rposition(|layer| matches!(layer.operation, Operation::Linear { .. }));
        &layers[..last.unwrap_or(layers.len().saturating_sub(1))]
    }

    fn hidden(&self, layers: &[Resolved], inputs: &Inputs, order: &[u32]) -> Result<Vec<f32>, TrainError> {
        rayon::scope(|_| {
            let x =
                preprocess::inputs(&self.normalization, &self.shape, &inputs.batch(), order, &Device::Cpu)?;
            let y: Tensor = Pass::inference(&self.weights).with(&self.turned).run(layers, &x)?;
            Ok(y.flatten_all()?.to_vec1()?)
        })
    }
}

/// A point of at most [`LENGTH`] numbers.
fn projected(activations: &[f32]) -> Vec<f32> {
    if activations.len() <= LENGTH {
        return activations.to_vec();
    }
    let mut point = [0_f64; LENGTH];
    for (direction, sum) in point.iter_mut().enumerate() {
        // Signs are directions as good as normal numbers (Achlioptas, J. Comput. Syst. Sci. 66, 2003), 64 of them to a draw.
        let mut random = Stream::new(0, Purpose::Projection, &[direction as u64]);
        for values in activations.chunks(64) {
            let signs = random.bits();
            for (place, value) in values.iter().enumerate() {
                let value = f64::from(*value);
                *sum += if signs >> place & 1 == 1 { value } else { -value };
            }
        }
    }
    let scale = 1.0 / (LENGTH as f64).sqrt();
    point.map(|sum| (sum * scale) as f32).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projections_keep_distances_about_and_short_points_as_they_are() {
        assert_eq!(projected(&[1.0, 2.0]), [1.0, 2.0]);
        let mut random = Stream::new(3, Purpose::Weights, &[0]);
        let mut ratios: Vec<f64> = (0..50)
            .map(|_| {
                let point: Vec<f32> = (0..500).map(|_| random.normal_pair().0).collect();
                let length =
                    |values: &[f32]| values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
                length(&projected(&point)) / length(&point)
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        assert!((ratios[25] - 1.0).abs() < 0.1 && ratios[0] > 0.5 && ratios[49] < 1.5, "{ratios:?}");
    }
}
