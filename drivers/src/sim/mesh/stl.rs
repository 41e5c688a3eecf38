//! STL, binary and text. The normals are not used: the order of the vertices says the same, and neither is relied on.

use super::{Fault, Surface, TRIANGLES_MAX};
use nalgebra::Vector3;

/// 80 bytes of anything, then the number of triangles.
const HEADER: usize = 84;
/// Normal and three vertices as little-endian f32, then two bytes of anything.
const TRIANGLE: usize = 50;

pub fn parse(bytes: &[u8]) -> Result<Surface, Fault> {
    // Some binary files start with "solid" too, but their length is right.
    if bytes.trim_ascii_start().starts_with(b"solid") && promised(bytes) != Some(bytes.len()) {
        text(bytes)
    } else {
        binary(bytes)
    }
}

/// The length that a binary file says it has.
fn promised(bytes: &[u8]) -> Option<usize> {
    Some(HEADER + TRIANGLE * count(bytes)?)
}

fn count(bytes: &[u8]) -> Option<usize> {
    let count = bytes.get(HEADER - 4..)?.first_chunk()?;
    usize::try_from(u32::from_le_bytes(*count)).ok()
}

fn binary(bytes: &[u8]) -> Result<Surface, Fault> {
    let (Some(count), Some(promised)) = (count(bytes), promised(bytes)) else {
        let reason = format!("ends after {} bytes, within its header", bytes.len());
        return Err(Fault::byte(bytes.len(), reason));
    };
    if promised != bytes.len() {
        let reason = format!(
            "the header promises {count} triangles, {promised} bytes, but the file has {}; is it a whole STL file?",
            bytes.len()
        );
        return Err(Fault::byte(HEADER - 4, reason));
    }
    if count > TRIANGLES_MAX {
        let reason = format!("{count} triangles are more than {TRIANGLES_MAX}");
        return Err(Fault::byte(HEADER - 4, reason));
    }
    let mut surface = Surface::default();
    for (i, triangle) in bytes[HEADER..].chunks_exact(TRIANGLE).enumerate() {
        let vertices = triangle[12..48].chunks_exact(12).map(|vertex| {
            let number = |axis: usize| {
                let bytes = std::array::from_fn(|k| vertex[4 * axis + k]);
                f64::from(f32::from_le_bytes(bytes))
            };
            super::checked(Vector3::new(number(0), number(1), number(2)))
        });
        let corners = vertices
            .map(|vertex| vertex.map(|vertex| surface.add_vertex(vertex)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|reason| Fault::byte(HEADER + TRIANGLE * i, reason))?;
        if let &[a, b, c] = &corners[..] {
            surface.add_triangle([a, b, c]);
        }
    }
    Ok(surface)
}

fn text(bytes: &[u8]) -> Result<Surface, Fault> {
    let mut surface = Surface::default();
    let mut corners = Vec::with_capacity(3);
    let mut open = false;
    let mut number = 0;
    for line in bytes.split(|&byte| byte == b'\n') {
        number += 1;
        let fault = |reason: String| Fault::line(number, reason);
        let line = String::from_utf8_lossy(line);
        let mut words = line.split_whitespace();
        match words.next() {
            Some("solid") => {
                open = true;
                surface.begin_group();
            }
            Some("vertex") => {
                let vertex = super::vertex(&mut words).map_err(fault)?;
                corners.push(surface.add_vertex(vertex));
            }
            Some("endloop") => match corners[..] {
                [a, b, c] => {
                    surface.add_triangle([a, b, c]);
                    corners.clear();
                }
                _ => return Err(fault(format!("a facet with {} vertices", corners.len()))),
            },
            Some("endsolid") => open = false,
            None | Some("facet" | "outer" | "endfacet") => {}
            Some(word) => return Err(fault(format!("{word:.20?} is no STL keyword"))),
        }
        if surface.triangles() > TRIANGLES_MAX {
            return Err(fault(format!("more than {TRIANGLES_MAX} triangles")));
        }
    }
    if open || !corners.is_empty() {
        return Err(Fault::line(
            number,
            "the file ends before \"endsolid\"".into(),
        ));
    }
    Ok(surface)
}
