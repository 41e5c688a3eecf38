//! Just enough drawing on RGB images for a contact sheet: paste, enlarge, and captions in a 3 x 5 pixel font.

use visuomotor_runtime::camera::Image;

/// Rows of a glyph from top to bottom, one octal digit each: 4 is the left pixel, 1 the right one.
const GLYPHS: [(char, u16); 42] = [
    ('0', 0o75557),
    ('1', 0o26227),
    ('2', 0o71747),
    ('3', 0o71717),
    ('4', 0o55711),
    ('5', 0o74717),
    ('6', 0o74757),
    ('7', 0o71222),
    ('8', 0o75757),
    ('9', 0o75717),
    ('a', 0o25755),
    ('b', 0o65656),
    ('c', 0o34443),
    ('d', 0o65556),
    ('e', 0o74647),
    ('f', 0o74644),
    ('g', 0o34553),
    ('h', 0o55755),
    ('i', 0o72227),
    ('j', 0o11152),
    ('k', 0o55655),
    ('l', 0o44447),
    ('m', 0o57755),
    ('n', 0o65555),
    ('o', 0o25552),
    ('p', 0o65644),
    ('q', 0o25521),
    ('r', 0o65655),
    ('s', 0o34216),
    ('t', 0o72222),
    ('u', 0o55557),
    ('v', 0o55552),
    ('w', 0o55775),
    ('x', 0o55255),
    ('y', 0o55222),
    ('z', 0o71247),
    ('_', 0o00007),
    ('.', 0o00002),
    (',', 0o00024),
    ('-', 0o00700),
    (':', 0o02020),
    ('=', 0o07070),
];
const GLYPH_WIDTH_PX: u32 = 4;
pub const GLYPH_HEIGHT_PX: u32 = 5;

pub fn blank(width: u32, height: u32, grey: u8) -> Image {
    Image {
        width,
        height,
        rgb: vec![grey; 3 * width as usize * height as usize],
    }
}

/// Copies `tile` so that its top left corner is at column `x` and row `y`; what does not fit is cut off.
pub fn paste(onto: &mut Image, tile: &Image, x: u32, y: u32) {
    if x >= onto.width {
        return;
    }
    let columns = tile.width.min(onto.width - x) as usize;
    for row in 0..tile.height.min(onto.height.saturating_sub(y)) {
        let from = 3 * row as usize * tile.width as usize;
        let to = 3 * ((y + row) as usize * onto.width as usize + x as usize);
        onto.rgb[to..to + 3 * columns].copy_from_slice(&tile.rgb[from..from + 3 * columns]);
    }
}

/// Every pixel becomes a square of `times` x `times`.
pub fn enlarge(image: &Image, times: u32) -> Image {
    let mut large = blank(image.width * times, image.height * times, 0);
    for (index, pixel) in large.rgb.chunks_exact_mut(3).enumerate() {
        let (x, y) = (
            index as u32 % (image.width * times),
            index as u32 / (image.width * times),
        );
        let from = 3 * (y / times * image.width + x / times) as usize;
        pixel.copy_from_slice(&image.rgb[from..from + 3]);
    }
    large
}

/// Writes text with its top left corner at (`x`, `y`), each font pixel `size` pixels wide. Characters without a glyph
/// leave a gap, and what does not fit is cut off.
pub fn write_text(onto: &mut Image, text: &str, x: u32, y: u32, size: u32, colour: [u8; 3]) {
    let mut dot = blank(size, size, 0);
    dot.rgb
        .chunks_exact_mut(3)
        .for_each(|pixel| pixel.copy_from_slice(&colour));
    for (character, left) in text
        .chars()
        .zip((x..).step_by((GLYPH_WIDTH_PX * size) as usize))
    {
        let character = character.to_ascii_lowercase();
        let Some((_, rows)) = GLYPHS.iter().find(|(c, _)| *c == character) else {
            continue;
        };
        for bit in 0..15 {
            if rows >> (14 - bit) & 1 == 1 {
                paste(onto, &dot, left + bit % 3 * size, y + bit / 3 * size);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lit(image: &Image) -> Vec<(u32, u32)> {
        let bright = image
            .rgb
            .chunks_exact(3)
            .enumerate()
            .filter(|(_, p)| p[0] > 0);
        bright
            .map(|(i, _)| (i as u32 % image.width, i as u32 / image.width))
            .collect()
    }

    #[test]
    fn text_draws_the_glyph_where_it_was_asked() {
        let mut image = blank(8, 8, 0);
        write_text(&mut image, "1", 2, 1, 1, [255; 3]);
        assert_eq!(
            lit(&image),
            [
                (3, 1),
                (2, 2),
                (3, 2),
                (3, 3),
                (3, 4),
                (2, 5),
                (3, 5),
                (4, 5)
            ]
        );
    }

    #[test]
    fn drawing_outside_is_cut_off() {
        let mut image = blank(5, 5, 0);
        write_text(&mut image, "888?", 3, 3, 3, [255; 3]);
        paste(&mut image, &blank(9, 9, 7), 9, 9);
        assert!(lit(&image).iter().all(|(x, y)| *x >= 3 && *y >= 3));
    }

    #[test]
    fn enlarged_pixels_are_squares() {
        let image = Image {
            width: 2,
            height: 1,
            rgb: vec![1, 2, 3, 4, 5, 6],
        };
        let large = enlarge(&image, 2);
        assert_eq!((large.width, large.height), (4, 2));
        assert_eq!(large.rgb[..12], [1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6]);
        assert_eq!(large.rgb[12..], large.rgb[..12]);
    }
}
