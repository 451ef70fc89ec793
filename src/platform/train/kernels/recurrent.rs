//! LSTM and GRU along a sequence, with backpropagation through time (Werbos, 1990) in one pass over it.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::matrix::{Matrix, Panels, multiply};
use super::{Lent, add, tensor, values};

/// Examples of one task.
const SLICE: usize = 16;

/// What happens at one position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::platform::train) enum Cell {
    /// Long short-term memory (Hochreiter and Schmidhuber, 1997) as in PyTorch.
    Lstm,
    /// Gated recurrent unit (Cho and others, 2014) as in PyTorch: the reset gate stands after the product.
    Gru,
}

/// States `[batch, length, size]` for `x w_ih^T + b_ih` `[batch, length, gates * size]`, `w_hh` and `b_hh`.
pub(in crate::platform::train) struct Recurrent {
    cell: Cell,
    /// For each slice of the batch what the backward pass needs of each position and example.
    kept: Mutex<Vec<Vec<f32>>>,
}

impl Recurrent {
    pub(in crate::platform::train) fn new(cell: Cell) -> Self {
        Self { cell, kept: Mutex::default() }
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

impl Cell {
    fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
        }
    }

    /// Vectors kept of a position: i, f, g, o and the memory; or r, z, n and the state's part of n.
    fn kept(self) -> usize {
        self.gates() + 1
    }

    /// One position of one example, from the input's part `a` and the state's part `b` of the gates. `before` is what was
    /// kept of the position before.
    fn forward(
        self,
        a: &[f32],
        b: &[f32],
        before: &[f32],
        state: &[f32],
        kept: &mut [f32],
        next: &mut [f32],
    ) {
        let size = state.len();
        let sum = |gate: usize, j: usize| a[gate * size + j] + b[gate * size + j];
        for j in 0..size {
            match self {
                Self::Lstm => {
                    let (input, forget) = (sigmoid(sum(0, j)), sigmoid(sum(1, j)));
                    let (new, output) = (sum(2, j).tanh(), sigmoid(sum(3, j)));
                    let memory = forget * before[4 * size + j] + input * new;
                    for (vector, value) in [input, forget, new, output, memory].into_iter().enumerate() {
                        kept[vector * size + j] = value;
                    }
                    next[j] = output * memory.tanh();
                }
                Self::Gru => {
                    let (reset, update) = (sigmoid(sum(0, j)), sigmoid(sum(1, j)));
                    let inner = b[2 * size + j];
                    let new = (a[2 * size + j] + reset * inner).tanh();
                    for (vector, value) in [reset, update, new, inner].into_iter().enumerate() {
                        kept[vector * size + j] = value;
                    }
                    next[j] = (1.0 - update) * new + update * state[j];
                }
            }
        }
    }

    /// The reverse. `dh` comes as the gradient of the new state and leaves as that of the state before, without what goes
    /// through the gates; `dc` is the gradient of the LSTM's memory.
    fn backward(self, kept: &[f32], before: &[f32], state: &[f32], carried: &mut Carried<'_>) {
        let size = state.len();
        let Carried { dh, dc, da, db } = carried;
        for j in 0..size {
            let of = |vector: usize| kept[vector * size + j];
            match self {
                Self::Lstm => {
                    let (input, forget, new, output, memory) = (of(0), of(1), of(2), of(3), of(4).tanh());
                    let dm = dc[j] + dh[j] * output * (1.0 - memory * memory);
                    let gradients = [
                        dm * new * input * (1.0 - input),
                        dm * before[4 * size + j] * forget * (1.0 - forget),
                        dm * input * (1.0 - new * new),
                        dh[j] * memory * output * (1.0 - output),
                    ];
                    for (gate, gradient) in gradients.into_iter().enumerate() {
                        da[gate * size + j] = gradient;
                        db[gate * size + j] = gradient;
                    }
                    dc[j] = dm * forget;
                    dh[j] = 0.0;
                }
                Self::Gru => {
                    let (reset, update, new, inner) = (of(0), of(1), of(2), of(3));
                    let dn = dh[j] * (1.0 - update) * (1.0 - new * new);
                    let dr = dn * inner * reset * (1.0 - reset);
                    let dz = dh[j] * (state[j] - new) * update * (1.0 - update);
                    for (gate, (to_a, to_b)) in [(dr, dr), (dz, dz), (dn, dn * reset)].into_iter().enumerate()
                    {
                        da[gate * size + j] = to_a;
                        db[gate * size + j] = to_b;
                    }
                    dh[j] *= update;
                }
            }
        }
    }
}

/// Gradients of one example on their way back: of the state, of the memory, and of both parts of the gates.
struct Carried<'a> {
    dh: &'a mut [f32],
    dc: &'a mut [f32],
    da: &'a mut [f32],
    db: &'a mut [f32],
}

/// Sizes.
#[derive(Clone, Copy)]
struct Size {
    cell: Cell,
    length: usize,
    size: usize,
}

impl Size {
    fn of(cell: Cell, x: &[usize], weight: &[usize]) -> Self {
        Self { cell, length: x[1], size: weight[1] }
    }

    fn gates(&self) -> usize {
        self.cell.gates() * self.size
    }

    fn kept(&self) -> usize {
        self.cell.kept() * self.size
    }

    /// Fills `y` and gives what is to be kept of one slice, by position and then by example.
    fn forward(&self, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) -> Vec<f32> {
        let Self { cell, length, size } = *self;
        let (gates, width, count) = (self.gates(), self.kept(), y.len() / (length * size));
        let mut kept = vec![0_f32; length * count * width];
        let mut state = vec![0_f32; count * size];
        let mut next = state.clone();
        let nothing = vec![0_f32; count * width];
        let weight = Panels::of(Matrix::new(weight, size).transposed(), size, gates);
        for position in 0..length {
            let mut inner = bias.repeat(count);
            weight.multiply(count, Matrix::new(&state, size), &mut inner, true);
            let (done, rest) = kept.split_at_mut(position * count * width);
            let before = if position == 0 { &nothing } else { &done[(position - 1) * count * width..] };
            for example in 0..count {
                let at = example * length + position;
                let here = example * size..(example + 1) * size;
                cell.forward(
                    &x[at * gates..(at + 1) * gates],
                    &inner[example * gates..(example + 1) * gates],
                    &before[example * width..(example + 1) * width],
                    &state[here.clone()],
                    &mut rest[example * width..(example + 1) * width],
                    &mut next[here.clone()],
                );
                y[at * size..(at + 1) * size].copy_from_slice(&next[here]);
            }
            std::mem::swap(&mut state, &mut next);
        }
        kept
    }

    /// Fills `dx` and gives the gradients of weight and bias of one slice.
    fn backward(&self, weight: &[f32], kept: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32]) -> [Vec<f32>; 2] {
        let Self { cell, length, size } = *self;
        let (gates, width, count) = (self.gates(), self.kept(), y.len() / (length * size));
        let (mut dw, mut bias) = (vec![0_f32; gates * size], vec![0_f32; gates]);
        let (mut dh, mut dc) = (vec![0_f32; count * size], vec![0_f32; count * size]);
        let (mut state, mut db) = (vec![0_f32; count * size], vec![0_f32; count * gates]);
        let nothing = vec![0_f32; count * width];
        for position in (0..length).rev() {
            let (before, here) = match position {
                0 => (&nothing[..], &kept[..count * width]),
                _ => kept[(position - 1) * count * width..(position + 1) * count * width]
                    .split_at(count * width),
            };
            for example in 0..count {
                let at = example * length + position;
                let row = example * size..(example + 1) * size;
                match position {
                    0 => state[row.clone()].fill(0.0),
                    _ => state[row.clone()].copy_from_slice(&y[(at - 1) * size..at * size]),
                }
                add(&mut dh[row.clone()], &dy[at * size..(at + 1) * size]);
                let mut carried = Carried {
                    dh: &mut dh[row.clone()],
                    dc: &mut dc[row.clone()],
                    da: &mut dx[at * gates..(at + 1) * gates],
                    db: &mut db[example * gates..(example + 1) * gates],
                };
                let vectors = example * width..(example + 1) * width;
                cell.backward(&here[vectors.clone()], &before[vectors], &state[row], &mut carried);
            }
            db.chunks(gates).for_each(|row| add(&mut bias, row));
            let through = Matrix::new(&db, gates);
            multiply((gates, size, count), through.transposed(), Matrix::new(&state, size), &mut dw, true);
            multiply((count, size, gates), through, Matrix::new(weight, size), &mut dh, true);
        }
        [dw, bias]
    }
}

impl CustomOp3 for Recurrent {
    fn name(&self) -> &'static str {
        "recurrent"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight, bias) =
            (values(x, x_layout)?, values(weight, weight_layout)?, values(bias, bias_layout)?);
        let (batch, size) = (x_layout.dims()[0], Size::of(self.cell, x_layout.dims(), weight_layout.dims()));
        let mut y = vec![0_f32; batch * size.length * size.size];
        let kept = y
            .par_chunks_mut(SLICE * size.length * size.size)
            .zip(x.par_chunks(SLICE * size.length * size.gates()))
            .map(|(y, x)| size.forward(x, weight, bias, y))
            .collect();
        if let Ok(mut slot) = self.kept.lock() {
            *slot = kept;
        }
        Ok((CpuStorage::F32(y), (batch, size.length, size.size).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let size = Size::of(self.cell, x.dims(), weight.dims());
        let kept = self.kept.lock().map(|mut kept| std::mem::take(&mut *kept)).unwrap_or_default();
        let dy = dy.contiguous()?;
        let mut dx = vec![0_f32; x.elem_count()];
        let (mut dw, mut db) = (vec![0_f32; weight.elem_count()], vec![0_f32; bias.elem_count()]);
        let parts: Vec<[Vec<f32>; 2]> = {
            let (weight, y, dy) = (Lent::of(weight)?, Lent::of(y)?, Lent::of(&dy)?);
            let (weight, y, dy): (&[f32], &[f32], &[f32]) = (&weight, &y, &dy);
            let states = SLICE * size.length * size.size;
            dx.par_chunks_mut(SLICE * size.length * size.gates())
                .zip(kept.par_iter())
                .zip(y.par_chunks(states).zip(dy.par_chunks(states)))
                .map(|((dx, kept), (y, dy))| size.backward(weight, kept, y, dy, dx))
                .collect()
        };
        for [weights, biases] in &parts {
            add(&mut dw, weights);
            add(&mut db, biases);
        }
        Ok((Some(tensor(dx, x.shape())?), Some(tensor(dw, weight.shape())?), Some(tensor(db, bias.shape())?)))
    }
}
