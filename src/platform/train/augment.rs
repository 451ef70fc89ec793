//! Random changes to training images, a function of (seed, epoch, example) and nothing else.

use super::random::Stream;
use super::spec::{Augment, Crop, Flip};

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
            Augment::Flip(axis) => {
                if random.bits() & 1 == 1 {
                    flip(shape, axis, image);
                }
            }
            Augment::Crop(Crop { padding, scale }) => {
                let side = 1.0 - (1.0 - scale) * random.uniform();
                let places = [random.uniform(), random.uniform()];
                crop(shape, (padding as f32, side), places, background, image);
            }
            Augment::Erase(share) => {
                if random.uniform() < share {
                    erase(shape, random, background, image);
                }
            }
            // Whoever has both examples does it.
            Augment::Mixup(_) => {}
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
pub(super) fn shift(shape: ImageShape, (down, right): (isize, isize), background: &[f32], image: &mut [f32]) {
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
pub(super) fn rotate(shape: ImageShape, angle: f32, background: &[f32], image: &mut [f32]) {
    let ImageShape { height, width, .. } = shape;
    let (sine, cosine) = angle.sin_cos();
    let (middle_y, middle_x) = ((height as f32 - 1.0) / 2.0, (width as f32 - 1.0) / 2.0);
    resample(shape, background, image, |row, column| {
        let (y, x) = (row - middle_y, column - middle_x);
        (cosine * y - sine * x + middle_y, sine * y + cosine * x + middle_x)
    });
}

/// Cuts a part with sides of `side` times the image's out of the image with `padding` around it, and brings it to full size.
/// `places` say where: 0 is at the beginning, 1 at the end.
fn crop(
    shape: ImageShape,
    (padding, side): (f32, f32),
    places: [f32; 2],
    background: &[f32],
    image: &mut [f32],
) {
    let first = |length: usize, place: f32| {
        let room = 2.0 * padding + (1.0 - side) * length as f32;
        // Parts of full size move by whole pixels, so that nothing is blurred.
        let moved = if side == 1.0 { (place * (room + 1.0)).floor() } else { place * room };
        moved - padding
    };
    let (top, left) = (first(shape.height, places[0]), first(shape.width, places[1]));
    // The centre of a pixel stands half a pixel from its corner.
    let from = |at: f32, first: f32| first + (at + 0.5) * side - 0.5;
    resample(shape, background, image, |row, column| (from(row, top), from(column, left)));
}

/// Mirrors every channel.
fn flip(shape: ImageShape, axis: Flip, image: &mut [f32]) {
    for plane in image.chunks_mut(shape.height * shape.width) {
        match axis {
            Flip::Horizontal => plane.chunks_mut(shape.width).for_each(<[f32]>::reverse),
            Flip::Vertical => {
                // All of it backwards, then each row forwards again.
                plane.reverse();
                plane.chunks_mut(shape.width).for_each(<[f32]>::reverse);
            }
        }
    }
}

/// Random erasing (Zhong and others, 2020): a rectangle of 2 to 33 % of the area with sides up to 3.3 to 1, where it fits.
fn erase(shape: ImageShape, random: &mut Stream, background: &[f32], image: &mut [f32]) {
    let ImageShape { height, width } = shape;
    let area = (height * width) as f32 * (0.02 + 0.31 * random.uniform());
    let ratio = (3.3_f32.ln() * random.symmetric()).exp();
    let rows = ((area * ratio).sqrt().round() as usize).clamp(1, height);
    let columns = ((area / ratio).sqrt().round() as usize).clamp(1, width);
    let (top, left) = (random.below(height - rows + 1), random.below(width - columns + 1));
    for (channel, plane) in image.chunks_mut(height * width).enumerate() {
        for line in plane.chunks_mut(width).skip(top).take(rows) {
            line[left..left + columns].fill(fill_of(background, channel));
        }
    }
}

/// Gives every pixel the value at the place `from(row, column)`, interpolated between the four nearest pixels.
fn resample(shape: ImageShape, background: &[f32], image: &mut [f32], from: impl Fn(f32, f32) -> (f32, f32)) {
    let ImageShape { height, width } = shape;
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
                let (from_y, from_x) = from(row as f32, column as f32);
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
    fn flips_change_left_with_right_and_top_with_bottom() {
        let mut image = image();
        flip(SHAPE, Flip::Horizontal, &mut image);
        assert_eq!(image, [4.0, 3.0, 2.0, 1.0, 8.0, 7.0, 6.0, 5.0, 12.0, 11.0, 10.0, 9.0]);
        flip(SHAPE, Flip::Vertical, &mut image);
        assert_eq!(image, [12.0, 11.0, 10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]);
    }

    #[test]
    fn a_crop_of_full_size_is_a_shift_and_a_smaller_one_enlarges() {
        let (mut cropped, mut shifted) = (image(), image());
        crop(SHAPE, (1.0, 1.0), [0.99, 0.0], &[-1.0], &mut cropped);
        shift(SHAPE, (-1, 1), &[-1.0], &mut shifted);
        assert_eq!(cropped, shifted);
        // The middle half of a ramp is a ramp of half the slope about the same mean.
        let mut ramp: Vec<f32> = (0..8).map(|value| value as f32).collect();
        crop(ImageShape { height: 1, width: 8 }, (0.0, 0.5), [0.5, 0.5], &[0.0], &mut ramp);
        // One row alone is mixed with the background above it: only the slope counts here.
        let slopes: Vec<f32> = ramp.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(slopes.iter().all(|slope| (slope - slopes[0]).abs() < 1e-5 && *slope > 0.0), "{ramp:?}");
    }

    #[test]
    fn an_erased_rectangle_is_of_the_background_and_no_larger_than_a_third() {
        let shape = ImageShape { height: 20, width: 30 };
        for key in 0..50 {
            let mut image = vec![1.0; 2 * 600];
            erase(shape, &mut Stream::new(1, Purpose::Augment, &[key]), &[5.0, 7.0], &mut image);
            let erased = |value: f32, plane: &[f32]| plane.iter().filter(|x| **x == value).count();
            let count = erased(5.0, &image[..600]);
            assert_eq!(count, erased(7.0, &image[600..]));
            assert!((6..=215).contains(&count), "{count}");
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
