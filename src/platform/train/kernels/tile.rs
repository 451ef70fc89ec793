//! The innermost loop of every matrix product: a tile of the result is summed up in registers.
//!
//! Each value of a result is one chain of fused multiply-adds over the inner dimension, in its order. A fused multiply-add rounds once,
//! the same way on every machine, so that the chain does not depend on the vectors of the machine, on the shape of the tiles or on
//! who computes which of them: with AVX-512, with AVX2 and with neither the result is the same, bit for bit.
#![allow(unsafe_code)]

use std::ops::Range;
use std::sync::OnceLock;

/// The left factor: the value of row `i` and step `s` is `values[rows[i] + s * stride]`.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) values: &'a [f32],
    pub(super) rows: &'a [usize],
    pub(super) stride: usize,
}

/// The right factor: the value of step `s` and column `j` is `values[steps[s] + j]`.
#[derive(Clone, Copy)]
pub(super) struct Right<'a> {
    pub(super) values: &'a [f32],
    pub(super) steps: &'a [usize],
}

/// The vectors of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::platform::train) enum Vectors {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Vectors {
    /// The widest that this machine has.
    pub(in crate::platform::train) fn here() -> Self {
        static HERE: OnceLock<Vectors> = OnceLock::new();
        *HERE.get_or_init(|| Self::all().next().unwrap_or(Self::Portable))
    }

    /// All that this machine has, the widest first.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let known = [
            (is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl"))
            .then_some(Self::Avx512),
            (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self::Avx2),
            Some(Self::Portable),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let known = [Some(Self::Portable)];
        known.into_iter().flatten()
    }
}

/// `c = left right`, or `c += left right` if `accumulate`; `c` has `columns` columns, and its rows are `pitch` apart.
///
/// # Panics
/// If a slice is shorter than its matrix.
pub(super) fn product(
    vectors: Vectors,
    left: Left<'_>,
    right: Right<'_>,
    columns: usize,
    c: &mut [f32],
    pitch: usize,
    accumulate: bool,
) {
    let (rows, steps) = (left.rows.len(), right.steps.len());
    if rows == 0 || columns == 0 {
        return;
    }
    let reach = |last: usize, offsets: &[usize]| offsets.iter().max().map_or(0, |most| most + last + 1);
    assert!(reach(steps.saturating_sub(1) * left.stride, left.rows) <= left.values.len(), "left factor");
    assert!(reach(columns - 1, right.steps) <= right.values.len(), "right factor");
    assert!(pitch >= columns && (rows - 1) * pitch + columns <= c.len(), "result");
    let job = Job { left, right, columns, c: c.as_mut_ptr(), pitch, accumulate };
    // SAFETY: the assertions above hold every index that a tile reaches within its slice, and `vectors` was found on this machine.
    unsafe {
        match vectors {
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx512 => x86::avx512(&job),
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx2 => x86::avx2(&job),
            Vectors::Portable => all_tiles::<[f32; 8], 4, 2>(&job),
        }
    }
}

struct Job<'a> {
    left: Left<'a>,
    right: Right<'a>,
    columns: usize,
    c: *mut f32,
    pitch: usize,
    accumulate: bool,
}

/// Steps done at a time: as much of the right factor stays in the nearest cache for all rows.
const STEPS: usize = 320;

/// Where a tile lies.
struct Place {
    row: usize,
    column: usize,
    steps: Range<usize>,
}

impl Job<'_> {
    /// The steps in slices of about the same length. What one adds up, the next goes on from: the chain stays one.
    fn slices(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let steps = self.right.steps.len();
        let count = steps.div_ceil(STEPS).max(1);
        (0..count).map(move |slice| slice * steps / count..(slice + 1) * steps / count)
    }
}

/// What a tile needs of a vector of values.
trait Vector: Copy {
    const LANES: usize;

    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    /// The first `count` values, zeros after them; nothing behind them is read.
    unsafe fn load_some(from: *const f32, count: usize) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn store_some(self, to: *mut f32, count: usize);
    /// `self * factor + sum`, rounded once.
    unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self;
}

/// All tiles of a result: blocks of `R` rows by up to `V` vectors of columns, as even as they can be.
#[inline(always)]
unsafe fn all_tiles<T: Vector, const R: usize, const V: usize>(job: &Job<'_>) {
    let vectors = job.columns.div_ceil(T::LANES);
    let blocks = vectors.div_ceil(V);
    let mut done = 0;
    for block in 0..blocks {
        let width = (vectors - done).div_ceil(blocks - block);
        for steps in job.slices() {
            for first in (0..job.left.rows.len()).step_by(R) {
                let place = Place { row: first, column: done * T::LANES, steps: steps.clone() };
                // SAFETY: as `product` says.
                unsafe {
                    match (job.left.rows.len() - first, width) {
                        // One example at a time, as predictions are asked for: other rows would be computed for nothing.
                        (1, 1) => tile::<T, 1, 1>(job, place),
                        (1, 2) => tile::<T, 1, 2>(job, place),
                        (1, _) => tile::<T, 1, V>(job, place),
                        (_, 1) => tile::<T, R, 1>(job, place),
                        (_, 2) => tile::<T, R, 2>(job, place),
                        _ => tile::<T, R, V>(job, place),
                    }
                }
            }
        }
        done += width;
    }
}

/// No closures here: they would not have the instructions of the function around them, and each vector would cost a call.
///
/// The tile of `R` rows from `first` and `V` vectors of columns from `column`, as far as the result reaches.
#[inline(always)]
unsafe fn tile<T: Vector, const R: usize, const V: usize>(job: &Job<'_>, place: Place) {
    let Job { left, right, pitch, .. } = *job;
    let Place { row: first, column, steps } = place;
    let rows = (left.rows.len() - first).min(R);
    let columns = (job.columns - column).min(V * T::LANES);
    // SAFETY: as `product` says; rows behind the last one are read as the last one and not written.
    unsafe {
        let mut starts = [left.values.as_ptr(); R];
        for (row, start) in starts.iter_mut().enumerate() {
            *start = start.add(left.rows[first + row.min(rows - 1)] + steps.start * left.stride);
        }
        let b = right.values.as_ptr().add(column);
        let c = job.c.add(first * pitch + column);
        let mut sums = [[T::splat(0.0); V]; R];
        if job.accumulate || steps.start > 0 {
            for (row, sums) in sums.iter_mut().enumerate().take(rows) {
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = T::load_some(c.add(row * pitch + v * T::LANES), in_vector::<T>(columns, v));
                }
            }
        }
        let whole = columns == V * T::LANES;
        for (step, offset) in right.steps[steps].iter().enumerate() {
            let from = b.add(*offset);
            let mut factors = [T::splat(0.0); V];
            if whole {
                for (v, factor) in factors.iter_mut().enumerate() {
                    *factor = T::load(from.add(v * T::LANES));
                }
            } else {
                for (v, factor) in factors.iter_mut().enumerate() {
                    *factor = T::load_some(from.add(v * T::LANES), in_vector::<T>(columns, v));
                }
            }
            for (start, sums) in starts.iter().zip(&mut sums) {
                let left = T::splat(*start.add(step * left.stride));
                for (sum, factor) in sums.iter_mut().zip(factors) {
                    *sum = left.multiply_add(factor, *sum);
                }
            }
        }
        for (row, sums) in sums.iter().enumerate().take(rows) {
            for (v, sum) in sums.iter().enumerate() {
                let to = c.add(row * pitch + v * T::LANES);
                match in_vector::<T>(columns, v) {
                    count if count == T::LANES => sum.store(to),
                    count => sum.store_some(to, count),
                }
            }
        }
    }
}

/// How many of the columns are in vector `v`.
#[inline(always)]
fn in_vector<T: Vector>(columns: usize, v: usize) -> usize {
    columns.saturating_sub(v * T::LANES).min(T::LANES)
}

/// Without knowledge of the machine: slow where the compiler finds no fused multiply-add, and right everywhere.
impl Vector for [f32; 8] {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        [value; 8]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for eight values.
        unsafe { from.cast::<Self>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_some(from: *const f32, count: usize) -> Self {
        // SAFETY: the caller vouches for `count` values.
        std::array::from_fn(|lane| if lane < count { unsafe { *from.add(lane) } } else { 0.0 })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for eight values.
        unsafe { to.cast::<Self>().write_unaligned(self) }
    }

    #[inline(always)]
    unsafe fn store_some(self, to: *mut f32, count: usize) {
        for (lane, value) in self.iter().enumerate().take(count) {
            // SAFETY: the caller vouches for `count` values.
            unsafe { *to.add(lane) = *value }
        }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self {
        std::array::from_fn(|lane| self[lane].mul_add(factor[lane], sum[lane]))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Job, Vector, all_tiles};

    // 24 sums, three vectors of the right factor and one value of the left one are 28 of 32 registers.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn avx512(job: &Job<'_>) {
        // SAFETY: as `product` says.
        unsafe { all_tiles::<__m512, 8, 3>(job) }
    }

    // 12 sums, two vectors and one value are 15 of 16 registers.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn avx2(job: &Job<'_>) {
        // SAFETY: as `product` says.
        unsafe { all_tiles::<__m256, 6, 2>(job) }
    }

    fn mask16(count: usize) -> __mmask16 {
        ((1_u32 << count) - 1) as __mmask16
    }

    // SAFETY of all below: only reached through the functions above, which have the instructions; the callers vouch for pointers.
    impl Vector for __m512 {
        const LANES: usize = 16;

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            unsafe { _mm512_set1_ps(value) }
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { _mm512_loadu_ps(from) }
        }

        #[inline(always)]
        unsafe fn load_some(from: *const f32, count: usize) -> Self {
            unsafe { _mm512_maskz_loadu_ps(mask16(count), from) }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, self) }
        }

        #[inline(always)]
        unsafe fn store_some(self, to: *mut f32, count: usize) {
            unsafe { _mm512_mask_storeu_ps(to, mask16(count), self) }
        }

        #[inline(always)]
        unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self {
            unsafe { _mm512_fmadd_ps(self, factor, sum) }
        }
    }

    #[inline(always)]
    unsafe fn mask8(count: usize) -> __m256i {
        unsafe {
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), lanes)
        }
    }

    impl Vector for __m256 {
        const LANES: usize = 8;

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            unsafe { _mm256_set1_ps(value) }
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { _mm256_loadu_ps(from) }
        }

        #[inline(always)]
        unsafe fn load_some(from: *const f32, count: usize) -> Self {
            unsafe { _mm256_maskload_ps(from, mask8(count)) }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm256_storeu_ps(to, self) }
        }

        #[inline(always)]
        unsafe fn store_some(self, to: *mut f32, count: usize) {
            unsafe { _mm256_maskstore_ps(to, mask8(count), self) }
        }

        #[inline(always)]
        unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self {
            unsafe { _mm256_fmadd_ps(self, factor, sum) }
        }
    }
}

#[cfg(test)]
mod tests;
