//! Well-known networks by name. They are plain layers from the moment they are read: everything that shows or changes a
//! network sees those.

use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::form::Form;
use super::layer::{Attention, Conv2d, Embedding, Layer, Pool, Residual};

/// A network as written: its layers, the name of a preset, or a preset with settings.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[allow(dead_code, reason = "stands for the type in the schema; `read_network` does the reading")]
pub(super) enum NetworkForm {
    Layers(Vec<Layer>),
    Name(PresetName),
    Preset(Preset),
}

/// A well-known network. Its last layer is `output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PresetName {
    /// Fully connected hidden layers with relu.
    Mlp,
    /// LeNet-5 (LeCun and others, 1998) with relu and largest values in place of its tanh and means.
    Lenet,
    /// Residual network of 18 layers (He and others, 2016).
    Resnet18,
    /// A small transformer encoder, normalised first, over tokens (Vaswani and others, 2017).
    TinyTransformer,
}

/// A preset with settings.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Preset {
    /// Its name.
    preset: PresetName,
    /// `mlp`: widths of the hidden layers; `[256, 128]` if absent.
    hidden: Option<Vec<usize>>,
    /// `mlp` and `tiny-transformer`: share of dropout; 0 and 0.1 if absent.
    dropout: Option<f32>,
    /// `resnet18`: channels of its first stage; 64 if absent.
    width: Option<usize>,
    /// `resnet18`: whether it begins as for small images such as CIFAR's, 3x3 without pooling; else 7x7, which leaves a
    /// quarter of each side, as for ImageNet's. False if absent.
    small: Option<bool>,
    /// `tiny-transformer`: number of different tokens; 257 if absent: bytes and padding.
    tokens: Option<usize>,
    /// `tiny-transformer`: the token that fills short texts, which is then left out (0 where each byte is a token).
    padding: Option<usize>,
    /// `tiny-transformer`: features of a position; 64 if absent.
    size: Option<usize>,
    /// `tiny-transformer`: heads of its attention; 4 if absent.
    heads: Option<usize>,
    /// `tiny-transformer`: its blocks; 2 if absent.
    blocks: Option<usize>,
}

/// Reads `network:`.
pub(super) fn read_network<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Layer>, D::Error> {
    /// What is not a mapping: a list or a word.
    struct Short(Vec<Layer>);

    impl<'de> Deserialize<'de> for Short {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(ListOrWord).map(Self)
        }
    }

    match Form::<Short, Preset>::deserialize(deserializer)? {
        Form::Short(Short(layers)) => Ok(layers),
        Form::Long(preset) => preset.layers().map_err(D::Error::custom),
    }
}

struct ListOrWord;

impl<'de> serde::de::Visitor<'de> for ListOrWord {
    type Value = Vec<Layer>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a list of layers or the name of a preset")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Vec<Layer>, E> {
        let name = PresetName::deserialize(serde::de::IntoDeserializer::<E>::into_deserializer(name))?;
        Preset::plain(name).layers().map_err(E::custom)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, list: A) -> Result<Vec<Layer>, A::Error> {
        Vec::deserialize(serde::de::value::SeqAccessDeserializer::new(list))
    }
}

impl Preset {
    fn plain(preset: PresetName) -> Self {
        Self {
            preset,
            hidden: None,
            dropout: None,
            width: None,
            small: None,
            tokens: None,
            padding: None,
            size: None,
            heads: None,
            blocks: None,
        }
    }

    /// Its layers; refuses settings that it does not have.
    fn layers(&self) -> Result<Vec<Layer>, String> {
        use PresetName::{Lenet, Mlp, Resnet18, TinyTransformer};
        let name = self.preset;
        for (key, given, known) in [
            ("hidden", self.hidden.is_some(), name == Mlp),
            ("dropout", self.dropout.is_some(), matches!(name, Mlp | TinyTransformer)),
            ("width", self.width.is_some(), name == Resnet18),
            ("small", self.small.is_some(), name == Resnet18),
            ("tokens", self.tokens.is_some(), name == TinyTransformer),
            ("padding", self.padding.is_some(), name == TinyTransformer),
            ("size", self.size.is_some(), name == TinyTransformer),
            ("heads", self.heads.is_some(), name == TinyTransformer),
            ("blocks", self.blocks.is_some(), name == TinyTransformer),
        ] {
            if given && !known {
                return Err(format!("this preset has no `{key}`"));
            }
        }
        if self.blocks.is_some_and(|blocks| blocks > 100) {
            return Err("`blocks` must be up to 100".to_owned());
        }
        Ok(match name {
            Mlp => self.mlp(),
            Lenet => lenet(),
            Resnet18 => resnet18(self.width.unwrap_or(64), self.small.unwrap_or(false)),
            TinyTransformer => self.tiny_transformer(),
        })
    }

    fn mlp(&self) -> Vec<Layer> {
        let mut layers = vec![Layer::Flatten];
        for &width in self.hidden.as_deref().unwrap_or(&[256, 128]) {
            layers.extend([Layer::Linear(width), Layer::Relu]);
            layers.extend(self.dropout.map(Layer::Dropout));
        }
        layers.push(Layer::Output);
        layers
    }

    fn tiny_transformer(&self) -> Vec<Layer> {
        let size = self.size.unwrap_or(64);
        let dropout = Layer::Dropout(self.dropout.unwrap_or(0.1));
        let attention = Layer::Attention(Attention { heads: self.heads.unwrap_or(4), causal: false });
        let mut layers = vec![
            Layer::Embedding(Embedding { tokens: self.tokens.unwrap_or(257), size, padding: self.padding }),
            Layer::PositionalEmbedding,
            dropout.clone(),
        ];
        for _ in 0..self.blocks.unwrap_or(2) {
            let wide = Layer::Linear(size.saturating_mul(4));
            layers.push(around(vec![Layer::LayerNorm, attention.clone(), dropout.clone()], Vec::new()));
            layers.push(around(
                vec![Layer::LayerNorm, wide, Layer::Gelu, Layer::Linear(size), dropout.clone()],
                Vec::new(),
            ));
        }
        layers.extend([Layer::LayerNorm, Layer::GlobalAvgPool, Layer::Output]);
        layers
    }
}

fn conv(out: usize, kernel: usize, stride: usize, padding: usize) -> Layer {
    Layer::Conv2d(Conv2d { out, kernel, stride, padding, dilation: 1, groups: 1 })
}

fn around(layers: Vec<Layer>, shortcut: Vec<Layer>) -> Layer {
    Layer::Residual(Residual { layers, shortcut })
}

fn lenet() -> Vec<Layer> {
    let pool = Layer::MaxPool2d(Pool::square(2));
    vec![
        conv(6, 5, 1, 2),
        Layer::Relu,
        pool.clone(),
        conv(16, 5, 1, 0),
        Layer::Relu,
        pool,
        Layer::Flatten,
        Layer::Linear(120),
        Layer::Relu,
        Layer::Linear(84),
        Layer::Relu,
        Layer::Output,
    ]
}

fn resnet18(width: usize, small: bool) -> Vec<Layer> {
    let mut layers = match small {
        true => vec![conv(width, 3, 1, 1), Layer::BatchNorm, Layer::Relu],
        false => {
            let pool = Layer::MaxPool2d(Pool { kernel: 3, stride: 2, padding: 1 });
            vec![conv(width, 7, 2, 3), Layer::BatchNorm, Layer::Relu, pool]
        }
    };
    for stage in 0..4 {
        let out = width.saturating_mul(1 << stage);
        for block in 0..2 {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let inner = vec![
                conv(out, 3, stride, 1),
                Layer::BatchNorm,
                Layer::Relu,
                conv(out, 3, 1, 1),
                Layer::BatchNorm,
            ];
            let shortcut =
                if stride == 1 { Vec::new() } else { vec![conv(out, 1, stride, 0), Layer::BatchNorm] };
            layers.extend([around(inner, shortcut), Layer::Relu]);
        }
    }
    layers.extend([Layer::GlobalAvgPool, Layer::Output]);
    layers
}

#[cfg(test)]
mod tests {
    use crate::platform::train::{ModelSpec, check};

    fn model(network: &str) -> Result<ModelSpec, String> {
        serde_yaml::from_str(&format!("{{data: d, network: {network}}}")).map_err(|error| error.to_string())
    }

    fn parameters(network: &str, input: &[usize], outputs: usize) -> usize {
        let layers = check(&model(network).expect("a model"), input, outputs).expect("fits");
        layers.into_iter().map(|(_, _, parameters)| parameters).sum()
    }

    #[test]
    fn presets_are_the_networks_of_their_names() {
        // 16 x 28 x 28 inputs of LeNet-5 with 10 outputs have 61,706 parameters.
        assert_eq!(parameters("lenet", &[1, 28, 28], 10), 61_706);
        // torchvision's has 11,689,512 and no biases before batch normalisation: 4,800 here.
        assert_eq!(parameters("resnet18", &[3, 224, 224], 1000), 11_689_512 + 4_800);
        assert_eq!(parameters("{preset: resnet18, small: true, width: 8}", &[1, 28, 28], 10), 176_858);
        assert_eq!(parameters("mlp", &[1, 28, 28], 10), 784 * 256 + 256 + 256 * 128 + 128 + 1290);
        assert_eq!(parameters("{preset: mlp, hidden: [4], dropout: 0.5}", &[2], 1), 17);
        let block = 4 * (64 * 64 + 64) + 2 * 128 + 2 * 4 * 64 * 64 + 5 * 64;
        let rest = 100 * 64 + 12 * 64 + 128 + 65 * 3;
        assert_eq!(
            parameters("{preset: tiny-transformer, tokens: 100, blocks: 3}", &[12], 3),
            3 * block + rest
        );
    }

    #[test]
    fn a_preset_is_plain_layers_once_it_is_read() {
        let json = serde_json::to_value(model("lenet").expect("a model")).expect("JSON");
        assert_eq!(json["network"][0]["conv2d"]["out"], 6);
        assert_eq!(json["network"][2]["max_pool2d"], 2);
        assert_eq!(
            serde_json::from_value::<ModelSpec>(json).expect("again"),
            model("lenet").expect("a model")
        );
    }

    #[test]
    fn what_is_no_preset_is_refused() {
        for (network, wanted) in [
            ("resnet", "resnet18"),
            ("{preset: lenet, width: 3}", "this preset has no `width`"),
            ("{preset: mlp, hiden: [3]}", "hidden"),
            ("{layers: [relu]}", "preset"),
            ("[relu, {dropot: 1}]", "dropot"),
        ] {
            let text = model(network).expect_err("no preset");
            assert!(text.contains(wanted), "{network}: {text}");
        }
    }
}
