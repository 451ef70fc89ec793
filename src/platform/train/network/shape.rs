//! Shapes of one example, without the batch: images, sequences, features.

use crate::platform::train::spec::Pool;

/// Where channels or features stand in a shape without the batch: last in a sequence, else first.
pub(in crate::platform::train) fn channel_axis(shape: &[usize]) -> usize {
    usize::from(shape.len() == 2)
}

pub(super) fn channels(shape: &[usize]) -> usize {
    shape[channel_axis(shape)]
}

/// The shape of two outputs joined along their channels.
pub(super) fn join(first: &[usize], second: &[usize]) -> Option<Vec<usize>> {
    let axis = channel_axis(first);
    let same = first.len() == second.len()
        && first.iter().zip(second).enumerate().all(|(place, (a, b))| place == axis || a == b);
    let mut joined = first.to_owned();
    joined[axis] = first[axis].checked_add(*second.get(axis)?)?;
    same.then_some(joined)
}

pub(super) fn image(shape: &[usize]) -> Result<(usize, usize, usize), String> {
    match *shape {
        [channels, height, width] => Ok((channels, height, width)),
        _ => Err(format!("it takes images (channels, height, width) but gets {shape:?}")),
    }
}

pub(super) fn sequence(shape: &[usize]) -> Result<(usize, usize), String> {
    match *shape {
        [length, features] => Ok((length, features)),
        _ => Err(format!(
            "it takes a sequence (length, features) but gets {shape:?}; add `reshape` or `embedding` before it"
        )),
    }
}

/// Windows along one side; none if not even one fits.
pub(super) fn windows(
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
    side: usize,
) -> Result<Option<usize>, String> {
    if kernel == 0 || stride == 0 || dilation == 0 {
        return Err("`kernel`, `stride` and `dilation` must be over 0".to_owned());
    }
    let Some(span) = (kernel - 1).checked_mul(dilation).and_then(|span| span.checked_add(1)) else {
        return Ok(None);
    };
    if padding >= span {
        return Err("`padding` must be below `kernel`".to_owned());
    }
    let room = padding.saturating_mul(2).saturating_add(side).checked_sub(span);
    Ok(room.map(|room| room / stride + 1))
}

pub(super) fn pooled(pool: Pool, input: &[usize]) -> Result<Vec<usize>, String> {
    let (channels, height, width) = image(input)?;
    let Pool { kernel, stride, padding } = pool;
    // So that every window has a pixel of the image under it.
    if padding > kernel / 2 || (kernel > 0 && stride == 0) {
        return Err("`stride` must be over 0 and `padding` up to half of `kernel`".to_owned());
    }
    if kernel == 0 || kernel - padding > height.min(width).saturating_add(padding) {
        return Err(format!("a window of {kernel}x{kernel} does not fit an input of {height}x{width}"));
    }
    Ok(vec![channels, pool.windows(height), pool.windows(width)])
}

pub(super) fn globally_pooled(input: &[usize]) -> Result<usize, String> {
    if input.len() == 1 {
        return Err(format!("it takes images or sequences but gets {input:?}"));
    }
    Ok(channels(input))
}
