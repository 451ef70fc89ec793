//! A graph of ONNX: nodes with names for what goes between them. Field numbers are those of `onnx.proto3`
//! (<https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3>).

use super::wire::Message;

/// Version of the format: of December 2021, which came with operator set 17.
const IR_VERSION: i64 = 8;
/// Version of the operators: the first with `LayerNormalization`.
const OPERATORS: i64 = 17;
/// `TensorProto.DataType`.
const FLOAT: i64 = 1;
const INT64: i64 = 7;

/// What a value between nodes is called.
pub(super) type Name = String;

/// An attribute of a node.
pub(super) enum Attribute {
    Float(f32),
    Integer(i64),
    Integers(Vec<i64>),
}

/// What the values of the graph's input are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Numbers,
    Tokens,
}

/// A graph that grows.
#[derive(Default)]
pub(super) struct Graph {
    nodes: Vec<Message>,
    tensors: Vec<Message>,
    names: usize,
}

impl Graph {
    /// Adds a node with one output; returns the name of that.
    pub(super) fn node(&mut self, operator: &str, inputs: &[&str], attributes: &[(&str, Attribute)]) -> Name {
        self.names += 1;
        let output = format!("{}_{}", operator.to_ascii_lowercase(), self.names);
        self.node_to(&output, operator, inputs, attributes);
        output
    }

    /// The same with a name for the output.
    pub(super) fn node_to(
        &mut self,
        output: &str,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute)],
    ) {
        let mut node = Message::default();
        for input in inputs {
            node = node.text(1, input);
        }
        node = node.text(2, output).text(3, &format!("node_{}", self.nodes.len() + 1)).text(4, operator);
        for (name, attribute) in attributes {
            let message = Message::default().text(1, name);
            let message = match attribute {
                Attribute::Float(value) => message.float(2, *value).integer(20, 1),
                Attribute::Integer(value) => message.integer(3, *value).integer(20, 2),
                Attribute::Integers(values) => {
                    values.iter().fold(message, |message, value| message.integer(8, *value)).integer(20, 7)
                }
            };
            node = node.message(5, message);
        }
        self.nodes.push(node);
    }

    /// Adds a tensor; returns its name.
    pub(super) fn tensor(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Name {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.raw(name, shape, FLOAT, &bytes)
    }

    /// Adds a constant of this shape; returns its name.
    pub(super) fn constant(&mut self, shape: &[usize], values: &[f32]) -> Name {
        self.names += 1;
        self.tensor(&format!("constant_{}", self.names), shape, values)
    }

    /// Adds a list of whole numbers, such as a shape; returns its name.
    pub(super) fn integers(&mut self, values: &[i64]) -> Name {
        self.names += 1;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.raw(&format!("constant_{}", self.names), &[values.len()], INT64, &bytes)
    }

    fn raw(&mut self, name: &str, shape: &[usize], kind: i64, bytes: &[u8]) -> Name {
        let tensor = shape.iter().fold(Message::default(), |tensor, size| tensor.integer(1, *size as i64));
        self.tensors.push(tensor.integer(2, kind).text(8, name).bytes(9, bytes));
        name.to_owned()
    }

    /// The bytes of the model: one input and one output, both with any number of examples, and words about it.
    pub(super) fn model(
        self,
        name: &str,
        input: (&str, Kind, &[usize]),
        output: (&str, usize),
        words: &[(String, String)],
    ) -> Vec<u8> {
        let (input, kind, shape) = input;
        let kind = if kind == Kind::Tokens { INT64 } else { FLOAT };
        let mut graph = Message::default();
        for node in self.nodes {
            graph = graph.message(1, node);
        }
        graph = graph.text(2, name);
        for tensor in self.tensors {
            graph = graph.message(5, tensor);
        }
        graph = graph.message(11, value(input, kind, shape)).message(12, value(output.0, FLOAT, &[output.1]));
        let mut model = Message::default()
            .integer(1, IR_VERSION)
            .text(2, "mlp")
            .text(3, env!("CARGO_PKG_VERSION"))
            .message(7, graph)
            .message(8, Message::default().text(1, "").integer(2, OPERATORS));
        for (key, value) in words {
            model = model.message(14, Message::default().text(1, key).text(2, value));
        }
        model.into_bytes()
    }
}

/// A `ValueInfoProto`: its first dimension is called `batch` and may be anything.
fn value(name: &str, kind: i64, shape: &[usize]) -> Message {
    let batch = Message::default().text(2, "batch");
    let dimensions = shape.iter().map(|size| Message::default().integer(1, *size as i64));
    let shape = std::iter::once(batch).chain(dimensions);
    let shape = shape.fold(Message::default(), |shape, dimension| shape.message(1, dimension));
    let tensor = Message::default().integer(1, kind).message(2, shape);
    Message::default().text(1, name).message(2, Message::default().message(1, tensor))
}
