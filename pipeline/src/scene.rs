//! What a virtual camera sees: a textured background made in code, and people who move, change size, leave and come back.
//!
//! In: a camera number and the number of a picture. Out: pixels or a JPEG, with the faces that are in it. The people are copies
//! of one public-domain portrait whose face was measured by hand, so the truth owes nothing to any detector.
//! Invariant: a picture depends on nothing but size, quality, camera, number of people and its own number; a face is
//! wholly inside the picture and listed, or not there at all: people come and go between two pictures, never by halves.

mod crowd;
mod path;
mod portrait;
mod texture;

use facestream_schemas::{Bbox, Size};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use path::{Path, Place};
use portrait::{FACE, HEAD, LANDMARKS, Portrait};

/// JPEG quality that brings a 1920x1080 picture to about 290 kB.
pub const QUALITY: i32 = 85;

/// One virtual camera.
pub struct Scene {
    size: Size,
    quality: i32,
    background: Vec<u8>,
    portrait: Portrait,
    people: Vec<Path>,
}

/// A picture as the camera sends it.
pub struct Picture {
    /// The encoded picture, YCbCr 4:2:0.
    pub jpeg: Vec<u8>,
    /// Its size in pixels.
    pub size: Size,
    /// The faces in it, forehead to chin and cheek to cheek, in pixels: all there are.
    pub faces: Vec<Bbox>,
}

/// A picture before encoding, with all that is known of it.
pub struct View {
    /// Rows of RGB pixels, three bytes each, no padding.
    pub rgb: Vec<u8>,
    /// Width and height in pixels.
    pub size: Size,
    /// The faces in it, forehead to chin and cheek to cheek, in pixels: all there are.
    pub faces: Vec<Bbox>,
    /// For each face x0 y0 … x4 y4 in pixels, as in the `detections` table: right eye, left eye, nose, right and left mouth corner.
    pub landmarks: Vec<[f32; 10]>,
}

impl Scene {
    /// Camera number `camera` with pictures of `size`; it sees one, two or three people, as its number has it.
    /// Sides should be 160 px or more: smaller ones show faces that no detector can be expected to find.
    #[must_use]
    pub fn new(camera: u32, size: Size) -> Self {
        Self::with_people(camera, size, 1 + camera % 3)
    }

    /// Like [`Scene::new`], with `people` of them. They keep to columns of equal width, so that they never cover each other.
    #[must_use]
    pub fn with_people(camera: u32, size: Size, people: u32) -> Self {
        Self {
            size,
            quality: QUALITY,
            background: texture::background(camera, size),
            portrait: Portrait::load(),
            people: (0..people).map(|index| Path::new(camera, index, people, size)).collect(),
        }
    }

    /// The same camera with another JPEG quality, 1 to 100.
    #[must_use]
    pub fn quality(mut self, quality: i32) -> Self {
        self.quality = quality;
        self
    }

    /// Picture number `n`, not encoded.
    #[must_use]
    pub fn view(&self, n: u64) -> View {
        self.view_of(self.people.iter().filter_map(|path| path.at(n)))
    }

    /// The background with heads in these places.
    fn view_of(&self, places: impl IntoIterator<Item = Place>) -> View {
        let mut view = View { rgb: self.background.clone(), size: self.size, faces: Vec::new(), landmarks: Vec::new() };
        let mut resizer = Resizer::new();
        for place in places {
            blend(&mut view.rgb, self.size, &self.portrait.resized(&mut resizer, place.side), place);
            view.faces.push(place.face());
            view.landmarks.push(place.landmarks());
        }
        view
    }

    /// Picture number `n` as a JPEG.
    ///
    /// # Panics
    /// With a quality that is not 1 to 100, or a size that JPEG does not have.
    #[must_use]
    pub fn picture(&self, n: u64) -> Picture {
        self.view(n).encoded(self.quality)
    }
}

impl View {
    /// The view as a JPEG.
    ///
    /// # Panics
    /// With a quality that is not 1 to 100, or a size that JPEG does not have.
    #[must_use]
    pub fn encoded(self, quality: i32) -> Picture {
        let Self { rgb, size, faces, .. } = self;
        let image = turbojpeg::Image {
            pixels: &rgb[..],
            width: size.w as usize,
            pitch: size.w as usize * 3,
            height: size.h as usize,
            format: turbojpeg::PixelFormat::RGB,
        };
        let jpeg = turbojpeg::compress(image, quality, turbojpeg::Subsamp::Sub2x2).expect("a quality and size that JPEG has");
        Picture { jpeg: jpeg.to_vec(), size, faces }
    }
}

impl Portrait {
    /// The head as a square of `side` pixels, RGBA.
    fn resized(&self, resizer: &mut Resizer, side: u32) -> Vec<u8> {
        let source = ImageRef::new(HEAD, HEAD, &self.rgba, PixelType::U8x4).expect("the portrait is a square of RGBA");
        let mut head = Image::new(side, side, PixelType::U8x4);
        // Alpha is a mask here that is resized like a colour: the colours under it are complete, nothing is premultiplied.
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom)).use_alpha(false);
        resizer.resize(&source, &mut head, &options).expect("both are RGBA");
        head.into_vec()
    }
}

impl Place {
    /// The face of a head in this place.
    fn face(self) -> Bbox {
        let [left, top, right, bottom] = FACE;
        let [x, y] = self.point(left, top);
        Bbox { x, y, w: (right - left) * self.scale(), h: (bottom - top) * self.scale() }
    }

    /// The five landmarks of a head in this place.
    fn landmarks(self) -> [f32; 10] {
        let mut points = LANDMARKS;
        for point in points.as_chunks_mut().0 {
            *point = self.point(point[0], point[1]);
        }
        points
    }

    fn scale(self) -> f32 {
        self.side as f32 / HEAD as f32
    }

    /// A point of the portrait in pixels of the picture.
    fn point(self, x: f32, y: f32) -> [f32; 2] {
        [self.x as f32 + x * self.scale(), self.y as f32 + y * self.scale()]
    }
}

/// Lays a square of RGBA pixels over the picture.
fn blend(rgb: &mut [u8], size: Size, head: &[u8], place: Place) {
    let width = place.side as usize;
    for (row, line) in head.chunks_exact(width * 4).enumerate() {
        let start = ((place.y as usize + row) * size.w as usize + place.x as usize) * 3;
        for (pixel, over) in rgb[start..start + width * 3].chunks_exact_mut(3).zip(line.chunks_exact(4)) {
            let alpha = u32::from(over[3]);
            for (below, above) in pixel.iter_mut().zip(over) {
                *below = ((u32::from(*below) * (255 - alpha) + u32::from(*above) * alpha) / 255) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests;
