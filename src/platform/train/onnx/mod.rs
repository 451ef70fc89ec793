//! A model as ONNX, for programs that know nothing of mlp: its preprocessing, network and last step in one graph.

mod graph;
#[cfg(test)]
mod tests;
mod wire;

use candle_core::Tensor;

use self::graph::{Attribute, Graph, Kind, Name};
use super::TrainError;
use super::kernels::EPSILON;
use super::model::Model;
use super::network::{Operation, Resolved, channel_axis};
use super::spec::Pool;

/// Name of the graph's input.
const INPUT: &str = "input";

impl Model {
    /// The model as the bytes of an ONNX file (operator set 17).
    ///
    /// Its input `input` is `[batch, ...]` of the model's shape, before normalisation: pixels from 0 to 255 as `float`, other numbers
    /// as they are, tokens as `int64`. A classifier's output `probabilities` is `[batch, classes]`; that of a model that predicts a
    /// number, `value`, is `[batch, 1]`. `words` go into the metadata, with the classes and columns as JSON.
    ///
    /// # Errors
    /// [`TrainError::Layer`] for a layer that has no form in ONNX here: attention, recurrent layers, an embedding with padding.
    pub fn to_onnx(&self, name: &str, words: &[(String, String)]) -> Result<Vec<u8>, TrainError> {
        let tokens = self.network().tokens().is_some();
        let mut writer = Writer { graph: Graph::default(), model: self };
        let x = if tokens { INPUT.to_owned() } else { writer.normalize()? };
        let y = writer.layers(&self.network().layers, x, &self.shape, "")?;
        let output = writer.answer(&y);
        let mut words = words.to_vec();
        for (key, names) in [("classes", &self.classes), ("columns", &self.columns)] {
            if !names.is_empty() {
                words.push((key.to_owned(), serde_json::to_string(names).unwrap_or_default()));
            }
        }
        let kind = if tokens { Kind::Tokens } else { Kind::Numbers };
        Ok(writer.graph.model(name, (INPUT, kind, &self.shape), output, &words))
    }
}

struct Writer<'a> {
    graph: Graph,
    model: &'a Model,
}

impl Writer<'_> {
    /// The normalised inputs.
    fn normalize(&mut self) -> Result<Name, TrainError> {
        let model = self.model;
        let (mean, std) = model.normalization();
        let scale: f32 = if model.pixels { 1.0 / 255.0 } else { 1.0 };
        let mut x = INPUT.to_owned();
        if model.pixels {
            let scale = self.graph.constant(&[], &[scale]);
            x = self.graph.node("Mul", &[&x, &scale], &[]);
        }
        // One for all values, or one for each.
        let shape = if mean.len() == 1 { Vec::new() } else { model.shape.clone() };
        let (mean, std) = (self.graph.constant(&shape, mean), self.graph.constant(&shape, std));
        let centred = self.graph.node("Sub", &[&x, &mean], &[]);
        Ok(self.graph.node("Div", &[&centred, &std], &[]))
    }

    /// What comes of the outputs of the network: its name, and values per example.
    fn answer(&mut self, y: &str) -> (&'static str, usize) {
        let classes = self.model.classes.len();
        if classes == 0 {
            let target = self.model.target();
            let (std, mean) =
                (self.graph.constant(&[], &[target.std]), self.graph.constant(&[], &[target.mean]));
            let scaled = self.graph.node("Mul", &[y, &std], &[]);
            self.graph.node_to("value", "Add", &[&scaled, &mean], &[]);
            return ("value", 1);
        }
        if self.model.network().outputs == 1 {
            // The log odds of the second class.
            let one = self.graph.constant(&[], &[1.0]);
            let second = self.graph.node("Sigmoid", &[y], &[]);
            let first = self.graph.node("Sub", &[&one, &second], &[]);
            let axis = [("axis", Attribute::Integer(1))];
            self.graph.node_to("probabilities", "Concat", &[&first, &second], &axis);
        } else {
            self.graph.node_to("probabilities", "Softmax", &[y], &[("axis", Attribute::Integer(1))]);
        }
        ("probabilities", classes)
    }

    /// Adds layers one after the other; `shape` is that of their input, `prefix` stands before their numbers.
    fn layers(
        &mut self,
        layers: &[Resolved],
        x: Name,
        shape: &[usize],
        prefix: &str,
    ) -> Result<Name, TrainError> {
        let (mut x, mut shape) = (x, shape.to_vec());
        for (position, layer) in layers.iter().enumerate() {
            let index = format!("{prefix}{}", position + 1);
            x = self.layer(layer, x, &shape, &index)?;
            shape.clone_from(&layer.output);
        }
        Ok(x)
    }

    fn layer(&mut self, layer: &Resolved, x: Name, shape: &[usize], index: &str) -> Result<Name, TrainError> {
        let refuse = |detail: &str| {
            let (index, layer) = (index.to_owned(), layer.name.clone());
            Err(TrainError::Layer { index, layer, detail: detail.to_owned() })
        };
        let integers =
            |values: &[usize]| Attribute::Integers(values.iter().map(|value| *value as i64).collect());
        Ok(match &layer.operation {
            &Operation::Linear { weight } => self.linear(&x, weight, shape)?,
            &Operation::Conv1d { weight, window } => {
                let (w, b) = (self.weight(weight)?, self.weight(weight + 1)?);
                // ONNX has the features before the positions.
                let turned = [("perm", Attribute::Integers(vec![0, 2, 1]))];
                let x = self.graph.node("Transpose", &[&x], &turned);
                let y = self.graph.node(
                    "Conv",
                    &[&x, &w, &b],
                    &[
                        ("kernel_shape", integers(&[window.kernel])),
                        ("strides", integers(&[window.stride])),
                        ("pads", integers(&[window.padding; 2])),
                        ("dilations", integers(&[window.dilation])),
                    ],
                );
                self.graph.node("Transpose", &[&y], &turned)
            }
            &Operation::Conv2d { weight, window } => {
                let (w, b) = (self.weight(weight)?, self.weight(weight + 1)?);
                self.graph.node(
                    "Conv",
                    &[&x, &w, &b],
                    &[
                        ("kernel_shape", integers(&[window.kernel; 2])),
                        ("strides", integers(&[window.stride; 2])),
                        ("pads", integers(&[window.padding; 4])),
                        ("dilations", integers(&[window.dilation; 2])),
                        ("group", Attribute::Integer(window.groups as i64)),
                    ],
                )
            }
            &Operation::ConvTranspose2d { weight, window } => {
                let (w, b) = (self.weight(weight)?, self.weight(weight + 1)?);
                self.graph.node(
                    "ConvTranspose",
                    &[&x, &w, &b],
                    &[
                        ("kernel_shape", integers(&[window.kernel; 2])),
                        ("strides", integers(&[window.stride; 2])),
                        ("pads", integers(&[window.padding; 4])),
                        ("output_padding", integers(&[window.output_padding; 2])),
                    ],
                )
            }
            &Operation::MaxPool2d(side) => self.pool("MaxPool", &x, Pool::square(side)),
            &Operation::AvgPool2d(side) => self.pool("AveragePool", &x, Pool::square(side)),
            &Operation::MaxPoolWindows(pool) => self.pool("MaxPool", &x, pool),
            &Operation::AvgPoolWindows(pool) => self.pool("AveragePool", &x, pool),
            Operation::GlobalMaxPool => self.global("ReduceMax", &x, shape),
            Operation::GlobalAvgPool => self.global("ReduceMean", &x, shape),
            &Operation::BatchNorm { weight, .. } => self.batch_norm(&x, weight, shape)?,
            &Operation::LayerNorm { weight } => {
                let (w, b) = (self.weight(weight)?, self.weight(weight + 1)?);
                let attributes = [("axis", Attribute::Integer(-1)), ("epsilon", Attribute::Float(EPSILON))];
                self.graph.node("LayerNormalization", &[&x, &w, &b], &attributes)
            }
            &Operation::GroupNorm { weight, groups } => self.group_norm(&x, weight, groups, shape)?,
            Operation::Dropout { .. } => x,
            Operation::Relu => self.graph.node("Relu", &[&x], &[]),
            &Operation::LeakyRelu(slope) => {
                self.graph.node("LeakyRelu", &[&x], &[("alpha", Attribute::Float(slope))])
            }
            Operation::Gelu => {
                // x (1 + erf(x / sqrt 2)) / 2; `Gelu` itself came with operator set 20.
                let [root, one, half] = [std::f32::consts::FRAC_1_SQRT_2, 1.0, 0.5]
                    .map(|value| self.graph.constant(&[], &[value]));
                let scaled = self.graph.node("Mul", &[&x, &root], &[]);
                let erf = self.graph.node("Erf", &[&scaled], &[]);
                let sum = self.graph.node("Add", &[&erf, &one], &[]);
                let product = self.graph.node("Mul", &[&x, &sum], &[]);
                self.graph.node("Mul", &[&product, &half], &[])
            }
            Operation::Silu => {
                let gate = self.graph.node("Sigmoid", &[&x], &[]);
                self.graph.node("Mul", &[&x, &gate], &[])
            }
            Operation::Sigmoid => self.graph.node("Sigmoid", &[&x], &[]),
            Operation::Tanh => self.graph.node("Tanh", &[&x], &[]),
            Operation::Flatten => self.graph.node("Flatten", &[&x], &[("axis", Attribute::Integer(1))]),
            Operation::Reshape(to) => self.reshape(&x, to),
            &Operation::Embedding { weight, padding: None } => {
                let rows = self.weight(weight)?;
                self.graph.node("Gather", &[&rows, &x], &[("axis", Attribute::Integer(0))])
            }
            &Operation::PositionalEmbedding { weight } => {
                let rows = self.weight(weight)?;
                self.graph.node("Add", &[&x, &rows], &[])
            }
            Operation::Residual { layers, shortcut } => {
                let y = self.layers(layers, x.clone(), shape, &format!("{index}."))?;
                let around = self.layers(shortcut, x, shape, &format!("{index}.shortcut."))?;
                self.graph.node("Add", &[&y, &around], &[])
            }
            Operation::Parallel(branches) => {
                let mut outputs = Vec::new();
                for (branch, layers) in branches.iter().enumerate() {
                    outputs.push(self.layers(
                        layers,
                        x.clone(),
                        shape,
                        &format!("{index}.{}.", branch + 1),
                    )?);
                }
                let names: Vec<&str> = outputs.iter().map(String::as_str).collect();
                let axis = 1 + channel_axis(&layer.output) as i64;
                self.graph.node("Concat", &names, &[("axis", Attribute::Integer(axis))])
            }
            Operation::Embedding { .. } => {
                return refuse(
                    "with `padding` it has no form in ONNX here: later layers leave the padding out",
                );
            }
            Operation::Attention { .. } | Operation::Lstm { .. } | Operation::Gru { .. } => {
                return refuse(
                    "it has no form in ONNX here; `--format folder` keeps the model as mlp reads it",
                );
            }
        })
    }

    /// The values of tensor `index` of the model.
    fn values(&self, index: usize) -> Result<Vec<f32>, TrainError> {
        let tensor: &Tensor = &self.model.tensors()[index];
        let values = tensor.flatten_all().and_then(|flat| flat.to_vec1());
        values.map_err(|error| TrainError::Model(error.to_string()))
    }

    /// Tensor `index` of the model, called as in its file.
    fn weight(&mut self, index: usize) -> Result<Name, TrainError> {
        let values = self.values(index)?;
        let spec = &self.model.network().tensors[index];
        Ok(self.graph.tensor(&spec.name, &spec.shape, &values))
    }

    /// `x w^T + b`, at each position of a sequence.
    fn linear(&mut self, x: &str, weight: usize, shape: &[usize]) -> Result<Name, TrainError> {
        let (w, b) = (self.weight(weight)?, self.weight(weight + 1)?);
        if shape.len() == 1 {
            return Ok(self.graph.node("Gemm", &[x, &w, &b], &[("transB", Attribute::Integer(1))]));
        }
        let turned = self.graph.node("Transpose", &[&w], &[("perm", Attribute::Integers(vec![1, 0]))]);
        let product = self.graph.node("MatMul", &[x, &turned], &[]);
        Ok(self.graph.node("Add", &[&product, &b], &[]))
    }

    fn pool(&mut self, operator: &str, x: &str, pool: Pool) -> Name {
        let sides = |value: usize, times: usize| Attribute::Integers(vec![value as i64; times]);
        let mut attributes = vec![
            ("kernel_shape", sides(pool.kernel, 2)),
            ("strides", sides(pool.stride, 2)),
            ("pads", sides(pool.padding, 4)),
        ];
        if operator == "AveragePool" {
            // A mean counts what lies beyond the image as zeros.
            attributes.push(("count_include_pad", Attribute::Integer(1)));
        }
        self.graph.node(operator, &[x], &attributes)
    }

    /// Over the positions of an image or a sequence.
    fn global(&mut self, operator: &str, x: &str, shape: &[usize]) -> Name {
        let axes = if shape.len() == 3 { vec![2, 3] } else { vec![1] };
        let attributes = [("axes", Attribute::Integers(axes)), ("keepdims", Attribute::Integer(0))];
        self.graph.node(operator, &[x], &attributes)
    }

    /// By the running statistics, as one factor and one summand for each channel.
    fn batch_norm(&mut self, x: &str, weight: usize, shape: &[usize]) -> Result<Name, TrainError> {
        let [scale, bias, mean, variance] = [
            self.values(weight)?,
            self.values(weight + 1)?,
            self.values(weight + 2)?,
            self.values(weight + 3)?,
        ];
        let factors: Vec<f32> = scale
            .iter()
            .zip(&variance)
            .map(|(scale, variance)| scale / (variance + EPSILON).sqrt())
            .collect();
        let summands: Vec<f32> =
            bias.iter().zip(&mean).zip(&factors).map(|((bias, mean), factor)| bias - mean * factor).collect();
        Ok(self.channelwise(x, &factors, &summands, shape))
    }

    /// `x a + b` with a factor and a summand for each channel of an image, or feature of anything else.
    fn channelwise(&mut self, x: &str, factors: &[f32], summands: &[f32], shape: &[usize]) -> Name {
        let along = if shape.len() == 3 { vec![factors.len(), 1, 1] } else { vec![factors.len()] };
        let (a, b) = (self.graph.constant(&along, factors), self.graph.constant(&along, summands));
        let product = self.graph.node("Mul", &[x, &a], &[]);
        self.graph.node("Add", &[&product, &b], &[])
    }

    fn group_norm(
        &mut self,
        x: &str,
        weight: usize,
        groups: usize,
        shape: &[usize],
    ) -> Result<Name, TrainError> {
        let (scale, bias) = (self.values(weight)?, self.values(weight + 1)?);
        let inside = shape.iter().product::<usize>() / groups;
        let apart = self.reshape(x, &[groups, inside]);
        let (ones, zeros) = (
            self.graph.constant(&[groups], &vec![1.0; groups]),
            self.graph.constant(&[groups], &vec![0.0; groups]),
        );
        let epsilon = [("epsilon", Attribute::Float(EPSILON))];
        let normal = self.graph.node("InstanceNormalization", &[&apart, &ones, &zeros], &epsilon);
        let back = self.reshape(&normal, shape);
        Ok(self.channelwise(&back, &scale, &bias, shape))
    }

    /// The same values in another shape for each example.
    fn reshape(&mut self, x: &str, to: &[usize]) -> Name {
        // 0 keeps the dimension of the batch.
        let mut shape = vec![0];
        shape.extend(to.iter().map(|size| *size as i64));
        let shape = self.graph.integers(&shape);
        self.graph.node("Reshape", &[x, &shape], &[])
    }
}
