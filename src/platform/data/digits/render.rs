//! From a skeleton to pixels.

use super::SIDE;
use super::glyphs::{self, Point, Stroke};
use super::random::Random;

/// Straight pieces that one span of a curve becomes.
const PIECES: usize = 6;
/// Height of an undistorted digit in pixels.
const HEIGHT: f32 = 19.0;
/// Width of an undistorted digit in pixels.
const WIDTH: f32 = 15.0;

/// A straight piece of ink.
type Segment = (Point, Point);

/// Draws one `digit` into `image` (`SIDE` x `SIDE`, 0 is paper).
pub(super) fn digit(digit: u8, random: &mut Random, image: &mut [u8]) {
    let segments = skeleton(digit, random);
    let radius = random.between(0.65, 1.7);
    let softness = random.between(0.5, 1.0);
    let ink = random.between(0.7, 1.0);
    let grain = random.between(0.0, 0.09);
    let displacement = Displacement::new(random);
    for y in 0..SIDE {
        for x in 0..SIDE {
            let (dx, dy) = displacement.at(x, y);
            let distance = nearest(&segments, (x as f32 + 0.5 + dx, y as f32 + 0.5 + dy));
            let coverage = ((radius - distance) / softness + 0.5).clamp(0.0, 1.0);
            let value = ink * coverage + grain * random.normal();
            image[y * SIDE + x] = (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
        }
    }
}

/// The strokes of one way to write `digit`, each point moved a little, under a random affine map, in pixels.
fn skeleton(digit: u8, random: &mut Random) -> Vec<Segment> {
    let variants = glyphs::variants(digit);
    let strokes = variants[random.below(variants.len() as u64) as usize];
    let shape = Affine::new(random);
    let mut segments = Vec::with_capacity(64);
    for stroke in strokes {
        let (points, closed, curved) = match stroke {
            Stroke::Straight(points) => (points, false, false),
            Stroke::Curve(points) => (points, false, true),
            Stroke::Closed(points) => (points, true, true),
        };
        let points: Vec<Point> = points
            .iter()
            .map(|(x, y)| shape.apply((x + 0.035 * random.normal(), y + 0.035 * random.normal())))
            .collect();
        let line = if curved { smooth(&points, closed) } else { points };
        segments.extend(line.windows(2).map(|pair| (pair[0], pair[1])));
    }
    segments
}

/// Scale, slant, rotation and place of a digit.
struct Affine {
    scale: (f32, f32),
    slant: f32,
    cosine: f32,
    sine: f32,
    centre: Point,
}

impl Affine {
    fn new(random: &mut Random) -> Self {
        // Cosine and sine from the tangent of half the angle: exact arithmetic alone.
        let t = 0.08 * random.normal();
        Self {
            scale: (WIDTH * random.between(0.68, 1.12), HEIGHT * random.between(0.8, 1.08)),
            slant: 0.06 + 0.20 * random.normal(),
            cosine: (1.0 - t * t) / (1.0 + t * t),
            sine: 2.0 * t / (1.0 + t * t),
            centre: (14.0 + 1.0 * random.normal(), 14.0 + 1.0 * random.normal()),
        }
    }

    fn apply(&self, (x, y): Point) -> Point {
        let (x, y) = ((x - 0.5) * self.scale.0, (y - 0.5) * self.scale.1);
        let x = x - self.slant * y;
        (self.centre.0 + self.cosine * x - self.sine * y, self.centre.1 + self.sine * x + self.cosine * y)
    }
}

/// A Catmull-Rom spline through `points`, as a line of straight pieces.
fn smooth(points: &[Point], closed: bool) -> Vec<Point> {
    let count = points.len();
    let spans = if closed { count } else { count - 1 };
    let point = |index: isize| {
        if closed {
            points[index.rem_euclid(count as isize) as usize]
        } else {
            points[index.clamp(0, count as isize - 1) as usize]
        }
    };
    let mut line = Vec::with_capacity(spans * PIECES + 1);
    line.push(points[0]);
    for span in 0..spans as isize {
        let [a, b, c, d] = [span - 1, span, span + 1, span + 2].map(point);
        for piece in 1..=PIECES {
            let t = piece as f32 / PIECES as f32;
            let along = |a: f32, b: f32, c: f32, d: f32| {
                0.5 * (2.0 * b
                    + t * ((c - a) + t * ((2.0 * a - 5.0 * b + 4.0 * c - d) + t * (3.0 * (b - c) + d - a))))
            };
            line.push((along(a.0, b.0, c.0, d.0), along(a.1, b.1, c.1, d.1)));
        }
    }
    line
}

/// Distance from `point` to the nearest segment.
fn nearest(segments: &[Segment], point: Point) -> f32 {
    let mut least = f32::MAX;
    for (from, to) in segments {
        let (along_x, along_y) = (to.0 - from.0, to.1 - from.1);
        let (x, y) = (point.0 - from.0, point.1 - from.1);
        let length = along_x * along_x + along_y * along_y;
        let t = if length > 0.0 { ((x * along_x + y * along_y) / length).clamp(0.0, 1.0) } else { 0.0 };
        let (x, y) = (x - t * along_x, y - t * along_y);
        least = least.min(x * x + y * y);
    }
    least.sqrt()
}

/// An elastic distortion: where each pixel looks, relative to itself. Random vectors, smoothed (Simard, Steinkraus, Platt:
/// Best Practices for Convolutional Neural Networks, 2003), with three box filters in place of a Gaussian.
struct Displacement {
    x: Vec<f32>,
    y: Vec<f32>,
}

impl Displacement {
    fn new(random: &mut Random) -> Self {
        let strength = random.between(0.0, 1.0) * 34.0;
        let mut field = || {
            let mut field: Vec<f32> =
                (0..SIDE * SIDE).map(|_| strength * random.between(-1.0, 1.0)).collect();
            for _ in 0..3 {
                field = blur(&blur(&field));
            }
            field
        };
        Self { x: field(), y: field() }
    }

    fn at(&self, x: usize, y: usize) -> (f32, f32) {
        (self.x[y * SIDE + x], self.y[y * SIDE + x])
    }
}

/// A box filter along the rows, nothing beyond the border; transposed, so that twice is both directions.
fn blur(field: &[f32]) -> Vec<f32> {
    const REACH: usize = 4;
    let mut blurred = vec![0.0; SIDE * SIDE];
    for (y, row) in field.chunks_exact(SIDE).enumerate() {
        for x in 0..SIDE {
            let window = &row[x.saturating_sub(REACH)..(x + REACH + 1).min(SIDE)];
            blurred[x * SIDE + y] = window.iter().sum::<f32>() / (2 * REACH + 1) as f32;
        }
    }
    blurred
}
