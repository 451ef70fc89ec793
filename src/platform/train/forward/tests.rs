use candle_core::{Device, Tensor, Var};

use super::super::network::Network;
use super::super::random::Purpose;
use super::*;

const EVERYTHING: &str = "
- conv2d: {out: 6, kernel: 3}
- relu
- dropout: 0.1
- conv2d: {out: 8, kernel: 3, padding: 1}
- relu
- max_pool2d: 2
- dropout: 0.25
- residual: [{conv2d: {out: 8, kernel: 3, padding: 1}}, batch_norm, gelu]
- avg_pool2d: 2
- max_pool2d: 2
- flatten
- linear: 12
- relu
- dropout: 0.5
- batch_norm
- linear: 9
- tanh
- relu
- dropout: 0.2
- linear: 4
";

#[test]
fn a_network_of_every_layer_gives_the_same_by_kernels_and_by_candle() {
    let layers: Vec<_> = serde_yaml::from_str(EVERYTHING).expect("layers");
    let network = Network::resolve(&layers, &[1, 18, 22], 4).expect("fits");
    let mut random = Stream::new(5, Purpose::Weights, &[0]);
    let mut values = |shape: &[usize]| {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.symmetric() * 0.4 + 0.1).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).expect("a tensor")
    };
    let variables: Vec<Var> = network
        .tensors
        .iter()
        .map(|tensor| {
            let values = values(&tensor.shape);
            // Variances are over 0.
            let values = if tensor.trained { values } else { values.abs().expect("runs") };
            Var::from_tensor(&values).expect("a variable")
        })
        .collect();
    let weights: Vec<Tensor> = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
    let x = values(&[10, 1, 18, 22]);
    for training in [false, true] {
        let pass = || Pass {
            training: training.then(|| Stream::new(9, Purpose::Dropout, &[1])),
            ..Pass::inference(&weights)
        };
        let y = pass().run(&network.layers, &x).expect("runs");
        let mut reference = pass();
        let wanted =
            network.layers.iter().try_fold(x.clone(), |x, layer| reference.stock(layer, &x)).expect("runs");
        let difference =
            (&y - &wanted).and_then(|d| d.abs()?.max_all()?.to_scalar::<f32>()).expect("a number");
        assert!(difference < 1e-5, "{training}: {difference}");
        if !training {
            continue;
        }
        let store = y.sqr().and_then(|y| y.sum_all()?.backward()).expect("gradients");
        let wanted = wanted.sqr().and_then(|y| y.sum_all()?.backward()).expect("gradients");
        for (variable, tensor) in variables.iter().zip(&network.tensors).filter(|(_, tensor)| tensor.trained)
        {
            let (found, wanted) = (store.get(variable).expect("one"), wanted.get(variable).expect("one"));
            let largest = wanted.abs().and_then(|w| w.max_all()?.to_scalar::<f32>()).expect("a number");
            let difference =
                (found - wanted).and_then(|d| d.abs()?.max_all()?.to_scalar::<f32>()).expect("a number");
            // Biases before batch normalisation have no gradient but rounding.
            assert!(difference <= 2e-4 * largest + 1e-4, "{}: {difference} of {largest}", tensor.name);
        }
    }
}
