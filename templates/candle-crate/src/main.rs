//! A network with residual connections, written by hand with candle; a step of mlp.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::{AdamW, Linear, Module, Optimizer, ParamsAdamW, VarBuilder, VarMap, linear, loss};
use mlp::platform::data::{Examples, Inputs, Targets};
use mlp::platform::step::{self, Step};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// `params:` of the step in `mlp.yaml`.
#[derive(Clone, Copy, Deserialize, Serialize)]
struct Params {
    epochs: u64,
    rate: f64,
    batch: usize,
    width: usize,
    blocks: usize,
    seed: u64,
}

struct Network {
    first: Linear,
    blocks: Vec<(Linear, Linear)>,
    last: Linear,
}

impl Network {
    fn new(
        inputs: usize,
        outputs: usize,
        params: Params,
        weights: VarBuilder,
    ) -> candle_core::Result<Self> {
        let width = params.width;
        let block = |index: usize| {
            let weights = weights.pp(format!("block{index}"));
            Ok((
                linear(width, width, weights.pp("in"))?,
                linear(width, width, weights.pp("out"))?,
            ))
        };
        Ok(Self {
            first: linear(inputs, width, weights.pp("first"))?,
            blocks: (0..params.blocks)
                .map(block)
                .collect::<candle_core::Result<_>>()?,
            last: linear(width, outputs, weights.pp("last"))?,
        })
    }
}

impl Module for Network {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let mut x = self.first.forward(x)?.relu()?;
        for (inner, outer) in &self.blocks {
            x = (&x + outer.forward(&inner.forward(&x)?.relu()?)?)?;
        }
        self.last.forward(&x)
    }
}

fn main() -> ExitCode {
    step::run(train)
}

fn train(step: &Step) -> Result<(), Box<dyn Error>> {
    let params: Params = step.params()?;
    let data = step.data("spirals", None)?;
    let scale = Scale::of(&data.train)?;
    let [train, val, test] = [&data.train, &data.val, &data.test].map(|part| scale.tensors(part));
    let (train, val, test) = (train?, val?, test?);

    let mut weights = VarMap::new();
    let builder = VarBuilder::from_varmap(&weights, DType::F32, &Device::Cpu);
    let network = Network::new(data.columns.len(), data.classes.len(), params, builder)?;
    begin(&weights, params.seed)?;
    let checkpoint = step.checkpoints().join("weights.safetensors");
    let done_path = step.checkpoints().join("done");
    let mut done: u64 = 0;
    if let Ok(text) = std::fs::read_to_string(&done_path) {
        done = text.trim().parse()?;
        weights.load(&checkpoint)?;
        step.say(&format!("goes on after epoch {done}"));
    }
    let settings = ParamsAdamW {
        lr: params.rate,
        ..ParamsAdamW::default()
    };
    let mut optimizer = AdamW::new(weights.all_vars(), settings)?;
    while done < params.epochs {
        if step.stopped() {
            return Err("it was asked to stop".into());
        }
        let order = Random(params.seed ^ (done + 1)).permutation(data.train.len());
        let mut sum = 0.0;
        for batch in order.chunks(params.batch) {
            let indices = Tensor::new(batch, &Device::Cpu)?;
            let logits = network.forward(&train.0.index_select(&indices, 0)?)?;
            let loss = loss::cross_entropy(&logits, &train.1.index_select(&indices, 0)?)?;
            sum += f64::from(loss.to_scalar::<f32>()?) * batch.len() as f64;
            optimizer.backward_step(&loss)?;
        }
        done += 1;
        let (val_loss, val_accuracy) = measure(&network, &val)?;
        let train_loss = sum / data.train.len() as f64;
        step.epoch(
            done,
            params.epochs,
            &[
                ("train.loss", train_loss),
                ("val.loss", val_loss),
                ("val.accuracy", val_accuracy),
            ],
        );
        // The weights first: `done` names an epoch only once its weights are there. The optimiser begins anew.
        step::whole(&checkpoint, |path| weights.save(path))?;
        step::whole(&done_path, |path| std::fs::write(path, done.to_string()))?;
    }

    let folder = Path::new("build/network");
    step::whole(&folder.join("model.safetensors"), |path| weights.save(path))?;
    let about = json!({ "classes": data.classes, "columns": data.columns, "scale": scale, "params": params });
    step::whole(&folder.join("model.json"), |path| {
        std::fs::write(path, format!("{about:#}\n"))
    })?;
    step.result(&[("test.accuracy", measure(&network, &test)?.1)]);
    Ok(())
}

/// Loss and accuracy on a part.
fn measure(network: &Network, (x, y): &(Tensor, Tensor)) -> Result<(f64, f64), Box<dyn Error>> {
    let logits = network.forward(x)?;
    let loss = loss::cross_entropy(&logits, y)?.to_scalar::<f32>()?;
    let right = logits
        .argmax(D::Minus1)?
        .eq(y)?
        .to_dtype(DType::F32)?
        .mean_all()?
        .to_scalar::<f32>()?;
    Ok((f64::from(loss), f64::from(right)))
}

/// Mean and deviation of each column of the training part.
#[derive(Serialize)]
struct Scale {
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl Scale {
    fn of(part: &Examples) -> Result<Self, Box<dyn Error>> {
        let values = values(part)?;
        let mean = values.mean(0)?;
        let deviation = (values.var(0)? + 1e-12)?.sqrt()?;
        Ok(Self {
            mean: mean.to_vec1()?,
            deviation: deviation.to_vec1()?,
        })
    }

    /// Inputs, scaled, and classes of a part.
    fn tensors(&self, part: &Examples) -> Result<(Tensor, Tensor), Box<dyn Error>> {
        let Targets::Class(classes) = &part.targets else {
            return Err("the target is no class".into());
        };
        let mean = Tensor::new(self.mean.as_slice(), &Device::Cpu)?;
        let deviation = Tensor::new(self.deviation.as_slice(), &Device::Cpu)?;
        let x = values(part)?
            .broadcast_sub(&mean)?
            .broadcast_div(&deviation)?;
        Ok((x, Tensor::new(classes.as_slice(), &Device::Cpu)?))
    }
}

fn values(part: &Examples) -> Result<Tensor, Box<dyn Error>> {
    let columns: usize = part.shape.iter().product();
    let Inputs::F32(values) = part.inputs.range(0..part.len(), columns)? else {
        return Err("the data are no table".into());
    };
    Ok(Tensor::from_slice(
        &values,
        (part.len(), columns),
        &Device::Cpu,
    )?)
}

/// First weights that depend on the seed alone: on the processor, candle's own generator takes no seed.
fn begin(weights: &VarMap, seed: u64) -> Result<(), Box<dyn Error>> {
    let all = weights
        .data()
        .lock()
        .map_err(|_| "the weights are in use")?;
    let mut names: Vec<&String> = all.keys().collect();
    names.sort();
    let mut random = Random(seed);
    for name in names {
        let shape = all[name].shape().clone();
        let bound = (1.0 / *shape.dims().last().unwrap_or(&1) as f64).sqrt();
        let values: Vec<f32> = (0..shape.elem_count())
            .map(|_| (bound * (2.0 * random.share() - 1.0)) as f32)
            .collect();
        all[name].set(&Tensor::from_vec(values, shape, &Device::Cpu)?)?;
    }
    Ok(())
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn permutation(&mut self, count: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..count as u32).collect();
        for end in (1..count).rev() {
            order.swap(end, (self.next() % (end as u64 + 1)) as usize);
        }
        order
    }
}
