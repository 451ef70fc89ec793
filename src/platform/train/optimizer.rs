//! Optimisers whose whole state can be written and read back: a resumed training takes the very same steps.

use std::sync::Mutex;

use candle_core::{Result, Tensor, Var};

use super::kernels::{AdamStep, MomentumStep, RmsPropStep};
use super::spec::{AdamW, Optimizer as Rule, RmsProp, Sgd};

/// An optimiser and its memory of past gradients.
pub(super) struct Optimizer {
    rule: Rule,
    /// Steps done.
    pub(super) step: u64,
    moments: Vec<Moments>,
}

/// The memory for one tensor: Adam's first and second moment; velocity and mean square of RMSprop; the velocity of SGD is
/// `first`.
enum Moments {
    /// On the processor.
    Host { first: Vec<f32>, second: Vec<f32> },
    /// On an accelerator.
    Device { first: Tensor, second: Tensor },
}

impl Optimizer {
    /// An optimiser of these tensors that has seen nothing.
    pub(super) fn new(rule: Rule, trained: &[&Var]) -> Result<Self> {
        let moments = trained.iter().map(|var| {
            Ok(if var.device().is_cpu() {
                let zeros = vec![0.0; var.elem_count()];
                Moments::Host { first: zeros.clone(), second: zeros }
            } else {
                Moments::Device { first: var.zeros_like()?, second: var.zeros_like()? }
            })
        });
        Ok(Self { rule, step: 0, moments: moments.collect::<Result<_>>()? })
    }

    /// Number of tensors.
    pub(super) fn tensors(&self) -> usize {
        self.moments.len()
    }

    /// Changes the tensors, which are those of `new` in the same order as their gradients, by one step at this learning rate.
    pub(super) fn step(&mut self, trained: &[&Var], gradients: &[Option<Tensor>], lr: f64) -> Result<()> {
        self.step += 1;
        for ((var, gradient), moments) in trained.iter().zip(gradients).zip(&mut self.moments) {
            // A tensor without a gradient took no part in the loss.
            let Some(gradient) = gradient else { continue };
            match (moments, &self.rule) {
                (Moments::Host { first, second }, Rule::Adamw(rule)) => {
                    let step = AdamStep {
                        lr: lr as f32,
                        beta1: rule.beta1 as f32,
                        beta2: rule.beta2 as f32,
                        eps: rule.eps as f32,
                        weight_decay: rule.weight_decay as f32,
                        step: self.step,
                        moments: Mutex::new((first, second)),
                    };
                    var.inplace_op2(gradient, &step)?;
                }
                (Moments::Host { first, .. }, Rule::Sgd(rule)) => {
                    let step = MomentumStep {
                        lr: lr as f32,
                        momentum: rule.momentum as f32,
                        weight_decay: rule.weight_decay as f32,
                        velocity: Mutex::new(first),
                    };
                    var.inplace_op2(gradient, &step)?;
                }
                (Moments::Host { first, second }, Rule::Rmsprop(rule)) => {
                    let step = RmsPropStep {
                        lr: lr as f32,
                        alpha: rule.alpha as f32,
                        eps: rule.eps as f32,
                        momentum: rule.momentum as f32,
                        weight_decay: rule.weight_decay as f32,
                        moments: Mutex::new((first, second)),
                    };
                    var.inplace_op2(gradient, &step)?;
                }
                (Moments::Device { first, second }, Rule::Adamw(rule)) => {
                    adam(var, gradient, (first, second), rule, lr, self.step)?;
                }
                (Moments::Device { first, .. }, Rule::Sgd(rule)) => {
                    momentum(var, gradient, first, rule, lr)?;
                }
                (Moments::Device { first, second }, Rule::Rmsprop(rule)) => {
                    root_mean_square(var, gradient, (first, second), rule, lr)?;
                }
            }
        }
        Ok(())
    }

    /// The memory, two vectors per tensor.
    pub(super) fn moments(&self) -> Result<Vec<[Vec<f32>; 2]>> {
        let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        let moments = self.moments.iter().map(|moments| {
            Ok(match moments {
                Moments::Host { first, second } => [first.clone(), second.clone()],
                Moments::Device { first, second } => [values(first)?, values(second)?],
            })
        });
        moments.collect()
    }

    /// Puts back what `moments` gave, for as many steps done.
    pub(super) fn restore(&mut self, step: u64, saved: Vec<[Vec<f32>; 2]>) -> Result<()> {
        for (moments, [saved_first, saved_second]) in self.moments.iter_mut().zip(saved) {
            match moments {
                Moments::Host { first, second } => (*first, *second) = (saved_first, saved_second),
                Moments::Device { first, second } => {
                    let tensor =
                        |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
                    (*first, *second) = (tensor(saved_first, first)?, tensor(saved_second, second)?);
                }
            }
        }
        self.step = step;
        Ok(())
    }
}

/// AdamW by tensor operations.
fn adam(
    var: &Var,
    gradient: &Tensor,
    (first, second): (&mut Tensor, &mut Tensor),
    rule: &AdamW,
    lr: f64,
    step: u64,
) -> Result<()> {
    let exponent = step.min(i32::MAX as u64) as i32;
    *first = ((&*first * rule.beta1)? + (gradient * (1.0 - rule.beta1))?)?.detach();
    *second = ((&*second * rule.beta2)? + (gradient.sqr()? * (1.0 - rule.beta2))?)?.detach();
    let root = (1.0 - rule.beta2.powi(exponent)).sqrt();
    let denominator = ((second.sqrt()? / root)? + rule.eps)?;
    let change = ((&*first / denominator)? * (lr / (1.0 - rule.beta1.powi(exponent))))?;
    let weight = (var.as_detached_tensor() * (1.0 - lr * rule.weight_decay))?;
    var.set(&(weight - change)?)
}

/// SGD by tensor operations.
fn momentum(var: &Var, gradient: &Tensor, velocity: &mut Tensor, rule: &Sgd, lr: f64) -> Result<()> {
    let weight = var.as_detached_tensor();
    let gradient = (gradient + (&weight * rule.weight_decay)?)?;
    *velocity = ((&*velocity * rule.momentum)? + gradient)?.detach();
    var.set(&(weight - (&*velocity * lr)?)?)
}

/// RMSprop by tensor operations.
fn root_mean_square(
    var: &Var,
    gradient: &Tensor,
    (velocity, square): (&mut Tensor, &mut Tensor),
    rule: &RmsProp,
    lr: f64,
) -> Result<()> {
    let weight = var.as_detached_tensor();
    let gradient = (gradient + (&weight * rule.weight_decay)?)?;
    *square = ((&*square * rule.alpha)? + (gradient.sqr()? * (1.0 - rule.alpha))?)?.detach();
    let change = (gradient / (square.sqrt()? + rule.eps)?)?;
    *velocity = ((&*velocity * rule.momentum)? + change)?.detach();
    var.set(&(weight - (&*velocity * lr)?)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use candle_core::backprop::GradStore;
    use candle_nn::Optimizer as _;

    use super::*;

    fn values(var: &Var) -> Vec<f32> {
        var.flatten_all().and_then(|tensor| tensor.to_vec1()).expect("values")
    }

    fn var() -> Var {
        Var::from_vec(vec![1.0_f32, -2.0, 0.5], 3, &Device::Cpu).expect("a variable")
    }

    fn gradients(var: &Var) -> GradStore {
        // The gradient of the sum of fourth powers changes with the weights.
        var.sqr().and_then(|x| x.sqr()?.sum_all()?.backward()).expect("gradients")
    }

    fn close(found: &[f32], wanted: &[f32]) {
        let same = found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(same, "{found:?} {wanted:?}");
    }

    #[test]
    fn adamw_takes_the_steps_of_candle_by_kernel_and_by_tensor_operations() {
        let rule = AdamW { weight_decay: 0.1, ..AdamW::default() };
        let parameters = candle_nn::ParamsAdamW { lr: 0.01, weight_decay: 0.1, ..Default::default() };
        let (ours, theirs, tensors) = (var(), var(), var());
        let mut optimizer = Optimizer::new(Rule::Adamw(rule), &[&ours]).expect("an optimiser");
        let mut reference = candle_nn::AdamW::new(vec![theirs.clone()], parameters).expect("an optimiser");
        let zeros = tensors.zeros_like().expect("zeros");
        let (mut first, mut second) = (zeros.clone(), zeros);
        for step in 1..=20 {
            optimizer.step(&[&ours], &[gradients(&ours).remove(&ours)], 0.01).expect("a step");
            reference.step(&gradients(&theirs)).expect("a step");
            let store = gradients(&tensors);
            let gradient = store.get(&tensors).expect("a gradient");
            adam(&tensors, gradient, (&mut first, &mut second), &rule, 0.01, step).expect("a step");
        }
        close(&values(&ours), &values(&theirs));
        close(&values(&tensors), &values(&theirs));
    }

    #[test]
    fn sgd_takes_the_steps_of_its_definition_by_kernel_and_by_tensor_operations() {
        let rule = Sgd { lr: 0.01, momentum: 0.9, weight_decay: 0.1 };
        let (ours, tensors) = (var(), var());
        let mut optimizer = Optimizer::new(Rule::Sgd(rule), &[&ours]).expect("an optimiser");
        let mut velocity = tensors.zeros_like().expect("zeros");
        let (mut weights, mut v) = ([1.0_f64, -2.0, 0.5], [0.0_f64; 3]);
        for _ in 0..10 {
            optimizer.step(&[&ours], &[gradients(&ours).remove(&ours)], 0.01).expect("a step");
            let store = gradients(&tensors);
            momentum(&tensors, store.get(&tensors).expect("one"), &mut velocity, &rule, 0.01)
                .expect("a step");
            for (weight, v) in weights.iter_mut().zip(&mut v) {
                *v = 0.9 * *v + 4.0 * weight.powi(3) + 0.1 * *weight;
                *weight -= 0.01 * *v;
            }
        }
        close(&values(&ours), &weights.map(|weight| weight as f32));
        close(&values(&tensors), &weights.map(|weight| weight as f32));
    }

    #[test]
    fn a_restored_optimizer_takes_the_same_step() {
        let (a, b) = (var(), var());
        let rule = Rule::Adamw(AdamW::default());
        let mut first = Optimizer::new(rule, &[&a]).expect("an optimiser");
        first.step(&[&a], &[gradients(&a).remove(&a)], 0.1).expect("a step");
        b.set(&a.as_detached_tensor().copy().expect("a copy")).expect("set");
        let mut second = Optimizer::new(rule, &[&b]).expect("an optimiser");
        second.restore(first.step, first.moments().expect("moments")).expect("restored");
        first.step(&[&a], &[gradients(&a).remove(&a)], 0.1).expect("a step");
        second.step(&[&b], &[gradients(&b).remove(&b)], 0.1).expect("a step");
        assert_eq!(values(&a), values(&b));
    }

    #[test]
    fn rmsprop_takes_the_steps_of_its_definition_by_kernel_and_by_tensor_operations() {
        let rule = RmsProp { lr: 0.01, alpha: 0.9, momentum: 0.5, weight_decay: 0.1, ..RmsProp::default() };
        let (ours, tensors) = (var(), var());
        let mut optimizer = Optimizer::new(Rule::Rmsprop(rule), &[&ours]).expect("an optimiser");
        let zeros = tensors.zeros_like().expect("zeros");
        let (mut velocity, mut square) = (zeros.clone(), zeros);
        let (mut weights, mut v, mut s) = ([1.0_f64, -2.0, 0.5], [0.0_f64; 3], [0.0_f64; 3]);
        for _ in 0..10 {
            optimizer.step(&[&ours], &[gradients(&ours).remove(&ours)], 0.01).expect("a step");
            let store = gradients(&tensors);
            let gradient = store.get(&tensors).expect("one");
            root_mean_square(&tensors, gradient, (&mut velocity, &mut square), &rule, 0.01).expect("a step");
            for ((w, v), s) in weights.iter_mut().zip(&mut v).zip(&mut s) {
                let gradient = 4.0 * w.powi(3) + 0.1 * *w;
                *s = 0.9 * *s + 0.1 * gradient * gradient;
                *v = 0.5 * *v + gradient / (s.sqrt() + 1e-8);
                *w -= 0.01 * *v;
            }
        }
        let wanted = weights.map(|weight| weight as f32);
        close(&values(&ours), &wanted);
        close(&values(&tensors), &wanted);
    }
}
