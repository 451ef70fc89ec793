//! `train.loss`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::form::Form;

/// What is minimised: a word, or a mapping that says more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "LossForm", into = "LossForm")]
#[schemars(inline)]
pub enum Loss {
    /// Cross entropy of softmax against class labels.
    CrossEntropy(CrossEntropy),
    /// Binary cross entropy of one output against two classes.
    Bce,
    /// Mean squared error against numbers.
    Mse,
    /// Mean absolute error against numbers.
    Mae,
    /// Squared near zero, absolute beyond, against numbers.
    Huber(Huber),
}

impl Loss {
    /// As written.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CrossEntropy(_) => "cross_entropy",
            Self::Bce => "bce",
            Self::Mse => "mse",
            Self::Mae => "mae",
            Self::Huber(_) => "huber",
        }
    }

    /// Whether it is about classes, not numbers.
    pub fn of_classes(&self) -> bool {
        matches!(self, Self::CrossEntropy(_) | Self::Bce)
    }

    /// How many outputs a network needs for so many classes (0 for a number).
    pub fn outputs(&self, classes: usize) -> usize {
        match self {
            Self::CrossEntropy(_) => classes.max(1),
            Self::Bce | Self::Mse | Self::Mae | Self::Huber(_) => 1,
        }
    }
}

/// What is minimised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Loss")]
pub(super) enum Word {
    /// Mean cross entropy of softmax against class labels.
    CrossEntropy,
    /// Mean binary cross entropy of the logistic function of one output against two classes; the second one counts as 1.
    Bce,
    /// Mean squared error against numbers.
    Mse,
    /// Mean absolute error against numbers.
    Mae,
    /// Huber loss with `delta: 1` against numbers.
    Huber,
}

/// A loss with settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schemars(rename = "LossWith")]
pub(super) enum With {
    /// Mean cross entropy of softmax against class labels.
    CrossEntropy(CrossEntropy),
    /// Huber loss (Huber, 1964) against numbers.
    Huber(Huber),
}

/// Settings of the cross entropy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CrossEntropy {
    /// Share of the truth that is spread evenly over all classes (Szegedy and others, 2016).
    pub label_smoothing: f32,
    /// Weight of the examples of each class; the mean stays one over the number of examples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<ClassWeights>,
}

/// Weight of the examples of each class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected `balanced` or a list of numbers, one for each class")]
#[schemars(inline)]
pub enum ClassWeights {
    /// `balanced`: classes weigh the same, however many examples they have.
    Named(Balanced),
    /// In the order of the classes.
    Given(Vec<f32>),
}

/// Classes weigh the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balanced {
    /// Examples weigh n / (classes * examples of their class).
    Balanced,
}

/// Settings of the Huber loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Huber {
    /// Where squared goes over into absolute, in standard deviations of the numbers.
    pub delta: f32,
}

impl Default for Huber {
    fn default() -> Self {
        Self { delta: 1.0 }
    }
}

type LossForm = Form<Word, With>;

impl From<LossForm> for Loss {
    fn from(form: LossForm) -> Self {
        match form {
            Form::Short(Word::CrossEntropy) => Self::CrossEntropy(CrossEntropy::default()),
            Form::Short(Word::Bce) => Self::Bce,
            Form::Short(Word::Mse) => Self::Mse,
            Form::Short(Word::Mae) => Self::Mae,
            Form::Short(Word::Huber) => Self::Huber(Huber::default()),
            Form::Long(With::CrossEntropy(settings)) => Self::CrossEntropy(settings),
            Form::Long(With::Huber(settings)) => Self::Huber(settings),
        }
    }
}

impl From<Loss> for LossForm {
    fn from(loss: Loss) -> Self {
        match loss {
            Loss::CrossEntropy(settings) if settings == CrossEntropy::default() => {
                Self::Short(Word::CrossEntropy)
            }
            Loss::CrossEntropy(settings) => Self::Long(With::CrossEntropy(settings)),
            Loss::Bce => Self::Short(Word::Bce),
            Loss::Mse => Self::Short(Word::Mse),
            Loss::Mae => Self::Short(Word::Mae),
            Loss::Huber(settings) if settings == Huber::default() => Self::Short(Word::Huber),
            Loss::Huber(settings) => Self::Long(With::Huber(settings)),
        }
    }
}
