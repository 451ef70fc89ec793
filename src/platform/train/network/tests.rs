use super::*;

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
        ("[flatten, {max_pool2d: 2}]", "layer 2 (`max_pool2d 2`): it takes images"),
        ("[{dropout: 1.0}]", "below 1"),
        ("[{dropout: .nan}]", "below 1"),
        ("[{residual: [relu, {conv2d: {out: 2, kernel: 3}}]}]", "they must keep the shape"),
        ("[{residual: [relu, {max_pool2d: 99}]}]", "layer 1.2 (`max_pool2d 99`)"),
        ("[flatten, {linear: 99999999999}, {linear: 2}]", "too large"),
        ("[{conv2d: {out: 4, kernel: 3}}]", "end it with `flatten`"),
        ("[]", "`network` has no layers"),
    ] {
        let text = refusal(yaml, &[1, 8, 8], 2);
        assert!(text.contains(wanted), "{yaml}: {text}");
    }
}

#[test]
fn a_hostile_shape_or_depth_is_refused_and_not_computed() {
    assert!(refusal("[relu]", &[usize::MAX, 2], 2).contains("input.shape"));
    assert!(refusal("[relu]", &[0], 2).contains("input.shape"));
    let mut layer = Layer::Relu;
    for _ in 0..100 {
        layer = Layer::Residual(vec![layer]);
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
