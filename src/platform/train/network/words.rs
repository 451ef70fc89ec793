//! Layers in a few words, for messages and for the table of layers.

use crate::base::plural;
use crate::platform::train::spec::{Layer, Pool, RecurrentOutput};

/// The layer in a few words: `conv2d 32x3x3`.
pub(super) fn describe(layer: &Layer) -> String {
    match layer {
        Layer::Linear(outputs) => format!("linear {outputs}"),
        Layer::Output => "output".to_owned(),
        Layer::Conv1d(conv) => {
            let mut text = format!("conv1d {}x{}", conv.out, conv.kernel);
            unusual(&mut text, &[("stride", conv.stride, 1), ("padding", conv.padding, 0)]);
            unusual(&mut text, &[("dilation", conv.dilation, 1)]);
            text
        }
        Layer::Conv2d(conv) => {
            let mut text = format!("conv2d {}x{}x{}", conv.out, conv.kernel, conv.kernel);
            unusual(&mut text, &[("stride", conv.stride, 1), ("padding", conv.padding, 0)]);
            unusual(&mut text, &[("dilation", conv.dilation, 1), ("groups", conv.groups, 1)]);
            text
        }
        Layer::ConvTranspose2d(conv) => {
            let mut text = format!("conv_transpose2d {}x{}x{}", conv.out, conv.kernel, conv.kernel);
            unusual(&mut text, &[("stride", conv.stride, 1), ("padding", conv.padding, 0)]);
            unusual(&mut text, &[("output_padding", conv.output_padding, 0)]);
            text
        }
        Layer::MaxPool2d(pool) => windows("max_pool2d", pool),
        Layer::AvgPool2d(pool) => windows("avg_pool2d", pool),
        Layer::GlobalMaxPool => "global_max_pool".to_owned(),
        Layer::GlobalAvgPool => "global_avg_pool".to_owned(),
        Layer::BatchNorm => "batch_norm".to_owned(),
        Layer::LayerNorm => "layer_norm".to_owned(),
        Layer::GroupNorm(groups) => format!("group_norm {groups}"),
        Layer::Dropout(share) => format!("dropout {share}"),
        Layer::Relu => "relu".to_owned(),
        Layer::LeakyRelu(slope) => format!("leaky_relu {slope}"),
        Layer::Gelu => "gelu".to_owned(),
        Layer::Silu => "silu".to_owned(),
        Layer::Sigmoid => "sigmoid".to_owned(),
        Layer::Tanh => "tanh".to_owned(),
        Layer::Flatten => "flatten".to_owned(),
        Layer::Reshape(shape) => format!("reshape {shape:?}"),
        Layer::Embedding(embedding) => format!("embedding {}x{}", embedding.tokens, embedding.size),
        Layer::PositionalEmbedding => "positional_embedding".to_owned(),
        Layer::Attention(attention) => {
            let causal = if attention.causal { " causal" } else { "" };
            format!("attention of {}{causal}", plural(attention.heads as u64, "head"))
        }
        Layer::Lstm(lstm) => format!("lstm {}{}", lstm.size, last(lstm.output)),
        Layer::Gru(gru) => format!("gru {}{}", gru.size, last(gru.output)),
        Layer::Residual(residual) => {
            let around = match residual.shortcut.len() {
                0 => String::new(),
                count => format!(" around {count}"),
            };
            format!("residual of {}{around}", plural(residual.layers.len() as u64, "layer"))
        }
        Layer::Parallel(branches) => format!("parallel of {} branches", branches.len()),
    }
}

fn windows(name: &str, pool: &Pool) -> String {
    let mut text = format!("{name} {}", pool.kernel);
    unusual(&mut text, &[("stride", pool.stride, pool.kernel), ("padding", pool.padding, 0)]);
    text
}

/// Adds what is not as usual: ` stride 2`.
fn unusual(text: &mut String, settings: &[(&str, usize, usize)]) {
    for (name, value, usual) in settings {
        if value != usual {
            *text += &format!(" {name} {value}");
        }
    }
}

fn last(output: RecurrentOutput) -> &'static str {
    match output {
        RecurrentOutput::Sequence => "",
        RecurrentOutput::Last => " last",
    }
}
