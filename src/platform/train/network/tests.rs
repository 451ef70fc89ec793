use super::*;
use crate::platform::train::spec::Residual;

fn layers(yaml: &str) -> Vec<Layer> {
    serde_yaml::from_str(yaml).expect("layers")
}

fn refusal(yaml: &str, input: &[usize], outputs: usize) -> String {
    Network::resolve(&layers(yaml), input, outputs).expect_err("does not fit").to_string()
}

const CNN: &str = "
- conv2d: {out: 32, kernel: 3}
- relu
- conv2d: {out: 64, kernel: 3}
- relu
- max_pool2d: 2
- dropout: 0.25
- flatten
- linear: 128
- relu
- linear: 10
";

#[test]
fn shapes_and_parameters_are_those_of_the_same_network_in_pytorch() {
    let network = Network::resolve(&layers(CNN), &[1, 28, 28], 10).expect("fits");
    let outputs: Vec<_> = network.layers.iter().map(|layer| layer.output.clone()).collect();
    assert_eq!(outputs[0], [32, 26, 26]);
    assert_eq!(outputs[4], [64, 12, 12]);
    assert_eq!(outputs[6], [9216]);
    assert_eq!(network.parameters(), 1_199_882);
    assert_eq!(network.tensors[2].name, "layers.3.weight");
    assert_eq!(network.tensors[2].initial, Initial::Uniform(1.0 / (32.0_f32 * 9.0).sqrt()));
}

#[test]
fn stride_and_padding_change_the_shape() {
    let yaml = "[{conv2d: {out: 4, kernel: 5, stride: 2, padding: 2}}, flatten, {linear: 3}]";
    let network = Network::resolve(&layers(yaml), &[3, 9, 7], 3).expect("fits");
    assert_eq!(network.layers[0].output, [4, 5, 4]);
}

#[test]
fn a_linear_layer_after_an_image_says_to_flatten() {
    let text = refusal("[{conv2d: {out: 4, kernel: 3}}, {linear: 10}]", &[1, 8, 8], 10);
    assert_eq!(
        text,
        "layer 2 (`linear 10`): it takes one dimension but gets [4, 6, 6]; add `flatten` before it"
    );
}

#[test]
fn a_last_layer_of_another_size_says_how_many_classes_there_are() {
    let text = refusal("[flatten, {linear: 12}]", &[1, 8, 8], 10);
    assert!(text.starts_with("layer 2 (`linear 12`): the network ends with 12 outputs"), "{text}");
    assert!(text.ends_with("make the last layer `linear: 10`"), "{text}");
}

#[test]
fn what_does_not_fit_is_named_with_its_place() {
    for (yaml, wanted) in [
        ("[{conv2d: {out: 4, kernel: 9}}]", "layer 1 (`conv2d 4x9x9`): its 9x9 kernel does not fit"),
        ("[{conv2d: {out: 4, kernel: 3, stride: 0}}]", "must be over 0"),
        ("[{max_pool2d: 0}]", "does not fit"),
        ("[{max_pool2d: {kernel: 3, padding: 2}}]", "`padding` up to half of `kernel`"),
        ("[flatten, {max_pool2d: 2}]", "layer 2 (`max_pool2d 2`): it takes images"),
        ("[{dropout: 1.0}]", "below 1"),
        ("[{dropout: .nan}]", "below 1"),
        (
            "[{residual: [relu, {conv2d: {out: 2, kernel: 3}}]}]",
            "they must keep the shape, or need a `shortcut`",
        ),
        (
            "[{residual: {layers: [{conv2d: {out: 2, kernel: 3}}], shortcut: [{conv2d: {out: 2, kernel: 1}}]}}]",
            "its layers give [2, 6, 6] but its shortcut gives [2, 8, 8]",
        ),
        ("[{residual: {layers: [relu], shortcut: [relu, {linear: 2}]}}]", "layer 1.shortcut.2 (`linear 2`)"),
        ("[{parallel: [[relu], [relu, {max_pool2d: 99}]]}]", "layer 1.2.2 (`max_pool2d 99`)"),
        ("[{parallel: [[relu], [{avg_pool2d: 2}]]}]", "branch 2 gives [1, 4, 4], which cannot be joined"),
        ("[{parallel: []}]", "no branches"),
        (
            "[{conv2d: {out: 4, kernel: 3, groups: 2}}]",
            "2 groups do not divide 1 input and 4 output channels",
        ),
        ("[{conv2d: {out: 4, kernel: 3, dilation: 4}}]", "its 3x3 kernel does not fit"),
        ("[{conv_transpose2d: {out: 4, kernel: 3, stride: 2, output_padding: 2}}]", "`output_padding` below"),
        (
            "[flatten, {conv_transpose2d: {out: 4, kernel: 3}}]",
            "layer 2 (`conv_transpose2d 4x3x3`): it takes images",
        ),
        ("[layer_norm]", "use `group_norm: 1`"),
        ("[{group_norm: 2}]", "2 groups do not divide 1 channels"),
        ("[{reshape: [8, 8]}, {group_norm: 2}]", "use `layer_norm`"),
        ("[flatten, global_avg_pool]", "it takes images or sequences"),
        ("[{leaky_relu: 1.5}]", "below 1"),
        ("[{reshape: [8, 9]}]", "[1, 8, 8] does not hold as many values"),
        ("[flatten, {attention: {heads: 2}}]", "add `reshape` or `embedding` before it"),
        ("[{reshape: [8, 8]}, {attention: {heads: 3}}]", "3 heads do not divide 8 features"),
        ("[flatten, {embedding: {tokens: 9, size: 2}}]", "can only be the first layer"),
        (
            "[{embedding: {tokens: 9, size: 2}}]",
            "it takes a list of tokens, such as the columns of a table, but gets [1, 8, 8]",
        ),
        ("[{reshape: [8, 8]}, {conv1d: {out: 2, kernel: 9}}]", "its kernel of 9 does not fit 8 positions"),
        ("[{reshape: [8, 8]}, {lstm: {size: 0}}]", "`size` must be over 0"),
        ("[{residual: [relu, {max_pool2d: 99}]}]", "layer 1.2 (`max_pool2d 99`)"),
        ("[flatten, {linear: 99999999999}, {linear: 2}]", "too large"),
        ("[{conv2d: {out: 4, kernel: 3}}]", "end it with `flatten`"),
        ("[]", "`network` has no layers"),
    ] {
        let text = refusal(yaml, &[1, 8, 8], 2);
        assert!(text.contains(wanted), "{yaml}: {text}");
    }
    let text = refusal("[{embedding: {tokens: 9, size: 2, padding: 9}}, flatten, output]", &[5], 2);
    assert!(text.contains("its padding is the token 9"), "{text}");
}

#[test]
fn a_hostile_shape_or_depth_is_refused_and_not_computed() {
    assert!(refusal("[relu]", &[usize::MAX, 2], 2).contains("input.shape"));
    assert!(refusal("[relu]", &[0], 2).contains("input.shape"));
    let mut layer = Layer::Relu;
    for _ in 0..100 {
        layer = Layer::Residual(Residual { layers: vec![layer], shortcut: Vec::new() });
    }
    let text = Network::resolve(&[layer], &[4], 4).expect_err("too deep").to_string();
    assert!(text.contains("nested"), "{text}");
}

#[test]
fn a_last_pooling_over_a_residual_network_is_accepted() {
    let yaml = "
- conv2d: {out: 8, kernel: 3, padding: 1}
- batch_norm
- residual: [{conv2d: {out: 8, kernel: 3, padding: 1}}, batch_norm, relu]
- avg_pool2d: 8
- flatten
- linear: 2
";
    let network = Network::resolve(&layers(yaml), &[1, 8, 8], 2).expect("fits");
    assert_eq!(network.tensors[6].name, "layers.3.1.weight");
    assert_eq!(network.layers[3].output, [8, 1, 1]);
    assert_eq!(network.parameters(), 8 * 9 + 8 + 16 + 8 * 8 * 9 + 8 + 16 + 8 * 2 + 2);
}

#[test]
fn new_layers_have_the_shapes_and_parameters_of_pytorch() {
    let yaml = "
- {conv2d: {out: 8, kernel: 3, padding: 2, dilation: 2, groups: 2}}
- {conv_transpose2d: {out: 4, kernel: 3, stride: 2, padding: 1, output_padding: 1}}
- residual: {layers: [{conv2d: {out: 6, kernel: 3, stride: 2, padding: 1}}, {group_norm: 2}], shortcut: [{conv2d: {out: 6, kernel: 1, stride: 2}}]}
- parallel: [[{conv2d: {out: 3, kernel: 1}}], [sigmoid]]
- {reshape: [9, 36]}
- {lstm: {size: 5}}
- {attention: {heads: 5, causal: true}}
- {conv1d: {out: 7, kernel: 3, padding: 1}}
- {gru: {size: 3, output: last}}
- output
";
    let network = Network::resolve(&layers(yaml), &[4, 6, 6], 10).expect("fits");
    let outputs: Vec<_> = network.layers.iter().map(|layer| layer.output.clone()).collect();
    assert_eq!(outputs[..5], [vec![8, 6, 6], vec![4, 12, 12], vec![6, 6, 6], vec![9, 6, 6], vec![9, 36]]);
    assert_eq!(outputs[5..], [vec![9, 5], vec![9, 5], vec![9, 7], vec![3], vec![10]]);
    let parameters: Vec<usize> = network.layers.iter().map(|layer| layer.parameters).collect();
    // torch: Conv2d(4, 8, 3, groups=2), ConvTranspose2d(8, 4, 3), (Conv2d(4, 6, 3), GroupNorm(2, 6), Conv2d(4, 6, 1)),
    // Conv2d(6, 3, 1), LSTM(36, 5), MultiheadAttention(5, 5), Conv1d(5, 7, 3), GRU(7, 3), Linear(3, 10).
    assert_eq!(parameters, [152, 292, 222 + 12 + 30, 21, 0, 860, 120, 112, 108, 40]);
    assert_eq!(network.layers[2].name, "residual of 2 layers around 1");
    assert!(network.tensors.iter().any(|tensor| tensor.name == "layers.3.shortcut.1.weight"));
    assert!(network.tensors.iter().any(|tensor| tensor.name == "layers.4.1.1.weight"));
}

#[test]
fn a_residual_is_written_as_a_list_or_with_its_shortcut_and_stays_as_written() {
    for text in [r#"{"residual":["relu"]}"#, r#"{"residual":{"layers":["relu"],"shortcut":["tanh"]}}"#] {
        let layer: Layer = serde_json::from_str(text).expect("a layer");
        assert_eq!(serde_json::to_string(&layer).expect("JSON"), text);
        assert_eq!(serde_yaml::from_str::<Layer>(text).expect("a layer"), layer);
    }
    let wrong =
        serde_yaml::from_str::<Layer>("residual: {layers: [relu], shortcuts: [tanh]}").expect_err("misspelt");
    assert!(wrong.to_string().contains("shortcuts"), "{wrong}");
    let wrong = serde_yaml::from_str::<Layer>("residual: [{dropot: 1}]").expect_err("misspelt");
    assert!(wrong.to_string().contains("dropot"), "{wrong}");
}
