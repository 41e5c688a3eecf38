//! Wavefront OBJ: vertices, faces, objects and groups; everything else is passed over.

use super::{Fault, Surface, TRIANGLES_MAX};

pub fn parse(bytes: &[u8]) -> Result<Surface, Fault> {
    let mut surface = Surface::default();
    for (number, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        let fault = |reason: String| Fault::line(number, reason);
        // Names and comments may be in any encoding.
        let line = String::from_utf8_lossy(line);
        let mut words = line.split_whitespace();
        match words.next() {
            Some("v") => surface
                .vertices
                .push(super::vertex(&mut words).map_err(fault)?),
            Some("f") => face(&mut surface, words).map_err(fault)?,
            Some("o" | "g") => surface.begin_group(),
            Some(keyword) if !is_keyword(keyword) => {
                return Err(fault(format!("{:.20?} is no OBJ keyword", keyword)));
            }
            _ => {}
        }
        if surface.triangles() > TRIANGLES_MAX {
            return Err(fault(format!("more than {TRIANGLES_MAX} triangles")));
        }
    }
    Ok(surface)
}

/// Polygons become fans of triangles.
fn face<'a>(surface: &mut Surface, words: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let count = surface.vertices.len();
    let corners: Vec<usize> = words
        .take_while(|word| !word.starts_with('#'))
        .map(|word| corner(word, count))
        .collect::<Result<_, _>>()?;
    if corners.len() < 3 {
        return Err(format!("a face with {} corners", corners.len()));
    }
    for pair in corners[1..].windows(2) {
        surface.add_triangle([corners[0], pair[0], pair[1]]);
    }
    Ok(())
}

/// `position`, `position/texture`, `position//normal` or all three; counted from 1, or backwards from -1.
fn corner(word: &str, count: usize) -> Result<usize, String> {
    let position = word.split('/').next().unwrap_or(word);
    let number: i64 = position
        .parse()
        .map_err(|_| format!("{word:.20?} is no index of a vertex"))?;
    let index = match number {
        1.. => usize::try_from(number - 1).ok(),
        0 => None,
        _ => usize::try_from(number.unsigned_abs())
            .ok()
            .and_then(|back| count.checked_sub(back)),
    };
    index.filter(|&index| index < count).ok_or_else(|| {
        format!("index {number} is out of range: {count} vertices stand before this line")
    })
}

/// Whether this could be one of the many keywords of the format, or a comment.
fn is_keyword(word: &str) -> bool {
    word.starts_with('#') || word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
