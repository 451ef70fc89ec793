//! What a training writes and reads: checkpoints and the finished model.

use std::path::{Path, PathBuf};

use candle_core::{Tensor, Var};

use super::Trainer;
use crate::base::{Artifact, Digest, Event, Level, What};
use crate::platform::train::TrainError;
use crate::platform::train::checkpoint::{Best, Position, Tensors, publish, serialize};
use crate::platform::train::model::{Description, InputDescription, Task, WeightsDescription, schema};

impl Trainer<'_> {
    /// Writes a checkpoint; false if another attempt has taken over.
    pub(super) fn save(&mut self) -> Result<bool, TrainError> {
        let mut tensors = self.tensors()?;
        let names = self.network.tensors.iter().filter(|tensor| tensor.trained);
        for (tensor, [first, second]) in names.zip(self.optimizer.moments()?) {
            tensors.insert(format!("optimizer.first.{}", tensor.name), (tensor.shape.clone(), first));
            tensors.insert(format!("optimizer.second.{}", tensor.name), (tensor.shape.clone(), second));
        }
        if let Some(average) = &self.average {
            let names = self.network.tensors.iter().filter(|tensor| tensor.trained);
            for (tensor, variable) in names.zip(average) {
                tensors.insert(averaged(&tensor.name), (tensor.shape.clone(), values(variable)?));
            }
        }
        let epoch = self.position.epoch + u64::from(self.position.batch > 0);
        self.checkpoints.write(&self.position, &tensors, &self.control.fence).map_err(|error| match error {
            TrainError::Io { path, source, .. } => TrainError::Checkpoint { epoch, path, source },
            error => error,
        })
    }

    /// The tensors of the training by name.
    fn tensors(&self) -> Result<Tensors, TrainError> {
        self.named(self.variables.iter().collect())
    }

    fn named(&self, variables: Vec<&Var>) -> Result<Tensors, TrainError> {
        let tensors =
            self.network.tensors.iter().zip(variables).map(|(tensor, variable)| {
                Ok((tensor.name.clone(), (tensor.shape.clone(), values(variable)?)))
            });
        tensors.collect()
    }

    /// Goes on from a checkpoint of the same plan, whose names and shapes are therefore those of this network.
    pub(super) fn restore(&mut self, position: Position, mut tensors: Tensors) -> Result<(), TrainError> {
        let mut take = |name: &str| {
            let (_, values) = tensors
                .remove(name)
                .ok_or_else(|| TrainError::Model(format!("the checkpoint has no tensor `{name}`")))?;
            Ok::<_, TrainError>(values)
        };
        let mut moments = Vec::new();
        for tensor in self.network.tensors.iter().filter(|tensor| tensor.trained) {
            let first = take(&format!("optimizer.first.{}", tensor.name))?;
            moments.push([first, take(&format!("optimizer.second.{}", tensor.name))?]);
        }
        self.optimizer.restore(position.step, moments)?;
        self.set_weights(&tensors)?;
        self.set_average(&tensors)?;
        self.position = position;
        self.position.attempt += 1;
        Ok(())
    }

    fn set_weights(&self, tensors: &Tensors) -> Result<(), TrainError> {
        for (tensor, variable) in self.network.tensors.iter().zip(&self.variables) {
            self.set(variable, tensors, &tensor.name)?;
        }
        Ok(())
    }

    fn set_average(&self, tensors: &Tensors) -> Result<(), TrainError> {
        let names = self.network.tensors.iter().filter(|tensor| tensor.trained);
        for (tensor, variable) in names.zip(self.average.iter().flatten()) {
            self.set(variable, tensors, &averaged(&tensor.name))?;
        }
        Ok(())
    }

    fn set(&self, variable: &Var, tensors: &Tensors, name: &str) -> Result<(), TrainError> {
        let Some((shape, values)) = tensors.get(name) else {
            return Err(TrainError::Model(format!("the checkpoint has no tensor `{name}`")));
        };
        variable.set(&Tensor::from_vec(values.clone(), shape.clone(), &self.device)?)?;
        Ok(())
    }

    /// With early stopping, goes back to the best epoch.
    pub(super) fn choose_best(&mut self) -> Result<Option<Best>, TrainError> {
        let Some(best) = self.position.best.clone() else { return Ok(None) };
        if best.step == self.position.step {
            return Ok(Some(best));
        }
        let Some(tensors) = self.checkpoints.at(best.step) else {
            let text = format!("the checkpoint of epoch {} is damaged or gone: keeping the last", best.epoch);
            self.sink.log(Level::Warn, &text);
            return Ok(None);
        };
        self.set_weights(&tensors)?;
        self.set_average(&tensors)?;
        self.sink.log(Level::Info, &format!("kept the weights of epoch {}", best.epoch));
        Ok(Some(best))
    }

    /// Writes `model.safetensors` and then `model.json`, which names its digest: until both are there the folder is no
    /// model. None if another attempt has taken over.
    pub(super) fn write_model(&self, folder: &Path) -> Result<Option<PathBuf>, TrainError> {
        std::fs::create_dir_all(folder).map_err(TrainError::io("make the folder", folder))?;
        let weights = serialize(&self.named(self.final_variables())?, None)
            .map_err(|error| TrainError::io("write", folder)(std::io::Error::other(error)))?;
        let digest = Digest::of(&weights);
        let description = Description {
            schema: schema(),
            task: if self.target.is_none() { Task::Classification } else { Task::Regression },
            input: InputDescription {
                shape: self.network.input.clone(),
                normalization: self.normalization.clone(),
                columns: self.data.columns.clone(),
                encoding: self.data.encoding.clone(),
                text: self.data.text.clone(),
            },
            classes: self.data.classes.clone(),
            binary: self.target.is_none() && self.network.outputs == 1 && self.data.classes.len() == 2,
            target: self.target,
            network: self.spec.network.clone(),
            weights: WeightsDescription { digest, parameters: self.network.parameters() },
            framework: format!("mlp {}", env!("CARGO_PKG_VERSION")),
        };
        let files = [("model.safetensors", weights), ("model.json", description.to_bytes())];
        for (name, bytes) in files {
            if !publish(&folder.join(name), &bytes, &self.control.fence)? {
                return Ok(None);
            }
        }
        self.sink.emit(&Event::now(What::Artifact(Artifact {
            path: "model".to_owned(),
            kind: Some("model".to_owned()),
            digest: Some(digest),
        })));
        Ok(Some(folder.to_owned()))
    }
}

fn values(variable: &Var) -> Result<Vec<f32>, TrainError> {
    Ok(variable.flatten_all()?.to_vec1::<f32>()?)
}

/// The name of the moving average of a tensor in a checkpoint.
fn averaged(name: &str) -> String {
    format!("average.{name}")
}
