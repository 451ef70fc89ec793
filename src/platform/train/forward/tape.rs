//! The way back through a network: what each step of a pass did, so that a gradient goes from one kernel to the one before it.
//!
//! candle's own way back adds each gradient to zeros that it allocates first, which for the activations of a convolution are
//! several passes over memory. It is taken only through what is made of candle's operations.

use std::sync::Arc;

use candle_core::{CustomOp1, CustomOp3, Result, Tensor, Var};

/// What was done to a batch, in order.
#[derive(Default)]
pub(super) struct Tape(Vec<Step>);

enum Step {
    /// A kernel without weights.
    One { kernel: Arc<Box<dyn CustomOp1 + Send + Sync>>, x: Tensor, y: Tensor },
    /// A kernel with the weights at this index and the one after it.
    Three { kernel: Arc<Box<dyn CustomOp3 + Send + Sync>>, x: Tensor, weight: usize, y: Tensor },
    /// Operations of candle, from `x` if something before it wants a gradient.
    Graph { x: Option<Var>, y: Tensor },
}

impl Tape {
    /// Applies a kernel; noted if `tape` is there and something in it or before it wants a gradient.
    pub(super) fn one<K>(tape: &mut Option<Self>, kernel: K, x: &Tensor) -> Result<Tensor>
    where
        K: CustomOp1 + Send + Sync + 'static,
    {
        let kernel: Arc<Box<dyn CustomOp1 + Send + Sync>> = Arc::new(Box::new(kernel));
        let y = x.apply_op1_arc(Arc::clone(&kernel))?;
        if let Some(tape) = tape.as_mut().filter(|_| y.track_op()) {
            tape.0.push(Step::One { kernel, x: x.clone(), y: y.clone() });
        }
        Ok(y)
    }

    /// The same for a kernel with `weights` at `weight` and after it.
    pub(super) fn three<K>(
        tape: &mut Option<Self>,
        kernel: K,
        x: &Tensor,
        weights: &[Tensor],
        weight: usize,
    ) -> Result<Tensor>
    where
        K: CustomOp3 + Send + Sync + 'static,
    {
        let kernel: Arc<Box<dyn CustomOp3 + Send + Sync>> = Arc::new(Box::new(kernel));
        let y = x.apply_op3_arc(&weights[weight], &weights[weight + 1], Arc::clone(&kernel))?;
        if let Some(tape) = tape.as_mut().filter(|_| y.track_op()) {
            tape.0.push(Step::Three { kernel, x: x.clone(), weight, y: y.clone() });
        }
        Ok(y)
    }

    /// Notes what `operations` of candle make of `x`, as one step with those just before it.
    pub(super) fn graph(
        &mut self,
        x: &Tensor,
        operations: impl FnOnce(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let (x, y) = match self.0.pop() {
            Some(Step::Graph { x: first, .. }) => (first, operations(x)?),
            before => {
                self.0.extend(before);
                let first = x.track_op().then(|| Var::from_tensor(&x.detach())).transpose()?;
                let y = operations(first.as_deref().unwrap_or(x))?;
                (first, y)
            }
        };
        if y.track_op() {
            self.0.push(Step::Graph { x, y: y.clone() });
        }
        Ok(y)
    }

    /// The gradient of each of the `weights` that wants one, for the gradient `dy` of what came out.
    pub(super) fn backward(mut self, weights: &[Tensor], mut dy: Tensor) -> Result<Vec<Option<Tensor>>> {
        let mut gradients = vec![None; weights.len()];
        while let Some(step) = self.0.pop() {
            let dx = match step {
                Step::One { kernel, x, y } => kernel.bwd(&x, &y, &dy.reshape(y.shape())?)?,
                Step::Three { kernel, x, weight, y } => {
                    let (w, b) = (&weights[weight], &weights[weight + 1]);
                    let (dx, dw, db) = kernel.bwd(&x, w, b, &y, &dy.reshape(y.shape())?)?;
                    gradients[weight] = dw.filter(|_| w.track_op());
                    gradients[weight + 1] = db.filter(|_| b.track_op());
                    dx
                }
                Step::Graph { x, y } => {
                    let mut found = (&y * dy.reshape(y.shape())?)?.sum_all()?.backward()?;
                    for (gradient, weight) in gradients.iter_mut().zip(weights) {
                        if let Some(found) = found.remove(weight) {
                            *gradient = Some(found);
                        }
                    }
                    x.and_then(|x| found.remove(&x))
                }
            };
            match dx {
                Some(dx) => dy = dx,
                None => break,
            }
        }
        Ok(gradients)
    }
}
