//! Every kernel against candle's own operations, or against numeric gradients where those are wrong.

use std::sync::{Arc, Mutex};

use candle_core::{Device, Tensor, Var};

use super::super::random::{Purpose, Stream};
use super::super::{spec, stock};
use candle_core::CustomOp3;

use super::*;

fn random(shape: &[usize], key: u64) -> Tensor {
    let mut stream = Stream::new(1, Purpose::Weights, &[key]);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| stream.symmetric()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).expect("a tensor")
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|tensor| tensor.to_vec1()).expect("values")
}

/// The largest difference as a share of the largest value.
fn difference(found: &Tensor, wanted: &Tensor) -> f32 {
    assert_eq!(found.dims(), wanted.dims());
    let (found, wanted) = (flat(found), flat(wanted));
    let largest = wanted.iter().fold(1e-20_f32, |a, b| a.max(b.abs()));
    found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

/// Output of `run` on these variables, and the gradients of the output's product with fixed random numbers.
fn gradients(variables: &[Var], run: &dyn Fn(&[Tensor]) -> Tensor) -> (Tensor, Vec<Tensor>) {
    let tensors: Vec<Tensor> = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
    let y = run(&tensors);
    let factors = random(y.dims(), 99);
    let store = (&y * factors).and_then(|y| y.sum_all()?.backward()).expect("gradients");
    let gradient = |variable: &Var| store.get(variable).expect("a gradient").clone();
    (y, variables.iter().map(gradient).collect())
}

/// Holds output and all gradients of a kernel against those of the reference.
fn compare(
    what: &str,
    shapes: &[&[usize]],
    kernel: &dyn Fn(&[Tensor]) -> Tensor,
    reference: &dyn Fn(&[Tensor]) -> Tensor,
) {
    let variables: Vec<Var> = shapes
        .iter()
        .enumerate()
        .map(|(key, shape)| Var::from_tensor(&random(shape, key as u64)).expect("a variable"))
        .collect();
    let (y, found) = gradients(&variables, kernel);
    let (wanted_y, wanted) = gradients(&variables, reference);
    assert!(difference(&y, &wanted_y) < 1e-5, "{what}: output differs by {}", difference(&y, &wanted_y));
    for (index, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
        let difference = difference(found, wanted);
        assert!(difference < 1e-5, "{what}: gradient {index} differs by {difference}");
    }
}

fn window(out: usize, kernel: usize, stride: usize, padding: usize) -> spec::Conv2d {
    spec::Conv2d { out, kernel, stride, padding, dilation: 1, groups: 1 }
}

#[test]
fn convolutions_are_those_of_candle_for_every_stride_and_padding() {
    for (side, out, kernel, stride, padding) in [
        (8, 3, 3, 1, 0),
        (8, 3, 3, 1, 1),
        (9, 2, 3, 2, 1),
        (7, 4, 5, 1, 2),
        (7, 2, 1, 1, 0),
        (11, 2, 5, 3, 4),
        (4, 1, 4, 1, 0),
    ] {
        let window = window(out, kernel, stride, padding);
        // candle's own gradient refuses images that are not square where the stride is over 1.
        let shapes: [&[usize]; 3] =
            [&[11, 2, side, side + usize::from(stride == 1)], &[out, 2, kernel, kernel], &[out]];
        for relu in [false, true] {
            compare(
                &format!("{window:?} {relu}"),
                &shapes,
                &|t| t[0].apply_op3(&t[1], &t[2], Conv2d::new(window, relu, false, None)).expect("runs"),
                &|t| {
                    let y = stock::conv2d(&t[0], &t[1], &t[2], window).expect("runs");
                    if relu { y.relu().expect("runs") } else { y }
                },
            );
        }
    }
}

#[test]
fn a_fused_convolution_is_the_same_layers_one_after_the_other() {
    let mask = Mask { share: 0.25, stream: Stream::new(3, Purpose::Dropout, &[1]) };
    for (height, width) in [(8, 8), (9, 11), (5, 80)] {
        for mask in [None, Some(mask.clone())] {
            let window = window(4, 3, 1, 0);
            compare(
                "conv, relu, pool, dropout",
                &[&[9, 2, height, width], &[4, 2, 3, 3], &[4]],
                &|t| {
                    t[0].apply_op3(&t[1], &t[2], Conv2d::new(window, true, true, mask.clone())).expect("runs")
                },
                &|t| {
                    let y = stock::conv2d(&t[0], &t[1], &t[2], window).and_then(|y| y.relu()).expect("runs");
                    // The kernel of this crate: equal values are common after relu, where the reference gives each
                    // the gradient; relu then takes it away again.
                    let y = y.apply_op1(MaxPool2d::new(2)).expect("runs");
                    match &mask {
                        Some(mask) => {
                            (&y * mask.factors(y.shape(), y.device()).expect("a mask")).expect("runs")
                        }
                        None => y,
                    }
                },
            );
        }
    }
}

#[test]
fn pooling_is_that_of_the_reference_also_where_windows_do_not_fill_the_image() {
    for (height, width, side) in [(4, 6, 2), (5, 7, 2), (9, 9, 3), (7, 10, 4)] {
        let shapes: [&[usize]; 1] = [&[3, 2, height, width]];
        compare("max pool", &shapes, &|t| t[0].apply_op1(MaxPool2d::new(side)).expect("runs"), &|t| {
            stock::max_pool2d(&t[0], side).expect("runs")
        });
        compare("avg pool", &shapes, &|t| t[0].apply_op1(AvgPool2d(side)).expect("runs"), &|t| {
            stock::avg_pool2d(&t[0], side).expect("runs")
        });
    }
}

#[test]
fn windows_that_overlap_are_pooled_as_by_the_reference() {
    for (height, width, kernel, stride, padding) in [(7, 6, 3, 2, 1), (5, 8, 2, 1, 0), (4, 4, 4, 3, 2)] {
        let pool = spec::Pool { kernel, stride, padding };
        let shapes: [&[usize]; 1] = [&[3, 2, height, width]];
        compare("avg pool", &shapes, &|t| t[0].apply_op1(AvgPoolWindows(pool)).expect("runs"), &|t| {
            stock::avg_pool_windows(&t[0], pool).expect("runs")
        });
        // The reference gives a pixel at the edge its gradient for each pixel beyond it: only the output is the same.
        let x = random(shapes[0], 1);
        let y = x.apply_op1(MaxPoolWindows::new(pool)).expect("runs");
        assert_eq!(difference(&y, &stock::max_pool_windows(&x, pool).expect("runs")), 0.0);
    }
}

#[test]
fn the_gradient_of_max_pooling_goes_to_the_largest_value_whole() {
    let x = Var::from_vec(vec![1_f32, 2.0, 3.0, 4.0], (1, 1, 2, 2), &Device::Cpu).expect("a variable");
    let y = x.as_tensor().apply_op1(MaxPool2d::new(2)).expect("runs");
    let store = y.sum_all().and_then(|y| y.backward()).expect("gradients");
    assert_eq!(flat(store.get(&x).expect("a gradient")), [0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn linear_layers_are_those_of_candle_for_sizes_that_fill_no_task() {
    for (batch, inputs, outputs) in [(1, 7, 3), (65, 33, 17), (130, 2100, 40)] {
        for relu in [false, true] {
            compare(
                &format!("linear {batch} {inputs} {outputs} {relu}"),
                &[&[batch, inputs], &[outputs, inputs], &[outputs]],
                &|t| t[0].apply_op3(&t[1], &t[2], Linear::new(relu, None)).expect("runs"),
                &|t| {
                    let y = stock::linear(&t[0], &t[1], &t[2]).expect("runs");
                    if relu { y.relu().expect("runs") } else { y }
                },
            );
        }
    }
}

#[test]
fn dropout_is_the_same_fused_and_alone_and_keeps_the_mean() {
    let mask = Mask { share: 0.5, stream: Stream::new(3, Purpose::Dropout, &[1]) };
    compare(
        "linear, relu, dropout",
        &[&[20, 30], &[11, 30], &[11]],
        &|t| t[0].apply_op3(&t[1], &t[2], Linear::new(true, Some(mask.clone()))).expect("runs"),
        &|t| {
            let y = stock::linear(&t[0], &t[1], &t[2]).and_then(|y| y.apply_op1(Relu)).expect("runs");
            y.apply_op1(Dropout(mask.clone())).expect("runs")
        },
    );
    let ones = Tensor::ones((100, 1000), candle_core::DType::F32, &Device::Cpu).expect("ones");
    let dropped = flat(&ones.apply_op1(Dropout(Mask { share: 0.3, ..mask })).expect("runs"));
    let zeros = dropped.iter().filter(|&&x| x == 0.0).count();
    assert!((29_000..31_000).contains(&zeros), "{zeros}");
    assert!((dropped.iter().sum::<f32>() / 100_000.0 - 1.0).abs() < 0.02);
}

#[test]
fn batch_normalisation_is_that_of_the_reference_and_leaves_its_moments() {
    for shape in [&[6, 3, 4, 5][..], &[16, 5][..]] {
        let found = Arc::<Mutex<Moments>>::default();
        compare(
            "batch norm",
            &[shape, &[shape[1]], &[shape[1]]],
            &|t| t[0].apply_op3(&t[1], &t[2], BatchNorm::training(Arc::clone(&found))).expect("runs"),
            &|t| {
                let (mean, variance) = stock::moments(&t[0]).expect("runs");
                stock::normalize(&t[0], &mean, &variance, &t[1], &t[2]).expect("runs")
            },
        );
        let (mean, variance) = stock::moments(&random(shape, 0)).expect("runs");
        let found = found.lock().expect("moments").clone();
        let vector = |values: Vec<f32>| Tensor::new(values, &Device::Cpu).expect("a tensor");
        assert!(difference(&vector(found.mean.clone()), &mean) < 1e-5);
        assert!(difference(&vector(found.variance.clone()), &variance) < 1e-5);
        let (x, weight, bias) = (random(shape, 0), random(&[shape[1]], 1), random(&[shape[1]], 2));
        let y = x.apply_op3(&weight, &bias, BatchNorm::inference(found)).expect("runs");
        let wanted = stock::normalize(&x, &mean, &variance, &weight, &bias).expect("runs");
        assert!(difference(&y, &wanted) < 1e-5);
    }
}

#[test]
fn losses_are_those_of_candle() {
    let targets: Vec<u32> = (0..12).map(|index| index % 5).collect();
    let shares: Vec<f32> =
        targets.iter().flat_map(|&t| (0..5).map(move |c| f32::from(u8::from(c == t)))).collect();
    compare(
        "cross entropy",
        &[&[12, 5]],
        &|t| t[0].apply_op1(CrossEntropy::new(shares.clone())).expect("runs"),
        &|t| {
            candle_nn::loss::cross_entropy(&t[0], &Tensor::new(&targets[..], &Device::Cpu).expect("t"))
                .expect("runs")
        },
    );
    let shares: Vec<f32> = (0..60).map(|index| (index % 7) as f32 / 10.0).collect();
    compare(
        "cross entropy of shares",
        &[&[12, 5]],
        &|t| t[0].apply_op1(CrossEntropy::new(shares.clone())).expect("runs"),
        &|t| stock::cross_entropy(&t[0], shares.clone()).expect("runs"),
    );
    let numbers: Vec<f32> = (0..12).map(|index| index as f32 / 7.0).collect();
    let distances = [Distance::Squared, Distance::Absolute, Distance::Huber(0.6), Distance::Logistic];
    for distance in distances {
        compare(
            &format!("{distance:?}"),
            &[&[12, 1]],
            &|t| t[0].apply_op1(MeanDistance::new(distance, numbers.clone())).expect("runs"),
            &|t| stock::mean_distance(&t[0], distance, &numbers).expect("runs"),
        );
    }
}

#[test]
fn losses_of_huge_outputs_stay_finite_and_of_nan_are_nan() {
    let entropy = |values: [f32; 2]| {
        let logits = Tensor::new(&[values], &Device::Cpu).expect("logits");
        let loss = logits.apply_op1(CrossEntropy::new(vec![1.0, 0.0]));
        loss.and_then(|loss| loss.to_scalar::<f32>()).expect("runs")
    };
    assert_eq!(entropy([1e30, -1e30]), 0.0);
    assert!(entropy([f32::NAN, 0.0]).is_nan());
    let logistic = |y: f32| {
        let y = Tensor::new(&[[y]], &Device::Cpu).expect("a logit");
        let loss = y.apply_op1(MeanDistance::new(Distance::Logistic, vec![1.0]));
        loss.and_then(|loss| loss.to_scalar::<f32>()).expect("runs")
    };
    assert_eq!((logistic(1e30), logistic(-1e30)), (0.0, 1e30));
    assert!(logistic(f32::NAN).is_nan());
}

#[test]
fn relu_and_pooling_do_not_hide_what_is_not_a_number() {
    let x = Tensor::new(&[[[[1.0, 2.0], [f32::NAN, 0.5]]]], &Device::Cpu).expect("a tensor");
    assert!(flat(&x.apply_op1(Relu).expect("runs"))[2].is_nan());
    assert!(flat(&x.apply_op1(MaxPool2d::new(2)).expect("runs"))[0].is_nan());
    let weight = Tensor::full(f32::NAN, (1, 1, 1, 1), &Device::Cpu).expect("a tensor");
    let bias = Tensor::new(&[0_f32], &Device::Cpu).expect("a tensor");
    let y = x.apply_op3(&weight, &bias, Conv2d::new(window(1, 1, 1, 0), true, true, None)).expect("runs");
    assert!(flat(&y)[0].is_nan());
}

#[test]
fn no_input_gradient_is_computed_for_an_input_that_needs_none() {
    let x = random(&[2, 1, 5, 5], 0);
    let weight = Var::from_tensor(&random(&[2, 1, 3, 3], 1)).expect("a variable");
    let bias = Var::from_tensor(&random(&[2], 2)).expect("a variable");
    let kernel = Conv2d::new(window(2, 3, 1, 0), false, false, None);
    let y = kernel
        .bwd(&x, weight.as_tensor(), bias.as_tensor(), &random(&[2, 2, 3, 3], 3), &random(&[2, 2, 3, 3], 4))
        .expect("runs");
    assert!(y.0.is_none() && y.1.is_some());
}

#[test]
fn recurrent_layers_are_those_of_candle() {
    use candle_nn::rnn::{GRUConfig, LSTMConfig, RNN, gru, lstm};
    let (batch, length, features, size) = (18, 6, 3, 4);
    let x = random(&[batch, length, features], 0);
    for (cell, gates) in [(Cell::Lstm, 4), (Cell::Gru, 3)] {
        let shapes = [
            ("weight_ih_l0", vec![gates * size, features]),
            ("weight_hh_l0", vec![gates * size, size]),
            ("bias_ih_l0", vec![gates * size]),
            ("bias_hh_l0", vec![gates * size]),
        ];
        let tensors: std::collections::HashMap<String, Tensor> = shapes
            .iter()
            .zip(1..)
            .map(|((name, shape), key)| ((*name).to_owned(), random(shape, key)))
            .collect();
        let of = |name: &str| tensors[name].clone();
        let rows = x.flatten(0, 1).expect("rows");
        let input = stock::linear(&rows, &of("weight_ih_l0"), &of("bias_ih_l0"));
        let input = input.and_then(|y| y.reshape((batch, length, gates * size))).expect("runs");
        let found =
            input.apply_op3(&of("weight_hh_l0"), &of("bias_hh_l0"), Recurrent::new(cell)).expect("runs");
        let given = candle_nn::VarBuilder::from_tensors(tensors, candle_core::DType::F32, &Device::Cpu);
        let wanted: Vec<Tensor> = match cell {
            Cell::Lstm => {
                let layer = lstm(features, size, LSTMConfig::default(), given).expect("a layer");
                layer.seq(&x).expect("runs").iter().map(|state| state.h().clone()).collect()
            }
            Cell::Gru => {
                let layer = gru(features, size, GRUConfig::default(), given).expect("a layer");
                layer.seq(&x).expect("runs").iter().map(|state| state.h.clone()).collect()
            }
        };
        let wanted = Tensor::stack(&wanted, 1).expect("stacks");
        assert!(difference(&found, &wanted) < 1e-5, "{cell:?}");
    }
}
