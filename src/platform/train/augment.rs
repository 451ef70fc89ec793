//! Random changes to training images, a function of (seed, epoch, example) and nothing else.

use super::random::Stream;
use super::spec::Augment;

/// Sides of an image in memory; each channel is one plane after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct ImageShape {
    pub(super) height: usize,
    pub(super) width: usize,
}

/// Applies the changes in the order written; `background` fills what moves into view, one value per channel or one for all.
pub(super) fn augment(
    changes: &[Augment],
    random: &mut Stream,
    shape: ImageShape,
    background: &[f32],
    image: &mut [f32],
) {
    for change in changes {
        match *change {
            Augment::Shift(most) => {
                let span = 2 * most as usize + 1;
                let down = random.below(span) as isize - most as isize;
                let right = random.below(span) as isize - most as isize;
                shift(shape, (down, right), background, image);
            }
            Augment::Rotate(most) => {
                let angle = (most * random.symmetric()).to_radians();
                rotate(shape, angle, background, image);
            }
            Augment::Noise(deviation) => {
                for pair in image.chunks_mut(2) {
                    let (first, second) = random.normal_pair();
                    for (value, noise) in pair.iter_mut().zip([first, second]) {
                        *value += deviation * noise;
                    }
                }
            }
        }
    }
}

fn fill_of(background: &[f32], channel: usize) -> f32 {
    background.get(channel).or(background.first()).copied().unwrap_or(0.0)
}

/// Moves every channel down and to the right by whole pixels.
fn shift(shape: ImageShape, (down, right): (isize, isize), background: &[f32], image: &mut [f32]) {
    let ImageShape { height, width, .. } = shape;
    let source = image.to_vec();
    let planes = image.chunks_mut(height * width).zip(source.chunks(height * width));
    for (channel, (plane, source)) in planes.enumerate() {
        plane.fill(fill_of(background, channel));
        let kept = width.saturating_sub(right.unsigned_abs());
        let (to, from) = (right.max(0) as usize, (-right).max(0) as usize);
        for row in 0..height {
            let above = row as isize - down;
            if kept > 0 && (0..height as isize).contains(&above) {
                let above = above as usize * width + from;
                plane[row * width + to..][..kept].copy_from_slice(&source[above..above + kept]);
            }
        }
    }
}

/// Turns every channel about the centre, interpolating between the four nearest pixels.
fn rotate(shape: ImageShape, angle: f32, background: &[f32], image: &mut [f32]) {
    let ImageShape { height, width, .. } = shape;
    let (sine, cosine) = angle.sin_cos();
    let (middle_y, middle_x) = ((height as f32 - 1.0) / 2.0, (width as f32 - 1.0) / 2.0);
    let source = image.to_vec();
    let planes = image.chunks_mut(height * width).zip(source.chunks(height * width));
    for (channel, (plane, source)) in planes.enumerate() {
        let fill = fill_of(background, channel);
        let pixel = |y: isize, x: isize| {
            let inside = (0..height as isize).contains(&y) && (0..width as isize).contains(&x);
            if inside { source[y as usize * width + x as usize] } else { fill }
        };
        for (row, line) in plane.chunks_mut(width).enumerate() {
            for (column, value) in line.iter_mut().enumerate() {
                let (y, x) = (row as f32 - middle_y, column as f32 - middle_x);
                let from_y = cosine * y - sine * x + middle_y;
                let from_x = sine * y + cosine * x + middle_x;
                let (top, left) = (from_y.floor(), from_x.floor());
                let (down, right) = (from_y - top, from_x - left);
                let (top, left) = (top as isize, left as isize);
                let upper = (1.0 - right) * pixel(top, left) + right * pixel(top, left + 1);
                let lower = (1.0 - right) * pixel(top + 1, left) + right * pixel(top + 1, left + 1);
                *value = (1.0 - down) * upper + down * lower;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::train::random::Purpose;

    const SHAPE: ImageShape = ImageShape { height: 3, width: 4 };

    fn image() -> Vec<f32> {
        (1..=12).map(|value| value as f32).collect()
    }

    #[test]
    fn a_shift_moves_the_image_and_fills_with_the_background() {
        let mut moved = image();
        shift(SHAPE, (1, -2), &[-1.0], &mut moved);
        assert_eq!(moved, [-1.0, -1.0, -1.0, -1.0, 3.0, 4.0, -1.0, -1.0, 7.0, 8.0, -1.0, -1.0]);
        shift(SHAPE, (-9, 100), &[0.0], &mut moved);
        assert!(moved.iter().all(|&value| value == 0.0));
    }

    #[test]
    fn a_rotation_by_nothing_changes_nothing_and_by_half_a_turn_reverses() {
        let (mut same, mut turned) = (image(), image());
        rotate(SHAPE, 0.0, &[0.0], &mut same);
        assert_eq!(same, image());
        rotate(SHAPE, std::f32::consts::PI, &[0.0], &mut turned);
        for (found, wanted) in turned.iter().zip(image().iter().rev()) {
            assert!((found - wanted).abs() < 1e-3, "{turned:?}");
        }
    }

    #[test]
    fn the_changes_depend_on_the_key_alone() {
        let changes = [Augment::Shift(1), Augment::Rotate(20.0), Augment::Noise(0.1)];
        let run = |epoch| {
            let mut image = image();
            let mut random = Stream::new(1, Purpose::Augment, &[epoch, 7]);
            augment(&changes, &mut random, SHAPE, &[0.0], &mut image);
            image
        };
        assert_eq!(run(0), run(0));
        assert_ne!(run(0), run(1));
    }
}
