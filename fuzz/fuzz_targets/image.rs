//! Encoded images of every format, through the decoder that workers keep from frame to frame, which must make of each what a new one does.
#![no_main]

use std::cell::RefCell;

use facestream_schemas::Size;
use facestream_stages::decode::{Decode, Limits};
use libfuzzer_sys::fuzz_target;

/// Small, so that broken sizes rather than large pictures are tried.
const MAX_PIXELS: u64 = 1 << 20;

thread_local! {
    static DECODE: RefCell<Decode> = RefCell::new(decoder());
}

fn decoder() -> Decode {
    Decode::new(Limits { max_pixels: MAX_PIXELS }, Size { w: 64, h: 64 })
}

fuzz_target!(|bytes: &[u8]| {
    let mut alone = decoder();
    let alone = alone.decode(bytes);
    DECODE.with_borrow_mut(|decode| match decode.decode(bytes) {
        Ok(image) => {
            assert_eq!(image.pixels, alone.expect("a new decoder decodes it, too").pixels);
            assert_eq!(image.pixels.len(), image.size.w as usize * image.size.h as usize * 3);
            assert!(u64::from(image.original.w) * u64::from(image.original.h) <= MAX_PIXELS);
            assert!(image.size.w > 0 && image.size.h > 0);
            assert!(image.size.w <= image.original.w && image.size.h <= image.original.h);
        }
        Err(rejection) => {
            assert!(!rejection.error.is_empty());
            assert_eq!(rejection.error, alone.expect_err("a new decoder rejects it, too").error);
        }
    });
});
