//! Neural networks that are none: ONNX models whose outputs are given, whatever the picture, made in code.
//!
//! In: the type and shape of the inputs, each output with its values. Out: a model's bytes. Invariant: with [`Onnx::dark`] the outputs of
//! dark pictures are NaN, those of others exactly as given. Written from the field numbers of `onnx/onnx.proto`, with nothing but this file.

/// `TensorProto.DataType`.
pub const F32: u64 = 1;
/// An integer of 64 bits.
pub const I64: u64 = 7;

/// A model in the making.
#[derive(Clone, Debug, Default)]
pub struct Onnx {
    inputs: Vec<(String, u64, Vec<i64>)>,
    outputs: Vec<(String, Vec<i64>, Vec<f32>)>,
    darkest: Option<f32>,
}

impl Onnx {
    /// A model that takes one picture: 1 x 3 x `height` x `width`, 0 for any.
    #[must_use]
    pub fn new(width: i64, height: i64) -> Self {
        Self::default().input("input", F32, &[1, 3, height, width])
    }

    /// With one more input; a side of 0 is open.
    #[must_use]
    pub fn input(mut self, name: &str, data_type: u64, shape: &[i64]) -> Self {
        self.inputs.push((name.to_owned(), data_type, shape.to_vec()));
        self
    }

    /// With one more output; it is declared with `shape`, where a side of 0 is open, and has `values`.
    #[must_use]
    pub fn output(mut self, name: &str, shape: &[i64], values: Vec<f32>) -> Self {
        self.outputs.push((name.to_owned(), shape.to_vec(), values));
        self
    }

    /// Pictures whose mean value is below `darkest` give NaN everywhere.
    #[must_use]
    pub fn dark(mut self, darkest: f32) -> Self {
        self.darkest = Some(darkest);
        self
    }

    /// A model of the family `YuNet` for pictures of this size: `score` in the first `faces` cells of the grid of 8 pixels, with boxes of
    /// 8 x 8 pixels around their cells' corners, and nowhere else.
    #[must_use]
    pub fn yunet(width: usize, height: usize, faces: usize, score: f32) -> Self {
        let mut model = Self::new(width as i64, height as i64);
        for (kind, values) in [("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)] {
            for stride in [8, 16, 32] {
                let cells = width / stride * (height / stride);
                let mut all = vec![0.0; cells * values];
                if values == 1 && stride == 8 {
                    all[..faces.min(cells)].fill(score);
                }
                model = model.output(&format!("{kind}_{stride}"), &[1, cells as i64, values as i64], all);
            }
        }
        model
    }

    /// The other outputs stay; the one of this name has `values` instead. Panics if there is none.
    #[must_use]
    pub fn with(mut self, name: &str, values: Vec<f32>) -> Self {
        let output = self.outputs.iter_mut().find(|(output, ..)| output == name).expect("an output of this name");
        output.2 = values;
        self
    }

    /// The same with another declared shape.
    #[must_use]
    pub fn reshaped(mut self, name: &str, shape: &[i64], values: Vec<f32>) -> Self {
        let output = self.outputs.iter_mut().find(|(output, ..)| output == name).expect("an output of this name");
        (output.1, output.2) = (shape.to_vec(), values);
        self
    }

    /// With the outputs of another.
    #[must_use]
    pub fn outputs_of(mut self, other: &Self) -> Self {
        self.outputs.clone_from(&other.outputs);
        self
    }

    /// The same outputs, the last one first.
    #[must_use]
    pub fn reversed(mut self) -> Self {
        self.outputs.reverse();
        self
    }

    /// The file's bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut graph = Vec::new();
        if let Some(darkest) = self.darkest {
            // 0 * sqrt(mean - darkest): 0 or NaN.
            graph.extend(initializer("darkest", &[], &[darkest]));
            graph.extend(initializer("zero", &[], &[0.0]));
            graph.extend(node("ReduceMean", &[&self.inputs[0].0], "mean", Some(("keepdims", 0))));
            graph.extend(node("Sub", &["mean", "darkest"], "brightness", None));
            graph.extend(node("Sqrt", &["brightness"], "root", None));
            graph.extend(node("Mul", &["root", "zero"], "nothing", None));
        }
        for (name, shape, values) in &self.outputs {
            let constant = format!("{name}_values");
            graph.extend(initializer(&constant, &filled(shape, values.len()), values));
            match self.darkest {
                Some(_) => graph.extend(node("Add", &[&constant, "nothing"], name, None)),
                None => graph.extend(node("Identity", &[&constant], name, None)),
            }
        }
        graph.extend(bytes(2, b"made in code"));
        for (name, data_type, shape) in &self.inputs {
            graph.extend(bytes(11, &value_info(name, *data_type, shape)));
        }
        for (name, shape, _) in &self.outputs {
            graph.extend(bytes(12, &value_info(name, F32, shape)));
        }
        // ir_version 8, opset 13 of the standard operators.
        [number(1, 8), bytes(7, &graph), bytes(8, &[bytes(1, b""), number(2, 13)].concat())].concat()
    }
}

/// The shape that `len` values have: what is open is the rest.
fn filled(shape: &[i64], len: usize) -> Vec<i64> {
    let known: i64 = shape.iter().filter(|side| **side > 0).product();
    let mut rest = len as i64 / known.max(1);
    shape.iter().map(|side| if *side > 0 { *side } else { std::mem::replace(&mut rest, 1) }).collect()
}

/// `GraphProto.node`.
fn node(operator: &str, inputs: &[&str], output: &str, attribute: Option<(&str, u64)>) -> Vec<u8> {
    let mut node: Vec<u8> = inputs.iter().flat_map(|input| bytes(1, input.as_bytes())).collect();
    node.extend([bytes(2, output.as_bytes()), bytes(4, operator.as_bytes())].concat());
    if let Some((name, value)) = attribute {
        // AttributeProto: name, i, type INT.
        node.extend(bytes(5, &[bytes(1, name.as_bytes()), number(3, value), number(20, 2)].concat()));
    }
    bytes(1, &node)
}

/// `GraphProto.initializer`.
fn initializer(name: &str, shape: &[i64], values: &[f32]) -> Vec<u8> {
    let mut tensor: Vec<u8> = shape.iter().flat_map(|side| number(1, *side as u64)).collect();
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor.extend([number(2, F32), bytes(8, name.as_bytes()), bytes(9, &raw)].concat());
    bytes(5, &tensor)
}

/// `ValueInfoProto`.
fn value_info(name: &str, data_type: u64, shape: &[i64]) -> Vec<u8> {
    let side = |side: &i64| if *side > 0 { number(1, *side as u64) } else { bytes(2, b"any") };
    let shape: Vec<u8> = shape.iter().flat_map(|length| bytes(1, &side(length))).collect();
    let tensor = [number(1, data_type), bytes(2, &shape)].concat();
    [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
}

/// A field of protobuf's wire type 0.
fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

/// A field of protobuf's wire type 2.
fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}
