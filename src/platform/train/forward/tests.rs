use candle_core::{Device, Tensor, Var};

use super::super::network::Network;
use super::super::random::Purpose;
use super::super::spec::Layer;
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
- parallel:
  - [{conv2d: {out: 4, kernel: 3, padding: 2, dilation: 2, groups: 4}}, silu]
  - [{conv2d: {out: 2, kernel: 1}}, {leaky_relu: 0.1}]
- residual: {layers: [{conv2d: {out: 8, kernel: 3, padding: 1}}, {group_norm: 4}], shortcut: [{conv2d: {out: 8, kernel: 1}}]}
- conv_transpose2d: {out: 8, kernel: 3, padding: 1}
- avg_pool2d: {kernel: 3, stride: 1, padding: 1}
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

const SEQUENCE: &str = "
- embedding: {tokens: 11, size: 6}
- positional_embedding
- residual: [layer_norm, {attention: {heads: 2}}, {dropout: 0.1}]
- residual: [layer_norm, {linear: 8}, relu, {dropout: 0.1}, {linear: 6}]
- batch_norm
- conv1d: {out: 6, kernel: 3, stride: 2, padding: 2, dilation: 2}
- parallel: [[{lstm: {size: 4}}], [{gru: {size: 3}}], [{attention: {heads: 3, causal: true}}]]
- parallel:
  - [global_avg_pool]
  - [global_max_pool, sigmoid]
  - [{lstm: {size: 3, output: last}}]
  - [{reshape: [13, 12]}, {gru: {size: 2, output: last}}]
- linear: 4
";

/// Everything that leaves padding out, and what ends that.
const PADDED: &str = "
- embedding: {tokens: 4, size: 6, padding: 0}
- positional_embedding
- residual: [layer_norm, {attention: {heads: 2}}]
- residual: [{conv1d: {out: 6, kernel: 1}}, relu]
- parallel: [[{attention: {heads: 3, causal: true}}], [{lstm: {size: 4}}]]
- parallel:
  - [global_avg_pool]
  - [global_max_pool]
  - [{gru: {size: 3, output: last}}]
  - [{lstm: {size: 3, output: last}}]
  - [{conv1d: {out: 3, kernel: 2, stride: 2}}, global_avg_pool]
  - [{reshape: [12, 10]}, global_max_pool]
- linear: 4
";

fn layers(yaml: &str) -> Vec<Layer> {
    serde_yaml::from_str(yaml).expect("layers")
}

/// A network with random weights; its inputs are tokens if it begins with an embedding.
struct Example {
    network: Network,
    variables: Vec<Var>,
    x: Tensor,
}

impl Example {
    fn new(layers: &[Layer], input: &[usize], outputs: usize, batch: usize) -> Self {
        let network = Network::resolve(layers, input, outputs).expect("fits");
        let mut random = Stream::new(5, Purpose::Weights, &[0]);
        let mut values = |shape: &[usize]| {
            let values: Vec<f32> =
                (0..shape.iter().product()).map(|_| random.symmetric() * 0.4 + 0.1).collect();
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
        let shape: Vec<usize> = [batch].iter().chain(input).copied().collect();
        let x = match network.tokens() {
            Some(tokens) => {
                let count = shape.iter().product();
                let values: Vec<f32> = (0..count).map(|_| random.below(tokens) as f32).collect();
                Tensor::from_vec(values, shape, &Device::Cpu).expect("a tensor")
            }
            None => values(&shape),
        };
        Self { network, variables, x }
    }

    fn weights(&self) -> Vec<Tensor> {
        self.variables.iter().map(|variable| variable.as_tensor().clone()).collect()
    }
}

#[test]
fn a_network_of_every_layer_gives_the_same_by_kernels_and_by_candle() {
    for (yaml, input) in [
        (EVERYTHING, &[1, 18, 22][..]),
        (NORMALISED, &[1, 11, 37][..]),
        (SEQUENCE, &[23][..]),
        (PADDED, &[12][..]),
    ] {
        let example = Example::new(&layers(yaml), input, 4, 10);
        for training in [false, true] {
            same_by_both(&example, training);
        }
    }
}

/// Normalised between convolution and relu.
const NORMALISED: &str = "[{conv2d: {out: 6, kernel: 3}}, batch_norm, relu, {max_pool2d: 2}, {conv2d: {out: 3, kernel: 2}}, relu, \
                          {dropout: 0.2}, global_avg_pool, {linear: 4}]";

/// Wide enough for the threads to share the outputs of one image.
const WIDE: &str = "[{conv2d: {out: 16, kernel: 3}}, relu, {max_pool2d: 2}, {conv2d: {out: 24, kernel: 3}}, \
                    {conv2d: {out: 32, kernel: 3, stride: 2}}, flatten, {linear: 4}]";

#[test]
fn an_example_gets_the_same_answer_alone_as_among_others() {
    let threads = rayon::ThreadPoolBuilder::new().num_threads(4).build().expect("threads");
    threads.install(|| {
        for (yaml, input) in [(EVERYTHING, &[1, 18, 22][..]), (SEQUENCE, &[23][..]), (WIDE, &[1, 14, 18][..])]
        {
            same_alone_as_among_others(yaml, input);
        }
    });
}

fn same_alone_as_among_others(yaml: &str, input: &[usize]) {
    let Example { network, variables, x } = Example::new(&layers(yaml), input, 4, 10);
    let weights: Vec<Tensor> = variables.iter().map(|variable| variable.as_detached_tensor()).collect();
    let turned = Pass::turned(&network.layers, &weights).expect("lays out");
    let answers = |x: &Tensor| {
        let y = Pass::inference(&weights).with(&turned).run(&network.layers, x).expect("runs");
        y.to_vec2::<f32>().expect("values")
    };
    let together = answers(&x);
    for (index, together) in together.iter().enumerate() {
        let alone = x.narrow(0, index, 1).and_then(|x| x.contiguous()).expect("one example");
        assert_eq!(&answers(&alone)[0], together, "{index}");
    }
}

fn same_by_both(Example { network, variables, x }: &Example, training: bool) {
    let weights: Vec<Tensor> = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
    let pass = || match training {
        true => Pass::training(&weights, Stream::new(9, Purpose::Dropout, &[1])),
        false => Pass::inference(&weights),
    };
    let mut kernels = pass();
    let y = kernels.run(&network.layers, x).expect("runs");
    let mut stock = Pass { tape: None, ..pass() };
    let wanted = stock.run_by(Path::Stock, &network.layers, x).expect("runs");
    let difference = (&y - &wanted).and_then(|d| d.abs()?.max_all()?.to_scalar::<f32>()).expect("a number");
    assert!(difference < 1e-5, "{training}: {difference}");
    if !training {
        return;
    }
    let found = kernels.backward((y.detach() * 2.0).expect("runs")).expect("gradients");
    let wanted = wanted.sqr().and_then(|y| y.sum_all()?.backward()).expect("gradients");
    let both = variables.iter().zip(&network.tensors).zip(found);
    for ((variable, tensor), found) in both.filter(|((_, tensor), _)| tensor.trained) {
        let (found, wanted) = (found.expect("one"), wanted.get(variable).expect("one"));
        let largest = wanted.abs().and_then(|w| w.max_all()?.to_scalar::<f32>()).expect("a number");
        let difference =
            (found - wanted).and_then(|d| d.abs()?.max_all()?.to_scalar::<f32>()).expect("a number");
        // Biases before batch normalisation have no gradient but rounding.
        assert!(difference <= 2e-4 * largest + 1e-4, "{}: {difference} of {largest}", tensor.name);
    }
}

/// Networks of one new layer each, with what makes its input depend on weights, so that its input gradient is seen too.
const ALONE: [(&str, &[usize]); 26] = [
    ("[{conv2d: {out: 2, kernel: 1}}, {avg_pool2d: {kernel: 3, stride: 2, padding: 1}}]", &[1, 6, 5]),
    ("[{conv2d: {out: 2, kernel: 1}}, {max_pool2d: {kernel: 3, stride: 2, padding: 1}}]", &[1, 6, 5]),
    ("[{linear: 5}, tanh]", &[3, 4]),
    (
        "[{conv2d: {out: 2, kernel: 1}}, {conv2d: {out: 4, kernel: 3, stride: 2, padding: 1, groups: 2}}]",
        &[2, 5, 6],
    ),
    ("[{conv2d: {out: 2, kernel: 1}}, {conv2d: {out: 3, kernel: 2, padding: 2, dilation: 3}}]", &[1, 5, 4]),
    ("[{conv2d: {out: 4, kernel: 1}}, {conv2d: {out: 4, kernel: 3, groups: 4, dilation: 2}}]", &[1, 6, 5]),
    (
        "[{conv2d: {out: 2, kernel: 1}}, {conv_transpose2d: {out: 3, kernel: 3, stride: 2, padding: 1, output_padding: 1}}]",
        &[1, 3, 4],
    ),
    (
        "[{conv2d: {out: 2, kernel: 1}}, {conv_transpose2d: {out: 2, kernel: 2, stride: 3, output_padding: 2}}]",
        &[2, 2, 3],
    ),
    ("[{conv2d: {out: 3, kernel: 2}}, global_avg_pool]", &[1, 4, 5]),
    ("[{conv2d: {out: 3, kernel: 2}}, global_max_pool]", &[1, 4, 5]),
    ("[{linear: 4}, global_max_pool]", &[5, 3]),
    ("[{linear: 6}, layer_norm]", &[4]),
    ("[{linear: 6}, layer_norm]", &[3, 4]),
    ("[{conv2d: {out: 6, kernel: 1}}, {group_norm: 3}]", &[2, 3, 4]),
    ("[{linear: 6}, sigmoid, {linear: 6}, silu, {linear: 6}, {leaky_relu: 0.2}]", &[4]),
    ("[{linear: 4}, {conv1d: {out: 3, kernel: 3, stride: 2, padding: 2, dilation: 2}}]", &[9, 2]),
    ("[{embedding: {tokens: 5, size: 3}}, positional_embedding]", &[6]),
    ("[{linear: 6}, {attention: {heads: 3}}]", &[4, 5]),
    ("[{linear: 4}, {attention: {heads: 2, causal: true}}]", &[5, 4]),
    ("[{embedding: {tokens: 3, size: 4, padding: 1}}, {attention: {heads: 2}}]", &[6]),
    (
        "[{embedding: {tokens: 3, size: 4, padding: 1}}, {parallel: [[global_avg_pool], [global_max_pool]]}]",
        &[6],
    ),
    ("[{embedding: {tokens: 3, size: 4, padding: 1}}, {gru: {size: 3, output: last}}]", &[6]),
    ("[{linear: 3}, {lstm: {size: 4}}]", &[5, 2]),
    ("[{linear: 3}, {gru: {size: 4}}]", &[5, 2]),
    ("[{linear: 3}, {lstm: {size: 2}}, {gru: {size: 4, output: last}}]", &[4, 2]),
    (
        "[{linear: 4}, {residual: {layers: [{linear: 3}, tanh], shortcut: [{linear: 3}]}}, {parallel: [[gelu], [{linear: 2}, tanh]]}]",
        &[3, 4],
    ),
];

#[test]
fn the_gradients_of_every_layer_are_those_of_central_differences() {
    for (yaml, input) in ALONE {
        // What comes out has any shape: `flatten` and the number that it has are added.
        let mut all = layers(yaml);
        all.push(Layer::Flatten);
        let refusal = Network::resolve(&all, input, 0).expect_err("no outputs").to_string();
        let outputs =
            refusal.split("ends with ").nth(1).and_then(|text| text.split(' ').next()?.parse().ok());
        // 17 examples: more than one task of each kernel.
        let example = Example::new(&all, input, outputs.expect("a number"), 17);
        check_gradients(yaml, &example);
    }
}

fn check_gradients(yaml: &str, example: &Example) {
    /// Half the step of a central difference.
    const STEP: f32 = 1e-3;
    let weights = example.weights();
    let total = || {
        let y = Pass::inference(&weights).run(&example.network.layers, &example.x).expect("runs");
        let mut random = Stream::new(7, Purpose::Weights, &[1]);
        let factors: Vec<f32> = (0..y.elem_count()).map(|_| random.symmetric()).collect();
        (y.clone(), Tensor::from_vec(factors, y.shape(), &Device::Cpu).expect("factors"))
    };
    let mut pass = Pass { tape: Some(Tape::default()), ..Pass::inference(&weights) };
    pass.run(&example.network.layers, &example.x).expect("runs");
    let gradients = pass.backward(total().1).expect("gradients");
    let value = || {
        let (y, factors) = total();
        let values = |tensor: Tensor| tensor.flatten_all().and_then(|t| t.to_vec1::<f32>()).expect("values");
        let both = values(y).into_iter().zip(values(factors));
        both.map(|(y, factor)| f64::from(y) * f64::from(factor)).sum::<f64>()
    };
    let tensors = example.variables.iter().zip(&example.network.tensors);
    for ((variable, tensor), found) in tensors.zip(gradients) {
        let found = found.expect("a gradient").flatten_all().and_then(|g| g.to_vec1::<f32>());
        let found = found.expect("values");
        let largest = found.iter().fold(0_f32, |a, b| a.max(b.abs()));
        let before = variable.as_detached_tensor().copy().expect("a copy");
        let values = before.flatten_all().and_then(|values| values.to_vec1::<f32>()).expect("values");
        // Every third or so: enough to see what is wrong.
        for index in (0..values.len()).step_by(1 + values.len() / 12) {
            let at = |step: f32| {
                let mut moved = values.clone();
                moved[index] += step;
                variable
                    .set(&Tensor::from_vec(moved, before.shape(), &Device::Cpu).expect("a tensor"))
                    .expect("set");
                value()
            };
            let (right, left) =
                ((at(STEP) - at(0.0)) / f64::from(STEP), (at(0.0) - at(-STEP)) / f64::from(STEP));
            // Where a maximum goes over to another value there is no derivative.
            if yaml.contains("max") && (right - left).abs() > 5e-3 {
                continue;
            }
            let wanted = f64::midpoint(right, left);
            let difference = (f64::from(found[index]) - wanted).abs();
            let name = &tensor.name;
            assert!(
                difference < 5e-3 * f64::from(largest) + 1e-3,
                "{yaml} {name}[{index}]: {} {wanted}",
                found[index]
            );
        }
        variable.set(&before).expect("set");
    }
}

/// Whatever fills a text up: the outputs are those of the text alone.
#[test]
fn padding_changes_nothing_that_is_said_of_a_text() {
    let yaml = "
- embedding: {tokens: 9, size: 6, padding: 2}
- residual: [layer_norm, {attention: {heads: 2}}]
- residual: [layer_norm, {linear: 8}, gelu, {linear: 6}]
- residual: [{attention: {heads: 3, causal: true}}]
- parallel: [[global_avg_pool], [global_max_pool], [{gru: {size: 3, output: last}}], [{lstm: {size: 3, output: last}}]]
- linear: 4
";
    let text = [3.0_f32, 5.0, 8.0, 1.0, 4.0];
    let long = Example::new(&layers(yaml), &[11], 4, 1);
    let short = Network::resolve(&layers(yaml), &[text.len()], 4).expect("fits");
    let weights = long.weights();
    let outputs = |path: Path, network: &Network, tokens: &[f32]| {
        let x = Tensor::new(tokens, &Device::Cpu).and_then(|x| x.unsqueeze(0)).expect("a tensor");
        let y = Pass::inference(&weights).run_by(path, &network.layers, &x).expect("runs");
        y.flatten_all().and_then(|y| y.to_vec1::<f32>()).expect("values")
    };
    let far = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    for path in [Path::Kernels, Path::Stock] {
        let wanted = outputs(path, &short, &text);
        let mut filled = text.to_vec();
        filled.resize(11, 2.0);
        let found = outputs(path, &long.network, &filled);
        assert!(far(&found, &wanted) < 1e-5, "{path:?}: {found:?} {wanted:?}");
        // The same six tokens more, were they of the text, would change it.
        filled[5..].fill(7.0);
        assert!(far(&outputs(path, &long.network, &filled), &wanted) > 1e-3, "{path:?}");
        // A text without any token is a position of padding, and nothing is divided by zero.
        let empty = outputs(path, &long.network, &[2.0; 11]);
        assert!(empty.iter().all(|value| value.is_finite()), "{path:?}: {empty:?}");
        let one = Network::resolve(&layers(yaml), &[1], 4).expect("fits");
        assert!(far(&empty, &outputs(path, &one, &[2.0])) < 1e-5, "{path:?}");
    }
}
