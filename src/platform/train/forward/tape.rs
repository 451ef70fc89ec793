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
    /// Layers beside each other, all from `x`.
    Beside { x: Tensor, branches: Vec<Tape>, join: Join, y: Tensor },
}

/// What becomes of the outputs of layers beside each other.
pub(super) enum Join {
    /// They are added.
    Sum,
    /// They stand one after the other along a dimension, each as long as it is.
    Along(usize, Vec<usize>),
}

impl Join {
    /// The gradient of the output with this number, for the gradient `dy` of what they came to.
    fn part(&self, number: usize, dy: &Tensor) -> Result<Tensor> {
        match self {
            Self::Sum => Ok(dy.clone()),
            Self::Along(dimension, lengths) => {
                let before = lengths[..number].iter().sum();
                dy.narrow(*dimension, before, lengths[number])?.contiguous()
            }
        }
    }
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

    /// Notes that `y` is what the outputs of layers beside each other came to, each of which noted what it did with `x`.
    pub(super) fn beside(&mut self, x: &Tensor, branches: Vec<Self>, join: Join, y: &Tensor) {
        if y.track_op() {
            self.0.push(Step::Beside { x: x.clone(), branches, join, y: y.clone() });
        }
    }

    /// The gradient of each of the `weights` that wants one, for the gradient `dy` of what came out.
    pub(super) fn backward(self, weights: &[Tensor], dy: Tensor) -> Result<Vec<Option<Tensor>>> {
        let mut gradients = vec![None; weights.len()];
        self.back(weights, dy, &mut gradients)?;
        Ok(gradients)
    }

    /// Fills in the gradients of what was noted; that of what went in, if something before it wants one.
    fn back(
        mut self,
        weights: &[Tensor],
        mut dy: Tensor,
        gradients: &mut [Option<Tensor>],
    ) -> Result<Option<Tensor>> {
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
                Step::Beside { x, branches, join, y } => {
                    let dy = dy.reshape(y.shape())?;
                    let mut total: Option<Tensor> = None;
                    for (number, branch) in branches.into_iter().enumerate() {
                        let dx = branch.back(weights, join.part(number, &dy)?, gradients)?;
                        let Some(dx) = dx.filter(|_| x.track_op()) else { continue };
                        let dx = dx.reshape(x.shape())?;
                        total = Some(match total {
                            Some(total) => (total + dx)?,
                            None => dx,
                        });
                    }
                    total
                }
            };
            match dx {
                Some(dx) => dy = dx,
                None => return Ok(None),
            }
        }
        Ok(Some(dy))
    }
}
